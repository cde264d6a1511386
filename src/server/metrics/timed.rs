//! A store writer that is watched: how long its transactions take and what they hold. Changes
//! nothing of what it does.

use std::sync::atomic::Ordering;
use std::time::Instant;

use aldis_logic::job::{WriteJob, WriteRequest};
use aldis_store::{Committed, Fenced, Writer};
use aldis_wire::ClientMsgId;

use super::WriterCounts;

/// Entries of the server's own (group events) have this id.
const NO_CLIENT: ClientMsgId = ClientMsgId([0; 16]);

/// See the file's first lines.
pub struct TimedWriter<W> {
    writer: W,
    counts: WriterCounts,
}

impl<W> TimedWriter<W> {
    /// Watches a writer.
    pub fn new(writer: W, counts: WriterCounts) -> Self {
        Self { writer, counts }
    }
}

impl<W: Writer> Writer for TimedWriter<W> {
    fn commit(&mut self, now_ms: u64, batch: &[WriteRequest]) -> Committed {
        let begun = Instant::now();
        let committed = self.writer.commit(now_ms, batch);
        self.counts.commit_seconds.observe(begun.elapsed().as_secs_f64());
        self.counts.batch_jobs.observe(batch.len() as f64);
        let messages = committed.events.iter();
        let messages = messages.filter(|event| event.message.client_msg_id != NO_CLIENT).count();
        self.counts.messages.fetch_add(messages as u64, Ordering::Relaxed);
        committed
    }

    fn mailbox_rows(&self, job: &WriteJob) -> usize {
        self.writer.mailbox_rows(job)
    }

    fn maintain(&mut self, now_ms: u64) -> Result<(), Fenced> {
        self.writer.maintain(now_ms)
    }
}
