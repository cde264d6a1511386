//! The list of conversations as the server keeps it, and what the user changes of it: pins, quiet
//! conversations, cleared histories. Part of the model.

use aldis_client::core::{Request, Target};
use aldis_wire::pb;

use super::asks::{After, Purpose};
use super::prompt::Sure;
use super::{Model, target_ids, target_of_ids};
use crate::screens::keys::Act;

/// Conversations that are asked for at the start; older ones come when somebody writes there.
const LISTED_MAX: usize = 300;
/// Conversations of one page.
const PAGE: u32 = 100;

impl Model {
    /// Asks for the pinned conversations, the newest ones and large groups.
    pub(super) fn ask_list(&mut self) {
        let body = pb::ConversationListReq { pinned: true, ..Default::default() };
        self.ask(Request::ConversationList(body), Purpose::List { left: 0 });
        self.ask_list_page(0, LISTED_MAX);
        let body = pb::ConversationListReq { streams: true, limit: PAGE, ..Default::default() };
        self.ask(Request::ConversationList(body), Purpose::List { left: 0 });
    }

    fn ask_list_page(&mut self, before_seq: u64, left: usize) {
        let body = pb::ConversationListReq { before_seq, limit: PAGE, ..Default::default() };
        self.ask(Request::ConversationList(body), Purpose::List { left });
    }

    /// `left`: how many more conversations are wanted after this page.
    pub(super) fn handle_list(&mut self, left: usize, page: &pb::ConversationListResp) {
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
        let left = left.saturating_sub(page.conversations.len());
        if page.next_before_seq != 0 && left > 0 {
            self.ask_list_page(page.next_before_seq, left);
        }
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
