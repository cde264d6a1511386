//! A primary and a replica that follows it, whose applying can be stopped.

use std::time::Instant;

use crate::mariadb::{MariaDb, MariaDbOptions};
use crate::program::{POLL, START_MAX};

/// Two servers, the second of which follows the first.
pub struct Replicated {
    /// Takes writes; its binary log is synced at each commit.
    pub primary: MariaDb,
    /// Read-only for accounts without special rights.
    pub replica: MariaDb,
}

impl Replicated {
    /// Starts both; what the primary does from its first moment on is replicated.
    pub fn start() -> Self {
        let options = |id: u32, more: &[&str]| {
            let mut args = vec![
                format!("--server-id={id}"),
                "--log-bin=binlog".to_owned(),
                "--sync-binlog=1".to_owned(),
                "--binlog-format=ROW".to_owned(),
            ];
            args.extend(more.iter().map(|&arg| arg.to_owned()));
            MariaDbOptions { args, ..MariaDbOptions::default() }
        };
        let primary = MariaDb::start_with(options(1, &[]));
        let replica = MariaDb::start_with(options(2, &["--read-only=1"]));
        let position = primary.sql("SHOW MASTER STATUS");
        let mut fields = position.split('\t');
        let (file, at) = (fields.next().expect("a log file"), fields.next().expect("a position"));
        replica.sql(&format!(
            "CHANGE MASTER TO master_host='127.0.0.1', master_port={}, master_user='root',
             master_log_file='{file}', master_log_pos={at}, master_connect_retry=1;
             START SLAVE",
            primary.port()
        ));
        let pair = Self { primary, replica };
        pair.wait_until_caught_up();
        pair
    }

    /// The replica goes on receiving changes but makes none of them visible.
    pub fn stop_applying(&self) {
        self.replica.sql("STOP SLAVE SQL_THREAD");
    }

    /// It makes them visible again.
    pub fn start_applying(&self) {
        self.replica.sql("START SLAVE SQL_THREAD");
    }

    /// Waits until the replica shows all that the primary had when this was called.
    pub fn wait_until_caught_up(&self) {
        let position = self.primary.sql("SELECT @@gtid_binlog_pos");
        let deadline = Instant::now() + START_MAX;
        let wait = format!("SELECT MASTER_GTID_WAIT('{position}', 1)");
        while self.replica.try_sql(&wait).as_deref() != Ok("0") {
            assert!(Instant::now() < deadline, "{}", self.replica.sql("SHOW SLAVE STATUS\\G"));
            std::thread::sleep(POLL);
        }
    }
}
