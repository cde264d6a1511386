//! A stage for the tests of the screens: a model, and a server that answers what it asks from a few
//! written lines.

mod account;
mod behaviour;
mod captures;
mod paging;
mod people;
mod readers;
mod told;

use std::collections::BTreeMap;

use aldis_client::Via;
use aldis_client::core::{Event, Outgoing, Request, RequestError, Response, Target};
use aldis_wire::{Code, GroupId, UserId, pb};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_width::UnicodeWidthStr;

use super::model::{Effect, Model, Setting, Ticket};
use super::view::{self, Theme};

/// Thursday, 5 March 2026, 15:04:00 UTC.
const NOW_MS: u64 = 1_772_723_040_000;
const MINUTE_MS: u64 = 60_000;

const ME: u64 = 10_001;
const BEN: u64 = 10_002;
const CAT: u64 = 10_003;
const LI: u64 = 10_004;
const DAN: u64 = 10_005;
const LUNCH: u64 = 20_001;

/// A model and all that the server knows.
struct Stage {
    model: Model,
    /// What was asked, answered or not.
    asked: Vec<Request>,
    sent: Vec<Outgoing>,
    other: Vec<Effect>,
    users: BTreeMap<u64, pb::UserInfo>,
    histories: BTreeMap<Target, Vec<pb::MessageData>>,
    /// What all conversations are pinned and muted as.
    view: pb::ConversationView,
    groups: Vec<pb::GroupInfo>,
    members: Vec<pb::GroupMember>,
    join_requests: Vec<pb::GroupRequestInfo>,
    relations: BTreeMap<i32, Vec<pb::RelationInfo>>,
    devices: Vec<pb::DeviceInfo>,
    /// Of all groups.
    receipts: Vec<pb::Receipt>,
    /// Questions stay without an answer, and are kept here.
    is_silent: bool,
    unanswered: Vec<Ticket>,
    /// Changes are refused with this code.
    refusal: Option<Code>,
}

fn user(id: u64) -> Target {
    Target::User(UserId(id))
}

fn group(id: u64) -> Target {
    Target::Group(GroupId(id))
}

/// An entry of a conversation, `minutes` before now.
fn entry(to: Target, sender_id: u64, conv_seq: u64, minutes: u64, text: &str) -> pb::MessageData {
    let (receiver_id, group_id) = match to {
        // Of a 1:1 conversation the other one is named.
        Target::User(other) if sender_id == ME => (other.0, 0),
        Target::User(_) => (ME, 0),
        Target::Group(group) => (0, group.0),
    };
    pb::MessageData {
        msg_id: 1_000 + conv_seq,
        conv_seq,
        sender_id,
        receiver_id,
        group_id,
        r#type: pb::MsgType::Text as i32,
        content: text.to_owned().into(),
        send_time_ms: NOW_MS - minutes * MINUTE_MS,
        ..Default::default()
    }
}

/// The same for an entry of the server's own.
fn event(
    to: Target,
    sender_id: u64,
    conv_seq: u64,
    minutes: u64,
    kind: pb::MsgType,
    content: &impl aldis_wire::Message,
) -> pb::MessageData {
    pb::MessageData {
        r#type: kind as i32,
        content: content.encode_to_vec().into(),
        ..entry(to, sender_id, conv_seq, minutes, "")
    }
}

/// Whether a request changes nothing that others see.
fn is_look(request: &Request) -> bool {
    matches!(
        request,
        Request::GroupList(_)
            | Request::GroupMembers(_)
            | Request::GroupRequests(_)
            | Request::FriendList(_)
            | Request::UserGet(_)
            | Request::MarkRead(_)
            | Request::Receipts(_)
            | Request::PresenceSubscribe(_)
            | Request::ConversationList(_)
            | Request::DeviceList(_)
            | Request::History(_)
            | Request::Typing(_)
    )
}

impl Stage {
    /// Nobody has said anything.
    fn empty() -> Self {
        let setting = Setting {
            me: ME,
            username: "ada".to_owned(),
            place: "chat.example:7700".to_owned(),
            zone: TimeZone::UTC,
            seed: 1,
        };
        let names = [
            (ME, "ada", "Ada"),
            (BEN, "ben", "Ben"),
            (CAT, "cat", "Cat"),
            (LI, "小李", "李小龙"),
            (DAN, "dan", "Dan"),
        ];
        let users = names.into_iter().map(|(user_id, username, nickname)| {
            let (username, nickname) = (username.to_owned(), nickname.to_owned());
            (user_id, pb::UserInfo { user_id, username, nickname, avatar_url: String::new() })
        });
        Self {
            model: Model::new(setting, NOW_MS),
            asked: Vec::new(),
            sent: Vec::new(),
            other: Vec::new(),
            users: users.collect(),
            histories: BTreeMap::new(),
            view: pb::ConversationView::default(),
            groups: Vec::new(),
            members: Vec::new(),
            join_requests: Vec::new(),
            relations: BTreeMap::new(),
            devices: Vec::new(),
            receipts: Vec::new(),
            is_silent: false,
            unanswered: Vec::new(),
            refusal: None,
        }
    }

    /// What a conversation holds; its last entries are in the mailbox too.
    fn with_history(mut self, to: Target, entries: Vec<pb::MessageData>) -> Self {
        self.histories.insert(to, entries);
        self
    }

    /// A conversation with Ben that is not read.
    fn with_ben() -> Self {
        let entries = vec![
            entry(user(BEN), BEN, 1, 30, "hello Ada"),
            entry(user(BEN), ME, 2, 29, "hello Ben"),
            entry(user(BEN), BEN, 3, 2, "lunch?"),
            entry(user(BEN), BEN, 4, 1, "at noon"),
        ];
        let mut stage = Self::empty().with_history(user(BEN), entries);
        stage.serve();
        stage
    }

    /// Answers until nothing is asked any more.
    fn serve(&mut self) {
        while let Some(effect) = self.model.poll_effect() {
            match effect {
                Effect::Ask(ticket, request) => {
                    self.asked.push(request.clone());
                    if self.is_silent {
                        self.unanswered.push(ticket);
                        continue;
                    }
                    let outcome = self.answer(&request);
                    self.model.handle_outcome(NOW_MS, ticket, outcome);
                }
                Effect::Send(message) => self.sent.push(message),
                other => self.other.push(other),
            }
        }
    }

    fn answer(&self, request: &Request) -> Result<Response, RequestError> {
        if let Some(code) = self.refusal.filter(|_| !is_look(request)) {
            return Err(RequestError::Refused { code, message: String::new(), retry_after_ms: 0 });
        }
        Ok(match request {
            Request::ConversationList(body) => Response::ConversationList(self.list(body)),
            Request::UserGet(body) => {
                let users = body.user_ids.iter().filter_map(|id| self.users.get(id).cloned());
                Response::UserGet(pb::UserGetResp { users: users.collect() })
            }
            Request::UserFind(body) => {
                let users = self.users.values().filter(|user| user.username == body.query);
                Response::UserFind(pb::UserFindResp { users: users.cloned().collect() })
            }
            Request::History(body) => Response::History(self.history(body)),
            Request::GroupList(_) => {
                let groups = self.groups.clone();
                Response::GroupList(pb::GroupListResp { groups, more: false })
            }
            Request::GroupMembers(_) => {
                let members = self.members.clone();
                Response::GroupMembers(pb::GroupMembersResp { members, more: false })
            }
            Request::GroupRequests(_) => {
                let requests = self.join_requests.clone();
                Response::GroupRequests(pb::GroupRequestsResp { requests, more: false })
            }
            Request::FriendList(body) => {
                let relations = self.relations.get(&body.list).cloned().unwrap_or_default();
                Response::FriendList(pb::FriendListResp { relations, more: false })
            }
            Request::GroupCreate(_) => {
                Response::GroupCreate(pb::GroupCreateResp { group_id: LUNCH, seq: 101 })
            }
            Request::MarkRead(_) => Response::MarkRead(pb::MarkReadResp::default()),
            Request::Typing(_) => Response::Typing(pb::TypingResp::default()),
            Request::Receipts(body) if body.group_id != 0 => {
                let receipts = self.receipts.clone();
                Response::Receipts(pb::ReceiptsResp { receipts, more: false })
            }
            Request::Receipts(_) => {
                let receipt = pb::Receipt { user_id: BEN, read_conv_seq: 2, received_conv_seq: 2 };
                Response::Receipts(pb::ReceiptsResp { receipts: vec![receipt], more: false })
            }
            Request::PresenceSubscribe(_) => {
                let online = vec![pb::DeviceClass::Phone as i32];
                let users = vec![pb::PresenceInfo { user_id: BEN, online, ..Default::default() }];
                Response::PresenceSubscribe(pb::PresenceSubscribeResp { users })
            }
            Request::DeviceList(_) => {
                Response::DeviceList(pb::DeviceListResp { devices: self.devices.clone() })
            }
            Request::Search(body) => {
                let all = self.histories.values().flatten();
                let found = all
                    .filter(|entry| String::from_utf8_lossy(&entry.content).contains(&body.query));
                let entries = found.cloned().collect();
                Response::Search(pb::SearchResp { entries, ..Default::default() })
            }
            // Any answer of a change will do.
            _ => Response::Recall(pb::RecallResp::default()),
        })
    }

    /// A page of conversations; what follows one's own last message is not read.
    fn list(&self, body: &pb::ConversationListReq) -> pb::ConversationListResp {
        let conversations = self.histories.iter().map(|(target, entries)| {
            let (receiver_id, group_id) = match target {
                Target::User(user) => (user.0, 0),
                Target::Group(group) => (0, group.0),
            };
            let last = entries.last().cloned().expect("somebody said something");
            let is_written = |entry: &&pb::MessageData| entry.r#type < 100;
            let written = entries.iter().rev().filter(is_written);
            let unread = written.take_while(|entry| entry.sender_id != ME).count() as u64;
            let read_conv_seq = last.conv_seq - unread;
            pb::ConversationInfo {
                view: Some(pb::ConversationView {
                    receiver_id,
                    group_id,
                    read_conv_seq,
                    ..self.view
                }),
                max_conv_seq: last.conv_seq,
                update_time_ms: last.send_time_ms,
                unread,
                last: Some(last),
            }
        });
        let mut all: Vec<pb::ConversationInfo> = conversations.collect();
        if body.pinned || body.streams {
            return pb::ConversationListResp::default();
        }
        // The place of a conversation stands in for the seq of its newest entry.
        all.sort_by_key(|info| std::cmp::Reverse(info.update_time_ms));
        let first = usize::try_from(body.before_seq).expect("a few");
        let last = (first + body.limit as usize).min(all.len());
        let next_before_seq = if last < all.len() { last as u64 } else { 0 };
        let conversations = all.drain(first..last).collect();
        pb::ConversationListResp { conversations, next_before_seq, ..Default::default() }
    }

    fn history(&self, body: &pb::HistoryReq) -> pb::HistoryResp {
        let target = if body.group_id != 0 { group(body.group_id) } else { user(body.receiver_id) };
        let all = self.histories.get(&target).cloned().unwrap_or_default();
        if body.after_conv_seq > 0 {
            let mut entries: Vec<_> =
                all.into_iter().filter(|entry| entry.conv_seq > body.after_conv_seq).collect();
            let more = entries.len() > body.limit as usize;
            entries.truncate(body.limit as usize);
            return pb::HistoryResp { entries, more, max_conv_seq: 0 };
        }
        let before = if body.before_conv_seq == 0 { u64::MAX } else { body.before_conv_seq };
        let mut entries: Vec<_> = all.into_iter().filter(|e| e.conv_seq < before).collect();
        let surplus = entries.len().saturating_sub(body.limit as usize);
        entries.drain(..surplus);
        pb::HistoryResp { entries, more: surplus > 0, max_conv_seq: 0 }
    }

    /// An entry comes by push.
    fn push(&mut self, entry: pb::MessageData) {
        self.event(Event::Entry { stream: 0, entry, via: Via::Push });
    }

    fn event(&mut self, event: Event) {
        self.model.handle_event(NOW_MS, event);
        self.serve();
    }

    fn press(&mut self, code: KeyCode) {
        self.press_with(code, KeyModifiers::NONE);
    }

    fn press_with(&mut self, code: KeyCode, modifiers: KeyModifiers) {
        self.model.handle_key(NOW_MS, KeyEvent::new(code, modifiers));
        self.serve();
    }

    fn ctrl(&mut self, c: char) {
        self.press_with(KeyCode::Char(c), KeyModifiers::CONTROL);
    }

    fn type_text(&mut self, text: &str) {
        for c in text.chars() {
            self.press(KeyCode::Char(c));
        }
    }

    fn type_line(&mut self, text: &str) {
        self.type_text(text);
        self.press(KeyCode::Enter);
    }

    /// What stands on a terminal of this size.
    fn draw(&mut self, columns: u16, rows: u16) -> Buffer {
        self.model.handle_resize(NOW_MS, columns, rows);
        self.serve();
        let backend = TestBackend::new(columns, rows);
        let mut terminal = Terminal::new(backend).expect("a terminal in memory");
        let model = &self.model;
        terminal.draw(|frame| view::draw(model, Theme::plain(), frame)).expect("in memory");
        terminal.backend().buffer().clone()
    }

    /// The same as lines of text.
    fn screen(&mut self, columns: u16, rows: u16) -> String {
        let buffer = self.draw(columns, rows);
        let mut text = String::new();
        for y in 0..rows {
            let mut line = String::new();
            let mut x = 0;
            while x < columns {
                let symbol = buffer[(x, y)].symbol();
                line.push_str(symbol);
                // The cells that a wide character covers hold nothing.
                x += u16::try_from(symbol.width().max(1)).expect("a few columns");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Time passes.
    fn wait(&mut self, until_ms: u64) {
        self.model.handle_timeout(until_ms);
        self.serve();
    }

    fn shows(&mut self, what: &str) -> bool {
        self.screen(80, 24).contains(what)
    }
}
