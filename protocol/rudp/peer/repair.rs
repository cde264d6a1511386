//! Redundancy of a session: when repairs leave, and what those that come bring back. Knows no code.

use std::collections::VecDeque;

use super::input::Broken;
use super::output::Plan;
use super::{Peer, input};
use crate::config::DATAGRAM_BYTES_BASE;
use crate::event::Event;
use crate::receive::ack_timing::Urgency;
use crate::redundancy::decoder::content;
use crate::redundancy::encoder::{Content, Encoder};
use crate::session::seal::Whole;
use crate::time::Time;
use crate::wire::frame::{FRAME_OVERHEAD_MAX, LENGTH_BYTES_MAX, put_repair};
use crate::wire::header::{Header, expand};

/// The window over datagrams of small messages: its repairs are small.
const SMALL: usize = 0;
/// The window over parts of messages.
const LARGE: usize = 1;
/// Messages above some 16 datagrams are not protected.
const PROTECTED_BYTES_MAX: usize = 16 * DATAGRAM_BYTES_BASE;

impl Peer {
    /// Datagrams that one repair is to follow, if there is to be redundancy.
    pub(super) fn repair_interval(&self) -> Option<f64> {
        if !self.is_redundant {
            return None;
        }
        self.policy.interval(self.rtt.smoothed(), self.data_gap_ns)
    }

    /// When a repair or a copy is due although nothing is sent.
    pub(super) fn redundancy_deadline(&self) -> Option<Time> {
        let is_active = self.repair_interval().is_some();
        let repairs = self.encoders.iter().filter(|_| is_active).filter_map(Encoder::deadline);
        repairs.chain(self.copies.deadline()).min()
    }

    /// Chooses copies that are due of what was sent again; the id that needs no mention after them.
    pub(super) fn gather_copies(&mut self, now: Time, room: &mut usize) -> Option<u64> {
        let mut expected = None;
        while let Some(bytes_max) = room.checked_sub(FRAME_OVERHEAD_MAX)
            && let Some(chunk) = self.copies.poll(now, bytes_max)
        {
            if let Some(piece) = self.outbox.copy_piece(chunk, *room) {
                self.pieces.push(piece);
                let used = self.framed_len(piece, expected.unwrap_or(piece.message));
                *room = room.saturating_sub(used + LENGTH_BYTES_MAX);
                expected = Some(piece.message + 1);
            }
        }
        expected
    }

    /// Remembers a datagram that is sent, if repairs are to cover it: one of small messages, or one
    /// with a part of a message of a few datagrams. Larger ones gain nothing from a round trip.
    pub(super) fn protect(&mut self, now: Time, number: u64, content: &Content<'_>) {
        if self.repair_interval().is_none() {
            return;
        }
        let of_pieces = self.pieces.iter().map(|piece| self.outbox.message_of(*piece));
        let largest = of_pieces.filter(|(_, is_whole)| !is_whole).map(|(len, _)| len).max();
        match largest {
            None => self.encoders[SMALL].push(now, number, content),
            Some(len) if len <= PROTECTED_BYTES_MAX => {
                self.encoders[LARGE].push(now, number, content);
            }
            Some(_) => {}
        }
    }

    /// Appends a repair, if one is due.
    pub(super) fn put_repair(&mut self, now: Time, header: Header, out: &mut Vec<u8>) -> bool {
        let Some(interval) = self.repair_interval() else {
            self.encoders.iter_mut().for_each(Encoder::clear);
            return false;
        };
        let is_missing = |number| self.sent.is_outstanding(number);
        for encoder in &mut self.encoders {
            if !encoder.is_due(now, interval) {
                continue;
            }
            let start = out.len();
            header.put(out);
            let body_at = out.len();
            put_repair(out);
            if !encoder.put_repair(header.number, interval, is_missing, out) {
                out.truncate(start);
                continue;
            }
            let whole = Whole { number: header.number, first_message: None };
            self.seals.seal(whole, out, start, body_at);
            self.stats.repairs_sent += 1;
            self.pieces.clear();
            self.note_sent(now, &Plan::repair(), out.len() - start, true);
            return true;
        }
        false
    }

    /// Takes a repair.
    pub(super) fn handle_repair(
        &mut self,
        now: Time,
        number: u64,
        body: &[u8],
    ) -> Result<(), Broken> {
        let replay = &self.replay;
        Ok(self.decoder.handle_repair(now, number, body, |source| replay.is_seen(source))?)
    }

    /// A datagram came that came before, or in its stead a repair. If it was the repair, and the
    /// datagram is authentic, it was not lost.
    pub(super) fn handle_again(&mut self, whole: Whole, datagram: &mut [u8], body_at: usize) {
        if self.restored.is_watched(whole.number)
            && self.opens.open(whole, datagram, body_at).is_some()
        {
            self.restored.handle_arrival(whole.number);
        }
    }

    /// A datagram with messages came, which repairs may combine with others.
    pub(super) fn handle_source(&mut self, now: Time, number: u64, content: &Content<'_>) {
        if self.decoder.is_active(now) {
            self.decoder.handle_source(number, content);
        }
    }

    /// Takes what repairs have brought back as if it had come.
    pub(super) fn restore(
        &mut self,
        now: Time,
        events: &mut VecDeque<Event>,
    ) -> Result<(), Broken> {
        while let Some((number, symbol)) = self.decoder.poll_solved() {
            if self.replay.is_seen(number) {
                continue;
            }
            let content = content(&symbol)?;
            let expected = self.inbox.next_id();
            let first_message = expand(u64::from(content.first_message), 32, expected);
            self.replay.insert(number);
            let whole = Whole { number, first_message: Some(first_message) };
            let done = self.handle_frames(now, content.shape, whole, content.frames, events)?;
            if done == input::Content::Close {
                return Ok(());
            }
            self.received.recovered += self.restored.push(now, number);
            self.handle_source(now, number, &content);
            let is_newest = self.arrivals.insert_restored(now, number);
            // Its sender is about to send it again.
            let urgency = Urgency { is_asked_for: true, ..Urgency::default() };
            self.acks.handle_packet(now, is_newest, urgency);
        }
        Ok(())
    }
}
