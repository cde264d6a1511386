//! What an application makes of the entries that its client library hands it: the picture of one
//! device. Applied live or from the beginning, the same entries give the same picture. What was said
//! before a group became a stream is in the mailbox and what becomes of it may be in the stream: either
//! may be read first.

use std::collections::{BTreeMap, BTreeSet};

use aldis_wire::{CLEARED, EDITED, Message, RECALLED, pb};

/// A conversation as its user names it: the other user, or the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    User(u64),
    Group(u64),
}

impl Place {
    /// `receiver_id` and `group_id` of a request.
    pub fn fields(self) -> (u64, u64) {
        match self {
            Place::User(user) => (user, 0),
            Place::Group(group) => (0, group),
        }
    }
}

/// An entry of a conversation as it is shown now.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub msg_id: u64,
    pub sender: u64,
    pub kind: pb::MsgType,
    pub content: Vec<u8>,
    pub reply_to: u64,
    pub mentions: Vec<u64>,
    pub flags: u32,
    /// Who reacts to it, and how.
    pub reactions: BTreeSet<(u64, String)>,
}

impl Told {
    fn blank(&mut self, flag: u32) {
        self.content.clear();
        self.mentions.clear();
        self.reply_to = 0;
        self.flags |= flag;
    }
}

/// An entry that says that somebody reacts to a message, or does no longer.
#[derive(Clone, Debug, PartialEq)]
struct Feeling {
    target: u64,
    user: u64,
    reaction: String,
    is_over: bool,
}

/// See the file's first line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diary {
    pub told: BTreeMap<Place, BTreeMap<u64, Told>>,
    /// Every reaction and every end of one in the order of the conversation.
    feelings: BTreeMap<Place, BTreeMap<u64, Feeling>>,
    relations: BTreeMap<u64, pb::RelationInfo>,
    requests: BTreeMap<(u64, u64), pb::GroupRequestInfo>,
    views: BTreeMap<Place, pb::ConversationView>,
    profile: Option<pb::OwnProfile>,
}

impl Diary {
    /// The next entry of the mailbox of `user`.
    pub fn apply(&mut self, user: u64, entry: &pb::MessageData) {
        if entry.r#type() == pb::MsgType::SystemSelf {
            let event = pb::SelfEvent::decode(entry.content.as_ref()).expect("a SelfEvent");
            return self.apply_self(event);
        }
        let place = place_of(user, entry);
        let mut told = told(entry);
        if told.kind == pb::MsgType::SystemMessage && entry.flags & CLEARED == 0 {
            let event = pb::MessageEvent::decode(entry.content.as_ref()).expect("a MessageEvent");
            self.change(place, entry, event);
        }
        if told.kind == pb::MsgType::SystemMessage {
            // The text of an edit goes with the next edit; what was done stays.
            told.content = Vec::new();
            told.flags &= CLEARED;
        }
        if told.flags & CLEARED != 0 {
            // What is left of it says where a stream begins or ends, which is no part of the picture.
            told.content = Vec::new();
        }
        self.told.entry(place).or_default().insert(entry.conv_seq, told);
        self.count_reactions(place, entry.conv_seq);
    }

    /// What an entry says of another one. The text of an edit is blank once something else has become
    /// of the message: that is said by a later entry, or by the message if it is read afterwards.
    fn change(&mut self, place: Place, entry: &pb::MessageData, event: pb::MessageEvent) {
        let (kind, at, user) = (event.kind(), event.conv_seq, entry.sender_id);
        // Who joined later never saw the message.
        let target = self.told.entry(place).or_default().get_mut(&at);
        match kind {
            pb::MessageEventKind::MessageRecalled => {
                target.into_iter().for_each(|target| target.blank(RECALLED));
            }
            pb::MessageEventKind::MessageEdited => {
                let Some(target) = target else { return };
                target.flags |= EDITED;
                if !event.content.is_empty() {
                    target.content = event.content.to_vec();
                }
            }
            pb::MessageEventKind::MessageReacted | pb::MessageEventKind::MessageUnreacted => {
                let is_over = kind == pb::MessageEventKind::MessageUnreacted;
                let feeling = Feeling { target: at, user, reaction: event.reaction, is_over };
                self.feelings.entry(place).or_default().insert(entry.conv_seq, feeling);
            }
            other => panic!("an event of a message: {other:?}"),
        }
        self.count_reactions(place, at);
    }

    fn count_reactions(&mut self, place: Place, conv_seq: u64) {
        let told = self.told.get_mut(&place).and_then(|told| told.get_mut(&conv_seq));
        let Some(told) = told else { return };
        told.reactions.clear();
        if told.flags & RECALLED != 0 {
            return;
        }
        let all = self.feelings.get(&place).into_iter().flatten();
        for (_, feeling) in all.filter(|(_, feeling)| feeling.target == conv_seq) {
            let reaction = (feeling.user, feeling.reaction.clone());
            if feeling.is_over {
                told.reactions.remove(&reaction);
            } else {
                told.reactions.insert(reaction);
            }
        }
    }

    fn apply_self(&mut self, event: pb::SelfEvent) {
        use pb::self_event::What;
        match event.what.expect("it says what") {
            What::Relation(relation) => {
                self.relations.insert(relation.user_id, relation);
            }
            What::GroupRequest(request) => {
                self.requests.insert((request.group_id, request.user_id), request);
            }
            What::View(view) => {
                let place = match view.group_id {
                    0 => Place::User(view.receiver_id),
                    group => Place::Group(group),
                };
                self.clear(place, view.cleared_conv_seq);
                self.views.insert(place, view);
            }
            What::Profile(profile) => self.profile = Some(profile),
        }
    }
}

impl Diary {
    fn clear(&mut self, place: Place, upto: u64) {
        let Some(conversation) = self.told.get_mut(&place) else { return };
        conversation.range_mut(..=upto).for_each(|(_, told)| told.blank(CLEARED));
    }

    /// Messages above the user's mark, which the user's own newest message moves too.
    pub fn unread(&self, user: u64, place: Place) -> u64 {
        let view = self.views.get(&place).cloned().unwrap_or_default();
        let messages = || self.told.get(&place).into_iter().flatten();
        let messages = || messages().filter(|(_, told)| told.kind.is_message());
        let own = messages().filter(|(_, told)| told.sender == user).map(|(at, _)| *at).max();
        let mark = own.unwrap_or(0).max(view.read_conv_seq).max(view.cleared_conv_seq);
        messages().filter(|(at, _)| **at > mark).count() as u64
    }

    /// Up to where a conversation is cleared.
    pub fn cleared(&self, place: Place) -> u64 {
        self.views.get(&place).map_or(0, |view| view.cleared_conv_seq)
    }
}

/// The conversation of an entry in somebody's mailbox.
pub fn place_of(user: u64, entry: &pb::MessageData) -> Place {
    match (entry.group_id, entry.sender_id == user) {
        (0, true) => Place::User(entry.receiver_id),
        (0, false) => Place::User(entry.sender_id),
        (group, _) => Place::Group(group),
    }
}

/// An entry as it is shown.
pub fn told(entry: &pb::MessageData) -> Told {
    Told {
        msg_id: entry.msg_id,
        sender: entry.sender_id,
        kind: entry.r#type(),
        content: entry.content.to_vec(),
        reply_to: entry.reply_to_msg_id,
        mentions: entry.mention_ids.clone(),
        flags: entry.flags,
        reactions: BTreeSet::new(),
    }
}
