//! Users and groups in the state that a column of the table names, and the check of a cell.

use aldis_scenario::requests::{group_text, text_to};
use aldis_scenario::{RawClient, SeededUser, Server, login};
use aldis_wire::{Code, Command, DeviceClass, Message, pb};

use crate::bodies::{MISSING, Subject, body};
use crate::table::{GROUPS, Matrix, Row, SESSIONS, USERS};

/// A user who is logged in.
struct Person {
    id: u64,
    client: RawClient,
    /// The last seq that earlier cells left in the mailbox.
    seen: u64,
}

impl Person {
    fn login(node: &Server, user: &SeededUser) -> Self {
        Self { id: user.id, client: login(node, user).0, seen: 0 }
    }

    /// A request that must be answered OK.
    fn does(&mut self, command: Command, body: &impl Message) {
        let reply = self.client.call(command, body);
        assert_eq!(reply.code(), Code::Ok, "{command:?}: {}", reply.error().message);
    }

    /// A message that must be stored; its conv_seq.
    fn says(&mut self, body: &pb::MsgSendReq) -> u64 {
        self.client.send_message(body).conv_seq
    }

    /// The mailbox since the last cell.
    fn entries(&mut self) -> Vec<pb::MessageData> {
        self.client.sync_all(self.seen)
    }
}

/// One cell of a table.
struct Cell<'a> {
    row: &'a Row,
    column: &'static str,
    code: Code,
}

impl Cell<'_> {
    /// Asks; what is wrong with the answer.
    fn ask(&self, client: &mut RawClient, about: &Subject) -> Option<String> {
        let reply = client.call_raw(self.row.command.id(), &body(&self.row.name, about));
        self.judge(reply.code())
    }

    /// Holds an answer against the table.
    fn judge(&self, code: Code) -> Option<String> {
        let Self { row, column, code: wanted } = self;
        (code != *wanted).then(|| format!("{}, {column}: {code}, not {wanted}", row.name))
    }
}

/// See the file's first line.
pub struct World<'a> {
    /// Where the one who asks is.
    near: &'a Server,
    /// Where all others are.
    far: &'a Server,
    actor: Person,
    owner: Person,
    member: Person,
    admin: Person,
    asker: Person,
    outsider: u64,
    seeded: u32,
}

impl<'a> World<'a> {
    /// Users who know nothing of each other, one of them on `near`.
    pub fn new(near: &'a Server, far: &'a Server) -> Self {
        let person = |node: &Server, name: &str| {
            let user = &node.seed_users(name, 1, DeviceClass::Phone)[0];
            Person::login(node, user)
        };
        Self {
            actor: person(near, "actor"),
            owner: person(far, "owner"),
            member: person(far, "member"),
            admin: person(far, "admin"),
            asker: person(far, "asker"),
            outsider: person(far, "outsider").id,
            near,
            far,
            seeded: 0,
        }
    }

    /// Every cell of every table.
    pub fn check_all(&mut self) {
        let mut wrong = self.check(SESSIONS, Self::check_session);
        wrong.extend(self.check(USERS, Self::check_user));
        wrong.extend(self.check(GROUPS, Self::check_group));
        assert!(wrong.is_empty(), "answers that are not the table's:\n{}", wrong.join("\n"));
    }

    fn check(
        &mut self,
        table: &'static str,
        check: fn(&mut Self, &Cell<'_>) -> Option<String>,
    ) -> Vec<String> {
        let Matrix { columns, rows } = Matrix::parse(table);
        let mut wrong = Vec::new();
        for row in &rows {
            for (&column, &code) in columns.iter().zip(&row.codes) {
                let Some(code) = code else { continue };
                wrong.extend(check(self, &Cell { row, column, code }));
            }
        }
        wrong
    }

    /// A user whom nobody knows yet, not logged in.
    fn stranger(&mut self, node: &Server) -> SeededUser {
        self.seeded += 1;
        let name = format!("stranger{}", self.seeded);
        node.seed_users(&name, 1, DeviceClass::Phone).remove(0)
    }

    fn check_session(&mut self, cell: &Cell<'_>) -> Option<String> {
        let about = Subject { outsider: self.outsider, ..Subject::default() };
        let user = self.stranger(self.near);
        let mut client = RawClient::connect(self.near.address());
        if cell.column == "user" {
            client.login_with_token(&user);
        }
        match cell.row.command {
            Command::Login => cell.judge(client.call(Command::Login, &user.login_body()).code()),
            _ => cell.ask(&mut client, &about),
        }
    }

    fn check_user(&mut self, cell: &Cell<'_>) -> Option<String> {
        let seeded = self.stranger(self.far);
        let mut peer = Person::login(self.far, &seeded);
        let actor = &mut self.actor;
        let (mine, theirs) = (text_to(peer.id, "mine"), text_to(actor.id, "theirs"));
        let mut about = Subject { user: peer.id, ..Subject::default() };
        about.mine = actor.says(&mine);
        about.theirs = peer.says(&theirs);
        let (to_actor, to_peer) = (actor.id, peer.id);
        let apply = pb::FriendApplyReq { user_id: to_actor, reason: String::new() };
        let accept = pb::FriendHandleReq { user_id: to_peer, accept: true };
        match cell.column {
            "self" => {
                about.user = actor.id;
                about.mine = actor.says(&text_to(to_actor, "a note"));
            }
            "missing" => about.user = MISSING,
            "asked" => peer.does(Command::FriendApply, &apply),
            "friend" | "dropped" => {
                peer.does(Command::FriendApply, &apply);
                actor.does(Command::FriendHandle, &accept);
            }
            "barred" => peer.does(Command::Block, &pb::BlockReq { user_id: to_actor }),
            "bars" => actor.does(Command::Block, &pb::BlockReq { user_id: to_peer }),
            "nobody" | "stranger" => {}
            other => panic!("no column {other}"),
        }
        if cell.column == "dropped" {
            peer.does(Command::FriendDelete, &pb::FriendDeleteReq { user_id: to_actor });
        }
        self.check_cell(cell, &about, &mut [peer])
    }

    fn check_group(&mut self, cell: &Cell<'_>) -> Option<String> {
        let is_member = !matches!(cell.column, "outsider" | "missing");
        let mut members = vec![self.member.id, self.admin.id];
        members.extend(is_member.then_some(self.actor.id));
        let group_id = self.owner.client.create_group(members);
        let (actor_id, owner) = (self.actor.id, &mut self.owner);
        let join_mode = Some(pb::JoinMode::Asked.into());
        let asked = pb::GroupUpdateReq { group_id, join_mode, ..Default::default() };
        owner.does(Command::GroupUpdate, &asked);
        let admin = pb::GroupRole::Admin.into();
        let promote = |user_id| pb::GroupSetRoleReq { group_id, user_id, role: admin };
        owner.does(Command::GroupSetRole, &promote(self.admin.id));
        let join = pb::GroupJoinReq { group_id, reason: String::new() };
        self.asker.does(Command::GroupJoin, &join);
        let mut about = Subject {
            group: group_id,
            member: self.member.id,
            admin: self.admin.id,
            owner: owner.id,
            asker: self.asker.id,
            outsider: self.outsider,
            ..Subject::default()
        };
        about.theirs = self.member.says(&group_text(group_id, "theirs"));
        about.mine = about.theirs;
        if is_member {
            about.mine = self.actor.says(&group_text(group_id, "mine"));
        }
        let mute = pb::GroupMuteReq { group_id, user_id: actor_id, seconds: 60, all_muted: false };
        let remove = pb::GroupRemoveReq { group_id, user_ids: vec![actor_id] };
        let leave = pb::GroupLeaveReq { group_id };
        let transfer = pb::GroupTransferReq { group_id, user_id: actor_id };
        match cell.column {
            "missing" => about.group = MISSING,
            "muted" => owner.does(Command::GroupMute, &mute),
            "admin" => owner.does(Command::GroupSetRole, &promote(actor_id)),
            "owner" => owner.does(Command::GroupTransfer, &transfer),
            "left" => self.actor.does(Command::GroupLeave, &leave),
            "removed" => owner.does(Command::GroupRemove, &remove),
            "ended" => owner.does(Command::GroupDissolve, &pb::GroupDissolveReq { group_id }),
            "nobody" | "outsider" | "member" => {}
            other => panic!("no column {other}"),
        }
        self.check_cell(cell, &about, &mut [])
    }

    /// Asks; what is refused has made no entry for anybody and changed none.
    fn check_cell(
        &mut self,
        cell: &Cell<'_>,
        about: &Subject,
        peers: &mut [Person],
    ) -> Option<String> {
        let Self { near, actor, owner, member, admin, asker, .. } = self;
        let mut people = vec![actor, owner, member, admin, asker];
        people.extend(peers);
        let before: Vec<_> = people.iter_mut().map(|person| person.entries()).collect();
        let wrong = match cell.column {
            "nobody" => cell.ask(&mut RawClient::connect(near.address()), about),
            _ => cell.ask(&mut people[0].client, about),
        };
        let after: Vec<_> = people.iter_mut().map(|person| person.entries()).collect();
        let is_done = cell.code != Code::Ok && before != after;
        for (person, entries) in people.into_iter().zip(after) {
            person.seen = entries.last().map_or(person.seen, |entry| entry.seq);
            person.client.forget_kept();
        }
        let name = &cell.row.name;
        wrong.or_else(|| is_done.then(|| format!("{name}, {}: refused, but done", cell.column)))
    }
}
