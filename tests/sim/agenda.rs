//! Virtual time: what happens when. Knows the events' order, not what they do.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use aldis_directory::Lookup;
use aldis_logic::job::{DirectoryRequest, HashRequest, LocateRequest, ReadReply};
use aldis_logic::{Delivery, Now};

use crate::mail::Mail;
use crate::nemesis::Trouble;
use crate::network::{LinkId, Side};

/// Unix time at the start of every simulation, ms: after the epoch of message ids.
const UNIX_MS_AT_START: u64 = 1_790_000_000_000;

/// Something that happens at a moment of virtual time. What belongs to a node carries the number
/// of its start (`boot`), which no two starts of any nodes share: what outlives a crash is
/// discarded.
#[derive(Debug)]
pub enum Event {
    /// A device's deadline.
    DeviceTimer(usize),
    /// The owner of a device does something.
    DeviceActs(usize),
    /// The owner of a stopped device looks at it.
    OwnerLooks(usize),
    /// A pest does its next thing.
    PestActs(usize),
    /// A connection attempt reaches the server.
    Accept(LinkId),
    /// The answer to a connection attempt reaches the client.
    ConnectDone(LinkId),
    /// Bytes, then perhaps the end of the stream, reach one side.
    Arrive {
        /// Of which connection.
        link: LinkId,
        /// Who gets them.
        to: Side,
        /// How many.
        len: usize,
        /// Nothing follows.
        end: bool,
    },
    /// One side learns that the connection is broken.
    Reset {
        /// Which.
        link: LinkId,
        /// Who learns it.
        to: Side,
    },
    /// A slow reader reads again.
    ClientReads(LinkId),
    /// A reactor's turn.
    Turn {
        /// Of this start of the node.
        boot: u32,
        /// Which.
        reactor: usize,
    },
    /// Mail on the lane with reserved slots.
    Mail {
        /// Of this start of the node.
        boot: u32,
        /// To which reactor.
        reactor: usize,
        /// What.
        mail: Mail,
    },
    /// Deliveries, already accepted by the bounded lane.
    Deliveries {
        /// Of this start of the node.
        boot: u32,
        /// To which reactor.
        reactor: usize,
        /// What they weigh there.
        weight: usize,
        /// What.
        deliveries: Vec<Delivery>,
    },
    /// The writer looks at its queue.
    WriterTakes(u32),
    /// The writer's transaction ends.
    WriterSettles(u32),
    /// The writer sends replies and deliveries on their way.
    WriterSends(u32),
    /// A reader looks at the queue.
    ReaderTakes(u32),
    /// A reader has its snapshot and answers.
    ReaderAnswers(u32, ReadReply),
    /// The password pool is done with a job.
    HashDone(u32, HashRequest),
    /// The directory carries out a job.
    DirectoryDone(u32, DirectoryRequest),
    /// The directory answers a question of the link.
    LookedUp(u32, Lookup),
    /// The directory answers a session.
    Locate(u32, LocateRequest),
    /// The directory does what is due by itself.
    DirectoryTick(u32),
    /// A turn of the link.
    LinkTurn(u32),
    /// A datagram between nodes arrives, or goes on.
    Wire,
    /// A stopped node goes on.
    Continue(u32),
    /// Something goes wrong.
    Fault,
    /// Something between the nodes goes wrong.
    ClusterFault,
    /// One of these is over.
    Relief(Trouble),
    /// A node starts again.
    Boot(usize),
    /// The drain of the node is over.
    DrainEnds(u32),
    /// Nothing: the time itself is waited for.
    Nothing,
}

impl Event {
    /// The start of a node that it belongs to; `None`: it happens outside of nodes.
    pub fn boot(&self) -> Option<u32> {
        match self {
            Event::Turn { boot, .. }
            | Event::Mail { boot, .. }
            | Event::Deliveries { boot, .. }
            | Event::WriterTakes(boot)
            | Event::WriterSettles(boot)
            | Event::WriterSends(boot)
            | Event::ReaderTakes(boot)
            | Event::ReaderAnswers(boot, _)
            | Event::HashDone(boot, _)
            | Event::DirectoryDone(boot, _)
            | Event::LookedUp(boot, _)
            | Event::Locate(boot, _)
            | Event::DirectoryTick(boot)
            | Event::LinkTurn(boot)
            | Event::Continue(boot)
            | Event::DrainEnds(boot) => Some(*boot),
            _ => None,
        }
    }
}

/// See the file's first line.
#[derive(Debug, Default)]
pub struct Agenda {
    /// Since the start, us.
    now_us: u64,
    heap: BinaryHeap<Entry>,
    next_order: u64,
}

#[derive(Debug)]
struct Entry {
    at_us: u64,
    /// Events of the same moment happen in the order in which they were planned.
    order: u64,
    event: Event,
}

impl Agenda {
    /// Since the start, us.
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Since the start, ms: the clock of clients.
    pub fn now_ms(&self) -> u64 {
        self.now_us / 1_000
    }

    /// Unix time, ms.
    pub fn unix_ms(&self) -> u64 {
        UNIX_MS_AT_START + self.now_ms()
    }

    /// The clock of services.
    pub fn now(&self) -> Now {
        Now { mono_ms: self.now_ms(), unix_ms: self.unix_ms() }
    }

    /// Plans an event `delay_us` from now.
    pub fn after(&mut self, delay_us: u64, event: Event) {
        self.at(self.now_us + delay_us, event);
    }

    /// Plans an event; one in the past happens next.
    pub fn at(&mut self, at_us: u64, event: Event) {
        let entry = Entry { at_us: at_us.max(self.now_us), order: self.next_order, event };
        self.next_order += 1;
        self.heap.push(entry);
    }

    /// The next event; time moves to it.
    pub fn pop(&mut self) -> Option<Event> {
        let entry = self.heap.pop()?;
        self.now_us = entry.at_us;
        Some(entry.event)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The heap's greatest entry is the earliest one.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_us, other.order).cmp(&(self.at_us, self.order))
    }
}
