//! From arguments to a session: server, user, device, password or token. Prints nothing but prompts.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use aldis_client::core::Credentials;
use aldis_client::shell::{ClientConfig, TlsOptions, ask_gateway, is_gateway};
use aldis_client::{Client, ClientError, Config, SavedState, Start};
use aldis_wire::{Code, DeviceClass, name, pb};
use clap::{Args, ValueEnum};

use crate::exit::usage;
use crate::profile::{Profile, SessionKey};

/// Sessions in a row that may be lost to other logins of the same device class before a one-shot
/// command gives up: scripts that run at the same moment take turns.
const KICKS_MAX: u32 = 8;

/// Where to, as whom, on which device.
#[derive(Args, Clone, Debug)]
pub struct ConnectArgs {
    /// Address of the server.
    #[arg(long, env = "ALDIS_SERVER", default_value = "127.0.0.1:7700", value_name = "HOST:PORT", value_parser = host_and_port)]
    pub server: String,
    /// HTTP api of an installation: it is asked for the server to connect to, before each connection
    /// [instead of --server].
    #[arg(long, env = "ALDIS_GATEWAY", value_name = "http://HOST:PORT", value_parser = gateway_url)]
    pub gateway: Option<String>,
    /// Connect over TLS; the server's certificate must be for its host name and be trusted by this
    /// machine.
    #[arg(long, env = "ALDIS_TLS")]
    pub tls: bool,
    /// PEM file with the certificates to trust instead [implies --tls].
    #[arg(long, env = "ALDIS_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Who you are.
    #[arg(long, short, env = "ALDIS_USER", value_name = "NAME")]
    pub user: Option<String>,
    /// Class of this device; a user has one live session per class [default: desktop for chat,
    /// device for tail, web for all others, so that they do not end each other's sessions].
    #[arg(long, value_enum)]
    pub device_class: Option<ClassArg>,
    /// Id of this device [default: made once and kept in the configuration directory].
    #[arg(long, value_name = "ID")]
    pub device_id: Option<String>,
    /// Seconds to wait for the server.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
}

/// Classes of devices on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum ClassArg {
    Phone,
    Tablet,
    Desktop,
    Web,
    Device,
}

impl From<ClassArg> for DeviceClass {
    fn from(class: ClassArg) -> Self {
        match class {
            ClassArg::Phone => DeviceClass::Phone,
            ClassArg::Tablet => DeviceClass::Tablet,
            ClassArg::Desktop => DeviceClass::Desktop,
            ClassArg::Web => DeviceClass::Web,
            ClassArg::Device => DeviceClass::Device,
        }
    }
}

/// An open session and how to keep its token.
#[derive(Debug)]
pub struct Session {
    /// The client, logged in.
    pub client: Client,
    /// Who it is.
    pub me: pb::LoginResp,
    profile: Profile,
    key: SessionKey,
    credentials: Credentials,
}

impl ConnectArgs {
    /// The user's name in its comparable form.
    pub fn username(&self) -> anyhow::Result<String> {
        let user = self.user.as_deref().ok_or_else(|| usage("--user or ALDIS_USER is needed"))?;
        name::normalize_username(user).ok_or_else(|| {
            usage(format!(
                "{user:?} is no user name: letters and digits of any script, `_`, `-` and `.`, \
                 at most 64 bytes"
            ))
        })
    }

    /// The server, or who knows one.
    pub fn place(&self) -> &str {
        self.gateway.as_deref().unwrap_or(&self.server)
    }

    /// How the server is known to be the right one; `None`: not at all.
    fn tls_options(&self) -> Option<TlsOptions> {
        let is_wanted = self.tls || self.ca.is_some();
        is_wanted.then(|| TlsOptions { roots: self.ca.clone(), name: None })
    }

    /// A client for this server, not connected.
    pub fn client(
        &self,
        class: DeviceClass,
        device_id: &str,
        start: Start,
        saved: SavedState,
    ) -> anyhow::Result<Client> {
        let mut core = Config::new(device_id, class);
        core.device_name = device_name();
        core.start = start;
        let mut config = ClientConfig::new(self.place(), core);
        config.call_timeout = Duration::from_secs(self.timeout);
        config.tls = self.tls_options();
        // A node that a gateway names may have died since: the next answer names another one. That
        // the gateway itself is there is seen at once.
        config.fail_fast = self.gateway.is_none();
        if let Some(url) = &self.gateway {
            ask_gateway(url).map_err(|error| ClientError::Unreachable {
                server: url.clone(),
                reason: error.to_string(),
            })?;
        }
        Ok(Client::new(config, saved)?)
    }

    /// Logs in with the stored token, ALDIS_PASSWORD or a prompt, in this order.
    pub fn open(&self, class: DeviceClass, start: Start) -> anyhow::Result<Session> {
        let class = self.device_class.map_or(class, DeviceClass::from);
        let profile = Profile::of_user()?;
        let device_id = match &self.device_id {
            Some(id) => id.clone(),
            None => profile.device_id(class)?,
        };
        let user = self.username()?;
        let key = SessionKey {
            server: self.place().to_owned(),
            user: user.clone(),
            class: class.number(),
            device_id: device_id.clone(),
        };
        // Only the token: where a command starts in the mailbox is its own affair.
        let SavedState { user_id, token, .. } = profile.load(&key);
        let has_token = !token.is_empty();
        let saved = SavedState { user_id, token, ..SavedState::default() };
        let password = environment_password();
        let credentials = match password {
            Some(password) => Credentials::Password { username: user.clone(), password },
            None if has_token => Credentials::SavedToken,
            None => {
                Credentials::Password { username: user.clone(), password: ask_password(&user)? }
            }
        };
        let mut client = self.client(class, &device_id, start, saved)?;
        let (me, credentials) = match client.login(credentials.clone()) {
            Err(ClientError::Refused { code, .. })
                if matches!(credentials, Credentials::SavedToken)
                    && matches!(code, Code::BadCredentials | Code::TokenExpired) =>
            {
                let password = ask_password(&user)?;
                let credentials = Credentials::Password { username: user, password };
                (client.login(credentials.clone())?, credentials)
            }
            result => (result?, credentials),
        };
        let session = Session { client, me, profile, key, credentials };
        session.keep_token()?;
        Ok(session)
    }
}

impl Session {
    /// Stores the token for the next command.
    pub fn keep_token(&self) -> anyhow::Result<()> {
        self.profile.store(&self.key, &self.client.core().export_state())
    }

    /// Asks for a new session after this one was taken; the outcome comes as an event.
    pub fn log_in_again(&mut self) {
        let (core, now) = self.client.core_mut();
        core.login(now, self.credentials.clone());
    }

    /// The password that logged in is no longer the one: further logins use the token.
    pub fn forget_password(&mut self) {
        self.credentials = Credentials::SavedToken;
    }

    /// Does something that is safe to repeat, logging in again when another command of the same
    /// device class took the session meanwhile.
    pub fn with_retry<T>(
        &mut self,
        mut work: impl FnMut(&mut Client) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let mut kick_count = 0;
        loop {
            match work(&mut self.client) {
                Err(ClientError::Kicked { reason: pb::KickReason::Replaced })
                    if kick_count < KICKS_MAX =>
                {
                    kick_count += 1;
                    self.client.login(self.credentials.clone())?;
                }
                result => return result,
            }
        }
    }
}

fn host_and_port(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(text.to_owned())
        }
        _ => Err("write HOST:PORT".to_owned()),
    }
}

fn gateway_url(text: &str) -> Result<String, String> {
    if is_gateway(text) { Ok(text.to_owned()) } else { Err("write http://host:port".to_owned()) }
}

/// The password of the environment, if it is set.
pub fn environment_password() -> Option<String> {
    std::env::var("ALDIS_PASSWORD").ok().filter(|password| !password.is_empty())
}

/// Asks on the terminal, without echo.
pub fn ask_password(user: &str) -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(usage(format!(
            "no password for {user}: set ALDIS_PASSWORD, or log in once on a terminal"
        )));
    }
    Ok(rpassword::prompt_password(format!("Password of {user}: "))?)
}

/// Shown in lists of devices: this machine's name, as far as the protocol allows it.
fn device_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name::is_display_name(&host) { host } else { String::new() }
}
