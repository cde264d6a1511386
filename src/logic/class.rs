//! Kinds of requests, for what is the same for all of one kind: what they need to start, and how often
//! they may come.

use aldis_wire::Command;

use crate::credits::Need;

/// A kind of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// LOGIN and what else belongs to a session itself.
    Session,
    /// A message.
    Send,
    /// Another change of what is stored.
    Change,
    /// A question to the store.
    Query,
    /// What is told to others and not stored.
    Ephemeral,
}

impl Class {
    /// Of a request.
    pub fn of(command: Command) -> Self {
        match command {
            Command::Login
            | Command::Register
            | Command::Logout
            | Command::Heartbeat
            | Command::RefreshToken => Class::Session,
            Command::MsgSend => Class::Send,
            Command::UserGet
            | Command::UserFind
            | Command::MsgSync
            | Command::History
            | Command::ConversationList
            | Command::Receipts
            | Command::Reactions
            | Command::Search
            | Command::GroupList
            | Command::GroupMembers
            | Command::GroupRequests
            | Command::FriendList
            | Command::DeviceList
            | Command::PresenceQuery
            | Command::PresenceSubscribe => Class::Query,
            Command::Typing => Class::Ephemeral,
            // Whatever is not named changes something: that asks for most.
            _ => Class::Change,
        }
    }
}

/// What a request needs before it may start.
pub(crate) fn need_of(command: Command) -> Need {
    match (Class::of(command), command) {
        (_, Command::Login | Command::Register) => Need::Account,
        (_, Command::Logout) => Need::Write,
        // Its first step; the later ones are like those of a login.
        (_, Command::ChangePassword) => Need::Account,
        (Class::Session, _) => Need::Nothing,
        (Class::Send | Class::Change, _) => Need::Write,
        (Class::Query | Class::Ephemeral, _) => Need::Read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_starts_a_job_needs_room_for_it() {
        for command in Command::REQUESTS {
            let is_free = matches!(command, Command::Heartbeat | Command::RefreshToken);
            assert_eq!(need_of(command) == Need::Nothing, is_free, "{command:?}");
        }
    }
}
