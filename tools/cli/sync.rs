//! `aldis sync`: pages of the mailbox or of a stream from any position, without applying them.

use std::process::ExitCode;

use aldis_client::Start;
use aldis_wire::DeviceClass;
use clap::Args;

use crate::connect::ConnectArgs;
use crate::names::Names;
use crate::print::print_entry;

/// Print a part of the mailbox, or of a group's stream.
#[derive(Args, Debug)]
pub struct SyncArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    /// Print what is above this seq.
    #[arg(long, default_value_t = 0, value_name = "SEQ")]
    after: u64,
    /// The stream of this group instead of the mailbox.
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "GROUP")]
    stream: u64,
    /// At most so many entries [default: all].
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Runs the command.
pub fn run(args: SyncArgs) -> anyhow::Result<ExitCode> {
    let mut session = args.connect.open(DeviceClass::Web, Start::Head)?;
    let me = session.me.user_id;
    let mut names = Names::default();
    let mut after = args.after;
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let limit = u32::try_from(left).unwrap_or(0);
        let page = session.with_retry(|client| client.sync_page(args.stream, after, limit))?;
        session.with_retry(|client| names.fetch_for(client, &page.entries))?;
        after = after.max(page.skipped_to);
        for entry in &page.entries {
            print_entry(entry, args.stream, me, &names, args.json)?;
            after = entry.seq;
        }
        left = left.saturating_sub(page.entries.len() as u64);
        if !page.more || page.entries.is_empty() {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}
