//! `aldis impair`: a relay that delays, loses, doubles, reorders, changes, slows down or cuts what
//! passes it. Its links are those of the simulator (aldis-netsim), driven by the real clock.

mod commands;
mod pair;
mod relay;
mod report;
mod settings;
mod socket;
mod stream;
mod tally;
mod tcp;
mod timeline;
mod udp;
mod ways;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use mio::Poll;

use crate::exit::usage;

use pair::{EndAddresses, PairRelay};
use relay::Run;
use report::Report;
use settings::{Kind, Words, duration_ns};
use tcp::TcpRelay;
use timeline::Timeline;
use udp::UdpRelay;
use ways::Ways;

/// Bytes of a timeline's file.
const TIMELINE_BYTES_MAX: u64 = 4 << 20;

/// Relay UDP or TCP through a bad network.
///
/// Settings are words: delay=20ms jitter=5ms (in order) loss=5% burst=4 (mean length of bursts of
/// loss) duplicate=1% reorder=2% or reorder=2%/5ms (a share is held up for so long) corrupt=0.1%
/// (one bit) rate=10mbit queue=100ms (before the rate) mtu=1400 (larger ones vanish) partition heal
/// clear. `up.` or `down.` before a word is for one direction: up is from the client to the target, or
/// from a to b. A later word changes what it names and nothing else.
///
/// For TCP there are delay, jitter, rate, partition (all is held back until heal), reset (open
/// connections get a RST) and blackhole (open connections fall silent for good, and neither end
/// hears of the other): a stream arrives whole or ends, so nothing in it is lost or changed.
#[derive(Args, Debug)]
pub struct ImpairArgs {
    #[command(subcommand)]
    command: ImpairCommand,
}

#[derive(Subcommand, Debug)]
enum ImpairCommand {
    /// Many UDP clients behind one port, each seen by the target under an address of its own.
    Udp(OneTarget),
    /// Two fixed UDP ends, each of which sees the other at one address of the relay.
    Pair(Pair),
    /// TCP connections.
    Tcp(OneTarget),
}

#[derive(Args, Debug)]
struct OneTarget {
    /// Where clients come to; port 0 takes a free one.
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Where to; loopback or a private address.
    #[arg(long, value_name = "IP:PORT")]
    to: SocketAddr,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Pair {
    /// Address of end a; loopback or a private one.
    #[arg(long, value_name = "IP:PORT")]
    a: SocketAddr,
    /// Where the relay listens for a: what a takes for b.
    #[arg(long, value_name = "IP:PORT")]
    listen_a: SocketAddr,
    /// Address of end b; loopback or a private one.
    #[arg(long, value_name = "IP:PORT")]
    b: SocketAddr,
    /// Where the relay listens for b: what b takes for a.
    #[arg(long, value_name = "IP:PORT")]
    listen_b: SocketAddr,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Common {
    /// Settings from the start on; may be repeated.
    #[arg(long, value_name = "WORDS")]
    set: Vec<String>,
    /// A change: a time since the start, then words, as in "20s partition"; may be repeated.
    #[arg(long, value_name = "TIME WORDS")]
    at: Vec<String>,
    /// A file of such changes, one a line; # begins a comment.
    #[arg(long, value_name = "FILE")]
    timeline: Option<PathBuf>,
    /// Take words from standard input too, a line at a time, each at once; end with it.
    #[arg(long)]
    stdin: bool,
    /// End after this time, as 90s or 10m [default: at Ctrl-C or SIGTERM].
    #[arg(long = "for", value_name = "TIME", value_parser = duration_ns)]
    end_ns: Option<u64>,
    /// Print counts this often, besides at the end.
    #[arg(long = "every", value_name = "TIME", value_parser = interval_ns)]
    every_ns: Option<u64>,
    /// Repeats what is random [default: another one each time, and printed].
    #[arg(long)]
    seed: Option<u64>,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: ImpairArgs) -> anyhow::Result<ExitCode> {
    let poll = Poll::new().context("cannot create a poll")?;
    match args.command {
        ImpairCommand::Udp(args) => {
            check_addresses(&[args.listen, args.to])?;
            let (run, ways, seed) = args.common.prepare(Kind::Datagrams)?;
            let mut relay = UdpRelay::new(poll.registry(), args.listen, args.to)
                .with_context(|| format!("cannot listen on {}", args.listen))?;
            let listen = ("listen", relay.address()?.to_string());
            run.report.start("udp", seed, &[listen, ("to", args.to.to_string())])?;
            relay::run(run, ways, poll, &mut relay)?;
        }
        ImpairCommand::Pair(args) => {
            check_addresses(&[args.a, args.b, args.listen_a, args.listen_b])?;
            let (run, ways, seed) = args.common.prepare(Kind::Datagrams)?;
            let a = EndAddresses { peer: args.a, listen: args.listen_a };
            let b = EndAddresses { peer: args.b, listen: args.listen_b };
            let mut relay = PairRelay::new(poll.registry(), a, b)
                .with_context(|| format!("cannot listen on {} and {}", a.listen, b.listen))?;
            let [listen_a, listen_b] = relay.addresses()?.map(|address| address.to_string());
            let sockets = [
                ("a", args.a.to_string()),
                ("listen_a", listen_a),
                ("b", args.b.to_string()),
                ("listen_b", listen_b),
            ];
            run.report.start("pair", seed, &sockets)?;
            relay::run(run, ways, poll, &mut relay)?;
        }
        ImpairCommand::Tcp(args) => {
            check_addresses(&[args.listen, args.to])?;
            let (run, ways, seed) = args.common.prepare(Kind::Streams)?;
            let mut relay = TcpRelay::new(poll.registry(), args.listen, args.to)
                .with_context(|| format!("cannot listen on {}", args.listen))?;
            let listen = ("listen", relay.address()?.to_string());
            run.report.start("tcp", seed, &[listen, ("to", args.to.to_string())])?;
            relay::run(run, ways, poll, &mut relay)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Common {
    /// The loop's settings and links that have the first settings; with the seed.
    fn prepare(&self, kind: Kind) -> anyhow::Result<(Run, Ways, u64)> {
        let seed = match self.seed {
            Some(seed) => seed,
            None => getrandom::u64().context("no random numbers")?,
        };
        let mut ways = Ways::new(kind, seed);
        let first = Words::parse(&self.set.join(" "), kind).map_err(usage)?;
        // There are no connections yet that could be cut.
        ways.apply(&first)?;
        let text = match &self.timeline {
            Some(path) => read_timeline(path)?,
            None => String::new(),
        };
        let of_file = text
            .lines()
            .enumerate()
            .map(|(number, line)| (format!("timeline, line {}", number + 1), line));
        let given = self.at.iter().map(|line| (format!("--at {line:?}"), line.as_str()));
        let timeline = Timeline::parse(of_file.chain(given), kind).map_err(usage)?;
        let report = Report { is_json: self.json };
        let (end_ns, every_ns) = (self.end_ns, self.every_ns);
        let run = Run { timeline, has_commands: self.stdin, kind, end_ns, every_ns, report };
        Ok((run, ways, seed))
    }
}

fn read_timeline(path: &PathBuf) -> anyhow::Result<String> {
    let shown = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.len();
    if size > TIMELINE_BYTES_MAX {
        return Err(usage(format!("{shown} is over {TIMELINE_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))
}

/// Zero would print without end.
fn interval_ns(text: &str) -> Result<u64, String> {
    let ns = duration_ns(text)?;
    if ns < 10_000_000 { Err("10ms at least".to_owned()) } else { Ok(ns) }
}

/// A relay that damages traffic is for one's own machines: neither end may be somebody else's.
fn check_addresses(addresses: &[SocketAddr]) -> anyhow::Result<()> {
    match addresses.iter().find(|address| !is_near(address.ip())) {
        None => Ok(()),
        Some(address) => Err(usage(format!("{address} is neither loopback nor a private address"))),
    }
}

fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => is_near(ip.into()),
            None => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_ones_own_network_are_relayed() {
        let near = ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "::1", "fd00::1"];
        let far = ["8.8.8.8", "172.32.0.1", "0.0.0.0", "::", "2001:db8::1", "::ffff:8.8.8.8"];
        for (ips, is_allowed) in [(near, true), (far, false)] {
            for ip in ips {
                let address = SocketAddr::new(ip.parse().unwrap(), 7);
                assert_eq!(check_addresses(&[address]).is_ok(), is_allowed, "{ip}");
            }
        }
    }
}
