//! What people change of what was said and of who may say something: recalls, edits, blocks, removals,
//! ends of groups; and how two versions of an entry are compared. Knows nothing of the server.

use aldis_client::core::{Request, Target};
use aldis_wire::{UserId, pb};

use crate::app::Asked;
use crate::world::World;

/// Time for one user to lift a block when nothing goes wrong, ms.
const PEACE_MS_MAX: u64 = 60_000;

/// Whether both are the same entry. What it says may differ if one of them was recalled or edited.
pub fn is_version_of(one: &pb::MessageData, other: &pb::MessageData) -> bool {
    one == other || (one.flags | other.flags != 0 && place(one) == place(other))
}

/// What never changes of an entry.
fn place(entry: &pb::MessageData) -> pb::MessageData {
    pb::MessageData {
        content: Default::default(),
        extra: Default::default(),
        flags: 0,
        reply_to_msg_id: 0,
        mention_ids: Vec::new(),
        ..entry.clone()
    }
}

impl World {
    /// The owner of a device changes something.
    pub fn change_something(&mut self, d: usize, user: UserId) {
        match self.out.dice.below(100) {
            0..45 => self.change_message(d, user),
            45..60 => self.block(d, user),
            60..80 => self.unblock(d, user),
            80..95 => self.remove_members(d),
            _ => self.dissolve(d),
        }
    }

    /// An own message says something else, or nothing.
    fn change_message(&mut self, d: usize, user: UserId) {
        let keys = self.ledger.acknowledged_by(user);
        if keys.is_empty() {
            return;
        }
        // Few, so that some are changed several times.
        let key = keys[self.out.dice.below(keys.len().min(4) as u64) as usize];
        let Some(record) = self.ledger.record(key) else { return };
        let Some(conv_seq) = record.ack.as_ref().map(|ack| ack.conv_seq) else { return };
        let (receiver_id, group_id) = match record.message.target {
            Target::User(peer) => (peer.0, 0),
            Target::Group(group) => (0, group.0),
        };
        if self.out.dice.chance(300) {
            let body = pb::RecallReq { receiver_id, group_id, conv_seq };
            return self.ask(d, Request::Recall(body), Asked::Change("client: message recalled"));
        }
        let request_id = self.devices[d].core.new_request_id(self.out.agenda.now_ms()).0;
        let body = pb::EditReq {
            receiver_id,
            group_id,
            conv_seq,
            request_id: request_id.to_vec().into(),
            content: format!("edited {}", self.out.dice.bits()).into(),
            extra: Default::default(),
        };
        self.ask(d, Request::Edit(body), Asked::Change("client: message edited"));
    }

    fn block(&mut self, d: usize, user: UserId) {
        let users: Vec<UserId> = self.people.iter().filter_map(|person| person.user).collect();
        let peer = *self.out.dice.pick(&users);
        if peer != user {
            self.ledger.blocks.insert((user, peer));
            let body = pb::BlockReq { user_id: peer.0 };
            self.ask(d, Request::Block(body), Asked::Change("client: user blocked"));
        }
    }

    fn unblock(&mut self, d: usize, user: UserId) {
        let blocks = self.ledger.blocks.iter();
        let peers: Vec<UserId> =
            blocks.filter(|(blocker, _)| *blocker == user).map(|(_, peer)| *peer).collect();
        if !peers.is_empty() {
            let body = pb::UnblockReq { user_id: self.out.dice.pick(&peers).0 };
            self.ask(d, Request::Unblock(body), Asked::Change("client: user unblocked"));
        }
    }

    fn remove_members(&mut self, d: usize) {
        let Some(group) = self.pick_group() else { return };
        let user_ids = self.some_users();
        let own = self.user_of(d).map_or(0, |user| user.0);
        let user_ids: Vec<u64> = user_ids.into_iter().filter(|id| *id != own).collect();
        if !user_ids.is_empty() {
            let body = pb::GroupRemoveReq { group_id: group.0, user_ids };
            self.ask(d, Request::GroupRemove(body), Asked::Change("client: members put out"));
        }
    }

    fn dissolve(&mut self, d: usize) {
        let Some(group) = self.pick_group() else { return };
        let body = pb::GroupDissolveReq { group_id: group.0 };
        self.ask(d, Request::GroupDissolve(body), Asked::Change("client: group dissolved"));
    }

    /// Everybody who blocked somebody ends that: what comes then needs all who can write. False: that
    /// cannot be done.
    pub fn make_peace(&mut self) -> bool {
        for (user, peer) in self.ledger.blocks.clone() {
            let of_user = |d: &usize| self.user_of(*d) == Some(user);
            let own: Vec<usize> = (0..self.devices.len()).filter(of_user).collect();
            let Some(&d) = own.iter().find(|d| self.is_live(**d)).or(own.first()) else { continue };
            if !self.is_live(d) {
                self.log_in(d);
            }
            let body = pb::UnblockReq { user_id: peer.0 };
            self.ask(d, Request::Unblock(body), Asked::Change("client: user unblocked"));
            self.pump(d);
            if !self.run(PEACE_MS_MAX, |world| world.devices[d].asked.is_empty()) {
                self.explain("cannot lift a block");
                return false;
            }
        }
        true
    }
}
