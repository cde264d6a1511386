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

/// What a node with too much to do refuses, so that messages, their syncs and heartbeats go on: what
/// people look at, what is told and not stored, and who is not in yet.
pub(crate) fn is_shed_first(command: Command) -> bool {
    match command {
        Command::Login | Command::Register => true,
        Command::MsgSync | Command::History | Command::UserGet => false,
        _ => matches!(Class::of(command), Class::Query | Class::Ephemeral),
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
    fn messages_and_their_syncs_are_never_shed() {
        for command in [Command::MsgSend, Command::MsgSync, Command::Heartbeat, Command::Logout] {
            assert!(!is_shed_first(command), "{command:?}");
        }
        for command in [Command::Search, Command::FriendList, Command::Typing, Command::Login] {
            assert!(is_shed_first(command), "{command:?}");
        }
    }

    #[test]
    fn whatever_starts_a_job_needs_room_for_it() {
        for command in Command::REQUESTS {
            let is_free = matches!(command, Command::Heartbeat | Command::RefreshToken);
            assert_eq!(need_of(command) == Need::Nothing, is_free, "{command:?}");
        }
    }
}
