//! Bytes as decisions of a fuzzer: numbers, and requests with plausible fields. Knows no session.

use aldis_wire::{Command, ConversationKey, GroupId, Message, UserId, pb};
use bytes::Bytes;

/// Bytes that are taken from the front; zeros follow.
pub struct Script<'a>(pub &'a [u8]);

impl<'a> Script<'a> {
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    /// As many bytes as the next one says.
    pub fn block(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (block, rest) = self.0.split_at(len);
        self.0 = rest;
        block
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Who and what a request can be about.
pub struct Names<'a> {
    /// Who asks; `None`: nobody is logged in there.
    pub asker: Option<UserId>,
    pub users: &'a [UserId],
    pub groups: &'a [GroupId],
    pub message_ids: &'a [u64],
}

/// The words of a conversation, by which whoever reads them is known to be entitled.
pub fn mark(key: ConversationKey) -> Vec<u8> {
    // The tail keeps fuzzers from making up a mark.
    let check = (key.lo ^ key.hi.rotate_left(17)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("\u{a7}{}-{}-{check:016x}\u{a7}", key.lo, key.hi).into_bytes()
}

/// The conversations whose words are in these bytes.
pub fn marks(bytes: &[u8]) -> Vec<ConversationKey> {
    let text = String::from_utf8_lossy(bytes);
    let keys = text.split('\u{a7}').filter_map(|part| {
        let mut numbers = part.splitn(3, '-');
        let (lo, hi) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        let key = ConversationKey { lo, hi };
        (mark(key) == format!("\u{a7}{part}\u{a7}").as_bytes()).then_some(key)
    });
    keys.collect()
}

/// A conversation as a request names it: (receiver_id, group_id), and its key.
struct Place {
    receiver_id: u64,
    group_id: u64,
    key: Option<ConversationKey>,
}

fn place(script: &mut Script<'_>, names: &Names<'_>) -> Place {
    let choice = script.below(names.users.len() + names.groups.len());
    match (names.users.get(choice), names.asker) {
        (Some(&user), asker) => Place {
            receiver_id: user.0,
            group_id: 0,
            key: asker.map(|asker| ConversationKey::direct(asker, user)),
        },
        (None, _) => {
            let group = names.groups[choice - names.users.len()];
            let key = ConversationKey::group(group);
            Place { receiver_id: 0, group_id: group.0, key: Some(key) }
        }
    }
}

fn some_users(script: &mut Script<'_>, names: &Names<'_>) -> Vec<u64> {
    let bits = script.byte();
    let chosen = names.users.iter().enumerate().filter(|(at, _)| bits >> (at % 8) & 1 == 1);
    chosen.map(|(_, user)| user.0).collect()
}

fn group(script: &mut Script<'_>, names: &Names<'_>) -> u64 {
    names.groups.get(script.below(names.groups.len() + 1)).map_or(0, |group| group.0)
}

/// Sixteen bytes of which few are possible, so that repeats happen.
fn id(script: &mut Script<'_>) -> Bytes {
    Bytes::from(vec![script.byte() % 16; 16])
}

/// A request that makes sense, with fields from the script.
pub fn request(script: &mut Script<'_>, names: &Names<'_>) -> (Command, Vec<u8>) {
    let choice = script.byte() % 32;
    match choice {
        0..=9 => message(choice, script, names),
        10..=20 => circle(choice, script, names),
        _ => account(choice, script, names),
    }
}

fn message(choice: u8, script: &mut Script<'_>, names: &Names<'_>) -> (Command, Vec<u8>) {
    let Place { receiver_id, group_id, key } = place(script, names);
    let content = Bytes::from(key.map(mark).unwrap_or_default());
    let conv_seq = u64::from(script.byte() % 16);
    match choice {
        0..=2 => {
            let reply = names.message_ids.get(script.below(names.message_ids.len() + 1));
            let body = pb::MsgSendReq {
                receiver_id,
                group_id,
                client_msg_id: id(script),
                r#type: pb::MsgType::Text as i32,
                content,
                reply_to_msg_id: reply.copied().unwrap_or(0),
                mention_ids: some_users(script, names),
                ..Default::default()
            };
            (Command::MsgSend, body.encode_to_vec())
        }
        3 => {
            let body = pb::EditReq {
                receiver_id,
                group_id,
                conv_seq,
                request_id: id(script),
                content,
                ..Default::default()
            };
            (Command::Edit, body.encode_to_vec())
        }
        4 => {
            let body = pb::RecallReq { receiver_id, group_id, conv_seq };
            (Command::Recall, body.encode_to_vec())
        }
        5 => {
            let body = pb::HistoryReq { receiver_id, group_id, ..Default::default() };
            (Command::History, body.encode_to_vec())
        }
        6 => {
            let body = pb::MarkReadReq { receiver_id, group_id, conv_seq };
            (Command::MarkRead, body.encode_to_vec())
        }
        7 => {
            let body = pb::ReactReq {
                receiver_id,
                group_id,
                conv_seq,
                reaction: "+".into(),
                ..Default::default()
            };
            (Command::React, body.encode_to_vec())
        }
        8 => {
            let body = pb::TypingReq { receiver_id, group_id, is_over: false };
            (Command::Typing, body.encode_to_vec())
        }
        _ => {
            let body = pb::ReceiptsReq { receiver_id, group_id, ..Default::default() };
            (Command::Receipts, body.encode_to_vec())
        }
    }
}

fn circle(choice: u8, script: &mut Script<'_>, names: &Names<'_>) -> (Command, Vec<u8>) {
    let user = names.users[script.below(names.users.len())].0;
    let group_id = group(script, names);
    match choice {
        10 => {
            let body = pb::GroupCreateReq {
                name: "group".into(),
                member_ids: some_users(script, names),
                request_id: id(script),
                open_history: false,
            };
            (Command::GroupCreate, body.encode_to_vec())
        }
        11 => {
            let body = pb::GroupInviteReq { group_id, member_ids: some_users(script, names) };
            (Command::GroupInvite, body.encode_to_vec())
        }
        12 => (Command::GroupLeave, pb::GroupLeaveReq { group_id }.encode_to_vec()),
        13 => {
            let body = pb::GroupRemoveReq { group_id, user_ids: vec![user] };
            (Command::GroupRemove, body.encode_to_vec())
        }
        14 => {
            let body = pb::GroupUpdateReq {
                group_id,
                join_mode: Some(i32::from(script.byte() % 3)),
                ..Default::default()
            };
            (Command::GroupUpdate, body.encode_to_vec())
        }
        15 => {
            let body = pb::GroupJoinReq { group_id, ..Default::default() };
            (Command::GroupJoin, body.encode_to_vec())
        }
        16 => {
            let body = pb::GroupHandleJoinReq { group_id, user_id: user, accept: true };
            (Command::GroupHandleJoin, body.encode_to_vec())
        }
        17 => (Command::GroupDissolve, pb::GroupDissolveReq { group_id }.encode_to_vec()),
        18 => {
            let body = pb::FriendApplyReq { user_id: user, ..Default::default() };
            (Command::FriendApply, body.encode_to_vec())
        }
        19 => {
            let body = pb::FriendHandleReq { user_id: user, accept: true };
            (Command::FriendHandle, body.encode_to_vec())
        }
        _ => (Command::Block, pb::BlockReq { user_id: user }.encode_to_vec()),
    }
}

fn account(choice: u8, script: &mut Script<'_>, names: &Names<'_>) -> (Command, Vec<u8>) {
    match choice {
        21 | 22 => {
            let stream = group(script, names) * u64::from(choice % 2);
            let after_seq = u64::from(script.byte() % 8);
            let body = pb::MsgSyncReq { stream, after_seq, limit: 0 };
            (Command::MsgSync, body.encode_to_vec())
        }
        23 => {
            let body = pb::ConversationListReq::default();
            (Command::ConversationList, body.encode_to_vec())
        }
        24 => {
            let body = pb::PresenceSubscribeReq { user_ids: some_users(script, names) };
            (Command::PresenceSubscribe, body.encode_to_vec())
        }
        25 => {
            let body = pb::PresenceQueryReq { user_ids: some_users(script, names) };
            (Command::PresenceQuery, body.encode_to_vec())
        }
        26 => {
            let body = pb::SearchReq { query: "-".into(), ..Default::default() };
            (Command::Search, body.encode_to_vec())
        }
        27 => {
            let seq = u64::from(script.byte() % 8);
            let body = pb::MarkDeliveredReq { stream: 0, seq };
            (Command::MarkDelivered, body.encode_to_vec())
        }
        28 => {
            let device_id = format!("device-{}", script.byte() % 4);
            (Command::DeviceRevoke, pb::DeviceRevokeReq { device_id }.encode_to_vec())
        }
        29 => (Command::Logout, pb::LogoutReq {}.encode_to_vec()),
        30 => (Command::RefreshToken, pb::RefreshTokenReq {}.encode_to_vec()),
        _ => (Command::Heartbeat, pb::HeartbeatReq::default().encode_to_vec()),
    }
}
