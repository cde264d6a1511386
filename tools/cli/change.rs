//! `aldis recall` and `aldis edit`: what was sent is taken back, or says something else.

use std::process::ExitCode;

use aldis_client::Start;
use aldis_wire::DeviceClass;
use clap::Args;

use crate::connect::ConnectArgs;
use crate::names::Names;

/// Take a message back: nobody can read it any more.
#[derive(Args, Debug)]
pub struct RecallArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// User name, id:NUMBER or group:NUMBER.
    conversation: String,
    /// The message's number in the conversation, as `send` and `history` print it.
    number: u64,
}

/// Make a text that was sent say something else.
#[derive(Args, Debug)]
pub struct EditArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// User name, id:NUMBER or group:NUMBER.
    conversation: String,
    /// The message's number in the conversation, as `send` and `history` print it.
    number: u64,
    /// The new text.
    #[arg(required = true)]
    text: Vec<String>,
}

/// Runs `recall`.
pub fn recall(args: RecallArgs) -> anyhow::Result<ExitCode> {
    let mut session = args.connect.open(DeviceClass::Web, Start::Head)?;
    let target = Names::default().resolve(&mut session.client, &args.conversation)?;
    session.with_retry(|client| client.recall(target, args.number))?;
    println!("recalled message {}", args.number);
    Ok(ExitCode::SUCCESS)
}

/// Runs `edit`.
pub fn edit(args: EditArgs) -> anyhow::Result<ExitCode> {
    let mut session = args.connect.open(DeviceClass::Web, Start::Head)?;
    let target = Names::default().resolve(&mut session.client, &args.conversation)?;
    let text = args.text.join(" ");
    session.with_retry(|client| client.edit(target, args.number, &text))?;
    println!("edited message {}", args.number);
    Ok(ExitCode::SUCCESS)
}
