//! The directory that all nodes of a cluster share: Redis or Redis Cluster. Knows no thread.
//!
//! Redis may lose everything at any time, or be away. Each node keeps the list of its own sessions
//! (`ledger`) and tells Redis again: everything after a connection was lost, after a failover, and
//! when a mark that it left on a server has vanished (FLUSHALL); each session now and then anyway,
//! for losses that leave no trace (eviction, a failover behind a proxy).

mod attempts;
mod discovery;
mod keys;
mod leases;
mod link;
mod options;
mod outage;
mod shards;
mod slots;

use std::collections::VecDeque;
use std::time::Instant;

use aldis_logic::cluster::FRESH_MS;
use aldis_logic::job::{AttemptJob, DirectoryJob, NodeId, Registration, SessionRecord, Verdict};
use aldis_wire::UserId;
use redis::Value;

use crate::traits::{ANNOUNCE_INTERVAL_MS, Away, Conflict, Directory, NodeRecord, Sessions};
use attempts::SharedAttempts;
use discovery::PATIENCE_MS;
use leases::Leases;
pub use options::{OptionsError, RedisOptions, UrlFault};
use shards::{Reply, Shards};

/// Sessions that one server is told again, and as many taken back, in one tick: with
/// [`TICK_MS`] some 10,000/s from each node, so that 10 nodes after a flush leave Redis time for
/// others.
const TICK_SESSIONS_MAX: usize = 256;
/// See above. ms
const TICK_MS: u64 = 25;
/// How often nodes without a lease are looked for in the load set. ms
const PRUNE_INTERVAL_MS: u64 = 30_000;
/// How long after it knows everything again others may still believe what they were told before: as
/// long as an answer is taken for true (`aldis_logic::cluster::FRESH_MS`), and some. ms
const DISBELIEF_MS: u64 = FRESH_MS + 500;
/// Conflicts that wait for somebody to take them. Those beyond are found by head checks.
const CONFLICTS_MAX: usize = 4_096;

/// See the file's first line.
pub struct RedisDirectory {
    this: NodeRecord,
    store_epoch: u64,
    shards: Shards,
    leases: Leases,
    attempts: SharedAttempts,
    has_announced: bool,
    is_draining: bool,
    is_rival_known: bool,
    announce_at_ms: u64,
    prune_at_ms: u64,
    tick_at_ms: u64,
    conflicts: VecDeque<Conflict>,
    /// When sessions that were lost and told again are known to everybody. ms
    recovered_at_ms: Option<u64>,
}

impl RedisDirectory {
    /// Connects to nothing yet: that is for `maintain`.
    pub fn new(options: RedisOptions) -> Result<Self, OptionsError> {
        let RedisOptions { urls, node, boot, store_epoch, announcement, attempts } = options;
        let seeds = options::parse_seeds(&urls)?;
        Ok(Self {
            this: NodeRecord { node, boot, announcement, session_count: 0 },
            store_epoch,
            shards: Shards::new(seeds, node, boot),
            leases: Leases::default(),
            attempts: SharedAttempts::new(attempts),
            has_announced: false,
            is_draining: false,
            is_rival_known: false,
            announce_at_ms: 0,
            prune_at_ms: 0,
            tick_at_ms: 0,
            conflicts: VecDeque::new(),
            recovered_at_ms: None,
        })
    }

    /// The answer to a registration that was sent, which the ledger has already.
    fn settle(&mut self, now_ms: u64, record: &SessionRecord, reply: &Reply) -> Registration {
        let ledger = self.shards.ledger(record.user);
        match reply {
            Reply::Value(value) => match keys::parse_registration(record, value) {
                Some(Registration::Fenced) => {
                    ledger.leave(record);
                    Registration::Fenced
                }
                Some(registration) => registration,
                None => Registration::Unavailable,
            },
            Reply::Refused => Registration::Unavailable,
            Reply::Away => {
                ledger.retry(now_ms, record);
                Registration::Unavailable
            }
        }
    }

    fn announce(&mut self, now_ms: u64) {
        self.announce_at_ms = now_ms + ANNOUNCE_INTERVAL_MS;
        self.this.session_count = self.shards.session_count() as u64;
        let NodeRecord { node, boot, session_count, .. } = self.this;
        let mut commands = vec![
            keys::announce(&self.this, !self.has_announced),
            keys::enter_nodes(node),
            if self.is_draining {
                keys::leave_load(node)
            } else {
                keys::enter_load(node, session_count)
            },
        ];
        let tags = self.shards.iter_mut().map(|shard| shard.tag);
        commands.extend(tags.map(|tag| keys::sentinel(tag, node, boot)));
        let replies = self.shards.exchange(now_ms, &commands);
        let mut replies = replies.into_iter();
        if let Some(Reply::Value(holder)) = replies.next() {
            self.handle_holder(&holder);
        }
        for (shard, reply) in self.shards.iter_mut().zip(replies.skip(2)) {
            let Reply::Value(mark) = reply else { continue };
            if mark == Value::Nil && shard.is_marked {
                let (name, count) = (shard.link.name(), shard.ledger.count());
                log::warn!("{name} has lost its data; {count} sessions are announced again");
                shard.ledger.assert_all(now_ms);
            }
            shard.is_marked = true;
        }
        if now_ms >= self.prune_at_ms {
            self.prune_at_ms = now_ms + PRUNE_INTERVAL_MS;
            if let Err(Away) = self.open_nodes(now_ms) {
                log::debug!("the load set is away");
            }
        }
    }

    /// Who had the lease when it was renewed.
    fn handle_holder(&mut self, holder: &Value) {
        let boot = self.this.boot.0.to_string();
        let is_rival = matches!(holder, Value::BulkString(other) if *other != boot.as_bytes());
        if is_rival && self.has_announced && !self.is_rival_known {
            let node = self.this.node.0;
            log::warn!("another process is announced as node {node}; this one is not any more");
        }
        self.is_rival_known = is_rival && self.has_announced;
        self.has_announced = true;
    }

    /// Tells servers what they may not know, some of it.
    fn reassert(&mut self, now_ms: u64) {
        let (mut ended, mut live) = (Vec::new(), Vec::new());
        for shard in self.shards.iter_mut().filter(|shard| shard.link.is_up()) {
            ended.extend(shard.ledger.take_owed(now_ms, TICK_SESSIONS_MAX));
            live.extend(shard.ledger.take_due(now_ms, TICK_SESSIONS_MAX));
            if shard.ledger.take_asserted(now_ms) {
                self.recovered_at_ms = Some(now_ms + DISBELIEF_MS);
            }
        }
        if ended.is_empty() && live.is_empty() {
            return;
        }
        self.tick_at_ms = now_ms + TICK_MS;
        let removals = ended.iter().map(|record| keys::unregister(record, self.store_epoch));
        let announcements = live.iter().map(|record| keys::register(record, self.store_epoch));
        let commands: Vec<_> = removals.chain(announcements).collect();
        let mut replies = self.shards.exchange(now_ms, &commands).into_iter();
        for (record, reply) in ended.iter().zip(replies.by_ref()) {
            if reply == Reply::Away {
                self.shards.ledger(record.user).owe_removal(now_ms, record);
            }
        }
        for (record, reply) in live.iter().zip(replies) {
            let conflict = match self.settle(now_ms, record, &reply) {
                Registration::Fenced => Conflict::Fenced(*record),
                // What an earlier life or an earlier login left here concerns nobody.
                Registration::Live { replaced: Some(older) } if older.node != record.node => {
                    Conflict::Replaced(older)
                }
                _ => continue,
            };
            if self.conflicts.len() < CONFLICTS_MAX {
                self.conflicts.push_back(conflict);
            }
        }
    }

    /// Takes out what is on nodes that have no lease, or are in another life.
    fn retain_live(&mut self, now_ms: u64, found: &mut Vec<SessionRecord>) {
        let others = found.iter().filter(|record| record.node != self.this.node);
        let unsure = self.leases.unsure(now_ms, others);
        if !unsure.is_empty() {
            let commands: Vec<_> = unsure.iter().map(|node| keys::node(*node)).collect();
            let replies = self.shards.exchange(now_ms, &commands);
            for (node, reply) in unsure.into_iter().zip(replies) {
                if let Reply::Value(value) = reply {
                    let boot = keys::parse_node(node, &value).map(|record| record.boot);
                    self.leases.note(now_ms, node, boot);
                }
            }
        }
        found.retain(|record| {
            if record.node == self.this.node {
                record.boot == self.this.boot
            } else {
                self.leases.may_be_live(record)
            }
        });
    }
}

impl Directory for RedisDirectory {
    fn apply(&mut self, now_ms: u64, jobs: &[DirectoryJob]) -> Vec<Option<Registration>> {
        let mut commands = Vec::with_capacity(jobs.len());
        let mut is_sent = Vec::with_capacity(jobs.len());
        for job in jobs {
            let command = match job {
                DirectoryJob::Register(record) => {
                    debug_assert_eq!((record.node, record.boot), (self.this.node, self.this.boot));
                    let is_newest = self.shards.ledger(record.user).enter(now_ms, record);
                    is_newest.then(|| keys::register(record, self.store_epoch))
                }
                DirectoryJob::Assert(record) => {
                    self.shards.ledger(record.user).assert_one(now_ms, record);
                    None
                }
                DirectoryJob::Unregister(record) => {
                    self.shards.ledger(record.user).leave(record);
                    Some(keys::unregister(record, self.store_epoch))
                }
            };
            is_sent.push(command.is_some());
            commands.extend(command);
        }
        let mut replies = self.shards.exchange(now_ms, &commands).into_iter();
        let mut results = Vec::with_capacity(jobs.len());
        for (job, is_sent) in jobs.iter().zip(is_sent) {
            let reply = if is_sent { replies.next() } else { None };
            results.push(match (job, reply) {
                (DirectoryJob::Register(_), None) => Some(Registration::Fenced),
                (DirectoryJob::Register(record), Some(reply)) => {
                    Some(self.settle(now_ms, record, &reply))
                }
                (DirectoryJob::Assert(_), _) => None,
                (DirectoryJob::Unregister(record), reply) => {
                    if reply == Some(Reply::Away) {
                        self.shards.ledger(record.user).owe_removal(now_ms, record);
                    }
                    None
                }
            });
        }
        results
    }

    fn count_attempts(&mut self, now_ms: u64, jobs: &[AttemptJob]) -> Vec<Verdict> {
        self.attempts.count(&mut self.shards, now_ms, jobs)
    }

    fn sessions_of(&mut self, now_ms: u64, users: &[UserId]) -> Sessions {
        let commands: Vec<_> = users.iter().map(|user| keys::sessions_of(*user)).collect();
        let replies = self.shards.exchange(now_ms, &commands);
        let mut sessions = Sessions::default();
        for (user, reply) in users.iter().zip(replies) {
            match reply {
                Reply::Value(value) => sessions.found.extend(keys::parse_sessions(*user, &value)),
                Reply::Refused | Reply::Away => sessions.unknown.push(*user),
            }
        }
        self.retain_live(now_ms, &mut sessions.found);
        sessions
    }

    fn open_nodes(&mut self, now_ms: u64) -> Result<Vec<NodeRecord>, Away> {
        let listed = match self.shards.exchange(now_ms, &[keys::load()]).pop() {
            Some(Reply::Value(value)) => keys::parse_numbers(&value),
            _ => return Err(Away),
        };
        let commands: Vec<_> = listed.iter().map(|node| keys::node(*node)).collect();
        let (mut open, mut gone) = (Vec::new(), Vec::new());
        for (node, reply) in listed.into_iter().zip(self.shards.exchange(now_ms, &commands)) {
            let Reply::Value(value) = reply else { continue };
            match keys::parse_node(node, &value) {
                Some(record) => open.push(record),
                None => gone.push(keys::leave_load(node)),
            }
        }
        // One that was only late enters again with its next announcement.
        self.shards.exchange(now_ms, &gone);
        open.sort_unstable_by_key(|record| record.node);
        Ok(open)
    }

    fn nodes(&mut self, now_ms: u64) -> Result<Vec<NodeRecord>, Away> {
        let mut listed = match self.shards.exchange(now_ms, &[keys::nodes()]).pop() {
            Some(Reply::Value(value)) => keys::parse_numbers(&value),
            _ => return Err(Away),
        };
        listed.sort_unstable();
        // Members of the set outlive their leases; there are never more than there are numbers.
        self.nodes_of(now_ms, &listed)
    }

    fn nodes_of(&mut self, now_ms: u64, nodes: &[NodeId]) -> Result<Vec<NodeRecord>, Away> {
        let commands: Vec<_> = nodes.iter().map(|node| keys::node(*node)).collect();
        let mut found = Vec::new();
        for (node, reply) in nodes.iter().zip(self.shards.exchange(now_ms, &commands)) {
            let Reply::Value(value) = reply else { return Err(Away) };
            found.extend(keys::parse_node(*node, &value));
        }
        Ok(found)
    }

    fn maintain(&mut self, now_ms: u64) {
        let started = Instant::now();
        let is_late = || started.elapsed().as_millis() as u64 > PATIENCE_MS;
        self.shards.handle_time(now_ms);
        self.shards.discover(now_ms);
        if !is_late() && self.shards.connect(now_ms) {
            self.announce_at_ms = now_ms;
        }
        if !is_late() && now_ms >= self.announce_at_ms {
            self.announce(now_ms);
        }
        if !is_late() && now_ms >= self.tick_at_ms {
            self.reassert(now_ms);
        }
    }

    fn poll_timeout(&self) -> u64 {
        let recovered_at_ms = self.recovered_at_ms.unwrap_or(u64::MAX);
        let due_ms = self.announce_at_ms.min(self.shards.poll_timeout(self.tick_at_ms));
        due_ms.min(recovered_at_ms)
    }

    fn poll_conflict(&mut self) -> Option<Conflict> {
        self.conflicts.pop_front()
    }

    fn poll_recovered(&mut self, now_ms: u64) -> bool {
        self.recovered_at_ms.take_if(|at_ms| *at_ms <= now_ms).is_some()
    }

    fn drain(&mut self, now_ms: u64) {
        self.is_draining = true;
        self.announce(now_ms);
    }

    fn leave(&mut self, now_ms: u64) {
        let NodeRecord { node, boot, .. } = self.this;
        self.shards.exchange(
            now_ms,
            &[keys::leave_load(node), keys::leave_nodes(node), keys::withdraw(node, boot)],
        );
    }
}
