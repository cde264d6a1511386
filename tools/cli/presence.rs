//! `aldis presence`: who is online.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use aldis_client::core::{Event, Told};
use aldis_client::{ClientError, Start};
use aldis_wire::{DeviceClass, pb};
use clap::Args;
use serde_json::json;

use crate::connect::ConnectArgs;
use crate::names::Names;
use crate::terminal::{local_time, now_ms};

/// Show who is online, of those who let you see it.
#[derive(Args, Debug)]
pub struct PresenceArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// User names or id:NUMBER.
    #[arg(required = true)]
    users: Vec<String>,
    /// Go on, and show who comes and goes.
    #[arg(long)]
    watch: bool,
    /// Stop after so many seconds of watching.
    #[arg(long, value_name = "SECONDS", requires = "watch")]
    seconds: Option<u64>,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: PresenceArgs) -> anyhow::Result<ExitCode> {
    let class = if args.watch { DeviceClass::Device } else { DeviceClass::Web };
    let mut session = args.connect.open(class, Start::Head)?;
    let mut names = Names::default();
    let mut user_ids = Vec::new();
    for user in &args.users {
        user_ids.push(names.resolve_user(&mut session.client, user)?.0);
    }
    session.with_retry(|client| names.fetch(client, user_ids.iter().copied()))?;
    if !args.watch {
        let query = pb::PresenceQueryReq { user_ids: user_ids.clone() };
        let found = session.with_retry(|client| client.ask(query.clone()))?;
        show(&found.users, &names, args.json);
        let is_shown = |id: &u64| found.users.iter().any(|user| user.user_id == *id);
        for hidden in user_ids.iter().filter(|id| !is_shown(id)) {
            eprintln!("{} does not show it to you", names.username(*hidden));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let subscribe = pb::PresenceSubscribeReq { user_ids };
    let found = session.client.ask(subscribe.clone())?;
    show(&found.users, &names, args.json);
    let deadline = args.seconds.map(Duration::from_secs);
    let deadline = deadline.map(|time| Instant::now() + time);
    loop {
        let until = deadline.unwrap_or_else(|| Instant::now() + WAIT);
        match session.client.wait_event(until)? {
            Some(Event::Told(Told::Presence(told))) => show(&told.users, &names, args.json),
            // The new session watches nobody yet.
            Some(Event::Online(_)) => {
                let found = session.client.ask(subscribe.clone())?;
                show(&found.users, &names, args.json);
            }
            Some(Event::Kicked { reason, .. }) => {
                return Err(ClientError::Kicked { reason }.into());
            }
            Some(_) => {}
            None if deadline.is_some() => return Ok(ExitCode::SUCCESS),
            None => {}
        }
    }
}

/// Waits are cut into such pieces; nothing happens between them.
const WAIT: Duration = Duration::from_secs(3_600);

fn show(users: &[pb::PresenceInfo], names: &Names, is_json: bool) {
    for user in users {
        let classes: Vec<String> =
            user.online().map(|class| class.as_str_name().to_lowercase()).collect();
        if is_json {
            let line = json!({
                "user_id": user.user_id, "user": names.username(user.user_id), "online": classes,
                "last_seen_ms": user.last_seen_ms, "is_unknown": user.is_unknown,
            });
            println!("{line}");
            continue;
        }
        let state = match (user.is_unknown, classes.is_empty(), user.last_seen_ms) {
            (true, ..) => "nobody can say".to_owned(),
            (_, false, _) => format!("online ({})", classes.join(", ")),
            (_, true, 0) => "offline".to_owned(),
            (_, true, seen_ms) => format!("offline since {}", local_time(seen_ms, now_ms())),
        };
        println!("{}: {state}", names.user(user.user_id));
    }
}
