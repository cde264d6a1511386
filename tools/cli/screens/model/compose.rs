//! Typing messages: drafts, sending, editing, replying, mentions. Part of the model.

use std::collections::HashMap;

use aldis_client::core::{Outgoing, Request, Target};
use aldis_wire::{ClientMsgId, limits, pb};
use bytes::Bytes;
use ratatui::crossterm::event::KeyEvent;

use super::asks::After;
use super::prompt::{Sure, Wish};
use super::{Body, Effect, Focus, Line, Message, Model, Unsent, target_ids};
use crate::screens::editor::{Edited, Editor};
use crate::screens::keys::{Act, COMPOSE};
use crate::screens::view;

/// Characters behind a mentioned name that do not belong to it.
const PUNCTUATION: [char; 9] = ['.', ',', ':', ';', '!', '?', ')', '。', '，'];

/// What is typed to one conversation.
#[derive(Clone, Debug)]
pub struct Draft {
    pub editor: Editor,
    /// conv_seq of the message that is replied to.
    pub reply_to: Option<u64>,
    /// conv_seq of the own message that is edited.
    pub editing: Option<u64>,
}

impl Default for Draft {
    fn default() -> Self {
        Self { editor: Editor::new(limits::TEXT_BYTES_MAX), reply_to: None, editing: None }
    }
}

impl Model {
    /// What is typed to the open conversation.
    pub fn draft(&self) -> Option<&Draft> {
        self.drafts.get(&self.current()?)
    }

    fn draft_mut(&mut self) -> Option<&mut Draft> {
        let target = self.current()?;
        Some(self.drafts.entry(target).or_default())
    }

    pub(super) fn handle_compose_key(&mut self, key: KeyEvent) {
        let columns = view::compose_columns(self.size);
        let act = COMPOSE.find(key);
        let Some(draft) = self.draft_mut() else {
            self.focus = Focus::List;
            return;
        };
        let edited = match act {
            // Up is the editor's until the first row.
            None | Some(Act::Up) => draft.editor.handle_key(key, columns),
            Some(Act::NewLine) => draft.editor.insert("\n"),
            Some(_) => Edited::Other,
        };
        match (edited, act) {
            (Edited::Full, _) => {
                self.say(&format!("a text has at most {} bytes", limits::TEXT_BYTES_MAX));
            }
            (Edited::Done, _) => {
                if let Some(target) = self.current() {
                    self.tell_typing(target);
                }
            }
            (Edited::Other, Some(Act::Send)) => self.handle_enter(),
            (Edited::Other, Some(Act::Focus)) => self.complete(),
            (Edited::Other, Some(Act::Up)) => self.pick(u64::MAX, -1),
            (Edited::Other, Some(Act::Back)) => self.leave_compose(),
            _ => {}
        }
    }

    fn leave_compose(&mut self) {
        let Some(draft) = self.draft_mut() else { return };
        if draft.reply_to.take().is_some() {
            return;
        }
        if draft.editing.take().is_some() {
            draft.editor.take();
            return;
        }
        self.focus = Focus::List;
    }

    /// Enter: a command, an edit or a message.
    fn handle_enter(&mut self) {
        let Some(target) = self.current() else { return };
        let Some(draft) = self.draft_mut() else { return };
        if draft.editor.text().trim().is_empty() {
            draft.editor.take();
            return;
        }
        let text = draft.editor.take();
        match draft.editing.take() {
            Some(conv_seq) => self.send_edit(target, conv_seq, &text),
            None => self.handle_typed(target, &text),
        }
    }

    fn send_edit(&mut self, target: Target, conv_seq: u64, text: &str) {
        let (receiver_id, group_id) = target_ids(target);
        let request_id = self.new_request_id();
        let content = Bytes::copy_from_slice(text.as_bytes());
        let extra = Bytes::new();
        let body = pb::EditReq { receiver_id, group_id, conv_seq, request_id, content, extra };
        self.change(Request::Edit(body), "edited", After::Nothing);
    }

    /// Sends a text to the open conversation.
    pub(super) fn send_text(&mut self, target: Target, text: String) {
        let replied = self.drafts.get_mut(&target).and_then(|draft| draft.reply_to.take());
        let reply_to = self.log.as_ref().and_then(|log| log.get(replied?)).map_or(0, |m| m.msg_id);
        let mention_ids = self.mentions_in(&text);
        let id = self.ids.client_msg_id(self.now_ms);
        let refs = pb::MessageRefs { reply_to_msg_id: reply_to, mention_ids: mention_ids.clone() };
        let is_plain = reply_to == 0 && mention_ids.is_empty();
        self.effects.push_back(Effect::Send(Outgoing {
            target,
            client_msg_id: id,
            kind: pb::MsgType::Text,
            content: Bytes::copy_from_slice(text.as_bytes()),
            extra: Bytes::new(),
            refs: (!is_plain).then(|| Box::new(refs)),
        }));
        self.forget_told_typing();
        self.outbox.forget_refused(target);
        let message = Message {
            conv_seq: 0,
            msg_id: 0,
            sender_id: self.setting.me,
            time_ms: self.now_ms,
            body: Body::Text(text),
            is_edited: false,
            reply_to,
            mention_ids,
        };
        self.outbox.push(Unsent { id, target, message, refusal: None });
        self.show_end();
        if let Line::Kicked(_) = self.line {
            self.log_in();
        }
    }

    /// The client could not take a message: its queue is full.
    pub fn handle_not_taken(&mut self, id: ClientMsgId, why: &str) {
        if let Some(unsent) = self.outbox.take(id) {
            self.outbox.keep_refused(unsent, why.to_owned());
        }
    }

    /// Takes the session back.
    pub(super) fn log_in(&mut self) {
        if let Line::Kicked(_) | Line::Refused(_) = self.line {
            self.line = Line::Offline {
                reason: aldis_client::core::OfflineReason::Asked,
                retry_at_ms: None,
            };
            self.effects.push_back(Effect::LogIn);
        }
    }

    /// The picked message becomes what is replied to.
    pub(super) fn reply_to(&mut self, conv_seq: u64) {
        if let Some(draft) = self.draft_mut() {
            (draft.reply_to, draft.editing) = (Some(conv_seq), None);
            self.focus = Focus::Compose;
        }
    }

    /// The picked message comes back to be typed anew.
    pub(super) fn edit(&mut self, conv_seq: u64) {
        let message = self.log.as_ref().and_then(|log| log.get(conv_seq));
        let Some(message) = message.filter(|message| message.sender_id == self.setting.me) else {
            return self.say("one can edit what one wrote oneself");
        };
        let Body::Text(text) = &message.body else {
            return self.say("only a text can be edited");
        };
        let text = text.clone();
        if let Some(draft) = self.draft_mut() {
            draft.editor.set(&text);
            (draft.editing, draft.reply_to) = (Some(conv_seq), None);
            self.focus = Focus::Compose;
        }
    }

    /// Asks whether the picked message is to be taken back.
    pub(super) fn recall(&mut self, conv_seq: u64) {
        if let Some(target) = self.current() {
            self.put_sure(
                "Take this message back for everybody?",
                Sure::Recall { target, conv_seq },
            );
        }
    }

    /// Asks what the user feels about the picked message.
    pub(super) fn ask_reaction(&mut self, conv_seq: u64) {
        if let Some(target) = self.current() {
            self.put(
                "react with (an emoji or a short word):",
                "",
                Wish::React { target, conv_seq },
            );
        }
    }

    /// Puts a reaction to a message; the same one again takes it back.
    pub(super) fn react(&mut self, target: Target, conv_seq: u64, reaction: String) {
        let log = self.log.as_ref().filter(|log| log.target == target);
        let own = (self.setting.me, reaction.clone());
        let remove = log.is_some_and(|log| log.reactions(conv_seq).contains(&own));
        let (receiver_id, group_id) = target_ids(target);
        let body = pb::ReactReq { receiver_id, group_id, conv_seq, reaction, remove };
        let done = if remove { "no longer there" } else { "reacted" };
        self.change(Request::React(body), done, After::Nothing);
    }

    /// Names that can be mentioned here, by what one types.
    fn mentionable(&self) -> HashMap<String, u64> {
        let group = self.current_group();
        let roster = self.roster.as_ref().filter(|roster| Some(roster.group) == group);
        let members = roster.into_iter().flat_map(|roster| &roster.members);
        members.map(|member| (self.names.username(member.user_id), member.user_id)).collect()
    }

    fn mentions_in(&self, text: &str) -> Vec<u64> {
        if !text.contains('@') {
            return Vec::new();
        }
        let people = self.mentionable();
        let words = text.split_whitespace().filter_map(|word| word.strip_prefix('@'));
        let names = words.map(|word| word.trim_end_matches(PUNCTUATION).to_lowercase());
        let mut ids: Vec<u64> = names.filter_map(|name| people.get(&name).copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.truncate(limits::MENTIONS_MAX);
        ids
    }

    /// Tab: the rest of a name behind `@`; anywhere else, to the list.
    fn complete(&mut self) {
        let word = self.draft().map_or("", |draft| draft.editor.word());
        let Some(begun) = word.strip_prefix('@').map(str::to_lowercase) else {
            self.focus = Focus::List;
            return;
        };
        let people = self.mentionable();
        let mut fitting: Vec<&String> =
            people.keys().filter(|name| name.starts_with(&begun)).collect();
        fitting.sort_unstable();
        let replacement = match fitting.as_slice() {
            [] => return self.say("nobody here has a name that begins so"),
            [name] => format!("@{name} "),
            [first, others @ ..] => {
                let common = others.iter().fold(first.as_str(), |common, name| {
                    let end = common.char_indices().zip(name.chars());
                    let same = end.take_while(|((_, a), b)| a == b).count();
                    let end = common.char_indices().nth(same).map_or(common.len(), |(at, _)| at);
                    common.get(..end).unwrap_or_default()
                });
                format!("@{common}")
            }
        };
        let choices: Vec<String> = fitting.iter().take(10).map(|name| format!("@{name}")).collect();
        if choices.len() > 1 {
            self.say(&choices.join(" "));
        }
        if let Some(draft) = self.draft_mut() {
            draft.editor.replace_word(&replacement);
        }
    }
}
