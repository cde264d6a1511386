//! `aldis bench`: the load generator. One event loop per thread, frames patched into templates;
//! it must cost much less than the server, with which it shares the machine. Of the
//! client library it uses only errors: that is made for one correct connection, not for thousands.

mod args;
mod attacker;
mod channel;
mod chat;
mod codec;
mod connection;
mod fanout;
mod flood;
mod group;
mod handshake;
mod heartbeat;
mod idle;
mod login;
mod messages;
mod net;
mod proc_stats;
mod progress;
mod receiver;
mod report;
mod stream;
mod tally;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;
mod tokens;
mod workers;

use std::process::ExitCode;

pub use args::BenchArgs;

/// Runs one load and prints its result. The exit code is 1 if anything went wrong between client
/// and server; an error says why there is no result.
pub fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let report = match args.load {
        args::LoadKind::Chat(args) => chat::run(&args)?,
        args::LoadKind::Heartbeat(args) => heartbeat::run(&args)?,
        args::LoadKind::Idle(args) => idle::run(&args)?,
        args::LoadKind::Fanout(args) => fanout::run(&args)?,
        args::LoadKind::Handshake(args) => handshake::run(&args)?,
        args::LoadKind::Flood(args) => {
            flood::run(&args)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    report.print()?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
