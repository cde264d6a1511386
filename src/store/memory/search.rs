//! What SEARCH reads of a memory store. Knows no query.

use aldis_logic::job::{IndexBlock, JobError, StoredMessage};
use aldis_wire::{ConvSeq, ConversationKey, GroupId, Seq, UserId, pb};

use super::state::State;
use crate::page::Span;
use crate::search::{self, Log, Logs, Names};

impl Logs for &State {
    type Stop = JobError;

    fn visible(&mut self, reader: UserId, log: Log) -> Result<Vec<Span>, JobError> {
        Ok(match log {
            Log::Mailbox(owner) => vec![Span { first: 1, last: State::head(self, owner) }],
            Log::Stream(group) => self.seen_of_stream(reader, group),
        })
    }

    fn next_stream(&mut self, user: UserId, after: GroupId) -> Result<Option<GroupId>, JobError> {
        search::next_stream(self, user, after)
    }

    fn blocks(&mut self, log: Log, first: u64, last: u64) -> Result<Vec<IndexBlock>, JobError> {
        let key = log.index_key();
        let blocks = self.search_blocks.range((key, first)..=(key, last));
        let block = |(&(_, number), data): (&(u64, u64), &bytes::Bytes)| IndexBlock {
            group: log.group(),
            number,
            data: data.clone(),
        };
        Ok(blocks.map(block).collect())
    }

    fn texts(&mut self, log: Log, seqs: &[u64]) -> Result<Vec<(Seq, StoredMessage)>, JobError> {
        let entry = |&seq: &u64| {
            let (key, at) = match log {
                Log::Mailbox(owner) => *self.mailboxes.get(&(owner, seq))?,
                Log::Stream(group) => (ConversationKey::group(group), ConvSeq(seq)),
            };
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
