//! People who only know where to ask for a node: one writes to the other all the time, each through
//! the node that is named to it, and when that goes away through another. Knows no fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aldis_client::core::{Credentials, Outgoing};
use aldis_client::{Client, ClientConfig, Config, Event, SavedState, Target};
use aldis_scenario::requests::random_16;
use aldis_scenario::{SeededUser, Server};
use aldis_wire::pb::{KickReason, MsgType};
use aldis_wire::{ClientMsgId, DeviceClass, UserId};
use bytes::Bytes;

/// Between two messages.
const PAUSE: Duration = Duration::from_millis(50);
/// Messages that may wait for their answer.
const WINDOW: usize = 64;
/// A client waits up to 30 s before it tries again.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks whether it is over.
const TURN: Duration = Duration::from_millis(100);

/// See the file's first lines.
pub struct Followers {
    is_over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Followers {
    /// Makes the two.
    pub fn seed(server: &Server) -> Vec<SeededUser> {
        server.seed_users("follower", 2, DeviceClass::Phone)
    }

    /// Both begin.
    pub fn start(users: Vec<SeededUser>, gateways: &[String]) -> Self {
        let (is_over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let [writer, reader] = [0, 1].map(|number| open(&users[number], gateways));
        let to = UserId(users[1].id);
        let mut threads = Vec::new();
        let (over, count) = (is_over.clone(), sent.clone());
        threads.push(std::thread::spawn(move || write(writer, to, &over, &count)));
        let (over, count) = (is_over.clone(), sent.clone());
        threads.push(std::thread::spawn(move || read(reader, &over, &count)));
        Self { is_over, sent, threads }
    }

    /// All is well: what was sent is answered, and read, all of it, once and in order.
    pub fn finish(self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().expect("a follower"));
        println!("{} messages of those who ask for a node", self.sent.load(Ordering::SeqCst));
    }
}

fn open(user: &SeededUser, gateways: &[String]) -> Client {
    let core = Config { window: WINDOW, ..Config::new(&user.device_id, user.class) };
    let mut config = ClientConfig::new(&gateways[0], core);
    (config.others, config.call_timeout) = (gateways[1..].to_vec(), PATIENCE);
    let saved = SavedState { user_id: user.id, token: user.token.clone(), ..SavedState::default() };
    let mut client = Client::new(config, saved).expect("a client");
    client.login(Credentials::SavedToken).expect("logged in");
    client
}

/// The next event, if one comes soon.
fn next(client: &mut Client) -> Option<Event> {
    let event = client.wait_event(Instant::now() + TURN).expect("a client that goes on");
    match &event {
        Some(Event::LoginFailed { code, message }) => panic!("no login: {code} {message}"),
        // A node that stood still took an earlier login of the same device late.
        Some(Event::Kicked { reason, .. }) => {
            assert_eq!(*reason, KickReason::Replaced);
            let (core, now) = client.core_mut();
            core.login(now, Credentials::SavedToken);
        }
        _ => {}
    }
    event
}

fn write(mut client: Client, to: UserId, is_over: &AtomicBool, sent: &AtomicU64) {
    let (mut next_at, mut heard_at) = (Instant::now(), Instant::now());
    loop {
        let unanswered = client.core().unanswered_send_count();
        let ends = is_over.load(Ordering::SeqCst);
        if ends && unanswered == 0 {
            return;
        }
        if !ends && unanswered < WINDOW && next_at <= Instant::now() {
            next_at = Instant::now() + PAUSE;
            // Counted first: the reader may have it before this thread goes on.
            let number = sent.fetch_add(1, Ordering::SeqCst) + 1;
            let message = Outgoing {
                target: Target::User(to),
                client_msg_id: ClientMsgId(random_16()),
                kind: MsgType::Text,
                content: Bytes::from(number.to_string()),
                extra: Bytes::new(),
                refs: None,
            };
            client.core_mut().0.send(message).expect("the window has room");
        }
        match next(&mut client) {
            Some(Event::SendAcked { .. }) => heard_at = Instant::now(),
            Some(Event::SendFailed { code, .. }) => panic!("a message was refused: {code}"),
            _ => assert!(heard_at.elapsed() < PATIENCE, "nothing is answered"),
        }
    }
}

/// Each message is one more than the last.
fn read(mut client: Client, is_over: &AtomicBool, sent: &AtomicU64) {
    let (mut last, mut heard_at) = (0, Instant::now());
    while !is_over.load(Ordering::SeqCst) || last < sent.load(Ordering::SeqCst) {
        if let Some(Event::Entry { entry, .. }) = next(&mut client) {
            let text = std::str::from_utf8(&entry.content).expect("a text");
            last += 1;
            assert_eq!(text.parse(), Ok(last), "the next one, once");
            heard_at = Instant::now();
        }
        assert!(heard_at.elapsed() < PATIENCE, "nothing came after {last}");
    }
}
