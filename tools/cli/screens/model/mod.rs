//! What the screens show and what keys and the server do to it, without terminal and connection:
//! handed keys, events of the client and the time; hands out effects. Views read it.

mod account;
mod answers;
mod asks;
mod chats;
mod compose;
mod events;
mod input;
mod list;
mod log;
mod message;
mod outbox;
mod pages;
mod panels;
mod prompt;
mod readers;
mod resolve;
mod scroll;
mod search;
mod told;
mod typed;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use aldis_client::core::ids::{IdSource, Rng};
use aldis_client::core::{OfflineReason, Outgoing, Request, Target};
use aldis_wire::{GroupId, UserId, limits, pb};
use bytes::Bytes;
use jiff::tz::TimeZone;

use crate::names::Names;

pub use account::{Account, FIELDS, Field, name_of};
pub use asks::Ticket;
pub use chats::{Chat, Chats};
pub use compose::Draft;
pub use log::{Anchor, Log};
pub use message::{Body, Message};
pub use outbox::{Outbox, Unsent};
pub use panels::{Panel, Relations, Roster};
pub use prompt::{Answer, Prompt};
pub use search::{Hit, Search};
pub use told::Live;
pub use typed::help;

use asks::{After, Asks, Purpose};
use pages::Page;
use readers::Readers;
use resolve::Resolving;

/// How long a notice is shown, ms.
const NOTICE_MS: u64 = 8_000;

/// What the terminal and the client are to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Ask the server; the outcome comes back with the ticket.
    Ask(Ticket, Request),
    Send(Outgoing),
    /// Read a text file to be sent; the outcome comes back by `handle_file`.
    ReadFile {
        target: Target,
        path: String,
    },
    /// Open a session again after it was taken.
    LogIn,
    KeepToken,
    /// The password was changed: from now on the token logs in.
    ForgetPassword,
    Quit,
}

/// Where keys go, if no panel and no question is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    List,
    Compose,
    /// A picked message of the log.
    Messages,
}

/// The connection as the user should know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Online,
    /// `retry_at_ms`: when the next try begins; `None`: now.
    Offline {
        reason: OfflineReason,
        retry_at_ms: Option<u64>,
    },
    /// Another login took the session.
    Kicked(String),
    /// LOGIN was refused for good.
    Refused(String),
}

/// Who and where. Does not change.
#[derive(Clone, Debug)]
pub struct Setting {
    pub me: u64,
    /// As the user typed it, or as the server names the user.
    pub username: String,
    /// The server, or the gateway that names one.
    pub place: String,
    pub zone: TimeZone,
    /// For ids of messages and requests.
    pub seed: u64,
}

/// See the file's first lines.
#[derive(Debug)]
pub struct Model {
    pub setting: Setting,
    pub now_ms: u64,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// Whether the terminal says that somebody looks at it.
    pub is_looked_at: bool,
    pub line: Line,
    pub names: Names,
    pub chats: Chats,
    pub log: Option<Log>,
    pub outbox: Outbox,
    pub drafts: HashMap<Target, Draft>,
    pub focus: Focus,
    pub panel: Option<Panel>,
    pub prompt: Option<Prompt>,
    /// Text and when it goes.
    pub notice: Option<(String, u64)>,
    pub groups: BTreeMap<u64, pb::GroupInfo>,
    pub search: Search,
    pub roster: Option<Roster>,
    pub relations: Relations,
    pub account: Account,
    pub live: Live,
    readers: Option<Readers>,
    asks: Asks,
    ids: IdSource,
    effects: VecDeque<Effect>,
    resolving: Option<Resolving>,
    wanted_names: BTreeSet<u64>,
    asked_names: HashSet<u64>,
    are_groups_wanted: bool,
    /// Where the list of conversations goes on; `None`: it does not, or it was asked for.
    older_chats: Option<u64>,
}

impl Model {
    /// Just logged in; asks for what the first screen needs.
    pub fn new(setting: Setting, now_ms: u64) -> Self {
        let ids = IdSource::new(Rng::new(setting.seed));
        let mut model = Self {
            now_ms,
            size: (80, 24),
            is_looked_at: true,
            line: Line::Online,
            names: Names::default(),
            chats: Chats::default(),
            log: None,
            outbox: Outbox::default(),
            drafts: HashMap::new(),
            focus: Focus::List,
            panel: None,
            prompt: None,
            notice: None,
            groups: BTreeMap::new(),
            roster: None,
            relations: Relations::default(),
            account: Account::default(),
            live: Live::default(),
            readers: None,
            search: Search::default(),
            asks: Asks::default(),
            ids,
            effects: VecDeque::new(),
            resolving: None,
            wanted_names: BTreeSet::from([setting.me]),
            asked_names: HashSet::new(),
            are_groups_wanted: true,
            older_chats: None,
            setting,
        };
        model.ask_list();
        model.ask_relations(pb::RelationList::Friends);
        model.ask_relations(pb::RelationList::Requests);
        model.settle();
        model
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When `handle_timeout` is to be called, Unix time in ms.
    pub fn poll_timeout(&self) -> Option<u64> {
        let notice_at = self.notice.as_ref().map(|(_, until)| *until);
        [notice_at, self.asks.poll_timeout(), self.typing_timeout()].into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        if self.notice.as_ref().is_some_and(|(_, until)| *until <= now_ms) {
            self.notice = None;
        }
        self.settle();
    }

    /// Shows a conversation and puts the cursor where one types to it.
    pub fn open(&mut self, target: Target) {
        self.focus = Focus::Compose;
        if self.current() == Some(target) {
            (self.panel, self.prompt) = (None, None);
            self.chats.selected = Some(target);
            return;
        }
        self.change_to(Log::new(target));
        self.ask_page(target, Page::Newest);
    }

    /// Makes a conversation the open one; its messages are asked for by the caller.
    pub(super) fn change_to(&mut self, mut log: Log) {
        let target = log.target;
        (self.panel, self.prompt) = (None, None);
        self.chats.selected = Some(target);
        let now_ms = self.now_ms;
        let chat = self.chats.ensure(target, now_ms);
        log.news_after = (chat.unread_count() > 0).then_some(chat.read_conv_seq);
        self.drafts.entry(target).or_default();
        self.log = Some(log);
        match target {
            Target::User(user) => drop(self.wanted_names.insert(user.0)),
            Target::Group(group) => self.ask_members(group.0),
        }
        self.ask_receipts(target);
    }

    /// The open conversation.
    pub fn current(&self) -> Option<Target> {
        self.log.as_ref().map(|log| log.target)
    }

    /// The group that is open.
    pub(super) fn current_group(&self) -> Option<u64> {
        match self.current() {
            Some(Target::Group(group)) => Some(group.0),
            _ => None,
        }
    }

    /// Tells the user something.
    pub fn say(&mut self, text: &str) {
        let text = crate::terminal::escape_line(text);
        self.notice = Some((text, self.now_ms.saturating_add(NOTICE_MS)));
    }

    pub(super) fn quit(&mut self) {
        self.effects.push_back(Effect::Quit);
    }

    fn ask(&mut self, request: Request, purpose: Purpose) {
        let ticket = self.asks.ask(request.clone(), purpose);
        self.effects.push_back(Effect::Ask(ticket, request));
    }

    /// Asks for a change and says when it is done.
    fn change(&mut self, request: Request, done: &str, then: After) {
        self.ask(request, Purpose::Change { done: done.to_owned(), then });
    }

    fn new_request_id(&mut self) -> Bytes {
        Bytes::copy_from_slice(&self.ids.request_id(self.now_ms).0)
    }

    fn ask_members(&mut self, group: u64) {
        let body = pb::GroupMembersReq { group_id: group, ..Default::default() };
        self.ask(Request::GroupMembers(body), Purpose::Members { group, so_far: Vec::new() });
        let is_admin =
            self.groups.get(&group).is_some_and(|info| info.role() > pb::GroupRole::Member);
        if is_admin {
            let body = pb::GroupRequestsReq { group_id: group, ..Default::default() };
            self.ask(Request::GroupRequests(body), Purpose::JoinRequests { group });
        }
    }

    fn ask_relations(&mut self, list: pb::RelationList) {
        let body = pb::FriendListReq { list: list.into(), ..Default::default() };
        self.ask(Request::FriendList(body), Purpose::Relations { list, so_far: Vec::new() });
    }

    /// After whatever happened: what follows from it.
    fn settle(&mut self) {
        while let Some((ticket, request)) = self.asks.poll_again(self.now_ms) {
            self.effects.push_back(Effect::Ask(ticket, request));
        }
        if self.are_groups_wanted && !self.asks.has(|p| matches!(p, Purpose::Groups { .. })) {
            self.are_groups_wanted = false;
            let body = pb::GroupListReq { after_group_id: 0, limit: 0 };
            self.ask(Request::GroupList(body), Purpose::Groups { so_far: Vec::new() });
        }
        if self.chats.selected.is_none() {
            self.chats.selected = self.chats.nth(0).map(|chat| chat.target);
        }
        self.ask_names();
        self.end_old_typing();
        self.watch();
        self.load_more();
        self.mark_seen();
        self.refresh_readers();
    }

    fn ask_names(&mut self) {
        if self.asks.has(|purpose| matches!(purpose, Purpose::Names)) {
            return;
        }
        let (names, asked) = (&self.names, &self.asked_names);
        self.wanted_names.retain(|id| *id != 0 && !names.knows_user(*id) && !asked.contains(id));
        let ids: Vec<u64> = self.wanted_names.iter().copied().take(limits::USER_GET_MAX).collect();
        if !ids.is_empty() {
            self.asked_names.extend(&ids);
            self.ask(Request::UserGet(pb::UserGetReq { user_ids: ids }), Purpose::Names);
        }
    }

    /// What is on the screen in front of somebody is read.
    fn mark_seen(&mut self) {
        let is_seen = self.line == Line::Online
            && self.is_looked_at
            && self.panel.is_none()
            && !self.asks.has(|purpose| matches!(purpose, Purpose::MarkRead));
        let Some(log) = &self.log else { return };
        let is_at_bottom = log.is_at_end && !log.is_fresh && log.bottom.is_none();
        let (target, conv_seq) = (log.target, log.last_conv_seq());
        let Some(chat) = self.chats.get(target) else { return };
        if !is_seen || !is_at_bottom || conv_seq <= chat.read_conv_seq {
            return;
        }
        self.chats.mark_read(target, conv_seq);
        let (receiver_id, group_id) = target_ids(target);
        let body = pb::MarkReadReq { receiver_id, group_id, conv_seq };
        self.ask(Request::MarkRead(body), Purpose::MarkRead);
    }
}

/// `receiver_id` and `group_id` of a request.
fn target_ids(target: Target) -> (u64, u64) {
    match target {
        Target::User(user) => (user.0, 0),
        Target::Group(group) => (0, group.0),
    }
}

/// The conversation that two such fields name.
fn target_of_ids(receiver_id: u64, group_id: u64) -> Target {
    match group_id {
        0 => Target::User(UserId(receiver_id)),
        group => Target::Group(GroupId(group)),
    }
}
