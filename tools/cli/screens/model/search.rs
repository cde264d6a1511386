//! Searching messages: the question, what was found, and going there. Part of the model.

use aldis_client::core::{Request, Target};
use aldis_wire::pb;

use super::asks::Purpose;
use super::pages::Page;
use super::{Focus, Log, Message, Model, Panel};
use crate::names::target_of;

/// Hits of one page.
const HITS: u32 = 50;
/// Hits that are kept; who wants more asks more precisely.
const HITS_MAX: usize = 1_000;

/// What was searched for, and what was found.
#[derive(Debug, Default)]
pub struct Search {
    pub query: String,
    pub hits: Vec<Hit>,
    /// Of the next page; 0: there is none.
    cursor: u64,
}

/// A message that was found.
#[derive(Debug)]
pub struct Hit {
    pub target: Target,
    pub message: Message,
}

impl Model {
    /// Asks for messages with these words.
    pub(super) fn search(&mut self, query: &str) {
        self.search = Search { query: query.to_owned(), ..Search::default() };
        self.panel = Some(Panel::Search { selected: 0 });
        self.ask_hits(0);
    }

    fn ask_hits(&mut self, cursor: u64) {
        let query = self.search.query.clone();
        let body =
            pb::SearchReq { query: query.clone(), cursor, limit: HITS, ..Default::default() };
        self.ask(Request::Search(body), Purpose::Search { query });
    }

    pub(super) fn handle_hits(&mut self, query: &str, resp: &pb::SearchResp) {
        resp.entries.iter().for_each(|entry| self.want_people(entry));
        if self.search.query != query {
            return; // something else was asked for meanwhile
        }
        let me = self.setting.me;
        let hits = resp.entries.iter();
        self.search.hits.extend(
            hits.map(|entry| Hit { target: target_of(entry, me), message: Message::of(entry) }),
        );
        self.search.cursor = resp.cursor;
        // A page may be short or empty although there is another one; who left wants no more.
        let is_short = self.search.hits.len() < HITS as usize;
        if is_short && matches!(self.panel, Some(Panel::Search { .. })) {
            self.more_hits();
        }
    }

    /// Whether there is more to be looked through.
    pub fn has_more_hits(&self) -> bool {
        self.search.cursor != 0
    }

    /// The end of what was found is reached.
    pub(super) fn more_hits(&mut self) {
        let is_asked = self.asks.has(|purpose| matches!(purpose, Purpose::Search { .. }));
        if self.search.cursor != 0 && !is_asked && self.search.hits.len() < HITS_MAX {
            let cursor = std::mem::take(&mut self.search.cursor);
            self.ask_hits(cursor);
        }
    }

    /// Shows a hit where it was said.
    pub(super) fn open_hit(&mut self, selected: usize) {
        let Some(hit) = self.search.hits.get(selected) else { return };
        let (target, conv_seq) = (hit.target, hit.message.conv_seq);
        let mut log = Log::new(target);
        (log.is_at_end, log.has_newer) = (false, true);
        log.gone_to = Some(conv_seq);
        self.change_to(log);
        self.focus = Focus::Messages;
        self.ask_page(target, Page::Around(conv_seq));
    }
}
