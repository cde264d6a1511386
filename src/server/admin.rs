//! `aldisd admin`: changes of the store without a client.

use std::fs::OpenOptions;
use std::io::{BufRead, BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aldis_logic::Claims;
use aldis_logic::job::{BootId, Generations, NewUser};
use aldis_store::SeedUsers;
use aldis_wire::limits::{PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN};
use aldis_wire::name::{is_display_name, normalize_username};
use aldis_wire::{DeviceClass, RequestId};
use anyhow::{Context, bail};
use clap::Subcommand;

use crate::clock::unix_ms;
use crate::config::{Config, StoreKind};
use crate::data_dir;
use crate::hasher::Hasher;
use crate::serve;
use crate::stores::AnyStore;
use crate::tls;

/// Device id that seeded tokens are for.
const SEED_DEVICE: &str = "seed";

#[derive(Subcommand)]
pub enum AdminCommand {
    /// Add a user. The password is read from ALDIS_PASSWORD or from standard input.
    UserAdd {
        /// Letters and digits of any script, _ - and .
        username: String,
        /// As shown to others; the username by default.
        #[arg(long)]
        nickname: Option<String>,
    },
    /// Tell clients that positions they remember are void: after a restore from a backup, or a
    /// failover to a database that may lack commits. Servers that run end themselves, or have to be
    /// ended before with SQLite.
    RenewStoreEpoch,
    /// Make a certificate that signs itself, for trials and tests: `certificate.pem` and `key.pem`.
    Certificate {
        /// Names and addresses of the server, as clients say them.
        #[arg(long = "name", value_name = "NAME", default_values_t = ["localhost".to_owned(), "127.0.0.1".to_owned()])]
        names: Vec<String>,
        /// Directory for the two files, which must not be there yet.
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// Add users without passwords and write tokens for them: one line each of user id, username,
    /// token, device id and device class, separated by tabs. For load tests.
    SeedUsers {
        /// How many.
        #[arg(long)]
        count: u32,
        /// Where to; readable by the owner only.
        #[arg(long, value_name = "FILE")]
        tokens: PathBuf,
        /// What their names begin with.
        #[arg(long, default_value = "seed")]
        prefix: String,
        /// Device class of the tokens: 1 phone, 2 tablet, 3 desktop, 4 web, 5 device.
        #[arg(long, default_value_t = 5)]
        device_class: u8,
    },
}

pub fn run(config: &Config, command: AdminCommand) -> anyhow::Result<()> {
    match command {
        AdminCommand::UserAdd { username, nickname } => user_add(config, username, nickname),
        AdminCommand::RenewStoreEpoch => renew_store_epoch(config),
        AdminCommand::Certificate { names, dir } => tls::make_certificate(&names, &dir),
        AdminCommand::SeedUsers { count, tokens, prefix, device_class } => {
            let class = DeviceClass::from_number(device_class.into())
                .context("--device-class is 1 to 5")?;
            seed_users(config, &SeedUsers { prefix, count }, &tokens, class)
        }
    }
}

fn user_add(config: &Config, name: String, nickname: Option<String>) -> anyhow::Result<()> {
    let username = normalize_username(&name)
        .context("a username is 1 to 64 bytes of letters, digits, _ - and .")?;
    let nickname = nickname.unwrap_or(name);
    if !is_display_name(&nickname) {
        bail!("the nickname is too long or not printable");
    }
    let password = read_password()?;
    if !(PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.len()) {
        bail!("a password has {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes");
    }
    let store = AnyStore::open(config, BootId::default())?;
    let password_phc = Hasher::new()?.hash(&password)?;
    let mut request_id = [0; 16];
    getrandom::fill(&mut request_id).context("no random numbers")?;
    let request_id = RequestId(request_id);
    let user = NewUser { username: username.clone(), nickname, password_phc, request_id };
    let id = store.add_user(user)?;
    println!("{username} is user {id}.");
    Ok(())
}

fn renew_store_epoch(config: &Config) -> anyhow::Result<()> {
    // A server on one machine reads its epoch only when it starts.
    let lock = match config.store.kind.get_ref() {
        StoreKind::Sqlite => Some(data_dir::lock(&config.data_dir)?),
        StoreKind::Mysql => None,
    };
    let epoch = AnyStore::open(config, BootId::default())?.renew_epoch()?;
    drop(lock);
    println!("The store's epoch is {epoch} now.");
    Ok(())
}

fn read_password() -> anyhow::Result<String> {
    if let Ok(password) = std::env::var("ALDIS_PASSWORD") {
        return Ok(password);
    }
    if std::io::stdin().is_terminal() {
        return Ok(rpassword::prompt_password("Password: ")?);
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("cannot read the password")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn seed_users(
    config: &Config,
    seed: &SeedUsers,
    path: &Path,
    class: DeviceClass,
) -> anyhow::Result<()> {
    let store = AnyStore::open(config, BootId::default())?;
    let keyring = serve::keyring(&store.boot()?)?;
    let users = store.seed_users(seed)?;
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    let mut file =
        BufWriter::new(file.with_context(|| format!("cannot write {}", path.display()))?);
    let now_ms = unix_ms();
    let expires_ms = now_ms + serve::token_ttl_ms(config);
    for (number, user) in users.iter().enumerate() {
        let claims = Claims {
            user: *user,
            device_id: SEED_DEVICE.into(),
            class,
            generations: Generations::default(),
        };
        let token = keyring.mint(&claims, now_ms, expires_ms)?;
        let name = format!("{}-{:04}", seed.prefix, number + 1);
        writeln!(file, "{user}\t{name}\t{token}\t{SEED_DEVICE}\t{}", class.number())?;
    }
    file.flush().with_context(|| format!("cannot write {}", path.display()))?;
    println!("{} users, tokens in {}.", users.len(), path.display());
    Ok(())
}
