//! Goal: the unit's filter of system calls lets the server do whatever it does. No test runs under
//! systemd; what a server calls in this one is compared with what the unit says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aldis_scenario::requests::{register_body, text_to};
use aldis_scenario::{Cluster, NodeOptions, RawClient, Server, ServerOptions, wait_for};
use aldis_services::find;
use aldis_wire::{Command as Request, DeviceClass, pb};
use rustix::process::Signal;

/// The listeners for HTTP have threads of their own.
const TABLES: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n[api]\nlisten = \"127.0.0.1:0\"\n";
const LINK: &str = "listen = \"127.0.0.1:0\"\n\
    key = \"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"";
const END_MAX: Duration = Duration::from_secs(60);

/// Only called by who is root, as these tests may be and the unit's server is not: SQLite gives its files
/// to the owner of the database.
const CALLED_BY_ROOT: [&str; 1] = ["fchown"];

/// Names of system calls.
type Calls = BTreeSet<String>;

fn unit() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/aldisd.service");
    std::fs::read_to_string(path).expect("the unit is there")
}

/// What systemd's sets stand for, with the sets that they contain.
fn sets() -> BTreeMap<String, Calls> {
    let output = Command::new(find("systemd-analyze", "systemd"))
        .args(["syscall-filter", "--no-pager"])
        .output()
        .expect("it was found");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut sets = BTreeMap::<String, Calls>::new();
    let mut last = String::new();
    for line in text.lines() {
        match line.trim() {
            "" => {}
            comment if comment.starts_with('#') => {}
            member if line.starts_with(' ') => {
                sets.entry(last.clone()).or_default().insert(member.to_owned());
            }
            name => last = name.to_owned(),
        }
    }
    assert!(sets.len() > 20, "systemd has dozens of sets: {text}");
    sets
}

/// The calls that a name stands for: its own, or those of a set.
fn expand(name: &str, sets: &BTreeMap<String, Calls>) -> Calls {
    match sets.get(name) {
        Some(members) => members.iter().flat_map(|member| expand(member, sets)).collect(),
        None => Calls::from([name.to_owned()]),
    }
}

/// What the unit allows: its first line of the filter says what is allowed at all, later ones add, or
/// with `~` take away.
fn allowed() -> Calls {
    let (sets, unit) = (sets(), unit());
    // systemd adds these to any list of what is allowed.
    let mut allowed = expand("@default", &sets);
    for names in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (is_taken, names) = match names.strip_prefix('~') {
            Some(names) => (true, names),
            None => (false, names),
        };
        for call in names.split_whitespace().flat_map(|name| expand(name, &sets)) {
            match is_taken {
                true => allowed.remove(&call),
                false => allowed.insert(call),
            };
        }
    }
    assert!(allowed.contains("epoll_wait") && !allowed.contains("mount"), "{allowed:?}");
    allowed
}

/// A command to run a server under; the trace goes to the file.
fn traced(trace: &Path) -> Vec<String> {
    let strace = find("strace", "strace").display().to_string();
    let words = ["-D", "-f", "-s", "0", "-o"].map(str::to_owned);
    [vec![strace], words.to_vec(), vec![trace.display().to_string()]].concat()
}

/// The system calls of a trace whose process has ended.
fn called(trace: &Path) -> Calls {
    let read = || std::fs::read_to_string(trace).expect("strace has written it");
    wait_for("the tracer has ended", || read().trim_end().ends_with("+++ exited with 0 +++"));
    let is_name = |name: &&str| {
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let calls: Calls = read()
        .lines()
        .filter_map(|line| {
            line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').split_once('(')
        })
        .map(|(name, _)| name)
        .filter(is_name)
        .map(str::to_owned)
        .collect();
    assert!(calls.len() > 30, "a server calls more than {calls:?}");
    calls
}

/// Lets a server do what it has threads for, reload and end.
fn use_and_end(mut server: Server) {
    let users = server.seed_users("caller", 2, DeviceClass::Phone);
    let mut ann = RawClient::login_seeded(server.address(), &users[0]);
    ann.send_message(&text_to(users[1].id, "hello"));
    ann.sync_all(0);
    let mut stranger = RawClient::connect(server.address());
    let register = register_body("stranger", "a long password");
    stranger.call(Request::Register, &register).ok::<pb::RegisterResp>();
    for name in ["admin", "api"] {
        let address = server.http_address(name);
        std::net::TcpStream::connect(address).expect("it listens");
    }
    server.signal(Signal::HUP);
    drop((ann, stranger));
    assert!(server.terminate(END_MAX), "it ends well");
}

fn expect_allowed(trace: &Path) {
    let (called, allowed) = (called(trace), allowed());
    let is_others = |call: &&String| !CALLED_BY_ROOT.contains(&call.as_str());
    let refused: Vec<&String> = called.difference(&allowed).filter(is_others).collect();
    println!("{} system calls, of {} allowed ones", called.len(), allowed.len());
    assert!(refused.is_empty(), "conf/aldisd.service refuses what the server calls: {refused:?}");
}

fn trace_in(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("trace")
}

#[test]
fn the_units_filter_has_all_that_a_single_node_calls() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let trace = trace_in(&dir);
    let (wrapper, config) = (traced(&trace), TABLES.to_owned());
    use_and_end(Server::start_with(ServerOptions { wrapper, config, ..ServerOptions::default() }));
    expect_allowed(&trace);
}

#[test]
fn the_units_filter_has_all_that_a_node_of_a_cluster_calls() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let trace = trace_in(&dir);
    let mut cluster = Cluster::start_with(2, |id, options| NodeOptions {
        tables: TABLES.to_owned(),
        wrapper: if id == 2 { traced(&trace) } else { Vec::new() },
        ..options.with_cluster_keys(LINK)
    });
    let node = cluster.nodes.pop().expect("two nodes");
    use_and_end(node);
    expect_allowed(&trace);
}
