//! Goal: what was acknowledged survives `kill -9`, again and again under load: once, in order, for
//! sender and receivers; what was not is sent again under its id and appears once. A fresh process
//! rereads everything, and the recorded history is judged by the checker.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aldis_check::{History, Verdict, check};
use aldis_client::core::{Credentials, Outgoing};
use aldis_client::recorder::HistoryFile;
use aldis_client::{Client, ClientConfig, Config, Event, SavedState, Target};
use aldis_scenario::{SeededUser, Server, seed};
use aldis_wire::{ClientMsgId, DeviceClass, GroupId, UserId, pb};
use bytes::Bytes;

/// Kills of the server.
const KILLS: usize = 30;
/// Acknowledgements between two kills, at least.
const ACKS_PER_LIFE: usize = 1_000;
/// Senders; each keeps `WINDOW` messages unanswered, so there are always some when the server dies.
const SENDERS: usize = 6;
const WINDOW: usize = 24;
/// Nothing takes longer than this on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Acknowledged sends that each sender sends again at the end, on another device.
const RESENDS: usize = 50;

type Acks = Vec<(Outgoing, pb::MsgSendResp)>;

/// What the senders and the killer share.
#[derive(Default)]
struct Progress {
    acks: AtomicUsize,
    unanswered: [AtomicUsize; SENDERS],
    is_over: AtomicBool,
}

fn client(
    server: &Server,
    user: &SeededUser,
    history: (&HistoryFile, &str),
) -> (Client, pb::LoginResp) {
    let core = Config { window: WINDOW, ..Config::new(&user.device_id, user.class) };
    let config = ClientConfig {
        call_timeout: PATIENCE,
        ..ClientConfig::new(server.address().to_string(), core)
    };
    let saved = SavedState { user_id: user.id, token: user.token.clone(), ..SavedState::default() };
    let mut client = Client::with_recorder(config, saved, Some(history)).expect("a client");
    let resp = client.login(Credentials::SavedToken).expect("a login");
    (client, resp)
}

#[test]
fn thirty_kills_lose_nothing_and_repeat_nothing() {
    let seed = seed();
    let mut server = Server::start();
    let history_path = server.dir().join("history.jsonl");
    let file = HistoryFile::create(&history_path, "crash", seed).expect("a history file");
    let users = server.seed_users("crash", SENDERS, DeviceClass::Desktop);
    let groups = create_groups(&server, &users, &file);

    let progress = Arc::new(Progress::default());
    let senders: Vec<_> = (0..SENDERS)
        .map(|number| {
            let name = format!("sender-{number}");
            let (client, _) = client(&server, &users[number], (&file, &name));
            let sender = Sender {
                number,
                client,
                targets: targets(&users, number, &groups),
                dice: seed.wrapping_add(number as u64),
                sent: HashMap::new(),
                acked: Vec::new(),
            };
            let progress = progress.clone();
            std::thread::spawn(move || sender.run(&progress))
        })
        .collect();

    for kill in 1..=KILLS {
        let goal = progress.acks.load(Ordering::Relaxed) + ACKS_PER_LIFE;
        wait_for_acks(&progress, goal, &senders);
        let unanswered = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let outstanding: usize = progress.unanswered.iter().map(unanswered).sum();
        server.kill_9();
        assert!(outstanding > 0, "kill {kill} hit an idle server");
        server.restart();
    }
    progress.is_over.store(true, Ordering::Relaxed);
    let acked: Vec<Acks> =
        senders.into_iter().map(|thread| thread.join().expect("a sender")).collect();
    let ack_count: usize = acked.iter().map(Vec::len).sum();
    println!("{KILLS} kills, {ack_count} acknowledged messages");

    // A fresh process of the server, and fresh devices.
    server.kill_9();
    server.restart();
    let users = server.seed_users("crash", SENDERS, DeviceClass::Web);
    for (number, user) in users.iter().enumerate() {
        reread(&server, user, &acked[number], (&file, &format!("reader-{number}")));
    }
    file.flush().expect("a writable history");
    judge(&history_path);
}

/// Two groups of all.
fn create_groups(server: &Server, users: &[SeededUser], file: &HistoryFile) -> Vec<GroupId> {
    let (mut owner, _) = client(server, &users[0], (file, "founder"));
    let members: Vec<UserId> = users[1..].iter().map(|user| UserId(user.id)).collect();
    let mut create = |name: &str| {
        let resp = owner.create_group(name, &members, false).expect("a group");
        GroupId(resp.group_id)
    };
    vec![create("all of us"), create("all of us again")]
}

/// Everybody else, and the groups.
fn targets(users: &[SeededUser], number: usize, groups: &[GroupId]) -> Vec<Target> {
    let others = users.iter().enumerate().filter(|(other, _)| *other != number);
    let others = others.map(|(_, user)| Target::User(UserId(user.id)));
    others.chain(groups.iter().map(|&group| Target::Group(group))).collect()
}

fn wait_for_acks(progress: &Progress, goal: usize, senders: &[JoinHandle<Acks>]) {
    let deadline = Instant::now() + PATIENCE;
    while progress.acks.load(Ordering::Relaxed) < goal {
        assert!(!senders.iter().any(JoinHandle::is_finished), "a sender gave up");
        assert!(Instant::now() < deadline, "no {ACKS_PER_LIFE} acknowledgements");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One user who talks all the time, whatever happens to the server.
struct Sender {
    number: usize,
    client: Client,
    targets: Vec<Target>,
    dice: u64,
    sent: HashMap<ClientMsgId, Outgoing>,
    acked: Acks,
}

impl Sender {
    /// Sends until it is over, then waits until everything was acknowledged.
    fn run(mut self, progress: &Progress) -> Acks {
        let mut deadline = Instant::now() + PATIENCE;
        loop {
            let is_over = progress.is_over.load(Ordering::Relaxed);
            if is_over && self.client.core().unanswered_send_count() == 0 {
                return self.acked;
            }
            while !is_over && self.client.core().unanswered_send_count() < WINDOW {
                self.send_one();
            }
            let unanswered = self.client.core().unanswered_send_count();
            progress.unanswered[self.number].store(unanswered, Ordering::Relaxed);
            let soon = Instant::now() + Duration::from_millis(100);
            match self.client.wait_event(soon).expect("a client that goes on") {
                Some(Event::SendAcked { client_msg_id, ack }) => {
                    let message = self.sent.remove(&client_msg_id).expect("it was sent");
                    self.acked.push((message, ack));
                    progress.acks.fetch_add(1, Ordering::Relaxed);
                    deadline = Instant::now() + PATIENCE;
                }
                Some(Event::SendFailed { code, message, .. }) => {
                    panic!("refused: {code} {message}")
                }
                Some(Event::Kicked { reason, .. }) => panic!("kicked: {reason:?}"),
                Some(Event::LoginFailed { code, .. }) => panic!("no login: {code}"),
                _ => assert!(Instant::now() < deadline, "nothing was acknowledged for long"),
            }
        }
    }

    fn send_one(&mut self) {
        // A linear congruential generator (Knuth's constants): which target is all it decides.
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let target = self.targets[(self.dice >> 33) as usize % self.targets.len()];
        let number = self.sent.len() + self.acked.len();
        let content = Bytes::from(format!("{} from {}: 你好 👋", number, self.number));
        let (core, now) = self.client.core_mut();
        let id = core
            .send_message(now, target, pb::MsgType::Text, content.clone(), Bytes::new())
            .expect("the window has room");
        let kind = pb::MsgType::Text;
        let message =
            Outgoing { target, client_msg_id: id, kind, content, extra: Bytes::new(), refs: None };
        self.sent.insert(id, message);
    }
}

/// Reads a mailbox from zero and compares it with what was acknowledged; then the histories, then
/// some messages again under their ids.
fn reread(server: &Server, user: &SeededUser, acked: &Acks, history: (&HistoryFile, &str)) {
    let (mut client, resp) = client(server, user, history);
    let head = resp.heads[0].head;
    client.recorder_mut().expect("it records").set_final_sync(true);
    let mut entries: Vec<pb::MessageData> = Vec::new();
    while (entries.len() as u64) < head {
        let page = client.sync_page(0, entries.len() as u64, 0).expect("a page");
        assert!(!page.entries.is_empty(), "a page brings something");
        entries.extend(page.entries);
    }
    client.recorder_mut().expect("it records").set_final_sync(false);
    let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, (1..=head).collect::<Vec<_>>(), "dense from 1 to the head");

    let mut own: HashMap<&[u8], Vec<&pb::MessageData>> = HashMap::new();
    for entry in entries.iter().filter(|entry| entry.sender_id == user.id) {
        own.entry(&entry.client_msg_id[..]).or_default().push(entry);
    }
    for (message, ack) in acked {
        let found = own.get(&message.client_msg_id.0[..]).map_or(&[][..], Vec::as_slice);
        let [entry] = found else { panic!("{} times: {message:?}", found.len()) };
        assert_eq!(entry.content, message.content);
        let stands = (entry.msg_id, entry.seq, entry.conv_seq, entry.send_time_ms);
        assert_eq!(stands, (ack.msg_id, ack.seq, ack.conv_seq, ack.send_time_ms));
    }

    let targets: std::collections::HashSet<Target> =
        acked.iter().map(|(message, _)| message.target).collect();
    for target in targets {
        let (mut after, mut last) = (0, 1);
        while after < last {
            let page = client.history_page(target, 0, after, 0).expect("a page");
            last = page.max_conv_seq;
            after = page.entries.last().map_or(last, |entry| entry.conv_seq);
        }
    }
    let step = (acked.len() / RESENDS).max(1);
    for (message, ack) in acked.iter().step_by(step) {
        let again = client.send_again(message.clone()).expect("the first result");
        assert_eq!(&again, ack, "a resend returns the first result");
    }
}

fn judge(path: &Path) {
    let history = History::read_files(&[path]).expect("a readable history");
    println!("{:?}", history.summary());
    match check(&history) {
        Verdict::Valid => {}
        verdict => panic!("{verdict:#?}"),
    }
}

/// The checker sees what this test records: a history with one acknowledgement too many is invalid.
#[test]
fn the_recorded_history_would_show_a_loss() {
    let mut server = Server::start();
    let history_path = server.dir().join("history.jsonl");
    let file = HistoryFile::create(&history_path, "loss", 0).expect("a history file");
    let users = server.seed_users("loss", 2, DeviceClass::Desktop);
    let (mut sender, _) = client(&server, &users[0], (&file, "sender"));
    let target = Target::User(UserId(users[1].id));
    for number in 0..20 {
        let content = Bytes::from(format!("message {number}"));
        sender.send(target, pb::MsgType::Text, content).expect("an acknowledgement");
    }
    drop(sender);
    server.kill_9();
    // The database as it was before anything was said.
    for name in ["aldis.sqlite", "aldis.sqlite-wal", "aldis.sqlite-shm"] {
        let _ = std::fs::remove_file(server.dir().join("data").join(name));
    }
    server.restart();
    let users = server.seed_users("loss", 2, DeviceClass::Desktop);
    for (number, user) in users.iter().enumerate() {
        reread(&server, user, &Vec::new(), (&file, &format!("reader-{number}")));
    }
    file.flush().expect("a writable history");
    let history = History::read_files(&[&history_path]).expect("a readable history");
    assert!(matches!(check(&history), Verdict::Invalid { .. }), "the loss is seen");
}
