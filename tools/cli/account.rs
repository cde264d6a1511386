//! `aldis profile`, `aldis passwd`, `aldis devices`: one's own account.

use std::process::ExitCode;

use aldis_client::Start;
use aldis_wire::{DeviceClass, limits, pb};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::connect::{ConnectArgs, Session, ask_password, environment_password};
use crate::exit::usage;
use crate::terminal::{escape_line, local_time, now_ms};

/// Show your profile, or change it.
#[derive(Args, Debug)]
pub struct ProfileArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// How others see you.
    #[arg(long, value_name = "NAME")]
    set_nickname: Option<String>,
    /// URL of your picture; empty: none.
    #[arg(long, value_name = "URL")]
    set_avatar: Option<String>,
    /// Who sees whether you are online.
    #[arg(long, value_enum)]
    set_presence: Option<Audience>,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// Who sees whether somebody is online.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Audience {
    Friends,
    Everybody,
    Nobody,
}

/// Change your password. All other sessions end, and all other devices need the new password.
///
/// The old one comes from ALDIS_PASSWORD or a prompt, the new one from ALDIS_NEW_PASSWORD or a prompt.
#[derive(Args, Debug)]
pub struct PasswdArgs {
    #[command(flatten)]
    connect: ConnectArgs,
}

/// The devices on which you have logged in, the last login first.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DevicesArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    action: Option<DevicesAction>,
}

#[derive(Subcommand, Debug)]
enum DevicesAction {
    /// End a device's session, wherever it is; it cannot log in again without the password.
    Revoke {
        #[command(flatten)]
        common: Common,
        /// Its id, as the list shows it.
        device: String,
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

/// Runs `profile`.
pub fn profile(args: ProfileArgs) -> anyhow::Result<ExitCode> {
    let mut session = args.connect.open(DeviceClass::Web, Start::Head)?;
    let update = pb::UserUpdateReq {
        nickname: args.set_nickname,
        avatar_url: args.set_avatar,
        presence_audience: args.set_presence.map(|audience| match audience {
            Audience::Friends => pb::PresenceAudience::PresenceToFriends.into(),
            Audience::Everybody => pb::PresenceAudience::PresenceToEverybody.into(),
            Audience::Nobody => pb::PresenceAudience::PresenceToNobody.into(),
        }),
    };
    if update != pb::UserUpdateReq::default() {
        session.with_retry(|client| client.ask(update.clone()))?;
    }
    let query = pb::UserGetReq { user_ids: vec![session.me.user_id] };
    let found = session.with_retry(|client| client.ask(query.clone()))?;
    for user in found.users {
        if args.json {
            let pb::UserInfo { user_id, username, nickname, avatar_url } = user;
            let line = json!({
                "user_id": user_id, "user": username, "nickname": nickname,
                "avatar_url": avatar_url,
            });
            println!("{line}");
            continue;
        }
        let mut line = format!("{} (id {})", user.username, user.user_id);
        let fields = [(", called ", &user.nickname), (", picture ", &user.avatar_url)];
        for (label, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            line.push_str(&format!("{label}{}", escape_line(value)));
        }
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `passwd`.
pub fn passwd(args: PasswdArgs) -> anyhow::Result<ExitCode> {
    let user = args.connect.username()?;
    let mut session = args.connect.open(DeviceClass::Web, Start::Head)?;
    let old_password = environment_password().map_or_else(|| ask_password(&user), Ok)?;
    let new_password = match std::env::var("ALDIS_NEW_PASSWORD") {
        Ok(password) => password,
        Err(_) => {
            let password = ask_password(&format!("{user} from now on"))?;
            if ask_password(&format!("{user} once more"))? != password {
                return Err(usage("the two passwords differ"));
            }
            password
        }
    };
    let lengths = limits::PASSWORD_BYTES_MIN..=limits::PASSWORD_BYTES_MAX;
    if !lengths.contains(&new_password.len()) {
        let (min, max) = (lengths.start(), lengths.end());
        return Err(usage(format!("a password has {min} to {max} bytes")));
    }
    session.client.ask(pb::ChangePasswordReq { old_password, new_password })?;
    session.keep_token()?;
    println!("the password of {user} is changed; other devices need it to log in");
    Ok(ExitCode::SUCCESS)
}

/// Runs `devices`.
pub fn devices(args: DevicesArgs) -> anyhow::Result<ExitCode> {
    match args.action {
        None => list(&args.common)?,
        Some(DevicesAction::Revoke { common, device }) => {
            let mut session = open(&common)?;
            let revoke = pb::DeviceRevokeReq { device_id: device.clone() };
            session.with_retry(|client| client.ask(revoke.clone()))?;
            println!("device {} is revoked", escape_line(&device));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(common: &Common) -> anyhow::Result<Session> {
    common.connect.open(DeviceClass::Web, Start::Head)
}

fn list(common: &Common) -> anyhow::Result<()> {
    let mut session = open(common)?;
    let found = session.with_retry(|client| client.ask(pb::DeviceListReq {}))?;
    for device in found.devices {
        let class = device.device_class().as_str_name().to_lowercase();
        let (id, name) = (escape_line(&device.device_id), escape_line(&device.device_name));
        if common.json {
            let line = json!({
                "device_id": device.device_id, "class": class, "name": device.device_name,
                "login_time_ms": device.login_time_ms, "is_online": device.is_online,
                "is_this": device.is_this,
            });
            println!("{line}");
            continue;
        }
        let since = match device.login_time_ms {
            0 => "at some time".to_owned(),
            at_ms => local_time(at_ms, now_ms()),
        };
        let online = if device.is_online { ", online" } else { "" };
        let this = if device.is_this { ", this one" } else { "" };
        println!("{id} ({class}, {name}) logged in {since}{online}{this}");
    }
    Ok(())
}
