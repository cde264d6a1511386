//! A server whose settings lose acknowledged messages, or cannot hold a batch, is refused.

use aldis_services::{MariaDb, MariaDbOptions};
use aldis_store::StoreError;
use aldis_store::mysql::{MysqlStore, migrate};

use super::harness::{Scene, options};

#[test]
fn unsafe_settings_are_refused_by_name_unless_they_are_allowed() {
    let args = ["--log-bin=binlog", "--server-id=1", "--sync-binlog=1"];
    let args = args.map(str::to_owned).to_vec();
    let server = MariaDb::start_with(MariaDbOptions { args, ..MariaDbOptions::default() });
    let url = server.fresh_database();
    migrate::migrate(&url).unwrap();
    MysqlStore::open(options(&url, 1)).unwrap();

    for (variable, unsafe_value) in [
        ("innodb_flush_log_at_trx_commit", "2"),
        ("innodb_flush_log_at_trx_commit", "0"),
        ("sync_binlog", "0"),
        ("sync_binlog", "10"),
    ] {
        server.sql(&format!("SET GLOBAL {variable} = {unsafe_value}"));
        let error = MysqlStore::open(options(&url, 1)).unwrap_err();
        assert!(matches!(error, StoreError::UnsafeDurability { .. }), "{error}");
        let text = error.to_string();
        for part in [variable, unsafe_value, "set it to 1", "allow_unsafe_durability"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let mut allowed = options(&url, 1);
        allowed.allow_unsafe_durability = true;
        let mut scene = Scene::with(allowed);
        scene.send("hello").unwrap();
        scene.store.release_node();
        server.sql(&format!("SET GLOBAL {variable} = 1"));
    }

    server.sql("SET GLOBAL max_allowed_packet = 4194304");
    let error = MysqlStore::open(options(&url, 1)).unwrap_err();
    assert!(error.to_string().contains("max_allowed_packet is 4194304"), "{error}");
}

#[test]
fn the_binary_log_need_not_be_synced_when_there_is_none() {
    let server = MariaDb::start_with(MariaDbOptions {
        args: vec!["--sync-binlog=0".to_owned()],
        ..MariaDbOptions::default()
    });
    let url = server.fresh_database();
    migrate::migrate(&url).unwrap();
    MysqlStore::open(options(&url, 1)).unwrap();
}
