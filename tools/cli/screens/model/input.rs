//! Which part of the model a key goes to. Part of the model.

use aldis_client::core::Target;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::prompt::Answer;
use super::{Body, Focus, Message, Model, Panel};
use crate::screens::editor::Edited;
use crate::screens::keys::{self, Act};
use crate::screens::view;
use crate::terminal::escape;

impl Model {
    /// A key was pressed.
    pub fn handle_key(&mut self, now_ms: u64, key: KeyEvent) {
        self.now_ms = now_ms;
        self.is_looked_at = true;
        if self.prompt.is_some() {
            self.handle_prompt_key(key);
        } else if !self.handle_key_anywhere(key) {
            match (&self.panel, self.focus) {
                (Some(_), _) => self.handle_panel_key(key),
                (None, Focus::List) => self.handle_list_key(key),
                (None, Focus::Compose) => self.handle_compose_key(key),
                (None, Focus::Messages) => self.handle_message_key(key),
            }
        }
        self.settle();
    }

    /// Text was pasted: it is never a key.
    pub fn handle_paste(&mut self, now_ms: u64, text: &str) {
        self.now_ms = now_ms;
        let edited = match (&mut self.prompt, self.panel.is_none()) {
            (Some(prompt), _) => match &mut prompt.answer {
                Answer::Text { editor, .. } => editor.insert(text),
                Answer::YesNo(_) => Edited::Other,
            },
            (None, true) => match self.current().and_then(|open| self.drafts.get_mut(&open)) {
                Some(draft) => {
                    self.focus = Focus::Compose;
                    draft.editor.insert(text)
                }
                None => Edited::Other,
            },
            (None, false) => Edited::Other,
        };
        if edited == Edited::Full {
            self.say("what was pasted is too long");
        }
        self.settle();
    }

    /// The terminal has another size.
    pub fn handle_resize(&mut self, now_ms: u64, columns: u16, rows: u16) {
        self.now_ms = now_ms;
        self.size = (columns, rows);
        self.settle();
    }

    /// The terminal got or lost the user's attention.
    pub fn handle_focus(&mut self, now_ms: u64, is_looked_at: bool) {
        self.now_ms = now_ms;
        self.is_looked_at = is_looked_at;
        self.settle();
    }

    /// Keys that mean the same wherever one is; whether it was one.
    fn handle_key_anywhere(&mut self, key: KeyEvent) -> bool {
        if key.modifiers == KeyModifiers::CONTROL && self.handle_leaving_key(key.code) {
            return true;
        }
        let Some(act) = keys::ANYWHERE.find(key) else { return false };
        match act {
            Act::Help => self.show_help(),
            Act::Chats => {
                self.panel = None;
                self.focus = Focus::List;
            }
            Act::Friends => self.show_friends(),
            Act::Groups => self.show_groups(),
            Act::Search => self.ask_search(),
            Act::Account => self.show_profile(),
            Act::OpenSomebody => self.ask_to_open(),
            Act::NextChat => self.open_neighbour(1),
            Act::PreviousChat => self.open_neighbour(-1),
            Act::PageUp if self.panel.is_some() => self.page_panel(-1),
            Act::PageDown if self.panel.is_some() => self.page_panel(1),
            Act::PageUp | Act::PageDown if self.focus == Focus::List => self.select_chat(act),
            Act::PageUp => self.scroll_page(-1),
            Act::PageDown => self.scroll_page(1),
            Act::ToEnd => {
                self.show_end();
                self.unpick();
            }
            Act::LogIn => self.log_in(),
            Act::Quit => self.ask_quit(),
            _ => {}
        }
        true
    }

    /// Ctrl-C and Ctrl-D: what is typed goes first, then the program.
    fn handle_leaving_key(&mut self, code: KeyCode) -> bool {
        let is_typing = self.panel.is_none() && self.focus == Focus::Compose;
        let target = self.current();
        let draft = target.and_then(|open| self.drafts.get_mut(&open)).filter(|_| is_typing);
        match (code, draft) {
            (KeyCode::Char('c'), Some(draft)) if !draft.editor.is_empty() => {
                draft.editor.take();
                (draft.editing, draft.reply_to) = (None, None);
            }
            (KeyCode::Char('d'), Some(draft)) if !draft.editor.is_empty() => return false,
            (KeyCode::Char('c' | 'd'), _) => self.ask_quit(),
            _ => return false,
        }
        true
    }

    fn open_neighbour(&mut self, by: isize) {
        let at = self.current().and_then(|target| self.chats.position(target));
        let next = match at {
            None => Some(0),
            Some(at) => at.checked_add_signed(by),
        };
        let target = next.and_then(|index| self.chats.nth(index)).map(|chat| chat.target);
        if let Some(target) = target {
            self.open(target);
        }
    }

    fn handle_prompt_key(&mut self, key: KeyEvent) {
        let Some(mut prompt) = self.prompt.take() else { return };
        let is_cancel = key.code == KeyCode::Esc
            || (key.modifiers == KeyModifiers::CONTROL && key.code == KeyCode::Char('c'));
        if is_cancel {
            return;
        }
        match &mut prompt.answer {
            Answer::YesNo(sure) => match key.code {
                KeyCode::Char('y' | 'Y') => self.confirm(sure.clone()),
                KeyCode::Char('n' | 'N') => {}
                _ => self.prompt = Some(prompt),
            },
            Answer::Text { editor, wish } => {
                if key.code == KeyCode::Enter {
                    let typed = editor.take();
                    return self.grant(wish.clone(), &typed);
                }
                let columns = usize::from(self.size.0);
                if editor.handle_key(key, columns) == Edited::Full {
                    self.say("no longer than that");
                }
                self.prompt = Some(prompt);
            }
        }
    }

    fn handle_list_key(&mut self, key: KeyEvent) {
        let Some(act) = keys::LIST.find(key) else { return };
        match act {
            Act::Up | Act::Down | Act::First | Act::Last => self.select_chat(act),
            Act::Open => {
                if let Some(target) = self.chats.selected {
                    self.open(target);
                }
            }
            Act::Pin | Act::Quiet | Act::Clear => self.act_on_chat(act),
            Act::Members => {
                if let Some(Target::Group(group)) = self.chats.selected {
                    self.show_members(group.0);
                }
            }
            _ if self.current().is_some() => self.focus = Focus::Compose,
            _ => {}
        }
    }

    fn handle_message_key(&mut self, key: KeyEvent) {
        let picked = self.log.as_ref().and_then(|log| log.picked);
        let Some(conv_seq) = picked else { return self.unpick() };
        match keys::MESSAGE.find(key) {
            Some(Act::Up) => self.pick(conv_seq, -1),
            Some(Act::Down) => self.pick(conv_seq, 1),
            Some(Act::Reply) => {
                self.unpick();
                self.reply_to(conv_seq);
            }
            Some(Act::Edit) => {
                self.unpick();
                self.edit(conv_seq);
            }
            Some(Act::Recall) => self.recall(conv_seq),
            Some(Act::React) => self.ask_reaction(conv_seq),
            Some(Act::ViewFull) => self.view_full(conv_seq),
            Some(Act::Back) => self.unpick(),
            _ => {}
        }
    }

    fn view_full(&mut self, conv_seq: u64) {
        let Some(message) = self.log.as_ref().and_then(|log| log.get(conv_seq)) else { return };
        let who = self.names.user(message.sender_id);
        let at = view::date_and_time(message.time_ms, &self.setting.zone);
        let title = format!("{who}, {at}, entry {conv_seq}");
        let mut text = full_text(message);
        let log = self.log.as_ref();
        for (user, reaction) in log.map_or(&[][..], |log| log.reactions(conv_seq)) {
            text.push_str(&format!("\n{}: {}", self.names.user(*user), escape(reaction)));
        }
        text.push_str(&self.fate_text(message));
        self.panel = Some(Panel::Reading { title, text, top: 0 });
    }

    /// Who has an own message, as far as that is known.
    fn fate_text(&self, message: &Message) -> String {
        let (Some(target), true) = (self.current(), message.sender_id == self.setting.me) else {
            return String::new();
        };
        let names = |ids: Vec<u64>| {
            let names: Vec<String> = ids.into_iter().map(|id| self.names.user(id)).collect();
            if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
        };
        match (target, self.read_by(message), self.chats.get(target)) {
            (Target::Group(_), Some((read, unread)), _) => {
                format!("\n\nRead by: {}\nNot yet by: {}", names(read), names(unread))
            }
            (Target::User(user), _, Some(chat)) if user.0 != self.setting.me => {
                let fate = if chat.other_read_conv_seq >= message.conv_seq {
                    "Read"
                } else if chat.other_received_conv_seq >= message.conv_seq {
                    "On a device of the other's, not read yet"
                } else {
                    "On the server, on no device of the other's yet"
                };
                format!("\n\n{fate}")
            }
            _ => String::new(),
        }
    }
}

fn full_text(message: &Message) -> String {
    match &message.body {
        Body::Text(text) => escape(text),
        Body::Recalled => "taken back".to_owned(),
        Body::Data { kind, len } => format!("{kind}, {len} bytes"),
        Body::Event(_) => String::new(),
    }
}
