//! The command line: reads arguments and hands them to the command's module.

mod alarm;
mod bench;
mod change;
mod chat;
mod check;
mod connect;
mod events;
mod exit;
mod friend;
mod group;
mod history;
mod impair;
mod names;
mod print;
mod profile;
mod register;
mod replay;
mod screens;
mod send;
mod sync;
mod tail;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Aldis from the command line: chat, scripts, load, checks.
#[derive(Parser)]
#[command(name = "aldis", version, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// What each one does is said where its arguments are.
#[derive(Subcommand)]
enum Command {
    Register(register::RegisterArgs),
    Send(send::SendArgs),
    Tail(tail::TailArgs),
    Sync(sync::SyncArgs),
    History(history::HistoryArgs),
    Group(group::GroupArgs),
    Friend(friend::FriendArgs),
    Recall(change::RecallArgs),
    Edit(change::EditArgs),
    Chat(chat::ChatArgs),
    Replay(replay::ReplayArgs),
    Bench(bench::BenchArgs),
    Check(check::CheckArgs),
    Impair(impair::ImpairArgs),
}

fn main() -> ExitCode {
    // Nothing but what is asked for: the commands print their own errors.
    env_logger::Builder::from_env(env_logger::Env::new().filter_or("ALDIS_LOG", "off")).init();
    let result = match Cli::parse().command {
        Command::Register(args) => register::run(args),
        Command::Send(args) => send::run(args),
        Command::Tail(args) => tail::run(args),
        Command::Sync(args) => sync::run(args),
        Command::History(args) => history::run(args),
        Command::Group(args) => group::run(args),
        Command::Friend(args) => friend::run(args),
        Command::Recall(args) => change::recall(args),
        Command::Edit(args) => change::edit(args),
        Command::Chat(args) => chat::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Check(args) => check::run(args),
        Command::Impair(args) => impair::run(args),
    };
    result.unwrap_or_else(|error| exit::report(&error))
}
