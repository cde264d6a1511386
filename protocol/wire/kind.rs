//! What kinds of entries there are, and the bits that say what became of one.

use crate::pb;

/// Bit of `MessageData.flags`: content and extra are gone.
pub const RECALLED: u32 = 1;
/// Bit of `MessageData.flags`: the content is not what was sent first.
pub const EDITED: u32 = 2;
/// Bit of `MessageData.flags`: the reader has cleared the history up to here, and sees no content.
pub const CLEARED: u32 = 4;
/// Bit of `MessageData.flags`: content or extra are longer than what a list shows of them.
pub const SHORTENED: u32 = 8;

/// Kinds from here on are made by the server only.
const SYSTEM_MIN: i32 = pb::MsgType::SystemGroup as i32;

impl pb::MsgType {
    /// Whether users send it: only such entries count as messages, and as unread.
    pub fn is_message(self) -> bool {
        self != pb::MsgType::Unspecified && (self as i32) < SYSTEM_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_users_send_is_a_message() {
        assert!(pb::MsgType::Text.is_message() && pb::MsgType::Custom.is_message());
        let others = [
            pb::MsgType::Unspecified,
            pb::MsgType::SystemGroup,
            pb::MsgType::SystemFriend,
            pb::MsgType::SystemSelf,
            pb::MsgType::SystemMessage,
        ];
        assert!(!others.iter().any(|kind| kind.is_message()));
    }
}
