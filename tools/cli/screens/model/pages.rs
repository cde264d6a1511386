//! Pages of the open conversation's history: which one is asked for, and where it goes. Part of the
//! model.

use aldis_client::core::{Request, Target};
use aldis_wire::pb;

use super::asks::Purpose;
use super::{Log, Model, target_ids};
use crate::screens::view;

/// Messages that one HISTORY asks for: a large screen and some.
const PAGE_MESSAGES: u32 = 100;
/// Messages that are shown after the one that was gone to.
const AFTER: u64 = 30;

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Newest,
    /// Before the oldest message at hand, which has this conv_seq.
    Older(u64),
    /// After the newest message at hand.
    Newer {
        after: u64,
        /// The highest conv_seq that was known when the page was asked for: it holds whatever came
        /// up to there, and what came later may be missing.
        known: u64,
    },
    /// With a message that is gone to.
    Around(u64),
}

impl Model {
    pub(super) fn ask_page(&mut self, target: Target, page: Page) {
        let (before_conv_seq, after_conv_seq) = match page {
            Page::Newest => (0, 0),
            Page::Older(before) => (before, 0),
            Page::Newer { after, .. } => (0, after),
            Page::Around(conv_seq) => (conv_seq + AFTER, 0),
        };
        if let Some(log) = self.log.as_mut().filter(|log| log.target == target) {
            log.is_loading = true;
        }
        let (receiver_id, group_id) = target_ids(target);
        let limit = PAGE_MESSAGES;
        let body = pb::HistoryReq { receiver_id, group_id, before_conv_seq, after_conv_seq, limit };
        self.ask(Request::History(body), Purpose::History { target, page });
    }

    fn is_page_asked(&self, target: Target) -> bool {
        self.asks
            .has(|purpose| matches!(purpose, Purpose::History { target: of, .. } if *of == target))
    }

    /// Takes a page, unless the messages at hand are no longer those next to which it stands.
    pub(super) fn handle_page(&mut self, target: Target, page: Page, resp: &pb::HistoryResp) {
        resp.entries.iter().for_each(|entry| self.want_people(entry));
        let is_loading = self.is_page_asked(target);
        let known_now = self.chats.get(target).map_or(0, |chat| chat.last_conv_seq);
        let Some(log) = self.log.as_mut().filter(|log| log.target == target) else { return };
        log.is_loading = is_loading;
        match page {
            Page::Newest if log.gone_to.is_none() => {
                if !log.is_at_end {
                    let news_after = log.news_after;
                    *log = Log::new(target);
                    log.news_after = news_after;
                    log.is_loading = is_loading;
                }
                log.add_page(resp);
                let me = self.setting.me;
                resp.entries.iter().for_each(|entry| self.chats.note(target, entry, me));
            }
            Page::Around(conv_seq) if log.gone_to == Some(conv_seq) => {
                log.gone_to = None;
                log.add_page(resp);
                self.arrive_at(conv_seq);
            }
            Page::Older(before) if log.first_conv_seq() == before => log.add_page(resp),
            Page::Newer { after, known } if log.last_conv_seq() == after && !log.is_at_end => {
                log.add_newer(resp, known_now <= known);
                self.stay_at_end();
            }
            _ => {}
        }
    }

    /// There is no such page.
    pub(super) fn handle_no_page(&mut self, target: Target, page: Page) {
        let is_loading = self.is_page_asked(target);
        if let Some(log) = self.log.as_mut().filter(|log| log.target == target) {
            (log.is_loading, log.is_fresh) = (is_loading, false);
            match page {
                Page::Newer { .. } => log.has_newer = false,
                _ => log.has_older = false,
            }
        }
    }

    /// Asks for more messages when the last one at hand is near, at either end.
    pub(super) fn load_more(&mut self) {
        let Some(log) = &self.log else { return };
        if log.is_loading || log.is_fresh || !(log.has_older || log.has_newer) {
            return;
        }
        // At the end, each message being a row at least, it is soon clear that there are enough.
        let visible = view::log_size(self).1;
        if log.bottom.is_none()
            && log.messages().filter(|message| message.is_shown()).nth(2 * visible).is_some()
        {
            return;
        }
        let (target, first, last) = (log.target, log.first_conv_seq(), log.last_conv_seq());
        let (has_older, has_newer) = (log.has_older && first > 0, log.has_newer && last > 0);
        let Some((above, below)) = self.hidden_rows() else { return };
        if has_older && above < visible {
            self.ask_page(target, Page::Older(first));
        } else if has_newer && below < visible {
            let known = self.chats.get(target).map_or(0, |chat| chat.last_conv_seq);
            self.ask_page(target, Page::Newer { after: last, known });
        }
    }
}
