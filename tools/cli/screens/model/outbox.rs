//! Own messages without an acknowledgement, and those that were refused. Sends nothing.

use aldis_client::core::Target;
use aldis_wire::ClientMsgId;

use super::message::{Body, Message};

/// Refused messages that are kept to be seen.
const REFUSED_MAX: usize = 20;

/// One of them.
#[derive(Clone, Debug)]
pub struct Unsent {
    pub id: ClientMsgId,
    pub target: Target,
    pub message: Message,
    /// Why it will never be sent.
    pub refusal: Option<String>,
}

/// See the file's first line.
#[derive(Debug, Default)]
pub struct Outbox {
    list: Vec<Unsent>,
}

impl Outbox {
    /// Those of one conversation, in the order typed.
    pub fn of(&self, target: Target) -> impl DoubleEndedIterator<Item = &Unsent> {
        self.list.iter().filter(move |unsent| unsent.target == target)
    }

    /// Messages that wait for an acknowledgement.
    pub fn waiting(&self) -> impl Iterator<Item = &Unsent> {
        self.list.iter().filter(|unsent| unsent.refusal.is_none())
    }

    pub fn waiting_count(&self) -> usize {
        self.waiting().count()
    }

    pub(super) fn push(&mut self, unsent: Unsent) {
        self.list.push(unsent);
    }

    pub(super) fn take(&mut self, id: ClientMsgId) -> Option<Unsent> {
        let index = self.list.iter().position(|unsent| unsent.id == id)?;
        Some(self.list.remove(index))
    }

    /// Keeps a message that was refused, with the reason.
    pub(super) fn keep_refused(&mut self, mut unsent: Unsent, why: String) {
        unsent.refusal = Some(why);
        self.list.push(unsent);
        let refused_count = self.list.len() - self.waiting_count();
        if refused_count > REFUSED_MAX
            && let Some(oldest) = self.list.iter().position(|unsent| unsent.refusal.is_some())
        {
            self.list.remove(oldest);
        }
    }

    /// Forgets what was refused in a conversation.
    pub(super) fn forget_refused(&mut self, target: Target) {
        self.list.retain(|unsent| unsent.target != target || unsent.refusal.is_none());
    }
}

impl Unsent {
    /// What it says.
    pub fn text(&self) -> &str {
        match &self.message.body {
            Body::Text(text) => text,
            _ => "",
        }
    }
}
