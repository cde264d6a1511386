//! stub
use std::process::ExitCode;
/// stub
#[derive(clap::Args, Debug)]
pub struct ReplayArgs {}
/// stub
pub fn run(_: ReplayArgs) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
