//! One core against a model of the server that loses pushes, reorders them, answers late, refuses,
//! and cuts the connection at any point. Goal: whatever happens, everything is applied once and in
//! order, every send is committed once, and each conversation keeps the order of sending.
//!
//! A failing seed is printed; `ALDIS_SEED=n cargo test -p aldis-client --test chaos` runs it alone.

// Helpers of tests fail like tests.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aldis_client::core::ids::Rng;
use aldis_client::core::{Config, Core, Credentials, Event, LinkAction, SavedState, Start, Target};
use aldis_wire::{
    Code, Command, DeviceClass, Frame, Message, OutFrame, UserId, limits, parse_frame, pb,
};
use bytes::Bytes;

/// Seeds of one run of the test.
const SEEDS: u64 = 300;
/// Steps of trouble before everything is allowed to settle.
const STEPS: u64 = 400;
const ME: u64 = 7;

/// What the server keeps, and its one connection.
#[derive(Default)]
struct Server {
    mailbox: Vec<pb::MessageData>,
    by_id: BTreeMap<(u64, Vec<u8>), u64>,
    conv_seqs: BTreeMap<u64, u64>,
    inbox: Vec<u8>,
    /// Frames on their way to the client.
    outbox: VecDeque<Vec<u8>>,
    /// Conversations with a failed send that was not sent again, and which send that is.
    failed: BTreeMap<u64, Vec<u8>>,
    is_online: bool,
}

impl Server {
    fn disconnect(&mut self) {
        self.inbox.clear();
        self.outbox.clear();
        self.failed.clear();
        self.is_online = false;
    }

    fn append(&mut self, sender: u64, receiver: u64, id: &[u8], content: Bytes) -> pb::MessageData {
        let peer = if sender == ME { receiver } else { sender };
        let conv_seq = self.conv_seqs.entry(peer).or_default();
        *conv_seq += 1;
        let entry = pb::MessageData {
            seq: self.mailbox.len() as u64 + 1,
            msg_id: self.mailbox.len() as u64 + 1_000,
            conv_seq: *conv_seq,
            sender_id: sender,
            receiver_id: receiver,
            r#type: pb::MsgType::Text as i32,
            content,
            client_msg_id: Bytes::copy_from_slice(id),
            ..Default::default()
        };
        self.mailbox.push(entry.clone());
        entry
    }

    fn head(&self) -> u64 {
        self.mailbox.len() as u64
    }

    /// Somebody else writes; the push may be lost, late, or only a hint.
    fn hear(&mut self, rng: &mut Rng, number: u64) {
        let entry = self.append(8 + number % 3, ME, &[], Bytes::from(number.to_string()));
        if !self.is_online {
            return;
        }
        let entries = if rng.below(10) == 0 { vec![] } else { vec![entry] };
        let push = pb::MsgPushNotify { stream: 0, head: self.head(), entries };
        let frame = OutFrame::notification(Command::MsgPushNotify, &push).to_vec();
        match rng.below(8) {
            0 => {}
            1 if !self.outbox.is_empty() => {
                let last = self.outbox.len() - 1;
                self.outbox.insert(last, frame);
            }
            _ => self.outbox.push_back(frame),
        }
    }

    fn take(&mut self, rng: &mut Rng, calm: bool) {
        let inbox = std::mem::take(&mut self.inbox);
        let mut used = 0;
        while let Some(frame) = parse_frame(&inbox[used..], limits::BODY_BYTES_MAX).unwrap() {
            used += 16 + frame.body.len();
            self.answer(rng, calm, &frame);
        }
        self.inbox = inbox[used..].to_vec();
    }

    fn answer(&mut self, rng: &mut Rng, calm: bool, frame: &Frame<'_>) {
        let command = Command::request(frame.header.cmd).unwrap();
        let seq = frame.header.seq;
        let trouble = !calm && rng.below(6) == 0;
        let busy = || OutFrame::error(command.id(), seq, Code::Busy, "", 20);
        let frame = match command {
            Command::Login if trouble => busy(),
            Command::Login => {
                self.is_online = true;
                let heads = vec![pb::StreamHead { stream: 0, head: self.head(), cursor: 0 }];
                let resp = pb::LoginResp {
                    user_id: ME,
                    token: "t".into(),
                    heads,
                    store_epoch: 1,
                    heartbeat_interval_ms: 1_000,
                    ..Default::default()
                };
                OutFrame::response(command, seq, &resp)
            }
            Command::Heartbeat => {
                let resp = pb::HeartbeatResp { head_seq: self.head(), ..Default::default() };
                OutFrame::response(command, seq, &resp)
            }
            Command::MsgSync if trouble => busy(),
            Command::MsgSync => self.page(rng, seq, &pb::MsgSyncReq::decode(frame.body).unwrap()),
            Command::MsgSend => {
                self.send(rng, trouble, seq, &pb::MsgSendReq::decode(frame.body).unwrap())
            }
            Command::MarkDelivered => {
                let mark = pb::MarkDeliveredReq::decode(frame.body).unwrap();
                assert!(mark.seq <= self.head(), "marks only what exists");
                OutFrame::response(command, seq, &pb::MarkDeliveredResp {})
            }
            other => panic!("{other:?} was not asked for"),
        };
        self.outbox.push_back(frame.to_vec());
    }

    fn page(&self, rng: &mut Rng, seq: u32, req: &pb::MsgSyncReq) -> OutFrame {
        let rows = 1 + rng.below(5) as usize;
        let after = req.after_seq as usize;
        assert!(after <= self.mailbox.len(), "never asks above what exists");
        let entries: Vec<_> = self.mailbox[after..].iter().take(rows).cloned().collect();
        let more = after + entries.len() < self.mailbox.len();
        let resp = pb::MsgSyncResp { entries, head: self.head(), more, ..Default::default() };
        OutFrame::response(Command::MsgSync, seq, &resp)
    }

    fn send(&mut self, rng: &mut Rng, trouble: bool, seq: u32, req: &pb::MsgSendReq) -> OutFrame {
        let conv = req.receiver_id;
        let id = req.client_msg_id.to_vec();
        let unavailable = || OutFrame::error(Command::MsgSend.id(), seq, Code::Unavailable, "", 0);
        // Behind a failed send everything of the conversation fails until that one comes again.
        if self.failed.get(&conv).is_some_and(|failed| *failed != id) {
            return unavailable();
        }
        self.failed.remove(&conv);
        if trouble {
            self.failed.insert(conv, id.clone());
            if rng.below(2) == 0 {
                return unavailable(); // and nothing was written
            }
        }
        let mailbox_seq = match self.by_id.get(&(conv, id.clone())) {
            Some(seq) => *seq,
            None => {
                let seq = self.append(ME, conv, &id, req.content.clone()).seq;
                self.by_id.insert((conv, id), seq);
                seq
            }
        };
        if trouble {
            return unavailable(); // although it was written
        }
        let entry = &self.mailbox[mailbox_seq as usize - 1];
        let (msg_id, conv_seq) = (entry.msg_id, entry.conv_seq);
        let resp = pb::MsgSendResp { msg_id, seq: mailbox_seq, conv_seq, send_time_ms: 1 };
        OutFrame::response(Command::MsgSend, seq, &resp)
    }
}

/// The client, the server and everything that was seen.
struct World {
    rng: Rng,
    now: u64,
    core: Core,
    server: Server,
    is_connected: bool,
    applied: Vec<pb::MessageData>,
    said: BTreeMap<u64, Vec<String>>,
    acked: BTreeSet<[u8; 16]>,
    sent_count: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut config = Config::new("d", DeviceClass::Phone);
        config.start = Start::Zero;
        config.window = 8;
        let mut core = Core::new(config, SavedState::default(), seed, 0, 1_000);
        core.login(0, Credentials::Password { username: "a".into(), password: "p".into() });
        Self {
            rng: Rng::new(seed),
            now: 0,
            core,
            server: Server::default(),
            is_connected: false,
            applied: Vec::new(),
            said: BTreeMap::new(),
            acked: BTreeSet::new(),
            sent_count: 0,
        }
    }

    fn say(&mut self) {
        let peer = 8 + self.rng.below(3);
        let text = format!("mine {}", self.sent_count);
        self.sent_count += 1;
        let target = Target::User(UserId(peer));
        let content = Bytes::from(text.clone());
        let kind = pb::MsgType::Text;
        self.core.send_message(self.now, target, kind, content, Bytes::new()).unwrap();
        self.said.entry(peer).or_default().push(text);
    }

    fn cut(&mut self) {
        if std::mem::take(&mut self.is_connected) {
            self.server.disconnect();
            self.core.handle_disconnected(self.now);
        }
    }

    /// Moves bytes, in pieces of any size, and time.
    fn turn(&mut self, calm: bool) {
        self.now += self.rng.below(60);
        if self.core.poll_timeout().is_some_and(|at| at <= self.now) {
            self.core.handle_timeout(self.now);
        }
        while let Some(action) = self.core.poll_link() {
            self.server.disconnect();
            self.is_connected = matches!(action, LinkAction::Connect { .. });
            if self.is_connected {
                if !calm && self.rng.below(4) == 0 {
                    self.is_connected = false;
                    self.core.handle_disconnected(self.now);
                } else {
                    self.core.handle_connected(self.now);
                }
            }
        }
        if !self.is_connected {
            return self.take_events();
        }
        let bytes = self.core.poll_transmit(self.now);
        let count =
            if calm { bytes.len() } else { self.rng.below(bytes.len() as u64 + 1) as usize };
        self.server.inbox.extend_from_slice(&bytes[..count]);
        self.core.handle_transmitted(count);
        self.server.take(&mut self.rng, calm);
        let frames = if calm { usize::MAX } else { self.rng.below(4) as usize };
        for _ in 0..frames.min(self.server.outbox.len()) {
            let frame = self.server.outbox.pop_front().unwrap();
            let cut = self.rng.below(frame.len() as u64) as usize;
            self.core.handle_bytes(self.now, &frame[..cut]);
            self.core.handle_bytes(self.now, &frame[cut..]);
        }
        self.take_events();
    }

    fn take_events(&mut self) {
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::Entry { entry, .. } => {
                    assert_eq!(entry.seq, self.applied.len() as u64 + 1, "dense and in order");
                    self.applied.push(entry);
                }
                Event::SendAcked { client_msg_id, .. } => {
                    assert!(self.acked.insert(client_msg_id.0), "acknowledged once");
                }
                Event::SendFailed { .. } | Event::Resynced { .. } | Event::LoginFailed { .. } => {
                    panic!("{event:?}")
                }
                _ => {}
            }
        }
    }

    fn run(&mut self) {
        for number in 0..STEPS {
            match self.rng.below(10) {
                0..3 => self.say(),
                3..5 => self.server.hear(&mut self.rng, number),
                5 if self.rng.below(6) == 0 => self.cut(),
                _ => {}
            }
            self.turn(false);
        }
        for _ in 0..20_000 {
            self.turn(true);
            if self.core.unanswered_send_count() == 0
                && self.applied.len() == self.server.mailbox.len()
            {
                break;
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.core.unanswered_send_count(), 0, "everything sent is answered");
        assert_eq!(self.acked.len() as u64, self.sent_count);
        assert_eq!(self.applied.len(), self.server.mailbox.len(), "everything is applied");
        for (mine, theirs) in self.applied.iter().zip(&self.server.mailbox) {
            let mut mine = mine.clone();
            mine.send_time_ms = theirs.send_time_ms;
            assert_eq!(&mine, theirs);
        }
        for (peer, said) in &self.said {
            let committed = self.server.mailbox.iter().filter(|e| e.receiver_id == *peer);
            let committed: Vec<_> = committed.map(|e| e.content.clone()).collect();
            assert_eq!(&committed, said, "once and in order, to {peer}");
        }
    }
}

#[test]
fn nothing_is_lost_doubled_or_reordered_by_any_trouble() {
    let seeds = match std::env::var("ALDIS_SEED") {
        Ok(seed) => {
            let seed: u64 = seed.parse().unwrap();
            seed..seed + 1
        }
        Err(_) => 1..SEEDS + 1,
    };
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            world.run();
            world.check();
        });
        assert!(outcome.is_ok(), "seed {seed}: ALDIS_SEED={seed} runs it alone");
    }
}
