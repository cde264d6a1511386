//! Which process is which node: a claim on the node's number, renewed by a lease, and the message
//! ids that follow from it. Knows im_node and no other table.
//!
//! An id is only made within a time that was reserved in the database before, so whoever claims the
//! number next, and begins above that time, repeats none, however long this process was stopped and
//! whatever its clock does.

use std::time::{Duration, Instant};

use aldis_logic::job::BootId;
use aldis_wire::MsgId;
use mysql::Row;
use parking_lot::Mutex;

use super::connection::Session;
use super::failure::{Abort, damaged};
use super::process;
use super::rows::{number, text};
use super::sql_text::SqlText;
use crate::snowflake::{ClockError, MSG_ID_EPOCH_MS, Snowflake};

/// How long a claim holds without being renewed, ms: short, because a node that moved to another
/// machine waits for it.
const LEASE_MS: u64 = 5_000;
/// Time between renewals: two may fail before the lease runs out.
const RENEWAL_INTERVAL: Duration = Duration::from_millis(1_500);
/// How far ahead of time ids are reserved, ms: two intervals, so that batches need not wait.
const RESERVATION_MS: u64 = 3_000;
/// How far ids may be behind the database's clock, ms: what is normal between synchronised clocks.
/// Readers tell fresh entries from old ones by that clock, see `durable`.
const BEHIND_DATABASE_MS_MAX: u64 = 1_000;
/// Bits of an id below its time.
const BELOW_TIME_BITS: u32 = 22;

/// The database's clock, Unix ms.
pub(super) const NOW_MS: &str = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS UNSIGNED)";

/// A process that wants to be a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// The machine's name, for people.
    pub host: String,
    /// Tells the running kernel and the namespace of its process ids from all others.
    pub machine: String,
    /// Process id and start time there.
    pub process: String,
}

impl Claimant {
    /// This process.
    pub fn this_process() -> std::io::Result<Self> {
        process::this_process()
    }
}

/// What came of an attempt to claim a node's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// It is this process's.
    Claimed,
    /// Another process has it and may be alive.
    HeldBy {
        /// Which.
        who: String,
        /// Until its lease runs out, if it does not renew it.
        remaining_ms: u64,
    },
}

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// The number is still this process's.
    Kept,
    /// Another process has it: this one must not write any more.
    Lost,
}

/// Why there is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoId {
    /// See there.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The claim has to be renewed first.
    #[error("no message ids are reserved for this time")]
    NotReserved,
    /// This process never claimed its node's number, or lost it.
    #[error("the node's number is not claimed by this process")]
    NotClaimed,
}

impl From<NoId> for Abort {
    fn from(why: NoId) -> Self {
        Abort::Unavailable(why.to_string())
    }
}

/// The claim of this process, shared by its writers.
#[derive(Debug)]
pub(super) struct Claim {
    node: u16,
    boot: BootId,
    /// Held for a few instructions, never while waiting for the database.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ids: Snowflake,
    holding: Holding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holding {
    Nothing,
    Reserved { until_ms: u64, renewed_at: Instant },
    Lost,
}

impl Claim {
    /// Nothing is claimed yet.
    pub(super) fn new(node: u16, boot: BootId) -> Self {
        let state = State { ids: Snowflake::new(node, None), holding: Holding::Nothing };
        Self { node, boot, state: Mutex::new(state) }
    }

    /// The number.
    pub(super) fn node(&self) -> u16 {
        self.node
    }

    /// The next id, above all before. `now_ms` is Unix time.
    pub(super) fn next_id(&self, now_ms: u64) -> Result<MsgId, NoId> {
        let mut state = self.state.lock();
        let Holding::Reserved { until_ms, .. } = state.holding else {
            return Err(NoId::NotClaimed);
        };
        let mut ids = state.ids.clone();
        let id = ids.next_id(now_ms)?;
        if time_ms(id) >= until_ms {
            return Err(NoId::NotReserved);
        }
        state.ids = ids;
        Ok(id)
    }

    /// Whether it is time to renew.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        let holding = self.state.lock().holding;
        let is_time = match holding {
            Holding::Reserved { renewed_at, .. } => renewed_at.elapsed() >= RENEWAL_INTERVAL,
            Holding::Nothing | Holding::Lost => false,
        };
        is_time || self.lacks_ids(now_ms)
    }

    /// Whether no ids are reserved for this time, so that a batch must wait for a renewal.
    pub(super) fn lacks_ids(&self, now_ms: u64) -> bool {
        let state = self.state.lock();
        match state.holding {
            Holding::Reserved { until_ms, .. } => state.ids_time_ms(now_ms) >= until_ms,
            Holding::Nothing | Holding::Lost => false,
        }
    }

    /// Whether another process has taken the number from this one.
    pub(super) fn is_lost(&self) -> bool {
        self.state.lock().holding == Holding::Lost
    }

    /// Whether the lease cannot have run out: by this process's clock, from the last renewal on.
    pub(super) fn is_held(&self) -> bool {
        match self.state.lock().holding {
            Holding::Reserved { renewed_at, .. } => {
                renewed_at.elapsed() < Duration::from_millis(LEASE_MS)
            }
            Holding::Nothing | Holding::Lost => false,
        }
    }

    /// Prolongs lease and reservation; a transaction of its own. An error leaves both as they were.
    pub(super) fn renew(&self, session: &mut Session, now_ms: u64) -> Result<Renewal, Abort> {
        let mut sql = SqlText::default();
        self.write_prolongation(&mut sql, self.wanted_ms(now_ms));
        sql.push(" AND boot_id = ").number(self.boot.0);
        self.select_claim(&mut sql);
        let mut sets = session.run(sql.as_str())?;
        let row = sets.pop().and_then(|rows| rows.into_iter().next());
        let found = row.map(Found::read).transpose()?;
        let mut state = self.state.lock();
        match found {
            Some(found) if found.boot == self.boot => {
                state.hold(&found, now_ms);
                Ok(Renewal::Kept)
            }
            _ => {
                state.holding = Holding::Lost;
                Ok(Renewal::Lost)
            }
        }
    }

    /// Tries to claim the number.
    pub(super) fn take(
        &self,
        session: &mut Session,
        claimant: &Claimant,
        now_ms: u64,
    ) -> Result<ClaimOutcome, Abort> {
        let mut sql = SqlText::default();
        sql.statement("INSERT IGNORE INTO im_node VALUES (")
            .number(self.node.into())
            .push(", 0, '', '', '', 0, 0)");
        sql.statement("BEGIN");
        self.select_claim(&mut sql);
        sql.push(" FOR UPDATE");
        let mut sets = session.run(sql.as_str())?;
        let row = sets.pop().and_then(|rows| rows.into_iter().next());
        let found = Found::read(row.ok_or_else(|| damaged("no row in im_node"))?)?;
        if found.boot != self.boot && found.lease_end_ms > found.now_ms {
            let is_gone = found.claimant.machine == claimant.machine
                && process::is_gone(&found.claimant.process);
            if !is_gone {
                session.run("ROLLBACK")?;
                return Ok(ClaimOutcome::HeldBy {
                    who: format!("process {} on {}", found.claimant.process, found.claimant.host),
                    remaining_ms: found.lease_end_ms - found.now_ms,
                });
            }
        }
        self.state.lock().ids.rise_above(last_id_before(found.reserved_ms));
        sql.clear();
        self.write_prolongation(&mut sql, self.wanted_ms(now_ms));
        sql.statement("UPDATE im_node SET boot_id = ").number(self.boot.0);
        sql.push(", host = ").text(&claimant.host);
        sql.push(", machine = ").text(&claimant.machine);
        sql.push(", process = ").text(&claimant.process);
        sql.push(" WHERE node_id = ").number(self.node.into());
        self.select_claim(&mut sql);
        sql.statement("COMMIT");
        let sets = session.run(sql.as_str())?;
        let row = sets.into_iter().flatten().next();
        let taken = Found::read(row.ok_or_else(|| damaged("no row in im_node"))?)?;
        warn_of_clocks(now_ms, taken.now_ms);
        self.state.lock().hold(&taken, now_ms);
        Ok(ClaimOutcome::Claimed)
    }

    /// Ends the lease, so that the next process need not wait.
    pub(super) fn release(&self, session: &mut Session) -> Result<(), Abort> {
        self.state.lock().holding = Holding::Nothing;
        let mut sql = SqlText::default();
        sql.statement("UPDATE im_node SET lease_end_ms = 0 WHERE node_id = ")
            .number(self.node.into())
            .push(" AND boot_id = ")
            .number(self.boot.0);
        session.run(sql.as_str())?;
        Ok(())
    }

    fn wanted_ms(&self, now_ms: u64) -> u64 {
        now_ms.max(self.state.lock().ids_time_ms(now_ms)).saturating_add(RESERVATION_MS)
    }

    fn write_prolongation(&self, sql: &mut SqlText, reserved_ms: u64) {
        sql.statement("UPDATE im_node SET reserved_ms = GREATEST(reserved_ms, ")
            .number(reserved_ms)
            .push(", ")
            .push(NOW_MS)
            .push(" + ")
            .number(RESERVATION_MS)
            .push("), lease_end_ms = ")
            .push(NOW_MS)
            .push(" + ")
            .number(LEASE_MS)
            .push(" WHERE node_id = ")
            .number(self.node.into());
    }

    fn select_claim(&self, sql: &mut SqlText) {
        sql.statement("SELECT boot_id, host, machine, process, reserved_ms, lease_end_ms, ")
            .push(NOW_MS)
            .push(" FROM im_node WHERE node_id = ")
            .number(self.node.into());
    }
}

impl State {
    fn hold(&mut self, found: &Found, now_ms: u64) {
        let floor_ms = found.now_ms.saturating_sub(BEHIND_DATABASE_MS_MAX);
        if floor_ms > self.ids_time_ms(now_ms) {
            self.ids.rise_above(last_id_before(floor_ms));
        }
        self.holding =
            Holding::Reserved { until_ms: found.reserved_ms, renewed_at: Instant::now() };
    }

    /// Time of the id that would come next.
    fn ids_time_ms(&self, now_ms: u64) -> u64 {
        // A clock too far behind changes nothing: its error comes with the next id.
        self.ids.clone().next_id(now_ms).map_or(0, time_ms)
    }
}

/// A row of im_node.
struct Found {
    boot: BootId,
    claimant: Claimant,
    reserved_ms: u64,
    lease_end_ms: u64,
    /// By the database's clock.
    now_ms: u64,
}

impl Found {
    fn read(mut row: Row) -> Result<Self, Abort> {
        let row = &mut row;
        Ok(Self {
            boot: BootId(number(row, 0)?),
            claimant: Claimant {
                host: text(row, 1)?,
                machine: text(row, 2)?,
                process: text(row, 3)?,
            },
            reserved_ms: number(row, 4)?,
            lease_end_ms: number(row, 5)?,
            now_ms: number(row, 6)?,
        })
    }
}

/// When the id was made, Unix ms.
pub(super) fn time_ms(id: MsgId) -> u64 {
    (id.0 >> BELOW_TIME_BITS) + MSG_ID_EPOCH_MS
}

/// An id above which ids of this time begin.
fn last_id_before(time_ms: u64) -> MsgId {
    MsgId((time_ms.saturating_sub(MSG_ID_EPOCH_MS).saturating_sub(1)) << BELOW_TIME_BITS)
}

fn warn_of_clocks(now_ms: u64, database_ms: u64) {
    const SKEW_MS_MAX: u64 = 60_000;
    if now_ms.abs_diff(database_ms) > SKEW_MS_MAX {
        log::warn!(
            "this machine's clock and the database's are {} s apart: check both",
            now_ms.abs_diff(database_ms) / 1_000
        );
    }
}
