//! The rules' view of a memory store's transaction.

use aldis_logic::job::{JobError, Ticket};
use aldis_wire::{ConversationKey, UserId};
use bytes::Bytes;

use super::append::Draft;
use super::state::Run;
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
