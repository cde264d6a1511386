//! `aldis tail`: entries of the mailbox as they come, over reconnects, each once and in order.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use aldis_client::core::Event;
use aldis_client::{ClientError, Start};
use aldis_wire::DeviceClass;
use clap::Args;

use crate::connect::ConnectArgs;
use crate::exit;
use crate::names::Names;
use crate::print::print_entry;

/// Waits are cut into such pieces; nothing happens between them.
const WAIT: Duration = Duration::from_secs(3_600);

/// Print messages as they come.
///
/// Runs until it is interrupted, over reconnects, each entry once and in order.
#[derive(Args, Debug)]
pub struct TailArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    /// Begin with the first entry of the mailbox.
    #[arg(long, conflicts_with = "unseen")]
    all: bool,
    /// Begin with what this device has not printed yet.
    #[arg(long)]
    unseen: bool,
    /// Stop after so many entries.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Stop after so many seconds without an entry, with exit code 4 if --count is not reached.
    #[arg(long, value_name = "SECONDS")]
    idle: Option<u64>,
}

/// Runs the command.
pub fn run(args: TailArgs) -> anyhow::Result<ExitCode> {
    let start = match (args.all, args.unseen) {
        (true, _) => Start::Zero,
        (_, true) => Start::Cursor { behind_max: u64::MAX },
        _ => Start::Head,
    };
    let mut session = args.connect.open(DeviceClass::Device, start)?;
    let me = session.me.user_id;
    let mut names = Names::default();
    let mut count = 0;
    while args.count.is_none_or(|count_max| count < count_max) {
        let wait = args.idle.map_or(WAIT, Duration::from_secs);
        let Some(event) = session.client.wait_event(Instant::now() + wait)? else {
            if args.idle.is_some() {
                let code = if args.count.is_some() { exit::TIMEOUT } else { 0 };
                return Ok(ExitCode::from(code));
            }
            continue;
        };
        match event {
            Event::Entry { stream, entry, .. } => {
                // Without names there are still ids; a lost connection must not lose entries.
                let _ = names.fetch_for(&mut session.client, std::slice::from_ref(&entry));
                print_entry(&entry, stream, me, &names, args.json)?;
                count += 1;
            }
            Event::Resynced { local, head, .. } => {
                eprintln!("aldis: the server no longer has {} to {head}; see history", local + 1);
            }
            Event::Online(_) => session.keep_token()?,
            Event::Offline { .. } => eprintln!("aldis: connection lost, trying again"),
            Event::Kicked { reason, .. } => return Err(ClientError::Kicked { reason }.into()),
            Event::LoginFailed { code, message } => {
                return Err(ClientError::Refused { code, message, maybe_done: false }.into());
            }
            Event::Told(_) => {}
            Event::SendAcked { .. } | Event::SendFailed { .. } | Event::Response { .. } => {}
        }
    }
    session.client.flush(Instant::now() + Duration::from_secs(1))?;
    Ok(ExitCode::SUCCESS)
}
