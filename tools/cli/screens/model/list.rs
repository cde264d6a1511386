//! The list of conversations as the server keeps it, and what the user changes of it: pins, quiet
//! conversations, cleared histories. Part of the model.

use aldis_client::core::{Request, Target};
use aldis_wire::pb;

use super::asks::{After, Purpose};
use super::chats::CHATS_MAX;
use super::prompt::Sure;
use super::{Model, target_ids, target_of_ids};
use crate::screens::keys::Act;
use crate::screens::view;

/// Conversations that are asked for at the start; older ones come when somebody scrolls to them or
/// writes there.
const LISTED_FIRST: usize = 300;
/// Conversations below the selected one that should be known.
const AHEAD: usize = 50;
/// Conversations of one page.
const PAGE: u32 = 100;

impl Model {
    /// Asks for the pinned conversations, the newest ones and large groups.
    pub(super) fn ask_list(&mut self) {
        let body = pb::ConversationListReq { pinned: true, ..Default::default() };
        self.ask(Request::ConversationList(body), Purpose::List { left: None });
        self.ask_list_page(0, LISTED_FIRST);
        let body = pb::ConversationListReq { streams: true, limit: PAGE, ..Default::default() };
        self.ask(Request::ConversationList(body), Purpose::List { left: None });
    }

    fn ask_list_page(&mut self, before_seq: u64, left: usize) {
        self.older_chats = None;
        let left = Some(left);
        let body = pb::ConversationListReq { before_seq, limit: PAGE, ..Default::default() };
        self.ask(Request::ConversationList(body), Purpose::List { left });
    }

    /// `left`: how many conversations were wanted with this page and after it.
    pub(super) fn handle_list(&mut self, left: Option<usize>, page: &pb::ConversationListResp) {
        for info in &page.conversations {
            if let Some(last) = &info.last {
                self.want_people(last);
            }
            let view = info.view.unwrap_or_default();
            let target = target_of_ids(view.receiver_id, view.group_id);
            if let Target::User(user) = target {
                self.wanted_names.insert(user.0);
            }
            self.chats.list(target, info, &view);
        }
        let Some(left) = left.filter(|_| page.next_before_seq != 0) else { return };
        match left.saturating_sub(page.conversations.len()) {
            0 => self.older_chats = Some(page.next_before_seq),
            left => self.ask_list_page(page.next_before_seq, left),
        }
    }

    /// Asks for older conversations when the selection comes near to the last one.
    fn load_older_chats(&mut self, selected: usize) {
        let is_near = selected + AHEAD >= self.chats.len() && self.chats.len() < CHATS_MAX;
        if let Some(before_seq) = self.older_chats.filter(|_| is_near) {
            self.ask_list_page(before_seq, PAGE as usize);
        }
    }

    /// Moves the selection by keys of the list, or by screens.
    pub(super) fn select_chat(&mut self, act: Act) {
        let at = self.chats.selected.and_then(|target| self.chats.position(target));
        let last = self.chats.len().saturating_sub(1);
        let screen = view::chats_shown(self.size);
        let at = match act {
            Act::Up => at.map_or(0, |at| at.saturating_sub(1)),
            Act::Down => at.map_or(0, |at| (at + 1).min(last)),
            Act::PageUp => at.map_or(0, |at| at.saturating_sub(screen)),
            Act::PageDown => at.map_or(0, |at| (at + screen).min(last)),
            Act::First => 0,
            _ => last,
        };
        self.chats.selected = self.chats.nth(at).map(|chat| chat.target);
        self.load_older_chats(at);
    }

    /// What the user wants of a conversation changed, here or on another device.
    pub(super) fn handle_view(&mut self, view: &pb::ConversationView) {
        let target = target_of_ids(view.receiver_id, view.group_id);
        self.chats.set_view(target, view);
        if let Some(log) = self.log.as_mut().filter(|log| log.target == target) {
            log.clear_up_to(view.cleared_conv_seq);
        }
    }

    /// Keys of the list that change the selected conversation.
    pub(super) fn act_on_chat(&mut self, act: Act) {
        let Some(target) = self.chats.selected else { return };
        let Some(chat) = self.chats.get(target) else { return };
        let (is_pinned, is_muted, last) = (chat.pinned_ms > 0, chat.is_muted, chat.last_conv_seq);
        match act {
            Act::Pin => {
                let done = if is_pinned { "no longer pinned" } else { "pinned" };
                let body =
                    pb::ConversationUpdateReq { pinned: Some(!is_pinned), ..Default::default() };
                self.update_chat(target, body, done);
            }
            Act::Quiet => {
                let done = if is_muted { "no longer quiet" } else { "quiet" };
                let body =
                    pb::ConversationUpdateReq { muted: Some(!is_muted), ..Default::default() };
                self.update_chat(target, body, done);
            }
            Act::Clear if last > 0 => {
                let name = self.names.target(target);
                let sure = Sure::Clear { target, conv_seq: last };
                self.put_sure(&format!("Clear what was said with {name}, for you alone?"), sure);
            }
            _ => {}
        }
    }

    pub(super) fn update_chat(
        &mut self,
        target: Target,
        body: pb::ConversationUpdateReq,
        done: &str,
    ) {
        let (receiver_id, group_id) = target_ids(target);
        let body = pb::ConversationUpdateReq { receiver_id, group_id, ..body };
        self.change(Request::ConversationUpdate(body), done, After::Nothing);
    }
}
