//! `aldis friend`: ask, answer, list, delete, block.

use std::process::ExitCode;

use aldis_client::Start;
use aldis_client::core::Ask;
use aldis_wire::{DeviceClass, pb};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::connect::{ConnectArgs, Session};
use crate::names::Names;
use crate::terminal::escape_line;

/// Friends, requests to be one, and whom you block.
#[derive(Args, Debug)]
pub struct FriendArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Ask somebody to be a friend.
    Add {
        #[command(flatten)]
        of: Of,
        /// Why.
        #[arg(default_value = "")]
        reason: String,
    },
    /// Accept somebody's request.
    Accept {
        #[command(flatten)]
        of: Of,
    },
    /// Refuse somebody's request.
    Refuse {
        #[command(flatten)]
        of: Of,
    },
    /// Your friends, or who asks to be one, or whom you block.
    List {
        #[command(flatten)]
        common: Common,
        /// Which of them.
        #[arg(value_enum, default_value = "friends")]
        list: List,
    },
    /// Take a friend off your list; the other is not told, but cannot write to you any more.
    Delete {
        #[command(flatten)]
        of: Of,
    },
    /// Name a friend for yourself, and put it into a group of friends. What is left out is cleared.
    Rename {
        #[command(flatten)]
        of: Of,
        /// Your own name for the friend.
        #[arg(default_value = "")]
        remark: String,
        /// Group of friends.
        #[arg(long, default_value = "")]
        folder: String,
    },
    /// Neither of you can write to the other.
    Block {
        #[command(flatten)]
        of: Of,
    },
    /// End a block.
    Unblock {
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum List {
    Friends,
    Requests,
    Blocked,
}

#[derive(Args, Debug)]
struct Common {
    #[command(flatten)]
    connect: ConnectArgs,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// Whom it is about.
#[derive(Args, Debug)]
struct Of {
    #[command(flatten)]
    common: Common,
    /// User name or id:NUMBER.
    #[arg(value_name = "USER")]
    whom: String,
}

/// Runs the command.
pub fn run(args: FriendArgs) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Add { of, reason } => {
            let body = |user_id| pb::FriendApplyReq { user_id, reason: reason.clone() };
            change(&of, "was asked", body)?;
        }
        Action::Accept { of } => {
            let body = |user_id| pb::FriendHandleReq { user_id, accept: true };
            change(&of, "is a friend now", body)?;
        }
        Action::Refuse { of } => {
            let body = |user_id| pb::FriendHandleReq { user_id, accept: false };
            change(&of, "was refused", body)?;
        }
        Action::Delete { of } => {
            change(&of, "is off your list", |user_id| pb::FriendDeleteReq { user_id })?;
        }
        Action::Rename { of, remark, folder } => {
            let body = |user_id| {
                let (remark, folder) = (remark.clone(), folder.clone());
                pb::FriendUpdateReq { user_id, remark, folder }
            };
            change(&of, "is named so for you", body)?;
        }
        Action::Block { of } => change(&of, "is blocked", |user_id| pb::BlockReq { user_id })?,
        Action::Unblock { of } => {
            change(&of, "is no longer blocked", |user_id| pb::UnblockReq { user_id })?;
        }
        Action::List { common, list } => show(&common, list)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn open(common: &Common) -> anyhow::Result<Session> {
    common.connect.open(DeviceClass::Web, Start::Head)
}

/// Runs a change of one relation, and says what became of the other.
fn change<A: Ask>(of: &Of, done: &str, body: impl Fn(u64) -> A) -> anyhow::Result<()> {
    let mut session = open(&of.common)?;
    let mut names = Names::default();
    let user = names.resolve_user(&mut session.client, &of.whom)?;
    session.with_retry(|client| client.ask(body(user.0)).map(drop))?;
    if of.common.json {
        println!("{}", json!({"user_id": user.0, "done": true}));
    } else {
        println!("{} {done}", names.username(user.0));
    }
    Ok(())
}

fn show(common: &Common, list: List) -> anyhow::Result<()> {
    let mut session = open(common)?;
    let list = match list {
        List::Friends => pb::RelationList::Friends,
        List::Requests => pb::RelationList::Requests,
        List::Blocked => pb::RelationList::Blocked,
    };
    let relations = session.with_retry(|client| client.relations(list))?;
    let mut names = Names::default();
    session.with_retry(|client| names.fetch(client, relations.iter().map(|r| r.user_id)))?;
    for relation in relations {
        let username = names.username(relation.user_id);
        if common.json {
            let line = json!({
                "user_id": relation.user_id, "user": username, "remark": relation.remark,
                "folder": relation.folder, "reason": relation.reason,
                "is_friend": relation.is_friend, "is_blocked": relation.is_blocked,
                "has_asked": relation.has_asked,
            });
            println!("{line}");
            continue;
        }
        let notes = [&relation.remark, &relation.folder, &relation.reason];
        let notes: Vec<String> =
            notes.into_iter().filter(|note| !note.is_empty()).map(|n| escape_line(n)).collect();
        let line = format!("{} ({username}) {}", names.user(relation.user_id), notes.join(", "));
        println!("{}", line.trim_end());
    }
    Ok(())
}
