//! What goes into a line: requests' results, entries, hashes. Knows the wire, not who says it.

use aldis_wire::{Code, ConversationKey, GroupId, Message, UserId, pb};
use serde_json::{Value, json};

use crate::core::{RequestError, Response};

pub(super) fn code_json(code: Code) -> Value {
    json!({"code": code.name()})
}

pub(super) fn request_error_json(error: &RequestError) -> Value {
    match error {
        RequestError::Refused { code, .. } => code_json(*code),
        RequestError::Lost => Value::Null,
    }
}

pub(super) fn response_json(response: &Response) -> Value {
    match response {
        Response::MsgSync(page) => json!({
            "skipped_to": page.skipped_to,
            "entries": entries_json(&page.entries),
            "head": page.head, "more": page.more,
        }),
        Response::History(page) => json!({
            "entries": entries_json(&page.entries),
            "more": page.more, "max_conv_seq": page.max_conv_seq,
        }),
        Response::ConversationList(page) => json!({
            "conversations": page.conversations.iter().map(listed_json).collect::<Vec<_>>(),
        }),
        Response::GroupCreate(resp) => json!({"group_id": resp.group_id, "seq": resp.seq}),
        Response::GroupInvite(resp) => json!({"added_ids": resp.added_ids, "seq": resp.seq}),
        Response::GroupLeave(pb::GroupLeaveResp { seq })
        | Response::GroupRemove(pb::GroupRemoveResp { seq })
        | Response::GroupDissolve(pb::GroupDissolveResp { seq }) => json!({"seq": seq}),
        _ => Value::Null,
    }
}

/// Where the history is cleared is a mark too.
fn listed_json(listed: &pb::ConversationInfo) -> Value {
    let view = listed.view.unwrap_or_default();
    json!({
        "receiver_id": view.receiver_id, "group_id": view.group_id,
        "mark": view.read_conv_seq.max(view.cleared_conv_seq), "unread": listed.unread,
    })
}

pub(super) fn entries_json(entries: &[pb::MessageData]) -> Value {
    entries.iter().map(entry_json).collect()
}

fn entry_json(entry: &pb::MessageData) -> Value {
    let conv = conversation_of(entry);
    let mut value = json!({
        "seq": entry.seq, "msg_id": entry.msg_id, "conv": [conv.lo, conv.hi],
        "conv_seq": entry.conv_seq, "sender": entry.sender_id,
        "client_msg_id": hex(&entry.client_msg_id), "kind": entry.r#type,
        "hash": content_hash(&entry.content), "flags": entry.flags,
    });
    if entry.r#type == pb::MsgType::SystemGroup as i32
        && let Ok(event) = pb::GroupEvent::decode(entry.content.clone())
    {
        value["group_event"] = json!({"kind": event.kind, "user_ids": event.user_ids});
    }
    value
}

/// The conversation that an entry belongs to.
pub fn conversation_of(entry: &pb::MessageData) -> ConversationKey {
    let (sender, receiver) = (UserId(entry.sender_id), UserId(entry.receiver_id));
    ConversationKey::of_entry(sender, receiver, GroupId(entry.group_id))
}

/// FNV-1a, 64 bits, in hexadecimal: enough to tell contents apart that no one chose to collide.
pub fn content_hash(content: &[u8]) -> String {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for byte in content {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    format!("{hash:016x}")
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_published_function() {
        assert_eq!(content_hash(b""), "cbf29ce484222325");
        assert_eq!(content_hash(b"a"), "af63dc4c8601ec8c");
        assert_eq!(content_hash(b"foobar"), "85944171f73967e8");
    }
}
