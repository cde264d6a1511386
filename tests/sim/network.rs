//! Connections as two byte streams: latency, chunks cut anywhere, bounded buffers, ends and resets.
//! Knows bytes, not frames.

use std::collections::{BTreeMap, VecDeque};

use crate::agenda::{Agenda, Event};
use crate::dice::Dice;

/// A write arrives in about so many pieces at most, so that a large one stays affordable.
const PIECES_PER_WRITE: usize = 32;

/// A connection, from the first attempt on; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u32);

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The device's.
    Client,
    /// The node's.
    Server,
}

impl Side {
    /// The opposite one.
    pub fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// Where connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Which node.
    pub node: usize,
    /// Which of its reactors the kernel chooses.
    pub reactor: usize,
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A device, by its index.
    Device(usize),
    /// A pest, by its index.
    Pest(usize),
}

/// How a network behaves.
#[derive(Clone, Copy, Debug)]
pub struct NetPlan {
    /// Shortest way, us.
    pub latency_us_min: u64,
    /// Longest way, us.
    pub latency_us_max: u64,
    /// Bytes that arrive in one piece at most.
    pub chunk_bytes_max: usize,
    /// Bytes under way in one direction: the socket buffers of both ends.
    pub pipe_bytes_max: usize,
}

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// Bytes at the front that are there and can be read.
    arrived: usize,
    /// When the last piece arrives; the next one cannot come before.
    last_at_us: u64,
    /// The sender sends no more.
    is_ended: bool,
    /// The receiver can know it.
    end_arrived: bool,
}

/// One connection.
#[derive(Debug)]
pub struct Link {
    /// Whose it is.
    pub owner: Owner,
    /// Where it was sent to.
    pub address: Address,
    /// Accepted there by this start of a node.
    pub boot: Option<u32>,
    /// Slot of its connection there.
    pub conn_index: u32,
    /// Of its connection there.
    pub generation: u32,
    /// The client still has its end.
    pub client_open: bool,
    /// The server still has its end.
    pub server_open: bool,
    /// Nothing passes any more and nobody is told.
    is_swallowed: bool,
    to_server: Pipe,
    to_client: Pipe,
}

/// All connections.
#[derive(Debug)]
pub struct Network {
    /// How it behaves now.
    pub plan: NetPlan,
    links: BTreeMap<LinkId, Link>,
    next_link: u32,
}

impl Network {
    /// Without connections.
    pub fn new(plan: NetPlan) -> Self {
        Self { plan, links: BTreeMap::new(), next_link: 0 }
    }

    /// A new connection; it is not accepted yet.
    pub fn open(&mut self, owner: Owner, address: Address) -> LinkId {
        let id = LinkId(self.next_link);
        self.next_link += 1;
        let link = Link {
            owner,
            address,
            boot: None,
            conn_index: 0,
            generation: 0,
            client_open: true,
            server_open: false,
            is_swallowed: false,
            to_server: Pipe::default(),
            to_client: Pipe::default(),
        };
        self.links.insert(id, link);
        id
    }

    /// A connection that at least one side has not forgotten.
    pub fn link(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(&id)
    }

    /// Whether bytes can go both ways.
    pub fn is_alive(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(|link| {
            let is_ended = link.to_client.is_ended || link.to_server.is_ended;
            link.client_open && link.server_open && !link.is_swallowed && !is_ended
        })
    }

    /// Connections of which one end is open.
    pub fn open_links(&self) -> Vec<LinkId> {
        self.links.keys().copied().collect()
    }

    /// A way's length.
    pub fn latency_us(&self, dice: &mut Dice) -> u64 {
        dice.range(self.plan.latency_us_min, self.plan.latency_us_max)
    }

    /// Takes what the buffers have room for; returns how many bytes.
    pub fn write(
        &mut self,
        agenda: &mut Agenda,
        dice: &mut Dice,
        id: LinkId,
        from: Side,
        bytes: &[u8],
    ) -> usize {
        let plan = self.plan;
        let Some(link) = self.links.get_mut(&id) else { return bytes.len() };
        if link.is_swallowed {
            return bytes.len();
        }
        let to = from.other();
        let pipe = link.pipe(to);
        if pipe.is_ended {
            // The connection is cut and the writer does not know it yet.
            return bytes.len();
        }
        let len = bytes.len().min(plan.pipe_bytes_max.saturating_sub(pipe.bytes.len()));
        pipe.bytes.extend(&bytes[..len]);
        let chunk_bytes_max = plan.chunk_bytes_max.max(len / PIECES_PER_WRITE);
        let mut rest = len;
        while rest > 0 {
            let piece = dice.range(1, chunk_bytes_max.min(rest) as u64) as usize;
            rest -= piece;
            let at_us = agenda.now_us() + dice.range(plan.latency_us_min, plan.latency_us_max);
            pipe.last_at_us = pipe.last_at_us.max(at_us);
            agenda.at(pipe.last_at_us, Event::Arrive { link: id, to, len: piece, end: false });
        }
        len
    }

    /// One side sends no more: the other one reads an end after what is under way.
    pub fn end(&mut self, agenda: &mut Agenda, dice: &mut Dice, id: LinkId, from: Side) {
        let latency_us = self.latency_us(dice);
        let Some(link) = self.links.get_mut(&id) else { return };
        let to = from.other();
        let is_swallowed = link.is_swallowed;
        let pipe = link.pipe(to);
        if std::mem::replace(&mut pipe.is_ended, true) || is_swallowed {
            return;
        }
        pipe.last_at_us = pipe.last_at_us.max(agenda.now_us() + latency_us);
        agenda.at(pipe.last_at_us, Event::Arrive { link: id, to, len: 0, end: true });
    }

    /// Bytes or the end have come; false: the connection is forgotten.
    pub fn handle_arrival(&mut self, id: LinkId, to: Side, len: usize, end: bool) -> bool {
        let Some(link) = self.links.get_mut(&id) else { return false };
        let is_open = link.is_open(to);
        let pipe = link.pipe(to);
        // A cut takes bytes away that were announced.
        pipe.arrived = (pipe.arrived + len).min(pipe.bytes.len());
        pipe.end_arrived |= end;
        is_open
    }

    /// Reads up to `max` bytes. `None`: nothing is there. Empty: the end.
    pub fn read(&mut self, id: LinkId, by: Side, max: usize) -> Option<Vec<u8>> {
        let link = self.links.get_mut(&id)?;
        let pipe = link.pipe(by);
        let len = pipe.arrived.min(max);
        if len == 0 {
            return (pipe.end_arrived && pipe.bytes.is_empty()).then(Vec::new);
        }
        pipe.arrived -= len;
        Some(pipe.bytes.drain(..len).collect())
    }

    /// The network breaks here: of what is under way only a part arrives, cut at any byte, then
    /// both sides learn it, each after its own delay.
    pub fn cut(&mut self, agenda: &mut Agenda, dice: &mut Dice, id: LinkId, server_delay_us: u64) {
        let client_delay_us = self.latency_us(dice);
        let Some(link) = self.links.get_mut(&id) else { return };
        for side in [Side::Client, Side::Server] {
            let pipe = link.pipe(side);
            let under_way = pipe.bytes.len() - pipe.arrived;
            let lost = dice.range(0, under_way as u64) as usize;
            pipe.bytes.truncate(pipe.bytes.len() - lost);
            pipe.is_ended = true;
        }
        let client_at_us = link.to_client.last_at_us.max(agenda.now_us() + client_delay_us);
        let server_at_us = link.to_server.last_at_us.max(agenda.now_us() + server_delay_us);
        agenda.at(client_at_us, Event::Reset { link: id, to: Side::Client });
        agenda.at(server_at_us, Event::Reset { link: id, to: Side::Server });
    }

    /// One side closes its end. What it has not read is lost. `abort`: the other one is reset,
    /// else it reads an end after what is under way.
    pub fn close(
        &mut self,
        agenda: &mut Agenda,
        dice: &mut Dice,
        id: LinkId,
        side: Side,
        abort: bool,
    ) {
        let latency_us = self.latency_us(dice);
        let Some(link) = self.links.get_mut(&id) else { return };
        if !link.is_open(side) {
            return;
        }
        let is_swallowed = link.is_swallowed;
        match side {
            Side::Client => link.client_open = false,
            Side::Server => link.server_open = false,
        }
        if abort && !is_swallowed {
            let at_us = link.pipe(side.other()).last_at_us.max(agenda.now_us() + latency_us);
            agenda.at(at_us, Event::Reset { link: id, to: side.other() });
        } else {
            self.end(agenda, dice, id, side);
        }
        self.forget_if_closed(id);
    }

    /// From now on nothing passes and nobody is told.
    pub fn swallow(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.is_swallowed = true;
        for side in [Side::Client, Side::Server] {
            let pipe = link.pipe(side);
            pipe.bytes.truncate(pipe.arrived);
        }
    }

    /// A side has no end any more.
    pub fn forget(&mut self, id: LinkId, side: Side) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match side {
            Side::Client => link.client_open = false,
            Side::Server => link.server_open = false,
        }
        self.forget_if_closed(id);
    }

    fn forget_if_closed(&mut self, id: LinkId) {
        if self.links.get(&id).is_some_and(|link| !link.client_open && !link.server_open) {
            self.links.remove(&id);
        }
    }
}

impl Link {
    fn pipe(&mut self, to: Side) -> &mut Pipe {
        match to {
            Side::Client => &mut self.to_client,
            Side::Server => &mut self.to_server,
        }
    }

    fn is_open(&self, side: Side) -> bool {
        match side {
            Side::Client => self.client_open,
            Side::Server => self.server_open,
        }
    }
}
