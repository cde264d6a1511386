//! Congestion control: how much may be in flight and how fast it leaves. Knows no packets.

pub(crate) mod cubic;
pub(crate) mod model;
mod rounds;

use std::fmt;

use crate::send::rate::RateSample;
use crate::time::Time;

/// Bytes of a datagram as controllers count windows.
pub(crate) const DATAGRAM_BYTES: u64 = 1_200;
/// What may be in flight at the start. RFC 6928's ten packets are for unknown browsers; the nodes
/// of a cluster know each other, and the window is paced over the handshake's round trip.
pub(crate) const INITIAL_WINDOW: u64 = 200 * DATAGRAM_BYTES;
/// Never less in flight than this, so that acknowledgements keep coming.
pub(crate) const WINDOW_MIN: u64 = 4 * DATAGRAM_BYTES;

/// Something was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acked {
    /// Now.
    pub now: Time,
    /// Bytes acknowledged for the first time.
    pub bytes: u64,
    /// When the newest of the packets was sent.
    pub newest_sent: Time,
    /// Its round trip, the acknowledgement's delay included.
    pub rtt_ns: u64,
    /// The least round trip of late.
    pub least_rtt_ns: u64,
    /// The smoothed round trip.
    pub smoothed_rtt_ns: u64,
    /// The delivery rate, where it could be measured.
    pub rate: Option<RateSample>,
    /// Bytes delivered in total.
    pub delivered: u64,
    /// Bytes that were delivered when the newest of the packets was sent.
    pub delivered_before: u64,
    /// Bytes in flight before the acknowledgement.
    pub in_flight_before: u64,
    /// Bytes in flight now.
    pub in_flight: u64,
    /// Whether the sender has less to send than it may.
    pub is_app_limited: bool,
}

/// Something was taken for lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost {
    /// Now.
    pub now: Time,
    /// Bytes lost.
    pub bytes: u64,
    /// When the newest of the packets was sent.
    pub newest_sent: Time,
    /// Bytes in flight now.
    pub in_flight: u64,
}

/// A congestion controller.
pub(crate) trait Controller: fmt::Debug + Send {
    /// See `Acked`.
    fn handle_acked(&mut self, acked: &Acked);
    /// See `Lost`.
    fn handle_lost(&mut self, lost: &Lost);
    /// A router marked a packet that was sent at `sent` instead of dropping it (RFC 3168).
    fn handle_marked(&mut self, now: Time, sent: Time);
    /// Bytes that may be in flight.
    fn window(&self) -> u64;
    /// Bytes per second that may leave.
    fn pacing_rate(&self) -> u64;
}
