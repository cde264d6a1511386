//! `aldis chat` line by line: where there is no terminal, or no screen is wanted. This file starts it
//! and ends it, and opens the screens where there is one.
//!
//! Two threads: one waits for typed lines (`input`), one owns the client and all that is shown
//! (`engine`). Lines go to the engine by a channel; what it shows goes above the line being typed.

mod acts;
pub mod command;
mod engine;
mod input;
mod output;
mod recent;
mod view;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use aldis_client::Start;
use aldis_client::core::Target;
use aldis_wire::DeviceClass;
use clap::Args;

use crate::connect::{ConnectArgs, Session};
use engine::Engine;
use input::Input;
use output::Output;

/// Missed entries that a chat announces at its start; older ones are for `/history`.
const MISSED_MAX: u64 = 500;
/// Typed lines that wait for the engine, which looks at them many times a second.
const LINES_MAX: usize = 16;
/// Answers besides one to each line: the first prompt and the last word.
const ANSWERS_EXTRA: usize = 2;
/// How long the reader of lines waits for the engine's answer before it shows the prompt again.
/// Not longer: the editor must be there to take what the engine wants to show.
const ANSWER_WAIT: Duration = Duration::from_millis(250);

/// Talk to people: on a full screen, or line by line where input or output is no terminal.
#[derive(Args, Debug)]
#[command(after_long_help = crate::screens::help())]
pub struct ChatArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Messages of the conversation to show at first, line by line.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=500))]
    history: u32,
    /// User name, id:NUMBER or group:NUMBER; without it, the latest conversations are offered.
    with: Option<String>,
    /// Line by line, also on a terminal; /help inside lists what can be typed.
    #[arg(long)]
    lines: bool,
}

/// What the engine says to the reader of lines after each line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// Go on with this prompt.
    Prompt(String),
    /// The engine has ended.
    Bye,
}

/// Runs the command.
pub fn run(args: ChatArgs) -> anyhow::Result<ExitCode> {
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let has_screen = is_terminal && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
    if has_screen && !args.lines {
        let mut session = args.connect.open(DeviceClass::Desktop, Start::Head)?;
        let with = resolve(&args, &mut session)?;
        return crate::screens::run(session, args.connect.place(), with);
    }
    let start = Start::Cursor { behind_max: MISSED_MAX };
    let mut session = args.connect.open(DeviceClass::Desktop, start)?;
    let (input, output) =
        if is_terminal { Input::editor()? } else { (Input::Plain, Output::plain()) };
    let with = resolve(&args, &mut session)?;
    let waker = session.client.waker();
    let (line_sender, lines) = mpsc::sync_channel(LINES_MAX);
    // One answer to each line; where nobody reads them (plain input), later ones are dropped.
    let (answer_sender, answers) = mpsc::sync_channel(LINES_MAX + ANSWERS_EXTRA);
    let engine = Engine::new(session, output.clone(), with, args.history);
    let thread = std::thread::Builder::new()
        .name("chat".to_owned())
        .spawn(move || engine.run(&lines, &answer_sender))?;
    let read = input.run(&output, &answers, |line| {
        // An engine that has ended takes no lines; its answer says so.
        let _ = line_sender.send(line);
        let _ = waker.wake();
    });
    drop(line_sender);
    let _ = waker.wake();
    let ended = thread.join().map_err(|_| anyhow::anyhow!("the chat ended unexpectedly"))?;
    read?;
    ended
}

fn resolve(args: &ChatArgs, session: &mut Session) -> anyhow::Result<Option<Target>> {
    let Some(typed) = &args.with else { return Ok(None) };
    Ok(Some(crate::names::Names::default().resolve(&mut session.client, typed)?))
}
