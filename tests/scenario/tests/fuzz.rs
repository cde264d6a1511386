//! Goal: the packet fuzzer finds bugs that are planted into a server, each by the oracle that is there
//! for it, with a small case that shows it again there and nowhere else; in a server without them it
//! finds nothing, over TCP, TLS and the link between nodes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use aldis_scenario::{Cluster, NodeOptions, Server, ServerOptions, aldis, aldisd, seed};
use aldis_services::MariaDb;
use serde_json::Value;
use tempfile::TempDir;

/// Exit codes of `aldis fuzz`.
const CLEAN: i32 = 0;
const FOUND: i32 = 1;
const USAGE: i32 = 2;
const UNREACHABLE: i32 = 3;
/// No bug may take longer to be found.
const SECONDS_MAX: &str = "290";
/// Steps of a case that was made small: one connection is opened, and little is said on it.
const STEPS_MAX: usize = 4;
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// `aldisd` with the feature `planted-bugs`.
fn planted_program() -> PathBuf {
    let path = std::env::var_os("ALDISD_PLANTED_BIN").map(PathBuf::from);
    path.expect(
        "run tests/run, or build aldisd with --features planted-bugs and name it in \
         ALDISD_PLANTED_BIN",
    )
}

fn planted(bug: &str) -> Server {
    let wrapper = vec!["env".into(), format!("ALDIS_PLANTED_BUG={bug}")];
    let program = Some(planted_program());
    Server::start_with(ServerOptions { wrapper, program, ..ServerOptions::default() })
}

fn fuzz_command(server: &Server, args: &[&str]) -> Command {
    let mut command = aldis();
    command.args(["fuzz", "--quiet", "--tcp", &server.address().to_string()]);
    command.args(["--pid", &server.pid().to_string(), "--log"]).arg(server.dir().join("log"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the fuzzer, and starts the server again whenever it dies, as a supervisor does.
fn fuzz(server: &mut Server, args: &[&str]) -> Output {
    let mut child = fuzz_command(server, args).spawn().expect("aldis runs");
    while child.try_wait().expect("our own child").is_none() {
        if !server.is_running() {
            server.restart();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("our own child")
}

fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[track_caller]
fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
}

/// The finding of this kind that a run left in its report.
fn finding(report: &Path, kind: &str) -> Option<(PathBuf, Value)> {
    (1..100)
        .map(|number| report.join(format!("finding-{number}.json")))
        .map_while(|path| Some((path.clone(), std::fs::read_to_string(path).ok()?)))
        .map(|(path, text)| (path, serde_json::from_str::<Value>(&text).expect("JSON")))
        .find(|(_, finding)| finding["kind"] == kind)
}

/// A bug is found by its oracle, is shown by a small case, again there, and not by a good server.
fn expect_found(bug: &str, kind: &str, about: &str) {
    let report = tempfile::tempdir().expect("a temporary directory");
    let mut server = planted(bug);
    let seed = seed().to_string();
    let dir = report.path().to_str().expect("UTF-8");
    let args = ["--seed", &seed, "--seconds", SECONDS_MAX, "--findings", "1", "--report", dir];
    // What a good server keeps is not to be looked into while another bug is searched.
    let growth = if kind == "memory" { "8" } else { "64" };
    let more = ["--memory-growth", growth, "--recovery", "60"];
    let output = fuzz(&mut server, &[&args[..], &more].concat());
    assert_code(&output, FOUND);
    println!("{bug}: {}", said(&output));
    let (path, found) = finding(report.path(), kind).expect("its oracle speaks");
    assert!(found["about"].as_str().expect("a text").contains(about), "{found}");
    assert_eq!(found["is_confirmed"], true, "{found}");
    let steps = found["case"]["steps"].as_array().expect("a list").len();
    assert!(steps <= STEPS_MAX, "{found:#}");
    for file in ["summary.txt", "matrix.txt", "report.jsonl", "junit.xml", "corpus.jsonl"] {
        assert!(report.path().join(file).exists(), "{file}");
    }
    let junit = std::fs::read_to_string(report.path().join("junit.xml")).expect("a report");
    assert!(junit.contains(&format!("name=\"{kind}\"")) && junit.contains("<failure"), "{junit}");
    let path = path.to_str().expect("UTF-8");
    let args = ["--replay", path, "--recovery", "60"];
    let fresh = fuzz(&mut planted(bug), &args);
    assert_code(&fresh, FOUND);
    let good = fuzz(&mut Server::start(), &args);
    assert_code(&good, CLEAN);
}

#[test]
fn a_panic_is_found() {
    expect_found("panic", "died", "history.rs");
}

#[test]
fn memory_that_does_not_come_back_is_found() {
    expect_found("leak", "memory", "");
}

#[test]
fn descriptors_that_do_not_come_back_are_found() {
    expect_found("leak-descriptor", "descriptors", "");
}

#[test]
fn threads_that_do_not_come_back_are_found() {
    expect_found("leak-thread", "threads", "");
}

#[test]
fn a_code_that_the_document_does_not_have_is_found() {
    expect_found("wrong-code", "wrong-code", "GROUP_LEAVE CONFLICT");
}

#[test]
fn a_mailbox_that_others_can_read_is_found() {
    expect_found("others-mailbox", "disclosed", "");
}

#[test]
fn what_is_served_before_the_login_is_found() {
    expect_found("unauthenticated", "unauthenticated", "USER_GET");
}

/// The case that was played, as `aldis fuzz --case` says it.
fn case_again(server: &Server, number: &str, seed: &str, report: &str) -> Value {
    let address = server.address().to_string();
    let args = ["fuzz", "--tcp", &address, "--seed", seed, "--case", number, "--report", report];
    let output = aldis().args(args).output().expect("aldis runs");
    assert_code(&output, CLEAN);
    let text = said(&output);
    let case = text.lines().find_map(|line| line.strip_prefix(&format!("case {number}: ")));
    serde_json::from_str(case.expect("it says which case")).expect("JSON")
}

#[test]
fn one_case_of_a_run_is_played_again_by_its_number() {
    let (mut server, seed) = (Server::start(), seed().to_string());
    let report = tempfile::tempdir().expect("a temporary directory");
    let dir = report.path().to_str().expect("UTF-8");
    assert_code(&fuzz(&mut server, &["--seed", &seed, "--seconds", "15", "--report", dir]), CLEAN);
    let corpus = std::fs::read_to_string(report.path().join("corpus.jsonl")).expect("a corpus");
    let kept = corpus.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    // The last ones were made when much was kept; odd numbers are mutants.
    let at_random: Vec<Value> =
        kept.filter(|kept| kept["number"].as_u64() >= Some(1_000)).collect();
    let mut numbers = [0, 0];
    for kept in &at_random {
        let number = kept["number"].as_u64().expect("a number");
        numbers[number as usize % 2] = number;
    }
    println!("cases {numbers:?} of {}", at_random.len());
    for number in numbers {
        let kept = at_random.iter().find(|kept| kept["number"] == number).expect("one was kept");
        let again = case_again(&server, &number.to_string(), &seed, dir);
        assert_eq!(again, kept["case"], "case {number}");
    }
}

/// A token for the first user of another server's making would be none here: it is this server's, made
/// when its clock was two hours back.
fn expired_tokens(server: &Server) -> PathBuf {
    let path = server.dir().join("expired");
    let made = Command::new("faketime")
        .arg("2 hours ago")
        .arg(aldisd().get_program())
        .arg("--config")
        .arg(server.config_path())
        .args(["admin", "seed-users", "--count", "1", "--prefix", "expired", "--tokens"])
        .arg(&path)
        .output()
        .expect("faketime runs: apt-get install faketime (tests/run installs it)");
    assert!(made.status.success(), "{}", said(&made));
    path
}

#[test]
fn every_documented_code_is_seen_of_a_node_that_is_configured_for_it() {
    let mariadb = MariaDb::start();
    let (_, tables) =
        include_str!("../../../conf/fuzz.toml").split_once("[threads]").expect("it has threads");
    let tables = format!("[threads]{tables}");
    let options = NodeOptions { tables, ..NodeOptions::new(1, &mariadb.fresh_database()) };
    let mut server = options.start();
    let expired = expired_tokens(&server);
    let (seed, store) = (seed().to_string(), mariadb.pid().to_string());
    let args = ["--seed", &seed, "--seconds", SECONDS_MAX, "--until-reached"];
    let means = ["--store-pid", &store, "--expired-tokens", expired.to_str().expect("UTF-8")];
    let output = fuzz(&mut server, &[&args[..], &means].concat());
    expect_clean(&output);
    let text = said(&output);
    let (_, cells) = text.split_once("were seen; not:\n").expect("it says so");
    for line in cells.lines() {
        let is_for_later = line.contains("it takes a run of 5 minutes");
        assert!(is_for_later || line.contains("registrations of its own machine"), "{line}");
    }
}

/// Nothing is found, and some of what is documented was reached: how much depends on the machine.
fn expect_clean(output: &Output) {
    assert_code(output, CLEAN);
    let text = said(output);
    println!("{text}");
    let line = text.lines().find(|line| line.contains("documented (state, command, answer)"));
    let numbers: Vec<usize> =
        line.expect("it says so").split(' ').filter_map(|word| word.parse().ok()).collect();
    let [reached, all] = numbers[..] else { panic!("two numbers: {line:?}") };
    assert!(reached * 10 > all, "{text}");
    assert!(!text.contains("recipe \""), "every recipe reached its code: {text}");
}

#[test]
fn a_good_server_is_clean_over_tcp() {
    let mut server = Server::start();
    let seed = seed().to_string();
    expect_clean(&fuzz(&mut server, &["--seed", &seed, "--seconds", "20"]));
}

#[test]
fn a_good_server_is_clean_over_tls() {
    let dir = TempDir::new().expect("a temporary directory");
    let made = aldisd().args(["admin", "certificate", "--dir"]).arg(dir.path()).output();
    assert!(made.expect("aldisd runs").status.success());
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| dir.path().join(name));
    let config = format!("[listen.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    let mut server = Server::start_with(ServerOptions { config, ..ServerOptions::default() });
    let (seed, ca) = (seed().to_string(), certificate.to_str().expect("UTF-8"));
    expect_clean(&fuzz(&mut server, &["--seed", &seed, "--seconds", "20", "--ca", ca]));
}

#[test]
fn nodes_stay_linked_under_datagrams_of_strangers() {
    let mut cluster = Cluster::start_with(2, |_, options| {
        options.with_cluster_keys(&format!("listen = \"127.0.0.1:0\"\nkey = \"{KEY}\""))
    });
    let link = cluster.link_address(0).to_string();
    let seed = seed().to_string();
    let args = ["--seed", &seed, "--seconds", "15", "--datagrams", &link];
    let output = fuzz(&mut cluster.nodes[0], &args);
    assert_code(&output, CLEAN);
    println!("{}", said(&output));
    assert!(said(&output).contains("datagrams, "), "{}", said(&output));
    let pid = cluster.nodes[0].pid().to_string();
    let alone = ["fuzz", "--datagrams", &link, "--pid", &pid, "--seconds", "3"];
    let output = aldis().args(alone).output().expect("aldis runs");
    assert_code(&output, CLEAN);
    assert_eq!(cluster.links_of(0, 1), 1, "the link was never lost");
    cluster.assert_quiet();
}

#[test]
fn others_servers_are_refused_and_what_is_not_there_is_unreachable() {
    let run = |args: &[&str]| aldis().arg("fuzz").args(args).output().expect("aldis runs");
    assert_code(&run(&["--tcp", "192.0.2.1:7700"]), USAGE);
    assert_code(&run(&[]), USAGE);
    assert_code(&run(&["--tcp", "127.0.0.1:7700", "--replay", "/no/such/file"]), USAGE);
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = port.local_addr().expect("it is bound").to_string();
    drop(port);
    assert_code(&run(&["--tcp", &address, "--seconds", "1"]), UNREACHABLE);
}
