//! Counts how often each fault and each branch of interest fired. Knows their names only.

use std::collections::BTreeMap;
use std::fmt;

/// Everything that must have happened at least once over a whole run; a name that is counted and
/// not listed here, or listed and never counted, fails the run.
pub const EXPECTED: &[&str] = &[
    "batch: committed",
    "batch: committed, outcome unknown",
    "batch: failed before its commit",
    "batch: several requests",
    "batch: slow commit",
    "client: an entry of a stream by push",
    "client: an entry of a stream by sync",
    "client: conflicting id refused",
    "client: first position from zero",
    "client: gap timer ran out",
    "client: goaway",
    "client: group created",
    "client: group dissolved",
    "client: group entered again",
    "client: group left",
    "client: history read",
    "client: kicked",
    "client: logged in by password",
    "client: logged in by token",
    "client: logged out",
    "client: members invited",
    "client: members put out",
    "client: message edited",
    "client: message recalled",
    "client: own entry after its sync",
    "client: registered",
    "client: resend of an acknowledged id",
    "client: resend of an unanswered id elsewhere",
    "client: resend on the next connection",
    "client: restarted with its saved state",
    "client: RESYNC for a position above the head",
    "client: send refused, blocked",
    "client: send refused, not a member",
    "client: silence ended a connection",
    "client: slow reader",
    "client: sync after a gap or hint",
    "client: user blocked",
    "client: user unblocked",
    "crash: before the commit",
    "crash: between commit and reply",
    "crash: while idle",
    "directory: a session elsewhere had lost",
    "directory: a session of ours had lost",
    "directory: answers are lost",
    "directory: flushed",
    "directory: lookup refused",
    "directory: lookup without an answer",
    "directory: out of reach",
    "directory: queue full",
    "directory: sessions told again",
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
    "link: cut before login",
    "link: cut in the middle of a frame to the client",
    "link: cut in the middle of a frame to the server",
    "link: half open",
    "link: output limit",
    "link: reset by the client",
    "mailbox: deliveries did not fit",
    "nodes: a device changed nodes",
    "nodes: CheckHeads",
    "nodes: entry came",
    "nodes: entry sent a second time",
    "nodes: entry sent on a guess",
    "nodes: entry sent",
    "nodes: hint after a head check",
    "nodes: kick after a head check",
    "nodes: kick came",
    "nodes: kick ended a session",
    "nodes: kick sent",
    "nodes: kick told by the directory",
    "nodes: login lost at the directory",
    "nodes: no room for a kick",
    "nodes: node suspected",
    "nodes: NOT_HERE",
    "nodes: one is killed",
    "nodes: one is stopped and goes on",
    "nodes: opened after a loss",
    "nodes: notification came",
    "nodes: notification sent",
    "nodes: opened",
    "nodes: resend of what the other one stored",
    "nodes: restarted in turn",
    "nodes: session closed",
    "nodes: session connected",
    "nodes: session ended by a restart",
    "nodes: session lost",
    "nodes: STALE",
    "nodes: the link's queue is full",
    "nodes: two logins of a class at once",
    "probe: found on another node",
    "probe: kicked from node to node",
    "probe: pushed from node to node",
    "push: delivered",
    "push: dropped, slow reader",
    "push: out of order",
    "read: head check",
    "read: unavailable",
    "refused: behind a failed send",
    "store: resend answered from what is stored",
    "wait: account credit",
    "wait: LOGIN or REGISTER under way",
    "wait: LOGOUT behind other requests",
    "wait: output above the soft limit",
    "wait: page under way",
    "wait: pipelined requests",
    "wait: read credit",
    "wait: sends that a failure will refuse",
    "wait: write credit",
    "wire: attacked",
    "wire: bad from the start",
    "wire: bad weather",
    "wire: cut both ways",
    "wire: cut one way",
    "wire: datagram corrupted",
    "wire: datagram cut off",
    "wire: datagram did not fit the socket",
    "wire: datagram lost",
    "wire: datagram repeated or forged",
    "wire: datagram sent",
    "wire: node cut off",
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

    /// It happened so often.
    pub fn add_hits(&mut self, what: &'static str, count: u64) {
        if count > 0 {
            *self.counts.entry(what).or_default() += count;
        }
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
