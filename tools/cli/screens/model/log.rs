//! The messages of the open conversation that are at hand: a window of them, which grows at both
//! ends. Asks nobody.

use std::collections::BTreeMap;

use aldis_client::core::Target;
use aldis_wire::pb;

use super::message::{Body, Message, message_event};

/// Messages at hand; what was left behind by scrolling is fetched again when it is wanted.
const MESSAGES_MAX: usize = 2_000;
/// Bytes of the same: texts may have 64 KiB each.
const BYTES_MAX: usize = 16 << 20;

/// See the file's first line.
#[derive(Debug)]
pub struct Log {
    pub target: Target,
    /// By conv_seq.
    messages: BTreeMap<u64, Message>,
    /// Who reacted how to the message with this conv_seq, as the entries at hand tell it: they come
    /// after the message, so all of them are here.
    reactions: BTreeMap<u64, Vec<(u64, String)>>,
    bytes: usize,
    /// There are older messages than the first one here.
    pub has_older: bool,
    /// There are newer messages than the last one here, and they can be had.
    pub has_newer: bool,
    /// The newest message is here, and those that come are added.
    pub is_at_end: bool,
    /// A page was asked for.
    pub is_loading: bool,
    /// Nothing was loaded yet.
    pub is_fresh: bool,
    /// Where what was not read began when the conversation was opened.
    pub news_after: Option<u64>,
    /// conv_seq of a message that is to be shown once its page is here.
    pub gone_to: Option<u64>,
    /// `None`: the end is shown, and what comes moves it.
    pub bottom: Option<Anchor>,
    /// conv_seq of the picked message.
    pub picked: Option<u64>,
}

/// Which message is the lowest one that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// conv_seq.
    pub conv_seq: u64,
    /// Rows of it that are not shown.
    pub hidden: usize,
}

impl Log {
    pub(super) fn new(target: Target) -> Self {
        Self {
            target,
            messages: BTreeMap::new(),
            reactions: BTreeMap::new(),
            bytes: 0,
            has_older: false,
            has_newer: false,
            is_at_end: true,
            is_loading: true,
            is_fresh: true,
            news_after: None,
            gone_to: None,
            bottom: None,
            picked: None,
        }
    }

    /// All that is at hand, ascending.
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages.values()
    }

    pub fn get(&self, conv_seq: u64) -> Option<&Message> {
        self.messages.get(&conv_seq)
    }

    /// The message that a reply is to, if it is at hand.
    pub fn by_id(&self, msg_id: u64) -> Option<&Message> {
        self.messages.values().find(|message| message.msg_id == msg_id)
    }

    /// Who reacted how to a message.
    pub fn reactions(&self, conv_seq: u64) -> &[(u64, String)] {
        self.reactions.get(&conv_seq).map_or(&[], Vec::as_slice)
    }

    fn replay_reactions(&mut self) {
        self.reactions.clear();
        for message in self.messages.values() {
            let Body::Event(entry) = &message.body else { continue };
            let Some(event) = message_event(entry) else { continue };
            let reaction = (entry.sender_id, event.reaction.clone());
            let here = self.reactions.entry(event.conv_seq).or_default();
            match event.kind() {
                pb::MessageEventKind::MessageReacted if !here.contains(&reaction) => {
                    here.push(reaction);
                }
                pb::MessageEventKind::MessageUnreacted => here.retain(|other| *other != reaction),
                pb::MessageEventKind::MessageRecalled => here.clear(),
                _ => {}
            }
        }
    }

    /// Lowest and highest conv_seq at hand.
    pub(super) fn first_conv_seq(&self) -> u64 {
        self.messages.keys().next().copied().unwrap_or(0)
    }

    /// The same at the other end.
    pub(super) fn last_conv_seq(&self) -> u64 {
        self.messages.keys().next_back().copied().unwrap_or(0)
    }

    /// A page of HISTORY before what is here, or the newest one.
    pub(super) fn add_page(&mut self, page: &pb::HistoryResp) {
        self.is_loading = false;
        self.is_fresh = false;
        self.has_older = page.more;
        for entry in &page.entries {
            self.add(Message::of(entry));
        }
        self.replay_reactions();
        while self.is_over() && self.bottom.is_some() {
            // Somebody scrolls back: the newest ones are far from what is seen.
            (self.is_at_end, self.has_newer) = (false, true);
            let newest = self.messages.pop_last();
            self.bytes -= newest.map_or(0, |(_, message)| message.len());
        }
        self.trim_oldest();
    }

    /// A page of HISTORY after what is here. `is_all`: nothing came since it was asked for.
    pub(super) fn add_newer(&mut self, page: &pb::HistoryResp, is_all: bool) {
        for entry in &page.entries {
            self.add(Message::of(entry));
        }
        self.replay_reactions();
        self.is_at_end = is_all && !page.more;
        self.has_newer = !self.is_at_end;
        self.trim_oldest();
    }

    /// A message that came now.
    pub(super) fn add_new(&mut self, entry: &pb::MessageData) {
        if let Some(event) = message_event(entry) {
            self.change(&event);
        }
        if self.is_at_end {
            self.add(Message::of(entry));
            self.replay_reactions();
            if self.bottom.is_none() {
                self.trim_oldest();
            }
        }
    }

    /// An own message that was acknowledged and whose entry is to come.
    pub(super) fn add_own(&mut self, message: Message) {
        if self.is_at_end && !self.messages.contains_key(&message.conv_seq) {
            self.add(message);
        }
    }

    fn add(&mut self, message: Message) {
        self.bytes += message.len();
        let old = self.messages.insert(message.conv_seq, message);
        self.bytes -= old.map_or(0, |old| old.len());
    }

    fn change(&mut self, event: &pb::MessageEvent) {
        if let Some(message) = self.messages.get_mut(&event.conv_seq)
            && !matches!(message.body, Body::Event(_))
        {
            self.bytes -= message.len();
            message.change(event);
            self.bytes += message.len();
        }
    }

    /// Shows nothing up to an entry any more.
    pub(super) fn clear_up_to(&mut self, conv_seq: u64) {
        let kept = self.messages.split_off(&(conv_seq + 1));
        if !self.messages.is_empty() {
            self.has_older = false;
        }
        self.messages = kept;
        self.bytes = self.messages.values().map(Message::len).sum();
    }

    fn is_over(&self) -> bool {
        self.messages.len() > 1 && (self.messages.len() > MESSAGES_MAX || self.bytes > BYTES_MAX)
    }

    fn trim_oldest(&mut self) {
        while self.is_over() {
            self.has_older = true;
            let oldest = self.messages.pop_first();
            self.bytes -= oldest.map_or(0, |(_, message)| message.len());
        }
    }

    /// The message that can be picked before (`by` -1) or after (1) this one.
    pub(super) fn neighbour(&self, conv_seq: u64, by: i32) -> Option<u64> {
        let can_be_picked = |message: &&Message| message.is_written();
        let mut before = self.messages.range(..conv_seq).map(|(_, message)| message).rev();
        let mut after = self.messages.range(conv_seq.saturating_add(1)..).map(|(_, m)| m);
        let found = match by {
            1 => after.find(can_be_picked),
            _ => before.find(can_be_picked),
        };
        found.map(|message| message.conv_seq)
    }
}

#[cfg(test)]
mod tests {
    use aldis_wire::{Message as _, UserId};

    use super::*;

    fn entry(conv_seq: u64, text: &str) -> pb::MessageData {
        pb::MessageData {
            conv_seq,
            msg_id: 100 + conv_seq,
            r#type: pb::MsgType::Text as i32,
            content: text.to_owned().into(),
            ..Default::default()
        }
    }

    fn page(range: std::ops::RangeInclusive<u64>, more: bool) -> pb::HistoryResp {
        let entries = range.map(|number| entry(number, "text")).collect();
        pb::HistoryResp { entries, more, max_conv_seq: 0 }
    }

    fn log() -> Log {
        Log::new(Target::User(UserId(2)))
    }

    #[test]
    fn pages_and_news_meet_without_doubles() {
        let mut log = log();
        log.add_new(&entry(11, "new"));
        log.add_page(&page(5..=11, true));
        log.add_page(&page(1..=4, false));
        let seqs: Vec<u64> = log.messages().map(|message| message.conv_seq).collect();
        assert_eq!(seqs, (1..=11).collect::<Vec<_>>());
        assert!(!log.has_older);
    }

    #[test]
    fn the_window_moves_with_the_reader() {
        let mut log = log();
        let max = MESSAGES_MAX as u64;
        log.add_page(&page(max + 1..=2 * max, true));
        assert!(log.is_at_end);
        log.bottom = Some(Anchor { conv_seq: max + 20, hidden: 0 });
        log.add_page(&page(max - 49..=max, true));
        assert!(!log.is_at_end, "the newest were dropped");
        assert_eq!(log.first_conv_seq(), max - 49);
        log.add_new(&entry(2 * max + 1, "x"));
        assert!(log.get(2 * max + 1).is_none(), "there would be a hole before it");
    }

    #[test]
    fn changes_are_shown_where_the_message_stands() {
        let mut log = log();
        log.add_page(&page(1..=3, false));
        let change = |kind: pb::MessageEventKind, of: u64, text: &'static str| pb::MessageData {
            conv_seq: of + 10,
            r#type: pb::MsgType::SystemMessage as i32,
            content: pb::MessageEvent {
                kind: kind as i32,
                conv_seq: of,
                content: text.into(),
                ..Default::default()
            }
            .encode_to_vec()
            .into(),
            ..Default::default()
        };
        log.add_new(&change(pb::MessageEventKind::MessageEdited, 2, "better"));
        log.add_new(&change(pb::MessageEventKind::MessageRecalled, 3, ""));
        let edited = log.get(2).unwrap();
        assert!(matches!(&edited.body, Body::Text(text) if text == "better") && edited.is_edited);
        assert!(matches!(log.get(3).unwrap().body, Body::Recalled));
        assert_eq!(log.messages().filter(|message| message.is_shown()).count(), 3);
        assert_eq!(log.neighbour(u64::MAX, -1), Some(3), "events are not picked");
    }
}
