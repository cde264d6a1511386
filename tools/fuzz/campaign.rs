//! A run: recipes first, then cases at random until the time is over; what the oracles say becomes a
//! finding with the smallest case that shows it. Decides the verdict.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aldis_netsim::Rng;
use aldis_wire::{Code, Command};

use crate::case::Case;
use crate::conn::Seen;
use crate::coverage::Coverage;
use crate::datagrams::Storm;
use crate::finding::{Finding, Kind, Problem};
use crate::options::{Options, OptionsError};
use crate::pair::{self, Pair};
use crate::play::play;
use crate::process::{Process, Vitals};
use crate::report::{Report, Verdict};
use crate::table::Table;
use crate::world::{Trouble, World};
use crate::{generate, leak, mutate, recipes, rush};

/// Numbers of cases at random begin here; those below are of recipes.
const FIRST_RANDOM: u64 = 1_000;
/// From the first sign that a process dies until all can see it.
const DYING: Duration = Duration::from_millis(100);
/// Cases at random between two recipes: those that come late must not wait for all of the others.
const RANDOM_BETWEEN: u64 = 6;
/// Runs of this length have time for slow recipes.
const SLOW_RUN: Duration = Duration::from_secs(300);
/// Between two looks at memory and log.
const CHECKPOINT: Duration = Duration::from_secs(4);
/// Cases since the last look among which the one that leaks is searched.
pub const RECENT_MAX: usize = 500;
/// Cases that are kept to be mutated.
const CORPUS_MAX: usize = 2_000;
/// Time for connections to be gone: longer than the server waits for the rest of a frame.
const REST_MAX: Duration = Duration::from_secs(25);
/// The same during the run, where what is not gone yet goes later.
pub const SHORT_REST_MAX: Duration = Duration::from_secs(2);

/// Why a documented code is not brought about by this fuzzer; `None`: it is.
pub fn why_out_of_reach(command: Command, code: Code) -> Option<&'static str> {
    match (command, code) {
        (Command::Login, Code::TokenExpired) => Some("tokens hold for an hour at least"),
        (Command::FriendHandle, Code::TooLarge) => Some("it takes 5,000 friends"),
        (Command::PresenceSubscribe, Code::Busy) => Some("it takes a million subscriptions"),
        (Command::Login | Command::Register | Command::ChangePassword, Code::Busy) => None,
        (_, Code::Busy) => Some("it takes a store that does not keep up"),
        (Command::Register, Code::RateLimited) => Some("not from the server's own machine"),
        (Command::Login, Code::Unavailable) => None,
        (_, Code::Unavailable) => Some("it takes a store that fails"),
        (Command::Logout | Command::RefreshToken, Code::RateLimited) => {
            Some("what belongs to a session is not counted")
        }
        (Command::GroupHandleJoin | Command::ConversationUpdate, Code::TooLarge) => {
            Some("it takes a run of 5 minutes")
        }
        (Command::Block, Code::TooLarge) => Some("it takes a run of 5 minutes, and --tokens"),
        _ => None,
    }
}

/// Runs, and says what came of it.
pub fn run(options: &Options) -> Result<Report, OptionsError> {
    let target = options.stream()?;
    let link = options.datagrams()?;
    let storm = link.map(|address| Storm::new(address, options.seed)).transpose()?;
    let Some(target) = target else {
        return crate::datagrams::run_alone(options, &mut storm.ok_or(OptionsError::NoTarget)?);
    };
    let replayed = options.replay.as_deref().map(read_finding).transpose()?;
    let name = target.name.clone();
    let world = match World::new(target) {
        Ok(world) => world,
        Err(Trouble::Unreachable(why)) => {
            return Ok(empty(options, name, Verdict::Unreachable(why)));
        }
        Err(trouble) => {
            let why = trouble.to_string();
            return Ok(empty(options, name, Verdict::Inconclusive(why)));
        }
    };
    let mut campaign = Campaign::new(options, world, storm)?;
    match replayed {
        Some(finding) => campaign.replay(&finding),
        None => campaign.run(),
    }
    Ok(campaign.end(name))
}

/// A report of a run that did not begin.
pub(crate) fn empty(options: &Options, target: String, verdict: Verdict) -> Report {
    Report {
        verdict,
        seed: options.seed,
        target,
        cases: 0,
        datagrams: (0, 0),
        seconds: 0.0,
        findings: Vec::new(),
        notes: Vec::new(),
        pair: pair::Report::default(),
        vitals: None,
        coverage: Coverage::default(),
        corpus: Vec::new(),
    }
}

pub(crate) fn read_finding(path: &std::path::Path) -> Result<Finding, OptionsError> {
    let wrong = |what: String| OptionsError::File(path.to_owned(), what);
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
}

/// See the file's first line.
pub(crate) struct Campaign<'o> {
    pub options: &'o Options,
    pub world: World,
    pub process: Process,
    pub findings: Vec<Finding>,
    pub notes: Vec<String>,
    pub started: Instant,
    table: Table,
    pub coverage: Coverage,
    corpus: Vec<(u64, Case)>,
    pub recent: VecDeque<(u64, Case)>,
    pub pair: Option<Pair>,
    pairs: pair::Report,
    pub storm: Option<Storm>,
    /// At rest, when the recipes were done.
    pub baseline: Option<Vitals>,
    pub growth_allowed_bytes: u64,
    pub started_at: Option<f64>,
    pub played: u64,
    pub troubles: u32,
    pub stopped: Option<Verdict>,
    pub checked: Instant,
    end_of_play: Option<Instant>,
}

impl<'o> Campaign<'o> {
    fn new(
        options: &'o Options,
        mut world: World,
        storm: Option<Storm>,
    ) -> Result<Self, OptionsError> {
        if let Some(path) = &options.crowd {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| OptionsError::File(path.clone(), error.to_string()))?;
            let ids = text.lines().filter_map(|line| line.split('\t').next()?.parse::<u64>().ok());
            world.crowd.extend(ids);
        }
        let process = Process::new(options.watch.clone());
        let vitals = process.vitals();
        let mut notes = Vec::new();
        if !process.is_watched() {
            notes.push(
                "memory, descriptors and threads are not judged without --pid or --admin".into(),
            );
        }
        let mut campaign = Self {
            options,
            world,
            process,
            findings: Vec::new(),
            notes,
            started: Instant::now(),
            table: Table::default(),
            coverage: Coverage::default(),
            corpus: Vec::new(),
            recent: VecDeque::new(),
            pair: None,
            pairs: pair::Report::default(),
            storm,
            baseline: vitals,
            growth_allowed_bytes: options.memory_growth_bytes,
            started_at: vitals.map(|vitals| vitals.started),
            played: 0,
            troubles: 0,
            stopped: None,
            checked: Instant::now(),
            end_of_play: None,
        };
        if campaign.process.is_watched() && vitals.is_none() {
            let why = "the process cannot be seen: is --pid or --admin right?";
            campaign.stopped = Some(Verdict::Inconclusive(why.into()));
        }
        campaign.start_pair();
        Ok(campaign)
    }

    /// Begins a pair, after the last one's report was added up.
    pub fn start_pair(&mut self) {
        if let Some(pair) = self.pair.take() {
            self.add_pair(pair.finish(), false);
        }
        let names = [self.world.fresh_name(), self.world.fresh_name()];
        self.pair = Some(Pair::start(self.world.target.clone(), names, self.options.bound));
    }

    fn add_pair(&mut self, report: pair::Report, counts: bool) {
        self.pairs.rounds += report.rounds;
        self.pairs.slowest = self.pairs.slowest.max(report.slowest);
        if let Some(problem) = report.problem.filter(|_| counts) {
            self.keep(&problem, None, self.played);
        }
    }

    fn run(&mut self) {
        let recipes = recipes::all(&self.table);
        let count = recipes.len() as u64;
        if let Some(number) = self.options.case {
            let case = match recipes.get(number as usize) {
                Some(case) => Some(case.clone()),
                None => self.case_again(number),
            };
            match case {
                Some(case) => self.play_and_judge(number, &case),
                None => {
                    let why = format!("case {number} is made from one that --report DIR must hold");
                    self.stopped = Some(Verdict::Inconclusive(why));
                }
            }
            return;
        }
        let deadline = self.started + self.options.time;
        let mut random = FIRST_RANDOM;
        for (number, case) in recipes.iter().enumerate() {
            if self.is_over(deadline) {
                break;
            }
            let is_long = self.options.time >= SLOW_RUN || !case.slow;
            if is_long && case.crowd <= self.world.crowd.len() {
                self.play_and_judge(number as u64, case);
                self.play_random(&mut random, RANDOM_BETWEEN, deadline);
            }
        }
        for (number, case) in (count..).zip(recipes::floods(&self.table)) {
            // Most servers do not limit their own machine: the first one shows it.
            let is_limited = number == count || self.coverage.has_code(Code::RateLimited);
            if self.is_over(deadline) || !is_limited {
                break;
            }
            self.play_and_judge(number, &case);
        }
        if !self.is_over(deadline) {
            self.rush();
        }
        self.baseline = self.rest(SHORT_REST_MAX).or(self.baseline);
        (self.options.say)(&format!("{count} recipes done, {} cells seen", self.coverage.len()));
        self.play_random(&mut random, u64::MAX, deadline);
        self.end_of_play = Some(Instant::now());
    }

    /// So many cases at random, each with a burst of datagrams where they are wanted.
    fn play_random(&mut self, number: &mut u64, count: u64, deadline: Instant) {
        for _ in 0..count {
            if self.is_over(deadline) {
                return;
            }
            let case = self.next_case(*number);
            self.play_and_judge(*number, &case);
            let burst = self.storm.as_mut().and_then(|storm| storm.burst(*number));
            if let Some((problem, datagrams)) = burst {
                self.keep_datagrams(&problem, *number, datagrams);
            }
            *number += 1;
        }
    }

    fn is_over(&self, deadline: Instant) -> bool {
        self.stopped.is_some()
            || Instant::now() >= deadline
            || self.findings.len() >= self.options.findings_max
    }

    /// Every other case is new, the others are made from those that were worth keeping.
    fn next_case(&self, number: u64) -> Case {
        let mut rng = generate::rng_of(self.options.seed, number);
        if number.is_multiple_of(2) || self.corpus.is_empty() {
            return generate::case(&self.table, &mut rng);
        }
        mutant(&mut rng, &self.corpus)
    }

    /// A case of an earlier run.
    fn case_again(&self, number: u64) -> Option<Case> {
        let mut rng = generate::rng_of(self.options.seed, number);
        if number.is_multiple_of(2) {
            return Some(generate::case(&self.table, &mut rng));
        }
        let text =
            std::fs::read_to_string(self.options.report.as_ref()?.join("corpus.jsonl")).ok()?;
        let kept = text.lines().filter_map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).ok()?;
            let case = serde_json::from_value(value.get("case")?.clone()).ok()?;
            Some((value.get("number")?.as_u64()?, case))
        });
        let kept: Vec<(u64, Case)> = kept.filter(|(kept_at, _)| *kept_at < number).collect();
        (!kept.is_empty()).then(|| mutant(&mut rng, &kept))
    }

    /// So many logins and registrations at once that the server has to put some off.
    fn rush(&mut self) {
        match rush::rush(&mut self.world) {
            Ok(seen) => self.take(self.played, None, seen),
            Err(trouble) => self.handle_trouble(&trouble, self.played),
        }
    }

    fn play_and_judge(&mut self, number: u64, case: &Case) {
        self.played += 1;
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((number, case.clone()));
        match play(&mut self.world, case) {
            Ok(seen) => {
                self.troubles = 0;
                self.take(number, Some(case), seen);
            }
            Err(trouble) => self.handle_trouble(&trouble, number),
        }
        if self.checked.elapsed() > CHECKPOINT && self.stopped.is_none() {
            self.checkpoint(number);
        }
    }

    /// What a case brought.
    fn take(&mut self, number: u64, case: Option<&Case>, seen: Seen) {
        let mut is_new = false;
        for cell in seen.cells {
            is_new |= self.coverage.add(cell);
        }
        if let Some(case) = case.filter(|_| is_new && self.corpus.len() < CORPUS_MAX) {
            self.corpus.push((number, case.clone()));
        }
        if let Some(case) = case.filter(|_| !seen.missed.is_empty()) {
            let missed = seen.missed.join("; ");
            if !case.title.starts_with("mutated") {
                self.notes.push(format!("recipe \"{}\": {missed}", case.title));
            }
        }
        // A process that dies closes connections too, and that is no finding of its own.
        let is_closed = |problem: &Problem| problem.kind == Kind::ClosedWithoutReason;
        if seen.problems.iter().any(is_closed) {
            std::thread::sleep(DYING);
            let panic = self.process.panic_in_log();
            if let Some(problem) = self.death(panic.as_ref()) {
                return self.handle_death(problem, number);
            }
        }
        for problem in seen.problems {
            self.keep(&problem, case, number);
        }
    }

    /// The end of a run: everything comes to rest, and the verdict is made.
    fn end(mut self, target: String) -> Report {
        let seconds = self.end_of_play.unwrap_or_else(Instant::now) - self.started;
        if let Some(problem) = self.process.panic_in_log() {
            self.keep(&problem, None, self.played);
        }
        let after = self.rest(REST_MAX);
        let vitals = self.baseline.zip(after);
        if let Some((before, after)) = vitals.filter(|_| self.stopped.is_none()) {
            for problem in leak::left_over(&before, &after) {
                self.keep(&problem, None, self.played);
            }
        }
        let was_killed = self.findings.iter().any(|finding| finding.kind == Kind::Died);
        if let Some(pair) = self.pair.take() {
            self.add_pair(pair.finish(), !was_killed);
        }
        let verdict = match self.stopped.take() {
            _ if !self.findings.is_empty() => Verdict::Found,
            Some(verdict) => verdict,
            None if self.pairs.rounds == 0 => {
                Verdict::Inconclusive("the pair did not begin".into())
            }
            None if self.process.is_watched() && vitals.is_none() => {
                Verdict::Inconclusive("the process could not be seen at the end".into())
            }
            None => Verdict::Clean,
        };
        let datagrams = self.storm.as_ref().map_or((0, 0), Storm::counts);
        Report {
            cases: self.played,
            datagrams,
            seconds: seconds.as_secs_f64(),
            findings: self.findings,
            notes: self.notes,
            pair: self.pairs,
            vitals,
            coverage: self.coverage,
            corpus: self.corpus,
            ..empty(self.options, target, verdict)
        }
    }

    pub(crate) fn last_cases(&self, count: usize) -> Vec<(u64, Case)> {
        self.recent.iter().rev().take(count).cloned().collect()
    }
}

fn mutant(rng: &mut Rng, corpus: &[(u64, Case)]) -> Case {
    let mut pick = || rng.below(corpus.len() as u64) as usize;
    let (parent, other) = (pick(), pick());
    mutate::case(rng, &corpus[parent].1, &corpus[other].1)
}
