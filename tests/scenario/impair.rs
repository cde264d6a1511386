//! A relay process of a test's own (`aldis impair`): started, asked for its address, ended and asked
//! for its counts. Knows no traffic.

use std::io::{BufRead, BufReader, Write};
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
            .args(["--json", "--stdin"])
            .stdin(Stdio::piped())
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

    /// Changes settings, and returns when they hold.
    pub fn set(&mut self, words: &str) {
        let input = self.child.stdin.as_mut().expect("piped");
        writeln!(input, "{words}").expect("the relay runs");
        let line = self.wait_line("set");
        assert_eq!(line["settings"], words);
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

    /// Ends it by the end of its input; its last line.
    pub fn hang_up(mut self) -> Value {
        drop(self.child.stdin.take());
        let line = self.wait_line("end");
        assert!(self.child.wait().expect("our own child").success());
        line
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
