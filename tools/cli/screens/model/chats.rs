//! The list of conversations: who they are with, what was said last, how much is unread. Asks
//! nobody; what it knows comes from entries and marks.

use std::collections::BTreeSet;

use aldis_client::core::Target;
use aldis_wire::pb;

use super::message::Message;

/// Conversations in the list; the oldest ones leave it. Who has more finds them by name.
pub(super) const CHATS_MAX: usize = 10_000;
/// Unread messages that are counted; the list shows `99+` long before.
const UNREAD_MAX: usize = 1_000;

/// One conversation.
#[derive(Clone, Debug)]
pub struct Chat {
    pub target: Target,
    /// The newest message, shortened.
    pub last: Option<Message>,
    /// Unix time by which the list is sorted, ms.
    pub active_ms: u64,
    /// Everything up to it was read, on whatever device.
    pub read_conv_seq: u64,
    /// Since when it is pinned, Unix time in ms; 0: it is not.
    pub pinned_ms: u64,
    /// What is said there is nothing to look up for.
    pub is_muted: bool,
    /// Unread messages up to `listed_up_to`, as the server counted them.
    listed_unread: usize,
    listed_up_to: u64,
    /// Messages of others above both.
    unread: BTreeSet<u64>,
    /// The lowest unread message that mentions the user.
    mentioned_at: Option<u64>,
    /// The other of a 1:1 conversation has read everything up to it.
    pub other_read_conv_seq: u64,
    /// A device of the other's holds everything up to it.
    pub other_received_conv_seq: u64,
    /// Highest conv_seq that is known.
    pub last_conv_seq: u64,
}

/// See the file's first line.
#[derive(Debug, Default)]
pub struct Chats {
    /// Newest first.
    list: Vec<Chat>,
    /// In the list view; may differ from the open one.
    pub selected: Option<Target>,
}

impl Chat {
    fn new(target: Target, active_ms: u64) -> Self {
        Self {
            target,
            last: None,
            active_ms,
            read_conv_seq: 0,
            pinned_ms: 0,
            is_muted: false,
            listed_unread: 0,
            listed_up_to: 0,
            unread: BTreeSet::new(),
            mentioned_at: None,
            other_read_conv_seq: 0,
            other_received_conv_seq: 0,
            last_conv_seq: 0,
        }
    }

    pub fn unread_count(&self) -> usize {
        self.listed_unread + self.unread.len()
    }

    /// Whether one of the unread messages mentions the user.
    pub fn is_mentioned(&self) -> bool {
        self.mentioned_at.is_some()
    }

    fn mark_read(&mut self, conv_seq: u64) {
        self.read_conv_seq = self.read_conv_seq.max(conv_seq);
        // Between the mark and what was counted there can be no more messages than entries.
        let left = self.listed_up_to.saturating_sub(self.read_conv_seq);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        self.listed_unread = self.listed_unread.min(left);
        self.unread = self.unread.split_off(&(self.read_conv_seq + 1));
        self.mentioned_at = self.mentioned_at.filter(|at| *at > self.read_conv_seq);
    }
}

impl Chats {
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Chat> {
        self.list.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn get(&self, target: Target) -> Option<&Chat> {
        self.list.iter().find(|chat| chat.target == target)
    }

    /// Unread messages of all conversations that are not quiet.
    pub fn unread_total(&self) -> usize {
        self.list.iter().filter(|chat| !chat.is_muted).map(Chat::unread_count).sum()
    }

    pub fn position(&self, target: Target) -> Option<usize> {
        self.list.iter().position(|chat| chat.target == target)
    }

    pub fn nth(&self, index: usize) -> Option<&Chat> {
        self.list.get(index)
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
    }

    /// The conversation, which is put first if it is not in the list.
    pub(super) fn ensure(&mut self, target: Target, now_ms: u64) -> &mut Chat {
        let index = match self.position(target) {
            Some(index) => index,
            None => {
                self.list.insert(0, Chat::new(target, now_ms));
                self.list.truncate(CHATS_MAX);
                0
            }
        };
        self.list.get_mut(index).expect("it was found or just put there")
    }

    /// An entry of a conversation, new or old, in any order, perhaps again.
    pub(super) fn note(&mut self, target: Target, entry: &pb::MessageData, me: u64) {
        let chat = self.ensure(target, entry.send_time_ms);
        let message = Message::preview(entry);
        if entry.sender_id == me && message.is_written() {
            chat.mark_read(entry.conv_seq); // who answers has read
        } else if message.is_written() && entry.conv_seq > chat.read_conv_seq {
            if message.mention_ids.contains(&me) {
                chat.mentioned_at.get_or_insert(entry.conv_seq);
            }
            if chat.unread.len() < UNREAD_MAX && entry.conv_seq > chat.listed_up_to {
                chat.unread.insert(entry.conv_seq);
            }
        }
        if entry.conv_seq >= chat.last_conv_seq && message.is_shown() {
            chat.active_ms = entry.send_time_ms;
            chat.last = Some(message);
        }
        chat.last_conv_seq = chat.last_conv_seq.max(entry.conv_seq);
        self.sort();
    }

    /// What the server's list says of a conversation.
    pub(super) fn list(
        &mut self,
        target: Target,
        info: &pb::ConversationInfo,
        view: &pb::ConversationView,
    ) {
        let chat = self.ensure(target, info.update_time_ms);
        if info.max_conv_seq >= chat.last_conv_seq {
            chat.active_ms = info.update_time_ms;
            chat.last_conv_seq = info.max_conv_seq;
            chat.last = info.last.as_ref().map(Message::preview);
        }
        if info.max_conv_seq >= chat.listed_up_to {
            chat.listed_up_to = info.max_conv_seq;
            chat.listed_unread = usize::try_from(info.unread).unwrap_or(usize::MAX);
            chat.unread = chat.unread.split_off(&(info.max_conv_seq + 1));
        }
        self.set_view(target, view);
    }

    /// What the user made of a conversation.
    pub(super) fn set_view(&mut self, target: Target, view: &pb::ConversationView) {
        let Some(chat) = self.list.iter_mut().find(|chat| chat.target == target) else { return };
        chat.pinned_ms = view.pinned_ms;
        chat.is_muted = view.muted;
        chat.mark_read(view.read_conv_seq.max(view.cleared_conv_seq));
        if chat.last.as_ref().is_some_and(|last| last.conv_seq <= view.cleared_conv_seq) {
            chat.last = None;
        }
        self.sort();
    }

    /// A message was changed: the list shows no more of it than the conversation does.
    pub(super) fn change(&mut self, target: Target, event: &pb::MessageEvent) {
        let found = self.list.iter_mut().find(|chat| chat.target == target);
        let last = found.and_then(|chat| chat.last.as_mut());
        if let Some(last) = last.filter(|last| last.conv_seq == event.conv_seq) {
            last.change(event);
        }
    }

    /// The other one has read everything up to `read`, and a device has everything up to `received`.
    pub(super) fn note_receipt(&mut self, target: Target, read: u64, received: u64) {
        if let Some(chat) = self.list.iter_mut().find(|chat| chat.target == target) {
            chat.other_read_conv_seq = chat.other_read_conv_seq.max(read);
            chat.other_received_conv_seq = chat.other_received_conv_seq.max(received).max(read);
        }
    }

    /// Everything up to `conv_seq` was read.
    pub(super) fn mark_read(&mut self, target: Target, conv_seq: u64) {
        if let Some(chat) = self.list.iter_mut().find(|chat| chat.target == target) {
            chat.mark_read(conv_seq);
        }
    }

    fn sort(&mut self) {
        self.list.sort_by_key(|chat| std::cmp::Reverse((chat.pinned_ms, chat.active_ms)));
    }
}

#[cfg(test)]
mod tests {
    use aldis_wire::UserId;

    use super::*;

    const ME: u64 = 1;

    fn entry(sender_id: u64, conv_seq: u64, time_ms: u64) -> pb::MessageData {
        pb::MessageData {
            conv_seq,
            sender_id,
            send_time_ms: time_ms,
            r#type: pb::MsgType::Text as i32,
            content: "hi".into(),
            ..Default::default()
        }
    }

    fn user(id: u64) -> Target {
        Target::User(UserId(id))
    }

    #[test]
    fn unread_messages_are_counted_once_and_until_they_are_read() {
        let mut chats = Chats::default();
        for conv_seq in [2, 1, 3, 2] {
            chats.note(user(5), &entry(5, conv_seq, conv_seq), ME);
        }
        assert_eq!(chats.unread_total(), 3);
        chats.mark_read(user(5), 2);
        assert_eq!(chats.get(user(5)).unwrap().unread_count(), 1);
        chats.note(user(5), &entry(5, 2, 2), ME);
        assert_eq!(chats.unread_total(), 1, "what is read stays so");
        chats.note(user(5), &entry(ME, 4, 4), ME);
        assert_eq!(chats.unread_total(), 0, "an answer reads what it answers");
    }

    #[test]
    fn the_newest_conversation_stands_first() {
        let mut chats = Chats::default();
        chats.note(user(5), &entry(5, 1, 10), ME);
        chats.note(user(6), &entry(6, 1, 20), ME);
        let order: Vec<Target> = chats.iter().map(|chat| chat.target).collect();
        assert_eq!(order, [user(6), user(5)]);
        chats.note(user(5), &entry(5, 2, 30), ME);
        assert_eq!(chats.nth(0).unwrap().target, user(5));
    }

    #[test]
    fn a_mention_is_marked_until_it_is_read() {
        let mut chats = Chats::default();
        let mut mention = entry(5, 7, 10);
        mention.mention_ids = vec![ME];
        chats.note(user(5), &mention, ME);
        assert!(chats.get(user(5)).unwrap().is_mentioned());
        chats.mark_read(user(5), 7);
        assert!(!chats.get(user(5)).unwrap().is_mentioned());
    }
}
