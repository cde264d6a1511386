//! The next datagram of a session: what goes in and how it is written. Knows no handshake.

use super::Peer;
use crate::config::DATAGRAM_BYTES_BASE;
use crate::event::{Ecn, Transmit};
use crate::planted::{self, Bug};
use crate::receive::ack_timing::ACK_DELAY_MAX_NS;
use crate::redundancy::encoder::{Content, REPAIR_OVERHEAD};
use crate::send::sent::{Chunk, Extras};
use crate::session::seal::Whole;
use crate::time::Time;
use crate::wire::ack::{Ack, Range};
use crate::wire::frame::{
    LENGTH_BYTES_MAX, MessageFrame, MessageWriter, PADDING, Part, overhead, put_close,
    put_lone_order, put_ping, put_window,
};
use crate::wire::header::{FirstMessage, Header, Shape};
use crate::wire::varint;

/// Bytes of control frames that stand before messages, at most.
const CONTROL_BYTES_MAX: usize = 2 + varint::LEN_MAX;
/// A socket that segments takes no more in one call than one datagram of IPv4 could hold.
const TRANSMIT_BYTES_MAX: usize = 65_507;
/// Two bytes of a packet number suffice while less than this is unacknowledged; half of what they
/// can tell apart, as the receiver may know more than we do.
const SHORT_NUMBERS: u64 = 1 << 14;
/// What small messages may have in flight above the window that large ones fill.
const OVERDRAFT_BYTES: u64 = 8 * DATAGRAM_BYTES_BASE as u64;
/// Probe timeouts in a row whose probes may be as long as other datagrams.
const PROBES_LARGE_MAX: u32 = 2;
/// Traffic whose datagrams are at least so far apart asks for an acknowledgement of each.
const SPARSE_GAP_NS: u64 = ACK_DELAY_MAX_NS / 4;
/// Longer gaps count as this one, so that the average follows when traffic begins.
pub(super) const GAP_NS_MAX: u64 = 5 * ACK_DELAY_MAX_NS;

/// Bytes of padding that make a datagram as long as the next one, at most: one system call sends many
/// datagrams of the same length. Messages that are longer leave larger gaps, and are not padded.
const PADDING_BYTES_MAX: usize = 256;

/// What a datagram will hold besides messages.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pads: bool,
    has_ack: bool,
    has_ping: bool,
    has_window: bool,
    is_probe: bool,
    is_last_for_now: bool,
    is_mtu_probe: bool,
    is_repair: bool,
}

impl Plan {
    /// Of a datagram that holds a repair and nothing else.
    pub(super) fn repair() -> Self {
        Self { is_repair: true, ..Self::default() }
    }
}

impl Peer {
    /// Appends the next datagrams, all but the last of the same length, if there is anything to send
    /// now.
    pub fn poll_transmit(
        &mut self,
        now: Time,
        segments_max: usize,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let pads = segments_max > 1;
        if !self.poll_datagram(now, pads, out) {
            return None;
        }
        let len = out.len();
        let mut count = 1;
        while count < segments_max
            && out.len() == count * len
            && out.len() + len <= TRANSMIT_BYTES_MAX
            && len == self.mtu.datagram_bytes()
            && self.outbox.has_pieces()
            && self.may_send(now)
            && self.poll_datagram(now, pads, out)
        {
            count += 1;
        }
        Some(Transmit {
            destination: self.address,
            segment_size: (count > 1).then_some(len),
            ecn: self.is_ecn.then_some(Ecn::Ect0),
        })
    }

    /// Appends the next datagram, if there is anything to send now. `pads`: one that is nearly full
    /// is filled up when another one follows.
    fn poll_datagram(&mut self, now: Time, pads: bool, out: &mut Vec<u8>) -> bool {
        let mut plan = Plan { is_probe: self.probe.is_pending(), ..Plan::default() };
        let number = self.sent.next_number();
        let mut header = Header {
            connection: self.connection,
            number,
            has_long_number: number - self.acked.next() >= SHORT_NUMBERS,
            has_ack: false,
            is_ack_at_once: false,
            first_message: None,
            shape: Shape::Frames,
        };
        let message_bytes = self.message_id_bytes();
        let fixed = 1
            + varint::len(u64::from(self.connection))
            + if header.has_long_number { 4 } else { 2 }
            + message_bytes
            + self.seals.tag_bytes();
        let may_send = self.may_send(now);
        if may_send && !plan.is_probe && self.put_repair(now, header, out) {
            return true;
        }
        let mut room = self.datagram_bytes_max(&plan) - fixed;
        if self.acks.deadline().is_some_and(|at| at <= now) {
            self.plan_ack(now, &mut plan, &mut room);
        }
        (plan.has_window, plan.has_ping) = (self.pending.window, self.pending.ping);
        if plan.has_window || plan.has_ping {
            room -= CONTROL_BYTES_MAX;
        }
        self.gather(now, may_send, &plan, &mut room);
        plan.has_ping |= plan.is_probe && self.pieces.is_empty();
        let is_eliciting = !self.pieces.is_empty() || plan.has_ping || plan.has_window;
        if !is_eliciting && !plan.has_ack {
            return self.put_mtu_probe(now, header, out);
        }
        if !plan.has_ack && self.acks.is_worth_a_ride(now) {
            self.plan_ack(now, &mut plan, &mut room);
        }
        if let Some(first) = self.pieces.first() {
            header.first_message =
                Some(FirstMessage { id: first.message, byte_count: message_bytes });
        }
        header.has_ack = plan.has_ack;
        // What repairs cover has to leave room for them.
        let may_be_full = pads && !self.is_redundant;
        plan.pads = may_be_full && self.pieces.len() > 1 && self.outbox.has_pieces();
        plan.is_last_for_now = is_eliciting && self.is_last_for_now(now, &plan);
        header.is_ack_at_once = plan.is_last_for_now;
        let len = self.write(now, &mut header, &plan, out);
        self.note_sent(now, &plan, len, is_eliciting);
        true
    }

    /// Appends a datagram that ends the session.
    pub fn put_close(&mut self, now: Time, out: &mut Vec<u8>) {
        let header = Header {
            connection: self.connection,
            number: self.sent.next_number(),
            has_long_number: true,
            has_ack: false,
            is_ack_at_once: false,
            first_message: None,
            shape: Shape::Frames,
        };
        let start = out.len();
        header.put(out);
        let body_at = out.len();
        put_close(out);
        self.seals.seal(Whole { number: header.number, first_message: None }, out, start, body_at);
        self.sent.push_quiet(now);
    }

    /// The path may have shrunk where probes are not answered, so later ones are short.
    fn datagram_bytes_max(&self, plan: &Plan) -> usize {
        if plan.is_probe && self.probe.count() > PROBES_LARGE_MAX {
            return DATAGRAM_BYTES_BASE;
        }
        self.mtu.datagram_bytes()
    }

    /// Appends a probe of the path's MTU, if it is time for one.
    fn put_mtu_probe(&mut self, now: Time, header: Header, out: &mut Vec<u8>) -> bool {
        if !self.outbox.has_large() {
            return false;
        }
        let Some(size) = self.mtu.probe_size(now) else { return false };
        let start = out.len();
        header.put(out);
        let body_at = out.len();
        put_ping(out);
        out.resize(start + size - self.seals.tag_bytes(), PADDING);
        self.seals.seal(Whole { number: header.number, first_message: None }, out, start, body_at);
        self.mtu.handle_probe_sent(size);
        let plan = Plan { is_mtu_probe: true, ..Plan::default() };
        self.note_sent(now, &plan, size, true);
        true
    }

    /// The bytes that tell the first message's id. The receiver knows an id between our oldest
    /// unacknowledged one and our next one.
    fn message_id_bytes(&self) -> usize {
        match self.outbox.next_id() - self.outbox.first_id() {
            0..=0x3fff => 2,
            0x4000..=0x3f_ffff => 3,
            _ => 4,
        }
    }

    /// Puts an acknowledgement into the plan, if it fits.
    fn plan_ack(&mut self, now: Time, plan: &mut Plan, room: &mut usize) {
        let delay_ns = self.acks.delay_ns(now);
        let Some(ranges) = self.arrivals.report() else { return };
        let ack = if planted::is_active(Bug::AckOfTheMissing) {
            let filled =
                ranges.map(|range| Range { first: range.first.saturating_sub(1), ..range });
            Ack::new(delay_ns, self.received, filled.take(1))
        } else {
            Ack::new(delay_ns, self.received, ranges)
        };
        self.ack_bytes.clear();
        ack.put(&mut self.ack_bytes);
        if let Some(rest) = room.checked_sub(self.ack_bytes.len()) {
            *room = rest;
            plan.has_ack = true;
            self.acks.handle_reported();
        }
    }

    /// Chooses the pieces of messages.
    fn gather(&mut self, now: Time, may_send: bool, plan: &Plan, room: &mut usize) {
        self.pieces.clear();
        if plan.is_probe {
            self.gather_probe(room);
            return;
        }
        let mut is_small_only = !may_send;
        if !may_send && !self.may_overdraw() {
            return;
        }
        // Repairs cover small messages and parts of large ones apart.
        let is_protected = self.repair_interval().is_some();
        if is_protected {
            *room -= REPAIR_OVERHEAD;
        }
        let mut expected = if may_send { self.gather_copies(now, room) } else { None };
        is_small_only |= is_protected && expected.is_some();
        while let Some(piece) = self.outbox.next_piece(*room, expected, is_small_only) {
            is_small_only |= is_protected;
            self.pieces.push(piece);
            let used = self.framed_len(piece, expected.unwrap_or(piece.message));
            *room = room.saturating_sub(used + LENGTH_BYTES_MAX);
            expected = Some(piece.message + 1);
            if is_protected && !self.outbox.message_of(piece).1 {
                break;
            }
        }
        let is_drained = self.pieces.is_empty() || (*room > 0 && !self.outbox.has_pieces());
        if may_send && is_drained {
            self.rate.handle_app_limited(self.sent.in_flight());
        }
    }

    /// Whether congestion control lets a datagram leave now.
    fn may_send(&self, now: Time) -> bool {
        self.sent.in_flight() < self.controller.window()
            && self.pacer.next(self.controller.pacing_rate()) <= now
    }

    /// Whether small messages may go although the window is full: large ones fill it, and they are
    /// not to wait for those.
    fn may_overdraw(&mut self) -> bool {
        self.sent.in_flight() < self.controller.window() + OVERDRAFT_BYTES
            && self.outbox.has_large()
            && self.outbox.has_small()
    }

    /// A probe carries the oldest and the newest data that is missing; where that holds no messages,
    /// such as a change of the window, what waits to be sent.
    fn gather_probe(&mut self, room: &mut usize) {
        if planted::is_active(Bug::ProbeWithoutData) {
            return;
        }
        let mut holding = self.sent.holding();
        let (oldest, newest) = (holding.next(), holding.next_back());
        let oldest = oldest.into_iter().flat_map(|packet| self.sent.chunks(packet));
        let newest = newest.into_iter().flat_map(|packet| self.sent.chunks(packet).rev());
        let wanted: Vec<Chunk> = oldest.chain(newest).collect();
        for chunk in wanted {
            // The newest may be a probe that held the oldest: once is enough.
            if self.pieces.contains(&chunk) {
                continue;
            }
            if let Some(piece) = self.outbox.copy_piece(chunk, *room) {
                let used = self.framed_len(piece, 0);
                self.pieces.push(piece);
                *room = room.saturating_sub(used + LENGTH_BYTES_MAX);
            }
        }
        // All of those may have been acknowledged with other packets that held the same.
        if self.pieces.is_empty() {
            let chunks = self.sent.holding().flat_map(|packet| self.sent.chunks(packet));
            let missing = chunks.filter_map(|chunk| self.outbox.copy_piece(chunk, *room)).next();
            self.pieces.extend(missing);
        }
        if self.pieces.is_empty() {
            self.pieces.extend(self.outbox.next_piece(*room, None, false));
        }
    }

    /// Bytes that a piece takes with its frame.
    pub(super) fn framed_len(&self, piece: Chunk, expected: u64) -> usize {
        let (bytes, total, order) = self.outbox.piece(piece);
        let part = total.map(|total| Part { total, offset: piece.offset });
        bytes.len() + overhead(piece.message, expected, order, part)
    }

    /// Whether the peer should acknowledge at once, because it may wait for the next datagram for
    /// long, or because we wait for the acknowledgement.
    fn is_last_for_now(&mut self, now: Time, plan: &Plan) -> bool {
        if plan.is_probe || plan.has_ping || !self.rtt.is_known() {
            return true;
        }
        let window = self.controller.window();
        if self.sent.in_flight() + self.mtu.datagram_bytes() as u64 >= window {
            return true;
        }
        let gap_ns = self.data_gap_ns.max(now.nanos_since(self.data_sent));
        gap_ns >= SPARSE_GAP_NS && !self.outbox.has_pieces()
    }

    /// Writes and protects what was planned; gives its length.
    fn write(&mut self, now: Time, header: &mut Header, plan: &Plan, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        header.put(out);
        let body_at = out.len();
        if plan.has_ack {
            out.extend_from_slice(&self.ack_bytes);
        }
        let frames_at = out.len();
        if plan.has_ping {
            put_ping(out);
        }
        if plan.has_window {
            put_window(out, self.inbox.raise_limit());
        }
        if let [piece] = self.pieces[..]
            && let (bytes, None, order) = self.outbox.piece(piece)
            && !plan.has_ping
            && !plan.has_window
        {
            header.shape = put_lone_order(out, order);
            out[start] = header.flags();
            out.extend_from_slice(bytes);
        } else if let Some(first) = self.pieces.first() {
            let full = start + self.mtu.datagram_bytes() - self.seals.tag_bytes();
            let mut writer = MessageWriter::new(first.message);
            for (index, piece) in self.pieces.iter().enumerate() {
                let (data, total, order) = self.outbox.piece(*piece);
                let part = total.map(|total| Part { total, offset: piece.offset });
                let frame = MessageFrame { id: piece.message, order, part, data };
                writer.put(out, &frame, index + 1 == self.pieces.len() && !plan.pads);
            }
            if plan.pads && out.len() < full && full - out.len() <= PADDING_BYTES_MAX {
                out.resize(full, PADDING);
            }
        }
        let first_message = header.first_message.map(|first| first.id);
        if let Some(first) = first_message
            && self.is_redundant
        {
            let frames = &out[frames_at..];
            let content = Content { shape: header.shape, first_message: first as u32, frames };
            self.protect(now, header.number, &content);
        }
        self.seals.seal(Whole { number: header.number, first_message }, out, start, body_at);
        out.len() - start
    }

    pub(super) fn note_sent(&mut self, now: Time, plan: &Plan, len: usize, is_eliciting: bool) {
        self.stats.datagrams_sent += 1;
        self.stats.bytes_sent += len as u64;
        if !is_eliciting {
            self.stats.acks_only_sent += 1;
            self.sent.push_quiet(now);
            return;
        }
        let extras = Extras {
            window: plan.has_window,
            mtu_probe: plan.is_mtu_probe,
            at_once: plan.is_last_for_now,
            repair: plan.is_repair,
        };
        let stamp = self.rate.stamp(now, self.sent.in_flight());
        self.sent.push(now, stamp, len, &self.pieces, extras);
        self.pacer.handle_sent(now, len, self.controller.pacing_rate());
        if plan.is_probe {
            self.probe.handle_sent();
        }
        if plan.has_ping {
            self.pending.ping = false;
        }
        if plan.has_window {
            self.pending.window = false;
        }
        if !self.pieces.is_empty() {
            let gap_ns = now.nanos_since(self.data_sent).min(GAP_NS_MAX);
            self.data_sent = now;
            self.data_gap_ns = self.data_gap_ns - self.data_gap_ns / 8 + gap_ns / 8;
        }
    }
}
