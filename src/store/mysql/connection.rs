//! How connections are opened: timeouts, session settings and their reasons, what is checked at
//! every connect. Knows no table.

use std::time::Duration;

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder, Row};

use super::options::Endpoint;
use crate::traits::StoreError;

/// Time to reach the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time for the server to answer, or to take more: what one statement of a batch may need at worst.
/// Longer than the lock wait timeout, so that the server speaks first.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(3_500);
/// Time for a replica to answer: the primary has to do it afterwards.
const REPLICA_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Time for one statement of a migration; a new index on a large table takes minutes.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(3_600);
/// Largest packet to send or take, bytes: what the server must allow at least.
pub(super) const PACKET_BYTES_MIN: u64 = 16 << 20;
/// Largest packet the crate takes, bytes. Never reached: rows are smaller.
const PACKET_BYTES_MAX: usize = 64 << 20;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Transactions that change something.
    Write,
    /// Questions, each a snapshot.
    Read,
    /// Questions that the primary can answer as well.
    ReadReplica,
    /// Migrations and what administrators ask for.
    Administer,
}

/// A connection with its settings made.
#[derive(Debug)]
pub(super) struct Session {
    /// The crate's connection.
    pub conn: Conn,
    /// What is on its other end.
    pub server: Server,
}

/// What a server says of itself.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// MariaDB, as opposed to MySQL.
    pub is_mariadb: bool,
    /// A commit becomes visible only after it is in the binary log.
    pub has_binary_log: bool,
    settings: Settings,
}

#[derive(Clone, Debug)]
struct Settings {
    max_allowed_packet: u64,
    sync_binlog: String,
    flush_log_at_trx_commit: String,
    doublewrite: String,
}

impl Session {
    /// Runs the statements of one packet and returns the rows of each.
    pub(super) fn run(&mut self, sql: &str) -> Result<Vec<Vec<Row>>, mysql::Error> {
        run(&mut self.conn, sql)
    }
}

impl Server {
    /// Refuses settings that lose what was acknowledged, and those that cannot hold a batch.
    pub(super) fn check(&self, allow_unsafe_durability: bool) -> Result<(), StoreError> {
        let found = self.settings.max_allowed_packet;
        if found < PACKET_BYTES_MIN {
            return Err(StoreError::PacketLimit { found, needed: PACKET_BYTES_MIN });
        }
        match self.unsafe_setting() {
            Some(found) if !allow_unsafe_durability => Err(found),
            _ => Ok(()),
        }
    }

    /// Says what a person should know of the settings, once in the life of a process.
    pub(super) fn warn(&self) {
        if let Some(found) = self.unsafe_setting() {
            log::error!("MESSAGES THAT WERE ACKNOWLEDGED CAN BE LOST (as allowed): {found}");
        }
        let doublewrite = &self.settings.doublewrite;
        if !matches!(doublewrite.as_str(), "1" | "ON") {
            log::warn!(
                "innodb_doublewrite is {doublewrite}: a crash may leave half-written pages, \
                 unless the file system writes them atomically"
            );
        }
    }

    fn unsafe_setting(&self) -> Option<StoreError> {
        let settings = &self.settings;
        let (variable, value) = if settings.flush_log_at_trx_commit != "1" {
            ("innodb_flush_log_at_trx_commit", &settings.flush_log_at_trx_commit)
        } else if self.has_binary_log && settings.sync_binlog != "1" {
            ("sync_binlog", &settings.sync_binlog)
        } else {
            return None;
        };
        Some(StoreError::UnsafeDurability { variable, value: value.clone() })
    }
}

/// Opens a connection and makes its settings.
pub(super) fn connect(endpoint: &Endpoint, purpose: Purpose) -> Result<Session, mysql::Error> {
    let answer_timeout = match purpose {
        Purpose::Write | Purpose::Read => ANSWER_TIMEOUT,
        Purpose::ReadReplica => REPLICA_ANSWER_TIMEOUT,
        Purpose::Administer => MIGRATION_TIMEOUT,
    };
    let opts = OptsBuilder::from_opts(endpoint.opts())
        .tcp_connect_timeout(Some(CONNECT_TIMEOUT))
        .read_timeout(Some(answer_timeout))
        .write_timeout(Some(answer_timeout))
        .tcp_nodelay(true)
        // Connecting to a socket file cannot be bounded in time.
        .prefer_socket(false)
        .max_allowed_packet(Some(PACKET_BYTES_MAX));
    let mut conn = Conn::new(opts)?;
    run(&mut conn, settings(purpose))?;
    let facts = run(&mut conn, FACTS)?;
    let facts = facts.first().and_then(|rows| rows.first());
    let server = facts.and_then(server).ok_or(mysql::DriverError::SetupError)?;
    Ok(Session { conn, server })
}

/// Takes all that the statements give. Dropping a result of the crate's would hide the errors of
/// all statements but the first.
fn run(conn: &mut Conn, sql: &str) -> Result<Vec<Vec<Row>>, mysql::Error> {
    let mut result = conn.query_iter(sql)?;
    let mut sets = Vec::new();
    while let Some(set) = result.iter() {
        sets.push(set.collect::<Result<Vec<Row>, _>>()?);
    }
    Ok(sets)
}

/// One packet. `/*M!` begins what only MariaDB runs, `/*!50708` what only MySQL runs.
fn settings(purpose: Purpose) -> &'static str {
    match purpose {
        // READ COMMITTED: no gap locks, no deadlocks between batches. A node that vanishes or is
        // stopped with a transaction open keeps its locks until the server gives it up: MySQL after
        // wait_timeout, MariaDB earlier. The writer says something every few seconds. IN lists stay
        // ranges, whose locks are taken in key order. lock_wait_timeout is about table definitions.
        Purpose::Write => {
            "SET NAMES utf8mb4;
             SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
             SET SESSION autocommit = 1, time_zone = '+00:00', wait_timeout = 10,
                 innodb_lock_wait_timeout = 3, lock_wait_timeout = 3,
                 /*M!100300 idle_transaction_timeout = 2, */
                 /*M!100318 in_predicate_conversion_threshold = 0, */
                 sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
        }
        // The server gives up on a question about when its asker does.
        Purpose::Read | Purpose::ReadReplica => {
            "SET NAMES utf8mb4;
             SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ;
             SET SESSION autocommit = 1, time_zone = '+00:00', wait_timeout = 600,
                 innodb_lock_wait_timeout = 3,
                 /*M!100318 in_predicate_conversion_threshold = 0, */
                 /*M!100101 max_statement_time = 3, */
                 /*!50708 max_execution_time = 3000, */
                 sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
        }
        Purpose::Administer => {
            "SET NAMES utf8mb4;
             SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
             SET SESSION autocommit = 1, time_zone = '+00:00', wait_timeout = 3600,
                 sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
        }
    }
}

const FACTS: &str = "SELECT VERSION(), @@max_allowed_packet, @@log_bin, @@sync_binlog, \
                     @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite";

fn server(row: &Row) -> Option<Server> {
    let text = |column: usize| row.get::<String, _>(column);
    Some(Server {
        is_mariadb: text(0)?.contains("MariaDB"),
        has_binary_log: matches!(text(2)?.as_str(), "1" | "ON"),
        settings: Settings {
            max_allowed_packet: row.get(1)?,
            sync_binlog: text(3)?,
            flush_log_at_trx_commit: text(4)?,
            doublewrite: text(5)?,
        },
    })
}
