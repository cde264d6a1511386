//! Takes directory jobs from a queue and carries them out in natural batches: what has queued up
//! during the last round trip is the next one. What it does when is in `desk`. Knows no backend and
//! starts no thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aldis_logic::job::{AttemptRequest, DirectoryRequest, LocateRequest};
use crossbeam::channel::{Receiver, TryRecvError, never};
use crossbeam::select;

use crate::desk::{Desk, DirectoryOutput, Lookup, MAINTAIN_INTERVAL_MS};
use crate::traits::Directory;

/// Jobs of one batch: one round trip of about 2 ms, well below any timeout.
pub const BATCH_JOBS_MAX: usize = 256;

/// Where a directory's jobs come from.
pub struct DirectoryJobs {
    /// Changes of sessions. The loop ends when its other end is gone.
    pub sessions: Receiver<DirectoryRequest>,
    /// Questions of sessions.
    pub locates: Receiver<LocateRequest>,
    /// Attempts at passwords.
    pub attempts: Receiver<AttemptRequest>,
    /// Questions of the link; `None`: there is no link, and nobody wants to know of other nodes.
    pub lookups: Option<Receiver<Lookup>>,
}

/// Carries out what comes until the queue's other end is gone, then gives up the node's lease.
/// `clock` gives monotonic ms; `is_draining` takes the node out of what new clients are sent to.
pub fn run_directory(
    directory: impl Directory,
    jobs: DirectoryJobs,
    is_draining: &AtomicBool,
    mut clock: impl FnMut() -> u64,
    mut done: impl FnMut(DirectoryOutput),
) {
    let DirectoryJobs { sessions, mut locates, mut attempts, lookups } = jobs;
    let mut desk = Desk::new(directory, lookups.is_some());
    let mut lookups = lookups.unwrap_or_else(never);
    loop {
        let mut now_ms = clock();
        desk.maintain(now_ms, is_draining.load(Ordering::Relaxed), &mut done);
        now_ms = clock();
        let wait_ms = desk.poll_timeout().saturating_sub(now_ms).min(MAINTAIN_INTERVAL_MS);
        select! {
            recv(sessions) -> first => {
                let Ok(first) = first else { return desk.leave(now_ms) };
                let rest = sessions.try_iter().take(BATCH_JOBS_MAX - 1);
                let batch: Vec<_> = std::iter::once(first).chain(rest).collect();
                desk.handle_batch(clock(), &batch, &mut done);
            }
            recv(locates) -> request => match request {
                Ok(request) => desk.handle_locate(clock(), request, &mut done),
                // No session can ask any more.
                Err(_) => locates = never(),
            },
            recv(attempts) -> first => match first {
                Ok(first) => {
                    let rest = attempts.try_iter().take(BATCH_JOBS_MAX - 1);
                    let batch: Vec<_> = std::iter::once(first).chain(rest).collect();
                    desk.handle_attempts(clock(), &batch, &mut done);
                }
                // Nobody can log in any more.
                Err(_) => attempts = never(),
            },
            recv(lookups) -> lookup => match lookup {
                Ok(lookup) => desk.handle_lookup(clock(), &lookup, &mut done),
                // The link is gone; sessions end after it.
                Err(_) => lookups = never(),
            },
            default(Duration::from_millis(wait_ms)) => {}
        }
        // A stream of session changes does not keep the link waiting.
        match lookups.try_recv() {
            Ok(lookup) => desk.handle_lookup(clock(), &lookup, &mut done),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
    }
}
