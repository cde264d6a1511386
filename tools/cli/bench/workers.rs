//! Threads of the generator and the course of a run: set up, start together, warm up, measure,
//! drain. Samples the processes at the edges of the measured time. Knows no protocol.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::proc_stats::{cpu_time_us, pss_bytes};
use super::progress::{Bar, Progress};

/// How often the bar is drawn and the edges of the measured time are looked at.
const TICK: Duration = Duration::from_millis(200);
/// Between "all are ready" and the start, so that every thread knows before.
const START_DELAY: Duration = Duration::from_millis(20);

/// When load runs and when it counts, ns since the epoch of the process clock.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Load begins: the warm-up.
    pub start_ns: u64,
    /// From here on it counts.
    pub measure_ns: u64,
    /// Nothing new is sent from here on.
    pub end_ns: u64,
}

impl Window {
    /// Whether what happens at this time counts.
    pub fn measures(&self, at_ns: u64) -> bool {
        (self.measure_ns..self.end_ns).contains(&at_ns)
    }
}

/// How long a run takes and whom it observes.
#[derive(Clone, Debug)]
pub struct Course {
    /// Load that does not count yet.
    pub warmup: Duration,
    /// Load that counts.
    pub measured: Duration,
    /// The server's processes.
    pub server_pids: Vec<u32>,
    /// Sessions of all workers together.
    pub sessions: usize,
}

/// A worker's view of the run.
pub struct Gate {
    /// Zero of the process clock.
    pub epoch: Instant,
    /// What the bar shows.
    pub progress: Arc<Progress>,
    ready: Sender<bool>,
    go: Receiver<Window>,
}

impl Gate {
    /// Says that this worker is set up and waits until all are.
    pub fn wait_for_start(&self) -> Result<Window> {
        self.ready.send(true).ok().context("the run was given up")?;
        self.go.recv().context("another worker could not be set up")
    }
}

/// What a run gave.
pub struct Measured<O> {
    /// Of each worker.
    pub outputs: Vec<O>,
    /// Processor time of the servers within the measured time, microseconds.
    pub server_cpu_us: Option<u64>,
    /// Memory of the servers at its end, bytes.
    pub server_pss_bytes: Option<u64>,
    /// Processor time of this process within the measured time, microseconds.
    pub client_cpu_us: u64,
    /// Length of the measured time as it was.
    pub elapsed: Duration,
}

struct Sample {
    at: Instant,
    server_cpu_us: Option<u64>,
    client_cpu_us: u64,
}

impl Sample {
    fn take(server_pids: &[u32]) -> Result<Self> {
        let server_cpu_us = sum_of(server_pids, cpu_time_us)?;
        let client_cpu_us = cpu_time_us(std::process::id())?;
        Ok(Self { at: Instant::now(), server_cpu_us, client_cpu_us })
    }
}

/// A figure of all these processes together; nothing if there are none.
pub fn sum_of(pids: &[u32], figure: impl Fn(u32) -> Result<u64>) -> Result<Option<u64>> {
    let figures: Vec<u64> = pids.iter().map(|pid| figure(*pid)).collect::<Result<_>>()?;
    Ok((!figures.is_empty()).then(|| figures.iter().sum()))
}

/// Runs `body` once per part, each on a thread of its own.
pub fn run<P: Send, O: Send>(
    course: Course,
    parts: Vec<P>,
    body: impl Fn(P, &Gate) -> Result<O> + Sync,
) -> Result<Measured<O>> {
    let epoch = Instant::now();
    let progress = Arc::new(Progress::default());
    let (ready, readiness) = channel();
    std::thread::scope(|scope| {
        let mut starters = Vec::new();
        let mut threads = Vec::new();
        for (index, part) in parts.into_iter().enumerate() {
            let (starter, go) = channel();
            starters.push(starter);
            let gate = Gate { epoch, progress: progress.clone(), ready: ready.clone(), go };
            let body = &body;
            let thread = std::thread::Builder::new().name(format!("bench-{index}"));
            threads.push(thread.spawn_scoped(scope, move || {
                let output = body(part, &gate);
                if output.is_err() {
                    // The coordinator may be gone for another worker's failure.
                    let _ = gate.ready.send(false);
                }
                output
            })?);
        }
        let conductor = Conductor { course, epoch, progress: &progress };
        let samples = conductor.conduct(&readiness, starters);
        let outputs: Vec<Result<O>> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| bail!("a worker panicked")))
            .collect();
        finish(outputs, samples)
    })
}

fn finish<O>(
    outputs: Vec<Result<O>>,
    samples: Result<(Sample, Sample, Option<u64>)>,
) -> Result<Measured<O>> {
    // "Another worker could not be set up" explains nothing if that worker says why.
    let given_up = |error: &anyhow::Error| error.is::<std::sync::mpsc::RecvError>();
    let (good, mut bad): (Vec<_>, Vec<_>) = outputs.into_iter().partition(Result::is_ok);
    bad.sort_by_key(|output| output.as_ref().err().is_some_and(given_up));
    if let Some(Err(error)) = bad.into_iter().next() {
        return Err(error);
    }
    let (first, last, server_pss_bytes) = samples?;
    Ok(Measured {
        outputs: good.into_iter().flatten().collect(),
        server_cpu_us: last
            .server_cpu_us
            .zip(first.server_cpu_us)
            .map(|(b, a)| b.saturating_sub(a)),
        server_pss_bytes,
        client_cpu_us: last.client_cpu_us.saturating_sub(first.client_cpu_us),
        elapsed: last.at.duration_since(first.at),
    })
}

struct Conductor<'a> {
    course: Course,
    epoch: Instant,
    progress: &'a Progress,
}

impl Conductor<'_> {
    fn conduct(
        &self,
        readiness: &Receiver<bool>,
        starters: Vec<Sender<Window>>,
    ) -> Result<(Sample, Sample, Option<u64>)> {
        let mut bar = Bar::logging_in(self.course.sessions);
        let mut ready = 0;
        while ready < starters.len() {
            match readiness.recv_timeout(TICK) {
                Ok(true) => ready += 1,
                Ok(false) => bail!("a worker could not be set up"),
                Err(_) => bar.show_sessions(self.progress),
            }
        }
        let start = Instant::now() + START_DELAY;
        let measure = start + self.course.warmup;
        let end = measure + self.course.measured;
        let ns = |at: Instant| at.duration_since(self.epoch).as_nanos() as u64;
        let window = Window { start_ns: ns(start), measure_ns: ns(measure), end_ns: ns(end) };
        for starter in starters {
            starter.send(window).ok().context("a worker ended early")?;
        }
        bar.running(self.course.warmup + self.course.measured);
        self.wait_until(start, measure, &mut bar);
        let first = Sample::take(&self.course.server_pids)?;
        self.wait_until(start, end, &mut bar);
        let last = Sample::take(&self.course.server_pids)?;
        let pss = sum_of(&self.course.server_pids, pss_bytes)?;
        Ok((first, last, pss))
    }

    fn wait_until(&self, start: Instant, until: Instant, bar: &mut Bar) {
        let mut last = Instant::now();
        loop {
            let now = Instant::now();
            if now >= until {
                return;
            }
            bar.show_rate(self.progress, now.saturating_duration_since(start), now - last);
            last = now;
            std::thread::sleep(TICK.min(until - now));
        }
    }
}
