//! What is told and not stored: who writes something, who has read what, who is there. Part of the
//! model, which is right without any of it.

use std::collections::BTreeMap;

use aldis_client::core::{Request, Target, Told};
use aldis_wire::{UserId, limits, pb};

use super::asks::Purpose;
use super::{Line, Model, target_ids};

/// Somebody of whom nothing more is heard writes no longer, ms: what PROTOCOL.md says.
const TYPING_MS: u64 = 6_000;
/// How often it is told that the user writes something, ms.
const TYPING_AGAIN_MS: u64 = 3_000;
/// How often it is asked who is there, ms: a notification can be lost.
const PRESENCE_AGAIN_MS: u64 = 300_000;

/// See the file's first line.
#[derive(Debug, Default)]
pub struct Live {
    /// Until when somebody counts as writing.
    typing: BTreeMap<(Target, u64), u64>,
    /// When the others were told last that the user writes, and where.
    told_typing: Option<(Target, u64)>,
    presence: BTreeMap<u64, pb::PresenceInfo>,
    watched: Vec<u64>,
    watched_at_ms: u64,
}

impl Model {
    /// Who writes something in a conversation.
    pub fn typing(&self, target: Target) -> impl Iterator<Item = u64> {
        let here = self.live.typing.iter().filter(move |((at, _), _)| *at == target);
        here.map(|((_, user), _)| *user)
    }

    /// Whether somebody is online, as far as one may know.
    pub fn presence(&self, user: u64) -> Option<&pb::PresenceInfo> {
        self.live.presence.get(&user)
    }

    pub(super) fn handle_told(&mut self, told: Told) {
        match told {
            Told::Typing(notify) => {
                let target = match notify.group_id {
                    0 => Target::User(UserId(notify.sender_id)),
                    _ => super::target_of_ids(0, notify.group_id),
                };
                let key = (target, notify.sender_id);
                if notify.is_over {
                    self.live.typing.remove(&key);
                } else {
                    self.wanted_names.insert(notify.sender_id);
                    self.live.typing.insert(key, self.now_ms.saturating_add(TYPING_MS));
                }
            }
            Told::Receipt(receipt) => {
                let target = Target::User(UserId(receipt.user_id));
                let (read, received) = (receipt.read_conv_seq, receipt.delivered_conv_seq);
                self.chats.note_receipt(target, read, received);
            }
            Told::Presence(notify) => self.note_presence(notify.users),
        }
    }

    pub(super) fn note_presence(&mut self, users: Vec<pb::PresenceInfo>) {
        self.live.presence.extend(users.into_iter().map(|info| (info.user_id, info)));
    }

    /// A message of somebody ends the writing of it.
    pub(super) fn end_typing(&mut self, target: Target, sender_id: u64) {
        self.live.typing.remove(&(target, sender_id));
    }

    /// Something was typed to a conversation.
    pub(super) fn tell_typing(&mut self, target: Target) {
        let draft = self.drafts.get(&target);
        let is_message = draft
            .is_some_and(|draft| !draft.editor.is_empty() && !draft.editor.text().starts_with('/'));
        let told = self.live.told_typing;
        let was_told = told.is_some_and(|(at, told_ms)| {
            at == target && self.now_ms < told_ms.saturating_add(TYPING_AGAIN_MS)
        });
        if is_message && !was_told && self.line == Line::Online {
            self.live.told_typing = Some((target, self.now_ms));
            let (receiver_id, group_id) = target_ids(target);
            let body = pb::TypingReq { receiver_id, group_id, is_over: false };
            self.ask(Request::Typing(body), Purpose::Typing);
        }
    }

    /// The message was sent: the next letter is told at once.
    pub(super) fn forget_told_typing(&mut self) {
        self.live.told_typing = None;
    }

    /// Watches friends, and with whom one talks, as many as fit.
    pub(super) fn watch(&mut self) {
        let friends = self.relations.friends.iter().map(|friend| friend.user_id);
        let others =
            self.chats.iter().take(limits::PRESENCE_USERS_MAX).filter_map(|chat| {
                match chat.target {
                    Target::User(user) => Some(user.0),
                    Target::Group(_) => None,
                }
            });
        let mut users: Vec<u64> =
            others.chain(friends).filter(|id| *id != self.setting.me).collect();
        let mut seen = std::collections::HashSet::new();
        users.retain(|id| seen.insert(*id));
        users.truncate(limits::PRESENCE_USERS_MAX);
        users.sort_unstable();
        let is_old = self.now_ms >= self.live.watched_at_ms.saturating_add(PRESENCE_AGAIN_MS);
        let is_other = users != self.live.watched;
        let is_asked = self.asks.has(|purpose| matches!(purpose, Purpose::Watch));
        if self.line == Line::Online && !users.is_empty() && (is_old || is_other) && !is_asked {
            self.live.watched.clone_from(&users);
            self.live.watched_at_ms = self.now_ms;
            let body = pb::PresenceSubscribeReq { user_ids: users };
            self.ask(Request::PresenceSubscribe(body), Purpose::Watch);
        }
    }

    /// A new session watches nobody yet.
    pub(super) fn watch_anew(&mut self) {
        self.live = Live::default();
    }

    pub(super) fn end_old_typing(&mut self) {
        let now_ms = self.now_ms;
        self.live.typing.retain(|_, until| *until > now_ms);
    }

    /// When the first one who writes counts as writing no longer.
    pub(super) fn typing_timeout(&self) -> Option<u64> {
        self.live.typing.values().min().copied()
    }
}
