//! Private Redis servers, alone or as a cluster of three. Knows no key.

use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::program::{POLL, Program, START_MAX, find, free_port, remove_after_exit};

/// Debian's package with the server.
const SERVER_PACKAGE: &str = "redis-server";
/// A cluster node's bus listens this far above its port.
const BUS_OFFSET: u16 = 10_000;

/// A running server without persistence. Dropping it kills the process.
pub struct Redis {
    dir: TempDir,
    port: u16,
    is_cluster: bool,
    program: Program,
}

impl Redis {
    /// Starts one.
    pub fn start() -> Self {
        Self::start_as(false)
    }

    fn start_as(is_cluster: bool) -> Self {
        let dir = TempDir::with_prefix("aldis-redis-").expect("a temporary directory");
        remove_after_exit(dir.path());
        let port = if is_cluster { free_cluster_port() } else { free_port() };
        let program = start(&dir, port, is_cluster);
        let mut server = Self { dir, port, is_cluster, program };
        server.wait_until_ready();
        server
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Runs a command; the answer as redis-cli prints it.
    pub fn cli(&self, command: &[&str]) -> String {
        self.try_cli(command).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Runs a command; its answer, or what is wrong.
    pub fn try_cli(&self, command: &[&str]) -> Result<String, String> {
        let cluster = self.is_cluster.then_some("-c");
        // redis-cli has no time limit of its own in every version.
        let output = Command::new("timeout")
            .arg("5")
            .arg(find("redis-cli", "redis-tools"))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(cluster)
            .args(command)
            .output()
            .expect("redis-cli runs");
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        if output.status.success() && !text.starts_with("(error)") {
            Ok(text)
        } else {
            Err(text + &String::from_utf8_lossy(&output.stderr))
        }
    }

    /// Ends it without warning; its content is gone.
    pub fn kill_9(&mut self) {
        self.program.kill_9();
    }

    /// Starts it again, empty, at the same address.
    pub fn restart(&mut self) {
        self.program = start(&self.dir, self.port, self.is_cluster);
        self.wait_until_ready();
    }

    /// Stops it in its tracks (SIGSTOP): connections stay, nothing is answered.
    pub fn pause(&self) {
        self.program.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.program.signal(Signal::CONT);
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START_MAX;
        while self.try_cli(&["PING"]).as_deref() != Ok("PONG") {
            if self.program.has_ended() || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.dir.path().join("log"));
                panic!("Redis does not start:\n{}", log.unwrap_or_default());
            }
            std::thread::sleep(POLL);
        }
    }
}

/// A Redis Cluster of three masters.
pub struct RedisCluster {
    /// The servers; each has a third of the slots.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts one and waits until it serves.
    pub fn start() -> Self {
        let nodes: Vec<Redis> = (0..3).map(|_| Redis::start_as(true)).collect();
        let addresses = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port));
        let output = Command::new(find("redis-cli", "redis-tools"))
            .args(["--cluster", "create"])
            .args(addresses)
            .arg("--cluster-yes")
            .output()
            .expect("redis-cli runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let cluster = Self { nodes };
        cluster.wait_until_whole();
        cluster
    }

    /// Where its nodes are.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }

    /// Runs a command, wherever its key is.
    pub fn cli(&self, command: &[&str]) -> String {
        self.nodes[0].cli(command)
    }

    /// Waits until every node sees all slots served.
    pub fn wait_until_whole(&self) {
        let deadline = Instant::now() + START_MAX;
        let is_whole = |node: &Redis| {
            node.try_cli(&["CLUSTER", "INFO"]).is_ok_and(|info| info.contains("cluster_state:ok"))
        };
        while !self.nodes.iter().all(is_whole) {
            assert!(Instant::now() < deadline, "the cluster does not come together");
            std::thread::sleep(POLL);
        }
    }
}

fn start(dir: &TempDir, port: u16, is_cluster: bool) -> Program {
    let port = port.to_string();
    let folder = dir.path().display().to_string();
    let mut args = vec!["--port", &port, "--bind", "127.0.0.1", "--dir", &folder];
    args.extend(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
    if is_cluster {
        // A restarted node is a master again at once: there is nobody to take over.
        args.extend(["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]);
        args.extend(["--cluster-require-full-coverage", "no"]);
    }
    Program::start(&find("redis-server", SERVER_PACKAGE), &args, &dir.path().join("log"))
}

/// A port whose bus port exists and is free too.
fn free_cluster_port() -> u16 {
    loop {
        let port = free_port();
        let bus = port.checked_add(BUS_OFFSET).unwrap_or_default();
        if bus > port && std::net::TcpListener::bind(("127.0.0.1", bus)).is_ok() {
            return port;
        }
        // The system hands out ports of a range that may lie too high: take one below it.
        let low = 10_000 + port % 20_000;
        let bus = low + BUS_OFFSET;
        let is_free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(low) && is_free(bus) {
            return low;
        }
    }
}
