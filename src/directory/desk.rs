//! What the directory's thread does with a directory, and when: housekeeping, session changes, questions
//! of the link. Knows no queue and no clock; the simulation drives the same one.

use aldis_logic::job::{
    AttemptJob, AttemptReply, AttemptRequest, BootId, DirectoryReply, DirectoryRequest,
    LocateReply, LocateRequest, NodeId,
};
use aldis_wire::UserId;

use crate::traits::{ANNOUNCE_INTERVAL_MS, Conflict, Directory, NodeRecord, Sessions};

/// Pause between housekeepings of a directory that has nothing to do. ms
pub const MAINTAIN_INTERVAL_MS: u64 = 500;

/// What leaves the directory's thread.
#[derive(Debug)]
pub enum DirectoryOutput {
    /// For whoever waits.
    Reply(DirectoryReply),
    /// For whoever owns the session or knows the way to its node.
    Conflict(Conflict),
    /// Answer to a `Lookup`.
    Found {
        /// Of the question.
        number: u32,
        /// Where they are.
        sessions: Sessions,
    },
    /// Answer to a question of a session, whose slot is reserved.
    Located(LocateReply),
    /// Whether an attempt may be made. A slot for the answer is reserved.
    Attempted(AttemptReply),
    /// The nodes that have a lease, now and then.
    Nodes(Vec<NodeRecord>),
    /// A node that was there has no lease any more, or is in another life: its sessions are over.
    Departed,
    /// Sessions of this node were lost sight of for a while: see [`Directory::poll_recovered`].
    Recovered,
}

/// A question of the link: where these users are.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// To be returned with the answer.
    pub number: u32,
    /// Whom.
    pub users: Vec<UserId>,
}

/// See the file's first line.
#[derive(Debug)]
pub struct Desk<D> {
    directory: D,
    /// When the nodes are listed again; never without a link.
    nodes_at_ms: u64,
    /// Those that were listed last.
    nodes: Vec<(NodeId, BootId)>,
    was_draining: bool,
}

impl<D: Directory> Desk<D> {
    /// With a link that wants to know of other nodes, or without one.
    pub fn new(directory: D, has_link: bool) -> Self {
        let nodes_at_ms = if has_link { 0 } else { u64::MAX };
        Self { directory, nodes_at_ms, nodes: Vec::new(), was_draining: false }
    }

    /// Does what is due; to be called between any two jobs. `is_draining` takes the node out of what
    /// new clients are sent to.
    pub fn maintain(
        &mut self,
        now_ms: u64,
        is_draining: bool,
        done: &mut impl FnMut(DirectoryOutput),
    ) {
        if is_draining && !std::mem::replace(&mut self.was_draining, true) {
            self.directory.drain(now_ms);
        }
        self.directory.maintain(now_ms);
        while let Some(conflict) = self.directory.poll_conflict() {
            done(DirectoryOutput::Conflict(conflict));
        }
        if self.directory.poll_recovered(now_ms) {
            done(DirectoryOutput::Recovered);
        }
        if now_ms >= self.nodes_at_ms {
            // A node that just started is looked for soon, its own first announcement included.
            let is_alone = self.list_nodes(now_ms, done) < 2;
            self.nodes_at_ms =
                now_ms + if is_alone { MAINTAIN_INTERVAL_MS } else { ANNOUNCE_INTERVAL_MS };
        }
    }

    /// When `maintain` is wanted next. ms
    pub fn poll_timeout(&self) -> u64 {
        self.directory.poll_timeout().min(self.nodes_at_ms)
    }

    /// Carries out some requests and answers those that somebody waits for.
    pub fn handle_batch(
        &mut self,
        now_ms: u64,
        batch: &[DirectoryRequest],
        done: &mut impl FnMut(DirectoryOutput),
    ) {
        let jobs: Vec<_> = batch.iter().map(|request| request.job).collect();
        let results = self.directory.apply(now_ms, &jobs);
        debug_assert_eq!(results.len(), batch.len(), "one result for each job");
        for (request, registration) in batch.iter().zip(results) {
            if let Some(registration) = registration {
                done(DirectoryOutput::Reply(DirectoryReply {
                    ticket: request.ticket,
                    registration,
                }));
            }
        }
    }

    /// Counts attempts and answers those that wait for it.
    pub fn handle_attempts(
        &mut self,
        now_ms: u64,
        batch: &[AttemptRequest],
        done: &mut impl FnMut(DirectoryOutput),
    ) {
        let jobs: Vec<_> = batch.iter().map(|request| request.job.clone()).collect();
        let verdicts = self.directory.count_attempts(now_ms, &jobs);
        debug_assert_eq!(verdicts.len(), batch.len(), "one verdict for each job");
        for (AttemptRequest { ticket, job }, verdict) in batch.iter().zip(verdicts) {
            if matches!(job, AttemptJob::Begin(_)) {
                done(DirectoryOutput::Attempted(AttemptReply { ticket: *ticket, verdict }));
            }
        }
    }

    /// Answers a question of the link.
    pub fn handle_lookup(
        &mut self,
        now_ms: u64,
        lookup: &Lookup,
        done: &mut impl FnMut(DirectoryOutput),
    ) {
        let sessions = self.directory.sessions_of(now_ms, &lookup.users);
        done(DirectoryOutput::Found { number: lookup.number, sessions });
    }

    /// Answers a question of a session.
    pub fn handle_locate(
        &mut self,
        now_ms: u64,
        request: LocateRequest,
        done: &mut impl FnMut(DirectoryOutput),
    ) {
        let LocateRequest { ticket, users } = request;
        let Sessions { found, unknown } = self.directory.sessions_of(now_ms, &users);
        done(DirectoryOutput::Located(LocateReply { ticket, sessions: found, unknown }));
    }

    /// The process ends.
    pub fn leave(&mut self, now_ms: u64) {
        self.directory.leave(now_ms);
    }

    /// How many there are; 0 if the directory is away, which tells nothing about the nodes.
    fn list_nodes(&mut self, now_ms: u64, done: &mut impl FnMut(DirectoryOutput)) -> usize {
        let Ok(nodes) = self.directory.nodes(now_ms) else { return 0 };
        let count = nodes.len();
        let lives: Vec<_> = nodes.iter().map(|record| (record.node, record.boot)).collect();
        let before = std::mem::replace(&mut self.nodes, lives);
        if before.iter().any(|life| !self.nodes.contains(life)) {
            done(DirectoryOutput::Departed);
        }
        done(DirectoryOutput::Nodes(nodes));
        count
    }
}
