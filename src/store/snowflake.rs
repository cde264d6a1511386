//! Message ids: 41 bits of ms since 2025-01-01, 10 bits of node, 12 bits of counter. No clock of
//! its own: the caller says what time it is.

use aldis_wire::MsgId;

/// Unix ms of 2025-01-01T00:00:00Z, where the ids' time begins.
pub const MSG_ID_EPOCH_MS: u64 = 1_735_689_600_000;
/// Highest node number.
pub const NODE_MAX: u16 = (1 << NODE_BITS) - 1;
/// A clock further behind the newest id is not worked around: 26 h covers a clock that was set in
/// any wrong time zone, and more is for an operator to look at.
pub const CLOCK_BEHIND_MS_MAX: u64 = 26 * 3_600_000;

const COUNTER_BITS: u32 = 12;
const NODE_BITS: u32 = 10;
const COUNTER_MAX: u64 = (1 << COUNTER_BITS) - 1;
const TIME_MAX: u64 = (1 << 41) - 1;

/// No id can be made at this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// The clock went back too far.
    #[error("the clock is {0} ms behind the newest message id")]
    Behind(u64),
    /// The clock is beyond what 41 bits hold (the year 2094).
    #[error("the clock is beyond what message ids can hold")]
    Beyond,
}

/// Makes the ids of one process; every id is above all before.
#[derive(Clone, Debug)]
pub struct Snowflake {
    node: u64,
    /// Of the newest id, ms since the epoch.
    time_ms: u64,
    /// The next counter within that ms.
    counter: u64,
}

impl Snowflake {
    /// Continues above `largest`, the largest id that is stored anywhere this node could have made.
    /// `node` is at most [`NODE_MAX`].
    pub fn new(node: u16, largest: Option<MsgId>) -> Self {
        debug_assert!(node <= NODE_MAX, "callers check the node number");
        let mut ids = Self { node: u64::from(node.min(NODE_MAX)), time_ms: 0, counter: 0 };
        if let Some(id) = largest {
            ids.rise_above(id);
        }
        ids
    }

    /// Continues above an id that somebody else made.
    pub fn rise_above(&mut self, id: MsgId) {
        let time_ms = (id.0 >> (NODE_BITS + COUNTER_BITS)) + 1;
        if time_ms > self.time_ms {
            self.time_ms = time_ms;
            self.counter = 0;
        }
    }

    /// The next id. `now_ms` is Unix time; when it went back, or more than 4,096 ids fall into one
    /// ms, the ids' time runs ahead of it.
    pub fn next_id(&mut self, now_ms: u64) -> Result<MsgId, ClockError> {
        let now_ms = now_ms.saturating_sub(MSG_ID_EPOCH_MS);
        if now_ms > self.time_ms {
            self.time_ms = now_ms;
            self.counter = 0;
        } else if self.time_ms - now_ms > CLOCK_BEHIND_MS_MAX {
            return Err(ClockError::Behind(self.time_ms - now_ms));
        } else if self.counter > COUNTER_MAX {
            self.time_ms += 1;
            self.counter = 0;
        }
        if self.time_ms > TIME_MAX {
            return Err(ClockError::Beyond);
        }
        let id = (self.time_ms << (NODE_BITS + COUNTER_BITS))
            | (self.node << COUNTER_BITS)
            | self.counter;
        self.counter += 1;
        Ok(MsgId(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = MSG_ID_EPOCH_MS + 1_000_000;

    fn parts(id: MsgId) -> (u64, u64, u64) {
        (id.0 >> 22, (id.0 >> 12) & 0x3ff, id.0 & 0xfff)
    }

    #[test]
    fn an_id_holds_time_node_and_counter() {
        let mut ids = Snowflake::new(5, None);
        assert_eq!(parts(ids.next_id(NOW_MS).unwrap()), (1_000_000, 5, 0));
        assert_eq!(parts(ids.next_id(NOW_MS).unwrap()), (1_000_000, 5, 1));
        assert_eq!(parts(ids.next_id(NOW_MS + 1).unwrap()), (1_000_001, 5, 0));
    }

    #[test]
    fn more_ids_than_a_millisecond_holds_run_ahead_of_the_clock() {
        let mut ids = Snowflake::new(NODE_MAX, None);
        let mut last = MsgId(0);
        for _ in 0..10_000 {
            let id = ids.next_id(NOW_MS).unwrap();
            assert!(id > last);
            last = id;
        }
        assert_eq!(parts(last), (1_000_002, 1023, 10_000 - 2 * 4096 - 1));
    }

    #[test]
    fn a_clock_that_goes_back_repeats_nothing() {
        let mut ids = Snowflake::new(1, None);
        let first = ids.next_id(NOW_MS).unwrap();
        let hour_back = NOW_MS - 3_600_000 + 1;
        let second = ids.next_id(hour_back.max(MSG_ID_EPOCH_MS)).unwrap();
        assert!(second > first);
        assert_eq!(parts(second), (1_000_000, 1, 1));
    }

    #[test]
    fn a_clock_far_behind_is_refused_until_it_comes_near() {
        let mut ids = Snowflake::new(1, None);
        let now_ms = NOW_MS + CLOCK_BEHIND_MS_MAX;
        let first = ids.next_id(now_ms).unwrap();
        assert_eq!(ids.next_id(NOW_MS - 1), Err(ClockError::Behind(CLOCK_BEHIND_MS_MAX + 1)));
        assert!(ids.next_id(NOW_MS).unwrap() > first);
    }

    #[test]
    fn a_restart_continues_above_the_largest_stored_id() {
        let mut ids = Snowflake::new(9, None);
        let before: Vec<_> = (0..5).map(|_| ids.next_id(NOW_MS).unwrap()).collect();
        let mut again = Snowflake::new(2, before.last().copied());
        assert!(again.next_id(NOW_MS - 500).unwrap() > before[4]);
        assert!(again.next_id(NOW_MS).unwrap() > before[4]);
    }

    #[test]
    fn the_ends_of_time_are_errors_or_harmless() {
        assert_eq!(Snowflake::new(0, None).next_id(u64::MAX), Err(ClockError::Beyond));
        assert_eq!(parts(Snowflake::new(0, None).next_id(0).unwrap()).0, 0);
        let last = Snowflake::new(0, Some(MsgId(u64::MAX >> 1))).next_id(u64::MAX / 2);
        assert_eq!(last, Err(ClockError::Beyond));
    }
}
