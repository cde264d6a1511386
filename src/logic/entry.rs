//! A stored message as its readers see it.

use aldis_wire::{ClientMsgId, Message, Seq, pb};
use bytes::Bytes;

use crate::job::StoredMessage;

/// The wire form. `seq` is the reader's; 0 in HISTORY and in what recipients share.
pub fn message_data(message: &StoredMessage, seq: Seq) -> pb::MessageData {
    let group = message.conversation.as_group();
    // The ids of other requests than sends are nobody's business.
    let client_msg_id = match message.client_msg_id {
        ClientMsgId(id) if message.kind.is_message() => Bytes::copy_from_slice(&id),
        _ => Bytes::new(),
    };
    // What is stored was encoded by `msg_send`; what it is not refers to nothing.
    let refs = pb::MessageRefs::decode(message.refs.clone()).unwrap_or_default();
    pb::MessageData {
        seq: seq.0,
        msg_id: message.msg_id.0,
        conv_seq: message.conv_seq.0,
        sender_id: message.sender.0,
        receiver_id: message.conversation.peer_of(message.sender).map_or(0, |peer| peer.0),
        group_id: group.map_or(0, |group| group.0),
        r#type: message.kind as i32,
        content: message.content.clone(),
        extra: message.extra.clone(),
        send_time_ms: message.time_ms,
        flags: message.flags,
        client_msg_id,
        reply_to_msg_id: refs.reply_to_msg_id,
        mention_ids: refs.mention_ids,
    }
}
