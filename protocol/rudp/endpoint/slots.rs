//! The table of sessions and of those being set up. Knows what they are, not what they do.

use std::net::SocketAddr;

use crate::crypto::RANDOM_BYTES;
use crate::hash::NumberMap;
use crate::ids::{NodeId, PeerId};
use crate::peer::Peer;
use crate::time::Time;
use crate::wire::hello::COOKIE_BYTES;

/// A session that we began and the other side did not accept yet.
#[derive(Debug)]
pub(crate) struct Connecting {
    /// Whom.
    pub node: NodeId,
    /// Where.
    pub address: SocketAddr,
    /// Our random bytes.
    pub random: [u8; RANDOM_BYTES],
    /// From RETRY.
    pub cookie: Option<[u8; COOKIE_BYTES]>,
    /// When we give up.
    pub until: Time,
    /// When HELLO goes out (again).
    pub next: Time,
    /// HELLOs sent with what we know now, and when the last one was.
    pub tries: u32,
    /// See `tries`.
    pub sent: Time,
}

/// A session that the other side began and did not use yet.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The session as it will be.
    pub peer: Peer,
    /// Of the HELLO that was accepted.
    pub initiator_random: [u8; RANDOM_BYTES],
    /// Ours.
    pub responder_random: [u8; RANDOM_BYTES],
    /// Whether the other side has this session's id from `connect`.
    pub is_ours: bool,
    /// When it is forgotten.
    pub until: Time,
}

/// A session that we closed.
#[derive(Debug)]
pub(crate) struct Closing {
    /// For its keys.
    pub peer: Peer,
    /// When the end is said again.
    pub next: Time,
    /// How often it was said.
    pub tries: u32,
}

/// What a slot holds.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Nothing.
    Free,
    /// See there.
    Connecting(Box<Connecting>),
    /// See there.
    Accepted(Box<Accepted>),
    /// A session.
    Live(Box<Peer>),
    /// See there.
    Closing(Box<Closing>),
}

/// A place in the table.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Grows when an id ends.
    pub generation: u32,
    /// See there.
    pub entry: Entry,
    /// Whether the slot waits in the queue of those that may have something to send.
    pub is_ready: bool,
}

/// Where a node's slots are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Of the live session.
    pub live: Option<u32>,
    /// Of the session being set up.
    pub setup: Option<u32>,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    links: NumberMap<u16, Link>,
    count_max: usize,
}

impl Slots {
    /// For so many sessions.
    pub fn new(count_max: usize) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), links: NumberMap::default(), count_max }
    }

    /// Takes a free slot; `None` if there is none. Indices stay small, as they travel.
    pub fn allocate(&mut self) -> Option<PeerId> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() < self.count_max => {
                self.slots.push(Slot { generation: 0, entry: Entry::Free, is_ready: false });
                self.slots.len() as u32 - 1
            }
            None => return None,
        };
        Some(PeerId { index, generation: self.slots[index as usize].generation })
    }

    /// Frees a slot and ends its id.
    pub fn free(&mut self, index: u32) -> Entry {
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        std::mem::replace(&mut slot.entry, Entry::Free)
    }

    /// A slot, if there ever was one of that index.
    pub fn get_mut(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(index as usize)
    }

    /// What a slot holds.
    pub fn entry_mut(&mut self, index: u32) -> Option<&mut Entry> {
        self.slots.get_mut(index as usize).map(|slot| &mut slot.entry)
    }

    /// The live session with this id.
    pub fn live(&self, peer: PeerId) -> Option<&Peer> {
        let slot = self.slots.get(peer.index as usize)?;
        match &slot.entry {
            Entry::Live(live) if slot.generation == peer.generation => Some(live),
            _ => None,
        }
    }

    /// The live session with this id.
    pub fn live_mut(&mut self, peer: PeerId) -> Option<&mut Peer> {
        let slot = self.slots.get_mut(peer.index as usize)?;
        match &mut slot.entry {
            Entry::Live(live) if slot.generation == peer.generation => Some(live),
            _ => None,
        }
    }

    /// Whether this id did not end yet.
    pub fn is_current(&self, peer: PeerId) -> bool {
        self.slots.get(peer.index as usize).is_some_and(|slot| slot.generation == peer.generation)
    }

    /// The id that a slot has now.
    pub fn id(&self, index: u32) -> PeerId {
        PeerId { index, generation: self.slots[index as usize].generation }
    }

    /// Where a node's slots are.
    pub fn link(&self, node: NodeId) -> Link {
        self.links.get(&node.0).copied().unwrap_or_default()
    }

    /// Changes where a node's slots are.
    pub fn set_link(&mut self, node: NodeId, link: Link) {
        if link == Link::default() {
            self.links.remove(&node.0);
        } else {
            self.links.insert(node.0, link);
        }
    }

    /// All slots.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    /// Asserts what always holds.
    pub fn invariants(&self) {
        for link in self.links.values() {
            let entry = |index: u32| &self.slots[index as usize].entry;
            let is_live = |index| matches!(entry(index), Entry::Live(_));
            let is_setup =
                |index| matches!(entry(index), Entry::Connecting(_) | Entry::Accepted(_));
            assert!(link.live.is_none_or(is_live) && link.setup.is_none_or(is_setup));
        }
        let free = self.slots.iter().filter(|slot| matches!(slot.entry, Entry::Free)).count();
        assert_eq!(free, self.free.len());
    }
}
