//! `aldis group`: create, invite, list, members, leave.

use std::process::ExitCode;

use aldis_client::Start;
use aldis_wire::{DeviceClass, GroupId, UserId};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::connect::{ConnectArgs, Session};
use crate::names::Names;
use crate::terminal::{escape_line, local_time, now_ms};

/// Create groups and see who is in them.
#[derive(Args, Debug)]
pub struct GroupArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Create a group.
    Create {
        #[command(flatten)]
        common: Common,
        /// Its name.
        name: String,
        /// User names or id:NUMBER of the others.
        members: Vec<String>,
    },
    /// Bring users into a group.
    Invite {
        #[command(flatten)]
        common: Common,
        /// Its number.
        group: u64,
        /// User names or id:NUMBER.
        #[arg(required = true)]
        members: Vec<String>,
    },
    /// Groups you are in.
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Who is in a group.
    Members {
        #[command(flatten)]
        common: Common,
        /// Its number.
        group: u64,
    },
    /// Leave a group.
    Leave {
        #[command(flatten)]
        common: Common,
        /// Its number.
        group: u64,
    },
}

#[derive(Args, Debug)]
struct Common {
    #[command(flatten)]
    connect: ConnectArgs,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl Common {
    fn open(&self) -> anyhow::Result<Session> {
        self.connect.open(DeviceClass::Web, Start::Head)
    }
}

/// Runs the command.
pub fn run(args: GroupArgs) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Create { common, name, members } => create(&common, &name, &members)?,
        Action::Invite { common, group, members } => invite(&common, GroupId(group), &members)?,
        Action::List { common } => list(&common)?,
        Action::Members { common, group } => show_members(&common, GroupId(group))?,
        Action::Leave { common, group } => {
            let mut session = common.open()?;
            session.with_retry(|client| client.leave_group(GroupId(group)))?;
            if common.json {
                println!("{}", json!({"group_id": group, "left": true}));
            } else {
                println!("left group {group}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn create(common: &Common, name: &str, members: &[String]) -> anyhow::Result<()> {
    let mut session = common.open()?;
    let members = resolve_all(&mut session, members)?;
    let resp = session.with_retry(|client| client.create_group(name, &members))?;
    if common.json {
        println!("{}", json!({"group_id": resp.group_id}));
    } else {
        println!("created group {}; others reach it as group:{}", resp.group_id, resp.group_id);
    }
    Ok(())
}

fn invite(common: &Common, group: GroupId, members: &[String]) -> anyhow::Result<()> {
    let mut session = common.open()?;
    let members = resolve_all(&mut session, members)?;
    let resp = session.with_retry(|client| client.invite(group, &members))?;
    if common.json {
        println!("{}", json!({"group_id": group.0, "added_ids": resp.added_ids}));
    } else {
        println!("{} new in group {group}", resp.added_ids.len());
    }
    Ok(())
}

fn list(common: &Common) -> anyhow::Result<()> {
    let mut session = common.open()?;
    for group in session.with_retry(|client| client.groups())? {
        if common.json {
            let line = json!({
                "group_id": group.group_id, "name": group.name, "owner_id": group.owner_id,
                "member_count": group.member_count, "role": group.role().as_str_name(),
                "create_time_ms": group.create_time_ms,
            });
            println!("{line}");
        } else {
            let name = escape_line(&group.name);
            println!("group:{:<10} {:>4} members  {name}", group.group_id, group.member_count);
        }
    }
    Ok(())
}

fn show_members(common: &Common, group: GroupId) -> anyhow::Result<()> {
    let mut session = common.open()?;
    let members = session.with_retry(|client| client.members(group))?;
    let mut names = Names::default();
    session.with_retry(|client| names.fetch(client, members.iter().map(|m| m.user_id)))?;
    for member in members {
        let username = names.username(member.user_id);
        let role = member.role().as_str_name();
        if common.json {
            let line = json!({
                "user_id": member.user_id, "user": username, "role": role,
                "join_time_ms": member.join_time_ms,
            });
            println!("{line}");
        } else {
            let since = local_time(member.join_time_ms, now_ms());
            println!("{role:<6} {} ({username}) since {since}", names.user(member.user_id));
        }
    }
    Ok(())
}

fn resolve_all(session: &mut Session, typed: &[String]) -> anyhow::Result<Vec<UserId>> {
    let mut names = Names::default();
    typed.iter().map(|typed| names.resolve_user(&mut session.client, typed)).collect()
}
