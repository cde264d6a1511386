//! Takes directory jobs from a queue and carries them out in natural batches: what has queued up
//! during the last round trip is the next one. Knows no backend and starts no thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aldis_logic::job::{DirectoryReply, DirectoryRequest};
use aldis_wire::UserId;
use crossbeam::channel::{Receiver, TryRecvError, never};
use crossbeam::select;

use crate::traits::{ANNOUNCE_INTERVAL_MS, Conflict, Directory, NodeRecord, Sessions};

/// Jobs of one batch: one round trip of about 2 ms, well below any timeout.
pub const BATCH_JOBS_MAX: usize = 256;
/// Pause between housekeepings of a directory that has nothing to do. ms
pub const MAINTAIN_INTERVAL_MS: u64 = 500;

/// What leaves the loop.
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
    /// The nodes that have a lease, now and then.
    Nodes(Vec<NodeRecord>),
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

/// Where a directory's jobs come from.
pub struct DirectoryJobs {
    /// Changes of sessions. The loop ends when its other end is gone.
    pub sessions: Receiver<DirectoryRequest>,
    /// Questions of the link; `None`: there is no link, and nobody wants to know of other nodes.
    pub lookups: Option<Receiver<Lookup>>,
}

/// Carries out what comes until the queue's other end is gone, then gives up the node's lease.
/// `clock` gives monotonic ms; `is_draining` takes the node out of what new clients are sent to.
pub fn run_directory(
    mut directory: impl Directory,
    jobs: DirectoryJobs,
    is_draining: &AtomicBool,
    mut clock: impl FnMut() -> u64,
    mut done: impl FnMut(DirectoryOutput),
) {
    let DirectoryJobs { sessions, lookups } = jobs;
    let mut nodes_at_ms = if lookups.is_some() { 0 } else { u64::MAX };
    let mut lookups = lookups.unwrap_or_else(never);
    let mut was_draining = false;
    loop {
        let mut now_ms = clock();
        if !was_draining && is_draining.load(Ordering::Relaxed) {
            was_draining = true;
            directory.drain(now_ms);
        }
        directory.maintain(now_ms);
        while let Some(conflict) = directory.poll_conflict() {
            done(DirectoryOutput::Conflict(conflict));
        }
        if directory.poll_recovered(now_ms) {
            done(DirectoryOutput::Recovered);
        }
        if now_ms >= nodes_at_ms {
            // A node that just started is looked for soon, its own first announcement included.
            let is_alone = list_nodes(&mut directory, now_ms, &mut done) < 2;
            nodes_at_ms =
                now_ms + if is_alone { MAINTAIN_INTERVAL_MS } else { ANNOUNCE_INTERVAL_MS };
        }
        now_ms = clock();
        let due_ms = directory.poll_timeout().min(nodes_at_ms);
        let wait_ms = due_ms.saturating_sub(now_ms).min(MAINTAIN_INTERVAL_MS);
        select! {
            recv(sessions) -> first => {
                let Ok(first) = first else { return directory.leave(now_ms) };
                let rest = sessions.try_iter().take(BATCH_JOBS_MAX - 1);
                let batch: Vec<_> = std::iter::once(first).chain(rest).collect();
                handle_batch(&mut directory, clock(), &batch, |reply| {
                    done(DirectoryOutput::Reply(reply));
                });
            }
            recv(lookups) -> lookup => match lookup {
                Ok(lookup) => find(&mut directory, clock(), &lookup, &mut done),
                // The link is gone; sessions end after it.
                Err(_) => lookups = never(),
            },
            default(Duration::from_millis(wait_ms)) => {}
        }
        // A stream of session changes does not keep the link waiting.
        match lookups.try_recv() {
            Ok(lookup) => find(&mut directory, clock(), &lookup, &mut done),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
    }
}

fn find(
    directory: &mut impl Directory,
    now_ms: u64,
    lookup: &Lookup,
    done: &mut impl FnMut(DirectoryOutput),
) {
    let sessions = directory.sessions_of(now_ms, &lookup.users);
    done(DirectoryOutput::Found { number: lookup.number, sessions });
}

/// How many there are; 0 if the directory is away, which tells nothing about the nodes.
fn list_nodes(
    directory: &mut impl Directory,
    now_ms: u64,
    done: &mut impl FnMut(DirectoryOutput),
) -> usize {
    let Ok(nodes) = directory.nodes(now_ms) else { return 0 };
    let count = nodes.len();
    done(DirectoryOutput::Nodes(nodes));
    count
}

/// Carries out some requests and answers those that somebody waits for. The simulation drives the
/// same one.
pub fn handle_batch(
    directory: &mut impl Directory,
    now_ms: u64,
    batch: &[DirectoryRequest],
    mut done: impl FnMut(DirectoryReply),
) {
    let jobs: Vec<_> = batch.iter().map(|request| request.job).collect();
    let results = directory.apply(now_ms, &jobs);
    debug_assert_eq!(results.len(), batch.len(), "one result for each job");
    for (request, registration) in batch.iter().zip(results) {
        if let Some(registration) = registration {
            done(DirectoryReply { ticket: request.ticket, registration });
        }
    }
}
