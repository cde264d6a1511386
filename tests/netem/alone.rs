//! A test in a network of its own: what it listens on and connects to, on loopback too, is seen by
//! nobody else, and its addresses are free whatever the machine has. Knows no test.

use std::process::Stdio;

use aldis_services::find;

use crate::root::{as_root, ip};

/// Names the test that the process is there for.
const MARK: &str = "ALDIS_NETEM_ALONE";

/// Runs the body of the test with this name in a process of its own, in a network namespace that
/// ends with it, as root; returns when it succeeded.
pub fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var(MARK).is_ok_and(|marked| marked == test) {
        ip("link set lo up");
        return body();
    }
    let program = std::env::current_exe().expect("this test has a path");
    let mut command = as_root("unshare", "util-linux");
    command.args(["--net", "--"]);
    // With the test's process it ends too.
    command.arg(find("setpriv", "util-linux")).args(["--pdeathsig", "KILL", "--", "env"]);
    // sudo passes no variables on.
    let ours = std::env::vars().filter(|(name, _)| name.starts_with("ALDIS") || name == "PATH");
    command.args(ours.map(|(name, value)| format!("{name}={value}")));
    command.arg(format!("{MARK}={test}"));
    command.arg(program).args(["--exact", test, "--nocapture", "--include-ignored"]);
    let status = command.stdin(Stdio::null()).status().expect("it was found");
    assert!(status.success(), "{test} failed in its own network: {status}");
}
