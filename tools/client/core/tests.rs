//! The core against a scripted server, frame by frame under virtual time. No sockets.

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
        heads: vec![pb::StreamHead { stream: 0, head }],
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

#[test]
fn a_gap_waits_and_then_syncs_from_local() {
    let mut rig = Rig::online(10);
    rig.push(11, &[11]);
    rig.push(13, &[13]);
    assert_eq!(rig.applied(), [11]);
    assert!(rig.take().is_empty());
    rig.advance(99);
    assert!(rig.take().is_empty());
    rig.advance(1);
    let asked = rig.take_one(Command::MsgSync);
    assert_eq!(asked.decode::<pb::MsgSyncReq>().after_seq, 11);
    rig.push(14, &[14]);
    let page = pb::MsgSyncResp { stream: 0, entries: vec![entry(12)], head: 12, more: false };
    rig.answer(&asked, &page);
    assert_eq!(rig.applied(), [12, 13, 14]);
    assert!(rig.take().is_empty());
}

#[test]
fn the_answer_to_a_send_is_the_own_entry() {
    let mut rig = Rig::online(4);
    let id = rig.send(8, "hello");
    let asked = rig.take_one(Command::MsgSend);
    rig.answer(&asked, &ack(5));
    let events = rig.events();
    assert!(matches!(&events[0], Event::SendAcked { client_msg_id, .. } if *client_msg_id == id));
    let Event::Entry { entry, via: Via::Own, .. } = &events[1] else { panic!("{events:?}") };
    assert_eq!((entry.seq, entry.sender_id, entry.receiver_id), (5, 7, 8));
    assert_eq!((&entry.content[..], &entry.client_msg_id[..]), (&b"hello"[..], &id.0[..]));
}

#[test]
fn an_own_entry_above_a_gap_waits_for_it() {
    let mut rig = Rig::online(4);
    rig.send(8, "hello");
    let asked = rig.take_one(Command::MsgSend);
    rig.answer(&asked, &ack(6));
    assert!(rig.applied().is_empty());
    rig.push(6, &[5]);
    assert_eq!(rig.applied(), [5, 6]);
}

#[test]
fn an_answer_with_an_old_seq_or_none_changes_no_position() {
    let mut rig = Rig::online(4);
    rig.send(8, "a");
    rig.send(9, "b");
    for (asked, seq) in rig.take().iter().zip([3, 0]) {
        rig.answer(asked, &ack(seq));
    }
    assert!(rig.applied().is_empty());
    assert_eq!(rig.core.local_seq(0), Some(4));
    assert_eq!(rig.core.unanswered_send_count(), 0);
}

#[test]
fn unanswered_sends_go_out_again_in_order_with_their_ids() {
    let mut rig = Rig::online(0);
    let ids = [rig.send(8, "a"), rig.send(8, "b"), rig.send(9, "c")];
    let first = rig.take();
    assert_eq!(Rig::texts(&first), ["a", "b", "c"]);
    rig.answer(&first[0], &ack(1));
    rig.core.handle_disconnected(rig.now);
    rig.send(8, "d");
    rig.reconnect(1);
    let mut again = rig.take();
    assert_eq!(Rig::texts(&again), ["b", "c", "d"]);
    again.retain(|asked| asked.cmd == Command::MsgSend);
    assert_eq!(again[0].decode::<pb::MsgSendReq>().client_msg_id[..], ids[1].0[..]);
    assert_eq!(again[1].decode::<pb::MsgSendReq>().client_msg_id[..], ids[2].0[..]);
}

#[test]
fn after_a_retryable_answer_the_conversation_starts_again_from_the_failed_send() {
    let mut rig = Rig::online(0);
    rig.send(8, "a");
    rig.send(8, "b");
    rig.send(9, "z");
    let asked = rig.take();
    rig.refuse(&asked[0], Code::Unavailable, 0);
    rig.send(8, "c");
    rig.send(9, "y");
    // The other conversation goes on; this one waits until b was answered too.
    assert_eq!(Rig::texts(&rig.take()), ["y"]);
    rig.advance(5_000);
    assert!(rig.take().is_empty());
    rig.refuse(&asked[1], Code::Unavailable, 0);
    rig.advance(5_000);
    assert_eq!(Rig::texts(&rig.take()), ["a", "b", "c"]);
}

#[test]
fn a_rate_limited_conversation_waits_as_long_as_asked() {
    let mut rig = Rig::online(0);
    rig.send(8, "a");
    let asked = rig.take_one(Command::MsgSend);
    rig.refuse(&asked, Code::RateLimited, 7_000);
    rig.advance(6_999);
    assert!(rig.take().is_empty());
    rig.advance(1);
    assert_eq!(Rig::texts(&rig.take()), ["a"]);
}

#[test]
fn internal_is_retried_a_few_times_and_then_reported_as_undecided() {
    let mut rig = Rig::online(0);
    rig.send(8, "a");
    rig.send(8, "b");
    for _ in 0..=limits::INTERNAL_RETRIES_MAX {
        for asked in rig.take() {
            if asked.cmd != Command::MsgSend {
                continue;
            }
            if asked.decode::<pb::MsgSendReq>().content == "a" {
                rig.refuse(&asked, Code::Internal, 0);
            } else {
                rig.answer(&asked, &ack(1));
            }
        }
        rig.advance(10_000);
    }
    let failed = |e: &Event| {
        matches!(e, Event::SendFailed { code: Code::Internal, maybe_committed: true, .. })
    };
    assert_eq!(rig.events().iter().filter(|e| failed(e)).count(), 1);
    assert_eq!(rig.core.unanswered_send_count(), 0);
}

#[test]
fn a_definite_refusal_is_an_event_and_holds_nothing_back() {
    let mut rig = Rig::online(0);
    rig.send(8, "a");
    rig.send(8, "b");
    let asked = rig.take();
    rig.refuse(&asked[0], Code::TooLarge, 0);
    rig.answer(&asked[1], &ack(1));
    let events = rig.events();
    assert!(matches!(
        events[0],
        Event::SendFailed { code: Code::TooLarge, maybe_committed: false, .. }
    ));
    assert!(matches!(events[1], Event::SendAcked { .. }));
}

#[test]
fn the_window_and_the_queue_are_bounded() {
    let mut rig = Rig::online(0);
    let mut count = 0;
    let target = Target::Group(GroupId(3));
    loop {
        let content = Bytes::from("x");
        match rig.core.send_message(0, target, pb::MsgType::Text, content, Bytes::new()) {
            Ok(_) => count += 1,
            Err(error) => break assert_eq!(error, SubmitError::WouldBlock),
        }
    }
    assert_eq!(count, limits::OUTBOX_SENDS_MAX);
    let asked = rig.take();
    assert_eq!(asked.len(), limits::WINDOW_DEFAULT);
    rig.answer(&asked[0], &ack(1));
    assert_eq!(rig.take().len(), 1);
}

#[test]
fn another_store_epoch_or_a_lower_head_starts_at_the_heads() {
    let saved =
        SavedState { user_id: 7, token: "t".into(), store_epoch: 98, streams: vec![(0, 50)] };
    for (epoch, head, expected) in [(98, 60, None), (99, 60, Some(60)), (98, 40, Some(40))] {
        let config = Config::new("dev", DeviceClass::Desktop);
        let mut rig = Rig::with_config(config, saved.clone());
        rig.core.login(0, Credentials::SavedToken);
        rig.open();
        let asked = rig.take_one(Command::Login);
        assert_eq!(asked.decode::<pb::LoginReq>().token, "t");
        rig.answer(&asked, &pb::LoginResp { store_epoch: epoch, ..login_resp(head) });
        let resynced = rig.events().into_iter().find_map(|event| match event {
            Event::Resynced { local, head, .. } => Some((local, head)),
            _ => None,
        });
        assert_eq!(resynced, expected.map(|head| (50, head)), "epoch {epoch} head {head}");
        assert_eq!(rig.core.local_seq(0), Some(expected.unwrap_or(50)));
    }
}

#[test]
fn resync_takes_the_head_of_a_heartbeat() {
    let mut rig = Rig::online(4);
    rig.push(9, &[]);
    let asked = rig.take_one(Command::MsgSync);
    rig.refuse(&asked, Code::Resync, 0);
    let asked = rig.take_one(Command::Heartbeat);
    rig.answer(&asked, &pb::HeartbeatResp { head_seq: 9, ..Default::default() });
    assert!(rig.events().contains(&Event::Resynced { stream: 0, local: 4, head: 9 }));
    rig.push(10, &[10]);
    assert_eq!(rig.applied(), [10]);
}

#[test]
fn a_heartbeat_with_a_higher_head_syncs() {
    let mut rig = Rig::online(4);
    rig.advance(30_000);
    let asked = rig.take_one(Command::Heartbeat);
    assert_eq!(asked.decode::<pb::HeartbeatReq>().local_seq, 4);
    rig.answer(&asked, &pb::HeartbeatResp { head_seq: 6, ..Default::default() });
    let asked = rig.take_one(Command::MsgSync);
    assert_eq!(asked.decode::<pb::MsgSyncReq>().after_seq, 4);
}

#[test]
fn a_heartbeat_between_a_send_and_its_answer_waits_for_the_answer() {
    let mut rig = Rig::online(4);
    rig.advance(30_000);
    rig.send(8, "a");
    let asked = rig.take();
    rig.answer(&asked[0], &pb::HeartbeatResp { head_seq: 5, ..Default::default() });
    assert!(rig.take().is_empty());
    rig.answer(&asked[1], &ack(5));
    assert_eq!(rig.applied(), [5]);
    rig.advance(100);
    assert!(rig.take().is_empty());
}

#[test]
fn a_silent_connection_is_left_and_opened_again() {
    let mut rig = Rig::online(0);
    rig.send(8, "a");
    rig.take();
    rig.advance(limits::SILENCE_MS_MAX);
    assert_eq!(rig.core.poll_link(), Some(LinkAction::Close));
    let offline = rig.events().pop().unwrap();
    assert!(matches!(offline, Event::Offline { reason: OfflineReason::Silent, .. }));
    rig.reconnect(0);
    assert_eq!(Rig::texts(&rig.take()), ["a"]);
}

#[test]
fn a_kicked_client_stays_away() {
    let mut rig = Rig::online(0);
    rig.send(8, "a");
    let body = pb::KickNotify { reason: pb::KickReason::Replaced as i32, device_name: "tv".into() };
    rig.give(&OutFrame::notification(Command::KickNotify, &body));
    assert!(
        rig.events()
            .iter()
            .any(|e| matches!(e, Event::Kicked { device_name, .. } if device_name == "tv"))
    );
    rig.advance(3_600_000);
    assert_eq!(rig.core.poll_link(), Some(LinkAction::Close));
    assert_eq!(rig.core.poll_link(), None);
    assert!(rig.core.is_stopped());
    rig.core.login(rig.now, password());
    rig.open();
    rig.answer_login(&login_resp(0));
    assert_eq!(Rig::texts(&rig.take()), ["a"], "nothing is lost when the user comes back");
}

#[test]
fn bad_credentials_stop_and_a_refused_token_falls_back_to_the_password() {
    let mut rig = Rig::new();
    rig.core.login(0, password());
    rig.open();
    rig.answer_login(&login_resp(0));
    rig.core.handle_disconnected(0);
    rig.advance(60_000);
    rig.open();
    let asked = rig.take_one(Command::Login);
    assert_eq!(asked.decode::<pb::LoginReq>().token, "token-1");
    rig.refuse(&asked, Code::BadCredentials, 0);
    rig.advance(60_000);
    assert_eq!(rig.core.poll_link(), Some(LinkAction::Close));
    rig.open();
    let asked = rig.take_one(Command::Login);
    let req = asked.decode::<pb::LoginReq>();
    assert_eq!((&req.username[..], &req.token[..]), ("ada", ""));
    rig.refuse(&asked, Code::BadCredentials, 0);
    let failed = |e: &Event| matches!(e, Event::LoginFailed { code: Code::BadCredentials, .. });
    assert!(rig.events().iter().any(failed));
    rig.advance(3_600_000);
    assert!(rig.core.is_stopped());
}

#[test]
fn goaway_finishes_what_is_on_the_wire_and_comes_back_after_the_delay() {
    let mut rig = Rig::online(0);
    rig.send(8, "a");
    let asked = rig.take_one(Command::MsgSend);
    let body = pb::GoawayNotify { reconnect_delay_ms: 500, reconnect_to: "other:1".into() };
    rig.give(&OutFrame::notification(Command::GoawayNotify, &body));
    rig.send(8, "b");
    assert!(rig.take().is_empty(), "nothing new goes to a node that leaves");
    rig.answer(&asked, &ack(1));
    assert_eq!(rig.core.poll_link(), Some(LinkAction::Close));
    rig.advance(499);
    assert_eq!(rig.core.poll_link(), None);
    rig.advance(300);
    assert_eq!(rig.core.poll_link(), Some(LinkAction::Connect { to: Some("other:1".into()) }));
}

#[test]
fn deliveries_are_marked_in_batches() {
    let mut rig = Rig::online(0);
    for seq in 1..=63 {
        rig.push(seq, &[seq]);
    }
    assert!(rig.take().is_empty());
    rig.push(64, &[64]);
    let asked = rig.take_one(Command::MarkDelivered);
    assert_eq!(asked.decode::<pb::MarkDeliveredReq>().seq, 64);
    rig.push(65, &[65]);
    rig.answer(&asked, &pb::MarkDeliveredResp {});
    assert!(rig.take().is_empty());
    rig.advance(1_000);
    let asked = rig.take_one(Command::MarkDelivered);
    assert_eq!(asked.decode::<pb::MarkDeliveredReq>().seq, 65);
}

#[test]
fn one_paged_read_is_on_the_wire_at_a_time() {
    let mut rig = Rig::online(0);
    for _ in 0..2 {
        rig.core.request(Request::History(pb::HistoryReq::default())).unwrap();
    }
    rig.core.request(Request::UserFind(pb::UserFindReq::default())).unwrap();
    let asked = rig.take_one(Command::History);
    rig.push(3, &[]);
    assert!(rig.take().is_empty(), "a sync is such a read too");
    rig.answer(&asked, &pb::HistoryResp::default());
    let commands: Vec<_> = rig.take().iter().map(|asked| asked.cmd).collect();
    assert_eq!(commands, [Command::History, Command::UserFind]);
}

#[test]
fn requests_of_a_lost_connection_end_and_unsent_ones_wait() {
    let mut rig = Rig::online(0);
    let lost = rig.core.request(Request::UserFind(pb::UserFindReq::default())).unwrap();
    rig.take();
    rig.core.handle_disconnected(rig.now);
    rig.core.request(Request::UserGet(pb::UserGetReq::default())).unwrap();
    let result = Err(RequestError::Lost);
    assert!(rig.events().contains(&Event::Response { request: lost, result }));
    rig.reconnect(0);
    rig.take_one(Command::UserGet);
}

#[test]
fn a_group_change_of_this_device_is_fetched_by_sync() {
    let mut rig = Rig::online(4);
    rig.core.request(Request::GroupCreate(pb::GroupCreateReq::default())).unwrap();
    let asked = rig.take_one(Command::GroupCreate);
    rig.answer(&asked, &pb::GroupCreateResp { group_id: 9, seq: 5 });
    let asked = rig.take_one(Command::MsgSync);
    assert_eq!(asked.decode::<pb::MsgSyncReq>().after_seq, 4);
}

#[test]
fn garbage_closes_and_reconnects() {
    let mut rig = Rig::online(0);
    rig.core.handle_bytes(0, b"HTTP/1.1 400 Bad Request\r\n");
    assert_eq!(rig.core.poll_link(), Some(LinkAction::Close));
    let offline = rig.events().pop().unwrap();
    assert!(matches!(
        offline,
        Event::Offline { reason: OfflineReason::BadFrame, retry_in_ms: Some(_) }
    ));
}

#[test]
fn state_survives_a_restart_of_the_application() {
    let mut rig = Rig::online(4);
    rig.push(6, &[5, 6]);
    let json = serde_json::to_string(&rig.core.export_state()).unwrap();
    let saved: SavedState = serde_json::from_str(&json).unwrap();
    assert_eq!(saved.streams, [(0, 6)]);
    let mut rig = Rig::with_config(Config::new("dev", DeviceClass::Desktop), saved);
    rig.core.login(0, Credentials::SavedToken);
    rig.open();
    rig.answer_login(&login_resp(8));
    let asked = rig.take_one(Command::MsgSync);
    assert_eq!(asked.decode::<pb::MsgSyncReq>().after_seq, 6);
}

#[test]
fn secrets_are_not_in_debug_output() {
    let rig = Rig::online(4);
    let text = format!("{:?}", rig.core);
    assert!(!text.contains("secret-1") && !text.contains("token-1"), "{text}");
}
