//! The password pool: bounded, so that logins never delay messages.

use std::time::Duration;

use aldis_logic::job::{HashJob, HashReply, HashRequest, HashResult};
use crossbeam::channel::{Receiver, RecvTimeoutError};

use crate::hasher::Hasher;
use crate::urgency;

/// Time without work after which a thread gives the memory of a hash back.
const MEMORY_KEPT: Duration = Duration::from_secs(1);

/// Works until the queue's senders are gone.
pub fn run(hasher: &Hasher, jobs: &Receiver<HashRequest>, done: impl Fn(HashReply)) {
    let breaks = urgency::check_passwords();
    while let Some(request) = next(hasher, jobs) {
        let result = breaks.during(|| match request.job {
            HashJob::Hash { password } => match hasher.hash(&password) {
                Ok(phc) => HashResult::Hashed(phc),
                Err(error) => {
                    log::error!("{error}");
                    HashResult::Failed
                }
            },
            HashJob::Verify { password, password_phc } => {
                HashResult::Verified(hasher.verify(&password, &password_phc))
            }
        });
        done(HashReply { ticket: request.ticket, result });
    }
}

fn next(hasher: &Hasher, jobs: &Receiver<HashRequest>) -> Option<HashRequest> {
    if hasher.has_memory() {
        match jobs.recv_timeout(MEMORY_KEPT) {
            Ok(request) => return Some(request),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => hasher.release_memory(),
        }
    }
    jobs.recv().ok()
}
