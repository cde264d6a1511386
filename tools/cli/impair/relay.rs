//! The loop of a relay: waits, applies what is due, moves traffic between sockets and links, says
//! what it did. Knows no kind of socket: a `Relay` does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use mio::{Events, Poll, Registry, Token};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::commands::{Command, Commands};
use super::report::Report;
use super::settings::{Cut, Kind, Words};
use super::timeline::Timeline;
use super::ways::{Arrival, Ways};
use crate::alarm::Alarm;

/// Events taken per turn.
const EVENTS_PER_TURN_MAX: usize = 256;
/// A signal that arrives just before the poll is noticed after this time. ns
const SIGNAL_CHECK_NS: u64 = 100_000_000;
/// The tokens of the timer and of standard input; relays use lower ones.
const TIMER: Token = Token(usize::MAX);
const COMMANDS: Token = Token(usize::MAX - 2);

/// The sockets of a relay.
pub trait Relay {
    /// Something can be done with a socket.
    fn handle_event(&mut self, token: Token);
    /// Reads what can be read, up to a budget.
    fn receive(&mut self, registry: &Registry, ways: &mut Ways, now_ns: u64) -> io::Result<()>;
    /// Whether there is something to do without waiting for an event.
    fn has_more(&self) -> bool;
    /// Something has passed its link.
    fn deliver(&mut self, ways: &mut Ways, arrival: Arrival, now_ns: u64);
    /// The settings have changed.
    fn handle_change(&mut self, ways: &mut Ways, cuts: &[Cut]);
}

/// When a relay ends and what it says.
pub struct Run {
    /// Steps to come.
    pub timeline: Timeline,
    /// Whether settings come by standard input as well, whose end is the relay's.
    pub has_commands: bool,
    /// What the settings are for.
    pub kind: Kind,
    /// After this time; without it, at a signal only. ns
    pub end_ns: Option<u64>,
    /// Counts are printed this often, besides at the end. ns
    pub every_ns: Option<u64>,
    /// Where to.
    pub report: Report,
}

/// Runs until the time is over or SIGINT or SIGTERM arrives.
pub fn run(mut run: Run, mut ways: Ways, mut poll: Poll, relay: &mut impl Relay) -> Result<()> {
    let is_ending = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, is_ending.clone()).context("cannot handle signals")?;
    }
    let registry = poll.registry();
    let mut alarm = Alarm::new(registry, TIMER).context("cannot create a timer")?;
    let read = || Commands::read(registry, COMMANDS).context("cannot read commands");
    let commands = if run.has_commands { Some(read()?) } else { None };
    let mut events = Events::with_capacity(EVENTS_PER_TURN_MAX);
    let start = Instant::now();
    let mut report_at_ns = run.every_ns;
    relay.handle_change(&mut ways, &[]);
    loop {
        let now_ns = start.elapsed().as_nanos() as u64;
        while let Some(words) = run.timeline.poll(now_ns) {
            apply(&run.report, &mut ways, relay, &words, now_ns)?;
        }
        let is_input_over = match &commands {
            Some(commands) => obey(commands, &run, &mut ways, relay, now_ns)?,
            None => false,
        };
        let is_over = run.end_ns.is_some_and(|end_ns| now_ns >= end_ns);
        let is_signalled = is_ending.load(Ordering::Relaxed);
        let endings = [(is_over, "time"), (is_signalled, "signal"), (is_input_over, "input")];
        if let Some((_, reason)) = endings.iter().find(|(is_so, _)| *is_so) {
            return Ok(run.report.end(now_ns, reason, &mut ways)?);
        }
        if let (Some(at_ns), Some(every_ns)) = (report_at_ns, run.every_ns)
            && now_ns >= at_ns
        {
            run.report.counts(now_ns, &mut ways)?;
            report_at_ns = Some(now_ns + every_ns);
        }
        let due = [run.end_ns, report_at_ns, run.timeline.next_at_ns(), ways.next_at_ns()];
        let first_ns = due.into_iter().flatten().min().unwrap_or(u64::MAX);
        let wake_ns =
            if relay.has_more() { now_ns } else { first_ns.min(now_ns + SIGNAL_CHECK_NS) };
        let timeout = alarm.set(now_ns, wake_ns).context("timer")?;
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.context("poll")?,
        }
        for event in &events {
            match event.token() {
                TIMER => alarm.handle_event(),
                COMMANDS => {}
                token => relay.handle_event(token),
            }
        }
        let now_ns = start.elapsed().as_nanos() as u64;
        relay.receive(poll.registry(), &mut ways, now_ns)?;
        while let Some(arrival) = ways.poll(now_ns) {
            relay.deliver(&mut ways, arrival, now_ns);
        }
    }
}

fn apply(
    report: &Report,
    ways: &mut Ways,
    relay: &mut impl Relay,
    words: &Words,
    now_ns: u64,
) -> Result<()> {
    let cuts = ways.apply(words)?;
    relay.handle_change(ways, &cuts);
    Ok(report.set(now_ns, words.text())?)
}

/// Applies what was read; whether the input is over.
fn obey(
    commands: &Commands,
    run: &Run,
    ways: &mut Ways,
    relay: &mut impl Relay,
    now_ns: u64,
) -> Result<bool> {
    loop {
        match commands.poll() {
            Command::Nothing => return Ok(false),
            Command::End => return Ok(true),
            Command::Words(line) => match Words::parse(&line, run.kind) {
                Ok(words) => apply(&run.report, ways, relay, &words, now_ns)?,
                Err(reason) => run.report.refuse(now_ns, &reason)?,
            },
        }
    }
}
