//! Records in MySQL, and the rules' view of a batch. Knows no rule.

use aldis_logic::job::{Appended, CreateGroup, StoredMessage, Ticket};
use aldis_wire::{
    ConvSeq, ConversationKey, DeviceClass, Epoch, GroupId, RequestId, Seq, UserId, pb,
};
use bytes::Bytes;
use mysql::Row as MysqlRow;

use super::append::{Draft, Placed as EntryPlace};
use super::batch::{Batch, NewGroup, StayRow};
use super::failure::{Abort, Stop, damaged};
use super::rows::{number, text};
use super::sql_text::SqlText;
use super::working_set::{DeviceKey, Sent, Session as StoredSession, StoredRow, VersionedGroup};
use crate::group::{Group, Member, Seats, Stay};
use crate::page::Span;
use crate::record::{Key, Row, Shape, Table, Value};
use crate::refusal::OTHER_BODY;
use crate::rules::{
    BodyChange, Deferred, KnownDevice, NewEvent, NewestSession, Once, Placed, Profile, Rows,
    SentKey, Target, Ties,
};
use crate::stays::{StoredStay, readable};

impl Rows for Batch<'_, '_> {
    type Stop = Stop;

    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn has_user(&mut self, user: UserId) -> Result<bool, Stop> {
        Ok(self.user_exists(user))
    }

    fn profile(&mut self, user: UserId) -> Result<Option<Profile>, Stop> {
        Ok(self.set.profiles.get(&user).map(|(profile, _)| profile.clone()))
    }

    fn set_profile(&mut self, user: UserId, profile: Profile) -> Result<(), Stop> {
        self.set.users.insert(user, profile.token_generation);
        self.set.profiles.insert(user, (profile, true));
        Ok(())
    }

    fn device(&mut self, user: UserId, id: &str) -> Result<Option<KnownDevice>, Stop> {
        let key = DeviceKey { user, device_id: id.to_owned() };
        let Some(device) = self.set.devices.get(&key) else { return Ok(None) };
        let class = DeviceClass::from_number(device.class.into());
        let class = class.ok_or_else(|| damaged("a class"))?;
        Ok(Some(KnownDevice { class, token_generation: device.token_generation }))
    }

    fn raise_device_generation(&mut self, user: UserId, id: &str) -> Result<(), Stop> {
        self.revoke_device(user, id);
        Ok(())
    }

    fn sessions(&mut self, user: UserId) -> Result<Vec<NewestSession>, Stop> {
        let own = |class| Some((class, self.set.sessions.get(&(user, class))?));
        let sessions = DeviceClass::ALL.into_iter().filter_map(own);
        let newest = |(class, session): (DeviceClass, &StoredSession)| {
            let (epoch, device_id) = (Epoch(session.epoch), session.device_id.clone());
            NewestSession { class, epoch, device_id }
        };
        Ok(sessions.map(newest).collect())
    }

    fn set_revoked(&mut self, user: UserId, class: DeviceClass, epoch: Epoch) -> Result<(), Stop> {
        if let Some(session) = self.set.sessions.get_mut(&(user, class)) {
            session.revoked = session.revoked.max(epoch.0);
            session.is_changed = true;
        }
        Ok(())
    }

    fn row(&mut self, table: Table, key: &Key) -> Result<Option<Row>, Stop> {
        let stored = self.set.records.get(&(table, key.clone()));
        let stored = stored.ok_or_else(|| damaged("a rule asks for a row that was not planned"))?;
        Ok(stored.row.clone())
    }

    fn set_row(&mut self, table: Table, key: Key, row: Row) -> Result<(), Stop> {
        let stored = StoredRow { row: Some(row), is_changed: true };
        self.set.records.insert((table, key), stored);
        Ok(())
    }

    fn drop_rows(&mut self, table: Table, prefix: Key) -> Result<(), Stop> {
        let loaded = self.set.records.iter_mut();
        for (_, stored) in loaded.filter(|((at, key), _)| *at == table && key.starts_with(&prefix))
        {
            *stored = StoredRow::default();
        }
        self.made.dropped.push((table, prefix));
        Ok(())
    }

    fn ties(&mut self, pair: ConversationKey) -> Result<Ties, Stop> {
        let conversation = self.set.conversations.get(&pair);
        Ok(Ties(conversation.map_or(0, |conversation| conversation.now.ties as u8)))
    }

    fn set_ties(&mut self, pair: ConversationKey, ties: Ties) -> Result<(), Stop> {
        let conversation = self.set.conversations.entry(pair).or_default();
        conversation.now.ties = ties.0.into();
        conversation.now.change_seq += 1;
        Ok(())
    }

    fn group(&mut self, id: GroupId) -> Result<Option<Group>, Stop> {
        Ok(self.set.groups.get(&id).map(|known| known.group.clone()))
    }

    fn group_for(&mut self, id: GroupId, _seats: Seats<'_>) -> Result<Option<Group>, Stop> {
        self.group(id)
    }

    fn made_group(
        &mut self,
        creator: UserId,
        request_id: RequestId,
    ) -> Result<Option<GroupId>, Stop> {
        Ok(self.set.group_requests.get(&(creator, request_id)).copied())
    }

    fn make_group(&mut self, job: &CreateGroup) -> Result<GroupId, Stop> {
        let group = self.set.group_ids.take().map(GroupId);
        let group = group.ok_or_else(|| damaged("no group ids are left"))?;
        let (creator, request_id) = (job.owner, job.request_id);
        self.made.groups.push(NewGroup { group, creator, request_id });
        self.set.group_requests.insert((creator, request_id), group);
        Ok(group)
    }

    /// What is remembered of the group elsewhere is void then.
    fn change_group(&mut self, id: GroupId, group: Group, stays: Vec<Stay>) -> Result<(), Stop> {
        for stay in &stays {
            let Member { user, join_seq, .. } = stay.member;
            let before = self.set.groups.get(&id).and_then(|known| known.group.member(user));
            let was_there = before.is_some_and(|before| before.join_seq == join_seq);
            let count = self.set.group_counts.entry(user).or_default();
            match (was_there, stay.leave_seq == 0) {
                (false, true) => *count += 1,
                (true, false) => *count = count.saturating_sub(1),
                (true, true) | (false, false) => {}
            }
            self.set.ever_members.insert((id, user));
        }
        let conversation = self.set.conversations.entry(ConversationKey::group(id)).or_default();
        let version = &mut conversation.now.member_version;
        *version += 1;
        let has_all = self.set.groups.get(&id).is_none_or(|known| known.has_all);
        self.set.groups.insert(id, VersionedGroup { version: *version, has_all, group });
        self.made.stays.extend(stays.into_iter().map(|stay| StayRow { group: id, stay }));
        self.made.changed_groups.push(id);
        Ok(())
    }

    fn group_count(&mut self, user: UserId) -> Result<u64, Stop> {
        Ok(self.set.group_counts.get(&user).copied().unwrap_or(0))
    }

    fn was_member(&mut self, group: GroupId, user: UserId) -> Result<bool, Stop> {
        Ok(self.set.ever_members.contains(&(group, user)))
    }

    fn stays(&mut self, group: GroupId, user: UserId) -> Result<Vec<Span>, Stop> {
        let mut stays = self.set.stays.get(&(group, user)).cloned().unwrap_or_default();
        let made = self.made.stays.iter().filter(|made| made.group == group);
        let own = made.map(|made| made.stay).filter(|stay| stay.member.user == user);
        for Stay { member, leave_seq, from_seq } in own {
            let begun = StoredStay::of_row(member.join_seq, leave_seq, from_seq);
            stays.entry(member.join_seq).or_insert(begun).leave_seq = leave_seq;
        }
        let stays: Vec<StoredStay> = stays.into_values().collect();
        Ok(readable(&stays, u64::MAX))
    }

    fn deferred(&mut self) -> &mut Deferred {
        &mut self.deferred
    }

    fn target(
        &mut self,
        conversation: ConversationKey,
        conv_seq: ConvSeq,
    ) -> Result<Option<Target>, Stop> {
        let made = self.made.entries.iter().map(|entry| &entry.message);
        let stored = self.set.targets.get(&(conversation, conv_seq)).copied();
        let target = stored.or_else(|| {
            let is_it = |message: &&StoredMessage| {
                (message.conversation, message.conv_seq) == (conversation, conv_seq)
            };
            made.rev().find(is_it).map(|message| Target {
                msg_id: message.msg_id,
                msg_no: message.msg_no,
                sender: message.sender,
                kind: message.kind,
                time_ms: message.time_ms,
                flags: message.flags,
                edit_seq: 0,
            })
        });
        let change = self.made.bodies.get(&(conversation, conv_seq));
        Ok(target.map(|target| match change {
            Some(change) => Target { flags: change.flags, edit_seq: change.edit_seq, ..target },
            None => target,
        }))
    }

    fn change_body(
        &mut self,
        conversation: ConversationKey,
        conv_seq: ConvSeq,
        change: BodyChange,
    ) -> Result<(), Stop> {
        self.made.bodies.insert((conversation, conv_seq), change);
        Ok(())
    }

    fn is_repeat(&mut self, key: &SentKey, once: &Once, kind: pb::MsgType) -> Result<bool, Stop> {
        let Some(sent) = self.set.sent.get(key) else { return Ok(false) };
        match sent.body_hash == self.stored_hash.event(kind, &once.body) {
            true => Ok(true),
            false => Err(OTHER_BODY.into()),
        }
    }

    fn add_event(
        &mut self,
        origin: Ticket,
        event: NewEvent,
        owners: &[UserId],
    ) -> Result<Placed, Stop> {
        let hash = |once: &Once| self.stored_hash.event(event.kind, &once.body);
        let body_hash = event.once.as_ref().map(hash);
        let draft = Draft {
            msg_id: self.next_id()?,
            conversation: event.conversation,
            sender: event.actor,
            client_msg_id: event.once.as_ref().map(Once::client_msg_id),
            body_hash: body_hash.unwrap_or(0),
            kind: event.kind,
            content: event.content,
            extra: Bytes::new(),
            refs: Bytes::new(),
            stream: event.stream,
        };
        let owners = owners.iter().map(|&owner| (owner, Seq(0))).collect();
        let (msg_id, client_msg_id) = (draft.msg_id, draft.client_msg_id);
        let EntryPlace { entry, conv_seq } = self.deliver(origin, draft, owners);
        if let (Some(client_msg_id), Some(body_hash)) = (client_msg_id, body_hash) {
            let (sender, conversation) = (event.actor, event.conversation);
            let key = SentKey { client_msg_id, sender, conversation };
            let first = Appended { msg_id, seq: Seq(0), conv_seq, time_ms: self.now_ms };
            self.set.sent.insert(key, Sent { first, body_hash, entry: Some(entry) });
        }
        Ok(Placed { seq: Seq(0), conv_seq })
    }
}

/// A statement that asks for rows by their keys, one by one through the primary key.
pub(super) fn ask_for(sql: &mut SqlText, table: Table, rows: &[(Table, Key)], is_mariadb: bool) {
    let shape = table.shape();
    sql.statement("WITH k (");
    names(sql, "", shape.keys);
    sql.push(") AS (VALUES ").list(rows, |sql, (_, key)| {
        sql.push(if is_mariadb { "(" } else { "ROW(" });
        sql.list(key.iter(), |sql, &number| {
            sql.number(number);
        });
        sql.push(")");
    });
    sql.push(") SELECT ");
    names(sql, "r.", shape.keys);
    sql.push(",");
    names(sql, "r.", shape.columns);
    sql.push(" FROM k STRAIGHT_JOIN ").push(shape.name).push(" r FORCE INDEX (PRIMARY) ON ");
    for (position, key) in shape.keys.iter().enumerate() {
        sql.push(if position > 0 { " AND r." } else { "r." }).push(key).push(" = k.").push(key);
    }
}

/// A row of [`ask_for`].
pub(super) fn take(row: &mut MysqlRow, table: Table) -> Result<(Key, Row), Abort> {
    let shape = table.shape();
    let key = (0..shape.keys.len()).map(|at| number(row, at)).collect::<Result<Key, _>>()?;
    Ok((key, values(row, shape, shape.keys.len())?))
}

/// A statement that makes or replaces rows of a table.
pub(super) fn write(sql: &mut SqlText, table: Table, rows: &[(&Key, &Row)]) {
    let shape = table.shape();
    sql.statement("INSERT INTO ").push(shape.name).push(" (");
    names(sql, "", shape.keys);
    sql.push(",");
    names(sql, "", shape.columns);
    sql.push(") VALUES ").list(rows, |sql, (key, row)| {
        sql.push("(").list(key.iter(), |sql, &number| {
            sql.number(number);
        });
        for value in *row {
            match value {
                Value::Number(value) => sql.push(",").number(*value),
                Value::Text(value) => sql.push(",").text(value),
            };
        }
        sql.push(")");
    });
    sql.push(" ON DUPLICATE KEY UPDATE ").list(shape.columns, |sql, column| {
        sql.push(column).push(" = VALUES(").push(column).push(")");
    });
}

/// A statement that drops the rows whose keys begin so.
pub(super) fn write_drop(sql: &mut SqlText, table: Table, prefix: &Key) {
    let shape = table.shape();
    sql.statement("DELETE FROM ").push(shape.name);
    for (position, (key, number)) in shape.keys.iter().zip(prefix).enumerate() {
        sql.push(if position > 0 { " AND " } else { " WHERE " }).push(key);
        sql.push(" = ").number(*number);
    }
}

/// Names of columns, with commas between them.
pub(super) fn names(sql: &mut SqlText, prefix: &'static str, names: &[&'static str]) {
    sql.list(names, |sql, name| {
        sql.push(prefix).push(name);
    });
}

/// The columns that begin at `from`.
pub(super) fn values(row: &mut MysqlRow, shape: &Shape, from: usize) -> Result<Row, Abort> {
    (0..shape.columns.len())
        .map(|at| match at < shape.number_count {
            true => Ok(Value::Number(number(row, from + at)?)),
            false => Ok(Value::Text(text(row, from + at)?)),
        })
        .collect()
}
