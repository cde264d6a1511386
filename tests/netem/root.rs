//! Programs that need root: run directly or through sudo. Knows no network.

use std::ffi::OsStr;
use std::process::Command;

use aldis_services::find;

/// A program, ready for arguments, with the rights of root.
pub fn as_root(program: &str, package: &str) -> Command {
    let program = find(program, package);
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new(find("sudo", "sudo"));
    command.arg("--non-interactive").arg(program);
    command
}

/// What a shell needs before a command that needs root.
pub fn sudo() -> &'static str {
    if rustix::process::geteuid().is_root() { "" } else { "sudo --non-interactive " }
}

/// Runs it to its end; what it printed, or what it complained about.
pub fn run<A: AsRef<OsStr>>(mut command: Command, args: &[A]) -> Result<String, String> {
    let output = command.args(args).output().expect("it was found");
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// `ip` with these words, which must succeed.
pub fn ip(words: &str) {
    let words: Vec<_> = words.split_whitespace().collect();
    run(as_root("ip", "iproute2"), &words)
        .unwrap_or_else(|error| panic!("this needs root or sudo: {error}"));
}
