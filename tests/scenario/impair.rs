//! A relay process of a test's own (`aldis impair`): started, asked for its address, ended and asked
//! for its counts. Knows no traffic.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::server::aldis;

/// A running relay. Dropping it kills the process.
pub struct Impair {
    child: Child,
    lines: BufReader<ChildStdout>,
    started: Value,
}

impl Impair {
    /// Starts `aldis impair` with these arguments; returns when it listens.
    pub fn start(args: &[&str]) -> Self {
        let mut child = aldis()
            .arg("impair")
            .args(args)
            .arg("--json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("aldis runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let started = read_line(&mut lines);
        assert_eq!(started["event"], "start", "{started}");
        Self { child, lines, started }
    }

    /// An address of its first line: `listen`, `listen_a` or `listen_b`.
    pub fn address(&self, name: &str) -> SocketAddr {
        let text = self.started[name].as_str().expect("an address");
        text.parse().expect("an address")
    }

    /// The next line that says this.
    pub fn wait_line(&mut self, event: &str) -> Value {
        loop {
            let line = read_line(&mut self.lines);
            if line["event"] == event {
                return line;
            }
        }
    }

    /// Ends it by SIGTERM; its last line.
    pub fn end(mut self) -> Value {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("our own child");
        let line = self.wait_line("end");
        assert!(self.child.wait().expect("our own child").success());
        line
    }
}

impl Drop for Impair {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_line(lines: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    lines.read_line(&mut line).expect("the relay's output");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}
