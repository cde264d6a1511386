//! aldisd, the server: commands and how they end. What they do is in the modules.

mod admin;
mod breaks;
mod clock;
mod config;
mod data_dir;
mod directories;
mod edge;
mod hash_pool;
mod hasher;
mod http;
mod link;
mod mail;
mod memory;
mod metrics;
#[cfg(feature = "planted-bugs")]
mod planted;
mod reactor_handler;
mod serve;
mod signals;
mod stores;
mod sys;
mod threads;
mod tls;
mod urgency;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;

/// The Aldis instant-messaging server.
///
/// Without a command it serves. Without a configuration it listens on 127.0.0.1:7700 and keeps its
/// data in ./aldis-data. ALDIS_LOG sets what is logged: error, warn, info (default), debug, or by
/// module as in `info,aldis_net=debug`.
#[derive(Parser)]
#[command(name = "aldisd", version)]
struct Args {
    /// Configuration file (TOML).
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<CommandArgs>,
}

#[derive(Subcommand)]
enum CommandArgs {
    /// Serve clients (the default).
    Serve,
    /// Read the configuration, say what is wrong with it, and do nothing else.
    CheckConfig,
    /// Bring the schema of the store up to date. Several at once are safe.
    Migrate {
        /// Only say whether it is; exit code 1 if not.
        #[arg(long)]
        check: bool,
        /// The database as seen by an account that may make tables; by default store.url.
        #[arg(long, value_name = "URL", env = "ALDIS_MIGRATE_URL", hide_env_values = true)]
        url: Option<String>,
    },
    /// Change the store directly; the server may be running.
    Admin {
        #[command(subcommand)]
        command: admin::AdminCommand,
    },
}

fn main() -> ExitCode {
    sys::give_memory_back();
    let log = env_logger::Env::new().filter_or("ALDIS_LOG", "info").write_style("ALDIS_LOG_STYLE");
    env_logger::Builder::from_env(log).format_target(false).init();
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aldisd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref())?;
    match args.command.unwrap_or(CommandArgs::Serve) {
        CommandArgs::Serve => serve::run(&config),
        CommandArgs::CheckConfig => {
            if let Some(table) = &config.listen.tls {
                tls::TlsFiles::open(table)?;
            }
            println!("The configuration is good.");
            Ok(())
        }
        CommandArgs::Migrate { check: true, url } => stores::check_schema(&config, url.as_deref()),
        CommandArgs::Migrate { check: false, url } => stores::migrate(&config, url.as_deref()),
        CommandArgs::Admin { command } => admin::run(&config, command),
    }
}
