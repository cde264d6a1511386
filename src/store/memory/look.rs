//! What lists look at, in a memory store.

use aldis_logic::job::{JobError, StoredMessage};
use aldis_wire::{ConvSeq, ConversationKey, GroupId, UserId};

use super::state::State;
use crate::group::{Group, Role};
use crate::lists::{FirstAbove, Look, Outline, Place, Scan, Search, Standing};
use crate::record::{Key, Record, Row, Table, View};
use crate::rules::Ties;
use crate::stays::StoredStay;

impl State {
    fn outline(&self, place: Place) -> Result<Outline, JobError> {
        let entry = self.entry(place.conversation, ConvSeq(place.conv_seq));
        Ok(outline(entry.ok_or(JobError::Internal)?))
    }

    fn stays_of(&self, group: GroupId, user: UserId) -> Vec<StoredStay> {
        self.groups.get(&group).map(|group| group.stay_rows(user)).unwrap_or_default()
    }
}

fn outline(entry: &StoredMessage) -> Outline {
    Outline {
        place: Place { conversation: entry.conversation, conv_seq: entry.conv_seq.0 },
        msg_id: entry.msg_id,
        msg_no: entry.msg_no.0,
        kind: entry.kind,
        time_ms: entry.time_ms,
    }
}

impl Scan for &State {
    type Stop = JobError;

    fn role(&mut self, group: GroupId, user: UserId) -> Result<Option<Role>, JobError> {
        Ok(self.groups.get(&group).and_then(|group| group.role(user)))
    }

    fn has_user(&mut self, user: UserId) -> Result<bool, JobError> {
        Ok(self.users.contains_key(&user))
    }

    fn rows(&mut self, table: Table, keys: &[Key]) -> Result<Vec<Option<Row>>, JobError> {
        Ok(keys.iter().map(|key| self.rows.get(&(table, key.clone())).cloned()).collect())
    }

    fn ties(&mut self, pairs: &[ConversationKey]) -> Result<Vec<Ties>, JobError> {
        let ties = |pair| self.conversations.get(pair).map_or(Ties::default(), |found| found.ties);
        Ok(pairs.iter().map(ties).collect())
    }

    fn group(&mut self, group: GroupId, members_max: usize) -> Result<Group, JobError> {
        let group = self.groups.get(&group).map(|group| group.now()).unwrap_or_default();
        let members = group.members.iter().take(members_max).copied().collect();
        Ok(Group { members, ..group })
    }

    fn scan(
        &mut self,
        table: Table,
        prefix: &[u64],
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Row)>, JobError> {
        let rows =
            self.rows.iter().filter(|((at, key), _)| *at == table && key.starts_with(prefix));
        let numbered = rows.filter_map(|((_, key), row)| Some((*key.get(prefix.len())?, row)));
        let above = numbered.filter(|(number, _)| *number > after).take(limit);
        Ok(above.map(|(number, row)| (number, row.clone())).collect())
    }
}

impl Look for &State {
    fn pinned(&mut self, user: UserId) -> Result<Vec<ConversationKey>, JobError> {
        let mut pinned: Vec<(u64, ConversationKey)> = Vec::new();
        for ((table, key), row) in &self.rows {
            let (Table::View, &[owner, lo, hi]) = (table, &key[..]) else { continue };
            let view = View::from_row(row.clone()).unwrap_or_default();
            if owner == user.0 && view.pinned_ms > 0 {
                pinned.push((view.pinned_ms, ConversationKey { lo, hi }));
            }
        }
        pinned.sort_unstable_by(|a, b| b.cmp(a));
        Ok(pinned.into_iter().map(|(_, key)| key).collect())
    }

    fn members(
        &mut self,
        group: GroupId,
        after: UserId,
        limit: usize,
    ) -> Result<Vec<UserId>, JobError> {
        let Some(group) = self.groups.get(&group) else { return Ok(vec![]) };
        let mut users: Vec<UserId> = group.current().map(|stay| stay.member.user).collect();
        users.retain(|&user| user > after);
        users.sort_unstable();
        users.truncate(limit);
        Ok(users)
    }

    fn cursors(&mut self, users: &[UserId]) -> Result<Vec<u64>, JobError> {
        let cursor = |user: &UserId| {
            let devices = self.devices.iter().filter(|((owner, _), _)| owner == user);
            devices.map(|(_, device)| device.cursor).max().unwrap_or(0)
        };
        Ok(users.iter().map(cursor).collect())
    }

    fn heads(&mut self, owners: &[UserId]) -> Result<Vec<u64>, JobError> {
        Ok(owners.iter().map(|&owner| self.head(owner)).collect())
    }

    fn mailbox(
        &mut self,
        owner: UserId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Outline)>, JobError> {
        let entries = self.mailboxes.range((owner, 0)..=(owner, from)).rev().take(limit);
        let placed = |((_, seq), (conversation, at)): (&(UserId, u64), &(_, ConvSeq))| {
            Ok((*seq, self.outline(Place { conversation: *conversation, conv_seq: at.0 })?))
        };
        entries.map(placed).collect()
    }

    fn first_above(
        &mut self,
        conversation: ConversationKey,
        parts: &[FirstAbove],
    ) -> Result<Vec<Option<u64>>, JobError> {
        let first = |part: &FirstAbove| {
            let range = (part.owner, part.above.saturating_add(1))..=(part.owner, part.last);
            let mut entries = self.mailboxes.range(range);
            entries.find(|(_, (key, _))| *key == conversation).map(|(_, (_, at))| at.0)
        };
        Ok(parts.iter().map(first).collect())
    }

    fn standings(
        &mut self,
        user: UserId,
        keys: &[ConversationKey],
    ) -> Result<Vec<Standing>, JobError> {
        let standing = |key: &ConversationKey| {
            let found = self.conversations.get(key);
            let head = found.map_or(0, |found| found.entries.len() as u64);
            let stays = key.as_group().map_or(vec![], |group| self.stays_of(group, user));
            Standing { head, stays }
        };
        Ok(keys.iter().map(standing).collect())
    }

    fn outlines(&mut self, places: &[Place]) -> Result<Vec<Outline>, JobError> {
        places.iter().map(|&place| self.outline(place)).collect()
    }

    fn newest(&mut self, wanted: &[Search]) -> Result<Vec<Option<Outline>>, JobError> {
        let newest = |search: &Search| {
            let entries = &self.conversations.get(&search.conversation)?.entries;
            let is_in =
                |at: u64| search.spans.iter().any(|span| (span.first..=span.last).contains(&at));
            let is_wanted = |entry: &&std::sync::Arc<StoredMessage>| {
                let is_senders = search.sender.is_none_or(|sender| entry.sender == sender);
                entry.kind.is_message() && is_senders && is_in(entry.conv_seq.0)
            };
            entries.iter().rev().find(is_wanted).map(|entry| outline(entry))
        };
        Ok(wanted.iter().map(newest).collect())
    }

    fn messages(
        &mut self,
        entries: &[Outline],
        _bytes_max: usize,
    ) -> Result<Vec<StoredMessage>, JobError> {
        let message = |outline: &Outline| {
            let Place { conversation, conv_seq } = outline.place;
            let entry = self.entry(conversation, ConvSeq(conv_seq)).ok_or(JobError::Internal)?;
            Ok((**entry).clone())
        };
        entries.iter().map(message).collect()
    }
}
