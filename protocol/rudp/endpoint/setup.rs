//! How sessions come to be: HELLO, RETRY, ACCEPT, and the first datagram that confirms. Knows no
//! frames.
//!
//! Nothing is kept for an address that did not return a cookie, and a session counts only once a
//! datagram under its fresh keys came: a replayed HELLO ends nothing.

use std::net::SocketAddr;

use super::slots::{Accepted, Connecting, Entry, Link};
use super::{ANSWERS_MAX, Endpoint};
use crate::crypto::{Binding, RANDOM_BYTES};
use crate::event::{Event, Transmit};
use crate::ids::{NodeId, PeerId};
use crate::peer::{Ending, Peer, Setup};
use crate::session::seal::Protection;
use crate::time::{MILLISECOND, Time, nanos};
use crate::wire::hello::{Body, Handshake, Hello, Side};

/// When HELLO is said again after no answer; doubled with each try up to the other.
const HELLO_INTERVAL_NS: u64 = 100 * MILLISECOND;
/// See there.
const HELLO_INTERVAL_NS_MAX: u64 = 800 * MILLISECOND;
/// A RESET is not sent more often than this.
const RESET_INTERVAL_NS: u64 = 10 * MILLISECOND;
/// Shorter datagrams are not answered with a RESET of 37 bytes.
const RESET_CAUSE_BYTES_MIN: usize = 16;
/// HELLOs with a cookie before a new cookie is asked for: the node may have restarted.
const COOKIE_TRIES_MAX: u32 = 4;

impl Endpoint {
    /// Begins a session in a new slot.
    pub(super) fn begin(&mut self, now: Time, node: NodeId, address: SocketAddr) -> Option<PeerId> {
        let id = self.slots.allocate()?;
        let connecting = Connecting {
            node,
            address,
            random: self.random.bytes(),
            cookie: None,
            until: now.plus(nanos(self.config.lost_after)),
            next: now,
            tries: 0,
            sent: now,
        };
        let slot = self.slots.get_mut(id.index).expect("it was just allocated");
        slot.entry = Entry::Connecting(Box::new(connecting));
        let link = self.slots.link(node);
        self.slots.set_link(node, Link { setup: Some(id.index), ..link });
        self.mark_ready(id.index);
        Some(id)
    }

    /// Takes an authentic datagram of the handshake.
    pub(super) fn handle_handshake(&mut self, now: Time, from: SocketAddr, said: &Handshake) {
        if said.from == self.config.node {
            return;
        }
        if let Body::Reset { connection, .. } = said.body {
            return self.handle_reset(now, from, said.from, connection);
        }
        if said.to != self.config.node {
            return;
        }
        match &said.body {
            Body::Hello(hello) => self.handle_hello(now, from, said, hello),
            Body::Retry { initiator_random, cookie } => {
                if let Some((index, connecting)) = self.connecting(said.from, initiator_random)
                    && connecting.cookie.is_none()
                {
                    connecting.cookie = Some(*cookie);
                    connecting.tries = 0;
                    connecting.next = now;
                    self.mark_ready(index);
                }
            }
            Body::Accept { initiator_random, side } => {
                self.handle_accept(now, said, initiator_random, side);
            }
            Body::Reset { .. } => {}
        }
    }

    /// A datagram came for a session that is not here. Its sender should learn that, at most so
    /// often, and never for less than a third of what it gets.
    pub(super) fn reset(&mut self, now: Time, from: SocketAddr, connection: u32, len: usize) {
        if now < self.reset_at || len < RESET_CAUSE_BYTES_MIN || self.answers.len() >= ANSWERS_MAX {
            return;
        }
        self.reset_at = now.plus(RESET_INTERVAL_NS);
        let body = Body::Reset { boot: self.config.boot, connection };
        let key = self.keys.current();
        let mut out = Vec::new();
        // The session is unknown, and with it the node.
        Handshake { key, from: self.config.node, to: NodeId(u16::MAX), body }
            .put(&self.keys, &mut out);
        self.answers.push_back((from, out));
    }

    /// A node says that it does not have our session. As anybody may say that again later, it only
    /// makes us ask the node for a new session, and only if it is silent; the old one ends when the
    /// new one is up.
    fn handle_reset(&mut self, now: Time, from: SocketAddr, node: NodeId, connection: u32) {
        let link = self.slots.link(node);
        let Some(Entry::Live(peer)) = link.live.and_then(|index| self.slots.entry_mut(index))
        else {
            return;
        };
        let is_ours = peer.address == from && peer.is_called(connection);
        if is_ours && peer.is_unanswered() && link.setup.is_none() {
            self.begin(now, node, from);
        }
    }

    /// Writes HELLO if it is time.
    pub(super) fn transmit_hello(
        &mut self,
        now: Time,
        index: u32,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let (boot, window) = (self.config.boot, self.config.receive_bytes_max as u64);
        let datagram_bytes_max = self.config.datagram_bytes_max as u16;
        let key = self.keys.current();
        let Some(Entry::Connecting(connecting)) = self.slots.entry_mut(index) else { return None };
        if connecting.next > now {
            return None;
        }
        if connecting.tries >= COOKIE_TRIES_MAX {
            connecting.cookie = None;
        }
        let interval_ns = HELLO_INTERVAL_NS << connecting.tries.min(8);
        connecting.next = now.plus(interval_ns.min(HELLO_INTERVAL_NS_MAX));
        connecting.tries += 1;
        connecting.sent = now;
        let random = connecting.random;
        let side = Side { boot, connection: index, window, datagram_bytes_max, random };
        let body = Body::Hello(Hello { side, cookie: connecting.cookie });
        let (to, destination) = (connecting.node, connecting.address);
        Handshake { key, from: self.config.node, to, body }.put(&self.keys, buf);
        Some(Transmit { destination, segment_size: None, ecn: None })
    }

    /// The other side used a session that it began: it is live, and whatever was before is over.
    pub(super) fn confirm(&mut self, now: Time, index: u32) {
        let slot = self.slots.get_mut(index).expect("an accepted slot");
        let Entry::Accepted(accepted) = std::mem::replace(&mut slot.entry, Entry::Free) else {
            return;
        };
        self.go_live(now, index, accepted.peer);
    }

    /// A session that was being set up is given up.
    pub(super) fn give_up(&mut self, index: u32) {
        let id = self.slots.id(index);
        self.unlink_setup(index);
        self.deadlines.remove(index);
        let is_ours = match self.slots.free(index) {
            Entry::Connecting(_) => true,
            Entry::Accepted(accepted) => accepted.is_ours,
            Entry::Free | Entry::Live(_) | Entry::Closing(_) => false,
        };
        if is_ours {
            self.events.push_back(Event::Lost { peer: id, unknown: Vec::new() });
        }
    }

    /// Forgets that a slot is where a session with its node is being set up.
    pub(super) fn unlink_setup(&mut self, index: u32) {
        let node = match self.slots.entry_mut(index) {
            Some(Entry::Connecting(connecting)) => connecting.node,
            Some(Entry::Accepted(accepted)) => accepted.peer.node,
            _ => return,
        };
        let link = self.slots.link(node);
        if link.setup == Some(index) {
            self.slots.set_link(node, Link { setup: None, ..link });
        }
    }

    fn handle_hello(&mut self, now: Time, from: SocketAddr, said: &Handshake, hello: &Hello) {
        let Some(cookie) = &hello.cookie else {
            let cookie = self.cookies.bake(now, from, &hello.side);
            let body = Body::Retry { initiator_random: hello.side.random, cookie };
            return self.answer(from, said, body);
        };
        if !self.cookies.is_good(now, from, &hello.side, cookie) {
            return;
        }
        let link = self.slots.link(said.from);
        let mut reused = None;
        if let Some(index) = link.setup {
            match self.slots.entry_mut(index) {
                Some(Entry::Accepted(accepted))
                    if accepted.initiator_random == hello.side.random =>
                {
                    let random = accepted.responder_random;
                    return self.accept(from, said, hello, index, random);
                }
                // Both sides begin at once: the node with the smaller number goes on.
                Some(Entry::Connecting(_)) if self.config.node < said.from => return,
                Some(Entry::Connecting(_)) => reused = Some(index),
                _ => self.give_up(index),
            }
        }
        let is_ours = reused.is_some();
        let id = match reused {
            Some(index) => self.slots.id(index),
            None => match self.slots.allocate() {
                Some(id) => id,
                None => return,
            },
        };
        let random = self.random.bytes();
        let randoms = (&hello.side.random, &random);
        let Some(peer) = self.peer(now, id, said, &hello.side, from, randoms, None) else {
            return;
        };
        let accepted = Accepted {
            peer,
            initiator_random: hello.side.random,
            responder_random: random,
            is_ours,
            until: now.plus(nanos(self.config.lost_after)),
        };
        let slot = self.slots.get_mut(id.index).expect("it was just allocated");
        slot.entry = Entry::Accepted(Box::new(accepted));
        let link = self.slots.link(said.from);
        self.slots.set_link(said.from, Link { setup: Some(id.index), ..link });
        self.mark_ready(id.index);
        self.accept(from, said, hello, id.index, random);
    }

    fn accept(
        &mut self,
        from: SocketAddr,
        said: &Handshake,
        hello: &Hello,
        index: u32,
        random: [u8; RANDOM_BYTES],
    ) {
        let side = Side {
            boot: self.config.boot,
            connection: index,
            window: self.config.receive_bytes_max as u64,
            datagram_bytes_max: self.config.datagram_bytes_max as u16,
            random,
        };
        self.answer(from, said, Body::Accept { initiator_random: hello.side.random, side });
    }

    fn handle_accept(
        &mut self,
        now: Time,
        said: &Handshake,
        initiator_random: &[u8; RANDOM_BYTES],
        side: &Side,
    ) {
        let Some((index, connecting)) = self.connecting(said.from, initiator_random) else {
            return;
        };
        let address = connecting.address;
        // With two HELLOs under way nobody knows which one was answered.
        let rtt_ns = (connecting.tries == 1).then(|| now.nanos_since(connecting.sent));
        let id = self.slots.id(index);
        let randoms = (initiator_random, &side.random);
        let Some(mut peer) = self.peer(now, id, said, side, address, randoms, rtt_ns) else {
            return;
        };
        // The other side takes the session for real once it hears something under its keys.
        peer.ping();
        self.go_live(now, index, peer);
    }

    fn go_live(&mut self, now: Time, index: u32, peer: Peer) {
        let (node, boot) = (peer.node, peer.boot);
        let link = self.slots.link(node);
        if let Some(before) = link.live {
            let is_same_life = match self.slots.entry_mut(before) {
                Some(Entry::Live(live)) => live.boot == boot,
                _ => false,
            };
            self.end(before, if is_same_life { Ending::Lost } else { Ending::Restarted });
        }
        let slot = self.slots.get_mut(index).expect("a slot that was being set up");
        slot.entry = Entry::Live(Box::new(peer));
        let peer = self.slots.id(index);
        self.slots.set_link(node, Link { live: Some(index), setup: None });
        self.events.push_back(Event::Connected { peer, node, boot });
        self.mark_ready(index);
        debug_assert!(now >= self.now);
    }

    fn connecting(
        &mut self,
        node: NodeId,
        random: &[u8; RANDOM_BYTES],
    ) -> Option<(u32, &mut Connecting)> {
        let index = self.slots.link(node).setup?;
        match self.slots.entry_mut(index)? {
            Entry::Connecting(connecting) if connecting.random == *random => {
                Some((index, connecting))
            }
            _ => None,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a handshake settles, from both sides")]
    fn peer(
        &self,
        now: Time,
        id: PeerId,
        said: &Handshake,
        side: &Side,
        address: SocketAddr,
        randoms: (&[u8; RANDOM_BYTES], &[u8; RANDOM_BYTES]),
        rtt_ns: Option<u64>,
    ) -> Option<Peer> {
        let (initiator_random, responder_random) = randoms;
        let binding = Binding { initiator_random, responder_random };
        let secret = self.keys.session(said.key, &binding)?;
        let is_initiator = matches!(said.body, Body::Accept { .. });
        let protection = |is_from_initiator: bool| {
            Protection::new(secret.direction(is_from_initiator), self.keys.is_sealed())
        };
        let datagram_bytes_max =
            self.config.datagram_bytes_max.min(usize::from(side.datagram_bytes_max));
        let setup = Setup {
            id,
            node: said.from,
            boot: side.boot,
            address,
            connection: side.connection,
            window: side.window,
            datagram_bytes_max,
            rtt_ns,
            seals: protection(is_initiator),
            opens: protection(!is_initiator),
        };
        Some(Peer::new(now, setup, &self.config))
    }

    fn answer(&mut self, to: SocketAddr, said: &Handshake, body: Body) {
        if self.answers.len() >= ANSWERS_MAX {
            return;
        }
        let answer = Handshake { key: said.key, from: self.config.node, to: said.from, body };
        let mut out = Vec::new();
        answer.put(&self.keys, &mut out);
        self.answers.push_back((to, out));
    }
}
