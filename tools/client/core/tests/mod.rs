//! The core against a scripted server, frame by frame under virtual time: the rig that the tests
//! share. No sockets.

mod rule;
mod sends;
mod session;

use aldis_wire::{
    Code, Command, DeviceClass, GroupId, Message, OutFrame, UserId, limits as wire, parse_frame, pb,
};
use bytes::Bytes;

use super::*;

/// The core under test and the other end of its connection.
struct Rig {
    core: Core,
    now: u64,
    received: Vec<u8>,
    events: Vec<Event>,
}

/// A request as the server sees it.
#[derive(Debug)]
struct Asked {
    cmd: Command,
    seq: u32,
    body: Vec<u8>,
}

impl Asked {
    fn decode<M: Message + Default>(&self) -> M {
        M::decode(&self.body[..]).unwrap()
    }
}

fn password() -> Credentials {
    Credentials::Password { username: "ada".into(), password: "secret-1".into() }
}

fn login_resp(head: u64) -> pb::LoginResp {
    pb::LoginResp {
        user_id: 7,
        session_id: 1,
        token: "token-1".into(),
        heads: vec![pb::StreamHead { stream: 0, head, cursor: 0 }],
        store_epoch: 99,
        heartbeat_interval_ms: 30_000,
        ..Default::default()
    }
}

fn entry(seq: u64) -> pb::MessageData {
    pb::MessageData { seq, msg_id: 1_000 + seq, content: Bytes::from("x"), ..Default::default() }
}

fn ack(seq: u64) -> pb::MsgSendResp {
    pb::MsgSendResp { msg_id: 1_000 + seq, seq, conv_seq: seq, send_time_ms: 5 }
}

impl Rig {
    fn with_config(config: Config, saved: SavedState) -> Self {
        let core = Core::new(config, saved, 1, 0, 1_700_000_000_000);
        Self { core, now: 0, received: Vec::new(), events: Vec::new() }
    }

    fn new() -> Self {
        Self::with_config(Config::new("dev", DeviceClass::Desktop), SavedState::default())
    }

    /// Logged in with this mailbox head, positioned there.
    fn online(head: u64) -> Self {
        let mut config = Config::new("dev", DeviceClass::Desktop);
        config.start = Start::Head;
        let mut rig = Self::with_config(config, SavedState::default());
        rig.core.login(0, password());
        rig.open();
        rig.answer_login(&login_resp(head));
        rig
    }

    fn open(&mut self) {
        assert!(matches!(self.core.poll_link(), Some(LinkAction::Connect { .. })));
        self.core.handle_connected(self.now);
    }

    fn answer_login(&mut self, resp: &pb::LoginResp) {
        let asked = self.take_one(Command::Login);
        self.answer(&asked, resp);
        let is_online = |e: &Event| matches!(e, Event::Online(_));
        assert!(self.events().iter().any(is_online));
    }

    /// What the core wrote since the last time.
    fn take(&mut self) -> Vec<Asked> {
        loop {
            let bytes = self.core.poll_transmit(self.now).to_vec();
            if bytes.is_empty() {
                break;
            }
            self.received.extend_from_slice(&bytes);
            self.core.handle_transmitted(bytes.len());
        }
        let mut asked = Vec::new();
        while let Some(frame) = parse_frame(&self.received, wire::BODY_BYTES_MAX).unwrap() {
            let cmd = Command::request(frame.header.cmd).unwrap();
            let len = 16 + frame.body.len();
            asked.push(Asked { cmd, seq: frame.header.seq, body: frame.body.to_vec() });
            self.received.drain(..len);
        }
        asked
    }

    fn take_one(&mut self, cmd: Command) -> Asked {
        let mut asked = self.take();
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert_eq!(asked[0].cmd, cmd);
        asked.remove(0)
    }

    fn answer(&mut self, asked: &Asked, body: &impl Message) {
        self.give(&OutFrame::response(asked.cmd, asked.seq, body));
    }

    fn refuse(&mut self, asked: &Asked, code: Code, retry_after_ms: u32) {
        self.give(&OutFrame::error(asked.cmd.id(), asked.seq, code, "no", retry_after_ms));
    }

    fn push(&mut self, head: u64, seqs: &[u64]) {
        let entries = seqs.iter().map(|&seq| entry(seq)).collect();
        let body = pb::MsgPushNotify { stream: 0, head, entries };
        self.give(&OutFrame::notification(Command::MsgPushNotify, &body));
    }

    fn give(&mut self, frame: &OutFrame) {
        self.core.handle_bytes(self.now, &frame.to_vec());
    }

    /// Moves time forward and lets everything happen that is due on the way.
    fn advance(&mut self, ms: u64) {
        let end = self.now + ms;
        let mut steps = 0;
        while let Some(at) = self.core.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.core.handle_timeout(self.now);
            steps += 1;
            assert!(steps < 1_000, "a deadline in the past is repeated");
        }
        self.now = end;
    }

    fn events(&mut self) -> Vec<Event> {
        while let Some(event) = self.core.poll_event() {
            self.events.push(event);
        }
        std::mem::take(&mut self.events)
    }

    fn applied(&mut self) -> Vec<u64> {
        let seq_of = |event: Event| match event {
            Event::Entry { entry, .. } => Some(entry.seq),
            _ => None,
        };
        self.events().into_iter().filter_map(seq_of).collect()
    }

    fn send(&mut self, to: u64, text: &'static str) -> ClientMsgId {
        let target = Target::User(UserId(to));
        let content = Bytes::from(text);
        self.core.send_message(self.now, target, pb::MsgType::Text, content, Bytes::new()).unwrap()
    }

    fn texts(asked: &[Asked]) -> Vec<String> {
        let sends = asked.iter().filter(|a| a.cmd == Command::MsgSend);
        let text = |a: &Asked| a.decode::<pb::MsgSendReq>().content.to_vec();
        sends.map(|a| String::from_utf8(text(a)).unwrap()).collect()
    }

    fn reconnect(&mut self, head: u64) {
        self.advance(60_000);
        self.open();
        self.answer_login(&login_resp(head));
    }
}
