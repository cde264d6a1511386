//! What nodes promise each other when nothing is wrong, tried out at the end of a run: the link comes
//! back, sessions that lost their place end, entries and kicks come by the link and not only by checks
//! of heads.

use std::collections::{BTreeMap, BTreeSet};

use aldis_client::core::Target;
use aldis_logic::job::{ReadJob, ReadResult};
use aldis_store::{Reader as _, Store as _};
use aldis_wire::{Seq, UserId};

use crate::world::World;

/// Time from a head check that is due to its last effect: turns, a queue of readers, a mailbox, a
/// gap that the client waits for, its sync. ms
const CHECK_SLACK_MS: u64 = 1_000;
/// Time for the links to be back: a dead session is noticed after the longest silence that plans have,
/// a lease runs out, the directory is asked. ms
const LINKED_MS_MAX: u64 = 40_000;
/// After so long without commits no route is believed any more, and alarms are over. ms
const QUIET_MS: u64 = 2_500;
/// Time for something to come by the link: two looks into the directory and two ways. ms
const PROMPT_MS: u64 = 1_000;
/// Time for a device to be online on another node, ms.
const MOVE_MS_MAX: u64 = 60_000;

impl World {
    /// All of it; violations say what is not so.
    pub fn probe_nodes(&mut self) {
        self.check_what_other_nodes_do();
        if !self.plan.link.is_on() || !self.out.violations.is_empty() {
            return;
        }
        if !self.run(LINKED_MS_MAX, World::is_linked) {
            return self.explain("have nodes that are not linked again");
        }
        self.run(QUIET_MS, |_| false);
        self.probe_pushes();
        if self.out.violations.is_empty() {
            self.probe_move();
        }
        if self.out.violations.is_empty() {
            self.probe_kick();
        }
        let interval_ms = self.plan.head_checks.map_or(0, |times| times.interval_ms);
        if self.out.violations.is_empty()
            && !self.run(interval_ms + CHECK_SLACK_MS, World::has_newest_sessions_only)
        {
            self.explain("have sessions that are not the newest");
        }
    }

    /// Whoever is kicked has lost its place to somebody.
    pub fn check_kick(&mut self, d: usize) {
        let (class, epoch) = (self.devices[d].class, self.devices[d].epoch.take());
        let Some(user) = self.user_of(d) else { return };
        let newest = self.newest.get(&(user, class)).copied();
        if epoch.is_some() && epoch == newest {
            self.out
                .violation(format!("device {d} was kicked out of the newest session {epoch:?}"));
        }
    }

    /// Within one head check a session that another node fenced ends, and what another node
    /// committed arrives.
    fn check_what_other_nodes_do(&mut self) {
        let interval_ms = self.plan.head_checks.map_or(0, |times| times.interval_ms);
        if !self.run(interval_ms + CHECK_SLACK_MS, World::has_newest_sessions_only) {
            return self.explain("have several live sessions of a class, or not the newest");
        }
        let Some(d) = (0..self.devices.len()).find(|d| self.is_live(*d)) else { return };
        let Some(sender) = self.user_of(d) else { return };
        for user in self.people.iter().filter_map(|person| person.user).collect::<Vec<_>>() {
            self.send_new(d, sender, Target::User(user));
        }
        self.pump(d);
        let has_arrived = |world: &mut World| {
            let mut devices = 0..world.devices.len();
            devices.all(|d| !world.is_live(d) || world.is_current(d))
        };
        if !self.run(interval_ms + CHECK_SLACK_MS, has_arrived) {
            self.explain("are not told in time of new messages");
        }
    }

    /// Devices on other nodes than the sender's are pushed what it sends.
    fn probe_pushes(&mut self) {
        let live: Vec<usize> = (0..self.devices.len()).filter(|d| self.is_live(*d)).collect();
        for &sender in &live {
            let mut homes = self.homes();
            let Some(home) = homes.remove(&sender) else { continue };
            let elsewhere: Vec<(usize, u32)> =
                homes.into_iter().filter(|(_, boot)| *boot != home).collect();
            if elsewhere.is_empty() {
                continue;
            }
            if !self.send_and_expect(sender, &elsewhere) {
                return;
            }
            let pushed = elsewhere.iter().filter(|(d, _)| {
                let head = self.user_of(*d).map(|user| self.head_of(user));
                head.is_some_and(|head| self.devices[*d].pushed.contains(&head))
            });
            let count = pushed.count() as u64;
            self.out.coverage.add_hits("probe: pushed from node to node", count);
        }
    }

    /// A message to the users of these devices is handed to their nodes by the link, and applied.
    fn send_and_expect(&mut self, sender: usize, expected: &[(usize, u32)]) -> bool {
        let Some(from) = self.user_of(sender) else { return true };
        let users: BTreeSet<UserId> =
            expected.iter().filter_map(|(d, _)| self.user_of(*d)).collect();
        let heads: BTreeMap<UserId, u64> =
            users.iter().map(|user| (*user, self.head_of(*user))).collect();
        for &user in &users {
            self.send_new(sender, from, Target::User(user));
        }
        self.pump(sender);
        let is_sent = |world: &mut World| world.devices[sender].core.unanswered_send_count() == 0;
        if !self.run(MOVE_MS_MAX, is_sent) {
            self.explain("wait for an answer to a message");
            return false;
        }
        let wanted: Vec<(u32, UserId, Seq)> = expected
            .iter()
            .filter_map(|(d, boot)| Some((*boot, self.user_of(*d)?)))
            .flat_map(|(boot, user)| {
                let new = heads[&user] + 1..=self.head_of(user);
                new.map(move |seq| (boot, user, Seq(seq)))
            })
            .collect();
        let has_come = |world: &mut World| wanted.iter().all(|one| world.out.by_link.contains(one));
        if !self.run(PROMPT_MS, has_come) {
            let lacking: Vec<_> =
                wanted.iter().filter(|one| !self.out.by_link.contains(one)).collect();
            self.explain(&format!("are not pushed by the link {lacking:?}"));
            return false;
        }
        let is_applied = |world: &mut World| {
            expected.iter().all(|(d, _)| !world.is_live(*d) || world.is_current(*d))
        };
        if !self.run(PROMPT_MS, is_applied) {
            self.explain("do not apply what the link brought");
            return false;
        }
        true
    }

    /// A device that goes to another node is found there, although its sender's node believes it where
    /// it was.
    fn probe_move(&mut self) {
        let homes = self.homes();
        let boots = self.running();
        let found = homes.iter().find_map(|(&d, &home)| {
            let (&sender, &other) =
                homes.iter().find(|(other, boot)| **boot != home && **other != d)?;
            let to = boots.iter().find(|boot| **boot != home && **boot != other)?;
            Some((d, home, sender, *to))
        });
        let Some((d, home, sender, to)) = found else { return };
        let (Some(user), Some(node)) = (self.user_of(d), self.node_of(to)) else { return };
        let class = self.devices[d].class;
        if !self.send_and_expect(sender, &[(d, home)]) {
            return;
        }
        self.move_device(d, node);
        let has_moved = |world: &mut World| {
            // A login may be refused and tried again; it is to be on this node.
            world.devices[d].next_node = Some(node);
            let is_gone = !world.has_session(home, user, class.number());
            is_gone && world.is_live(d) && world.has_session(to, user, class.number())
        };
        if !self.run(MOVE_MS_MAX, has_moved) {
            return self.explain(&format!("wait for device {d}, which moves"));
        }
        if self.send_and_expect(sender, &[(d, to)]) {
            self.out.coverage.hit("probe: found on another node");
        }
    }

    /// A login on another node ends the older session by the link.
    fn probe_kick(&mut self) {
        let homes = self.homes();
        let boots = self.running();
        let found = homes.iter().find_map(|(&older, &home)| {
            let key = |d: usize| (self.devices[d].person, self.devices[d].class);
            let newer = (0..self.devices.len())
                .find(|d| *d != older && key(*d) == key(older) && !homes.contains_key(d))?;
            let to = boots.iter().find(|boot| **boot != home)?;
            Some((older, home, newer, *to))
        });
        let Some((older, home, newer, to)) = found else { return };
        let (Some(user), Some(node)) = (self.user_of(older), self.node_of(to)) else { return };
        let class = self.devices[older].class.number();
        let before = self.kicks_heard(home);
        self.move_device(newer, node);
        let is_there = |world: &mut World| {
            world.devices[newer].next_node = Some(node);
            world.is_live(newer)
        };
        if !self.run(MOVE_MS_MAX, is_there) {
            return self.explain(&format!("wait for device {newer}, which logs in"));
        }
        if !self.has_session(home, user, class) {
            // A head check was quicker.
            return;
        }
        let is_kicked = |world: &mut World| {
            world.kicks_heard(home) > before && !world.has_session(home, user, class)
        };
        if !self.run(PROMPT_MS, is_kicked) {
            return self.explain(&format!("wait for a kick of device {older} by the link"));
        }
        self.out.coverage.hit("probe: kicked from node to node");
    }

    /// The node on which each live device is, by its start.
    fn homes(&self) -> BTreeMap<usize, u32> {
        let mut homes = BTreeMap::new();
        for d in (0..self.devices.len()).filter(|d| self.is_live(*d)) {
            let Some(user) = self.user_of(d) else { continue };
            let class = self.devices[d].class.number();
            let boots = self.running();
            let home = boots.into_iter().find(|boot| self.has_session(*boot, user, class));
            homes.extend(home.map(|boot| (d, boot)));
        }
        homes
    }

    fn has_session(&self, boot: u32, user: UserId, class: i64) -> bool {
        let server = self.node_of(boot).and_then(|node| self.servers[node].as_ref());
        let mut has = false;
        if let Some(server) = server {
            server.node.table.for_each_of(user, |online| has |= online.class.number() == class);
        }
        has
    }

    fn kicks_heard(&self, boot: u32) -> u64 {
        let server = self.node_of(boot).and_then(|node| self.servers[node].as_ref());
        let linking = server.and_then(|server| server.linking.as_ref());
        linking.map_or(0, |linking| linking.counts().kicks_heard)
    }

    /// All nodes are up, stay so, can talk to all others, and have their answers of the directory.
    fn is_linked(&mut self) -> bool {
        let (wanted, now_us) = (self.plan.node_count - 1, self.out.agenda.now_us());
        self.servers.iter().all(|server| {
            let staying = server.as_ref().filter(|server| !server.is_draining());
            let staying = staying.filter(|server| server.asking.is_free(now_us));
            let linking = staying.and_then(|server| server.linking.as_ref());
            linking.is_some_and(|linking| linking.open_count() == wanted)
        })
    }

    /// I11: at most one live session of a user and class, the newest one, as clients, nodes and the
    /// store see it.
    fn has_newest_sessions_only(&mut self) -> bool {
        let mut reader = self.store.reader().expect("a memory store can be opened");
        for user in self.people.iter().filter_map(|person| person.user) {
            let mut sessions = Vec::new();
            for server in self.servers.iter().flatten() {
                server.node.table.for_each_of(user, |one| sessions.push((one.class, one.epoch)));
            }
            let count = sessions.len();
            sessions.sort_unstable();
            sessions.dedup_by_key(|(class, _)| *class);
            if sessions.len() < count {
                return false;
            }
            let Ok(ReadResult::Heads(heads)) = reader.read(&ReadJob::Heads { users: vec![user] })
            else {
                return false;
            };
            let epochs = heads.iter().flat_map(|head| &head.epochs);
            for (class, newest) in epochs {
                let is_older = |(of, epoch): &(_, _)| of == class && epoch < newest;
                if sessions.iter().any(is_older) {
                    return false;
                }
            }
        }
        let mut online: BTreeSet<(usize, i64)> = BTreeSet::new();
        let mut live = (0..self.devices.len()).filter(|d| self.is_live(*d));
        live.all(|d| online.insert((self.devices[d].person, self.devices[d].class.number())))
    }
}
