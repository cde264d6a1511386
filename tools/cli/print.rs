//! Entries on standard output: for people, or as JSON lines for scripts. Decides nothing else.

use std::io::{self, Write};

use aldis_client::core::Target;
use aldis_wire::pb;
use serde_json::{Value, json};

use crate::events::{event_text, group_event, people_in};
use crate::names::{Names, target_of};
use crate::terminal::{Style, escape, local_time, now_ms};

/// Bit of `MessageData.flags`: the content was taken back.
const RECALLED: u32 = 1;
/// Bit of `MessageData.flags`: the content is not the first one.
const EDITED: u32 = 2;
/// Bit of `MessageData.flags`: the reader has cleared it.
const CLEARED: u32 = 4;

/// One entry as a JSON object. `msg_id` is a string, because it does not fit a double.
pub fn entry_json(entry: &pb::MessageData, stream: u64, me: u64, names: &Names) -> Value {
    let conversation = match target_of(entry, me) {
        Target::User(user) => json!({"user_id": user.0}),
        Target::Group(group) => json!({"group_id": group.0}),
    };
    let mut value = json!({
        "stream": stream,
        "seq": entry.seq,
        "msg_id": entry.msg_id.to_string(),
        "conversation": conversation,
        "conv_seq": entry.conv_seq,
        "sender_id": entry.sender_id,
        "sender": names.username(entry.sender_id),
        "type": entry.r#type().as_str_name(),
        "time_ms": entry.send_time_ms,
        "client_msg_id": hex(&entry.client_msg_id),
        "flags": entry.flags,
    });
    if let Some(event) = group_event(entry) {
        value["group_event"] = json!({
            "kind": event.kind().as_str_name(),
            "user_ids": event.user_ids,
            "name": event.name,
            "owner_id": event.owner_id,
        });
    } else if let Ok(text) = std::str::from_utf8(&entry.content) {
        value["text"] = json!(text);
    } else {
        value["content_hex"] = json!(hex(&entry.content));
    }
    value
}

/// What an entry says, for people; may have several lines.
pub fn entry_text(entry: &pb::MessageData, names: &Names) -> String {
    match entry.r#type() {
        pb::MsgType::SystemGroup
        | pb::MsgType::SystemFriend
        | pb::MsgType::SystemSelf
        | pb::MsgType::SystemMessage => {
            return format!("* {}", event_text(entry, names));
        }
        _ => {}
    }
    if entry.flags & RECALLED != 0 {
        return "(taken back)".to_owned();
    }
    let edited = if entry.flags & EDITED != 0 { " (edited)" } else { "" };
    match std::str::from_utf8(&entry.content) {
        Ok(_) if entry.flags & CLEARED != 0 => "(cleared)".to_owned(),
        Ok(text) if entry.r#type() == pb::MsgType::Text => format!("{}{edited}", escape(text)),
        _ => format!("[{}, {} bytes]", entry.r#type().as_str_name(), entry.content.len()),
    }
}

/// Users whose names are needed to show an entry.
pub fn people_of(entry: &pb::MessageData) -> Vec<u64> {
    let mut people = vec![entry.sender_id, entry.receiver_id];
    people.extend(people_in(entry));
    people
}

/// Prints one entry, as JSON or for people, and hands it on at once.
pub fn print_entry(
    entry: &pb::MessageData,
    stream: u64,
    me: u64,
    names: &Names,
    as_json: bool,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        serde_json::to_writer(&mut out, &entry_json(entry, stream, me, names))?;
        writeln!(out)?;
    } else {
        let style = Style::for_stdout();
        let position = if entry.seq == 0 { entry.conv_seq } else { entry.seq };
        let time =
            style.dim(&format!("{position:>6} {}", local_time(entry.send_time_ms, now_ms())));
        let sender = style.name(&names.user(entry.sender_id), entry.sender_id);
        let to = match target_of(entry, me) {
            // What one's own devices tell each other.
            Target::User(_) if entry.receiver_id == 0 => names.user(me),
            Target::User(_) => names.user(entry.receiver_id),
            Target::Group(group) => names.group(group.0),
        };
        // Further lines stand apart, so that none of them can pass for a message.
        let text = entry_text(entry, names).replace('\n', "\n       │ ");
        writeln!(out, "{time} {sender} -> {to}: {text}")?;
    }
    out.flush()
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_no_escape_sequences() {
        let entry = pb::MessageData {
            r#type: pb::MsgType::Text as i32,
            content: "\x1b[2Jhi".into(),
            ..Default::default()
        };
        assert_eq!(entry_text(&entry, &Names::default()), "\\u{1b}[2Jhi");
        let json = entry_json(&entry, 0, 1, &Names::default());
        assert_eq!(json["text"], "\x1b[2Jhi", "scripts get what was sent");
    }

    #[test]
    fn content_that_is_no_text_is_not_shown_as_text() {
        let entry = pb::MessageData {
            r#type: pb::MsgType::Custom as i32,
            content: vec![0xFF, 0].into(),
            ..Default::default()
        };
        assert_eq!(entry_text(&entry, &Names::default()), "[CUSTOM, 2 bytes]");
        assert_eq!(entry_json(&entry, 0, 1, &Names::default())["content_hex"], "ff00");
    }
}
