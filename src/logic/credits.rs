//! How much a service may have under way at other threads. Queues are as large as these limits say
//! (times reactors), so a job never meets a full queue: the connection waits before, unread.

use std::collections::VecDeque;

use aldis_wire::ConnId;

/// Limits of one reactor's service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditLimits {
    /// Write jobs under way.
    pub writes: u32,
    /// Bytes of their bodies: bounds the memory of queued large messages.
    pub write_bytes: u64,
    /// Read jobs under way.
    pub reads: u32,
    /// Write jobs under way from which on only what matters most is taken: the rest is left
    /// for it.
    pub shed_writes: u32,
    /// The same for read jobs.
    pub shed_reads: u32,
    /// Hash jobs under way; at 13 ms each this is the time a login may wait.
    pub hashes: u32,
    /// Logins and registrations under way. Their later steps may exceed the limits above by this
    /// many, because they cannot be put back.
    pub accounts: u32,
}

impl Default for CreditLimits {
    fn default() -> Self {
        Self {
            writes: 16_384,
            write_bytes: 64 << 20,
            reads: 1_024,
            shed_writes: 12_288,
            shed_reads: 768,
            hashes: 64,
            accounts: 256,
        }
    }
}

impl CreditLimits {
    /// Write jobs that one reactor can have in the queue.
    pub fn write_queue_len(self) -> usize {
        (self.writes + self.accounts) as usize
    }

    /// Questions to the directory that one reactor can have in the queue: each takes the place of a read
    /// job.
    pub fn locate_queue_len(self) -> usize {
        self.read_queue_len()
    }

    /// Read jobs that one reactor can have in the queue; one more is a head check.
    pub fn read_queue_len(self) -> usize {
        (self.reads + self.accounts + 1) as usize
    }

    /// Hash jobs that one reactor can have in the queue.
    pub fn hash_queue_len(self) -> usize {
        self.hashes as usize
    }

    /// Replies that can be on their way to one reactor.
    pub fn reply_queue_len(self) -> usize {
        // Every account step has one job under way at a time: counted once here, for the directory.
        self.write_queue_len()
            + self.read_queue_len()
            + self.hash_queue_len()
            + self.accounts as usize
    }
}

/// What a request needs before it may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Answered at once.
    Nothing,
    /// A store writer.
    Write,
    /// A store reader.
    Read,
    /// A login or registration: several steps.
    Account,
}

/// What is under way, and who waits for room.
#[derive(Debug, Default)]
pub struct Credits {
    limits: CreditLimits,
    writes: u32,
    write_bytes: u64,
    reads: u32,
    hashes: u32,
    accounts: u32,
    waiting: VecDeque<(ConnId, Need)>,
}

impl Credits {
    /// Nothing under way.
    pub(crate) fn new(limits: CreditLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Whether such a request may start now.
    pub(crate) fn has(&self, need: Need) -> bool {
        let limits = &self.limits;
        let can_write = self.writes < limits.writes && self.write_bytes < limits.write_bytes;
        let can_read = self.reads < limits.reads;
        match need {
            Need::Nothing => true,
            Need::Write => can_write,
            Need::Read => can_read,
            Need::Account => can_write && can_read && self.accounts < limits.accounts,
        }
    }

    /// Whether what matters less should be refused.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.writes >= self.limits.shed_writes || self.reads >= self.limits.shed_reads
    }

    /// Whether the password pool has room.
    pub(crate) fn has_hash(&self) -> bool {
        self.hashes < self.limits.hashes
    }

    pub(crate) fn take_write(&mut self, bytes: u32) {
        self.writes += 1;
        self.write_bytes += u64::from(bytes);
    }

    pub(crate) fn give_write(&mut self, bytes: u32) {
        self.writes -= 1;
        self.write_bytes -= u64::from(bytes);
    }

    pub(crate) fn take_read(&mut self) {
        self.reads += 1;
    }

    pub(crate) fn give_read(&mut self) {
        self.reads -= 1;
    }

    pub(crate) fn take_hash(&mut self) {
        self.hashes += 1;
    }

    pub(crate) fn give_hash(&mut self) {
        self.hashes -= 1;
    }

    pub(crate) fn take_account(&mut self) {
        self.accounts += 1;
    }

    pub(crate) fn give_account(&mut self) {
        self.accounts -= 1;
    }

    /// Remembers a connection whose frame had to wait for `need`.
    pub(crate) fn wait(&mut self, conn: ConnId, need: Need) {
        self.waiting.push_back((conn, need));
    }

    /// The next connection that can go on. Whoever still finds no room waits again.
    pub(crate) fn poll_resumable(&mut self) -> Option<ConnId> {
        let &(conn, need) = self.waiting.front()?;
        if !self.has(need) {
            // Those behind may need something else that is there.
            let at = self.waiting.iter().position(|&(_, need)| self.has(need))?;
            return self.waiting.remove(at).map(|(conn, _)| conn);
        }
        self.waiting.pop_front();
        Some(conn)
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.writes + self.reads + self.hashes + self.accounts == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_connection_goes_on_when_its_own_need_is_met() {
        let limits = CreditLimits { writes: 1, reads: 1, ..CreditLimits::default() };
        let mut credits = Credits::new(limits);
        let conn = |index| ConnId { index, generation: 0 };
        credits.take_write(10);
        credits.take_read();
        assert!(!credits.has(Need::Write) && !credits.has(Need::Account));
        credits.wait(conn(1), Need::Write);
        credits.wait(conn(2), Need::Read);
        assert_eq!(credits.poll_resumable(), None);
        credits.give_read();
        assert_eq!(credits.poll_resumable(), Some(conn(2)));
        assert_eq!(credits.poll_resumable(), None);
        credits.give_write(10);
        assert_eq!(credits.poll_resumable(), Some(conn(1)));
        assert!(credits.is_idle());
    }
}
