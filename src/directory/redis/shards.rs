//! All servers of the directory, one or those of a Redis Cluster: which commands go where, and the
//! answers in order. A server that is away takes only its own users with it. Knows no key.
//!
//! The crate's own cluster connection is not used: its pipelines fail as a whole when one server
//! does, wait for each answer of a hanging server anew, and leave answers of other servers unread,
//! which the next request then takes for its own.

use std::collections::BTreeMap;
use std::time::Instant;

use aldis_logic::job::{BootId, NodeId};
use aldis_wire::UserId;
use redis::{Cmd, ConnectionInfo, Value};

use super::keys::{Keyed, slot_of_user};
use super::link::{Link, LinkError, RESPONSE_TIMEOUT, Trouble};
use super::outage::Outage;
use super::slots::{Layout, Place};
use crate::ledger::Ledger;

/// Commands that are under way at once: bounds the memory of their answers, and the time that they
/// take others away, to some milliseconds.
const EXCHANGE_MAX: usize = 1_024;

/// What came of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// An answer.
    Value(Value),
    /// The command is wrong for what stands at its key, and will be.
    Refused,
    /// Its server is away; whether it ran is unknown.
    Away,
}

/// See the file's first line.
pub struct Shards {
    pub(super) seeds: Vec<ConnectionInfo>,
    pub(super) life: (NodeId, BootId),
    pub(super) layout: Layout,
    pub(super) shards: Vec<Shard>,
    /// Sessions whose slot nobody owns, as far as is known.
    pub(super) orphans: Ledger,
    pub(super) is_cluster: bool,
    /// Somebody answered as if the layout were another one.
    pub(super) is_stale: bool,
    pub(super) turn: usize,
    pub(super) discover_at_ms: u64,
    /// No waiting for servers that are away before.
    pub(super) attempt_at_ms: u64,
    pub(super) outage: Outage,
}

/// A server and the sessions of this node that it has to know.
pub struct Shard {
    pub(super) link: Link,
    pub(super) ledger: Ledger,
    /// A number whose slot is here.
    pub(super) tag: u32,
    /// Whether the mark that tells of a loss was set.
    pub(super) is_marked: bool,
}

/// What is sent to one server: packed commands, and whose answers are to come.
#[derive(Default)]
struct Sending {
    packed: Vec<u8>,
    awaited: Vec<Option<usize>>,
}

impl Sending {
    fn add(&mut self, index: Option<usize>, command: &Cmd) {
        command.write_packed_command(&mut self.packed);
        self.awaited.push(index);
    }
}

/// A command that has to be sent elsewhere.
struct Redirect {
    index: usize,
    place: Place,
    is_asking: bool,
}

impl Shards {
    /// Nothing is known and nothing connected.
    pub fn new(seeds: Vec<ConnectionInfo>, node: NodeId, boot: BootId) -> Self {
        Self {
            seeds,
            life: (node, boot),
            layout: Layout::default(),
            shards: Vec::new(),
            orphans: Ledger::new(node, boot),
            is_cluster: false,
            is_stale: false,
            turn: 0,
            discover_at_ms: 0,
            attempt_at_ms: 0,
            outage: Outage::default(),
        }
    }

    /// The sessions among which a user's are.
    pub fn ledger(&mut self, user: UserId) -> &mut Ledger {
        let owner = self.layout.owner(slot_of_user(user));
        match owner.and_then(|index| self.shards.get_mut(index)) {
            Some(shard) => &mut shard.ledger,
            None => &mut self.orphans,
        }
    }

    /// The servers.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.shards.iter_mut()
    }

    /// Sessions of this node.
    pub fn session_count(&self) -> usize {
        self.orphans.count() + self.shards.iter().map(|shard| shard.ledger.count()).sum::<usize>()
    }

    /// Sends commands, those for different servers at once, and waits for the answers; one for each
    /// command.
    pub fn exchange(&mut self, now_ms: u64, commands: &[Keyed]) -> Vec<Reply> {
        let mut replies = vec![Reply::Away; commands.len()];
        for (commands, replies) in
            commands.chunks(EXCHANGE_MAX).zip(replies.chunks_mut(EXCHANGE_MAX))
        {
            self.exchange_some(now_ms, commands, replies);
        }
        replies
    }

    fn exchange_some(&mut self, now_ms: u64, commands: &[Keyed], replies: &mut [Reply]) {
        let mut sendings: BTreeMap<usize, Sending> = BTreeMap::new();
        for (index, keyed) in commands.iter().enumerate() {
            match self.layout.owner(keyed.slot) {
                Some(owner) => {
                    sendings.entry(owner).or_default().add(Some(index), &keyed.command);
                }
                None => self.is_stale = true,
            }
        }
        let redirects = self.run(now_ms, &sendings, replies);
        if redirects.is_empty() {
            return;
        }
        sendings.clear();
        for Redirect { index, place, is_asking } in redirects {
            let owner = self.layout.places.iter().position(|known| *known == place);
            let (Some(owner), Some(keyed)) = (owner, commands.get(index)) else { continue };
            let sending = sendings.entry(owner).or_default();
            if is_asking {
                sending.add(None, Cmd::new().arg("ASKING"));
            }
            sending.add(Some(index), &keyed.command);
        }
        // Whoever is sent on a second time has met a cluster in motion, and is told Away.
        self.run(now_ms, &sendings, replies);
    }

    fn run(
        &mut self,
        now_ms: u64,
        sendings: &BTreeMap<usize, Sending>,
        replies: &mut [Reply],
    ) -> Vec<Redirect> {
        let started = Instant::now();
        for (owner, sending) in sendings {
            if let Some(shard) = self.up(*owner)
                && let Err(why) = shard.link.send(&sending.packed)
            {
                self.handle_failure(now_ms, *owner, started, &why);
            }
        }
        let mut redirects = Vec::new();
        for (owner, sending) in sendings {
            let received = self.receive(now_ms, *owner, sending, started, replies, &mut redirects);
            if let Err(why) = received {
                self.handle_failure(now_ms, *owner, started, &why);
            }
        }
        redirects
    }

    fn receive(
        &mut self,
        now_ms: u64,
        owner: usize,
        sending: &Sending,
        started: Instant,
        replies: &mut [Reply],
        redirects: &mut Vec<Redirect>,
    ) -> Result<(), LinkError> {
        // One deadline for all servers: two that hang take no longer than one.
        let deadline = started + RESPONSE_TIMEOUT;
        let mut is_stale = false;
        let Some(shard) = self.up(owner) else { return Ok(()) };
        shard.link.expect_within(deadline)?;
        for awaited in &sending.awaited {
            let value = shard.link.receive(deadline)?;
            let Some(reply) = awaited.and_then(|index| replies.get_mut(index)) else { continue };
            let Value::ServerError(error) = value else {
                *reply = Reply::Value(value);
                continue;
            };
            let index = awaited.unwrap_or_default();
            match Trouble::of(&error, shard.link.place()) {
                Trouble::Moved(place) => {
                    is_stale = true;
                    let to = |place| Redirect { index, place, is_asking: false };
                    redirects.extend(place.map(to));
                }
                Trouble::Ask(place) => {
                    redirects.extend(place.map(|place| Redirect { index, place, is_asking: true }));
                }
                Trouble::Outage => return Err(LinkError::Refused(error)),
                Trouble::Odd => {
                    shard.link.handle_odd(now_ms, &error);
                    *reply = Reply::Refused;
                }
            }
        }
        self.is_stale |= is_stale;
        Ok(())
    }

    fn up(&mut self, index: usize) -> Option<&mut Shard> {
        self.shards.get_mut(index).filter(|shard| shard.link.is_up())
    }

    pub(super) fn handle_failure(
        &mut self,
        now_ms: u64,
        index: usize,
        started: Instant,
        why: &LinkError,
    ) {
        // Another server may have taken its place, or be about to.
        self.is_stale |= self.is_cluster;
        if let Some(shard) = self.shards.get_mut(index) {
            shard.link.handle_failure(now_ms, started.elapsed(), why);
        }
    }
}
