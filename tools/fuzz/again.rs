//! Answers that depend on what else the machine does: a server says BUSY while it has no room. They are
//! tried for again as long as one of them was not seen.

use std::time::{Duration, Instant};

use aldis_wire::{Code, Command};

use crate::campaign::Campaign;
use crate::case::Case;
use crate::coverage::Answer;
use crate::rush;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(15);
/// Some servers always have room.
const TRIES_MAX: usize = 12;

/// When it is time for another try.
#[derive(Debug)]
pub struct Again {
    tried_at: Instant,
    tries: usize,
}

impl Again {
    /// One whose first try was made a moment ago.
    pub fn new() -> Self {
        Self { tried_at: Instant::now(), tries: 1 }
    }

    /// Whether it is time; if it is, another try begins.
    pub fn is_due(&mut self) -> bool {
        if self.tries >= TRIES_MAX || self.tried_at.elapsed() < PAUSE {
            return false;
        }
        *self = Self { tried_at: Instant::now(), tries: self.tries + 1 };
        true
    }
}

impl Campaign<'_> {
    /// So many logins and registrations at once that the server has to put some off.
    pub(crate) fn rush(&mut self) {
        let (seen, result) = rush::rush(&mut self.world);
        self.take(self.played, None, seen);
        if let Err(trouble) = result {
            self.notes.push(format!("the rush did not end: {trouble}"));
            self.handle_trouble(&trouble, self.played);
        }
    }

    /// What has BUSY among its documented answers and did not give it.
    pub(crate) fn play_again(&mut self, recipes: &[Case], deadline: Instant) {
        let busy = Answer::Code(Code::Busy);
        let missing = self.coverage.missing();
        let missing: Vec<Command> =
            missing.iter().filter(|cell| cell.answer == busy).map(|cell| cell.command).collect();
        let is_hashed = |command: &Command| rush::HASHED.contains(command);
        if missing.iter().any(is_hashed) {
            self.rush();
        }
        if missing.iter().all(is_hashed) {
            return;
        }
        for (number, case) in (0..).zip(recipes) {
            if case.stops_store() && self.means.allow(case) && !self.is_over(deadline) {
                self.play_recipe(number, case);
            }
        }
    }
}
