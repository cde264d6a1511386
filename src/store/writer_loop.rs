//! Takes write jobs from a queue and commits them in natural batches: what has queued up while the
//! last batch was committed is the next one. Knows no backend and starts no thread.

use aldis_logic::job::{Event, FailedSend, JobError, WriteJob, WriteReply, WriteRequest, Written};
use crossbeam::channel::Receiver;

use crate::traits::Writer;

/// Requests of one batch: bounds what a reply waits for others.
pub const BATCH_REQUESTS_MAX: usize = 1_024;
/// Mailbox entries at which a batch ends: 32 messages to the largest groups, a few ms of work.
pub const BATCH_ROWS_MAX: usize = 16_384;
/// Content bytes at which a batch ends: bounds the transaction's memory and its part of the log.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// Commits what comes until the queue's other end is gone. `done` gets the replies of a batch in
/// the order of their requests and the entries it made.
///
/// After a batch that ended Unavailable the count of failures rises, and requests that were made in
/// ignorance of it (an older fence) get Unavailable without running: otherwise a later send could
/// overtake the failed one of the same sender.
pub fn run_writer<W: Writer>(
    mut writer: W,
    jobs: Receiver<WriteRequest>,
    mut clock: impl FnMut() -> u64,
    mut done: impl FnMut(Vec<WriteReply>, Vec<Event>),
) {
    let mut failure_count: u32 = 0;
    let mut batch = Vec::with_capacity(BATCH_REQUESTS_MAX);
    while let Ok(first) = jobs.recv() {
        let mut stale = Vec::new();
        fill_batch(&writer, first, &jobs, failure_count, &mut batch, &mut stale);
        if !stale.is_empty() {
            done(stale, Vec::new());
        }
        if batch.is_empty() {
            continue;
        }
        let committed = writer.commit(clock(), &batch);
        debug_assert_eq!(committed.results.len(), batch.len(), "one result for each request");
        if committed.results.contains(&Err(JobError::Unavailable)) {
            failure_count = failure_count.saturating_add(1);
        }
        let replies = batch
            .drain(..)
            .zip(committed.results)
            .map(|(request, result)| reply(request, failure_count, result))
            .collect();
        done(replies, committed.events);
        writer.maintain();
    }
}

/// Sorts what is queued into requests that run and replies to those that must not. Stale ones count
/// as requests too, so that answering them cannot go on for ever.
fn fill_batch<W: Writer>(
    writer: &W,
    first: WriteRequest,
    jobs: &Receiver<WriteRequest>,
    failure_count: u32,
    batch: &mut Vec<WriteRequest>,
    stale: &mut Vec<WriteReply>,
) {
    let (mut row_count, mut byte_count) = (0, 0);
    let mut next = Some(first);
    while let Some(request) = next {
        if request.fence >= failure_count {
            row_count += writer.mailbox_rows(&request.job);
            byte_count += job_bytes(&request.job);
            batch.push(request);
        } else {
            stale.push(reply(request, failure_count, Err(JobError::Unavailable)));
        }
        let is_full = batch.len() + stale.len() >= BATCH_REQUESTS_MAX
            || row_count >= BATCH_ROWS_MAX
            || byte_count >= BATCH_BYTES_MAX;
        next = if is_full { None } else { jobs.try_recv().ok() };
    }
}

fn reply(request: WriteRequest, fence: u32, result: Result<Written, JobError>) -> WriteReply {
    let failed_send = match &request.job {
        WriteJob::Append(append) if result == Err(JobError::Unavailable) => Some(FailedSend {
            conversation: append.conversation,
            client_msg_id: append.client_msg_id,
        }),
        _ => None,
    };
    WriteReply { ticket: request.ticket, fence, result, failed_send }
}

fn job_bytes(job: &WriteJob) -> usize {
    match job {
        WriteJob::Append(append) => append.content.len() + append.extra.len(),
        _ => 0,
    }
}
