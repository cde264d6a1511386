//! `aldis history`: a part of one conversation.

use std::process::ExitCode;

use aldis_client::{Start, Target};
use aldis_wire::{DeviceClass, limits, pb};
use clap::Args;

use crate::connect::{ConnectArgs, Session};
use crate::names::Names;
use crate::print::print_entry;

/// Print a part of a conversation, by default its end.
#[derive(Args, Debug)]
pub struct HistoryArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    /// The last ones below this conv_seq.
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "CONV_SEQ")]
    before: u64,
    /// The first ones above this conv_seq.
    #[arg(long, conflicts_with = "before", value_name = "CONV_SEQ")]
    after: Option<u64>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// User name, id:NUMBER or group:NUMBER.
    with: String,
}

/// Runs the command.
pub fn run(args: HistoryArgs) -> anyhow::Result<ExitCode> {
    let mut session = args.connect.open(DeviceClass::Web, Start::Head)?;
    let me = session.me.user_id;
    let mut names = Names::default();
    let with = names.resolve(&mut session.client, &args.with)?;
    let limit = args.limit as usize;
    let entries = match args.after {
        Some(after) => read_after(&mut session, with, after, limit)?,
        None => read_before(&mut session, with, args.before, limit)?,
    };
    session.with_retry(|client| names.fetch_for(client, &entries))?;
    for entry in &entries {
        print_entry(entry, 0, me, &names, args.json)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The last `limit` entries below `before` (0: of all), ascending.
fn read_before(
    session: &mut Session,
    with: Target,
    mut before: u64,
    limit: usize,
) -> anyhow::Result<Vec<pb::MessageData>> {
    let mut entries: Vec<pb::MessageData> = Vec::new();
    loop {
        let rows = (limit - entries.len()).min(limits::SYNC_ENTRIES_MAX) as u32;
        let page = session.with_retry(|client| client.history_page(with, before, 0, rows))?;
        let more = page.more && !page.entries.is_empty();
        before = page.entries.first().map_or(before, |entry| entry.conv_seq);
        entries.splice(0..0, page.entries);
        if !more || entries.len() >= limit {
            return Ok(entries);
        }
    }
}

/// The first `limit` entries above `after`, ascending.
fn read_after(
    session: &mut Session,
    with: Target,
    mut after: u64,
    limit: usize,
) -> anyhow::Result<Vec<pb::MessageData>> {
    let mut entries: Vec<pb::MessageData> = Vec::new();
    while entries.len() < limit {
        let left = (limit - entries.len()).min(limits::SYNC_ENTRIES_MAX) as u32;
        // On the wire "above 0" means the newest, so the first entry is asked as the last below 2.
        let (before, rows) = if after == 0 { (2, 1) } else { (0, left) };
        let page = session.with_retry(|client| client.history_page(with, before, after, rows))?;
        let is_end = page.entries.is_empty() && after > 0;
        after = page.entries.last().map_or(after, |entry| entry.conv_seq).max(1);
        entries.extend(page.entries);
        if after >= page.max_conv_seq || is_end {
            break;
        }
    }
    Ok(entries)
}
