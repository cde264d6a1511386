//! Convenience calls about conversations: the list of them, what they are to this user, what others
//! have read of them, reactions.

use aldis_wire::pb;

use super::calls::{Conversation, fields};
use super::client::{Client, ClientError};

impl Client {
    /// One page of this user's conversations, newest first; `before_seq` 0: the first one.
    pub fn conversations_page(
        &mut self,
        before_seq: u64,
        limit: u32,
    ) -> Result<pb::ConversationListResp, ClientError> {
        self.ask(pb::ConversationListReq { before_seq, limit, ..Default::default() })
    }

    /// The pinned conversations, newest pin first.
    pub fn pinned(&mut self) -> Result<Vec<pb::ConversationInfo>, ClientError> {
        let request = pb::ConversationListReq { pinned: true, ..Default::default() };
        Ok(self.ask(request)?.conversations)
    }

    /// The large groups that the user is in, by pages: see `next_before_seq`.
    pub fn streams_page(
        &mut self,
        before_seq: u64,
    ) -> Result<pb::ConversationListResp, ClientError> {
        self.ask(pb::ConversationListReq { before_seq, streams: true, ..Default::default() })
    }

    /// The `count` newest conversations, large groups among them, newest first.
    pub fn conversations(
        &mut self,
        count: usize,
    ) -> Result<Vec<pb::ConversationInfo>, ClientError> {
        let mut all = self.of_mailbox(count)?;
        let mut before_seq = 0;
        loop {
            let page = self.streams_page(before_seq)?;
            all.extend(page.conversations);
            if page.next_before_seq <= before_seq {
                break;
            }
            before_seq = page.next_before_seq;
        }
        // Stable: what came at the same moment stays in the order of the mailbox.
        all.sort_by_key(|info| std::cmp::Reverse(info.update_time_ms));
        all.truncate(count);
        Ok(all)
    }

    fn of_mailbox(&mut self, count: usize) -> Result<Vec<pb::ConversationInfo>, ClientError> {
        let mut conversations = Vec::new();
        let mut before_seq = 0;
        while conversations.len() < count {
            let left = u32::try_from(count - conversations.len()).unwrap_or(u32::MAX);
            let page = self.conversations_page(before_seq, left)?;
            conversations.extend(page.conversations);
            let is_further = before_seq == 0 || page.next_before_seq < before_seq;
            // A page that does not go on ends the list, whatever it says.
            if page.next_before_seq == 0 || !is_further {
                break;
            }
            before_seq = page.next_before_seq;
        }
        Ok(conversations)
    }

    /// Everything up to an entry is read.
    pub fn mark_read(
        &mut self,
        conversation: Conversation,
        conv_seq: u64,
    ) -> Result<pb::MarkReadResp, ClientError> {
        let (receiver_id, group_id) = fields(conversation);
        self.ask(pb::MarkReadReq { receiver_id, group_id, conv_seq })
    }

    /// Pins a conversation, or no longer.
    pub fn pin(&mut self, conversation: Conversation, pinned: bool) -> Result<(), ClientError> {
        let change = pb::ConversationUpdateReq { pinned: Some(pinned), ..Default::default() };
        self.update_conversation(conversation, change)
    }

    /// Says whether this user wants notifications of a conversation.
    pub fn mute(&mut self, conversation: Conversation, muted: bool) -> Result<(), ClientError> {
        let change = pb::ConversationUpdateReq { muted: Some(muted), ..Default::default() };
        self.update_conversation(conversation, change)
    }

    /// Shows nothing up to an entry any more, to this user alone.
    pub fn clear(&mut self, conversation: Conversation, conv_seq: u64) -> Result<(), ClientError> {
        let change = pb::ConversationUpdateReq { clear_conv_seq: conv_seq, ..Default::default() };
        self.update_conversation(conversation, change)
    }

    fn update_conversation(
        &mut self,
        conversation: Conversation,
        change: pb::ConversationUpdateReq,
    ) -> Result<(), ClientError> {
        let (receiver_id, group_id) = fields(conversation);
        let change = pb::ConversationUpdateReq { receiver_id, group_id, ..change };
        self.ask(change).map(|_| ())
    }

    /// Up to where the other members have a conversation.
    pub fn receipts(
        &mut self,
        conversation: Conversation,
    ) -> Result<Vec<pb::Receipt>, ClientError> {
        let (receiver_id, group_id) = fields(conversation);
        let mut receipts: Vec<pb::Receipt> = Vec::new();
        loop {
            let after_user_id = receipts.last().map_or(0, |receipt| receipt.user_id);
            let request = pb::ReceiptsReq { receiver_id, group_id, after_user_id, limit: 0 };
            let page = self.ask(request)?;
            // A page that brings nothing ends the list, whatever it says of more.
            let more = page.more && !page.receipts.is_empty();
            receipts.extend(page.receipts);
            if !more {
                return Ok(receipts);
            }
        }
    }

    /// Reacts to a message, or takes a reaction back.
    pub fn react(
        &mut self,
        conversation: Conversation,
        conv_seq: u64,
        reaction: &str,
        remove: bool,
    ) -> Result<pb::ReactResp, ClientError> {
        let (receiver_id, group_id) = fields(conversation);
        let reaction = reaction.to_owned();
        self.ask(pb::ReactReq { receiver_id, group_id, conv_seq, reaction, remove })
    }

    /// Who reacted how to a message.
    pub fn reactions(
        &mut self,
        conversation: Conversation,
        conv_seq: u64,
    ) -> Result<Vec<pb::UserReactions>, ClientError> {
        let (receiver_id, group_id) = fields(conversation);
        let mut users: Vec<pb::UserReactions> = Vec::new();
        loop {
            let after_user_id = users.last().map_or(0, |user| user.user_id);
            let page = self.ask(pb::ReactionsReq {
                receiver_id,
                group_id,
                conv_seq,
                after_user_id,
                limit: 0,
            })?;
            let more = page.more && !page.users.is_empty();
            users.extend(page.users);
            if !more {
                return Ok(users);
            }
        }
    }
}
