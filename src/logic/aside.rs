//! What a session has to remember besides its state, while it does what most sessions do rarely: kept
//! apart, so that an idle session costs next to nothing.

use aldis_wire::{ConvSeq, ConversationKey, Seq, UserId};

use crate::bucket::Bucket;
use crate::job::{Account, Device};
use crate::session::Session;

/// See the file's first line.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// Requests under way whose reply needs more than its ticket says, by their seq; bounded as requests
    /// under way are.
    pub pending: Vec<(u32, Pending)>,
    /// How often it may say that its user writes something.
    pub typing: Bucket,
    /// Whose coming and going it wants to hear of.
    pub watching: Box<[UserId]>,
    /// Up to where senders know that this device holds their messages.
    pub delivered_told: Seq,
    /// Up to where this device holds them.
    pub delivered: Seq,
}

/// What a request asked for.
#[derive(Debug)]
pub(crate) enum Pending {
    /// TYPING: where, and whether it is over.
    Typing(ConversationKey, bool),
    /// MARK_READ of a 1:1 conversation: where, and up to what.
    Read(ConversationKey, ConvSeq),
    /// PRESENCE_QUERY or PRESENCE_SUBSCRIBE: whom, ascending.
    Sight(Vec<UserId>),
    /// The same: whom of them it may see, and when their last sessions ended, Unix ms.
    Located(Vec<(UserId, u64)>),
    /// DEVICE_LIST: what the store knows.
    Devices(Vec<Device>),
    /// CHANGE_PASSWORD.
    Password(Box<PasswordChange>),
}

/// A CHANGE_PASSWORD under way. `Debug` shows no password.
pub(crate) struct PasswordChange {
    pub old_password: String,
    pub new_password: String,
    /// As it was when the old one was checked.
    pub account: Option<Account>,
}

impl std::fmt::Debug for PasswordChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordChange").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Session {
    /// Made when it is first needed.
    pub fn aside(&mut self) -> &mut Aside {
        self.aside.get_or_insert_default()
    }

    /// What the request asked for, if that was kept.
    pub fn take_pending(&mut self, request: u32) -> Option<Pending> {
        let pending = &mut self.aside.as_mut()?.pending;
        let at = pending.iter().position(|(seq, _)| *seq == request)?;
        Some(pending.swap_remove(at).1)
    }
}
