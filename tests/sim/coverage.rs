//! Counts how often each fault and each branch of interest fired. Knows their names only.

use std::collections::BTreeMap;
use std::fmt;

/// Everything that must have happened at least once over a whole run; a name that is counted and
/// not listed here, or listed and never counted, fails the run.
pub const EXPECTED: &[&str] = &[
    "batch: committed",
    "batch: failed before its commit",
    "batch: committed, outcome unknown",
    "batch: slow commit",
    "batch: several requests",
    "client: conflicting id refused",
    "client: first position from zero",
    "client: gap timer ran out",
    "client: goaway",
    "client: group created",
    "client: group entered again",
    "client: group left",
    "client: history read",
    "client: kicked",
    "client: logged in by password",
    "client: logged in by token",
    "client: logged out",
    "client: members invited",
    "client: own entry after its sync",
    "client: registered",
    "client: resend of an acknowledged id",
    "client: resend of an unanswered id elsewhere",
    "client: resend on the next connection",
    "client: restarted with its saved state",
    "client: RESYNC for a position above the head",
    "client: send refused, not a member",
    "client: silence ended a connection",
    "client: slow reader",
    "client: sync after a gap or hint",
    "crash: before the commit",
    "crash: between commit and reply",
    "crash: while idle",
    "directory: queue full",
    "drain: begun",
    "drain: login refused",
    "hint: after a drain of output",
    "hint: after a head check",
    "kick: after a head check",
    "kick: by mail between reactors",
    "kick: login lost to a newer one",
    "kick: mail did not fit",
    "kick: within a reactor",
    "link: connect failed",
    "link: cut in the middle of a frame to the client",
    "link: cut in the middle of a frame to the server",
    "link: cut before login",
    "link: half open",
    "link: output limit",
    "link: reset by the client",
    "mailbox: deliveries did not fit",
    "push: delivered",
    "push: dropped, slow reader",
    "push: out of order",
    "read: unavailable",
    "read: head check",
    "refused: behind a failed send",
    "store: resend answered from what is stored",
    "two nodes: a device changed nodes",
    "two nodes: hint after a head check",
    "two nodes: kick after a head check",
    "two nodes: kick told by the directory",
    "two nodes: login lost at the directory",
    "two nodes: one is killed",
    "two nodes: resend of what the other one stored",
    "wait: account credit",
    "wait: LOGIN or REGISTER under way",
    "wait: LOGOUT behind other requests",
    "wait: output above the soft limit",
    "wait: page under way",
    "wait: pipelined requests",
    "wait: read credit",
    "wait: sends that a failure will refuse",
    "wait: write credit",
    "writer: request behind the fence",
];

/// See the file's first line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// It happened.
    pub fn hit(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// How often it happened.
    pub fn count(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Coverage) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    /// What was expected and never happened, and what happened without being listed.
    pub fn missing(&self) -> Vec<&'static str> {
        let never = EXPECTED.iter().copied().filter(|what| self.count(what) == 0);
        let unlisted = self.counts.keys().copied().filter(|what| !EXPECTED.contains(what));
        never.chain(unlisted).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for what in EXPECTED {
            writeln!(f, "{:>10}  {what}", self.count(what))?;
        }
        Ok(())
    }
}
