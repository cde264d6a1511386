//! The password pool: bounded, so that logins never delay messages.

use aldis_logic::job::{HashJob, HashReply, HashRequest, HashResult};
use crossbeam::channel::Receiver;

use crate::hasher::Hasher;
use crate::urgency;

/// Works until the queue's senders are gone.
pub fn run(hasher: &Hasher, jobs: &Receiver<HashRequest>, done: impl Fn(HashReply)) {
    let breaks = urgency::check_passwords();
    for request in jobs {
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
        // Before it is heard of: who is at rest holds no such memory.
        if jobs.is_empty() {
            hasher.release_memory();
        }
        done(HashReply { ticket: request.ticket, result });
    }
}
