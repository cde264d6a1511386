//! What the events of the client do to the model. Part of the model; knows no keys.

use aldis_client::core::{Event, OfflineReason, Target};
use aldis_wire::{ClientMsgId, pb};

use super::message::{message_event, self_event};
use super::pages::Page;
use super::{Effect, Line, Log, Model, Panel};
use crate::names::target_of;
use crate::print::people_of;

impl Model {
    /// An event of the client; responses come by `handle_outcome`.
    pub fn handle_event(&mut self, now_ms: u64, event: Event) {
        self.now_ms = now_ms;
        match event {
            Event::Entry { entry, .. } => self.handle_entry(&entry),
            Event::SendAcked { client_msg_id, ack } => self.handle_acked(client_msg_id, &ack),
            Event::SendFailed { client_msg_id, code, message, maybe_committed } => {
                let doubt = if maybe_committed { "; it may have arrived" } else { "" };
                let said = if message.is_empty() { String::new() } else { format!(": {message}") };
                self.handle_refused(client_msg_id, format!("{}{said}{doubt}", code.name()));
            }
            Event::Online(_) => {
                self.line = Line::Online;
                self.asks.handle_online();
                self.watch_anew();
                if let Some(target) = self.current() {
                    self.ask_receipts(target);
                }
                self.effects.push_back(Effect::KeepToken);
            }
            Event::Offline { reason, retry_in_ms } => self.handle_offline(reason, retry_in_ms),
            Event::Resynced { .. } => self.start_over(),
            Event::Kicked { reason, device_name } => {
                let why = match reason {
                    pb::KickReason::Replaced if device_name.is_empty() => {
                        "another login took this session".to_owned()
                    }
                    pb::KickReason::Replaced => {
                        format!("another login took this session ({device_name})")
                    }
                    pb::KickReason::Revoked => "this device was logged out".to_owned(),
                    pb::KickReason::Disabled => "the account was disabled".to_owned(),
                    pb::KickReason::Unspecified => "the server ended this session".to_owned(),
                };
                self.line = Line::Kicked(crate::terminal::escape_line(&why));
            }
            Event::LoginFailed { code, message } => {
                let why = format!("{} {message}", code.name());
                self.line = Line::Refused(crate::terminal::escape_line(why.trim()));
            }
            Event::Told(told) => self.handle_told(told),
            Event::Response { .. } => {}
        }
        self.settle();
    }

    fn handle_offline(&mut self, reason: OfflineReason, retry_in_ms: Option<u64>) {
        // After a kick or a refusal the connection closes too; the first reason is the one to know.
        if matches!(self.line, Line::Kicked(_) | Line::Refused(_)) {
            return;
        }
        let retry_at_ms = retry_in_ms.map(|pause_ms| self.now_ms.saturating_add(pause_ms));
        self.line = Line::Offline { reason, retry_at_ms };
    }

    /// The server's memory is another one: what was shown may not be there.
    fn start_over(&mut self) {
        self.chats.clear();
        self.asked_names.clear();
        self.are_groups_wanted = true;
        self.ask_list();
        if let Some(target) = self.current() {
            let now_ms = self.now_ms;
            self.chats.ensure(target, now_ms);
            self.log = Some(Log::new(target));
            self.ask_page(target, Page::Newest);
        }
        self.say("the server's memory was replaced; this is what it has");
    }

    fn handle_entry(&mut self, entry: &pb::MessageData) {
        self.note_entry(entry);
        let target = target_of(entry, self.setting.me);
        if entry.r#type() == pb::MsgType::SystemSelf {
            return self.handle_self_event(entry);
        }
        self.end_typing(target, entry.sender_id);
        self.note_reader(target, entry.sender_id, entry.conv_seq);
        if let Some(log) = self.log.as_mut().filter(|log| log.target == target) {
            log.add_new(entry);
        }
        match entry.r#type() {
            pb::MsgType::SystemGroup => {
                self.are_groups_wanted = true;
                let is_shown = |roster: &super::Roster| roster.group == entry.group_id;
                if self.roster.as_ref().is_some_and(is_shown) {
                    self.ask_members(entry.group_id);
                }
            }
            pb::MsgType::SystemFriend => self.refresh_relations(),
            _ => {}
        }
    }

    /// An entry of the mailbox, old or new: whom it is about, and what it changes in the list.
    pub(super) fn note_entry(&mut self, entry: &pb::MessageData) {
        self.want_people(entry);
        if let Some(pb::self_event::What::View(view)) = self_event(entry) {
            self.handle_view(&view);
        } else if entry.r#type() != pb::MsgType::SystemSelf {
            let target = target_of(entry, self.setting.me);
            self.chats.note(target, entry, self.setting.me);
            if let Some(event) = message_event(entry) {
                self.chats.change(target, &event);
            }
        }
    }

    /// Names that are needed to show an entry.
    pub(super) fn want_people(&mut self, entry: &pb::MessageData) {
        self.wanted_names.extend(people_of(entry));
        self.wanted_names.extend(&entry.mention_ids);
    }

    fn handle_self_event(&mut self, entry: &pb::MessageData) {
        match self_event(entry) {
            Some(pb::self_event::What::Relation(_)) => self.refresh_relations(),
            Some(pb::self_event::What::GroupRequest(request)) => {
                let (who, group) =
                    (self.names.user(request.user_id), self.names.group(request.group_id));
                match request.state() {
                    pb::GroupRequestState::Waiting => {
                        self.say(&format!("{who} wants to come into {group}"));
                        self.ask_members(request.group_id);
                    }
                    pb::GroupRequestState::Refused => {
                        self.say(&format!("{group} does not take {who} in"));
                    }
                }
            }
            Some(pb::self_event::What::Profile(profile)) => {
                self.account.audience = Some(profile.presence_audience());
                if let Some(user) = profile.user {
                    self.names.set_user(user);
                }
            }
            Some(pb::self_event::What::View(_)) | None => {}
        }
    }

    /// The lists of friends that somebody may be looking at, and the requests.
    pub(super) fn refresh_relations(&mut self) {
        for list in [pb::RelationList::Friends, pb::RelationList::Requests] {
            self.ask_relations(list);
        }
        if let Some(Panel::Friends { list: pb::RelationList::Blocked, .. }) = self.panel {
            self.ask_relations(pb::RelationList::Blocked);
        }
    }

    fn handle_acked(&mut self, id: ClientMsgId, ack: &pb::MsgSendResp) {
        let Some(unsent) = self.outbox.take(id) else { return };
        let mut message = unsent.message;
        message.conv_seq = ack.conv_seq;
        message.msg_id = ack.msg_id;
        message.time_ms = ack.send_time_ms;
        if let Some(log) = self.log.as_mut().filter(|log| log.target == unsent.target) {
            log.add_own(message);
        }
    }

    fn handle_refused(&mut self, id: ClientMsgId, why: String) {
        let Some(unsent) = self.outbox.take(id) else { return };
        let who = match unsent.target {
            Target::User(user) => self.names.user(user.0),
            Target::Group(group) => self.names.group(group.0),
        };
        self.say(&format!("not sent to {who}: {why}"));
        self.outbox.keep_refused(unsent, crate::terminal::escape_line(&why));
    }
}
