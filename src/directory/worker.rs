//! Takes directory jobs from a queue and carries them out in natural batches: what has queued up
//! during the last round trip is the next one. Knows no backend and starts no thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aldis_logic::job::{DirectoryReply, DirectoryRequest};
use crossbeam::channel::{Receiver, RecvTimeoutError};

use crate::traits::{Conflict, Directory};

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
}

/// Carries out what comes until the queue's other end is gone, then gives up the node's lease.
/// `clock` gives monotonic ms; `is_draining` takes the node out of what new clients are sent to.
pub fn run_directory(
    mut directory: impl Directory,
    jobs: Receiver<DirectoryRequest>,
    is_draining: &AtomicBool,
    mut clock: impl FnMut() -> u64,
    mut done: impl FnMut(DirectoryOutput),
) {
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
        now_ms = clock();
        let wait_ms = directory.poll_timeout().saturating_sub(now_ms).min(MAINTAIN_INTERVAL_MS);
        match jobs.recv_timeout(Duration::from_millis(wait_ms)) {
            Ok(first) => {
                let rest = jobs.try_iter().take(BATCH_JOBS_MAX - 1);
                let batch: Vec<_> = std::iter::once(first).chain(rest).collect();
                handle_batch(&mut directory, clock(), &batch, |reply| {
                    done(DirectoryOutput::Reply(reply));
                });
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return directory.leave(now_ms),
        }
    }
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
