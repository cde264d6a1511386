//! The schema comes up to date once, whoever does it, and however often it was interrupted.

use std::time::Duration;

use aldis_services::MariaDb;
use aldis_store::mysql::{Claimant, Migrated, MysqlStore, SchemaState, migrate};
use aldis_store::{Fenced, Store, StoreError, Writer};
use mysql::prelude::Queryable;

use super::harness::{Scene, options, unix_ms};

/// Processes that start at the same moment.
const PROCESS_COUNT: usize = 8;

fn database(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

fn count(table: &str, url: &str) -> String {
    MariaDb::shared().sql(&format!("SELECT COUNT(*) FROM {}.{table}", database(url)))
}

#[test]
fn several_that_start_at_once_make_one_store() {
    let url = MariaDb::shared().fresh_database();
    let known = match migrate::check(&url).unwrap() {
        SchemaState::Behind { found: 0, known } => known,
        other => panic!("{other:?}"),
    };
    let migrated: Vec<Migrated> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..PROCESS_COUNT).map(|_| scope.spawn(|| migrate::migrate(&url).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(migrated.iter().filter(|migrated| migrated.from == 0).count(), 1, "{migrated:?}");
    assert!(migrated.iter().all(|migrated| migrated.to == known));
    assert_eq!(migrate::check(&url).unwrap(), SchemaState::UpToDate { version: known });
    assert_eq!(count("im_key", &url), "1");

    let boot = MysqlStore::open(options(&url, 1)).unwrap().boot().unwrap();
    let again = migrate::migrate(&url).unwrap();
    assert_eq!(again, Migrated { from: known, to: known });
    assert_eq!(MysqlStore::open(options(&url, 2)).unwrap().boot().unwrap(), boot);
    assert!(boot.signing_keys[0].active && boot.signing_keys[0].secret.len() >= 32);
}

#[test]
fn a_crash_between_any_two_statements_is_repaired_by_running_again() {
    let sql = include_str!("../../../../sql/mysql/0001_first.sql");
    let lines = sql.lines().map(|line| line.split("--").next().unwrap());
    let sql: String = lines.collect::<Vec<_>>().join("\n");
    let statements: Vec<&str> =
        sql.split(';').map(str::trim).filter(|statement| !statement.is_empty()).collect();
    assert!(statements.len() > 10, "{statements:?}");
    let meta = "CREATE TABLE im_meta (name VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin
                NOT NULL PRIMARY KEY, value VARBINARY(255) NOT NULL) ENGINE=InnoDB";
    // Every third one is enough: they are independent of each other.
    for done_count in (0..=statements.len()).step_by(3) {
        let url = MariaDb::shared().fresh_database();
        let done: String =
            statements[..done_count].iter().map(|statement| format!(";{statement}")).collect();
        MariaDb::shared().sql(&format!("USE {}; {meta}{done}", database(&url)));
        assert!(matches!(migrate::check(&url).unwrap(), SchemaState::Behind { found: 0, .. }));
        assert!(matches!(MysqlStore::open(options(&url, 1)), Err(StoreError::Schema(_))));
        assert_eq!(migrate::migrate(&url).unwrap().from, 0);
        let mut scene = Scene::new(&url);
        scene.send("hello").unwrap();
        assert_eq!((count("im_key", &url), count("im_sequence", &url)), ("1".into(), "2".into()));
    }
}

#[test]
fn an_account_without_rights_on_the_schema_is_enough_to_serve() {
    let server = MariaDb::shared();
    let url = server.fresh_database();
    migrate::migrate(&url).unwrap();
    let name = database(&url);
    server.sql(&format!(
        "CREATE USER runtime_{name}@'127.0.0.1' IDENTIFIED BY 'p@ss/word';
         GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO runtime_{name}@'127.0.0.1'"
    ));
    let port = server.port();
    let runtime = format!("mysql://runtime_{name}:p%40ss%2Fword@127.0.0.1:{port}/{name}");
    assert!(matches!(migrate::check(&runtime).unwrap(), SchemaState::UpToDate { .. }));
    let migrated = migrate::migrate(&runtime).unwrap();
    assert_eq!(migrated.from, migrated.to);
    let mut scene = Scene::new(&runtime);
    scene.send("hello").unwrap();
    assert_eq!(scene.sync(scene.bob, 0).unwrap().entries.len(), 1);
    scene.store.release_node();

    let empty = server.fresh_database();
    let name = database(&empty);
    server.sql(&format!(
        "CREATE USER runtime_{name}@'127.0.0.1';
         GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO runtime_{name}@'127.0.0.1'"
    ));
    let runtime = format!("mysql://runtime_{name}@127.0.0.1:{port}/{name}");
    assert!(matches!(migrate::check(&runtime).unwrap(), SchemaState::Behind { found: 0, .. }));
    assert!(matches!(migrate::migrate(&runtime), Err(StoreError::Mysql(_))));
}

#[test]
fn a_newer_schema_is_refused() {
    let url = MariaDb::shared().fresh_database();
    let known = migrate::migrate(&url).unwrap().to;
    let newer = known + 1;
    MariaDb::shared().sql(&format!(
        "UPDATE {}.im_meta SET value = '{newer}' WHERE name = 'schema_version'",
        database(&url)
    ));
    assert_eq!(migrate::check(&url).unwrap(), SchemaState::Newer { found: newer, known });
    let error = migrate::migrate(&url).unwrap_err();
    assert!(matches!(error, StoreError::TooNew { .. }), "{error}");
    let error = MysqlStore::open(options(&url, 1)).unwrap_err();
    assert!(matches!(error, StoreError::Schema(SchemaState::Newer { .. })), "{error}");
}

#[test]
fn a_lock_that_another_process_holds_is_waited_for() {
    let url = MariaDb::shared().fresh_database();
    let mut holder = mysql::Conn::new(url.as_str()).unwrap();
    let lock = "SELECT GET_LOCK(CONCAT('aldis.migrate.', MD5(DATABASE())), 0)";
    assert_eq!(holder.query_first::<u64, _>(lock).unwrap(), Some(1));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| migrate::migrate(&url).unwrap());
        while MariaDb::shared()
            .sql("SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock'")
            == "0"
        {
            assert!(!waiting.is_finished(), "it does not wait");
            std::thread::yield_now();
        }
        assert!(matches!(migrate::check(&url).unwrap(), SchemaState::Behind { found: 0, .. }));
        drop(holder);
        assert_eq!(waiting.join().unwrap().from, 0);
    });
}

#[test]
fn a_renewed_epoch_fences_those_who_know_the_old_one() {
    let url = MariaDb::shared().fresh_database();
    let mut scene = Scene::new(&url);
    let before = scene.store.boot().unwrap().store_epoch;
    let renewed = scene.store.renew_epoch().unwrap();
    assert_ne!(renewed, before);
    let another = MysqlStore::open(options(&url, 2)).unwrap();
    assert_eq!(another.boot().unwrap().store_epoch, renewed);

    // It is noticed with the next connection, at the latest after a restart of the database.
    let kill = format!(
        "SELECT GROUP_CONCAT('KILL ', id SEPARATOR ';') FROM information_schema.processlist
         WHERE db = '{}'",
        database(&url)
    );
    MariaDb::shared().sql(&MariaDb::shared().sql(&kill));
    let fenced = loop {
        match scene.writer.maintain(unix_ms()) {
            Ok(()) => std::thread::sleep(Duration::from_millis(50)),
            Err(fenced) => break fenced,
        }
    };
    let want = Fenced::StoreReplaced { found: renewed, known: before };
    assert_eq!(fenced, want);
    assert!(scene.sync(scene.ann, 0).is_err());
    another.claim_node(&Claimant::this_process().unwrap(), unix_ms()).unwrap();
}
