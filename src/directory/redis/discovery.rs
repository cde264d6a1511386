//! Finding the servers and connecting to them: the layout of a Redis Cluster and its changes, tries
//! after failures, and what a new connection begins with. Decides on no session's fate.

use std::time::Instant;

use redis::{Cmd, ConnectionAddr, ServerErrorKind, Value};

use super::keys;
use super::link::{Link, LinkError};
use super::outage::retry_pause_ms;
use super::shards::{Shard, Shards};
use super::slots::{Layout, Place};
use crate::ledger::Ledger;

/// Pause between two questions for the layout. ms
const DISCOVER_INTERVAL_MS: u64 = 1_000;
/// Steps that take longer have waited for a server that is away; what else is due waits for the next
/// turn, so that nobody waits for two. ms
pub const PATIENCE_MS: u64 = 50;

impl Shards {
    /// Learns the layout if that is wanted and due.
    pub fn discover(&mut self, now_ms: u64) {
        if !self.wants_layout() || now_ms < self.discover_at_ms {
            return;
        }
        self.discover_at_ms = now_ms + DISCOVER_INTERVAL_MS;
        let started = Instant::now();
        self.turn = self.turn.wrapping_add(1);
        let up: Vec<usize> =
            (0..self.shards.len()).filter(|index| self.shards[*index].link.is_up()).collect();
        // All are asked in turn: one that is cut off from the others knows an old layout.
        let asked = match up.get(self.turn % up.len().max(1)) {
            Some(index) if self.is_cluster => self.ask_member(now_ms, *index),
            _ if now_ms < self.attempt_at_ms => return,
            _ => self.ask_seed(now_ms),
        };
        match asked {
            Ok((layout, is_cluster)) => {
                self.is_stale = false;
                self.is_cluster = is_cluster;
                self.outage.handle_success(now_ms);
                self.adopt(now_ms, layout);
            }
            Err(why) => {
                self.note_attempt(now_ms, started);
                log::debug!("the layout of Redis is not known: {why}");
            }
        }
    }

    /// Tries the servers that are away and due. True if one is back.
    pub fn connect(&mut self, now_ms: u64) -> bool {
        let mut away: Vec<(u64, usize)> = (0..)
            .zip(&self.shards)
            .filter(|(_, shard)| !shard.link.is_up() && shard.link.retry_at_ms() <= now_ms)
            .map(|(index, shard)| (shard.link.retry_at_ms(), index))
            .collect();
        away.sort_unstable();
        let mut is_any_back = false;
        for (_, index) in away {
            if now_ms < self.attempt_at_ms {
                break;
            }
            let started = Instant::now();
            match self.connect_one(now_ms, index) {
                Ok(()) => is_any_back = true,
                Err(why) => {
                    self.handle_failure(now_ms, index, started, &why);
                    self.note_attempt(now_ms, started);
                }
            }
        }
        is_any_back
    }

    /// Time passes.
    pub fn handle_time(&mut self, now_ms: u64) {
        self.outage.handle_time(now_ms, "Redis");
        self.shards.iter_mut().for_each(|shard| shard.link.handle_time(now_ms));
    }

    /// When there is something to do, but sessions before `tick_at_ms` not. ms
    pub fn poll_timeout(&self, tick_at_ms: u64) -> u64 {
        let discover = self.wants_layout().then(|| {
            let is_any_up = self.shards.iter().any(|shard| shard.link.is_up());
            let wait_ms = if is_any_up { 0 } else { self.attempt_at_ms };
            self.discover_at_ms.max(wait_ms)
        });
        let of_shard = |shard: &Shard| {
            if shard.link.is_up() {
                shard.ledger.poll_timeout().map(|due_ms| due_ms.max(tick_at_ms))
            } else {
                Some(shard.link.retry_at_ms().max(self.attempt_at_ms))
            }
        };
        let shards = self.shards.iter().filter_map(of_shard);
        discover.into_iter().chain(shards).min().unwrap_or(u64::MAX)
    }

    fn wants_layout(&self) -> bool {
        let is_one_away = || self.shards.iter().any(|shard| !shard.link.is_up());
        self.shards.is_empty() || self.is_stale || (self.is_cluster && is_one_away())
    }

    /// A try that took its time is one for all servers that are away.
    fn note_attempt(&mut self, now_ms: u64, started: Instant) {
        let took_ms = started.elapsed().as_millis() as u64;
        if took_ms > PATIENCE_MS {
            self.attempt_at_ms = now_ms + retry_pause_ms(took_ms);
        }
    }

    fn connect_one(&mut self, now_ms: u64, index: usize) -> Result<(), LinkError> {
        let (node, boot) = self.life;
        let Some(shard) = self.shards.get_mut(index) else { return Ok(()) };
        let mut greeting = keys::load_programs();
        // The mark is a write as well: a server that takes none is as good as away.
        greeting.push(keys::sentinel(shard.tag, node, boot).command);
        shard.link.connect()?;
        shard.link.ask(&greeting)?;
        shard.link.handle_success(now_ms);
        shard.is_marked = true;
        shard.ledger.assert_all(now_ms);
        Ok(())
    }

    fn ask_member(&mut self, now_ms: u64, index: usize) -> Result<(Layout, bool), LinkError> {
        let started = Instant::now();
        let Some(shard) = self.shards.get_mut(index) else { return Err(LinkError::NoSlots) };
        let asked = ask_layout(&mut shard.link, false);
        if let Err(why) = &asked {
            self.handle_failure(now_ms, index, started, why);
        }
        asked
    }

    fn ask_seed(&mut self, now_ms: u64) -> Result<(Layout, bool), LinkError> {
        let started = Instant::now();
        let may_be_alone = self.seeds.len() == 1;
        let index = self.turn % self.seeds.len();
        let Some(seed) = self.seeds.get(index) else { return Err(LinkError::NoSlots) };
        let place = match seed.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Place { host: host.clone(), port: *port }
            }
            _ => return Err(LinkError::NoSlots),
        };
        let mut link = Link::new(seed, place);
        let asked = link.connect().and_then(|()| ask_layout(&mut link, may_be_alone));
        if let Err(why) = &asked
            && self.shards.is_empty()
        {
            let took_ms = started.elapsed().as_millis() as u64;
            self.outage.handle_failure(now_ms, took_ms, link.name(), why);
        }
        asked
    }

    /// Sessions go with their slots. Those that come to another server are announced there again: it
    /// may be a replica that lacked the newest writes of the one whose place it took.
    pub(super) fn adopt(&mut self, now_ms: u64, layout: Layout) {
        if layout == self.layout {
            return;
        }
        if self.is_cluster {
            log::info!("the Redis Cluster has {} servers with sessions", layout.places.len());
        }
        let (node, boot) = self.life;
        let mut shards = std::mem::take(&mut self.shards);
        let mut moving = vec![(None, self.orphans.take_all())];
        for shard in &mut shards {
            moving.push((Some(shard.link.place().clone()), shard.ledger.take_all()));
        }
        let tags = layout.tags();
        for (place, tag) in layout.places.iter().zip(tags) {
            let known = shards.iter().position(|shard| shard.link.place() == place);
            let ledger = Ledger::new(node, boot);
            self.shards.push(match known.map(|index| shards.swap_remove(index)) {
                Some(Shard { link, tag: old_tag, is_marked, .. }) => {
                    Shard { link, ledger, tag, is_marked: is_marked && tag == old_tag }
                }
                None => {
                    let link = Link::new(&self.seeds[0], place.clone());
                    Shard { link, ledger, tag, is_marked: false }
                }
            });
        }
        self.layout = layout;
        for (from, (sessions, owed)) in moving {
            for (record, due_ms) in sessions {
                let to = self.layout.owner(keys::slot_of_user(record.user));
                let stays = from.is_some()
                    && from.as_ref() == to.and_then(|index| self.layout.places.get(index));
                let due_ms = if stays { due_ms } else { now_ms };
                self.ledger(record.user).restore(&record, due_ms);
            }
            for record in owed {
                self.ledger(record.user).owe_removal(now_ms, &record);
            }
        }
    }
}

/// The layout as this server knows it, and whether it is a cluster's.
fn ask_layout(link: &mut Link, may_be_alone: bool) -> Result<(Layout, bool), LinkError> {
    let mut question = Cmd::new();
    question.arg("CLUSTER").arg("SLOTS");
    let place = link.place().clone();
    match link.ask(&[question]) {
        Ok(answers) => {
            let layout = Layout::parse(answers.first().unwrap_or(&Value::Nil), &place);
            let layout = layout.filter(|layout| !layout.places.is_empty());
            Ok((layout.ok_or(LinkError::NoSlots)?, true))
        }
        // Cluster support is off, the command was renamed, or the account may not use it.
        Err(LinkError::Refused(error))
            if matches!(
                error.kind(),
                Some(ServerErrorKind::ResponseError | ServerErrorKind::NoPerm)
            ) =>
        {
            if !may_be_alone {
                return Err(LinkError::Alone);
            }
            Ok((Layout::single(place), false))
        }
        Err(why) => Err(why),
    }
}
