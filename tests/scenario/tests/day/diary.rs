//! What an application makes of the entries that its client library hands it: the picture of one
//! device. Applied live or from the beginning, the same entries give the same picture.

use std::collections::BTreeMap;

use aldis_wire::{EDITED, Message, RECALLED, pb};

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
}

/// See the file's first line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diary {
    pub told: BTreeMap<Place, BTreeMap<u64, Told>>,
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
        let conversation = self.told.entry(place).or_default();
        let mut told = told(entry);
        if told.kind == pb::MsgType::SystemMessage {
            let event = pb::MessageEvent::decode(entry.content.as_ref()).expect("a MessageEvent");
            change(conversation, &event, entry.flags & RECALLED != 0);
            // The text of an edit goes with the next edit; what was done stays.
            told.content = Vec::new();
            told.flags = 0;
        }
        conversation.insert(entry.conv_seq, told);
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
                self.views.insert(place, view);
            }
            What::Profile(profile) => self.profile = Some(profile),
        }
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
    }
}

/// What an entry says of an earlier one. That of an edit is blank once something else has become of
/// the message, which a later entry says.
fn change(conversation: &mut BTreeMap<u64, Told>, event: &pb::MessageEvent, is_blank: bool) {
    // Who joined later never saw the message.
    let Some(target) = conversation.get_mut(&event.conv_seq) else { return };
    match event.kind() {
        pb::MessageEventKind::MessageRecalled => {
            target.content.clear();
            target.mentions.clear();
            target.reply_to = 0;
            target.flags |= RECALLED;
        }
        pb::MessageEventKind::MessageEdited => {
            target.flags |= EDITED;
            if !is_blank {
                target.content = event.content.to_vec();
            }
        }
        other => panic!("an event of a message: {other:?}"),
    }
}
