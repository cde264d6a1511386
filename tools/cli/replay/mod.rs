//! `aldis replay`: recorded dialogues through a server, and back by every way there is. This file
//! runs the stages; each has its own.

mod arrive;
mod compare;
mod identity;
mod plan;
mod play;
mod pool;
mod readback;
mod report;
mod sample;
mod script;
mod stage;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::connect::environment_password;
use crate::exit::{self, usage};
use compare::{Comparison, Directory};
use identity::{TAG_CHARS_MAX, display_name, is_tag, username};
use pool::Pool;
use report::Report;
use script::{Script, ScriptError};
use stage::{Person, Replay};

/// Live connections at once if nobody says: a few thousand sockets are nothing special for either
/// side.
const CONNECTIONS_DEFAULT: usize = 4_000;
/// Descriptors for everything but live connections: reading back, terminal, libraries.
const DESCRIPTORS_SPARE: u64 = 128;

/// Play recorded dialogues and compare what everybody can read.
///
/// FILE holds one JSON object per line: {"conversation": LABEL, "from": LABEL, "text": TEXT}.
/// A conversation of two people is a 1:1 chat, one of more is a group, one of a single person are
/// notes to himself. The same `from` is the same person in all conversations. The lines of a
/// conversation are sent in the file's order, each after the one before was acknowledged;
/// conversations run at the same time. Then everything is read back by each participant: as it was
/// pushed, by sync from zero on a new device, and by history.
///
/// Each replay uses accounts of its own: user names begin with a tag that is new in each run, so a
/// file can be replayed as often as one likes. --run sets the tag (and the password, unless
/// ALDIS_PASSWORD does); a second replay with the same tag and password uses the same accounts again and judges only what is new.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// Address of the server.
    #[arg(long, env = "ALDIS_SERVER", default_value = "127.0.0.1:7700", value_name = "HOST:PORT")]
    server: String,
    /// Tag of the accounts: 1 to 12 lower-case letters and digits [default: random].
    #[arg(long, value_name = "TAG")]
    run: Option<String>,
    /// Live connections at once; more people are played in batches.
    #[arg(long, default_value_t = CONNECTIONS_DEFAULT, value_name = "N")]
    connections: usize,
    /// Seconds without any progress after which what is missing counts as lost.
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Write a file of this many lines in many languages to FILE, and send nothing.
    #[arg(long, value_name = "LINES")]
    sample: Option<usize>,
    /// Seed of --sample: the same seed gives the same file.
    #[arg(long, default_value_t = 1, requires = "sample")]
    seed: u64,
    /// The dialogues.
    file: PathBuf,
}

/// Runs the command.
pub fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    if let Some(line_count) = args.sample {
        return write_sample(&args, line_count);
    }
    let file = File::open(&args.file)
        .map_err(|error| usage(format!("{}: {error}", args.file.display())))?;
    let script = script::read(BufReader::new(file)).map_err(|error| {
        match error.downcast::<ScriptError>() {
            Ok(broken) => usage(broken.to_string()),
            Err(error) => error.context(args.file.display().to_string()),
        }
    })?;
    let tag = match &args.run {
        Some(tag) if is_tag(tag) => tag.clone(),
        Some(tag) => {
            let rule = format!("1 to {TAG_CHARS_MAX} lower-case ASCII letters and digits");
            return Err(usage(format!("--run {tag:?}: a tag has {rule}")));
        }
        None => random_tag()?,
    };
    let people_max = raise_descriptor_limit(args.connections)?;
    let password = match (environment_password(), &args.run) {
        (Some(password), _) => password,
        // Whoever sets a tag wants to come back to the accounts, so the password follows from it.
        (None, Some(tag)) => format!("replay-{tag}"),
        (None, None) => format!("{}{}", random_tag()?, random_tag()?),
    };
    let report = replay(&args, &script, Accounts { tag, password }, people_max)?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", report.text());
    }
    Ok(if report.is_equal() { ExitCode::SUCCESS } else { ExitCode::from(exit::REFUSED) })
}

/// Whose accounts a replay uses.
struct Accounts {
    tag: String,
    password: String,
}

/// All stages.
fn replay(
    args: &ReplayArgs,
    script: &Script,
    accounts: Accounts,
    people_max: usize,
) -> anyhow::Result<Report> {
    let Accounts { tag, password } = accounts;
    let started_at = Instant::now();
    let people = script.people.iter().map(|label| Person {
        username: username(&tag, label),
        nickname: display_name(label),
        ..Person::default()
    });
    let mut replay = Replay {
        script,
        people: people.collect(),
        password,
        directory: Directory {
            user_ids: vec![0; script.people.len()],
            group_ids: vec![0; script.rooms.len()],
        },
        comparison: Comparison::new(script),
        pool: Pool::new(&args.server)?,
        server: args.server.clone(),
        patience: Duration::from_secs(args.timeout),
        moved_at: Instant::now(),
        repaired_count: 0,
    };
    let mut play_time = Duration::ZERO;
    for batch in plan::batches(script, people_max) {
        let live = arrive::arrive(&mut replay, &batch.people)?;
        let play_started_at = Instant::now();
        play::play(&mut replay, &batch, &live)?;
        play_time += play_started_at.elapsed();
        for (person, no) in live.conns {
            if let (Some(saved), Some(person)) =
                (replay.pool.close(no), replay.people.get_mut(person))
            {
                person.saved = saved;
            }
        }
    }
    readback::read_back(&mut replay)?;
    replay.comparison.finish();
    Ok(Report::new(&replay, tag, play_time, started_at.elapsed()))
}

fn random_tag() -> anyhow::Result<String> {
    const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0; 8];
    getrandom::fill(&mut random)?;
    let pick = |byte: &u8| ALPHABET.get(usize::from(*byte) % ALPHABET.len()).copied();
    Ok(random.iter().filter_map(pick).map(char::from).collect())
}

/// Allows as many descriptors as the wanted connections need, if the machine does; returns how
/// many connections that leaves.
fn raise_descriptor_limit(wanted: usize) -> anyhow::Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    let needed = wanted as u64 + DESCRIPTORS_SPARE;
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let mut current = limit.current.unwrap_or(u64::MAX);
    if current < needed {
        current = needed.min(hard);
        setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum })?;
    }
    let left = usize::try_from(current.saturating_sub(DESCRIPTORS_SPARE)).unwrap_or(usize::MAX);
    match wanted.min(left) {
        0 => Err(usage("--connections and the limit of open files leave no connection")),
        count => Ok(count),
    }
}

fn write_sample(args: &ReplayArgs, line_count: usize) -> anyhow::Result<ExitCode> {
    let path = args.file.display().to_string();
    let mut out = BufWriter::new(File::create_new(&args.file).with_context(|| path.clone())?);
    sample::write(&mut out, args.seed, line_count)?;
    out.flush()?;
    println!("{path}: {line_count} lines, seed {}", args.seed);
    Ok(ExitCode::SUCCESS)
}
