//! Goal: a private MariaDB starts by itself, beside others, keeps what it acknowledged across a
//! kill, and leaves nothing behind.

use aldis_services::{MariaDb, MariaDbOptions, Replicated};

#[test]
fn what_was_committed_is_there_after_kill_9() {
    let mut server = MariaDb::start();
    let url = server.fresh_database();
    assert!(url.ends_with("/test_0"), "{url}");
    server.sql("CREATE TABLE test_0.t (n INT); INSERT INTO test_0.t VALUES (42)");
    server.kill_9();
    assert!(server.try_sql("SELECT 1").is_err());
    server.restart();
    assert_eq!(server.sql("SELECT n FROM test_0.t"), "42");
    server.stop();
    server.restart();
    assert_eq!(server.sql("SELECT n FROM test_0.t"), "42");
    let folder = server.data_dir();
    drop(server);
    assert!(!folder.exists());
}

#[test]
fn two_servers_run_side_by_side_and_options_are_passed_on() {
    let args = vec!["--log-bin=binlog".to_owned(), "--server-id=7".to_owned()];
    let with_log = MariaDb::start_with(MariaDbOptions { args, ..Default::default() });
    let shared = MariaDb::shared();
    assert_ne!(shared.port(), with_log.port());
    assert_eq!(with_log.sql("SELECT @@log_bin, @@server_id"), "1\t7");
    assert_eq!(shared.sql("SELECT @@log_bin"), "0");
    with_log.pause();
    assert_eq!(shared.sql("SELECT 1"), "1");
    with_log.resume();
    assert_eq!(with_log.sql("SELECT 1"), "1");
}

#[test]
fn a_replica_follows_until_it_is_stopped_and_catches_up_later() {
    let pair = Replicated::start();
    let url = pair.primary.fresh_database();
    assert!(url.ends_with("/test_0"), "{url}");
    pair.primary.sql("CREATE TABLE test_0.t (n INT); INSERT INTO test_0.t VALUES (1)");
    pair.wait_until_caught_up();
    pair.stop_applying();
    pair.primary.sql("INSERT INTO test_0.t VALUES (2)");
    assert_eq!(pair.replica.sql("SELECT COUNT(*) FROM test_0.t"), "1");
    pair.start_applying();
    pair.wait_until_caught_up();
    assert_eq!(pair.replica.sql("SELECT COUNT(*) FROM test_0.t"), "2");
}
