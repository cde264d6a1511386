//! What SEARCH reads of a memory store. Knows no query.

use aldis_logic::job::{IndexBlock, JobError, StoredMessage};
use aldis_wire::{ConversationKey, GroupId, Seq, UserId, pb};

use super::state::State;
use crate::search::{self, Mailbox, Names};

impl Mailbox for &State {
    type Stop = JobError;

    fn head(&mut self, owner: UserId) -> Result<Seq, JobError> {
        Ok(Seq(State::head(self, owner)))
    }

    fn blocks(
        &mut self,
        owner: UserId,
        first: u64,
        last: u64,
    ) -> Result<Vec<IndexBlock>, JobError> {
        let blocks = self.search_blocks.range((owner, first)..=(owner, last));
        let block = |(&(_, number), data): (&(UserId, u64), &bytes::Bytes)| IndexBlock {
            number,
            data: data.clone(),
        };
        Ok(blocks.map(block).collect())
    }

    fn texts(
        &mut self,
        owner: UserId,
        seqs: &[u64],
    ) -> Result<Vec<(Seq, StoredMessage)>, JobError> {
        let entry = |&seq: &u64| {
            let &(key, at) = self.mailboxes.get(&(owner, seq))?;
            Some((Seq(seq), (**self.entry(key, at)?).clone()))
        };
        Ok(seqs.iter().filter_map(entry).collect())
    }

    fn cleared(
        &mut self,
        owner: UserId,
        conversations: &[ConversationKey],
    ) -> Result<Vec<u64>, JobError> {
        search::cleared(self, owner, conversations)
    }
}

impl Names for &State {
    fn users(&mut self, users: &[UserId]) -> Result<Vec<pb::UserInfo>, JobError> {
        Ok(users.iter().filter_map(|&user| self.user_info(user)).collect())
    }

    fn groups(
        &mut self,
        user: UserId,
        after: GroupId,
        limit: usize,
    ) -> Result<pb::GroupListResp, JobError> {
        Ok(self.groups_of(user, after, limit))
    }
}
