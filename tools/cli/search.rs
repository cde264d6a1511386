//! `aldis search`: texts, friends and groups.

use std::process::ExitCode;

use aldis_client::Start;
use aldis_client::core::Target;
use aldis_wire::{DeviceClass, limits, pb};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::connect::{ConnectArgs, Session};
use crate::names::Names;
use crate::print::print_entry;
use crate::terminal::escape_line;

/// Find texts, newest first, or friends and groups by name.
#[derive(Args, Debug)]
pub struct SearchArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
    /// What is searched.
    #[arg(long, value_enum, default_value = "messages")]
    scope: Scope,
    /// Only this conversation: user name, id:NUMBER or group:NUMBER.
    #[arg(long, value_name = "CONVERSATION")]
    with: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Words, all of which must be there; "\"a phrase\"" stands together.
    #[arg(required = true)]
    query: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scope {
    Messages,
    Friends,
    Groups,
}

/// Runs the command.
pub fn run(args: SearchArgs) -> anyhow::Result<ExitCode> {
    let mut session = args.connect.open(DeviceClass::Web, Start::Head)?;
    let mut names = Names::default();
    let (receiver_id, group_id) = match &args.with {
        None => (0, 0),
        Some(with) => match names.resolve(&mut session.client, with)? {
            Target::User(user) => (user.0, 0),
            Target::Group(group) => (0, group.0),
        },
    };
    let scope = match args.scope {
        Scope::Messages => pb::SearchScope::SearchMessages,
        Scope::Friends => pb::SearchScope::SearchFriends,
        Scope::Groups => pb::SearchScope::SearchGroups,
    };
    let request = pb::SearchReq {
        scope: scope.into(),
        query: args.query.join(" "),
        receiver_id,
        group_id,
        ..pb::SearchReq::default()
    };
    let found = find(&mut session, request, args.limit as usize)?;
    let me = session.me.user_id;
    session.with_retry(|client| names.fetch_for(client, &found.entries))?;
    for entry in &found.entries {
        print_entry(entry, 0, me, &names, args.json)?;
    }
    for user in &found.users {
        let (id, username, nickname) = (user.user_id, &user.username, &user.nickname);
        match args.json {
            true => {
                println!("{}", json!({"user_id": id, "username": username, "nickname": nickname}))
            }
            false => println!("{id} {} ({})", escape_line(username), escape_line(nickname)),
        }
    }
    for group in &found.groups {
        match args.json {
            true => println!("{}", json!({"group_id": group.group_id, "name": group.name})),
            false => println!("group:{} {}", group.group_id, escape_line(&group.name)),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The first `limit` hits. Pages may be empty where there is much to look at.
fn find(
    session: &mut Session,
    mut request: pb::SearchReq,
    limit: usize,
) -> anyhow::Result<pb::SearchResp> {
    let mut found = pb::SearchResp::default();
    loop {
        let count = found.entries.len() + found.users.len() + found.groups.len();
        request.limit = (limit - count).min(limits::SEARCH_HITS_MAX) as u32;
        let page = session.with_retry(|client| client.search_page(request.clone()))?;
        let got = page.entries.len() + page.users.len() + page.groups.len();
        found.entries.extend(page.entries);
        found.users.extend(page.users);
        found.groups.extend(page.groups);
        if page.cursor == 0 || count + got >= limit {
            return Ok(found);
        }
        request.cursor = page.cursor;
    }
}
