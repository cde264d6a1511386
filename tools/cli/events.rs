//! What the server's own entries say, for people. Knows no connection.

use aldis_wire::{Message, pb};

use crate::names::Names;
use crate::terminal::{escape, escape_line, local_time, now_ms};

/// What was changed, on one line.
pub fn event_text(entry: &pb::MessageData, names: &Names) -> String {
    if let Some(event) = group_event(entry) {
        return group_text(&event, names);
    }
    if let Some(event) = friend_event(entry) {
        return match event.kind() {
            pb::FriendEventKind::FriendApplied if event.reason.is_empty() => {
                "wants to be friends".to_owned()
            }
            pb::FriendEventKind::FriendApplied => {
                format!("wants to be friends: {}", escape_line(&event.reason))
            }
            pb::FriendEventKind::FriendAccepted => "is a friend now".to_owned(),
            pb::FriendEventKind::FriendRefused => "does not want to be friends".to_owned(),
            pb::FriendEventKind::Unspecified => "changed a friendship".to_owned(),
        };
    }
    if let Some(event) = message_event(entry) {
        return match event.kind() {
            pb::MessageEventKind::MessageRecalled => format!("took entry {} back", event.conv_seq),
            pb::MessageEventKind::MessageReacted => {
                format!("reacted to entry {}: {}", event.conv_seq, escape_line(&event.reaction))
            }
            pb::MessageEventKind::MessageUnreacted => {
                let reaction = escape_line(&event.reaction);
                format!("took a reaction to entry {} back: {reaction}", event.conv_seq)
            }
            _ => match std::str::from_utf8(&event.content) {
                Ok("") | Err(_) => format!("changed entry {}", event.conv_seq),
                Ok(text) => format!("changed entry {}: {}", event.conv_seq, escape(text)),
            },
        };
    }
    match self_event(entry).and_then(|event| event.what) {
        Some(pb::self_event::What::Relation(relation)) => {
            let who = names.user(relation.user_id);
            match (relation.is_blocked, relation.is_friend) {
                (true, _) => format!("{who} is blocked"),
                (false, true) => format!("{who} is a friend"),
                (false, false) => format!("{who} is no friend"),
            }
        }
        Some(pb::self_event::What::GroupRequest(request)) => {
            let (who, group) = (names.user(request.user_id), names.group(request.group_id));
            match request.state() {
                pb::GroupRequestState::Waiting => {
                    format!("{who} wants to come into {group}: {}", escape_line(&request.reason))
                }
                pb::GroupRequestState::Refused => format!("{group} does not take {who} in"),
            }
        }
        Some(pb::self_event::What::View(view)) => {
            let conversation = match (view.group_id, view.receiver_id) {
                (0, user) => names.user(user),
                (group, _) => names.group(group),
            };
            format!("{conversation} {}", view_text(&view))
        }
        Some(pb::self_event::What::Profile(profile)) => {
            let nickname = profile.user.unwrap_or_default().nickname;
            format!("changed the profile of {}", escape_line(&nickname))
        }
        None => "changed something".to_owned(),
    }
}

fn view_text(view: &pb::ConversationView) -> String {
    let mut text = format!("is read up to entry {}", view.read_conv_seq);
    if view.cleared_conv_seq > 0 {
        text.push_str(&format!(", cleared up to entry {}", view.cleared_conv_seq));
    }
    for (is_set, what) in [(view.pinned_ms > 0, ", pinned"), (view.muted, ", muted")] {
        text.push_str(if is_set { what } else { "" });
    }
    text
}

fn group_text(event: &pb::GroupEvent, names: &Names) -> String {
    use pb::GroupEventKind as Kind;
    let people: Vec<String> = event.user_ids.iter().map(|id| names.user(*id)).collect();
    let people = people.join(", ");
    match event.kind() {
        Kind::GroupCreated => format!("created the group {} with {people}", escape(&event.name)),
        Kind::MembersJoined => format!("brought in {people}"),
        Kind::MemberLeft => format!("{people} left"),
        Kind::MembersRemoved => format!("put out {people}"),
        Kind::AdminMade => format!("made {people} an admin"),
        Kind::AdminUnmade => format!("made {people} a plain member"),
        Kind::OwnerChanged => format!("made {people} the owner"),
        Kind::GroupUpdated => updated_text(event),
        Kind::MemberMuted if event.muted_until_ms == 0 => format!("lets {people} speak again"),
        Kind::MemberMuted => {
            format!("muted {people} until {}", local_time(event.muted_until_ms, now_ms()))
        }
        Kind::AllMuted if event.all_muted => "muted everybody".to_owned(),
        Kind::AllMuted => "lets everybody speak again".to_owned(),
        Kind::GroupDissolved => "dissolved the group".to_owned(),
        Kind::Unspecified => "changed the group".to_owned(),
    }
}

fn updated_text(event: &pb::GroupEvent) -> String {
    let mut changes = Vec::new();
    if !event.name.is_empty() {
        changes.push(format!("named the group {}", escape_line(&event.name)));
    }
    match &event.announcement {
        Some(text) if text.is_empty() => changes.push("took the announcement down".to_owned()),
        Some(text) => changes.push(format!("announced: {}", escape_line(text))),
        None => {}
    }
    if changes.is_empty() {
        let mode = event.join_mode().as_str_name().to_lowercase();
        changes.push(format!("changed how one comes in: {mode}"));
    }
    changes.join(", ")
}

/// Users whom the entry names besides its sender.
pub fn people_in(entry: &pb::MessageData) -> Vec<u64> {
    if let Some(event) = group_event(entry) {
        return event.user_ids;
    }
    match self_event(entry).and_then(|event| event.what) {
        Some(pb::self_event::What::Relation(relation)) => vec![relation.user_id],
        Some(pb::self_event::What::GroupRequest(request)) => vec![request.user_id],
        Some(pb::self_event::What::View(view)) => vec![view.receiver_id],
        Some(pb::self_event::What::Profile(_)) | None => Vec::new(),
    }
}

/// A change of a group.
pub fn group_event(entry: &pb::MessageData) -> Option<pb::GroupEvent> {
    content(entry, pb::MsgType::SystemGroup)
}

fn friend_event(entry: &pb::MessageData) -> Option<pb::FriendEvent> {
    content(entry, pb::MsgType::SystemFriend)
}

fn message_event(entry: &pb::MessageData) -> Option<pb::MessageEvent> {
    content(entry, pb::MsgType::SystemMessage)
}

fn self_event(entry: &pb::MessageData) -> Option<pb::SelfEvent> {
    content(entry, pb::MsgType::SystemSelf)
}

fn content<T: Message + Default>(entry: &pb::MessageData, kind: pb::MsgType) -> Option<T> {
    (entry.r#type() == kind).then(|| T::decode(entry.content.clone()).ok()).flatten()
}
