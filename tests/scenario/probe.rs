//! A light load at a steady pace between two people on two nodes, which says how long each message
//! takes from when it was to be sent until its reader has it. What is late delays nothing that is
//! sent after it. Knows no node's inside.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aldis_wire::{Code, Command, Message, pb};

use crate::requests::text_to;
use crate::{RawClient, frame};

/// Between two heartbeats of the reader, so that it is not taken for gone.
const BEAT_PAUSE: Duration = Duration::from_secs(5);
/// The seq of these.
const BEAT: u32 = 1 << 30;

/// See the file's first lines. Both people have had no messages before. Dropping it ends it without
/// waiting.
pub struct Probe {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What its threads share.
#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    /// The last message is about to be written, and counted.
    has_ended: AtomicBool,
    /// Messages written.
    sent: AtomicU64,
    /// Messages that the reader has, without a gap.
    has: AtomicU64,
    /// When each was to be sent, by number, the first one being 1.
    due: Mutex<Vec<Instant>>,
    seen: Mutex<Seen>,
}

/// How messages came, since this was taken last.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// From when a message was to be sent until its reader had it.
    pub took: Vec<Duration>,
    /// Messages among these that the reader fetched, because of a hint or a gap.
    pub fetched: usize,
}

impl Seen {
    /// What so many of a thousand did not exceed, in ms.
    pub fn ms(&self, per_mille: usize) -> f64 {
        let mut took = self.took.clone();
        took.sort_unstable();
        let at = (took.len() * per_mille / 1_000).min(took.len().saturating_sub(1));
        took.get(at).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    }
}

impl Probe {
    /// Begins.
    pub fn start(from: RawClient, to: RawClient, to_id: u64, per_s: u32) -> Self {
        let shared = Arc::new(Shared::default());
        let pause = Duration::from_secs(1) / per_s;
        let writer = from.stream().try_clone().expect("a descriptor");
        let beater = to.stream().try_clone().expect("a descriptor");
        let mut threads = Vec::new();
        let mut begin = |part: Box<dyn FnOnce(&Shared) + Send>| {
            let shared = shared.clone();
            threads.push(std::thread::spawn(move || part(&shared)));
        };
        begin(Box::new(move |shared| write(shared, &writer, to_id, pause)));
        begin(Box::new(move |shared| read_answers(shared, from)));
        begin(Box::new(move |shared| read_messages(shared, to)));
        begin(Box::new(move |shared| beat(shared, &beater)));
        Self { shared, threads }
    }

    /// Messages written so far.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Messages that the reader has so far.
    pub fn has(&self) -> u64 {
        self.shared.has.load(Ordering::Relaxed)
    }

    /// How those came that came since the last call.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut *self.shared.seen.lock().expect("nobody panics with it"))
    }

    /// How long it takes until the reader has what was sent up to now, or that it did not come in this
    /// time.
    pub fn catch_up(&self, wait_max: Duration) -> Option<Duration> {
        let (began, goal) = (Instant::now(), self.sent());
        while self.has() < goal {
            if began.elapsed() > wait_max || self.threads.iter().any(JoinHandle::is_finished) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Some(began.elapsed())
    }

    /// Ends it when the reader has everything; how many there were.
    pub fn stop(mut self) -> u64 {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().expect("a part of the probe"));
        assert_eq!(self.has(), self.sent());
        self.sent()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Whether so many are all.
    fn is_complete(&self, count: u64) -> bool {
        self.has_ended.load(Ordering::SeqCst) && count == self.sent.load(Ordering::SeqCst)
    }

    /// The reader has one more.
    fn note(&self, is_fetched: bool) {
        let number = self.has.fetch_add(1, Ordering::Relaxed) as usize;
        let due = self.due.lock().expect("nobody panics with it")[number];
        let mut seen = self.seen.lock().expect("nobody panics with it");
        seen.took.push(due.elapsed());
        seen.fetched += usize::from(is_fetched);
    }
}

fn write(shared: &Shared, mut stream: &std::net::TcpStream, to_id: u64, pause: Duration) {
    let mut due = Instant::now();
    for number in 1_u32.. {
        due += pause;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // What is written after this wakes whoever waits for it.
        let is_last = shared.is_over();
        shared.sent.fetch_add(1, Ordering::SeqCst);
        shared.has_ended.store(is_last, Ordering::SeqCst);
        shared.due.lock().expect("nobody panics with it").push(due);
        let body = text_to(to_id, &number.to_string()).encode_to_vec();
        let bytes = frame(Command::MsgSend.id(), BEAT + number, &body);
        std::io::Write::write_all(&mut stream, &bytes).expect("the server reads");
        if is_last {
            return;
        }
    }
}

/// The writer's own pushes are not looked at: it has no other device.
fn read_answers(shared: &Shared, mut client: RawClient) {
    let mut answered = 0;
    while !shared.is_complete(answered) {
        let reply = client.receive().expect("the connection stays");
        if reply.header.cmd == Command::MsgSendResp.id() {
            assert_eq!(reply.code(), Code::Ok, "{:?}", reply.error());
            answered += 1;
        }
    }
}

/// What a client does: it applies what is next, and fetches when something is missing.
fn read_messages(shared: &Shared, mut client: RawClient) {
    let has = || shared.has.load(Ordering::Relaxed);
    while !shared.is_complete(has()) {
        let reply = client.receive().expect("the connection stays");
        if reply.header.cmd != Command::MsgPushNotify.id() {
            continue;
        }
        let push: pb::MsgPushNotify = reply.decode();
        for entry in &push.entries {
            if entry.seq == has() + 1 {
                shared.note(false);
            }
        }
        let newest = push.entries.iter().map(|entry| entry.seq).max().unwrap_or(0).max(push.head);
        if newest > has() {
            for entry in client.sync_all(has()) {
                assert_eq!(entry.seq, has() + 1, "a page has no gap");
                shared.note(true);
            }
        }
    }
}

/// Until the connection is closed, or everything is over.
fn beat(shared: &Shared, mut stream: &std::net::TcpStream) {
    let mut beaten_at = Instant::now();
    while !shared.is_over() {
        if beaten_at.elapsed() > BEAT_PAUSE {
            beaten_at = Instant::now();
            let bytes = frame(Command::Heartbeat.id(), BEAT, &[]);
            std::io::Write::write_all(&mut stream, &bytes).expect("the server reads");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
