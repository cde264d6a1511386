//! What people sent and what they were told: the promises that the end of a run is held against.
//! Knows no connection.

use std::collections::{BTreeMap, BTreeSet};

use aldis_client::core::{Outgoing, Target};
use aldis_wire::{ClientMsgId, ConversationKey, GroupId, UserId, pb};

/// A message's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SendKey {
    /// Where.
    pub conversation: ConversationKey,
    /// Who.
    pub sender: UserId,
    /// The client's id.
    pub id: ClientMsgId,
}

/// What is known of a message.
#[derive(Clone, Debug)]
pub struct SendRecord {
    /// As first sent.
    pub message: Outgoing,
    /// The first acknowledgement.
    pub ack: Option<pb::MsgSendResp>,
}

/// See the file's first line.
#[derive(Debug, Default)]
pub struct Ledger {
    sends: BTreeMap<SendKey, SendRecord>,
    /// New messages of a device to a conversation in its order. Those that another device sent too
    /// may be overtaken and are not in here.
    orders: BTreeMap<(usize, ConversationKey), Vec<ClientMsgId>>,
    /// Tried more than once: an answer to it may have been lost.
    repeated: BTreeSet<SendKey>,
    copied: BTreeSet<SendKey>,
    /// Who began to block whom at some time.
    pub blocks: BTreeSet<(UserId, UserId)>,
    /// Groups that somebody was told of.
    pub groups: BTreeSet<GroupId>,
}

/// Where a message to this target goes.
pub fn conversation_of(sender: UserId, target: Target) -> ConversationKey {
    match target {
        Target::User(user) => ConversationKey::direct(sender, user),
        Target::Group(group) => ConversationKey::group(group),
    }
}

impl Ledger {
    /// A new message.
    pub fn note_send(&mut self, device: usize, sender: UserId, message: &Outgoing) {
        let conversation = conversation_of(sender, message.target);
        let key = SendKey { conversation, sender, id: message.client_msg_id };
        self.sends.insert(key, SendRecord { message: message.clone(), ack: None });
        self.orders.entry((device, conversation)).or_default().push(message.client_msg_id);
    }

    /// A second device sends a message that was not answered yet.
    pub fn note_copy(&mut self, key: SendKey) {
        self.copied.insert(key);
    }

    /// A message that was not answered for good is tried again.
    pub fn note_repeat(&mut self, key: SendKey) {
        self.repeated.insert(key);
    }

    /// A message was acknowledged; an error if it was before, in other words.
    pub fn note_ack(&mut self, key: SendKey, ack: pb::MsgSendResp) -> Result<(), String> {
        let Some(record) = self.sends.get_mut(&key) else {
            return Err(format!("{key:?} was acknowledged and never sent"));
        };
        match &record.ack {
            Some(first) if *first != ack => {
                Err(format!("{key:?} was acknowledged as {first:?}, then as {ack:?}"))
            }
            Some(_) => Ok(()),
            None => {
                record.ack = Some(ack);
                Ok(())
            }
        }
    }

    /// What is known of a message.
    pub fn record(&self, key: SendKey) -> Option<&SendRecord> {
        self.sends.get(&key)
    }

    /// All messages.
    pub fn sends(&self) -> impl Iterator<Item = (&SendKey, &SendRecord)> {
        self.sends.iter()
    }

    /// Acknowledged messages of a sender.
    pub fn acknowledged_by(&self, sender: UserId) -> Vec<SendKey> {
        let acked =
            self.sends.iter().filter(|(key, record)| key.sender == sender && record.ack.is_some());
        acked.map(|(key, _)| *key).collect()
    }

    /// Every device's messages to a conversation, in its order, without those sent twice.
    pub fn orders(&self) -> impl Iterator<Item = (usize, ConversationKey, &[ClientMsgId])> {
        self.orders.iter().map(|((device, conversation), ids)| (*device, *conversation, &ids[..]))
    }

    /// Whether one of the two may have blocked the other at some time.
    pub fn may_be_blocked(&self, conversation: ConversationKey) -> bool {
        let (lo, hi) = (UserId(conversation.lo), UserId(conversation.hi));
        self.blocks.contains(&(lo, hi)) || self.blocks.contains(&(hi, lo))
    }

    /// Whether two devices sent it.
    pub fn is_copied(&self, key: SendKey) -> bool {
        self.copied.contains(&key)
    }

    /// Whether it can be out of its device's order. One that two devices sent may overtake. One may
    /// have been refused while its sender was no member, or behind a block, and that answer was lost.
    pub fn may_be_out_of_order(&self, key: SendKey) -> bool {
        let is_group = key.conversation.as_group().is_some();
        let may_be_refused = is_group || self.may_be_blocked(key.conversation);
        self.copied.contains(&key) || (may_be_refused && self.repeated.contains(&key))
    }
}
