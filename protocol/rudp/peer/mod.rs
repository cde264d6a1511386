//! One session: its halves, its timers, its end. Knows no other session and no handshake.
//!
//! - `input`: a datagram comes. `recovery`: what its acknowledgement means.
//! - `output`: the next datagram. `repair`: redundancy. `liveness`: whether anybody is there.

mod input;
mod liveness;
mod output;
mod recovery;
mod repair;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::config::{Config, ControllerKind};
use crate::congestion::Controller;
use crate::congestion::cubic::Cubic;
use crate::congestion::model::Model;
use crate::event::{Event, Stats};
use crate::ids::{BootId, Flow, MessageId, NodeId, PeerId};
use crate::receive::ack_timing::{ACK_DELAY_MAX_NS, AckTiming};
use crate::receive::arrivals::Arrivals;
use crate::receive::inbox::Inbox;
use crate::receive::replay::ReplayWindow;
use crate::redundancy::copies::Copies;
use crate::redundancy::decoder::Decoder;
use crate::redundancy::encoder::Encoder;
use crate::redundancy::policy::Policy;
use crate::redundancy::restored::Restored;
use crate::send::acked::Acked;
use crate::send::mtu::Mtu;
use crate::send::outbox::Outbox;
use crate::send::pacer::Pacer;
use crate::send::probe::Probe;
use crate::send::rack::{Rack, Verdict};
use crate::send::rate::Rate;
use crate::send::rtt::Rtt;
use crate::send::sent::{Chunk, Sent};
use crate::session::seal::Protection;
use crate::time::Time;
use crate::wire::ack::Counters;

use liveness::Liveness;

pub(crate) use input::Input;

/// What a handshake settled.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The session.
    pub id: PeerId,
    /// The other node.
    pub node: NodeId,
    /// Its life.
    pub boot: BootId,
    /// Where it is.
    pub address: SocketAddr,
    /// What it calls the session.
    pub connection: u32,
    /// Bytes of messages it takes before it says more.
    pub window: u64,
    /// UDP payload of the largest datagram it takes.
    pub datagram_bytes_max: usize,
    /// How long the handshake's round trip took, if that is known.
    pub rtt_ns: Option<u64>,
    /// Of what leaves.
    pub seals: Protection,
    /// Of what comes.
    pub opens: Protection,
}

/// Why a session is over, as far as the session itself can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The peer said so.
    Closed,
    /// Silence, or a broken protocol.
    Lost,
    /// The node has another boot id.
    Restarted,
}

/// What must be said besides messages and acknowledgements.
#[derive(Debug, Default)]
struct Pending {
    ping: bool,
    window: bool,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Peer {
    /// See `Setup`.
    pub id: PeerId,
    /// See `Setup`.
    pub node: NodeId,
    /// See `Setup`.
    pub boot: BootId,
    /// See `Setup`.
    pub address: SocketAddr,
    connection: u32,
    seals: Protection,
    opens: Protection,
    replay: ReplayWindow,
    arrivals: Arrivals,
    acks: AckTiming,
    received: Counters,
    inbox: Inbox,
    outbox: Outbox,
    sent: Sent,
    acked: Acked,
    rtt: Rtt,
    rack: Rack,
    probe: Probe,
    rate: Rate,
    pacer: Pacer,
    controller: Box<dyn Controller>,
    liveness: Liveness,
    mtu: Mtu,
    pending: Pending,
    /// When the last datagram with messages left, and how far apart such datagrams are on average.
    data_sent: Time,
    data_gap_ns: u64,
    peer_counters: Counters,
    stats: Stats,
    is_ecn: bool,
    is_redundant: bool,
    policy: Policy,
    encoders: [Encoder; 2],
    decoder: Decoder,
    restored: Restored,
    copies: Copies,
    /// The pieces of the datagram under way; kept for its memory.
    pieces: Vec<Chunk>,
    ack_bytes: Vec<u8>,
}

impl Peer {
    /// A session that was just set up.
    pub fn new(now: Time, setup: Setup, config: &Config) -> Self {
        let mut rtt = Rtt::new();
        if let Some(sample) = setup.rtt_ns {
            rtt.handle_sample(now, sample, 0);
        }
        let controller: Box<dyn Controller> = match config.controller {
            ControllerKind::Model => Box::new(Model::new(rtt.smoothed())),
            ControllerKind::Cubic => Box::new(Cubic::new(rtt.smoothed())),
        };
        Self {
            id: setup.id,
            node: setup.node,
            boot: setup.boot,
            address: setup.address,
            connection: setup.connection,
            seals: setup.seals,
            opens: setup.opens,
            replay: ReplayWindow::new(),
            arrivals: Arrivals::default(),
            acks: AckTiming::default(),
            received: Counters::default(),
            inbox: Inbox::new(setup.id, config.receive_bytes_max as u64),
            outbox: Outbox::new(config.send_bytes_max, setup.window),
            sent: Sent::new(),
            acked: Acked::default(),
            rtt,
            rack: Rack::default(),
            probe: Probe::default(),
            rate: Rate::default(),
            pacer: Pacer::default(),
            controller,
            liveness: Liveness::new(now, config),
            mtu: Mtu::new(setup.datagram_bytes_max),
            pending: Pending::default(),
            data_sent: now,
            data_gap_ns: output::GAP_NS_MAX,
            peer_counters: Counters::default(),
            stats: Stats::default(),
            is_ecn: config.ecn,
            is_redundant: config.redundancy,
            policy: Policy::default(),
            encoders: Default::default(),
            decoder: Decoder::default(),
            restored: Restored::default(),
            copies: Copies::default(),
            pieces: Vec::new(),
            ack_bytes: Vec::new(),
        }
    }

    /// Takes a message to send; `None` if there is no room.
    pub fn send(&mut self, flow: Flow, message: Bytes) -> Option<MessageId> {
        let id = self.outbox.push(flow, message)?;
        self.stats.messages_sent += 1;
        Some(id)
    }

    /// Asks the peer for a sign of life.
    pub fn ping(&mut self) {
        self.pending.ping = true;
    }

    /// The driver took a message of so many bytes; says whether the peer should be told.
    pub fn handle_taken(&mut self, len: usize) -> bool {
        self.inbox.handle_taken(len);
        let is_due = self.inbox.is_window_due() && !self.pending.window;
        self.pending.window |= is_due;
        is_due
    }

    /// Messages that may or may not have arrived.
    pub fn unknown(&self) -> Vec<MessageId> {
        self.outbox.undelivered()
    }

    /// When something is due although nothing comes. Everything that can leave has left before.
    pub fn deadline(&mut self) -> Time {
        let mut deadline = match self.waiting_since() {
            None => self.liveness.keepalive_at(),
            Some(since) => self.loss_deadline().min(self.liveness.deadline(since)),
        };
        if let Some(ack) = self.acks.deadline() {
            deadline = deadline.min(ack);
            deadline = self.arrivals.loss_deadline().map_or(deadline, |loss| deadline.min(loss));
        }
        if let Some(repair) = self.redundancy_deadline()
            && self.sent.in_flight() < self.controller.window()
        {
            deadline = deadline.min(repair.max(self.pacer.next(self.controller.pacing_rate())));
        }
        if self.sent.in_flight() < self.controller.window() && self.outbox.has_pieces() {
            deadline = deadline.min(self.pacer.next(self.controller.pacing_rate()));
        }
        deadline
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Time, events: &mut VecDeque<Event>) -> Option<Ending> {
        if self.acks.deadline().is_some() && self.arrivals.has_late_loss(now) {
            self.acks.handle_loss(now, self.arrivals.urgency());
        }
        let Some(since) = self.waiting_since() else {
            if self.liveness.keepalive_at() <= now {
                self.pending.ping = true;
                self.shrink(now);
            }
            return None;
        };
        match self.liveness.check(now, since) {
            liveness::Verdict::Fine => {}
            liveness::Verdict::Suspect => events.push_back(Event::Suspect { peer: self.id }),
            liveness::Verdict::Lost => return Some(Ending::Lost),
        }
        self.detect_losses(now);
        if self.loss_deadline() <= now {
            self.stats.probes += 1;
            self.probe.handle_timeout();
        }
        None
    }

    /// Figures so far.
    pub fn stats(&self) -> Stats {
        Stats {
            messages_received: self.inbox.delivered(),
            messages_unacknowledged: self.outbox.unacknowledged_count(),
            duplicates: self.inbox.duplicates(),
            recovered: self.received.recovered,
            rtt: Duration::from_nanos(self.rtt.smoothed()),
            rtt_min: Duration::from_nanos(self.rtt.least()),
            reordering_window: Duration::from_nanos(self.rack.window(&self.rtt)),
            congestion_window: self.controller.window(),
            in_flight: self.sent.in_flight(),
            pacing_rate: self.controller.pacing_rate(),
            datagram_bytes: self.mtu.datagram_bytes(),
            memory_bytes: self.memory_bytes(),
            ..self.stats
        }
    }

    /// Asserts what always holds.
    pub fn invariants(&self) {
        self.sent.invariants();
        self.outbox.invariants();
        self.inbox.invariants();
        assert!(self.acked.next() <= self.sent.next_number());
    }

    /// Whether the other side calls the session so.
    pub fn is_called(&self, connection: u32) -> bool {
        self.connection == connection
    }

    /// Whether a probe found no answer.
    pub fn is_unanswered(&self) -> bool {
        self.probe.count() > 0
    }

    /// How far apart the end of the session is said.
    pub fn close_interval(&self) -> u64 {
        self.rtt.probe_timeout()
    }

    /// Since when an answer is due, if any is.
    fn waiting_since(&self) -> Option<Time> {
        self.sent.oldest().map(|(_, packet)| packet.sent)
    }

    /// When the next packet is lost, or else a probe is due.
    fn loss_deadline(&self) -> Time {
        match self.rack.judge(Time::ZERO, &self.sent, &self.rtt) {
            Verdict::Lost(_) => Time::ZERO,
            Verdict::LostAt(at) => at,
            Verdict::Open => {
                let Some((_, newest)) = self.sent.newest() else { return Time(u64::MAX) };
                let held_back_ns = if newest.extras.at_once { 0 } else { ACK_DELAY_MAX_NS };
                let timeout_ns = self.rtt.probe_timeout() + held_back_ns;
                self.probe.deadline(newest.sent, timeout_ns, self.rtt.least())
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        let fixed = size_of::<Self>() + size_of::<Model>() + self.replay.memory_bytes();
        let scratch = self.pieces.capacity() * size_of::<Chunk>() + self.ack_bytes.capacity();
        let encoders: usize = self.encoders.iter().map(Encoder::memory_bytes).sum();
        let redundancy = encoders + self.decoder.memory_bytes() + self.restored.memory_bytes();
        let redundancy = redundancy + self.copies.memory_bytes();
        let halves = self.sent.memory_bytes() + self.outbox.memory_bytes();
        fixed
            + redundancy
            + scratch
            + halves
            + self.inbox.memory_bytes()
            + self.seals.memory_bytes()
            + self.opens.memory_bytes()
    }

    fn shrink(&mut self, now: Time) {
        self.decoder.shrink(now);
        self.sent.shrink();
        self.outbox.shrink();
        self.inbox.shrink();
    }
}
