//! A run: recipes first, then cases at random until the time is over; what the oracles say becomes a
//! finding with the smallest case that shows it. Decides the verdict.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aldis_wire::Code;

use crate::again::Again;
use crate::case::Case;
use crate::conn::Seen;
use crate::corpus::Corpus;
use crate::coverage::{Answer, Coverage};
use crate::datagrams::Storm;
use crate::finding::{Finding, Kind, Problem};
use crate::means::Means;
use crate::options::{Options, OptionsError};
use crate::pair::{self, Pair};
use crate::play::play;
use crate::process::{Process, Vitals};
use crate::report::{Report, Verdict};
use crate::table::Table;
use crate::world::{Trouble, World};
use crate::{generate, leak, recipes};

/// Numbers of cases at random begin here; those below are of recipes.
const FIRST_RANDOM: u64 = 1_000;
/// From the first sign that a process dies until all can see it.
const DYING: Duration = Duration::from_millis(100);
/// Cases at random between two recipes: those that come late must not wait for all of the others.
const RANDOM_BETWEEN: u64 = 6;
/// Times that a recipe is tried.
const RECIPE_TRIES: u32 = 3;
/// Between two looks at memory and log.
const CHECKPOINT: Duration = Duration::from_secs(4);
/// Cases since the last look among which the one that leaks is searched.
pub const RECENT_MAX: usize = 500;
/// Descriptors and threads that may come besides before it is looked into.
const DESCRIPTORS_GROWTH: u64 = 24;
const THREADS_GROWTH: u64 = 4;
/// Time for connections to be gone: longer than the server waits for the rest of a frame.
pub const REST_MAX: Duration = Duration::from_secs(25);
/// The same during the run, where what is not gone yet goes later.
pub const SHORT_REST_MAX: Duration = Duration::from_secs(2);

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
        corpus: Corpus::default(),
        means: Means::default(),
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
    corpus: Corpus,
    pub means: Means,
    /// The number of the next case at random.
    random: u64,
    pub recent: VecDeque<(u64, Case)>,
    pub pair: Option<Pair>,
    pairs: pair::Report,
    pub storm: Option<Storm>,
    /// At rest, when the recipes were done.
    pub baseline: Option<Vitals>,
    /// More than at the baseline of each, by `Held`, before it is looked into.
    pub growth_allowed: [u64; 3],
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
        let means = options.equip(&mut world)?;
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
            corpus: Corpus::default(),
            means,
            random: FIRST_RANDOM,
            recent: VecDeque::new(),
            pair: None,
            pairs: pair::Report::default(),
            storm,
            baseline: vitals,
            growth_allowed: [options.memory_growth_bytes, DESCRIPTORS_GROWTH, THREADS_GROWTH],
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
        campaign.baseline = campaign.process.vitals();
        Ok(campaign)
    }

    /// Begins a pair, after the last one's report was added up.
    pub fn start_pair(&mut self) {
        if let Some(pair) = self.pair.take() {
            self.add_pair(pair.finish(), false);
        }
        let names = [self.world.fresh_name(), self.world.fresh_name()];
        let pair = Pair::start(self.world.target.clone(), names, self.options.bound);
        // Its connections are part of what the server holds.
        pair.wait_begun();
        self.pair = Some(pair);
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
                Some(case) => Ok(case.clone()),
                None => self.case_again(number),
            };
            match case {
                Ok(case) => {
                    let text = serde_json::to_string(&case).expect("a case is a file, too");
                    (self.options.say)(&format!("case {number}: {text}"));
                    self.play_and_judge(number, &case);
                }
                Err(why) => self.stopped = Some(Verdict::Inconclusive(why)),
            }
            return;
        }
        let deadline = self.started + self.options.time;
        self.play_recipes(&recipes, false, deadline);
        for (number, case) in (count..).zip(recipes::floods(&self.table)) {
            // Most servers do not limit their own machine: the first one shows it.
            if self.is_over(deadline) || number > count && !self.means.is_limited {
                break;
            }
            self.play_and_judge(number, &case);
            self.means.is_limited = self.coverage.has_code(Code::RateLimited);
        }
        if !self.is_over(deadline) {
            self.rush();
        }
        // What takes minutes must not keep anything else from being played.
        self.play_recipes(&recipes, true, deadline);
        self.baseline = self.rest().or(self.baseline);
        (self.options.say)(&format!("{count} recipes done, {} cells seen", self.coverage.len()));
        let mut again = Again::new();
        while !self.is_over(deadline) && !self.is_enough() {
            self.play_random(1, deadline);
            if again.is_due() {
                self.play_again(&recipes, deadline);
            }
        }
        self.end_of_play = Some(Instant::now());
    }

    /// The recipes that are slow, or those that are not, with cases at random among them.
    fn play_recipes(&mut self, recipes: &[Case], is_slow: bool, deadline: Instant) {
        for (number, case) in (0..).zip(recipes) {
            if case.slow == is_slow && self.means.allow(case) && !self.is_over(deadline) {
                self.play_recipe(number, case);
                self.play_random(RANDOM_BETWEEN, deadline);
            }
        }
    }

    /// A recipe; nobody else is there while it stops the store.
    pub(crate) fn play_recipe(&mut self, number: u64, case: &Case) {
        if case.stops_store()
            && let Some(pair) = self.pair.take()
        {
            self.add_pair(pair.finish(), true);
        }
        // There is one of each, and a server that was busy a moment ago may not have let it begin.
        for _ in 0..RECIPE_TRIES {
            self.play_and_judge(number, case);
            if self.troubles == 0 || self.stopped.is_some() {
                break;
            }
        }
        if self.pair.is_none() {
            self.start_pair();
        }
    }

    /// So many cases at random, each with a burst of datagrams where they are wanted.
    fn play_random(&mut self, count: u64, deadline: Instant) {
        for _ in 0..count {
            if self.is_over(deadline) {
                return;
            }
            let number = self.random;
            self.random += 1;
            let case = self.next_case(number);
            self.play_and_judge(number, &case);
            let burst = self.storm.as_mut().and_then(|storm| storm.burst(number));
            if let Some((problem, datagrams)) = burst {
                self.keep_datagrams(&problem, number, datagrams);
            }
        }
    }

    pub(crate) fn is_over(&self, deadline: Instant) -> bool {
        self.stopped.is_some()
            || Instant::now() >= deadline
            || self.findings.len() >= self.options.findings_max
    }

    /// Whether the run only goes on until all is reached that can be, and it is.
    fn is_enough(&self) -> bool {
        self.options.until_reached
            && self.coverage.missing().iter().all(|cell| match cell.answer {
                Answer::Code(code) => self.means.why_out_of_reach(cell.command, code).is_some(),
                Answer::Closed => false,
            })
    }

    /// Every other case is new, the others are made from those that were worth keeping.
    fn next_case(&self, number: u64) -> Case {
        let mut rng = generate::rng_of(self.options.seed, number);
        let mutant = if number.is_multiple_of(2) { None } else { self.corpus.mutant(&mut rng) };
        mutant.unwrap_or_else(|| generate::case(&self.table, &mut rng))
    }

    /// A case of an earlier run.
    fn case_again(&self, number: u64) -> Result<Case, String> {
        let mut rng = generate::rng_of(self.options.seed, number);
        if number.is_multiple_of(2) {
            return Ok(generate::case(&self.table, &mut rng));
        }
        let Some(dir) = &self.options.report else {
            return Err(format!("case {number} is made from others: --report DIR of that run"));
        };
        let path = dir.join("corpus.jsonl");
        let corpus = Corpus::read(&path, number);
        let corpus = corpus.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(corpus.mutant(&mut rng).unwrap_or_else(|| generate::case(&self.table, &mut rng)))
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
    pub(crate) fn take(&mut self, number: u64, case: Option<&Case>, seen: Seen) {
        let mut is_new = false;
        for cell in seen.cells {
            is_new |= self.coverage.add(cell);
        }
        if let Some(case) = case.filter(|_| is_new) {
            self.corpus.keep(number, self.random, case);
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
        let before = self.baseline;
        let vitals = before
            .and_then(|before| Some((before, leak::come_back(&self.process, &before, REST_MAX)?)));
        if let Some((before, after)) = vitals.filter(|_| self.stopped.is_none()) {
            for (_, problem) in leak::left_over(&before, &after) {
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
            means: self.means,
            ..empty(self.options, target, verdict)
        }
    }

    pub(crate) fn last_cases(&self, count: usize) -> Vec<(u64, Case)> {
        self.recent.iter().rev().take(count).cloned().collect()
    }
}
