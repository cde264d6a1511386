//! The client's rule for one stream: what is applied, what waits, when to sync. Knows no frames.
//!
//! `vectors/stream.json` holds the same rule as examples for clients in other languages.

use std::collections::BTreeMap;

use aldis_wire::pb::MessageData;

use super::limits::{GAP_WAIT_MS, SYNC_PAUSE_MS_MAX, WAITING_BYTES_MAX, WAITING_ENTRIES_MAX};

/// How an entry came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// The server pushed it.
    Push,
    /// A MSG_SYNC page held it.
    Sync,
    /// This device sent it and the answer said where it stands.
    Own,
}

/// An entry that is applied now: the application sees them in this order.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The entry; its `seq` is the last applied one + 1.
    pub entry: MessageData,
    /// How it came.
    pub via: Via,
}

/// What a page of MSG_SYNC says about the position that it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOutcome {
    /// It was applied.
    Applied,
    /// The server's head is below the position: that store has lost what this client applied.
    HeadBelow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sync {
    Idle,
    Wanted,
    InFlight { after: u64 },
    Paused { until: u64 },
}

/// One stream. Times are milliseconds of the caller's clock.
#[derive(Clone, Debug)]
pub struct Stream {
    local: u64,
    head: u64,
    waiting: BTreeMap<u64, Applied>,
    waiting_bytes: usize,
    gap_deadline: Option<u64>,
    sync: Sync,
    /// Syncs in a row that brought nothing although the head is above.
    stall_count: u32,
    /// Another sync has to follow the one that is in flight.
    asks_again: bool,
}

impl Stream {
    /// A stream of which everything up to `local` is applied.
    pub fn new(local: u64) -> Self {
        Self {
            local,
            head: local,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            gap_deadline: None,
            sync: Sync::Idle,
            stall_count: 0,
            asks_again: false,
        }
    }

    /// The highest seq applied.
    pub fn local(&self) -> u64 {
        self.local
    }

    /// The highest seq heard of.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Whether everything heard of is applied.
    pub fn is_current(&self) -> bool {
        self.local >= self.head
    }

    /// A MSG_PUSH_NOTIFY. One without entries is a hint.
    pub fn handle_push(
        &mut self,
        now: u64,
        entries: Vec<MessageData>,
        head: u64,
        out: &mut Vec<Applied>,
    ) {
        if entries.is_empty() {
            return self.handle_head(head);
        }
        self.head = self.head.max(head);
        let local_before = self.local;
        for entry in entries {
            self.take(Applied { entry, via: Via::Push }, out);
        }
        self.settle(now, local_before, out);
    }

    /// This device's own entry, from the answer to its send.
    pub fn handle_own(&mut self, now: u64, entry: MessageData, out: &mut Vec<Applied>) {
        let local_before = self.local;
        self.take(Applied { entry, via: Via::Own }, out);
        self.settle(now, local_before, out);
    }

    /// A head from a hint, a heartbeat, a login, or an own entry whose content is not known here:
    /// one above local syncs without waiting.
    pub fn handle_head(&mut self, head: u64) {
        self.head = self.head.max(head);
        if self.head > self.local && self.sync == Sync::Idle {
            self.want_sync();
        }
    }

    /// A head of which the entries may be on their way: syncs if they do not come in time.
    pub fn handle_head_soon(&mut self, now: u64, head: u64) {
        self.head = self.head.max(head);
        self.settle(now, self.local, &mut Vec::new());
    }

    /// Syncs even though nothing above local was heard of: the answer says whether the stream is over.
    pub fn ask(&mut self) {
        // What is on its way may have been answered before.
        self.asks_again = matches!(self.sync, Sync::InFlight { .. });
        if !self.asks_again {
            self.want_sync();
        }
    }

    /// The page that `begin_sync` asked for. `skipped_to`: what is below it and above local is not in
    /// the stream for this reader.
    pub fn handle_page(
        &mut self,
        now: u64,
        entries: Vec<MessageData>,
        head: u64,
        skipped_to: u64,
        out: &mut Vec<Applied>,
    ) -> PageOutcome {
        let Sync::InFlight { after } = self.sync else {
            return PageOutcome::Applied; // a page of before a reset
        };
        if head < after {
            return PageOutcome::HeadBelow;
        }
        self.sync = Sync::Idle;
        self.head = self.head.max(head);
        let local_before = self.local;
        self.local = self.local.max(skipped_to.min(head));
        for entry in entries {
            if entry.seq > self.local.saturating_add(1) {
                break; // pages have no gaps; what follows one is not trusted
            }
            self.take(Applied { entry, via: Via::Sync }, out);
        }
        self.drain_waiting(out);
        if self.local > after {
            self.stall_count = 0;
        }
        if self.is_current() {
            self.settle(now, local_before, out);
        } else if self.local > after {
            self.want_sync();
        } else {
            self.pause_sync(now, 0);
        }
        if std::mem::take(&mut self.asks_again) {
            self.want_sync();
        }
        PageOutcome::Applied
    }

    /// MSG_SYNC was answered with a code that allows another try after `retry_after_ms` (0: the
    /// client decides).
    pub fn handle_sync_refused(&mut self, now: u64, retry_after_ms: u64) {
        if matches!(self.sync, Sync::InFlight { .. }) {
            self.pause_sync(now, retry_after_ms);
        }
    }

    /// The connection is gone, and with it what was asked.
    pub fn handle_disconnected(&mut self) {
        self.sync = if self.is_current() { Sync::Idle } else { Sync::Wanted };
        self.gap_deadline = None;
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: u64) {
        if self.gap_deadline.is_some_and(|at| at <= now) {
            self.want_sync();
        }
        if matches!(self.sync, Sync::Paused { until } if until <= now) {
            self.want_sync();
        }
    }

    /// When `handle_timeout` wants to be called.
    pub fn poll_timeout(&self) -> Option<u64> {
        match self.sync {
            Sync::Paused { until } => Some(until),
            _ => self.gap_deadline,
        }
    }

    /// Whether a MSG_SYNC should go out.
    pub fn wants_sync(&self) -> bool {
        self.sync == Sync::Wanted
    }

    /// A MSG_SYNC goes out; returns its `after_seq`.
    pub fn begin_sync(&mut self) -> u64 {
        self.sync = Sync::InFlight { after: self.local };
        self.gap_deadline = None;
        self.local
    }

    /// Forget the position and start at `head`: another store epoch, RESYNC, or a head below local.
    pub fn reset(&mut self, head: u64) {
        *self = Self::new(head);
    }

    /// Applies, ignores or keeps one entry.
    fn take(&mut self, applied: Applied, out: &mut Vec<Applied>) {
        let seq = applied.entry.seq;
        if seq <= self.local {
            return;
        }
        self.head = self.head.max(seq);
        if seq == self.local + 1 {
            self.local = seq;
            out.push(applied);
            return;
        }
        let len = entry_len(&applied.entry);
        let fits = self.waiting.len() < WAITING_ENTRIES_MAX
            && self.waiting_bytes.saturating_add(len) <= WAITING_BYTES_MAX;
        if fits && !self.waiting.contains_key(&seq) {
            self.waiting_bytes += len;
            self.waiting.insert(seq, applied);
        }
    }

    fn drain_waiting(&mut self, out: &mut Vec<Applied>) {
        while let Some(first) = self.waiting.first_entry() {
            if *first.key() > self.local.saturating_add(1) {
                break;
            }
            let applied = first.remove();
            self.waiting_bytes -= entry_len(&applied.entry);
            self.take(applied, out);
        }
        debug_assert!(!self.waiting.is_empty() || self.waiting_bytes == 0);
    }

    /// After entries were taken: applies what waited for them and starts or ends the gap's wait.
    fn settle(&mut self, now: u64, local_before: u64, out: &mut Vec<Applied>) {
        self.drain_waiting(out);
        if self.is_current() {
            self.gap_deadline = None;
            if !matches!(self.sync, Sync::InFlight { .. }) {
                self.sync = Sync::Idle;
            }
        } else if self.sync == Sync::Idle
            && (self.local > local_before || self.gap_deadline.is_none())
        {
            self.gap_deadline = Some(now.saturating_add(GAP_WAIT_MS));
        }
    }

    fn want_sync(&mut self) {
        self.gap_deadline = None;
        self.sync = Sync::Wanted;
    }

    fn pause_sync(&mut self, now: u64, at_least_ms: u64) {
        let own_ms = (GAP_WAIT_MS << self.stall_count.min(8)).min(SYNC_PAUSE_MS_MAX);
        self.stall_count = self.stall_count.saturating_add(1);
        self.gap_deadline = None;
        self.sync = Sync::Paused { until: now.saturating_add(own_ms.max(at_least_ms)) };
    }
}

/// What an entry costs in memory, roughly.
fn entry_len(entry: &MessageData) -> usize {
    entry.content.len() + entry.extra.len() + std::mem::size_of::<Applied>()
}
