//! The command line: reads arguments and hands them to the command's module.

mod account;
mod alarm;
mod bench;
mod change;
mod chat;
mod check;
mod connect;
mod conversations;
mod events;
mod exit;
mod friend;
mod fuzz;
mod group;
mod history;
mod impair;
mod names;
mod presence;
mod print;
mod profile;
mod react;
mod register;
mod replay;
mod screens;
mod search;
mod send;
mod sync;
mod tail;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Aldis from the command line: chat, scripts, load, checks, abuse.
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
    Search(search::SearchArgs),
    Group(group::GroupArgs),
    Friend(friend::FriendArgs),
    Recall(change::RecallArgs),
    Edit(change::EditArgs),
    Presence(presence::PresenceArgs),
    Profile(account::ProfileArgs),
    Passwd(account::PasswdArgs),
    Devices(account::DevicesArgs),
    Conversations(conversations::ConversationsArgs),
    /// Keep a conversation on top of your list.
    Pin(conversations::SettingArgs),
    /// Want no notifications of a conversation.
    Mute(conversations::SettingArgs),
    /// Show nothing up to an entry any more, to you alone.
    Clear(conversations::UpToArgs),
    /// Say that you have read a conversation up to an entry.
    Read(conversations::UpToArgs),
    Receipts(conversations::ReceiptsArgs),
    React(react::ReactArgs),
    Reactions(react::ReactionsArgs),
    Chat(chat::ChatArgs),
    Replay(replay::ReplayArgs),
    Bench(bench::BenchArgs),
    Check(check::CheckArgs),
    Impair(impair::ImpairArgs),
    Fuzz(fuzz::FuzzArgs),
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
        Command::Search(args) => search::run(args),
        Command::Group(args) => group::run(args),
        Command::Friend(args) => friend::run(args),
        Command::Recall(args) => change::recall(args),
        Command::Edit(args) => change::edit(args),
        Command::Presence(args) => presence::run(args),
        Command::Profile(args) => account::profile(args),
        Command::Passwd(args) => account::passwd(args),
        Command::Devices(args) => account::devices(args),
        Command::Conversations(args) => conversations::list(args),
        Command::Pin(args) => conversations::pin(args),
        Command::Mute(args) => conversations::mute(args),
        Command::Clear(args) => conversations::clear(args),
        Command::Read(args) => conversations::read(args),
        Command::Receipts(args) => conversations::receipts(args),
        Command::React(args) => react::react(args),
        Command::Reactions(args) => react::reactions(args),
        Command::Chat(args) => chat::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Check(args) => check::run(args),
        Command::Impair(args) => impair::run(args),
        Command::Fuzz(args) => fuzz::run(args),
    };
    result.unwrap_or_else(|error| exit::report(&error))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn no_command_has_two_arguments_of_one_name() {
        Cli::command().debug_assert();
    }
}
