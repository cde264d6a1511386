//! Abuse of the link between nodes by somebody without its key: noise, damaged and repeated datagrams of
//! real handshakes and sessions, handshakes that almost succeed. Whatever comes, little may be answered.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use aldis_netsim::Rng;
use aldis_rudp::{NodeId, Time};

use crate::campaign::{empty, read_finding};
use crate::finding::{Finding, Kind, Problem};
use crate::generate::rng_of;
use crate::options::{Options, OptionsError};
use crate::parts::{from_hex, to_hex};
use crate::process::{Process, Vitals};
use crate::rehearsal::{captured, endpoint, mode, transmits};
use crate::report::{Report, Verdict};
use crate::values::pick;

/// Bytes that may be answered for each byte from an address that proved nothing.
const AMPLIFICATION_MAX: u64 = 3;
/// Datagrams of one burst.
const BURST_MAX: u64 = 40;
/// Sockets that are listened to for late answers.
const SOCKETS_MAX: usize = 16;
/// The largest payload of UDP over IPv4.
const DATAGRAM_BYTES_MAX: usize = 65_507;
/// Every so many bursts is a handshake with answers.
const HANDSHAKE_EVERY: u64 = 16;
/// Bursts between two looks at the process.
const LOOK_EVERY: u64 = 500;

/// See the file's first line.
#[derive(Debug)]
pub struct Storm {
    target: SocketAddr,
    seed: u64,
    captured: Vec<Vec<u8>>,
    sockets: VecDeque<Source>,
    sent: u64,
    answered_bytes: u64,
}

/// A stranger's socket and what went through it.
#[derive(Debug)]
struct Source {
    socket: UdpSocket,
    sent: Vec<Vec<u8>>,
    sent_bytes: u64,
    received_bytes: u64,
    /// It returned a cookie: the other side may say more.
    is_proven: bool,
}

impl Storm {
    /// Against the link at this address.
    pub fn new(target: SocketAddr, seed: u64) -> Result<Self, OptionsError> {
        let captured = [captured(true), captured(false)].concat();
        let sockets = VecDeque::new();
        Ok(Self { target, seed, captured, sockets, sent: 0, answered_bytes: 0 })
    }

    /// Datagrams sent, bytes answered.
    pub fn counts(&self) -> (u64, u64) {
        (self.sent, self.answered_bytes)
    }

    /// The burst of this number; a problem with the datagrams that showed it.
    pub fn burst(&mut self, number: u64) -> Option<(Problem, Vec<String>)> {
        let mut rng = rng_of(!self.seed, number);
        let source = Source::open(self.target, &mut rng)?;
        self.sockets.push_back(source);
        if number % HANDSHAKE_EVERY == 0 {
            self.shake_hands(&mut rng);
        } else {
            for _ in 0..1 + rng.below(BURST_MAX) {
                let datagram = self.datagram(&mut rng);
                self.send(datagram);
            }
        }
        let found = self.listen();
        if self.sockets.len() > SOCKETS_MAX {
            self.sockets.pop_front();
        }
        found
    }

    /// Sends these again; a problem if they show one.
    fn again(&mut self, datagrams: &[String]) -> Option<(Problem, Vec<String>)> {
        let source = Source::open(self.target, &mut rng_of(self.seed, 0))?;
        self.sockets.push_back(source);
        for datagram in datagrams.iter().filter_map(|text| from_hex(text)) {
            self.send(datagram);
        }
        std::thread::sleep(Duration::from_millis(100));
        self.listen()
    }

    fn send(&mut self, datagram: Vec<u8>) {
        let Some(source) = self.sockets.back_mut() else { return };
        // One that the kernel does not take (too long, a full buffer) was not sent.
        if source.socket.send(&datagram).is_ok() {
            self.sent += 1;
            source.sent_bytes += datagram.len() as u64;
            source.sent.push(datagram);
        }
    }

    /// One datagram of any kind.
    fn datagram(&self, rng: &mut Rng) -> Vec<u8> {
        let mut datagram = pick(rng, &self.captured).clone();
        match rng.below(12) {
            0 => (0..rng.below(1_400)).map(|_| rng.next_u64() as u8).collect(),
            // Noise behind what looks like a handshake.
            1 => {
                let mut noise = vec![0x41, 0x52, 1 | (rng.below(2) as u8) << 7, rng.below(6) as u8];
                noise.extend((0..rng.below(200)).map(|_| rng.next_u64() as u8));
                noise
            }
            2 => Vec::new(),
            3 => vec![
                rng.next_u64() as u8;
                *pick(rng, &[1, 1_200, 1_473, 9_000, DATAGRAM_BYTES_MAX])
            ],
            4 => {
                datagram.truncate(rng.below(datagram.len() as u64 + 1) as usize);
                datagram
            }
            // The head of one, the rest of another.
            5 => {
                let other = pick(rng, &self.captured);
                let at = rng.below(datagram.len().min(other.len()) as u64) as usize;
                [&datagram[..at], &other[at..]].concat()
            }
            6 => {
                datagram.extend((0..rng.below(300)).map(|_| rng.next_u64() as u8));
                datagram
            }
            7 => datagram,
            _ => {
                for _ in 0..1 + rng.below(4) {
                    let at = rng.below(datagram.len().max(1) as u64) as usize;
                    if let Some(byte) = datagram.get_mut(at) {
                        *byte ^= 1 << rng.below(8);
                    }
                }
                datagram
            }
        }
    }

    /// An endpoint of a stranger tries to connect; what it sends is doubled and damaged on the way.
    fn shake_hands(&mut self, rng: &mut Rng) {
        let (is_sealed, key) = (rng.chance(0.5), rng.next_u64() as u8);
        let mut end = endpoint(rng.below(1_024) as u16, mode(is_sealed, key), key);
        let to = NodeId(rng.below(4) as u16);
        let _ = end.connect(Time(0), to, self.target);
        for round in 0..4 {
            let now = Time(round * 50_000_000);
            if end.poll_timeout().is_some_and(|at| at <= now) {
                end.handle_timeout(now);
            }
            for datagram in transmits(&mut end, now) {
                if rng.chance(0.3) {
                    let mut damaged = datagram.clone();
                    let at = rng.below(damaged.len() as u64) as usize;
                    damaged[at] ^= 1 << rng.below(8);
                    self.send(damaged);
                }
                self.send(datagram);
            }
            std::thread::sleep(Duration::from_millis(1));
            let (target, Some(source)) = (self.target, self.sockets.back_mut()) else { return };
            let mut buffer = [0; DATAGRAM_BYTES_MAX];
            while let Ok(len) = source.socket.recv(&mut buffer) {
                source.received_bytes += len as u64;
                self.answered_bytes += len as u64;
                source.is_proven = true;
                end.handle_datagram(now, target, None, &mut buffer[..len]);
            }
            while end.poll_event().is_some() {}
        }
    }

    /// Reads what was answered to all sockets, and compares.
    fn listen(&mut self) -> Option<(Problem, Vec<String>)> {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        let mut found = None;
        for source in &mut self.sockets {
            while let Ok(len) = source.socket.recv(&mut buffer) {
                source.received_bytes += len as u64;
                self.answered_bytes += len as u64;
            }
            let (sent, received) = (source.sent_bytes, source.received_bytes);
            if !source.is_proven && received > AMPLIFICATION_MAX * sent {
                source.is_proven = true;
                let what = format!("{received} bytes were answered to {sent} of a stranger");
                let datagrams = source.sent.iter().map(|datagram| to_hex(datagram)).collect();
                found = Some((Problem::new(Kind::Amplified, "", what), datagrams));
            }
        }
        found
    }

    /// The datagrams of the last burst.
    fn last(&self) -> Vec<String> {
        let last = self.sockets.back().map(|source| &source.sent[..]).unwrap_or_default();
        last.iter().map(|datagram| to_hex(datagram)).collect()
    }
}

impl Source {
    /// From any port, on loopback from any address; `None` without a free one.
    fn open(target: SocketAddr, rng: &mut Rng) -> Option<Self> {
        let from: IpAddr = match target.ip() {
            IpAddr::V4(ip) if ip == Ipv4Addr::LOCALHOST => {
                IpAddr::from([127, 0, rng.below(250) as u8, 1 + rng.below(250) as u8])
            }
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((from, 0)).ok()?;
        socket.connect(target).ok()?;
        socket.set_nonblocking(true).ok()?;
        let (sent, is_proven) = (Vec::new(), false);
        Some(Self { socket, sent, sent_bytes: 0, received_bytes: 0, is_proven })
    }
}

/// Only the link, of a node whose clients are left alone.
pub fn run_alone(options: &Options, storm: &mut Storm) -> Result<Report, OptionsError> {
    let target = storm.target.to_string();
    let mut process = Process::new(options.watch.clone());
    let before = process.vitals();
    let can_tell = process.is_watched() || options.watch.log.is_some();
    if process.is_watched() && before.is_none() {
        let verdict = Verdict::Unreachable("the process cannot be seen".into());
        return Ok(empty(options, target, verdict));
    }
    let started = Instant::now();
    let mut report = empty(options, target, Verdict::Clean);
    let mut number = 0;
    if let Some(path) = &options.replay {
        let finding = read_finding(path)?;
        let found = storm.again(&finding.datagrams).map(|(problem, _)| problem);
        let found = found.or_else(|| look(&mut process, before.as_ref()));
        report.findings.extend(found.map(|_| finding));
    } else {
        while started.elapsed() < options.time && report.findings.len() < options.findings_max {
            let mut found = storm.burst(number);
            number += 1;
            if found.is_none() && number % LOOK_EVERY == 0 {
                let last = storm.last();
                found = look(&mut process, before.as_ref()).map(|problem| (problem, last));
            }
            let Some((problem, datagrams)) = found else { continue };
            let is_over = problem.kind == Kind::Died;
            let at_s = started.elapsed().as_secs_f64();
            report.findings.push(finding(options.seed, number, problem, datagrams, at_s));
            if is_over {
                break;
            }
        }
        let found = look(&mut process, before.as_ref());
        let at_s = started.elapsed().as_secs_f64();
        let found = found.map(|problem| finding(options.seed, number, problem, storm.last(), at_s));
        report.findings.extend(found.filter(|_| report.findings.is_empty()));
    }
    let after = process.vitals();
    report.vitals = before.zip(after);
    if let Some((before, after)) = report.vitals {
        report.notes.extend(grown(&before, &after, options.memory_growth_bytes));
    }
    report.seconds = started.elapsed().as_secs_f64();
    (report.cases, report.datagrams) = (number, storm.counts());
    report.verdict = match report.findings.is_empty() {
        false => Verdict::Found,
        true if !can_tell => {
            Verdict::Inconclusive("nothing tells whether the node lives: --pid".into())
        }
        true if report.datagrams.0 == 0 => Verdict::Inconclusive("nothing could be sent".into()),
        true => Verdict::Clean,
    };
    Ok(report)
}

fn finding(seed: u64, number: u64, problem: Problem, datagrams: Vec<String>, at_s: f64) -> Finding {
    Finding {
        seed,
        number,
        kind: problem.kind,
        about: problem.about,
        what: problem.what,
        at_s,
        count: 1,
        is_confirmed: false,
        case: None,
        datagrams,
    }
}

/// Whether the process lives, and its log says nothing of a panic.
fn look(process: &mut Process, before: Option<&Vitals>) -> Option<Problem> {
    let panic = process.panic_in_log();
    let now = process.vitals();
    let is_dead = now.map(|vitals| vitals.started) != before.map(|vitals| vitals.started);
    let about = panic.as_ref().map_or(String::new(), |panic| panic.about.clone());
    match (is_dead, panic) {
        (true, _) => Some(Problem::new(Kind::Died, about, "the node is gone")),
        (false, panic) => panic,
    }
}

fn grown(before: &Vitals, after: &Vitals, allowed_bytes: u64) -> Option<String> {
    let grown = after.memory_bytes.saturating_sub(before.memory_bytes);
    (grown > allowed_bytes).then(|| format!("memory grew by {} MiB", grown >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_more_than_thrice_is_found() {
        let node = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut storm = Storm::new(node.local_addr().unwrap(), 5).unwrap();
        assert!(storm.burst(1).is_none());
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        let (mut heard, mut from) = (0, None);
        node.set_nonblocking(true).unwrap();
        while let Ok((len, address)) = node.recv_from(&mut buffer) {
            (heard, from) = (heard + len, Some(address));
        }
        assert_eq!(storm.counts().0 > 0, from.is_some());
        let mut left = 3 * heard + 1;
        while left > 0 {
            let len = left.min(60_000);
            node.send_to(&buffer[..len], from.unwrap()).unwrap();
            left -= len;
        }
        let (problem, datagrams) = storm.listen().expect("it is noticed");
        assert_eq!((problem.kind, datagrams.is_empty()), (Kind::Amplified, false));
    }
}
