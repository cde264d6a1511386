//! Looks at the server between cases: does it live, is it the same, has it come to rest, and what has grown
//! meanwhile. Part of a campaign.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use crate::campaign::{Campaign, RECENT_MAX, REST_MAX, SHORT_REST_MAX};
use crate::case::{Case, STEPS_MAX};
use crate::finding::{Kind, Problem};
use crate::leak::{self, Held};
use crate::play::play;
use crate::process::Vitals;
use crate::report::Verdict;
use crate::world::Trouble;

/// Cases that could not be played, one after the other, before the run gives up.
const TROUBLES_MAX: u32 = 20;
/// Cases among which the one that leaks is searched at a time.
const SUSPECTS_MAX: usize = 32;
/// Times that each of those is played to see among which it is.
const GLANCES: usize = 2;
/// Time for one search: what comes next is what the run is for.
const SEARCH_MAX: Duration = Duration::from_secs(60);
/// Times that it is searched: more would take minutes.
const SEARCHES_MAX: usize = 2;

impl Campaign<'_> {
    /// A case could not be played: is it the server?
    pub fn handle_trouble(&mut self, trouble: &Trouble, number: u64) {
        self.troubles += 1;
        let panic = self.process.panic_in_log();
        match self.death(panic.as_ref()) {
            Some(problem) => self.handle_death(problem, number),
            None if matches!(trouble, Trouble::Unreachable(_)) => {
                // It lives and closed a connection that did nothing but wait.
                let what = trouble.to_string();
                self.keep(&Problem::new(Kind::ClosedWithoutReason, "", what), None, number);
                if let Err(trouble) = self.world.watch() {
                    self.stopped = Some(Verdict::Inconclusive(trouble.to_string()));
                }
            }
            None if self.troubles > TROUBLES_MAX => {
                self.stopped = Some(Verdict::Inconclusive(trouble.to_string()));
            }
            None => {}
        }
    }

    /// Whether the process is gone, or another one is in its place.
    pub fn death(&mut self, panic: Option<&Problem>) -> Option<Problem> {
        let vitals = self.process.vitals();
        let is_another = vitals.map(|vitals| vitals.started) != self.started_at;
        let is_away = self.world.connect().is_err();
        let is_dead = is_away || panic.is_some() || (self.process.is_watched() && is_another);
        if !is_dead {
            return None;
        }
        let about = panic.map_or(String::new(), |panic| panic.about.clone());
        let what = panic.map_or("the server is gone".to_owned(), |panic| panic.what.clone());
        Some(Problem::new(Kind::Died, about, what))
    }

    /// Waits until the server is back, if that is to be expected; whether it is.
    pub fn recover(&mut self) -> bool {
        let deadline = Instant::now() + self.options.recovery;
        while Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
            if self.world.connect().is_ok() && self.world.watch().is_ok() {
                self.process.panic_in_log();
                let vitals = self.process.vitals();
                if vitals.is_none() {
                    self.process.forget_pid();
                }
                self.started_at = self.process.vitals().map(|vitals| vitals.started);
                self.baseline = None;
                return true;
            }
        }
        false
    }

    /// Reads the log and looks at what is held; whatever grew too much is looked into.
    pub fn checkpoint(&mut self, number: u64) {
        self.checked = Instant::now();
        if let Some(problem) = self.process.panic_in_log() {
            self.keep(&problem, None, number);
        }
        if let Some(problem) = self.pair.as_ref().and_then(|pair| pair.report().problem) {
            let panic = self.process.panic_in_log();
            if let Some(death) = self.death(panic.as_ref()) {
                return self.handle_death(death, number);
            }
            self.keep(&problem, None, number);
            self.start_pair();
        }
        let Some(now) = self.rest() else { return };
        let before = self.baseline.get_or_insert(now);
        // A crowd that came and went leaves room behind, which is given back bit by bit.
        before.memory_bytes = before.memory_bytes.min(now.memory_bytes);
        let before = *before;
        for held in Held::ALL {
            let grown = held.of(&now).saturating_sub(held.of(&before));
            if grown > self.growth_allowed[held as usize] {
                self.look_into(held, &before);
            }
        }
        (self.options.say)(&format!(
            "{:>5.0} s, {} cases, {} cells, {} findings, {} MiB",
            self.started.elapsed().as_secs_f64(),
            self.played,
            self.coverage.len(),
            self.findings.len(),
            now.memory_bytes >> 20,
        ));
    }

    /// What the process holds when connections are gone.
    pub fn rest(&self) -> Option<Vitals> {
        leak::settle(&self.process, self.baseline.as_ref(), SHORT_REST_MAX)
    }

    /// More is held than before: by a case that takes it each time, or is it what a server may keep?
    pub fn look_into(&mut self, held: Held, before: &Vitals) {
        if held != Held::Memory {
            // What is only late comes back. What does not is what the next look compares with.
            let Some(now) = leak::come_back(&self.process, before, REST_MAX) else { return };
            if !leak::left_over(before, &now).iter().any(|(left, _)| *left == held) {
                return;
            }
            self.baseline = Some(now);
        }
        let Some(now) = self.rest() else { return };
        let grown = held.of(&now).saturating_sub(held.of(before));
        let amount = held.describe(grown as f64);
        (self.options.say)(&format!("{amount} more are held: which case is it?"));
        // What leaks does so often, or so much were not held: it is among the newest cases.
        let mut cases = self.last_cases(RECENT_MAX);
        cases.retain(|(_, case)| !case.fresh && case.send_count() <= STEPS_MAX);
        let average = grown as f64 / cases.len().max(1) as f64;
        let until = Instant::now() + SEARCH_MAX;
        let mut grow = |cases: &[(u64, Case)], rounds: usize| {
            let cases: Vec<&Case> = cases.iter().map(|(_, case)| case).collect();
            if Instant::now() < until { self.growth_by(held, &cases, rounds) } else { None }
        };
        let mut parts: Vec<_> = cases.chunks(SUSPECTS_MAX).collect();
        parts.sort_by_cached_key(|part| Reverse(grow(part, GLANCES)));
        let mut searched = parts.into_iter().take(SEARCHES_MAX);
        let found = searched.find_map(|part| leak::culprit(held, average, part, &mut grow));
        match found {
            Some(((number, case), each)) => {
                let each = held.describe(each);
                let what = format!("{each} more are held each time, {amount} so far");
                self.keep(&Problem::new(held.kind(), "", what), Some(&case), number);
            }
            None => self.notes.push(format!("{amount} more are held, and by none of the cases")),
        }
        // Once more after as much again.
        self.growth_allowed[held as usize] += grown;
        if held != Held::Memory {
            self.baseline = self.rest();
        }
    }

    /// By how much what is held at rest grows when these are played so often.
    pub fn growth_by(&mut self, held: Held, cases: &[&Case], rounds: usize) -> Option<u64> {
        let before = self.rest()?;
        for case in cases.iter().cycle().take(cases.len() * rounds) {
            play(&mut self.world, case).ok()?;
        }
        let after = leak::settle(&self.process, Some(&before), SHORT_REST_MAX)?;
        Some(held.of(&after).saturating_sub(held.of(&before)))
    }
}
