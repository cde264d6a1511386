//! Requests as tests make them: bodies with fresh ids, and calls that must be answered OK.

use aldis_wire::{Code, Command, DeviceClass, pb};

use crate::{RawClient, Reply};

impl RawClient {
    /// A message that must be stored.
    pub fn send_message(&mut self, body: &pb::MsgSendReq) -> pb::MsgSendResp {
        self.call(Command::MsgSend, body).ok()
    }

    /// What a message is answered.
    pub fn send_code(&mut self, body: &pb::MsgSendReq) -> Code {
        self.call(Command::MsgSend, body).code()
    }

    /// A page of the mailbox, as large as the server gives.
    pub fn sync_page(&mut self, after_seq: u64) -> pb::MsgSyncResp {
        self.call(Command::MsgSync, &pb::MsgSyncReq { stream: 0, after_seq, limit: 0 }).ok()
    }

    /// The whole mailbox above a position.
    pub fn sync_all(&mut self, mut after_seq: u64) -> Vec<pb::MessageData> {
        let mut entries: Vec<pb::MessageData> = Vec::new();
        loop {
            let page = self.sync_page(after_seq);
            after_seq = page.entries.last().map_or(after_seq, |entry| entry.seq);
            entries.extend(page.entries);
            if !page.more {
                return entries;
            }
        }
    }

    /// A page of a group's stream.
    pub fn stream_page(&mut self, stream: u64, after_seq: u64) -> pb::MsgSyncResp {
        self.call(Command::MsgSync, &pb::MsgSyncReq { stream, after_seq, limit: 0 }).ok()
    }

    /// The whole stream above a position, as far as it is there for the reader; and whether it is over.
    pub fn stream_all(&mut self, stream: u64, mut after_seq: u64) -> (Vec<pb::MessageData>, bool) {
        let mut entries: Vec<pb::MessageData> = Vec::new();
        loop {
            let page = self.stream_page(stream, after_seq);
            after_seq = after_seq.max(page.skipped_to);
            for entry in page.entries {
                assert_eq!(entry.seq, after_seq + 1, "a stream is dense");
                after_seq = entry.seq;
                entries.push(entry);
            }
            if !page.more {
                return (entries, page.is_over);
            }
        }
    }

    /// A new group with these members; its id.
    pub fn create_group(&mut self, member_ids: Vec<u64>) -> u64 {
        let reply = self.call(Command::GroupCreate, &create_body(member_ids));
        reply.ok::<pb::GroupCreateResp>().group_id
    }

    /// An invitation, whatever is answered.
    pub fn invite(&mut self, group_id: u64, member_ids: Vec<u64>) -> Reply {
        self.call(Command::GroupInvite, &pb::GroupInviteReq { group_id, member_ids })
    }

    /// The newest entries of a group.
    pub fn group_history(&mut self, group_id: u64) -> pb::HistoryResp {
        let body = pb::HistoryReq { group_id, limit: u32::MAX, ..Default::default() };
        self.call(Command::History, &body).ok()
    }
}

/// A REGISTER under a fresh id.
pub fn register_body(username: &str, password: &str) -> pb::RegisterReq {
    pb::RegisterReq {
        username: username.into(),
        password: password.into(),
        nickname: String::new(),
        request_id: random_16().to_vec().into(),
    }
}

/// A LOGIN by password; the device id follows from the class.
pub fn login_body(user: &str, password: &str, class: DeviceClass) -> pb::LoginReq {
    pb::LoginReq {
        username: user.into(),
        password: password.into(),
        token: String::new(),
        device_id: format!("scenario-{}", class.number()),
        device_class: class.number() as i32,
        device_name: String::new(),
    }
}

/// A text for a user, under a fresh id.
pub fn text_to(receiver_id: u64, text: &str) -> pb::MsgSendReq {
    pb::MsgSendReq {
        receiver_id,
        client_msg_id: random_16().to_vec().into(),
        r#type: pb::MsgType::Text as i32,
        content: text.as_bytes().to_vec().into(),
        ..Default::default()
    }
}

/// A text for a group, under a fresh id.
pub fn group_text(group_id: u64, text: &str) -> pb::MsgSendReq {
    pb::MsgSendReq { group_id, ..text_to(0, text) }
}

/// A GROUP_CREATE under a fresh id.
pub fn create_body(member_ids: Vec<u64>) -> pb::GroupCreateReq {
    pb::GroupCreateReq {
        name: "a group".into(),
        member_ids,
        request_id: random_16().to_vec().into(),
        open_history: false,
    }
}

/// The texts among entries, in their order.
pub fn texts(entries: &[pb::MessageData]) -> Vec<String> {
    let is_text = |entry: &&pb::MessageData| entry.r#type == pb::MsgType::Text as i32;
    let text = |entry: &pb::MessageData| String::from_utf8_lossy(&entry.content).into_owned();
    entries.iter().filter(is_text).map(text).collect()
}

/// An id for a request.
pub fn random_16() -> [u8; 16] {
    let mut id = [0; 16];
    getrandom::fill(&mut id).expect("the kernel gives random numbers");
    id
}
