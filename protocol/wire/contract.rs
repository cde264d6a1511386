//! The table of PROTOCOL.md as data: which codes answer which command. Servers are held against it.

use crate::{Code, Command};

/// Codes that every request can get.
const COMMON: [Code; 3] = [Code::Ok, Code::BadRequest, Code::Internal];

/// What is answered without the store.
const NEEDS_NO_STORE: [Command; 2] = [Command::Heartbeat, Command::RefreshToken];

/// What belongs to a session, and is not counted.
const IS_NOT_COUNTED: [Command; 2] = [Command::Logout, Command::RefreshToken];

/// The column "also" of PROTOCOL.md, section 7.
const ALSO: [(Command, &[Code]); Command::REQUESTS.len()] = [
    (
        Command::Login,
        &[
            Code::BadCredentials,
            Code::TokenExpired,
            Code::RateLimited,
            Code::Busy,
            Code::TooLarge,
            Code::Forbidden,
        ],
    ),
    (Command::Heartbeat, &[]),
    (
        Command::Register,
        &[Code::Conflict, Code::RateLimited, Code::Busy, Code::TooLarge, Code::Forbidden],
    ),
    (Command::Logout, &[]),
    (Command::RefreshToken, &[]),
    (Command::ChangePassword, &[Code::BadCredentials, Code::Busy, Code::TooLarge]),
    (Command::DeviceList, &[]),
    (Command::DeviceRevoke, &[Code::NotFound]),
    (Command::UserGet, &[Code::TooLarge]),
    (Command::UserUpdate, &[Code::TooLarge]),
    (Command::UserFind, &[Code::TooLarge]),
    (Command::MsgSend, &[Code::NotFound, Code::Forbidden, Code::Conflict, Code::TooLarge]),
    (Command::MsgSync, &[Code::Resync, Code::NotFound]),
    (Command::History, &[Code::NotFound]),
    (Command::MarkRead, &[Code::NotFound]),
    (Command::MarkDelivered, &[Code::NotFound]),
    (Command::Typing, &[Code::NotFound, Code::Forbidden]),
    (Command::Recall, &[Code::NotFound, Code::Forbidden]),
    (Command::Edit, &[Code::NotFound, Code::Forbidden, Code::Conflict, Code::TooLarge]),
    (Command::ConversationList, &[]),
    (Command::Receipts, &[Code::NotFound]),
    (Command::React, &[Code::NotFound, Code::Forbidden, Code::Conflict, Code::TooLarge]),
    (Command::Reactions, &[Code::NotFound]),
    (Command::ConversationUpdate, &[Code::NotFound, Code::TooLarge]),
    (Command::Search, &[Code::NotFound, Code::TooLarge]),
    (Command::GroupCreate, &[Code::NotFound, Code::TooLarge]),
    (Command::GroupList, &[]),
    (Command::GroupMembers, &[Code::NotFound]),
    (Command::GroupInvite, &[Code::NotFound, Code::TooLarge]),
    (Command::GroupLeave, &[Code::NotFound]),
    (Command::GroupJoin, &[Code::NotFound, Code::TooLarge]),
    (Command::GroupRemove, &[Code::NotFound, Code::Forbidden, Code::TooLarge]),
    (Command::GroupHandleJoin, &[Code::NotFound, Code::Forbidden, Code::TooLarge]),
    (Command::GroupSetRole, &[Code::NotFound, Code::Forbidden]),
    (Command::GroupTransfer, &[Code::NotFound, Code::Forbidden]),
    (Command::GroupUpdate, &[Code::NotFound, Code::Forbidden, Code::TooLarge]),
    (Command::GroupMute, &[Code::NotFound, Code::Forbidden, Code::TooLarge]),
    (Command::GroupDissolve, &[Code::NotFound, Code::Forbidden]),
    (Command::GroupRequests, &[Code::NotFound, Code::Forbidden]),
    (Command::FriendApply, &[Code::NotFound, Code::Forbidden, Code::TooLarge]),
    (Command::FriendHandle, &[Code::NotFound, Code::Forbidden, Code::TooLarge]),
    (Command::FriendList, &[]),
    (Command::FriendDelete, &[Code::NotFound]),
    (Command::FriendUpdate, &[Code::NotFound, Code::TooLarge]),
    (Command::Block, &[Code::NotFound, Code::TooLarge]),
    (Command::Unblock, &[Code::NotFound]),
    (Command::PresenceQuery, &[Code::TooLarge]),
    (Command::PresenceSubscribe, &[Code::Busy, Code::TooLarge]),
];

/// What a node with too much to do answers BUSY, besides those whose row has it anyway.
const IS_SHED_FIRST: [Command; 12] = [
    Command::UserFind,
    Command::ConversationList,
    Command::Receipts,
    Command::Reactions,
    Command::Search,
    Command::GroupList,
    Command::GroupMembers,
    Command::GroupRequests,
    Command::FriendList,
    Command::DeviceList,
    Command::PresenceQuery,
    Command::Typing,
];

/// The codes that can answer this request, ascending.
pub fn codes_of(command: Command) -> Vec<Code> {
    Code::ALL.into_iter().filter(|code| is_allowed(command, *code)).collect()
}

/// Whether a request can be answered with this code. BAD_FRAME is not among them: it answers what is no
/// request.
pub fn is_allowed(command: Command, code: Code) -> bool {
    let also =
        ALSO.iter().find(|(listed, _)| *listed == command).map_or::<&[Code], _>(&[], |(_, c)| c);
    COMMON.contains(&code)
        || also.contains(&code)
        || is_common_after_login(command, code)
        || is_of_store(command, code)
        || is_of_overload(command, code)
}

/// Whether what needs the store is answered so.
fn is_of_store(command: Command, code: Code) -> bool {
    code == Code::Unavailable && !NEEDS_NO_STORE.contains(&command)
}

/// Whether a node with too much to do answers so.
fn is_of_overload(command: Command, code: Code) -> bool {
    code == Code::Busy && IS_SHED_FIRST.contains(&command)
}

/// Codes that every request can get that needs a login.
fn is_common_after_login(command: Command, code: Code) -> bool {
    let needs_login = !command.allowed_before_login();
    match code {
        Code::NotLoggedIn => needs_login,
        Code::RateLimited => needs_login && !IS_NOT_COUNTED.contains(&command),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the table above is the one that PROTOCOL.md prints.
    #[test]
    fn the_table_is_that_of_the_document() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../PROTOCOL.md");
        let text = std::fs::read_to_string(path).expect("the document is in the repository");
        let mut rows = 0;
        for line in text.lines() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, name, ids, also, ..] = cells[..] else { continue };
            let Some(id) = ids.split(" → ").next().and_then(|id| id.strip_prefix("0x")) else {
                continue;
            };
            let id = u16::from_str_radix(id, 16).expect("hexadecimal");
            let Some(command) = Command::request(id) else { continue };
            rows += 1;
            let also: Vec<&str> = also.split(", ").filter(|name| !name.is_empty()).collect();
            for code in Code::ALL {
                let is_common = is_common_after_login(command, code)
                    || is_of_store(command, code)
                    || is_of_overload(command, code);
                let common = COMMON.contains(&code) || code == Code::NotLoggedIn || is_common;
                let documented = also.contains(&code.name());
                let listed = !common && is_allowed(command, code);
                assert_eq!(listed, documented, "{name}: {code}");
            }
        }
        assert_eq!(rows, Command::REQUESTS.len(), "every request has a row");
    }
}
