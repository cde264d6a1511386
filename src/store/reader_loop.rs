//! Answers questions from a queue, one after the other; several loops may share the queue. Knows no
//! backend and starts no thread.

use aldis_logic::job::{ReadReply, ReadRequest};
use crossbeam::channel::Receiver;

use crate::traits::Reader;

/// Answers what comes until the queue's other end is gone.
pub fn run_reader<R: Reader>(
    mut reader: R,
    jobs: Receiver<ReadRequest>,
    mut done: impl FnMut(ReadReply),
) {
    while let Ok(request) = jobs.recv() {
        let result = reader.read(&request.job);
        done(ReadReply { ticket: request.ticket, result });
    }
}
