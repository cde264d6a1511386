//! `aldis fuzz`: arguments of the packet fuzzer, and its exit codes. Knows no case and no oracle.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use aldis_client::shell::TlsOptions;
use aldis_fuzz::{Options, TargetKind, Verdict, Watch};
use clap::{ArgGroup, Args};

use crate::exit::{UNREACHABLE, usage};

/// Exit code when something was found.
const FOUND: u8 = 1;
/// Exit code when nothing can be said.
const INCONCLUSIVE: u8 = 4;
/// Seconds of a run without --seconds and --minutes.
const SECONDS: u64 = 60;
/// Seconds that a server gets to come back: supervisors start it again at once.
const RECOVERY_SECONDS: u64 = 0;

const HELP: &str = "\
Exit code: 0 clean, 1 something was found, 2 usage, 3 the server cannot be reached, 4 inconclusive.

What is watched all the time: the process and its log; a pair of clients that behaves well; every frame
of the server against the table of PROTOCOL.md; who gets what; memory, descriptors, threads.

Examples:
  aldis fuzz --tcp 127.0.0.1:7700 --pid $(pidof aldisd) --minutes 10 --report fuzz-report
  aldis fuzz --tcp chat.example:7700 --ca certificate.pem --force
  aldis fuzz --datagrams 127.0.0.1:7701 --admin 127.0.0.1:7780 --log aldisd.log
  aldis fuzz --tcp 127.0.0.1:7700 --replay fuzz-report/finding-1.json

It registers users, and leaves them and what they said behind: never run it on a server that is in use.";

/// Abuse a server with packets, and say what it does wrong.
///
/// Valid requests with values at boundaries, damaged, doubled, dropped, reordered and interleaved frames,
/// in every state of a connection; noise and damaged handshakes towards the link between nodes. What is
/// found is made as small as it gets and written to a file that plays it again.
#[derive(Args, Debug)]
#[command(after_help = HELP, group(ArgGroup::new("target").required(true).multiple(true).args(["tcp", "datagrams"])))]
pub struct FuzzArgs {
    /// The listener for clients.
    #[arg(long, value_name = "HOST:PORT")]
    tcp: Option<String>,
    /// The link between nodes; with --tcp of the same node, both are abused at once.
    #[arg(long, value_name = "HOST:PORT")]
    datagrams: Option<String>,
    /// The listener for clients speaks TLS.
    #[arg(long, requires = "tcp")]
    tls: bool,
    /// PEM file with the certificates to trust [implies --tls].
    #[arg(long, value_name = "FILE", requires = "tcp")]
    ca: Option<PathBuf>,
    /// The server's process, if it is on this machine.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Its HTTP listener for administrators, for the same readings from elsewhere.
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
    /// File that it logs to: panics are found there.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Repeats a run [default: random, and printed].
    #[arg(long)]
    seed: Option<u64>,
    /// Play only this case of the run with --seed; one that was made from another needs the --report
    /// of that run.
    #[arg(long, value_name = "N", requires = "seed", conflicts_with = "replay")]
    case: Option<u64>,
    /// Play only the case of a finding; exit code 1 if it shows again what was found.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// How long cases are played [default: 60].
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    seconds: Option<u64>,
    /// The same in minutes.
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// End before, when every documented answer was seen that can be.
    #[arg(long)]
    until_reached: bool,
    /// Directory for summary.txt, matrix.txt, report.jsonl, junit.xml, corpus.jsonl, finding-N.json.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Longest time for a message of the pair that behaves well, ms.
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    latency_max: u64,
    /// Memory that may be taken besides before it is looked into, MiB.
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    memory_growth: u64,
    /// Different findings after which the run ends.
    #[arg(long, value_name = "N", default_value_t = 20)]
    findings: usize,
    /// Seconds that a server which died gets to be started again by its supervisor; then the run goes on.
    #[arg(long, value_name = "SECONDS", default_value_t = RECOVERY_SECONDS)]
    recovery: u64,
    /// Users that exist, as `aldisd admin seed-users` wrote them: limits that take thousands are reached.
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// The same with tokens whose time is over.
    #[arg(long, value_name = "FILE")]
    expired_tokens: Option<PathBuf>,
    /// The database's process, which is stopped and continued (SIGSTOP, SIGCONT) to see what the server
    /// says without it.
    #[arg(long, value_name = "PID")]
    store_pid: Option<u32>,
    /// Say nothing until the end.
    #[arg(long, short)]
    quiet: bool,
    /// Abuse addresses that are not of this machine or a private network.
    #[arg(long)]
    force: bool,
}

impl FuzzArgs {
    fn options(&self, seed: u64) -> Options {
        let is_tls = self.tls || self.ca.is_some();
        let tls = is_tls.then(|| TlsOptions { roots: self.ca.clone(), name: None });
        let stream = self.tcp.clone().map(|name| TargetKind::Stream(name, tls));
        let link = self.datagrams.clone().map(TargetKind::Datagrams);
        let seconds =
            self.minutes.map_or(self.seconds.unwrap_or(SECONDS), |m| m.saturating_mul(60));
        Options {
            seed,
            time: Duration::from_secs(seconds),
            until_reached: self.until_reached,
            case: self.case,
            replay: self.replay.clone(),
            report: self.report.clone(),
            watch: Watch { pid: self.pid, admin: self.admin.clone(), log: self.log.clone() },
            bound: Duration::from_millis(self.latency_max),
            memory_growth_bytes: self.memory_growth.saturating_mul(1 << 20),
            findings_max: self.findings,
            recovery: Duration::from_secs(self.recovery),
            force: self.force,
            tokens: self.tokens.clone(),
            expired_tokens: self.expired_tokens.clone(),
            store_pid: self.store_pid,
            say: if self.quiet { |_| {} } else { |line| eprintln!("{line}") },
            ..Options::new(stream.into_iter().chain(link).collect())
        }
    }
}

/// Runs, reports, and gives the exit code.
pub fn run(args: FuzzArgs) -> anyhow::Result<ExitCode> {
    let seed = match args.seed {
        Some(seed) => seed,
        None => getrandom::u64()? >> 16,
    };
    let options = args.options(seed);
    (options.say)(&format!("seed {seed}"));
    let report = aldis_fuzz::run(&options).map_err(|error| usage(error.to_string()))?;
    if let Some(dir) = &args.report
        && args.case.is_none()
    {
        report.write(dir)?;
    }
    print!("{}", report.summary());
    Ok(match report.verdict {
        Verdict::Clean => ExitCode::SUCCESS,
        Verdict::Found => ExitCode::from(FOUND),
        Verdict::Unreachable(_) => ExitCode::from(UNREACHABLE),
        Verdict::Inconclusive(_) => ExitCode::from(INCONCLUSIVE),
    })
}
