//! Two clients that behave, and notice everything that a server under abuse does wrong to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aldis_wire::{Code, Command, DeviceClass, pb};

use crate::requests::text_to;
use crate::{RawClient, Server};

const PASSWORD: &str = "a well-behaved pair";
/// Nobody waits longer than this for news of the pair.
const PROGRESS_MAX: Duration = Duration::from_secs(60);

/// Exchanges messages on a thread of its own until it is finished. Any error, gap, hint, or message
/// out of order panics there, and then in [`Pair::finish`].
pub struct Pair {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    ids: [u64; 2],
    thread: JoinHandle<Duration>,
}

struct End {
    client: RawClient,
    id: u64,
    /// The highest seq of the mailbox; all below were seen.
    local: u64,
}

impl Pair {
    /// Registers two users, logs them in, and begins. Returns after the first round.
    pub fn start(server: &Server) -> Self {
        Self::start_with(server, false)
    }

    /// The same at a node that checks heads, because others write to its store: a check may see an
    /// entry before its push comes, and then there is a hint too.
    pub fn start_on_node(server: &Server) -> Self {
        Self::start_with(server, true)
    }

    fn start_with(server: &Server, allows_hints: bool) -> Self {
        let mut ends = ["pair-ann", "pair-bob"].map(|name| {
            let id = RawClient::register(server.address(), name, PASSWORD);
            let class = DeviceClass::Desktop;
            let client = RawClient::login(server.address(), name, PASSWORD, class);
            End { client, id, local: 0 }
        });
        let ids = [ends[0].id, ends[1].id];
        let stop = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(AtomicU64::new(0));
        let (stopped, counted) = (stop.clone(), rounds.clone());
        let thread = std::thread::spawn(move || {
            let mut slowest = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let started_at = Instant::now();
                let round = counted.load(Ordering::Relaxed);
                exchange(&mut ends, round, allows_hints);
                slowest = slowest.max(started_at.elapsed());
                counted.store(round + 1, Ordering::Relaxed);
            }
            let rounds = counted.load(Ordering::Relaxed);
            for end in &mut ends {
                reread(end, rounds);
            }
            slowest
        });
        let pair = Self { stop, rounds, ids, thread };
        pair.wait_rounds(1);
        pair
    }

    /// The two users.
    pub fn ids(&self) -> [u64; 2] {
        self.ids
    }

    /// Waits until so many more rounds are done: the server serves the pair now.
    pub fn wait_rounds(&self, count: u64) {
        let goal = self.rounds.load(Ordering::Relaxed) + count;
        let deadline = Instant::now() + PROGRESS_MAX;
        while self.rounds.load(Ordering::Relaxed) < goal {
            // A panic of the pair is reported by `finish`.
            if self.thread.is_finished() {
                return;
            }
            assert!(Instant::now() < deadline, "the pair is not served");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends the exchange; panics if the pair noticed anything. How long the slowest round took.
    pub fn finish(self) -> Duration {
        self.wait_rounds(1);
        self.stop.store(true, Ordering::Relaxed);
        let slowest = match self.thread.join() {
            Ok(slowest) => slowest,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let rounds = self.rounds.load(Ordering::Relaxed);
        println!("the well-behaved pair: {rounds} rounds, the slowest took {slowest:?}");
        slowest
    }
}

/// One message each way.
fn exchange(ends: &mut [End; 2], round: u64, allows_hints: bool) {
    for sender in [0, 1] {
        let text = text_of(round, sender);
        let receiver_id = ends[1 - sender].id;
        let reply = ends[sender].client.call(Command::MsgSend, &text_to(receiver_id, &text));
        assert_eq!(reply.code(), Code::Ok, "round {round}");
        let ack: pb::MsgSendResp = reply.decode();
        let end = &mut ends[sender];
        assert_eq!(ack.seq, end.local + 1, "the sender's mailbox is dense");
        end.local = ack.seq;
        let end = &mut ends[1 - sender];
        let push = next_push(&mut end.client, allows_hints);
        let [entry] = &push.entries[..] else { panic!("one entry, no hint: {push:?}") };
        assert_eq!((&entry.content[..], entry.seq), (text.as_bytes(), end.local + 1));
        assert_eq!(push.head, entry.seq);
        end.local = entry.seq;
    }
}

fn next_push(client: &mut RawClient, allows_hints: bool) -> pb::MsgPushNotify {
    loop {
        let push: pb::MsgPushNotify = client.notification(Command::MsgPushNotify).decode();
        if !(allows_hints && push.entries.is_empty()) {
            return push;
        }
    }
}

/// Everything is in the mailbox, in order.
fn reread(end: &mut End, rounds: u64) {
    let mut seq = 0;
    while seq < 2 * rounds {
        let body = pb::MsgSyncReq { stream: 0, after_seq: seq, limit: 0 };
        let page: pb::MsgSyncResp = end.client.call(Command::MsgSync, &body).decode();
        assert_eq!(page.head, 2 * rounds);
        assert!(!page.entries.is_empty(), "a page brings something");
        for entry in page.entries {
            seq += 1;
            let text = text_of((seq - 1) / 2, ((seq - 1) % 2) as usize);
            assert_eq!((entry.seq, &entry.content[..]), (seq, text.as_bytes()));
        }
    }
}

fn text_of(round: u64, sender: usize) -> String {
    format!("round {round}, from {sender}: 你好 👋")
}
