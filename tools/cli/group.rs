//! `aldis group`: create, invite, list, members, leave, and what owner and admins do.

use std::process::ExitCode;

use aldis_client::Start;
use aldis_client::core::Ask;
use aldis_wire::{DeviceClass, GroupId, UserId, pb};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::connect::{ConnectArgs, Session};
use crate::names::Names;
use crate::terminal::{escape_line, local_time, now_ms};

/// Create groups, join them, run them, and see who is in them.
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
        /// Who comes in later can read everything.
        #[arg(long)]
        open_history: bool,
    },
    /// Bring users into a group.
    Invite {
        #[command(flatten)]
        common: Common,
        /// Its number, alone or as group:NUMBER.
        #[arg(value_parser = group_number)]
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
        /// Its number, alone or as group:NUMBER.
        #[arg(value_parser = group_number)]
        group: u64,
    },
    /// Who asked to come into a group.
    Requests {
        #[command(flatten)]
        common: Common,
        /// Its number, alone or as group:NUMBER.
        #[arg(value_parser = group_number)]
        group: u64,
    },
    /// Leave a group.
    Leave {
        #[command(flatten)]
        common: Common,
        /// Its number, alone or as group:NUMBER.
        #[arg(value_parser = group_number)]
        group: u64,
    },
    #[command(flatten)]
    Change(Change),
}

/// What changes a group that one is owner or admin of, or asks them.
#[derive(Subcommand, Debug)]
enum Change {
    /// Ask to come in; an open group takes you in at once.
    Join {
        #[command(flatten)]
        of: Of,
        /// Why.
        #[arg(default_value = "")]
        reason: String,
    },
    /// Take in somebody who asked.
    Admit {
        #[command(flatten)]
        of: Of,
        /// User name or id:NUMBER.
        #[arg(value_name = "USER")]
        whom: String,
    },
    /// Refuse somebody who asked.
    Refuse {
        #[command(flatten)]
        of: Of,
        /// User name or id:NUMBER.
        #[arg(value_name = "USER")]
        whom: String,
    },
    /// Put members out.
    Remove {
        #[command(flatten)]
        of: Of,
        /// User names or id:NUMBER.
        #[arg(required = true)]
        users: Vec<String>,
    },
    /// Make a member an admin.
    Promote {
        #[command(flatten)]
        of: Of,
        /// User name or id:NUMBER.
        #[arg(value_name = "USER")]
        whom: String,
    },
    /// Make an admin a plain member.
    Demote {
        #[command(flatten)]
        of: Of,
        /// User name or id:NUMBER.
        #[arg(value_name = "USER")]
        whom: String,
    },
    /// Make somebody else the owner.
    Transfer {
        #[command(flatten)]
        of: Of,
        /// User name or id:NUMBER.
        #[arg(value_name = "USER")]
        whom: String,
    },
    /// Silence a member, or without a user everybody but owner and admins.
    Mute {
        #[command(flatten)]
        of: Of,
        /// User name or id:NUMBER; left out: all plain members.
        #[arg(value_name = "USER")]
        whom: Option<String>,
        /// For how long; without a user, until `unmute`.
        #[arg(long, default_value_t = 3_600)]
        seconds: u32,
    },
    /// Let a member, or everybody, speak again.
    Unmute {
        #[command(flatten)]
        of: Of,
        /// User name or id:NUMBER; left out: all plain members.
        #[arg(value_name = "USER")]
        whom: Option<String>,
    },
    /// Change name, announcement, or how strangers come in.
    Set {
        #[command(flatten)]
        of: Of,
        /// What it is called.
        #[arg(long)]
        name: Option<String>,
        /// What all members should know; empty: nothing.
        #[arg(long)]
        announcement: Option<String>,
        /// How strangers come in.
        #[arg(long, value_enum)]
        join: Option<Join>,
        /// Whether who comes in later can read what is said from now on.
        #[arg(long)]
        open_history: Option<bool>,
    },
    /// End the group.
    Dissolve {
        #[command(flatten)]
        of: Of,
    },
}

/// Which group.
#[derive(Args, Debug)]
struct Of {
    #[command(flatten)]
    common: Common,
    /// Its number, alone or as group:NUMBER.
    #[arg(value_parser = group_number)]
    group: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Join {
    Invited,
    Asked,
    Open,
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
        Action::Create { common, name, members, open_history } => {
            create(&common, &name, &members, open_history)?;
        }
        Action::Invite { common, group, members } => invite(&common, GroupId(group), &members)?,
        Action::List { common } => list(&common)?,
        Action::Members { common, group } => show_members(&common, GroupId(group))?,
        Action::Requests { common, group } => show_requests(&common, group)?,
        Action::Change(change) => run_change(&change)?,
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

fn create(common: &Common, name: &str, members: &[String], open: bool) -> anyhow::Result<()> {
    let mut session = common.open()?;
    let members = resolve_all(&mut session, members)?;
    let resp = session.with_retry(|client| client.create_group(name, &members, open))?;
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
                "create_time_ms": group.create_time_ms, "open_history": group.open_history,
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

fn show_requests(common: &Common, group_id: u64) -> anyhow::Result<()> {
    let mut session = common.open()?;
    let mut after_user_id = 0;
    loop {
        let ask = pb::GroupRequestsReq { group_id, after_user_id, limit: 0 };
        let page = session.with_retry(|client| client.ask(ask))?;
        let mut names = Names::default();
        session
            .with_retry(|client| names.fetch(client, page.requests.iter().map(|r| r.user_id)))?;
        for request in &page.requests {
            after_user_id = request.user_id;
            let username = names.username(request.user_id);
            if common.json {
                let line = json!({
                    "user_id": request.user_id, "user": username, "reason": request.reason,
                });
                println!("{line}");
            } else {
                println!("{username}: {}", escape_line(&request.reason));
            }
        }
        if !page.more || page.requests.is_empty() {
            return Ok(());
        }
    }
}

impl Change {
    fn of(&self) -> &Of {
        match self {
            Change::Join { of, .. }
            | Change::Admit { of, .. }
            | Change::Refuse { of, .. }
            | Change::Remove { of, .. }
            | Change::Promote { of, .. }
            | Change::Demote { of, .. }
            | Change::Transfer { of, .. }
            | Change::Mute { of, .. }
            | Change::Unmute { of, .. }
            | Change::Set { of, .. }
            | Change::Dissolve { of } => of,
        }
    }
}

fn run_change(change: &Change) -> anyhow::Result<()> {
    let of = change.of();
    let mut session = of.common.open()?;
    let (seq, done) = ask_change(&mut session, of.group, change)?;
    if of.common.json {
        println!("{}", json!({"group_id": of.group, "seq": seq}));
    } else {
        println!("{done}");
    }
    Ok(())
}

/// Seq of the entry that tells of the change, 0 if there is none; and what to say.
fn ask_change(
    session: &mut Session,
    group_id: u64,
    change: &Change,
) -> anyhow::Result<(u64, &'static str)> {
    Ok(match change {
        Change::Join { reason, .. } => {
            let reason = reason.clone();
            let seq = ask(session, pb::GroupJoinReq { group_id, reason })?.seq;
            (seq, if seq == 0 { "asked to come in" } else { "you are in" })
        }
        Change::Admit { whom, .. } | Change::Refuse { whom, .. } => {
            let user_id = resolve(session, whom)?;
            let accept = matches!(change, Change::Admit { .. });
            let seq = ask(session, pb::GroupHandleJoinReq { group_id, user_id, accept })?.seq;
            (seq, if accept { "taken in" } else { "refused" })
        }
        Change::Remove { users, .. } => {
            let users = resolve_all(session, users)?;
            let user_ids = users.into_iter().map(|user| user.0).collect();
            (ask(session, pb::GroupRemoveReq { group_id, user_ids })?.seq, "put out")
        }
        Change::Promote { whom, .. } | Change::Demote { whom, .. } => {
            let user_id = resolve(session, whom)?;
            let (role, done) = match change {
                Change::Promote { .. } => (pb::GroupRole::Admin, "an admin now"),
                _ => (pb::GroupRole::Member, "a plain member now"),
            };
            (ask(session, pb::GroupSetRoleReq { group_id, user_id, role: role.into() })?.seq, done)
        }
        Change::Transfer { whom, .. } => {
            let user_id = resolve(session, whom)?;
            (ask(session, pb::GroupTransferReq { group_id, user_id })?.seq, "the owner now")
        }
        Change::Mute { whom, seconds, .. } => {
            (mute(session, group_id, whom, *seconds)?, "silenced")
        }
        Change::Unmute { whom, .. } => (mute(session, group_id, whom, 0)?, "may speak again"),
        Change::Set { name, announcement, join, open_history, .. } => {
            let join_mode = join.map(|join| match join {
                Join::Invited => pb::JoinMode::Invited.into(),
                Join::Asked => pb::JoinMode::Asked.into(),
                Join::Open => pb::JoinMode::Open.into(),
            });
            let (name, announcement) = (name.clone(), announcement.clone());
            let open_history = *open_history;
            let body = pb::GroupUpdateReq { group_id, name, announcement, join_mode, open_history };
            (ask(session, body)?.seq, "changed")
        }
        Change::Dissolve { .. } => {
            (ask(session, pb::GroupDissolveReq { group_id })?.seq, "the group has ended")
        }
    })
}

/// For 0 seconds: no longer. Without a user it is for all plain members.
fn mute(
    session: &mut Session,
    group_id: u64,
    whom: &Option<String>,
    seconds: u32,
) -> anyhow::Result<u64> {
    let body = match whom {
        Some(whom) => {
            let user_id = resolve(session, whom)?;
            pb::GroupMuteReq { group_id, user_id, seconds, all_muted: false }
        }
        None => pb::GroupMuteReq { group_id, all_muted: seconds > 0, ..Default::default() },
    };
    Ok(ask(session, body)?.seq)
}

fn group_number(typed: &str) -> Result<u64, String> {
    let number = typed.strip_prefix("group:").unwrap_or(typed);
    number.parse().map_err(|_| "write a number, or group:NUMBER".to_owned())
}

fn ask<A: Ask + Clone>(session: &mut Session, body: A) -> anyhow::Result<A::Answer> {
    Ok(session.with_retry(|client| client.ask(body.clone()))?)
}

fn resolve(session: &mut Session, typed: &str) -> anyhow::Result<u64> {
    Ok(Names::default().resolve_user(&mut session.client, typed)?.0)
}

fn resolve_all(session: &mut Session, typed: &[String]) -> anyhow::Result<Vec<UserId>> {
    let mut names = Names::default();
    typed.iter().map(|typed| names.resolve_user(&mut session.client, typed)).collect()
}
