//! `aldis bench flood`: thousands of attackers from many addresses, for as long as it is told. Says what
//! they did and what they got; whether others were served is measured beside it, by `aldis bench chat`.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use aldis_wire::limits::BODY_BYTES_MAX;
use aldis_wire::{Code, HEADER_LEN, parse_frame};
use anyhow::{Context, Result};
use clap::ValueEnum;
use mio::{Events, Interest, Poll, Token};
use serde::Serialize;

use super::args::{FloodArgs, make_room_for, require, resolve};
use super::attacker::{Attacker, Heard, Kind};
use super::tokens::{self, User};
use crate::exit::usage;

/// Events taken per turn; attackers whose time has come wait for them.
const EVENTS_PER_TURN_MAX: usize = 1_024;
/// Attackers that act between two looks at the events.
const ACTS_PER_TURN_MAX: usize = 256;
/// Bytes read of one connection at a time. Answers to attackers are short.
const READ_BYTES: usize = 4 << 10;
/// The second byte of the first attackers' addresses: 127.64.x.1, which nothing else here takes.
const FIRST_ADDRESS: u8 = 64;
/// More than there could be attackers.
const ADDRESSES_MAX: usize = 20_000;

/// What attackers of one kind did and what they got. Names of the fields are the JSON interface.
#[derive(Default, Serialize)]
pub(super) struct Tally {
    attackers: usize,
    /// Connections that were begun.
    connections: u64,
    /// Of them, those that could not be begun.
    not_connected: u64,
    /// Of them, those that the server ended.
    ended_by_server: u64,
    /// Times that the server took bytes.
    acts: u64,
    bytes_sent: u64,
    /// Answers by code.
    answers: BTreeMap<&'static str, u64>,
}

/// What a run says.
#[derive(Serialize)]
pub(super) struct FloodReport {
    load: &'static str,
    seconds: f64,
    addresses: usize,
    kinds: BTreeMap<Kind, Tally>,
}

struct Flood {
    attackers: Vec<Attacker>,
    /// When each acts next: all wait equally long, so that the first is always the next.
    due: VecDeque<(Instant, usize)>,
    every: Duration,
    poll: Poll,
    tallies: BTreeMap<Kind, Tally>,
}

impl Flood {
    /// Attackers take kinds in turn, and addresses in turn.
    fn new(args: &FloodArgs, server: SocketAddr, users: &[User]) -> Result<Self> {
        let kinds = args.kinds();
        let every = Duration::from_millis(args.every_ms);
        let mut tallies = BTreeMap::<Kind, Tally>::new();
        let mut due = VecDeque::new();
        let mut attackers = Vec::new();
        let start = Instant::now();
        for (number, user) in users.iter().enumerate() {
            let kind = kinds[number % kinds.len()];
            let source = source_address(server, number / kinds.len() % args.addresses);
            attackers.push(Attacker::new(kind, server, source, user));
            tallies.entry(kind).or_default().attackers += 1;
            // Evenly over the time between two acts, as those of a crowd would be.
            let share = number as f64 / users.len() as f64;
            due.push_back((start + every.mul_f64(share), number));
        }
        let poll = Poll::new().context("cannot create a poll")?;
        Ok(Self { attackers, due, every, poll, tallies })
    }

    fn run(mut self, length: Duration) -> Result<BTreeMap<Kind, Tally>> {
        let end = Instant::now() + length;
        let mut events = Events::with_capacity(EVENTS_PER_TURN_MAX);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(self.tallies);
            }
            self.act(now)?;
            let next = self.due.front().map_or(end, |(at, _)| (*at).min(end));
            let timeout = next.saturating_duration_since(Instant::now());
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error).context("poll");
                }
                _ => {}
            }
            for event in &events {
                self.hear(event.token().0, &mut buffer);
            }
        }
    }

    /// Lets those act whose time has come.
    fn act(&mut self, now: Instant) -> Result<()> {
        for _ in 0..ACTS_PER_TURN_MAX {
            let Some((at, number)) = self.due.pop_front_if(|(at, _)| *at <= now) else { break };
            // An attacker that is late does not make up for it.
            self.due.push_back(((at + self.every).max(now), number));
            let attacker = &mut self.attackers[number];
            let tally = self.tallies.entry(attacker.kind).or_default();
            if attacker.socket_mut().is_none() {
                tally.connections += 1;
                if attacker.connect().is_err() {
                    tally.not_connected += 1;
                    continue;
                }
                if attacker.kind != Kind::NeverReads
                    && let Some(socket) = attacker.socket_mut()
                {
                    self.poll.registry().register(socket, Token(number), Interest::READABLE)?;
                }
            }
            match attacker.act() {
                Ok(0) => {}
                Ok(len) => {
                    tally.acts += 1;
                    tally.bytes_sent += len as u64;
                }
                Err(_) => {
                    tally.ended_by_server += 1;
                    attacker.hang_up();
                }
            }
        }
        Ok(())
    }

    /// Reads what the server answers, to the end: the poll does not say it again.
    fn hear(&mut self, number: usize, buffer: &mut [u8]) {
        let attacker = &mut self.attackers[number];
        let tally = self.tallies.entry(attacker.kind).or_default();
        loop {
            match attacker.hear(buffer) {
                Heard::Bytes(len) => count_answers(&buffer[..len], &mut tally.answers),
                Heard::Nothing => return,
                Heard::Closed => {
                    tally.ended_by_server += 1;
                    return attacker.hang_up();
                }
            }
        }
    }
}

/// Counts the frames that are whole in these bytes: answers to attackers are short, hardly one is cut.
fn count_answers(mut bytes: &[u8], answers: &mut BTreeMap<&'static str, u64>) {
    while let Ok(Some(frame)) = parse_frame(bytes, BODY_BYTES_MAX) {
        let code = Code::from_u16(frame.header.code).map_or("unknown", Code::name);
        *answers.entry(code).or_default() += 1;
        bytes = &bytes[HEADER_LEN + frame.body.len()..];
    }
}

/// One of many addresses of the loopback network, where the server is on it.
fn source_address(server: SocketAddr, number: usize) -> Option<IpAddr> {
    let IpAddr::V4(address) = server.ip() else { return None };
    let [high, low] = u16::try_from(number).ok()?.to_be_bytes();
    let source = Ipv4Addr::new(127, FIRST_ADDRESS.wrapping_add(high), low, 1);
    address.is_loopback().then_some(IpAddr::V4(source))
}

impl FloodReport {
    /// As JSON, or as a table.
    fn print(&self, as_json: bool) -> Result<()> {
        if as_json {
            println!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        println!(
            "{:<12} {:>9} {:>11} {:>9} {:>9} {:>9}  answers",
            "kind", "attackers", "connections", "ended", "acts", "MiB"
        );
        for (kind, tally) in &self.kinds {
            let answers: Vec<String> =
                tally.answers.iter().map(|(code, count)| format!("{code} {count}")).collect();
            println!(
                "{:<12} {:>9} {:>11} {:>9} {:>9} {:>9.1}  {}",
                kind.to_possible_value()
                    .map_or_else(String::new, |value| value.get_name().to_owned()),
                tally.attackers,
                tally.connections,
                tally.ended_by_server,
                tally.acts,
                tally.bytes_sent as f64 / f64::from(1 << 20),
                answers.join(", ")
            );
        }
        Ok(())
    }
}

/// Attacks, and prints what came of it.
pub(super) fn run(args: &FloodArgs) -> Result<()> {
    require(args.attackers > 0, || "--attackers must be above 0".to_owned())?;
    require((1..=ADDRESSES_MAX).contains(&args.addresses), || {
        format!("--addresses is 1 to {ADDRESSES_MAX}")
    })?;
    require(args.every_ms > 0, || "--every-ms must be above 0".to_owned())?;
    let server = resolve("--server", &args.server)?;
    require(args.force || is_ours(server.ip()), || {
        format!(
            "{} is no loopback or private address: floods are for servers of your own (--force)",
            server.ip()
        )
    })?;
    let length = Duration::try_from_secs_f64(args.seconds)
        .map_err(|error| usage(format!("--seconds {}: {error}", args.seconds)))?;
    make_room_for(args.attackers)?;
    let users = tokens::read(&args.tokens, args.attackers)?;
    let kinds = Flood::new(args, server, &users)?.run(length)?;
    let report =
        FloodReport { load: "flood", seconds: args.seconds, addresses: args.addresses, kinds };
    report.print(args.json)
}

/// Loopback, or a network that is nobody else's.
fn is_ours(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_private() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use aldis_wire::{Command, OutFrame, pb};

    use super::*;

    #[test]
    fn attackers_come_from_addresses_that_no_other_tool_takes() {
        let server = "127.0.0.1:7700".parse().unwrap();
        assert_eq!(source_address(server, 0), Some("127.64.0.1".parse().unwrap()));
        assert_eq!(source_address(server, 999), Some("127.67.231.1".parse().unwrap()));
        assert_eq!(source_address("10.0.0.1:7700".parse().unwrap(), 0), None);
    }

    #[test]
    fn answers_are_counted_by_code() {
        let frame = |code| {
            OutFrame::encode(Command::LoginResp.id(), code, 1, &pb::Error::default()).to_vec()
        };
        let bytes = [frame(Code::Busy), frame(Code::Busy), frame(Code::BadCredentials)].concat();
        let mut answers = BTreeMap::new();
        count_answers(&bytes[..bytes.len() - 1], &mut answers);
        assert_eq!(answers, BTreeMap::from([("BUSY", 2)]));
    }

    #[test]
    fn only_ones_own_servers_are_flooded() {
        assert!(
            ["127.0.0.1", "10.1.1.1", "::1", "fd00::1"]
                .iter()
                .all(|ip| is_ours(ip.parse().unwrap()))
        );
        assert!(!["8.8.8.8", "2001:db8::1"].iter().any(|ip| is_ours(ip.parse().unwrap())));
    }
}
