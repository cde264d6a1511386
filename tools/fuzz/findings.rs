//! What becomes of a problem: is it known, does its case show it again, which is the smallest that does.
//! Deaths, leaks and wrong answers each in their way.

use std::time::{Duration, Instant};

use crate::campaign::Campaign;
use crate::case::Case;
use crate::finding::{Finding, Kind, Problem};
use crate::leak::{self, Held};
use crate::minimise::{Budget, minimise};
use crate::play::play;
use crate::report::Verdict;

/// Time to make one finding small.
const MINIMISE_MAX: Duration = Duration::from_secs(25);
/// The same for a leak, of which each question takes many plays.
const MINIMISE_LEAK_MAX: Duration = Duration::from_secs(90);
/// Questions for that.
const QUESTIONS_MAX: usize = 400;
/// Questions where each takes the server's life.
const DEATHS_MAX: usize = 40;
/// A case may leak at so many places: the smallest leaks at one.
const LEAK_PARTS: f64 = 16.0;
/// What the victim says before a case is played again on its own.
const SECRETS_BEFORE: usize = 32;
/// Cases before a death of which one may be its reason.
const SUSPECTS_MAX: usize = 6;

impl Campaign<'_> {
    /// A problem that is new becomes a finding.
    pub fn keep(&mut self, problem: &Problem, case: Option<&Case>, number: u64) {
        let known = self.findings.iter_mut().find(|known| known.problem().is_like(problem));
        if let Some(known) = known {
            known.count += 1;
            return;
        }
        (self.options.say)(&format!(
            "FOUND {} {}: {}",
            problem.kind.name(),
            problem.about,
            problem.what
        ));
        let index = self.findings.len();
        self.findings.push(Finding {
            seed: self.options.seed,
            number,
            kind: problem.kind,
            about: problem.about.clone(),
            what: problem.what.clone(),
            at_s: self.started.elapsed().as_secs_f64(),
            count: 1,
            is_confirmed: false,
            case: case.cloned(),
            datagrams: Vec::new(),
        });
        if let Some(case) = case {
            let confirmed = self.confirm(problem, case);
            let finding = &mut self.findings[index];
            finding.is_confirmed = confirmed.is_some();
            finding.case = confirmed.or(finding.case.take());
        }
    }

    /// Datagrams that showed a problem.
    pub fn keep_datagrams(&mut self, problem: &Problem, number: u64, datagrams: Vec<String>) {
        let count = self.findings.len();
        self.keep(problem, None, number);
        if let Some(finding) = self.findings.get_mut(count) {
            finding.datagrams = datagrams;
        }
    }

    /// The smallest case that shows a problem again; `None`: this one does not.
    fn confirm(&mut self, problem: &Problem, case: &Case) -> Option<Case> {
        let leak = match Held::of_kind(problem.kind) {
            Some(held) => Some((held, self.growth_of(held, case)?)),
            None if !self.shows(problem, case) => return None,
            None => None,
        };
        let time = if leak.is_some() { MINIMISE_LEAK_MAX } else { MINIMISE_MAX };
        let deadline = Instant::now() + time;
        let mut has_time = || Instant::now() < deadline;
        let questions = if problem.kind == Kind::Died { DEATHS_MAX } else { QUESTIONS_MAX };
        let mut budget = Budget { questions, has_time: &mut has_time };
        let least = minimise(case, &mut budget, &mut |case| match leak {
            Some((held, each)) => self.leaks(held, each, case),
            None => self.shows(problem, case),
        });
        // One glance at a leak may be mistaken.
        let is_sure = leak.is_none_or(|(held, _)| self.growth_of(held, &least).is_some());
        Some(if is_sure { least } else { case.clone() })
    }

    /// A glance at whether a case still takes a good part of so much each time.
    fn leaks(&mut self, held: Held, each: f64, case: &Case) -> bool {
        let plays = held.plays_for(each / 4.0);
        let least = (each / LEAK_PARTS * plays as f64).max(held.noise());
        self.growth_by(held, &[case], plays).is_some_and(|grown| grown as f64 >= least)
    }

    /// Plays a case and says whether it shows the problem.
    fn shows(&mut self, problem: &Problem, case: &Case) -> bool {
        if self.stopped.is_some() {
            return false;
        }
        if let Some(held) = Held::of_kind(problem.kind) {
            return self.growth_of(held, case).is_some();
        }
        match play(&mut self.world, case) {
            Ok(seen) => {
                seen.problems.iter().any(|seen| seen.is_like(problem))
                    || problem.kind == Kind::Died && self.has_died()
            }
            Err(_) => self.has_died() && problem.kind == Kind::Died,
        }
    }

    /// How much a case takes each time that it is played, if it gives nothing back.
    fn growth_of(&mut self, held: Held, case: &Case) -> Option<f64> {
        let mut grow = |cases: &[&Case], rounds: usize| self.growth_by(held, cases, rounds);
        leak::growth(held, &case, &mut grow).filter(|each| *each > 0.0)
    }

    /// Whether the server is gone now; if it is, it is waited for.
    fn has_died(&mut self) -> bool {
        let panic = self.process.panic_in_log();
        if self.death(panic.as_ref()).is_none() {
            return false;
        }
        if !self.recover() {
            let why = "the server died and did not come back";
            self.stopped = Some(Verdict::Inconclusive(why.into()));
        }
        true
    }

    /// The server is gone: which of the last cases did it?
    pub fn handle_death(&mut self, problem: Problem, number: u64) {
        let suspects = self.last_cases(SUSPECTS_MAX);
        let first = suspects.first().map(|(_, case)| case.clone());
        let is_known = self.findings.iter().any(|known| known.problem().is_like(&problem));
        self.keep(&problem, None, number);
        if !is_known && let Some(finding) = self.findings.last_mut() {
            finding.case = first;
        }
        let is_back = self.recover();
        if !is_back {
            let why = "the server died and did not come back";
            self.stopped = Some(Verdict::Inconclusive(why.into()));
            return;
        }
        self.start_pair();
        if is_known {
            return;
        }
        let index = self.findings.len() - 1;
        for (number, case) in suspects {
            if let Some(least) = self.confirm(&problem, &case) {
                let finding = &mut self.findings[index];
                (finding.number, finding.case, finding.is_confirmed) = (number, Some(least), true);
                break;
            }
        }
        self.start_pair();
    }

    /// Plays the case of a finding of an earlier run.
    pub fn replay(&mut self, finding: &Finding) {
        let Some(case) = &finding.case else {
            let why = "the finding is of no single case";
            self.stopped = Some(Verdict::Inconclusive(why.into()));
            return;
        };
        // In the run, much had been said before, and a case may ask for what comes after some of it. A
        // server that limits the victim gets as much as it takes.
        let _ = self.world.say_secrets(SECRETS_BEFORE);
        if self.shows(&finding.problem(), case) {
            let is_confirmed = true;
            self.findings.push(Finding { is_confirmed, count: 1, ..finding.clone() });
        }
    }
}
