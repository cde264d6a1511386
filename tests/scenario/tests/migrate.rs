//! Goal: a node starts only on a database that can keep what it promises, with the rights that it
//! needs and no others, under a number that no other living process has; nodes that start at the
//! same moment do not disturb each other.

use std::process::Output;
use std::time::Duration;

use aldis_scenario::requests::{text_to, texts};
use aldis_scenario::{NodeOptions, RawClient, Reply, Server, migrate, runtime_account, wait_for};
use aldis_services::{MariaDb, MariaDbOptions};
use aldis_wire::{Code, Command, DeviceClass};
use rustix::process::Signal;

const PASSWORD: &str = "a password of a test";
/// A process that has lost its number notices within a second or so of its own time.
const END_MAX: Duration = Duration::from_secs(40);

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Two users say something to each other through this node.
fn assert_serves(node: &Server, name: &str) {
    let names = [format!("{name}-ann"), format!("{name}-bob")];
    let [ann_id, bob_id] =
        names.each_ref().map(|name| RawClient::register(node.address(), name, PASSWORD));
    let [mut ann, mut bob] = names
        .each_ref()
        .map(|name| RawClient::login(node.address(), name, PASSWORD, DeviceClass::Desktop));
    ann.send_message(&text_to(bob_id, "hello"));
    bob.send_message(&text_to(ann_id, "hello yourself"));
    for client in [&mut ann, &mut bob] {
        assert_eq!(texts(&client.sync_all(0)), ["hello", "hello yourself"]);
    }
}

#[test]
fn four_nodes_start_at_the_same_moment_on_an_empty_database() {
    let url = MariaDb::shared().fresh_database();
    let starts = (1..=4).map(|id| {
        let options = NodeOptions::new(id, &url);
        std::thread::spawn(move || options.start())
    });
    let threads: Vec<_> = starts.collect();
    let nodes: Vec<Server> =
        threads.into_iter().map(|thread| thread.join().expect("a node starts")).collect();
    for (number, node) in nodes.iter().enumerate() {
        assert_serves(node, &format!("node{number}"));
        assert!(!node.log().contains("ERROR"), "{}", node.log());
    }
    // They have one store: what the first stored, the last gives.
    let last = nodes[3].address();
    let mut ann = RawClient::login(last, "node0-ann", PASSWORD, DeviceClass::Web);
    assert_eq!(texts(&ann.sync_all(0)), ["hello", "hello yourself"]);
    assert!(migrate(&url, &["--check"]).status.success());
}

#[test]
fn the_check_of_the_schema_answers_by_its_exit_code() {
    let mariadb = MariaDb::shared();
    let url = mariadb.fresh_database();
    let database = url.rsplit('/').next().expect("a name");
    let check = || migrate(&url, &["--check"]).status.code();
    assert_eq!(check(), Some(1), "an empty database is behind");
    let tables =
        format!("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '{database}'");
    assert_eq!(mariadb.sql(&tables), "0", "a check changes nothing");
    for _ in 0..2 {
        let output = migrate(&url, &[]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(check(), Some(0));
    }
    // A program that is newer than this one was there.
    let newer = format!(
        "UPDATE {database}.im_meta SET value = '9999' WHERE name = 'schema_version';
         SELECT ROW_COUNT()"
    );
    assert_eq!(mariadb.sql(&newer), "1");
    assert_eq!(check(), Some(1));
    assert!(!migrate(&url, &[]).status.success(), "nothing leads back");
    let refused = Server::try_start_with(NodeOptions::new(1, &url).server_options());
    let log = refused.err().expect("it does not serve what it does not know");
    assert!(log.contains("9999"), "{log}");
    // A database that cannot be reached is no schema either.
    let nowhere = url.replace(&mariadb.port().to_string(), "1");
    assert_eq!(migrate(&nowhere, &["--check"]).status.code(), Some(1));
}

#[test]
fn the_server_s_account_needs_the_rights_of_the_readme_and_no_more() {
    let mariadb = MariaDb::shared();
    let admin_url = mariadb.fresh_database();
    let url = runtime_account(mariadb, &admin_url);
    let options = NodeOptions::new(1, &url);
    let log = Server::try_start_with(options.server_options()).err().expect("it may not migrate");
    assert!(log.contains("aldisd migrate"), "it says what to do: {log}");
    let password = url.split([':', '@']).nth(2).expect("user:password@host");
    assert!(!log.contains(password), "{log}");
    let migrated = migrate(&url, &["--url", &admin_url]);
    assert!(migrated.status.success(), "{}", stderr(&migrated));
    assert!(migrate(&url, &["--check"]).status.success());
    let node = options.start();
    assert_serves(&node, "rights");
    let seeded = node.seed_users("seed", 3, DeviceClass::Phone);
    drop(RawClient::login_seeded(node.address(), &seeded[2]));
    assert!(!node.log().contains("ERROR"), "{}", node.log());
    assert!(!node.log().contains(password), "{}", node.log());
}

#[test]
fn a_database_that_may_forget_commits_is_refused_unless_the_operator_insists() {
    let args = vec!["--log-bin=binlog".to_owned(), "--sync-binlog=1".to_owned()];
    let mariadb = MariaDb::start_with(MariaDbOptions { args, ..Default::default() });
    let options = NodeOptions::new(1, &mariadb.fresh_database());
    drop(options.start());
    for (variable, unsafe_value) in [("innodb_flush_log_at_trx_commit", 2), ("sync_binlog", 0)] {
        mariadb.sql(&format!("SET GLOBAL {variable} = {unsafe_value}"));
        let refused = Server::try_start_with(options.server_options());
        let log = refused.err().expect("it must not acknowledge what may be lost");
        assert!(log.contains(variable), "{log}");
        let insisting =
            NodeOptions { store_keys: "allow_unsafe_durability = true".into(), ..options.clone() };
        let node = insisting.start();
        assert!(node.log().contains(variable), "it says so loudly: {}", node.log());
        assert_serves(&node, variable);
        drop(node);
        mariadb.sql(&format!("SET GLOBAL {variable} = 1"));
        drop(options.start());
    }
}

#[test]
fn a_number_belongs_to_one_living_process() {
    let options = NodeOptions::new(7, &MariaDb::shared().fresh_database());
    let mut first = options.start();
    assert_serves(&first, "before");
    let log = Server::try_start_with(options.server_options()).err().expect("the number is taken");
    assert!(log.contains("waiting"), "it waits for the lease: {log}");
    assert!(log.contains("node.id"), "it says what to change: {log}");
    assert!(first.is_running());
    assert_serves(&first, "beside");
    // On the same host a dead process is known to be dead.
    let log_len = first.log().len();
    first.kill_9();
    first.restart();
    assert!(!first.log()[log_len..].contains("waiting"), "{}", first.log());
    assert_serves(&first, "after");
    // One that ended well has given its number back.
    assert!(first.terminate(END_MAX));
    drop(options.start());
}

#[test]
fn who_slept_too_long_does_not_serve_on_under_a_number_that_another_took() {
    let url = MariaDb::shared().fresh_database();
    let options = NodeOptions::new(7, &url);
    let mut sleeper = options.start();
    assert_serves(&sleeper, "before");
    let mut ann = RawClient::login(sleeper.address(), "before-ann", PASSWORD, DeviceClass::Web);
    sleeper.signal(Signal::STOP);
    // The second waits until the lease has run out, then takes the number.
    let heir = options.start();
    assert_serves(&heir, "heir");
    // The sleeper is asked before it has looked around; nobody may be told that this is stored.
    let bob_id = RawClient::register(heir.address(), "bob", PASSWORD);
    let body = text_to(bob_id, "from the past");
    ann.send(Command::MsgSend, &body);
    sleeper.signal(Signal::CONT);
    wait_for("the sleeper ends", || !sleeper.is_running());
    let mut bob = RawClient::login(heir.address(), "bob", PASSWORD, DeviceClass::Web);
    let stored = texts(&bob.sync_all(0));
    let is_answer = |reply: &Reply| reply.header.cmd == Command::MsgSend.id() + 1;
    let answer = std::iter::from_fn(|| ann.receive()).find(is_answer);
    let told = answer.is_some_and(|reply| reply.code() == Code::Ok);
    assert!(!told || stored == ["from the past"], "acknowledged, but lost");
    assert!(sleeper.log().contains("ERROR"), "an operator is told why: {}", sleeper.log());
}
