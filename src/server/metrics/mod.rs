//! What the server counts, each number written by one thread and read by whoever asks for the page.
//! Knows no HTTP.

mod link;
mod link_page;
mod page;
mod process;
mod timed;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aldis_logic::Effect;
use aldis_logic::job::ReadJob;
use aldis_net::{CloseReason, Counters};
use aldis_wire::{Code, Command, OutFrame};
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

pub use link::{LinkCounts, PublishedLink};
pub use page::{Sources, page};
pub use timed::TimedWriter;

/// Rows of the table of requests: the last one is for commands that there are not.
const REQUEST_ROWS: usize = Command::REQUESTS.len() + 1;

/// Rows by what is short of an id and still tells all requests apart: its group and low bits.
const ROWS: [u8; 512] = {
    let mut rows = [(REQUEST_ROWS - 1) as u8; 512];
    let mut row = 0;
    while row < Command::REQUESTS.len() {
        let key = key_of(Command::REQUESTS[row].id());
        assert!(rows[key] as usize == REQUEST_ROWS - 1, "two requests with one key");
        rows[key] = row as u8;
        row += 1;
    }
    rows
};

const fn key_of(id: u16) -> usize {
    ((id >> 12 << 6) as usize | (id & 0x3F) as usize) & 0x1FF
}

/// The row of a request's id.
fn row_of(id: u16) -> usize {
    let row = usize::from(ROWS[key_of(id)]);
    match Command::REQUESTS.get(row) {
        Some(command) if command.id() == id => row,
        _ => REQUEST_ROWS - 1,
    }
}

/// A number of one thread: written without a lock prefix, read by others.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    /// Only its own thread may add.
    fn add(&self, more: u64) {
        self.0.store(self.get() + more, Ordering::Relaxed);
    }

    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// By command and code.
#[derive(Debug)]
struct RequestCounts([[Count; Code::ALL.len()]; REQUEST_ROWS]);

impl Default for RequestCounts {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Default::default()))
    }
}

/// What one reactor counts, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ReactorCounts {
    accepted: Count,
    refused: Count,
    accept_failures: Count,
    closed: [Count; CloseReason::ALL.len()],
    frames_in: Count,
    frames_out: Count,
    bytes_in: Count,
    bytes_out: Count,
    read_calls: Count,
    write_calls: Count,
    pushes_dropped: Count,
    pauses: Count,
    wakeups: Count,
    turns: Count,
    /// Answered requests by command and code.
    requests: RequestCounts,
    kicks: Count,
    head_checks: Count,
    /// Requests that found the directory's queue full.
    directory_overflows: Count,
}

impl ReactorCounts {
    /// Makes the reactor's own counters visible.
    pub fn publish(&self, counters: &Counters) {
        self.accepted.set(counters.accepted);
        self.refused.set(counters.refused);
        self.accept_failures.set(counters.accept_failures);
        for (count, value) in self.closed.iter().zip(counters.closed) {
            count.set(value);
        }
        self.frames_in.set(counters.frames_in);
        self.frames_out.set(counters.frames_out);
        self.bytes_in.set(counters.bytes_in);
        self.bytes_out.set(counters.bytes_out);
        self.read_calls.set(counters.read_calls);
        self.write_calls.set(counters.write_calls);
        self.pushes_dropped.set(counters.pushes_dropped);
        self.pauses.set(counters.pauses);
        self.wakeups.set(counters.wakeups);
        self.turns.set(counters.turns);
    }

    /// An effect of the service is about to be carried out.
    pub fn note(&self, effect: &Effect) {
        match effect {
            Effect::Send { frame, .. } => self.note_frame(frame),
            Effect::Read(request) if matches!(request.job, ReadJob::Heads { .. }) => {
                self.head_checks.add(1);
            }
            _ => {}
        }
    }

    /// The directory's queue was full.
    pub fn note_directory_overflow(&self) {
        self.directory_overflows.add(1);
    }

    fn note_frame(&self, frame: &OutFrame) {
        let cmd = frame.cmd();
        if cmd == Command::KickNotify.id() {
            return self.kicks.add(1);
        }
        if Command::NOTIFICATIONS.iter().any(|notification| notification.id() == cmd) {
            return;
        }
        let row = &self.requests.0[row_of(cmd.wrapping_sub(1))];
        if let Some(count) = row.get(usize::from(frame.code())) {
            count.add(1);
        }
    }
}

/// What the writer counts; its thread is the only one that observes.
#[derive(Clone, Debug)]
pub struct WriterCounts {
    /// Jobs of a batch.
    batch_jobs: Histogram,
    /// Time of its transaction, seconds.
    commit_seconds: Histogram,
    messages: Arc<AtomicU64>,
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    reactors: Vec<Arc<ReactorCounts>>,
    /// See there.
    pub writer: WriterCounts,
    /// Answered HTTP requests by listener and status.
    pub http: IntCounterVec,
    /// What the link's thread counted.
    pub link: PublishedLink,
    registry: Registry,
}

impl Metrics {
    /// Of a server with so many reactors; nothing is counted yet.
    pub fn new(reactor_count: usize) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let batch_jobs = HistogramOpts::new(
            "aldis_commit_batch_jobs",
            "Jobs that were committed together in one transaction.",
        )
        .buckets(prometheus::exponential_buckets(1.0, 4.0, 6)?);
        let commit_seconds = HistogramOpts::new(
            "aldis_commit_duration_seconds",
            "Time from the begin of a transaction until it is durable.",
        )
        .buckets(prometheus::exponential_buckets(0.000_25, 2.0, 15)?);
        let http = Opts::new("aldis_http_requests_total", "Answered HTTP requests.");
        let writer = WriterCounts {
            batch_jobs: Histogram::with_opts(batch_jobs)?,
            commit_seconds: Histogram::with_opts(commit_seconds)?,
            messages: Arc::default(),
        };
        let http = IntCounterVec::new(http, &["listener", "status"])?;
        registry.register(Box::new(writer.batch_jobs.clone()))?;
        registry.register(Box::new(writer.commit_seconds.clone()))?;
        registry.register(Box::new(http.clone()))?;
        let reactors = (0..reactor_count).map(|_| Arc::default()).collect();
        Ok(Self { reactors, writer, http, link: PublishedLink::default(), registry })
    }

    /// Of one reactor.
    pub fn reactor(&self, number: usize) -> Arc<ReactorCounts> {
        self.reactors[number].clone()
    }
}

#[cfg(test)]
mod tests {
    use aldis_logic::Lane;
    use aldis_wire::{ConnId, pb};

    use super::*;

    #[test]
    fn answers_are_counted_by_command_and_code_and_pushes_are_not() {
        let counts = ReactorCounts::default();
        let send = |frame| {
            let conn = ConnId { index: 0, generation: 0 };
            counts.note(&Effect::Send { conn, frame, lane: Lane::Reply });
        };
        send(OutFrame::response(Command::MsgSend, 1, &pb::MsgSendResp::default()));
        send(OutFrame::response(Command::MsgSend, 2, &pb::MsgSendResp::default()));
        send(OutFrame::error(Command::MsgSend.id(), 3, Code::Busy, "", 0));
        send(OutFrame::error(0x7777, 4, Code::Unsupported, "", 0));
        send(OutFrame::notification(Command::KickNotify, &pb::KickNotify::default()));
        send(OutFrame::notification(Command::MsgPushNotify, &pb::MsgPushNotify::default()));
        let row = Command::REQUESTS.iter().position(|one| *one == Command::MsgSend).unwrap();
        let get = |row: usize, code: Code| counts.requests.0[row][usize::from(code.as_u16())].get();
        assert_eq!((get(row, Code::Ok), get(row, Code::Busy)), (2, 1));
        assert_eq!(get(REQUEST_ROWS - 1, Code::Unsupported), 1);
        for (row, command) in Command::REQUESTS.into_iter().enumerate() {
            assert_eq!(row_of(command.id()), row);
        }
        let known = (0..=u16::MAX).filter(|id| row_of(*id) < REQUEST_ROWS - 1).count();
        assert_eq!(known, Command::REQUESTS.len());
        let all = counts.requests.0.iter().flatten().map(Count::get).sum::<u64>();
        assert_eq!((all, counts.kicks.get()), (4, 1));
    }
}
