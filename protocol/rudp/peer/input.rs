//! A datagram of the session comes. Knows the wire and both halves, not the handshake.

use std::collections::VecDeque;

use super::{Ending, Peer};
use crate::event::{Ecn, Event};
use crate::receive::ack_timing::Urgency;
use crate::receive::inbox::Violation;
use crate::redundancy::encoder::Content as Source;
use crate::session::seal::Whole;
use crate::time::Time;
use crate::wire::Malformed;
use crate::wire::ack::Ack;
use crate::wire::frame::{Frame, Frames};
use crate::wire::header::{Shape, Truncated};
use crate::wire::varint::Reader;

/// What a datagram was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// Not authentic: nothing changed.
    Forged,
    /// It came before: nothing changed.
    Replayed,
    /// Authentic.
    Taken,
    /// Authentic, and the last of the session.
    Over(Ending),
}

impl Peer {
    /// Whether a datagram is under the keys of this session, which changes nothing. For the first
    /// one of a session: later ones are opened once, and in place.
    pub fn is_authentic(&mut self, header: &Truncated, datagram: &[u8]) -> bool {
        let whole = self.whole(header);
        self.opens.open(whole, &mut datagram.to_vec(), header.byte_count).is_some()
    }

    /// Takes a datagram whose header names this session.
    pub fn handle_datagram(
        &mut self,
        now: Time,
        ecn: Option<Ecn>,
        header: &Truncated,
        datagram: &mut [u8],
        events: &mut VecDeque<Event>,
    ) -> Input {
        let whole = self.whole(header);
        let datagram_len = datagram.len();
        if self.replay.is_seen(whole.number) {
            self.handle_again(whole, datagram, header.byte_count);
            return Input::Replayed;
        }
        let Some(body) = self.opens.open(whole, datagram, header.byte_count) else {
            return Input::Forged;
        };
        self.replay.insert(whole.number);
        self.received.recovered += self.restored.take_lost(now, self.rtt.smoothed());
        self.stats.datagrams_received += 1;
        self.stats.bytes_received += datagram_len as u64;
        if self.liveness.handle_heard(now) {
            events.push_back(Event::Recovered { peer: self.id });
        }
        if ecn == Some(Ecn::Ce) {
            self.received.congested += 1;
        }
        let duplicates = self.inbox.duplicates();
        let content = match self.handle_body(now, header, whole, body, events) {
            Ok(Content::Close) => return Input::Over(Ending::Closed),
            Ok(content) => content,
            Err(_) => return Input::Over(Ending::Lost),
        };
        let is_newest = self.arrivals.insert(now, whole.number);
        if content == Content::Quiet {
            self.acks.handle_quiet_packet(now, is_newest);
        } else {
            // Data that came again was sent again because no acknowledgement arrived.
            let is_again = self.inbox.duplicates() > duplicates;
            let urgency = Urgency {
                is_loss: self.arrivals.has_new_loss(now),
                is_asked_for: header.is_ack_at_once || is_again,
                ..self.arrivals.urgency()
            };
            self.acks.handle_packet(now, is_newest, urgency);
        }
        match self.restore(now, events) {
            Ok(()) => Input::Taken,
            Err(_) => Input::Over(Ending::Lost),
        }
    }

    fn whole(&self, header: &Truncated) -> Whole {
        Whole {
            number: header.number(self.replay.next()),
            first_message: header.first_message(self.inbox.next_id()),
        }
    }

    fn handle_body(
        &mut self,
        now: Time,
        header: &Truncated,
        whole: Whole,
        mut body: &[u8],
        events: &mut VecDeque<Event>,
    ) -> Result<Content, Broken> {
        let mut ack = None;
        if header.has_ack {
            let mut reader = Reader::new(body);
            ack = Some(Ack::read(&mut reader, self.sent.next_number())?);
            body = reader.rest();
        }
        let content = self.handle_frames(now, header.shape, whole, body, events)?;
        if let Some(first) = whole.first_message {
            let first_message = first as u32;
            let source = Source { shape: header.shape, first_message, frames: body };
            self.handle_source(now, whole.number, &source);
        }
        if let Some(ack) = ack {
            self.handle_ack(now, &ack);
            if self.outbox.take_writable() {
                events.push_back(Event::Writable { peer: self.id });
            }
        }
        Ok(content)
    }

    pub(super) fn handle_frames(
        &mut self,
        now: Time,
        shape: Shape,
        whole: Whole,
        body: &[u8],
        events: &mut VecDeque<Event>,
    ) -> Result<Content, Broken> {
        let mut content = Content::Quiet;
        let mut frames = Frames::new(body, shape, whole.first_message);
        while let Some(frame) = frames.next()? {
            content = Content::Eliciting;
            match frame {
                Frame::Message(message) => self.inbox.handle_message(&message, events)?,
                Frame::Window(limit) => self.outbox.raise_limit(limit),
                Frame::Close => return Ok(Content::Close),
                Frame::Repair(body) => self.handle_repair(now, whole.number, body)?,
                Frame::Ping => {}
            }
        }
        Ok(content)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// An acknowledgement at most.
    Quiet,
    /// Something that wants to be acknowledged.
    Eliciting,
    /// The end.
    Close,
}

/// An authentic peer sent what it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Bytes(#[from] Malformed),
    #[error(transparent)]
    Rules(#[from] Violation),
}
