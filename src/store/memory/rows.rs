//! The rules' view of a memory store's transaction.

use aldis_logic::job::{CreateGroup, JobError, Ticket};
use aldis_wire::{ConversationKey, GroupId, RequestId, UserId};
use bytes::Bytes;

use super::append::Draft;
use super::state::{self, Run};
use crate::group::{Group, Stay};
use crate::record::{Key, Row, Table};
use crate::rules::{NewEvent, Placed, Rows, Ties};

impl Rows for Run<'_> {
    type Stop = JobError;

    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn has_user(&mut self, user: UserId) -> Result<bool, JobError> {
        Ok(self.state.users.contains_key(&user))
    }

    fn row(&mut self, table: Table, key: &Key) -> Result<Option<Row>, JobError> {
        Ok(self.state.rows.get(&(table, key.clone())).cloned())
    }

    fn set_row(&mut self, table: Table, key: Key, row: Row) -> Result<(), JobError> {
        self.state.rows.insert((table, key), row);
        Ok(())
    }

    fn ties(&mut self, pair: ConversationKey) -> Result<Ties, JobError> {
        Ok(self.state.conversations.get(&pair).map_or(Ties::default(), |found| found.ties))
    }

    fn set_ties(&mut self, pair: ConversationKey, ties: Ties) -> Result<(), JobError> {
        self.state.conversations.entry(pair).or_default().ties = ties;
        Ok(())
    }

    fn group(&mut self, id: GroupId) -> Result<Option<Group>, JobError> {
        Ok(self.state.groups.get(&id).map(|group| group.now()))
    }

    fn made_group(
        &mut self,
        creator: UserId,
        request_id: RequestId,
    ) -> Result<Option<GroupId>, JobError> {
        Ok(self.state.group_requests.get(&(creator, request_id)).copied())
    }

    fn make_group(&mut self, job: &CreateGroup) -> Result<GroupId, JobError> {
        let id = self.state.next_group_id();
        let group = state::Group {
            name: job.name.clone(),
            owner: job.owner,
            created_ms: self.now_ms,
            is_muted: false,
            stays: Vec::new(),
        };
        self.state.groups.insert(id, group);
        self.state.group_requests.insert((job.owner, job.request_id), id);
        Ok(id)
    }

    fn change_group(
        &mut self,
        id: GroupId,
        group: Group,
        stays: Vec<Stay>,
    ) -> Result<(), JobError> {
        let joined_ms = self.now_ms;
        let stored = self.state.groups.get_mut(&id).ok_or(JobError::Internal)?;
        (stored.owner, stored.is_muted) = (group.owner, group.is_muted);
        stored.name = group.name.to_string();
        for Stay { member, leave_seq } in stays {
            let leave_seq = (leave_seq != 0).then_some(leave_seq);
            let names = |stay: &&mut state::Stay| {
                (stay.member.user, stay.member.join_seq) == (member.user, member.join_seq)
            };
            match stored.stays.iter_mut().find(names) {
                Some(stay) => (stay.member, stay.leave_seq) = (member, leave_seq),
                None => stored.stays.push(state::Stay { member, leave_seq, joined_ms }),
            }
        }
        Ok(())
    }

    fn group_count(&mut self, user: UserId) -> Result<u64, JobError> {
        Ok(self.state.groups.values().filter(|group| group.has(user)).count() as u64)
    }

    fn was_member(&mut self, group: GroupId, user: UserId) -> Result<bool, JobError> {
        let group = self.state.groups.get(&group);
        Ok(group.is_some_and(|group| group.stays.iter().any(|stay| stay.member.user == user)))
    }

    fn add_event(
        &mut self,
        origin: Ticket,
        event: NewEvent,
        owners: &[UserId],
    ) -> Result<Placed, JobError> {
        let draft = Draft {
            msg_id: self.next_id()?,
            conversation: event.conversation,
            sender: event.actor,
            client_msg_id: None,
            kind: event.kind,
            content: event.content,
            extra: Bytes::new(),
        };
        let (seq, conv_seq) = self.deliver(origin, draft, owners);
        Ok(Placed { seq, conv_seq })
    }
}
