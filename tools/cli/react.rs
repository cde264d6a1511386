//! `aldis react` and `aldis reactions`: short answers to a message, as an emoji.

use std::process::ExitCode;

use aldis_client::Start;
use aldis_wire::DeviceClass;
use clap::Args;
use serde_json::json;

use crate::connect::ConnectArgs;
use crate::names::Names;
use crate::terminal::escape_line;

/// React to a message with an emoji or another short text.
#[derive(Args, Debug)]
pub struct ReactArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// User name, id:NUMBER or group:NUMBER.
    conversation: String,
    /// The message's number in the conversation, as `send` and `history` print it.
    number: u64,
    /// Up to 64 bytes.
    reaction: String,
    /// Take it back.
    #[arg(long)]
    off: bool,
}

/// Who reacted how to a message.
#[derive(Args, Debug)]
pub struct ReactionsArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    /// User name, id:NUMBER or group:NUMBER.
    conversation: String,
    /// The message's number in the conversation, as `send` and `history` print it.
    number: u64,
}

/// Runs `react`.
pub fn react(args: ReactArgs) -> anyhow::Result<ExitCode> {
    let mut session = args.connect.open(DeviceClass::Web, Start::Head)?;
    let target = Names::default().resolve(&mut session.client, &args.conversation)?;
    let (number, reaction) = (args.number, args.reaction);
    session.with_retry(|client| client.react(target, number, &reaction, args.off))?;
    let verb = if args.off { "took back a reaction" } else { "reacted" };
    println!("{verb} to message {number}");
    Ok(ExitCode::SUCCESS)
}

/// Runs `reactions`.
pub fn reactions(args: ReactionsArgs) -> anyhow::Result<ExitCode> {
    let mut session = args.connect.open(DeviceClass::Web, Start::Head)?;
    let mut names = Names::default();
    let target = names.resolve(&mut session.client, &args.conversation)?;
    let users = session.with_retry(|client| client.reactions(target, args.number))?;
    session.with_retry(|client| names.fetch(client, users.iter().map(|one| one.user_id)))?;
    for one in users {
        if args.json {
            println!("{}", json!({"user_id": one.user_id, "reactions": one.reactions}));
        } else {
            let made: Vec<String> = one.reactions.iter().map(|made| escape_line(made)).collect();
            println!("{}: {}", names.user(one.user_id), made.join(" "));
        }
    }
    Ok(ExitCode::SUCCESS)
}
