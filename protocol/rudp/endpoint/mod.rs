//! The endpoint: all sessions of a node behind one socket. Knows which session, not how it works.
//!
//! - `slots`: the table. `deadlines`: whose turn it is. `setup`: how sessions come to be.

mod deadlines;
mod setup;
mod slots;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::{Config, MESSAGE_BYTES_MAX};
use crate::crypto::{KeyRing, Random};
use crate::event::{ConnectError, Ecn, Event, Rejected, SendError, Stats, Transmit};
use crate::ids::{Flow, MessageId, NodeId, PeerId};
use crate::peer::{Ending, Input, Peer};
use crate::session::cookie::CookieJar;
use crate::time::Time;
use crate::wire::header::{SESSION, Truncated};
use crate::wire::hello::Handshake;

use deadlines::Deadlines;
use slots::{Closing, Entry, Link, Slots};

/// Answers of the handshake that wait to be sent; more are dropped, and asked for again.
const ANSWERS_MAX: usize = 64;
/// How often the end of a session is said.
const CLOSES_MAX: u32 = 3;

/// All sessions of a node.
///
/// The driver hands in datagrams and the time and drains after each call: datagrams from
/// `poll_transmit` until it has none, then events from `poll_event`, then the next deadline.
#[derive(Debug)]
pub struct Endpoint {
    config: Arc<Config>,
    keys: KeyRing,
    cookies: CookieJar,
    random: Random,
    slots: Slots,
    deadlines: Deadlines,
    /// Slots that may have something to send, in the order of their turns.
    ready: VecDeque<u32>,
    /// Answers to datagrams that belong to no session.
    answers: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<Event>,
    rejected: Rejected,
    /// When the next RESET may be sent.
    reset_at: Time,
    now: Time,
}

impl Endpoint {
    /// An endpoint. The same seed and the same calls give the same datagrams; where keys matter the
    /// seed must be secret and new.
    pub fn new(config: Arc<Config>, seed: [u8; 32]) -> Self {
        let config = Arc::new(config.bounded());
        let mut random = Random::new(&seed);
        Self {
            keys: KeyRing::new(&config.mode),
            cookies: CookieJar::new(&random.bytes()),
            random,
            slots: Slots::new(config.peers_max),
            deadlines: Deadlines::default(),
            ready: VecDeque::new(),
            answers: VecDeque::new(),
            events: VecDeque::new(),
            rejected: Rejected::default(),
            reset_at: Time::ZERO,
            now: Time::ZERO,
            config,
        }
    }

    /// Begins a session with a node. `Event::Connected` tells that it is up, `Event::Lost` that the
    /// node could not be reached.
    pub fn connect(
        &mut self,
        now: Time,
        node: NodeId,
        address: SocketAddr,
    ) -> Result<PeerId, ConnectError> {
        self.now = now;
        if node == self.config.node {
            return Err(ConnectError::Myself);
        }
        let link = self.slots.link(node);
        if let Some(index) = link.live.or(link.setup) {
            return Err(ConnectError::Exists(self.slots.id(index)));
        }
        self.begin(now, node, address).ok_or(ConnectError::Full)
    }

    /// Takes a datagram. Its bytes are decrypted in place.
    pub fn handle_datagram(
        &mut self,
        now: Time,
        from: SocketAddr,
        ecn: Option<Ecn>,
        data: &mut [u8],
    ) {
        self.now = now;
        match data.first() {
            Some(first) if first & SESSION != 0 => self.handle_session(now, from, ecn, data),
            Some(_) => {
                if let Ok(handshake) = Handshake::read(&self.keys, data) {
                    self.handle_handshake(now, from, &handshake);
                } else {
                    self.rejected.handshakes += 1;
                    self.rejected.handshake_from = Some(from);
                }
            }
            None => {}
        }
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = now;
        // Those that wait for their turn have no deadline that counts: it is set at the turn's end,
        // and time may have passed since they came in.
        for turn in 0..self.ready.len() {
            if let Some(index) = self.ready.get(turn) {
                self.deadlines.set(*index, now);
            }
        }
        while let Some((at, index)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.remove(index);
            self.mark_ready(index);
            match self.slots.entry_mut(index) {
                Some(Entry::Live(peer)) => {
                    if let Some(ending) = peer.handle_timeout(now, &mut self.events) {
                        self.end(index, ending);
                    }
                }
                Some(Entry::Connecting(connecting)) if connecting.until <= now => {
                    self.give_up(index);
                }
                Some(Entry::Accepted(accepted)) if accepted.until <= now => self.give_up(index),
                Some(Entry::Closing(closing)) if closing.tries >= CLOSES_MAX => {
                    self.slots.free(index);
                }
                _ => {}
            }
        }
    }

    /// When `handle_timeout` is to be called, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Time> {
        if !self.ready.is_empty() || !self.answers.is_empty() {
            return Some(self.now);
        }
        self.deadlines.first().map(|(at, _)| at)
    }

    /// Replaces the content of `buf` by datagrams to send now, if there are any.
    pub fn poll_transmit(&mut self, now: Time, buf: &mut Vec<u8>) -> Option<Transmit> {
        self.now = now;
        buf.clear();
        if let Some((destination, answer)) = self.answers.pop_front() {
            buf.extend_from_slice(&answer);
            return Some(Transmit { destination, segment_size: None, ecn: None });
        }
        while let Some(index) = self.ready.front().copied() {
            if let Some(transmit) = self.transmit(now, index, buf) {
                return Some(transmit);
            }
            self.ready.pop_front();
            let slot = self.slots.get_mut(index).expect("ready slots exist");
            slot.is_ready = false;
            self.arm(index);
        }
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Event::Message { peer, message, .. } = &event
            && let Some(live) = self.slots.live_mut(*peer)
            && live.handle_taken(message.len())
        {
            self.mark_ready(peer.index);
        }
        Some(event)
    }

    /// Sends a message to a connected peer. It arrives exactly once while the session lives; the
    /// event that ends the session names those that may not have.
    pub fn send(
        &mut self,
        now: Time,
        peer: PeerId,
        flow: Flow,
        message: Bytes,
    ) -> Result<MessageId, SendError> {
        self.now = now;
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(SendError::TooLarge(message.len()));
        }
        let live = self.slots.live_mut(peer).ok_or(SendError::NoPeer)?;
        let id = live.send(flow, message).ok_or(SendError::WouldBlock)?;
        self.mark_ready(peer.index);
        Ok(id)
    }

    /// Ends a session now, with `Event::Closed`. What is not acknowledged may not arrive: wait for
    /// `Stats::messages_unacknowledged` to be zero where that matters.
    pub fn close(&mut self, now: Time, peer: PeerId) {
        self.now = now;
        if !self.slots.is_current(peer) {
            return;
        }
        match self.slots.entry_mut(peer.index) {
            Some(Entry::Live(_)) => self.end_by_us(now, peer.index),
            Some(Entry::Connecting(_)) => {
                self.unlink_setup(peer.index);
                self.slots.free(peer.index);
                self.deadlines.remove(peer.index);
                self.events.push_back(Event::Closed { peer, unknown: Vec::new() });
            }
            _ => {}
        }
    }

    /// Figures of a session.
    pub fn stats(&self, peer: PeerId) -> Option<Stats> {
        self.slots.live(peer).map(Peer::stats)
    }

    /// Datagrams that were dropped.
    pub fn rejected(&self) -> Rejected {
        self.rejected
    }

    /// Asserts what always holds. Simulations call it after each step.
    pub fn invariants(&self) {
        self.slots.invariants();
        for slot in self.slots.iter() {
            if let Entry::Live(peer) = &slot.entry {
                peer.invariants();
            }
        }
        assert!(self.answers.len() <= ANSWERS_MAX);
    }

    fn handle_session(&mut self, now: Time, from: SocketAddr, ecn: Option<Ecn>, data: &mut [u8]) {
        let Ok(header) = Truncated::read(data) else {
            self.rejected.strangers += 1;
            return;
        };
        let index = header.connection;
        let input = match self.slots.entry_mut(index) {
            Some(Entry::Live(peer)) if peer.address == from => {
                peer.handle_datagram(now, ecn, &header, data, &mut self.events)
            }
            Some(Entry::Accepted(accepted)) if accepted.peer.address == from => {
                if accepted.peer.is_authentic(&header, data) {
                    self.confirm(now, index);
                    self.handle_session(now, from, ecn, data);
                } else {
                    self.rejected.forged += 1;
                }
                return;
            }
            // What a closing session still gets is expected.
            Some(Entry::Closing(closing)) if closing.peer.address == from => return,
            _ => {
                self.rejected.strangers += 1;
                return self.reset(now, from, index, data.len());
            }
        };
        match input {
            Input::Forged => {
                self.rejected.forged += 1;
                return;
            }
            Input::Replayed => {
                self.rejected.replayed += 1;
                return;
            }
            Input::Taken => {}
            Input::Over(ending) => self.end(index, ending),
        }
        self.mark_ready(index);
    }

    fn transmit(&mut self, now: Time, index: u32, buf: &mut Vec<u8>) -> Option<Transmit> {
        let segments_max = self.config.segments_max;
        match self.slots.entry_mut(index)? {
            Entry::Live(peer) => peer.poll_transmit(now, segments_max, buf),
            Entry::Connecting(_) => self.transmit_hello(now, index, buf),
            Entry::Closing(closing) if closing.next <= now && closing.tries < CLOSES_MAX => {
                closing.tries += 1;
                closing.next = now.plus(closing.peer.close_interval());
                closing.peer.put_close(now, buf);
                let destination = closing.peer.address;
                Some(Transmit { destination, segment_size: None, ecn: None })
            }
            Entry::Free | Entry::Accepted(_) | Entry::Closing(_) => None,
        }
    }

    /// Sets the deadline of a slot that has nothing to send now. It may have passed already: an
    /// acknowledgement that shortens the round trip shortens the timers that run.
    fn arm(&mut self, index: u32) {
        let at = match self.slots.entry_mut(index) {
            Some(Entry::Live(peer)) => peer.deadline(),
            Some(Entry::Connecting(connecting)) => connecting.next.min(connecting.until),
            Some(Entry::Accepted(accepted)) => accepted.until,
            Some(Entry::Closing(closing)) => closing.next,
            Some(Entry::Free) | None => {
                self.deadlines.remove(index);
                return;
            }
        };
        self.deadlines.set(index, at);
    }

    fn mark_ready(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index)
            && !slot.is_ready
        {
            slot.is_ready = true;
            self.ready.push_back(index);
        }
    }

    /// A session ends without our doing.
    fn end(&mut self, index: u32, ending: Ending) {
        let id = self.slots.id(index);
        let Entry::Live(peer) = self.slots.free(index) else { return };
        self.unlink_live(&peer);
        self.deadlines.remove(index);
        let unknown = peer.unknown();
        self.events.push_back(match ending {
            Ending::Closed => Event::Closed { peer: id, unknown },
            Ending::Lost => Event::Lost { peer: id, unknown },
            Ending::Restarted => Event::Restarted { peer: id, unknown },
        });
    }

    /// A session ends because we want it to.
    fn end_by_us(&mut self, now: Time, index: u32) {
        let id = self.slots.id(index);
        let Some(slot) = self.slots.get_mut(index) else { return };
        let Entry::Live(peer) = std::mem::replace(&mut slot.entry, Entry::Free) else { return };
        self.unlink_live(&peer);
        self.events.push_back(Event::Closed { peer: id, unknown: peer.unknown() });
        let slot = self.slots.get_mut(index).expect("it was just there");
        slot.generation = slot.generation.wrapping_add(1);
        slot.entry = Entry::Closing(Box::new(Closing { peer: *peer, next: now, tries: 0 }));
        self.mark_ready(index);
    }

    fn unlink_live(&mut self, peer: &Peer) {
        let link = self.slots.link(peer.node);
        self.slots.set_link(peer.node, Link { live: None, ..link });
    }
}
