//! Notifications that are in no store, on their way to other nodes: at most once, to where their users
//! are known to be. Deliveries go before: where there is little room, notifications are dropped.

use std::collections::VecDeque;
use std::sync::Arc;

use aldis_wire::{Command, UserId, node_pb};
use node_pb::node_message::Body;
use smallvec::SmallVec;

use super::effect::{LinkEffect, LinkFlow};
use super::hub::Hub;
use super::router::encode;
use super::routes::Route;
use crate::job::NodeId;
use crate::notice::{self, Notice};
use crate::presence::Hints;

/// Notifications that wait for a look into the directory: what comes within one such look.
const WAITING_MAX: usize = 256;
/// Bytes of them.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// Users whom one notification of another node is for. This program sends fewer.
const USERS_MAX: usize = 4_096;

/// Notifications whose users are looked for.
#[derive(Debug, Default)]
pub(super) struct Notices {
    waiting: VecDeque<Notice>,
    bytes: usize,
}

impl Notices {
    /// Keeps one. False: there is no room.
    #[must_use]
    fn park(&mut self, notice: Notice) -> bool {
        let weight = notice.weight();
        if self.waiting.len() >= WAITING_MAX || self.bytes + weight > WAITING_BYTES_MAX {
            return false;
        }
        self.bytes += weight;
        self.waiting.push_back(notice);
        true
    }

    /// These users were looked for: what waited for them. They are ascending.
    fn take_found(&mut self, users: &[UserId]) -> Vec<Notice> {
        let mut found = Vec::new();
        for waiting in &mut self.waiting {
            let is_asked = |user: &UserId| users.binary_search(user).is_ok();
            let (known, rest) = waiting.users.iter().copied().partition(is_asked);
            waiting.users = rest;
            found.push(Notice { users: known, ..waiting.clone() });
        }
        found.retain(|notice| !notice.users.is_empty());
        self.waiting.retain(|waiting| !waiting.users.is_empty());
        self.bytes = self.waiting.iter().map(Notice::weight).sum();
        found
    }
}

/// Users of one notification by node; few nodes.
#[derive(Debug, Default)]
struct ByNode(SmallVec<[(NodeId, Vec<u64>); 2]>);

impl ByNode {
    /// The user is there; a node is told once of each.
    fn add(&mut self, node: NodeId, user: UserId) {
        match self.0.iter_mut().find(|(known, _)| *known == node) {
            Some((_, users)) if users.last() == Some(&user.0) => {}
            Some((_, users)) => users.push(user.0),
            None => self.0.push((node, vec![user.0])),
        }
    }
}

impl Hub {
    /// Users are told something that is in no store.
    pub fn handle_notice(&mut self, now_ms: u64, notice: Notice) {
        if !self.routes.has_peers() {
            return;
        }
        let unknown = self.send_notice(now_ms, &notice);
        if unknown.is_empty() {
            return;
        }
        let is_kept = self.lot.has_room_for_hints()
            && self.notices.park(Notice { users: unknown.clone(), ..notice });
        if !is_kept {
            self.counts.notices_dropped += 1;
            return;
        }
        unknown.into_iter().for_each(|user| self.lot.want(user));
        self.look_up();
    }

    /// Sessions began or ended here. All nodes are told, because any may have somebody who watches; what is
    /// lost is found by looking now and then.
    pub fn handle_hints(&mut self, hints: &Hints) {
        let ids = |users: &[UserId]| users.iter().map(|user| user.0).collect();
        let said = node_pb::PresenceHints { came: ids(&hints.came), left: ids(&hints.left) };
        let message = encode(Body::Presence(said));
        let nodes: Vec<NodeId> = self.peers.open().collect();
        for node in nodes.into_iter().filter(|node| self.peers.takes_deliveries(*node)) {
            let (flow, message) = (LinkFlow::Unordered, message.clone());
            self.effects.push_back(LinkEffect::Send { node, flow, message });
        }
    }

    /// Sessions began or ended on another node.
    pub(super) fn handle_hints_heard(&mut self, said: node_pb::PresenceHints) {
        let users = |ids: Vec<u64>| ids.into_iter().map(UserId).collect();
        let hints = Hints { came: users(said.came), left: users(said.left) };
        self.effects.push_back(LinkEffect::Hints(Arc::new(hints)));
    }

    /// The directory was asked about these users.
    pub(super) fn handle_notices_found(&mut self, now_ms: u64, asked: &[UserId]) {
        let mut asked = asked.to_vec();
        asked.sort_unstable();
        for notice in self.notices.take_found(&asked) {
            // Of whom nothing is known now, nobody knows anything.
            self.send_notice(now_ms, &notice);
        }
    }

    /// Another node says something to users of this one.
    pub(super) fn handle_notice_heard(&mut self, said: node_pb::Notice) {
        let command = u16::try_from(said.command).ok().and_then(Command::from_server);
        let Some(command) = command.filter(|command| Command::NOTIFICATIONS.contains(command))
        else {
            return;
        };
        self.counts.notices_heard += 1;
        let users = said.user_ids.into_iter().take(USERS_MAX).map(UserId).collect();
        let notice = Notice { command, body: said.body, users };
        for (reactor, mail) in notice::place(&notice, &self.node.table) {
            self.effects.push_back(LinkEffect::Post { reactor, mail });
        }
    }

    /// Sends it to where its users are known to be; those of whom nothing is known.
    fn send_notice(&mut self, now_ms: u64, notice: &Notice) -> SmallVec<[UserId; 2]> {
        let (mut nodes, mut unknown) = (ByNode::default(), SmallVec::new());
        for &user in &notice.users {
            if !self.config.has_directory {
                self.guesses().into_iter().for_each(|node| nodes.add(node, user));
                continue;
            }
            match self.routes.of(user, now_ms) {
                Route::Fresh(sessions) | Route::Stale(sessions) => {
                    sessions.iter().for_each(|session| nodes.add(session.node, user));
                }
                Route::Unknown => unknown.push(user),
            }
        }
        for (node, user_ids) in nodes.0 {
            if !self.peers.takes_deliveries(node) {
                self.counts.notices_dropped += 1;
                continue;
            }
            self.counts.notices_sent += 1;
            let (command, body) = (notice.command.id().into(), notice.body.clone());
            let message = encode(Body::Notice(node_pb::Notice { command, body, user_ids }));
            let flow = LinkFlow::Unordered;
            self.effects.push_back(LinkEffect::Send { node, flow, message });
        }
        unknown
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn notice(users: &[u64], bytes: usize) -> Notice {
        let users = users.iter().copied().map(UserId).collect();
        Notice { command: Command::TypingNotify, body: Bytes::from(vec![0; bytes]), users }
    }

    #[test]
    fn what_waits_goes_on_for_those_who_were_found_and_is_bounded() {
        let mut notices = Notices::default();
        assert!(notices.park(notice(&[1, 2], 10)));
        assert!(notices.park(notice(&[2, 3], 10)));
        let found = notices.take_found(&[UserId(2), UserId(3)]);
        assert_eq!(found, [notice(&[2], 10), notice(&[2, 3], 10)]);
        assert_eq!(notices.waiting, [notice(&[1], 10)]);
        assert_eq!(notices.take_found(&[UserId(1)]), [notice(&[1], 10)]);
        assert_eq!(notices.bytes, 0);
        assert!(!notices.park(notice(&[1], WAITING_BYTES_MAX)));
        let count = (0..).take_while(|_| notices.park(notice(&[1], 1))).count();
        assert_eq!(count, WAITING_MAX);
    }
}
