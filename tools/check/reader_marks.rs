//! Lines about read marks, what is unread above them, recalls, edits and blocks. See `reader`.

use aldis_wire::{ConversationKey, GroupId, UserId};
use serde_json::value::RawValue;

use crate::model::{Block, Edit, MarkRead, Outcome, Recall, Span, Unread};
use crate::reader::{Fault, Reader, conversation, hash, number_16, parse, parse_text};
use crate::record::{
    BlockArgs, ConversationsArgs, ConversationsResult, EditArgs, MarkReadArgs, Phase, RecallArgs,
    UnreadArgs, UnreadResult,
};

impl Reader {
    pub(crate) fn mark_read(&mut self, span: Span, args: &str, phase: Phase) -> Result<(), Fault> {
        let args: MarkReadArgs = parse_text(args, "args")?;
        let outcome = done_or_not(phase);
        let (user, conv) = (UserId(args.user), conversation(args.conv));
        self.history.marks.push(MarkRead { span, user, conv, conv_seq: args.conv_seq, outcome });
        Ok(())
    }

    pub(crate) fn recall(&mut self, span: Span, args: &str, phase: Phase) -> Result<(), Fault> {
        let args: RecallArgs = parse_text(args, "args")?;
        let (conv, conv_seq) = (conversation(args.conv), args.conv_seq);
        let outcome = done_or_not(phase);
        self.history.recalls.push(Recall { span, conv, conv_seq, outcome });
        Ok(())
    }

    pub(crate) fn edit(&mut self, span: Span, args: &str, phase: Phase) -> Result<(), Fault> {
        let args: EditArgs<'_> = parse_text(args, "args")?;
        let (conv, conv_seq) = (conversation(args.conv), args.conv_seq);
        let (request_id, hash) = (number_16(&args.request_id)?, hash(&args.hash)?);
        let outcome = done_or_not(phase);
        self.history.edits.push(Edit { span, conv, conv_seq, request_id, hash, outcome });
        Ok(())
    }

    pub(crate) fn block(
        &mut self,
        span: Span,
        op: &str,
        args: &str,
        phase: Phase,
    ) -> Result<(), Fault> {
        let args: BlockArgs = parse_text(args, "args")?;
        let (user, peer) = (UserId(args.user), UserId(args.peer));
        let (is_lifted, outcome) = (op == "unblock", done_or_not(phase));
        self.history.blocks.push(Block { span, user, peer, is_lifted, outcome });
        Ok(())
    }

    pub(crate) fn conversations(
        &mut self,
        span: Span,
        args: &str,
        result: Option<&RawValue>,
    ) -> Result<(), Fault> {
        let args: ConversationsArgs = parse_text(args, "args")?;
        let result: ConversationsResult = parse(result, "result")?;
        let user = UserId(args.user);
        self.history.unreads.extend(result.conversations.iter().map(|listed| Unread {
            span,
            user,
            conv: match listed.group_id {
                0 => ConversationKey::direct(user, UserId(listed.receiver_id)),
                group => ConversationKey::group(GroupId(group)),
            },
            mark: listed.mark,
            unread: listed.unread,
        }));
        Ok(())
    }

    pub(crate) fn unread(
        &mut self,
        span: Span,
        args: &str,
        result: Option<&RawValue>,
    ) -> Result<(), Fault> {
        let args: UnreadArgs = parse_text(args, "args")?;
        let UnreadResult { mark, unread } = parse(result, "result")?;
        let (user, conv) = (UserId(args.user), conversation(args.conv));
        self.history.unreads.push(Unread { span, user, conv, mark, unread });
        Ok(())
    }
}

fn done_or_not(phase: Phase) -> Outcome<()> {
    match phase {
        Phase::Ok => Outcome::Ok(()),
        Phase::Fail => Outcome::Fail,
        Phase::Info | Phase::Invoke => Outcome::Info,
    }
}
