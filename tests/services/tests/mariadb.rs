//! Goal: a private MariaDB starts by itself, beside others, keeps what it acknowledged across a
//! kill, and leaves nothing behind.

use aldis_services::{MariaDb, MariaDbOptions};

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
