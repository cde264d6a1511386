//! What was promised about everything but messages: answers to strangers stay small, memory is
//! bounded, deadlines do not stand still, and who hears nothing asks ever more rarely, with data.

use std::collections::HashMap;
use std::net::SocketAddr;

use aldis_rudp::{Config, MESSAGE_BYTES_MAX, Mode, PeerId, Stats};

use super::MS;

/// Bytes that a host may send to an address for each byte that came from there, unproven.
const AMPLIFICATION_MAX: u64 = 3;
/// Turns that a host may ask for within one instant.
const TURNS_MAX: u32 = 8;
/// Memory of a session besides its two buffers: tables of what is in flight, kept for speed.
const TABLE_BYTES_MAX: usize = 8 << 20;
/// Probes before their timeout has grown eightfold, and a few that were under way.
const PROBES_GROWING_MAX: u64 = 10;
/// Timeouts need not grow beyond this.
const PROBE_INTERVAL_NS_MAX: u64 = 200 * MS;
/// Probes into silence of which not all can be without data.
const PROBES_MIN: u64 = 6;
/// Bytes of a datagram that holds a ping and nothing else, at most.
const PING_BYTES_MAX_SEALED: u64 = 27;
/// See there.
const PING_BYTES_MAX_PLAIN: u64 = 15;

/// Since a session last heard something.
#[derive(Debug, Default)]
struct Silence {
    session: Option<PeerId>,
    since_ns: u64,
    before: Stats,
}

/// The watch over one life of a host.
#[derive(Debug, Default)]
pub struct Watch {
    /// Bytes from and to each address that did not prove itself.
    unproven: HashMap<SocketAddr, (u64, u64)>,
    /// Addresses that a session was with, or that the host itself turned to.
    proven: Vec<SocketAddr>,
    turns: (u64, u32),
    silence: Silence,
}

impl Watch {
    /// The host turned to an address, or has a session with it.
    pub fn prove(&mut self, address: SocketAddr) {
        if !self.proven.contains(&address) {
            self.proven.push(address);
        }
    }

    /// A datagram came.
    pub fn handle_arrival(&mut self, from: SocketAddr, bytes: usize) {
        self.unproven.entry(from).or_default().0 += bytes as u64;
    }

    /// A datagram goes out.
    pub fn handle_departure(&mut self, to: SocketAddr, bytes: usize) {
        let (came, went) = self.unproven.entry(to).or_default();
        *went += bytes as u64;
        assert!(
            self.proven.contains(&to) || *went <= *came * AMPLIFICATION_MAX,
            "{went} bytes to {to}, from where {came} came and no proof"
        );
    }

    /// The host asks for its next turn.
    pub fn handle_deadline(&mut self, now_ns: u64, at_ns: u64) {
        let (instant_ns, count) = &mut self.turns;
        if at_ns > now_ns {
            return;
        }
        *count = if *instant_ns == now_ns { *count + 1 } else { 1 };
        *instant_ns = now_ns;
        assert!(*count <= TURNS_MAX, "the deadline {at_ns} does not move on at {now_ns}");
    }

    /// Figures of a session.
    pub fn handle_stats(&mut self, now_ns: u64, session: PeerId, stats: &Stats, config: &Config) {
        self.judge_silence(now_ns, session, stats, config);
        let least = 2 * MESSAGE_BYTES_MAX;
        let buffers = config.send_bytes_max.max(least) + config.receive_bytes_max.max(least);
        // A message counts somewhat more than its length.
        let most = buffers + buffers / 4 + TABLE_BYTES_MAX;
        assert!(stats.memory_bytes <= most, "{} bytes of memory", stats.memory_bytes);
    }

    fn judge_silence(&mut self, now_ns: u64, session: PeerId, stats: &Stats, config: &Config) {
        let Silence { session: known, since_ns, before } = &mut self.silence;
        if *known != Some(session) || before.datagrams_received != stats.datagrams_received {
            (*known, *since_ns, *before) = (Some(session), now_ns, *stats);
            return;
        }
        let probes = stats.probes - before.probes;
        let interval_ns = (8 * stats.rtt.as_nanos() as u64).clamp(1, PROBE_INTERVAL_NS_MAX);
        let most = PROBES_GROWING_MAX + (now_ns - *since_ns) / interval_ns;
        assert!(probes <= most, "{probes} probes in {} ms of silence", (now_ns - *since_ns) / MS);
        let ping_bytes_max = match config.mode {
            Mode::Sealed(_) => PING_BYTES_MAX_SEALED,
            Mode::Plain => PING_BYTES_MAX_PLAIN,
        };
        let has_data =
            stats.messages_unacknowledged > 0 && stats.messages_sent == before.messages_sent;
        let is_mute = stats.bytes_sent - before.bytes_sent <= probes * ping_bytes_max;
        assert!(probes < PROBES_MIN || !has_data || !is_mute, "{probes} probes without data");
    }
}
