//! Takes write jobs from a queue and commits them in natural batches: what has queued up while the
//! last batch was committed is the next one. Knows no backend and starts no thread.

use std::time::Duration;

use aldis_logic::Now;
use aldis_logic::job::{Event, FailedSend, JobError, WriteJob, WriteReply, WriteRequest, Written};
use crossbeam::channel::{Receiver, RecvTimeoutError};

use crate::traits::{Committed, Fenced, Writer};

/// Requests of one batch: bounds what a reply waits for others.
pub const BATCH_REQUESTS_MAX: usize = 1_024;
/// Mailbox entries at which a batch ends: 32 messages to the largest groups, 5 to 30 ms of work,
/// depending on how many of them have the same owners.
pub const BATCH_ROWS_MAX: usize = 16_384;
/// Content bytes at which a batch ends: bounds the transaction's memory and its part of the log.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// Pause between housekeepings of a writer that has nothing to do: well below the leases that it
/// renews there.
pub const MAINTAIN_INTERVAL: Duration = Duration::from_millis(500);

/// Commits what comes until the queue's other end is gone, or until the writer must not write any
/// more: then what is queued stays unanswered and the process has to end. `done` gets the replies of a batch in
/// the order of their requests and the entries it made.
pub fn run_writer<W: Writer>(
    mut writer: W,
    jobs: Receiver<WriteRequest>,
    mut clock: impl FnMut() -> Now,
    mut done: impl FnMut(Vec<WriteReply>, Vec<Event>),
) -> Result<(), Fenced> {
    let mut batcher = Batcher::default();
    loop {
        let first = match jobs.recv_timeout(MAINTAIN_INTERVAL) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => {
                writer.maintain(clock().unix_ms)?;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        let now = clock();
        let mut stale = Vec::new();
        let mut next = Some(first);
        while let Some(request) = next {
            stale.extend(batcher.admit(&writer, now, request));
            next = if batcher.is_full() { None } else { jobs.try_recv().ok() };
        }
        if !stale.is_empty() {
            done(stale, Vec::new());
        }
        if batcher.is_empty() {
            continue;
        }
        let committed = writer.commit(clock().unix_ms, batcher.batch());
        let (replies, events) = batcher.finish(committed);
        done(replies, events);
        writer.maintain(clock().unix_ms)?;
    }
}

/// The writer loop without queue, clock and store: which requests make a batch and what answers
/// them. The simulation drives the same one.
///
/// After a batch that ended Unavailable the count of failures rises, and requests that were made in
/// ignorance of it (an older fence) get Unavailable without running: otherwise a later send could
/// overtake the failed one of the same sender. A login that waited for so long that its client has
/// given up gets the same answer.
#[derive(Debug, Default)]
pub struct Batcher {
    failure_count: u32,
    batch: Vec<WriteRequest>,
    row_count: usize,
    byte_count: usize,
    stale_count: usize,
}

impl Batcher {
    /// Takes a request into the batch; or answers it, if it must not run.
    pub fn admit<W: Writer>(
        &mut self,
        writer: &W,
        now: Now,
        request: WriteRequest,
    ) -> Option<WriteReply> {
        if self.batch.is_empty() && self.is_full() {
            // Nothing but stale requests filled the last batch.
            self.begin();
        }
        if request.fence < self.failure_count || is_too_late(&request.job, now) {
            self.stale_count += 1;
            return Some(reply(request, self.failure_count, Err(JobError::Unavailable)));
        }
        self.row_count += writer.mailbox_rows(&request.job);
        self.byte_count += job_bytes(&request.job);
        self.batch.push(request);
        None
    }

    /// Whether the batch takes no more. Stale requests count too, so that answering them cannot go
    /// on for ever.
    pub fn is_full(&self) -> bool {
        self.batch.len() + self.stale_count >= BATCH_REQUESTS_MAX
            || self.row_count >= BATCH_ROWS_MAX
            || self.byte_count >= BATCH_BYTES_MAX
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// What to commit, in this order.
    pub fn batch(&self) -> &[WriteRequest] {
        &self.batch
    }

    /// The batch's replies in the order of its requests, and the entries it made. The next one
    /// begins.
    pub fn finish(&mut self, committed: Committed) -> (Vec<WriteReply>, Vec<Event>) {
        debug_assert_eq!(committed.results.len(), self.batch.len(), "one result for each request");
        if committed.results.contains(&Err(JobError::Unavailable)) {
            self.failure_count = self.failure_count.saturating_add(1);
        }
        let fence = self.failure_count;
        let replies = self
            .batch
            .drain(..)
            .zip(committed.results)
            .map(|(request, result)| reply(request, fence, result))
            .collect();
        self.begin();
        (replies, committed.events)
    }

    fn begin(&mut self) {
        (self.row_count, self.byte_count, self.stale_count) = (0, 0, 0);
    }
}

fn is_too_late(job: &WriteJob, now: Now) -> bool {
    matches!(job, WriteJob::OpenSession(open) if open.is_too_late(now))
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
        WriteJob::StoreIndex { blocks, .. } => blocks.iter().map(|block| block.data.len()).sum(),
        _ => 0,
    }
}
