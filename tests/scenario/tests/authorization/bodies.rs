//! The request of each row: well-formed, so that only who asks decides about the answer.

use aldis_scenario::requests::{create_body, group_text, random_16, register_body, text_to};
use aldis_wire::{Message, pb};

/// What a request is about.
#[derive(Clone, Copy, Default)]
pub struct Subject {
    /// The other user; 0 in a group.
    pub user: u64,
    /// The group; 0 towards a user.
    pub group: u64,
    /// A plain member of the group.
    pub member: u64,
    /// An admin of it.
    pub admin: u64,
    /// Its owner.
    pub owner: u64,
    /// A user who has asked to come in.
    pub asker: u64,
    /// A user who has nothing to do with the group.
    pub outsider: u64,
    /// conv_seq of a message of the one who asks.
    pub mine: u64,
    /// conv_seq of a message of somebody else.
    pub theirs: u64,
}

/// The body of a row's request.
pub fn body(row: &str, about: &Subject) -> Vec<u8> {
    match row.split_once(' ').unwrap_or((row, "")) {
        ("MSG_SEND", _) if about.group != 0 => group_text(about.group, "a text").encode_to_vec(),
        ("MSG_SEND", _) => text_to(about.user, "a text").encode_to_vec(),
        ("TYPING", _) => {
            let (receiver_id, group_id) = (about.user, about.group);
            pb::TypingReq { receiver_id, group_id, is_over: false }.encode_to_vec()
        }
        ("PRESENCE_QUERY", _) => {
            pb::PresenceQueryReq { user_ids: vec![about.user] }.encode_to_vec()
        }
        ("PRESENCE_SUBSCRIBE", _) => {
            pb::PresenceSubscribeReq { user_ids: vec![about.user] }.encode_to_vec()
        }
        ("HISTORY", _) => {
            pb::HistoryReq { receiver_id: about.user, group_id: about.group, ..Default::default() }
                .encode_to_vec()
        }
        // Whoever may not read there finds nothing.
        ("SEARCH", _) => pb::SearchReq {
            query: "text".into(),
            receiver_id: about.user,
            group_id: about.group,
            ..Default::default()
        }
        .encode_to_vec(),
        ("MARK_READ" | "RECALL" | "EDIT" | "REACT" | "REACTIONS", _) => about_message(row, about),
        ("CONVERSATION_UPDATE" | "RECEIPTS", _) => about_conversation(row, about),
        (command, _) if command.starts_with("GROUP_") => about_group(row, about),
        (command, _) if command.starts_with("FRIEND_") || command.ends_with("BLOCK") => {
            about_friend(row, about)
        }
        _ => about_oneself(row, about),
    }
}

fn about_message(row: &str, about: &Subject) -> Vec<u8> {
    let (receiver_id, group_id) = (about.user, about.group);
    let conv_seq = if row.ends_with("the other's") { about.theirs } else { about.mine };
    match row.split(' ').next() {
        Some("MARK_READ") => pb::MarkReadReq { receiver_id, group_id, conv_seq }.encode_to_vec(),
        Some("RECALL") => pb::RecallReq { receiver_id, group_id, conv_seq }.encode_to_vec(),
        Some("EDIT") => pb::EditReq {
            receiver_id,
            group_id,
            conv_seq,
            request_id: random_16().to_vec().into(),
            content: "another text".into(),
            ..Default::default()
        }
        .encode_to_vec(),
        Some("REACT") => {
            let reaction = "a reaction".into();
            pb::ReactReq { receiver_id, group_id, conv_seq, reaction, remove: false }
                .encode_to_vec()
        }
        Some("REACTIONS") => {
            pb::ReactionsReq { receiver_id, group_id, conv_seq, ..Default::default() }
                .encode_to_vec()
        }
        _ => panic!("no request for {row}"),
    }
}

fn about_conversation(row: &str, about: &Subject) -> Vec<u8> {
    let (receiver_id, group_id) = (about.user, about.group);
    match row {
        "RECEIPTS" => {
            pb::ReceiptsReq { receiver_id, group_id, ..Default::default() }.encode_to_vec()
        }
        _ => pb::ConversationUpdateReq {
            receiver_id,
            group_id,
            muted: Some(true),
            ..Default::default()
        }
        .encode_to_vec(),
    }
}

fn about_friend(row: &str, about: &Subject) -> Vec<u8> {
    let user_id = about.user;
    match row {
        "FRIEND_LIST" => pb::FriendListReq::default().encode_to_vec(),
        "FRIEND_APPLY" => pb::FriendApplyReq { user_id, reason: "why not".into() }.encode_to_vec(),
        "FRIEND_HANDLE" => pb::FriendHandleReq { user_id, accept: true }.encode_to_vec(),
        "FRIEND_DELETE" => pb::FriendDeleteReq { user_id }.encode_to_vec(),
        "FRIEND_UPDATE" => {
            pb::FriendUpdateReq { user_id, remark: "r".into(), folder: "f".into() }.encode_to_vec()
        }
        "BLOCK" => pb::BlockReq { user_id }.encode_to_vec(),
        "UNBLOCK" => pb::UnblockReq { user_id }.encode_to_vec(),
        _ => panic!("no request for {row}"),
    }
}

fn about_group(row: &str, about: &Subject) -> Vec<u8> {
    let group_id = about.group;
    match row {
        "GROUP_LIST" => pb::GroupListReq::default().encode_to_vec(),
        "GROUP_CREATE" => create_body(vec![]).encode_to_vec(),
        "GROUP_CREATE with somebody missing" => create_body(vec![MISSING]).encode_to_vec(),
        "GROUP_MEMBERS" => pb::GroupMembersReq { group_id, ..Default::default() }.encode_to_vec(),
        "GROUP_INVITE" => {
            pb::GroupInviteReq { group_id, member_ids: vec![about.outsider] }.encode_to_vec()
        }
        "GROUP_JOIN" => pb::GroupJoinReq { group_id, reason: String::new() }.encode_to_vec(),
        "GROUP_LEAVE" => pb::GroupLeaveReq { group_id }.encode_to_vec(),
        "GROUP_HANDLE_JOIN" => {
            pb::GroupHandleJoinReq { group_id, user_id: about.asker, accept: true }.encode_to_vec()
        }
        "GROUP_SET_ROLE" => {
            let role = pb::GroupRole::Admin.into();
            pb::GroupSetRoleReq { group_id, user_id: about.member, role }.encode_to_vec()
        }
        "GROUP_TRANSFER" => {
            pb::GroupTransferReq { group_id, user_id: about.member }.encode_to_vec()
        }
        "GROUP_UPDATE" => {
            let name = Some("another name".into());
            pb::GroupUpdateReq { group_id, name, ..Default::default() }.encode_to_vec()
        }
        "GROUP_UPDATE of open_history" => {
            let open_history = Some(true);
            pb::GroupUpdateReq { group_id, open_history, ..Default::default() }.encode_to_vec()
        }
        "GROUP_MUTE of all" => {
            pb::GroupMuteReq { group_id, all_muted: true, ..Default::default() }.encode_to_vec()
        }
        "GROUP_DISSOLVE" => pb::GroupDissolveReq { group_id }.encode_to_vec(),
        "GROUP_REQUESTS" => pb::GroupRequestsReq { group_id, ..Default::default() }.encode_to_vec(),
        _ => about_one_of_a_group(row, about),
    }
}

fn about_one_of_a_group(row: &str, about: &Subject) -> Vec<u8> {
    let (command, whom) = row.split_once(" of the ").unwrap_or((row, ""));
    let user_id = match whom {
        "member" => about.member,
        "admin" => about.admin,
        "owner" => about.owner,
        _ => panic!("no request for {row}"),
    };
    let group_id = about.group;
    match command {
        "GROUP_REMOVE" => pb::GroupRemoveReq { group_id, user_ids: vec![user_id] }.encode_to_vec(),
        "GROUP_MUTE" => {
            pb::GroupMuteReq { group_id, user_id, seconds: 60, all_muted: false }.encode_to_vec()
        }
        _ => panic!("no request for {row}"),
    }
}

fn about_oneself(row: &str, about: &Subject) -> Vec<u8> {
    match row {
        "HEARTBEAT" => pb::HeartbeatReq::default().encode_to_vec(),
        "LOGOUT" => pb::LogoutReq {}.encode_to_vec(),
        "REFRESH_TOKEN" => pb::RefreshTokenReq {}.encode_to_vec(),
        // Of a name that was not taken.
        "REGISTER" => {
            let name = format!("reg-{:x}", u128::from_be_bytes(random_16()));
            register_body(&name, "a password of a test").encode_to_vec()
        }
        "CHANGE_PASSWORD without the old one" => pb::ChangePasswordReq {
            old_password: "a guess at a password".into(),
            new_password: "a password of a test".into(),
        }
        .encode_to_vec(),
        "DEVICE_LIST" => pb::DeviceListReq {}.encode_to_vec(),
        "DEVICE_REVOKE of another's" => {
            pb::DeviceRevokeReq { device_id: "another's".into() }.encode_to_vec()
        }
        "USER_UPDATE" => {
            let nickname = Some("somebody".into());
            pb::UserUpdateReq { nickname, ..Default::default() }.encode_to_vec()
        }
        "USER_GET" => pb::UserGetReq { user_ids: vec![about.outsider] }.encode_to_vec(),
        "USER_FIND" => pb::UserFindReq { query: "someone".into(), limit: 0 }.encode_to_vec(),
        "CONVERSATION_LIST" => pb::ConversationListReq::default().encode_to_vec(),
        "MSG_SYNC" => pb::MsgSyncReq::default().encode_to_vec(),
        "MSG_SYNC of another's stream" => {
            pb::MsgSyncReq { stream: about.outsider, ..Default::default() }.encode_to_vec()
        }
        "MARK_DELIVERED" => pb::MarkDeliveredReq::default().encode_to_vec(),
        "MARK_DELIVERED in another's stream" => {
            pb::MarkDeliveredReq { stream: about.outsider, seq: 0 }.encode_to_vec()
        }
        _ => panic!("no request for {row}"),
    }
}

/// A user or group that there is not.
pub const MISSING: u64 = 2_000_000_000;
