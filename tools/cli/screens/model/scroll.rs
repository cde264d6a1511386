//! Scrolling and picking in the log. Heights come from the view; nothing is drawn here.

use super::asks::Purpose;
use super::pages::Page;
use super::{Anchor, Focus, Model};
use crate::screens::view;

/// Heights of all messages from the oldest to the newest, and which of them is the lowest shown.
#[derive(Debug)]
struct Rows {
    heights: Vec<usize>,
    total: usize,
    visible: usize,
}

impl Rows {
    /// Rows that are hidden below the screen.
    fn below(&self, index: usize, hidden: usize) -> usize {
        let after: usize = self.heights.iter().skip(index + 1).sum();
        after + hidden
    }

    fn most_below(&self) -> usize {
        self.total.saturating_sub(self.visible)
    }

    /// Which message is the lowest shown with so many rows below the screen, and how much of it is
    /// hidden; `None`: nothing is below.
    fn at(&self, below: usize) -> Option<(usize, usize)> {
        let mut left = below;
        for (index, height) in self.heights.iter().enumerate().rev() {
            if left < *height {
                return (below > 0).then_some((index, left));
            }
            left -= height;
        }
        None
    }
}

impl Model {
    /// Moves what is shown by rows, up with a negative number.
    pub(super) fn scroll(&mut self, by: isize) {
        let Some((keys, rows)) = self.log_rows() else { return };
        let below = self.rows_below(&keys, &rows);
        let below = below.saturating_add_signed(-by).min(rows.most_below());
        self.set_below(&keys, &rows, below);
    }

    /// Moves what is shown by screens.
    pub(super) fn scroll_page(&mut self, by: isize) {
        let visible = view::log_size(self).1;
        let page = isize::try_from(visible.saturating_sub(2).max(1)).unwrap_or(1);
        self.scroll(by.saturating_mul(page));
    }

    /// Back to the newest message.
    pub(super) fn show_end(&mut self) {
        let Some(log) = &mut self.log else { return };
        (log.bottom, log.picked, log.gone_to) = (None, None, None);
        let (target, is_at_end) = (log.target, log.is_at_end);
        let newest = Purpose::History { target, page: Page::Newest };
        if !is_at_end && !self.asks.has(|purpose| *purpose == newest) {
            self.ask_page(target, Page::Newest);
        }
    }

    /// Picks the message before (`by` -1) or after (1) one.
    pub(super) fn pick(&mut self, from: u64, by: i32) {
        let Some(log) = &mut self.log else { return };
        let Some(conv_seq) = log.neighbour(from, by) else {
            // What follows may be on its way.
            if by > 0 && log.is_at_end {
                self.unpick();
            }
            return;
        };
        log.picked = Some(conv_seq);
        self.focus = Focus::Messages;
        self.reveal(conv_seq);
    }

    /// The page around a message that was gone to is here.
    pub(super) fn arrive_at(&mut self, conv_seq: u64) {
        let Some(log) = &mut self.log else { return };
        if log.get(conv_seq).is_none() {
            self.focus = Focus::Compose;
            return self.say("it is no longer there");
        }
        // From the end of the page: what is below it is not here.
        log.bottom = Some(Anchor { conv_seq: log.last_conv_seq(), hidden: 0 });
        log.picked = Some(conv_seq);
        self.focus = Focus::Messages;
        self.reveal(conv_seq);
    }

    /// Nothing is picked; typing goes on.
    pub(super) fn unpick(&mut self) {
        self.focus = Focus::Compose;
        if let Some(log) = &mut self.log {
            log.picked = None;
        }
    }

    fn reveal(&mut self, conv_seq: u64) {
        let Some((keys, rows)) = self.log_rows() else { return };
        let Some(index) = keys.iter().position(|key| *key == conv_seq) else { return };
        let height = rows.heights.get(index).copied().unwrap_or(0);
        let below_it = rows.below(index, 0);
        let below = self.rows_below(&keys, &rows);
        let lowest = (below_it + height).saturating_sub(rows.visible);
        let below = below.max(lowest).min(below_it).min(rows.most_below());
        self.set_below(&keys, &rows, below);
    }

    /// Rows above and below what is shown.
    pub(super) fn hidden_rows(&self) -> Option<(usize, usize)> {
        let (keys, rows) = self.log_rows()?;
        let below = self.rows_below(&keys, &rows);
        Some((rows.total.saturating_sub(below + rows.visible), below))
    }

    /// The end came to where the reader waits for it: from now on what comes moves what is shown.
    pub(super) fn stay_at_end(&mut self) {
        let Some((keys, rows)) = self.log_rows() else { return };
        if self.rows_below(&keys, &rows) == 0 {
            self.set_below(&keys, &rows, 0);
        }
    }

    fn log_rows(&self) -> Option<(Vec<u64>, Rows)> {
        self.log.as_ref()?;
        let (columns, visible) = view::log_size(self);
        let (keys, heights): (Vec<u64>, Vec<usize>) = view::log_heights(self, columns).unzip();
        let total = heights.iter().sum();
        Some((keys, Rows { heights, total, visible }))
    }

    fn rows_below(&self, keys: &[u64], rows: &Rows) -> usize {
        let anchor = self.log.as_ref().and_then(|log| log.bottom);
        let index = anchor.and_then(|at| keys.iter().position(|key| *key == at.conv_seq));
        match (anchor, index) {
            (Some(anchor), Some(index)) => rows.below(index, anchor.hidden),
            _ => 0,
        }
    }

    fn set_below(&mut self, keys: &[u64], rows: &Rows, below: usize) {
        let at = rows.at(below);
        let Some(log) = &mut self.log else { return };
        log.bottom = at.and_then(|(index, hidden)| {
            keys.get(index).map(|key| Anchor { conv_seq: *key, hidden })
        });
        if log.bottom.is_none() && !log.is_at_end {
            // What follows is not here yet, and will stand below.
            log.bottom = keys.last().map(|key| Anchor { conv_seq: *key, hidden: 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_below_and_the_lowest_message_are_two_words_for_one_place() {
        let rows = Rows { heights: vec![1, 3, 2, 5], total: 11, visible: 4 };
        assert_eq!(rows.at(0), None);
        for below in 1..=rows.most_below() {
            let (index, hidden) = rows.at(below).unwrap();
            assert_eq!(rows.below(index, hidden), below);
        }
        assert_eq!(rows.at(5), Some((2, 0)));
        assert_eq!(rows.at(6), Some((2, 1)));
        assert_eq!(rows.most_below(), 7);
    }
}
