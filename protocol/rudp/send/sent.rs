//! Packets that were sent, in a ring by number. Knows what they held, not what that means.
//!
//! What is outstanding forms a list in the order of sending, so that neither an acknowledgement nor
//! a look for losses walks over what is settled.

use std::collections::VecDeque;

use crate::time::Time;

/// No packet.
const NONE: u64 = u64::MAX;

/// A piece of a message that a packet held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The message.
    pub message: u64,
    /// Where the piece begins.
    pub offset: u32,
    /// Bytes of it.
    pub len: u32,
}

/// The state of delivery when a packet was sent (draft-cheng-iccrg-delivery-rate-estimation 3.1.2).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stamp {
    /// Bytes delivered by then.
    pub delivered: u64,
    /// When the latest of them was acknowledged.
    pub delivered_at: Time,
    /// When the packet was sent whose acknowledgement that was.
    pub first_sent: Time,
    /// Whether there was less to send than the window allowed.
    pub is_app_limited: bool,
}

/// What a packet held besides pieces of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extras {
    /// A window, which must be told again if it is lost.
    pub window: bool,
    /// A probe of the path's MTU, whose loss says nothing of congestion.
    pub mtu_probe: bool,
    /// It asks for an acknowledgement at once.
    pub at_once: bool,
    /// A repair: what it brings back is acknowledged with it.
    pub repair: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is expected for it: it held acknowledgements only, or it is settled.
    Settled,
    Outstanding,
    /// Taken for lost at this time; remembered for a while.
    Lost(Time),
}

/// A packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    /// When it was sent.
    pub sent: Time,
    /// See there.
    pub stamp: Stamp,
    /// UDP payload bytes.
    pub bytes: u16,
    /// See there.
    pub extras: Extras,
    state: State,
    chunk_count: u16,
    first_chunk: u64,
    before: u64,
    after: u64,
}

/// What became of a packet that an acknowledgement names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Settled {
    /// It is acknowledged now.
    Acknowledged(Packet),
    /// It is acknowledged now, after it was taken for lost.
    WasTakenForLost(Packet),
    /// Nothing new.
    Known,
}

/// The ring.
#[derive(Debug)]
pub(crate) struct Sent {
    base: u64,
    ring: VecDeque<Packet>,
    first_chunk: u64,
    chunks: VecDeque<Chunk>,
    oldest: u64,
    newest: u64,
    outstanding_count: usize,
    in_flight: u64,
}

impl Sent {
    /// Of a new session.
    pub fn new() -> Self {
        Self {
            base: 0,
            ring: VecDeque::new(),
            first_chunk: 0,
            chunks: VecDeque::new(),
            oldest: NONE,
            newest: NONE,
            outstanding_count: 0,
            in_flight: 0,
        }
    }

    /// The number of the next packet.
    pub fn next_number(&self) -> u64 {
        self.base + self.ring.len() as u64
    }

    /// Bytes of the packets that are outstanding.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Notes that the next packet is sent, and that an acknowledgement is expected for it.
    pub fn push(
        &mut self,
        sent: Time,
        stamp: Stamp,
        bytes: usize,
        chunks: &[Chunk],
        extras: Extras,
    ) {
        let number = self.next_number();
        self.ring.push_back(Packet {
            sent,
            stamp,
            bytes: bytes as u16,
            extras,
            state: State::Outstanding,
            chunk_count: chunks.len() as u16,
            first_chunk: self.first_chunk + self.chunks.len() as u64,
            before: self.newest,
            after: NONE,
        });
        self.chunks.extend(chunks);
        match self.newest {
            NONE => self.oldest = number,
            newest => self.packet_mut(newest).after = number,
        }
        self.newest = number;
        self.outstanding_count += 1;
        self.in_flight += bytes as u64;
    }

    /// Notes that the next packet is sent, and that nothing is expected for it.
    pub fn push_quiet(&mut self, sent: Time) {
        if self.ring.is_empty() {
            self.base += 1;
            return;
        }
        self.ring.push_back(Packet {
            sent,
            stamp: Stamp::default(),
            bytes: 0,
            extras: Extras::default(),
            state: State::Settled,
            chunk_count: 0,
            first_chunk: self.first_chunk + self.chunks.len() as u64,
            before: NONE,
            after: NONE,
        });
    }

    /// The oldest number that is remembered.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Whether this packet is outstanding.
    pub fn is_outstanding(&self, number: u64) -> bool {
        let packet = number.checked_sub(self.base).and_then(|index| self.ring.get(index as usize));
        packet.is_some_and(|packet| packet.state == State::Outstanding)
    }

    /// The oldest outstanding packet.
    pub fn oldest(&self) -> Option<(u64, &Packet)> {
        self.outstanding(self.oldest)
    }

    /// The newest outstanding packet.
    pub fn newest(&self) -> Option<(u64, &Packet)> {
        self.outstanding(self.newest)
    }

    /// The outstanding packets that hold pieces of messages, oldest first.
    pub fn holding(&self) -> impl DoubleEndedIterator<Item = &Packet> {
        let is_holding =
            |packet: &&Packet| packet.state == State::Outstanding && packet.chunk_count > 0;
        self.ring.iter().filter(is_holding)
    }

    /// The pieces of messages that a packet held which is remembered.
    pub fn chunks(&self, packet: &Packet) -> impl DoubleEndedIterator<Item = Chunk> {
        let first = (packet.first_chunk - self.first_chunk) as usize;
        self.chunks.range(first..first + usize::from(packet.chunk_count)).copied()
    }

    /// An acknowledgement names this number.
    pub fn acknowledge(&mut self, number: u64) -> Settled {
        let Some(index) = number.checked_sub(self.base) else { return Settled::Known };
        let Some(packet) = self.ring.get(index as usize).copied() else { return Settled::Known };
        match packet.state {
            State::Settled => return Settled::Known,
            State::Outstanding => self.unlink(number),
            State::Lost(_) => {
                self.packet_mut(number).state = State::Settled;
                return Settled::WasTakenForLost(packet);
            }
        }
        self.packet_mut(number).state = State::Settled;
        Settled::Acknowledged(packet)
    }

    /// An outstanding packet is taken for lost.
    pub fn lose(&mut self, now: Time, number: u64) -> Packet {
        self.unlink(number);
        let packet = self.packet_mut(number);
        packet.state = State::Lost(now);
        *packet
    }

    /// Forgets what is settled at the front of the ring, and losses from before `horizon`.
    pub fn forget(&mut self, horizon: Time) {
        while let Some(packet) = self.ring.front() {
            match packet.state {
                State::Outstanding => return,
                State::Lost(at) if at > horizon => return,
                State::Settled | State::Lost(_) => {}
            }
            self.first_chunk += u64::from(packet.chunk_count);
            self.chunks.drain(..usize::from(packet.chunk_count));
            self.ring.pop_front();
            self.base += 1;
        }
    }

    /// Bytes of memory that are held.
    pub fn memory_bytes(&self) -> usize {
        self.ring.capacity() * size_of::<Packet>() + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// Gives memory back that a burst took.
    pub fn shrink(&mut self) {
        self.ring.shrink_to(8);
        self.chunks.shrink_to(8);
    }

    /// Asserts what always holds.
    pub fn invariants(&self) {
        let outstanding = self.ring.iter().filter(|packet| packet.state == State::Outstanding);
        let (count, bytes) = outstanding
            .fold((0, 0), |(count, bytes), packet| (count + 1, bytes + u64::from(packet.bytes)));
        assert_eq!((self.outstanding_count, self.in_flight), (count, bytes));
        let (mut listed, mut next, mut before) = (0, self.oldest, NONE);
        while next != NONE {
            let packet = self.packet(next);
            assert!(packet.state == State::Outstanding && packet.before == before);
            (before, next, listed) = (next, packet.after, listed + 1);
        }
        assert_eq!((listed, before), (count, self.newest));
        let chunks: usize = self.ring.iter().map(|packet| usize::from(packet.chunk_count)).sum();
        assert_eq!(chunks, self.chunks.len());
    }

    fn outstanding(&self, number: u64) -> Option<(u64, &Packet)> {
        (number != NONE).then(|| (number, self.packet(number)))
    }

    fn packet(&self, number: u64) -> &Packet {
        &self.ring[(number - self.base) as usize]
    }

    fn packet_mut(&mut self, number: u64) -> &mut Packet {
        &mut self.ring[(number - self.base) as usize]
    }

    fn unlink(&mut self, number: u64) {
        let packet = *self.packet(number);
        match packet.before {
            NONE => self.oldest = packet.after,
            before => self.packet_mut(before).after = packet.after,
        }
        match packet.after {
            NONE => self.newest = packet.before,
            after => self.packet_mut(after).before = packet.before,
        }
        self.outstanding_count -= 1;
        self.in_flight -= u64::from(packet.bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn push(sent: &mut Sent, time: u64, message: u64) {
        let chunks = [Chunk { message, offset: 0, len: 10 }; 2];
        sent.push(Time(time), Stamp::default(), 100, &chunks, Extras::default());
    }

    #[test]
    fn a_packet_is_settled_once() {
        let mut sent = Sent::new();
        push(&mut sent, 1, 7);
        push(&mut sent, 2, 8);
        assert!(matches!(sent.acknowledge(1), Settled::Acknowledged(_)));
        assert!(matches!(sent.acknowledge(1), Settled::Known));
        assert!(matches!(sent.acknowledge(2), Settled::Known));
        let lost = sent.lose(Time(9), 0);
        assert_eq!(sent.chunks(&lost).next().unwrap().message, 7);
        sent.forget(Time(8));
        assert_eq!(sent.base(), 0);
        assert!(matches!(sent.acknowledge(0), Settled::WasTakenForLost(_)));
        sent.forget(Time(8));
        assert_eq!((sent.base(), sent.next_number(), sent.in_flight()), (2, 2, 0));
    }

    #[test]
    fn packets_that_expect_nothing_are_not_kept() {
        let mut sent = Sent::new();
        (0..1_000).for_each(|time| sent.push_quiet(Time(time)));
        assert_eq!((sent.next_number(), sent.memory_bytes()), (1_000, 0));
        push(&mut sent, 1_000, 1);
        sent.push_quiet(Time(1_001));
        assert_eq!(sent.newest().unwrap().0, 1_000);
        assert!(matches!(sent.acknowledge(1_001), Settled::Known));
        assert!(matches!(sent.acknowledge(1_000), Settled::Acknowledged(_)));
        sent.forget(Time::ZERO);
        assert_eq!(sent.base(), 1_002);
    }

    proptest! {
        #[test]
        fn the_list_and_the_sums_hold_whatever_happens(
            steps in proptest::collection::vec((0u8..5, 0u64..40), 1..200),
        ) {
            let mut sent = Sent::new();
            for (time, (step, number)) in steps.into_iter().enumerate() {
                let time = time as u64;
                match step {
                    0 | 1 => push(&mut sent, time, number),
                    2 => sent.push_quiet(Time(time)),
                    3 => {
                        sent.acknowledge(number);
                    }
                    _ => {
                        let oldest = sent.oldest().map(|(number, _)| number);
                        if let Some(oldest) = oldest {
                            sent.lose(Time(time), oldest);
                        }
                    }
                }
                sent.forget(Time(time.saturating_sub(10)));
                sent.invariants();
            }
        }
    }
}
