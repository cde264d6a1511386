//! `aldis conversations`, `aldis pin` and the other commands about a conversation as this user has it.

use std::process::ExitCode;

use aldis_client::{Start, Target};
use aldis_wire::{DeviceClass, pb};
use clap::Args;
use serde_json::{Value, json};

use crate::connect::{ConnectArgs, Session};
use crate::names::Names;
use crate::print::{entry_json, entry_text};
use crate::terminal::{Style, local_time, now_ms};

/// List your conversations, the newest first, with what is unread.
#[derive(Args, Debug)]
pub struct ConversationsArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    /// Only the pinned ones.
    #[arg(long)]
    pinned: bool,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
}

/// Which conversation.
#[derive(Args, Debug)]
pub struct OfConversation {
    #[command(flatten)]
    connect: ConnectArgs,
    /// User name, id:NUMBER or group:NUMBER.
    conversation: String,
}

/// A change that can be undone.
#[derive(Args, Debug)]
pub struct SettingArgs {
    #[command(flatten)]
    of: OfConversation,
    /// Undo it.
    #[arg(long)]
    off: bool,
}

/// A place in a conversation.
#[derive(Args, Debug)]
pub struct UpToArgs {
    #[command(flatten)]
    of: OfConversation,
    /// Up to this entry, as `history` prints it.
    number: u64,
}

/// Who has read and received it up to where.
#[derive(Args, Debug)]
pub struct ReceiptsArgs {
    #[command(flatten)]
    of: OfConversation,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

impl OfConversation {
    fn open(&self) -> anyhow::Result<(Session, Target)> {
        let mut session = self.connect.open(DeviceClass::Web, Start::Head)?;
        let target = Names::default().resolve(&mut session.client, &self.conversation)?;
        Ok((session, target))
    }
}

/// Runs `conversations`.
pub fn list(args: ConversationsArgs) -> anyhow::Result<ExitCode> {
    let mut session = args.connect.open(DeviceClass::Web, Start::Head)?;
    let me = session.me.user_id;
    let conversations = session.with_retry(|client| match args.pinned {
        true => client.pinned(),
        false => client.conversations(args.limit),
    })?;
    let mut names = Names::default();
    let lasts: Vec<_> = conversations.iter().filter_map(|one| one.last.clone()).collect();
    session.with_retry(|client| {
        names.fetch_for(client, &lasts)?;
        let views = conversations.iter().filter_map(|one| one.view.as_ref());
        names.fetch(client, views.map(|view| view.receiver_id))?;
        names.fetch_groups(client)
    })?;
    for one in &conversations {
        match args.json {
            true => println!("{}", info_json(one, me, &names)),
            false => println!("{}", info_text(one, &names)),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn info_json(one: &pb::ConversationInfo, me: u64, names: &Names) -> Value {
    let view = one.view.unwrap_or_default();
    json!({
        "user_id": view.receiver_id,
        "group_id": view.group_id,
        "unread": one.unread,
        "read_conv_seq": view.read_conv_seq,
        "max_conv_seq": one.max_conv_seq,
        "cleared_conv_seq": view.cleared_conv_seq,
        "pinned_ms": view.pinned_ms,
        "muted": view.muted,
        "time_ms": one.update_time_ms,
        "last": one.last.as_ref().map(|last| entry_json(last, 0, me, names)),
    })
}

fn info_text(one: &pb::ConversationInfo, names: &Names) -> String {
    let view = one.view.unwrap_or_default();
    let (name, color) = match view.group_id {
        0 => (names.user(view.receiver_id), view.receiver_id),
        group => (names.group(group), group),
    };
    let style = Style::for_stdout();
    let time = style.dim(&local_time(one.update_time_ms, now_ms()));
    let mut line = format!("{time} {}", style.name(&name, color));
    let marks = [(view.pinned_ms > 0, "pinned"), (view.muted, "muted")];
    for (_, mark) in marks.into_iter().filter(|(is_set, _)| *is_set) {
        line.push_str(&format!(" [{mark}]"));
    }
    if one.unread > 0 {
        line.push_str(&format!(" ({} unread)", one.unread));
    }
    if let Some(last) = &one.last {
        let text = entry_text(last, names);
        line.push_str(&format!(": {}", text.lines().next().unwrap_or_default()));
    }
    line
}

/// Runs `pin`.
pub fn pin(args: SettingArgs) -> anyhow::Result<ExitCode> {
    let (mut session, target) = args.of.open()?;
    session.with_retry(|client| client.pin(target, !args.off))?;
    println!("{}", if args.off { "pinned no longer" } else { "pinned" });
    Ok(ExitCode::SUCCESS)
}

/// Runs `mute`.
pub fn mute(args: SettingArgs) -> anyhow::Result<ExitCode> {
    let (mut session, target) = args.of.open()?;
    session.with_retry(|client| client.mute(target, !args.off))?;
    println!("{}", if args.off { "muted no longer" } else { "muted" });
    Ok(ExitCode::SUCCESS)
}

/// Runs `clear`.
pub fn clear(args: UpToArgs) -> anyhow::Result<ExitCode> {
    let (mut session, target) = args.of.open()?;
    session.with_retry(|client| client.clear(target, args.number))?;
    println!("cleared up to entry {}", args.number);
    Ok(ExitCode::SUCCESS)
}

/// Runs `read`.
pub fn read(args: UpToArgs) -> anyhow::Result<ExitCode> {
    let (mut session, target) = args.of.open()?;
    session.with_retry(|client| client.mark_read(target, args.number))?;
    println!("read up to entry {}", args.number);
    Ok(ExitCode::SUCCESS)
}

/// Runs `receipts`.
pub fn receipts(args: ReceiptsArgs) -> anyhow::Result<ExitCode> {
    let (mut session, target) = args.of.open()?;
    let receipts = session.with_retry(|client| client.receipts(target))?;
    let mut names = Names::default();
    session.with_retry(|client| names.fetch(client, receipts.iter().map(|one| one.user_id)))?;
    for one in receipts {
        let pb::Receipt { user_id, read_conv_seq, received_conv_seq } = one;
        match args.json {
            true => println!(
                "{}",
                json!({
                    "user_id": user_id,
                    "read_conv_seq": read_conv_seq,
                    "received_conv_seq": received_conv_seq,
                })
            ),
            false => println!(
                "{}: read up to entry {read_conv_seq}, received up to entry {received_conv_seq}",
                names.user(user_id)
            ),
        }
    }
    Ok(ExitCode::SUCCESS)
}
