//! The end of a run: everything heals, everybody catches up in bounded time, reads everything once
//! more and leaves, and nothing may be left over at the node.

use std::collections::BTreeMap;

use aldis_logic::job::{ReadJob, ReadResult};
use aldis_store::{Reader as _, Store as _};
use aldis_wire::{GroupId, Seq, UserId};

use crate::device::{Device, Rest};
use crate::node::Server;
use crate::world::World;

/// Time for everybody who tries to be back and current: a silent connection is noticed after
/// 15 s, a pause before a reconnect is 30 s at most, a heartbeat shows what was missed. ms
const SETTLE_MS_MAX: u64 = 120_000;
/// Time for one device to log in and catch up when nothing goes wrong, ms.
const CATCH_UP_MS_MAX: u64 = 60_000;
/// Time until the node has forgotten everybody: half-open connections end by deadlines. ms
const LEAVE_MS_MAX: u64 = 120_000;

impl World {
    /// From the end of the load to the end of the run. Violations say what went wrong.
    pub fn end(&mut self) {
        self.heal();
        if !self.run(SETTLE_MS_MAX, World::is_settled) {
            return self.explain("do not come to rest");
        }
        if !self.make_peace() {
            return;
        }
        // Those who came back for that have something to say and to read.
        if !self.run(SETTLE_MS_MAX, World::is_settled) {
            return self.explain("do not come to rest after peace was made");
        }
        self.probe_nodes();
        if !self.out.violations.is_empty() {
            return;
        }
        for _round in 0..2 {
            for d in 0..self.devices.len() {
                if self.is_current(d) {
                    continue;
                }
                self.log_in(d);
                if !self.run(CATCH_UP_MS_MAX, |world| world.has_caught_up(d)) {
                    return self.explain(&format!("wait for device {d}, which does not catch up"));
                }
            }
        }
        for p in 0..self.people.len() {
            let Some(&d) = self.people[p].devices.last() else { continue };
            if !self.devices[d].core.is_online() {
                self.log_in(d);
            }
            if !self.run(CATCH_UP_MS_MAX, |world| world.has_caught_up(d)) {
                return self.explain(&format!("wait for device {d}, which does not catch up"));
            }
            self.begin_final_sync(d, 0);
            let is_done = |world: &mut World| {
                if world.devices[d].core.is_stopped() {
                    // Another one had not known that its connection was gone, and came back.
                    world.log_in(d);
                }
                world.devices[d].final_sync_done
            };
            if !self.run(CATCH_UP_MS_MAX, is_done) {
                return self.explain(&format!("wait for the final sync of device {d}"));
            }
        }
        self.leave();
    }

    /// It is online; one that does not know yet that its connection is gone is not.
    pub fn is_live(&self, d: usize) -> bool {
        let device = &self.devices[d];
        device.core.is_online() && device.link.is_some_and(|id| self.out.net.is_alive(id))
    }

    fn leave(&mut self) {
        for d in 0..self.devices.len() {
            let now_ms = self.out.agenda.now_ms();
            self.devices[d].core.disconnect(now_ms);
            self.pump(d);
        }
        for p in 0..self.pests.len() {
            self.pest_acts(p);
        }
        let is_left = self.run(LEAVE_MS_MAX, |world| {
            world.servers.iter().all(|server| server.as_ref().is_some_and(Server::is_idle))
        });
        if !is_left {
            return self.explain("have left, and something stays behind at the node");
        }
        for server in self.servers.iter().flatten() {
            let online: usize = server.reactors.iter().map(|r| r.service.online_count()).sum();
            let listed = server.node.table.session_count();
            if online + listed > 0 {
                let what = format!("all have left, {online} sessions and {listed} entries stay");
                self.out.violation(what);
            }
        }
    }

    /// The mailbox of a user as the store has it.
    pub fn stored_mailbox(&self, user: UserId) -> (Vec<aldis_wire::pb::MessageData>, u64) {
        let mut reader = self.store.reader().expect("a memory store can be opened");
        let mut entries = Vec::new();
        loop {
            let after = Seq(entries.len() as u64);
            let job = ReadJob::Sync { user, after, limit: 500 };
            let Ok(ReadResult::Sync(page)) = reader.read(&job) else { return (entries, 0) };
            let is_last = page.entries.is_empty();
            let page_entries = page.entries.iter();
            entries.extend(
                page_entries.map(|(seq, message)| aldis_logic::message_data(message, *seq)),
            );
            if is_last || entries.len() as u64 >= page.head.0 {
                return (entries, page.head.0);
            }
        }
    }

    /// What of a group's stream is there for a user, as the store has it.
    pub fn stored_stream(
        &self,
        reader: UserId,
        group: GroupId,
    ) -> Vec<aldis_wire::pb::MessageData> {
        let mut store = self.store.reader().expect("a memory store can be opened");
        let (mut entries, mut after) = (Vec::new(), Seq(0));
        loop {
            let job = ReadJob::Stream { reader, group, after, limit: 500 };
            let Ok(ReadResult::Sync(page)) = store.read(&job) else { return entries };
            let found = page.entries.iter();
            entries.extend(found.map(|(seq, entry)| aldis_logic::message_data(entry, *seq)));
            after = page.entries.last().map_or(after.max(page.skipped_to), |(seq, _)| *seq);
            if after >= page.head {
                return entries;
            }
        }
    }

    /// The device has applied the streams that the store says its user follows, and what is left of those
    /// that are over.
    fn has_streams(&self, d: usize, user: UserId) -> bool {
        let mut reader = self.store.reader().expect("a memory store can be opened");
        let job = ReadJob::Heads { users: vec![user] };
        let Ok(ReadResult::Heads(heads)) = reader.read(&job) else { return true };
        let core = &self.devices[d].core;
        let mut followed = heads.iter().flat_map(|head| &head.streams);
        if !followed.all(|one| core.local_seq(one.group.0) == Some(one.head.0)) {
            return false;
        }
        let known = core.export_state().streams;
        known.into_iter().filter(|(stream, _)| *stream != 0).all(|(stream, local)| {
            let (group, after) = (GroupId(stream), Seq(local));
            match reader.read(&ReadJob::Stream { reader: user, group, after, limit: 1 }) {
                Ok(ReadResult::Sync(page)) => page.head <= after,
                _ => true,
            }
        })
    }

    /// The head of a user's mailbox in the store.
    pub fn head_of(&self, user: UserId) -> u64 {
        let mut reader = self.store.reader().expect("a memory store can be opened");
        match reader.read(&ReadJob::Sync { user, after: Seq(0), limit: 1 }) {
            Ok(ReadResult::Sync(page)) => page.head.0,
            _ => 0,
        }
    }

    /// Everybody who tries is online, has all answers, and is current. No node still commits what
    /// somebody asked who has long been to another one.
    fn is_settled(&mut self) -> bool {
        if self.servers.iter().flatten().any(|server| !server.writing.is_idle()) {
            return false;
        }
        let mut heads: BTreeMap<usize, u64> = BTreeMap::new();
        for d in 0..self.devices.len() {
            let device = &self.devices[d];
            if matches!(device.rest, Rest::Kicked | Rest::LoggedOut) {
                continue;
            }
            let core = &device.core;
            if !core.is_online() || core.unanswered_send_count() > 0 {
                return false;
            }
            let Some(user) = self.user_of(d) else { return false };
            let person = device.person;
            let head = *heads.entry(person).or_insert_with(|| self.head_of(user));
            if self.devices[d].core.local_seq(0) != Some(head) || !self.has_streams(d, user) {
                return false;
            }
        }
        true
    }

    /// It has all answers and has applied everything, whether or not it is online now.
    pub fn is_current(&self, d: usize) -> bool {
        let Some(user) = self.user_of(d) else { return false };
        let Device { core, asked, .. } = &self.devices[d];
        let has_answers = core.unanswered_send_count() == 0 && asked.is_empty();
        let is_at_head = core.local_seq(0) == Some(self.head_of(user));
        has_answers && is_at_head && self.has_streams(d, user)
    }

    /// Whether the device whose turn it is has caught up. A LOGOUT that waited for its session is
    /// over by then: the owner logs in again.
    fn has_caught_up(&mut self, d: usize) -> bool {
        if self.devices[d].core.is_stopped() {
            self.log_in(d);
        }
        self.devices[d].core.is_online() && self.is_current(d)
    }

    /// Notes that clients are in a state that must not last.
    pub fn explain(&mut self, what: &str) {
        if !self.out.violations.is_empty() {
            return;
        }
        let states = (0..self.devices.len()).map(|d| {
            let device = &self.devices[d];
            let head = self.user_of(d).map(|user| self.head_of(user));
            format!(
                "device {d}: {:?} online {} unanswered {} local {:?} head {head:?}",
                device.rest,
                device.core.is_online(),
                device.core.unanswered_send_count(),
                device.core.local_seq(0),
            )
        });
        let states: Vec<String> = states.collect();
        self.out.violation(format!("clients {what}: {}", states.join("; ")));
    }
}
