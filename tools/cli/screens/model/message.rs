//! One message as the screens keep it: less than what came, and never its control characters' work.
//! Knows no views.

use aldis_wire::{Message as _, pb};

/// Bit of `MessageData.flags`: the content was taken back.
const RECALLED: u32 = 1;
/// Bit of `MessageData.flags`: the content is not the first one.
const EDITED: u32 = 2;
/// Characters of a message that the list of conversations keeps.
const PREVIEW_CHARS: usize = 120;

/// See the file's first line.
#[derive(Clone, Debug)]
pub struct Message {
    pub conv_seq: u64,
    pub msg_id: u64,
    pub sender_id: u64,
    pub time_ms: u64,
    pub body: Body,
    pub is_edited: bool,
    /// 0: it is no reply.
    pub reply_to: u64,
    pub mention_ids: Vec<u64>,
}

/// What a message says.
#[derive(Clone, Debug)]
pub enum Body {
    Text(String),
    /// Taken back.
    Recalled,
    /// Something that a terminal does not show.
    Data {
        kind: &'static str,
        len: usize,
    },
    /// Something that the server tells; its sentence depends on names that may come later.
    Event(Box<pb::MessageData>),
}

impl Message {
    pub fn of(entry: &pb::MessageData) -> Self {
        let body = match entry.r#type() {
            _ if is_event(entry) => Body::Event(Box::new(entry.clone())),
            _ if entry.flags & RECALLED != 0 => Body::Recalled,
            pb::MsgType::Text => Body::Text(String::from_utf8_lossy(&entry.content).into_owned()),
            other => Body::Data { kind: other.as_str_name(), len: entry.content.len() },
        };
        Self {
            conv_seq: entry.conv_seq,
            msg_id: entry.msg_id,
            sender_id: entry.sender_id,
            time_ms: entry.send_time_ms,
            body,
            is_edited: entry.flags & EDITED != 0,
            reply_to: entry.reply_to_msg_id,
            mention_ids: entry.mention_ids.clone(),
        }
    }

    /// The same with no more than the list of conversations shows.
    pub fn preview(entry: &pb::MessageData) -> Self {
        let mut message = Self::of(entry);
        if let Body::Text(text) = &mut message.body
            && let Some((end, _)) = text.char_indices().nth(PREVIEW_CHARS)
        {
            text.truncate(end);
        }
        message
    }

    /// Whether somebody wrote it.
    pub fn is_written(&self) -> bool {
        !matches!(self.body, Body::Event(_))
    }

    /// Whether it is shown where it stands: changes of messages are shown at those messages.
    pub fn is_shown(&self) -> bool {
        match &self.body {
            Body::Event(entry) => entry.r#type() != pb::MsgType::SystemMessage,
            _ => true,
        }
    }

    /// Bytes that it takes, about.
    pub(super) fn len(&self) -> usize {
        let body_len = match &self.body {
            Body::Text(text) => text.len(),
            Body::Event(entry) => entry.content.len() + size_of::<pb::MessageData>(),
            Body::Recalled | Body::Data { .. } => 0,
        };
        size_of::<Self>() + body_len + self.mention_ids.len() * size_of::<u64>()
    }

    /// A later change of it.
    pub(super) fn change(&mut self, event: &pb::MessageEvent) {
        match event.kind() {
            pb::MessageEventKind::MessageRecalled => {
                self.body = Body::Recalled;
                (self.reply_to, self.mention_ids) = (0, Vec::new());
            }
            // An edit whose content is gone was followed by another change, which comes too.
            pb::MessageEventKind::MessageEdited if !event.content.is_empty() => {
                self.body = Body::Text(String::from_utf8_lossy(&event.content).into_owned());
                self.is_edited = true;
            }
            _ => {}
        }
    }
}

/// Whether the server made the entry.
pub fn is_event(entry: &pb::MessageData) -> bool {
    entry.r#type >= pb::MsgType::SystemGroup as i32
}

/// What a SYSTEM_MESSAGE entry says.
pub(super) fn message_event(entry: &pb::MessageData) -> Option<pb::MessageEvent> {
    let is_it = entry.r#type() == pb::MsgType::SystemMessage;
    is_it.then(|| pb::MessageEvent::decode(entry.content.clone()).ok()).flatten()
}

/// What a SYSTEM_SELF entry says.
pub(super) fn self_event(entry: &pb::MessageData) -> Option<pb::self_event::What> {
    let is_it = entry.r#type() == pb::MsgType::SystemSelf;
    is_it.then(|| pb::SelfEvent::decode(entry.content.clone()).ok()).flatten()?.what
}
