//! The service by itself: inputs in, effects out. Replies of other threads are made up here, so
//! that each can come at the worst moment.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use aldis_logic::job::{
    Appended, Credentials, DirectoryReply, Event, Generations, HashReply, HashResult, JobError,
    LoginState, NodeId, ReactorId, ReadJob, ReadReply, ReadResult, Registration, SessionOpened,
    StoredMessage, Ticket, UserHead, WriteJob, WriteReply, Written,
};
use aldis_logic::{
    Admit, CreditLimits, Delivery, Effect, Goodbye, Keyring, Lane, Node, NodeConfig, Now, PeerMail,
    Service, SigningKey, fan_out,
};
use aldis_wire::{
    ClientMsgId, Code, Command, ConnId, ConvSeq, ConversationKey, DeviceClass, Epoch, Frame,
    Header, Message, MsgId, MsgNo, OutFrame, Seq, UserId, parse_frame, pb,
};
use bytes::Bytes;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const NOW: Now = Now { mono_ms: 1_000, unix_ms: 1_800_000_000_000 };
const ADA: UserId = UserId(10_001);
const BEN: UserId = UserId(10_002);

fn conn(index: u32) -> ConnId {
    ConnId { index, generation: 1 }
}

fn node() -> Arc<Node> {
    let config = NodeConfig {
        node: NodeId(0),
        store_epoch: 77,
        heartbeat_interval_ms: 60_000,
        token_ttl_ms: 3_600_000,
    };
    let key = SigningKey { kid: "a".into(), secret: vec![7; 32] };
    Arc::new(Node::new(config, Keyring::new(&[key]).unwrap()))
}

fn service(node: &Arc<Node>) -> Service {
    Service::new(node.clone(), ReactorId(0), CreditLimits::default())
}

/// Hands in a request and returns what the service wants done.
fn request(
    service: &mut Service,
    conn: ConnId,
    seq: u32,
    command: Command,
    body: &impl Message,
) -> (Admit, Vec<Effect>) {
    let body = body.encode_to_vec();
    let header = Header { cmd: command.id(), code: 0, seq, len: body.len() as u32 };
    let admit = service.handle_frame(NOW, conn, Frame { header, body: &body });
    (admit, effects(service))
}

fn effects(service: &mut Service) -> Vec<Effect> {
    service.invariants();
    std::iter::from_fn(|| service.poll_effect()).collect()
}

/// The frames among effects: connection, header, body.
fn frames(effects: &[Effect]) -> Vec<(ConnId, Header, Vec<u8>)> {
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send { conn, frame, .. } => Some(decode(*conn, frame)),
        _ => None,
    });
    sent.collect()
}

fn decode(conn: ConnId, frame: &OutFrame) -> (ConnId, Header, Vec<u8>) {
    let bytes = frame.to_vec();
    let frame = parse_frame(&bytes, 1 << 20).unwrap().unwrap();
    (conn, frame.header, frame.body.to_vec())
}

fn ticket_of(effects: &[Effect]) -> Ticket {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Write(request) => Some(request.ticket),
        Effect::Read(request) => Some(request.ticket),
        Effect::Hash(request) => Some(request.ticket),
        Effect::Directory(request) => Some(request.ticket),
        _ => None,
    });
    found.expect("a job was started")
}

fn written(service: &mut Service, ticket: Ticket, written: Written) -> Vec<Effect> {
    let reply = WriteReply { ticket, fence: 0, result: Ok(written), failed_send: None };
    service.handle_write_reply(NOW, reply);
    effects(service)
}

fn read(service: &mut Service, ticket: Ticket, result: ReadResult) -> Vec<Effect> {
    service.handle_read_reply(NOW, ReadReply { ticket, result: Ok(result) });
    effects(service)
}

fn login_body() -> pb::LoginReq {
    pb::LoginReq {
        username: "ada".into(),
        password: "correct horse".into(),
        device_id: "d1".into(),
        device_class: DeviceClass::Phone.number() as i32,
        ..Default::default()
    }
}

/// Steps of a LOGIN up to where the head is read; its ticket.
fn login_until_state(service: &mut Service, conn: ConnId, user: UserId, epoch: u64) -> Ticket {
    service.handle_open(NOW, conn, ADDRESS);
    let (admit, out) = request(service, conn, 1, Command::Login, &login_body());
    assert_eq!(admit, Admit::Taken);
    let ticket = ticket_of(&out);
    let credentials = Credentials { user, password_phc: "phc".into() };
    let out = read(service, ticket, ReadResult::Credentials(Some(credentials)));
    assert!(matches!(out[..], [Effect::Hash(_)]), "{out:?}");
    let result = HashResult::Verified(true);
    service.handle_hash_reply(NOW, HashReply { ticket, result });
    let out = effects(service);
    assert!(matches!(&out[..], [Effect::Write(w)] if matches!(w.job, WriteJob::OpenSession(_))));
    let opened = SessionOpened { epoch: Epoch(epoch), generations: Generations::default() };
    written(service, ticket, Written::SessionOpened(opened));
    let registration = Registration::Live { replaced: None };
    service.handle_directory_reply(NOW, DirectoryReply { ticket, registration });
    let out = effects(service);
    assert!(matches!(&out[..], [Effect::Read(r)] if matches!(r.job, ReadJob::LoginState { .. })));
    ticket
}

fn login(service: &mut Service, conn: ConnId, user: UserId, epoch: u64) -> pb::LoginResp {
    let ticket = login_until_state(service, conn, user, epoch);
    let state = LoginState { head: Seq(5), username: "ada".into(), ..Default::default() };
    let out = read(service, ticket, ReadResult::LoginState(state));
    assert!(out.iter().any(|effect| matches!(effect, Effect::LoggedIn { .. })));
    let sent = frames(&out);
    assert_eq!((sent[0].1.cmd, sent[0].1.code), (Command::LoginResp.id(), 0));
    pb::LoginResp::decode(sent[0].2.as_slice()).unwrap()
}

fn send_body(id: u8) -> pb::MsgSendReq {
    pb::MsgSendReq {
        receiver_id: BEN.0,
        client_msg_id: Bytes::copy_from_slice(&[id; 16]),
        r#type: pb::MsgType::Text as i32,
        content: Bytes::from_static(b"hi"),
        ..Default::default()
    }
}

fn event(owner: UserId, seq: u64, origin: ConnId) -> Event {
    let message = StoredMessage {
        msg_id: MsgId(seq),
        conversation: ConversationKey::direct(ADA, BEN),
        conv_seq: ConvSeq(seq),
        msg_no: MsgNo(seq),
        sender: BEN,
        client_msg_id: ClientMsgId([1; 16]),
        kind: pb::MsgType::Text,
        content: Bytes::from_static(b"hi"),
        extra: Bytes::new(),
        time_ms: 0,
        flags: 0,
    };
    let origin = Ticket {
        reactor: ReactorId(0),
        conn: origin,
        request: 1,
        command: Command::MsgSend,
        bytes: 0,
    };
    Event { message: Arc::new(message), owners: [(owner, Seq(seq))].into_iter().collect(), origin }
}

fn deliveries(node: &Node, event: Event) -> Vec<Delivery> {
    let mut out = vec![Vec::new()];
    fan_out(&[event], &node.table, &mut out);
    out.remove(0)
}

#[test]
fn a_login_answers_with_the_highest_head_it_saw_on_the_way() {
    let node = node();
    let mut service = service(&node);
    let ticket = login_until_state(&mut service, conn(1), ADA, 1);
    // Committed after the session was entered and before its head was read.
    for delivery in deliveries(&node, event(ADA, 9, conn(99))) {
        service.handle_delivery(NOW, &delivery);
    }
    assert!(effects(&mut service).is_empty(), "no push before LOGIN_RESP");
    let state = LoginState { head: Seq(8), ..Default::default() };
    let out = read(&mut service, ticket, ReadResult::LoginState(state));
    let resp = pb::LoginResp::decode(frames(&out)[0].2.as_slice()).unwrap();
    assert_eq!(resp.heads[0].head, 9);
}

#[test]
fn frames_behind_a_login_wait_and_go_on_after_it() {
    let node = node();
    let mut service = service(&node);
    let ticket = login_until_state(&mut service, conn(1), ADA, 1);
    let (admit, out) = request(&mut service, conn(1), 2, Command::MsgSend, &send_body(1));
    assert_eq!(admit, Admit::Wait);
    assert!(out.is_empty());
    let out = read(&mut service, ticket, ReadResult::LoginState(LoginState::default()));
    assert!(out.iter().any(|effect| matches!(effect, Effect::Resume { .. })), "{out:?}");
}

#[test]
fn before_login_only_three_commands_are_answered() {
    let node = node();
    let mut service = service(&node);
    service.handle_open(NOW, conn(1), ADDRESS);
    for command in Command::REQUESTS {
        let (_, out) = request(&mut service, conn(1), 1, command, &pb::HeartbeatReq::default());
        let code = Code::from_u16(frames(&out)[0].1.code).unwrap();
        assert_eq!(code == Code::NotLoggedIn, !command.allowed_before_login(), "{command:?}");
    }
}

#[test]
fn an_unknown_user_is_hashed_like_a_known_one_and_answered_the_same() {
    let node = node();
    let mut service = service(&node);
    service.handle_open(NOW, conn(1), ADDRESS);
    let (_, out) = request(&mut service, conn(1), 1, Command::Login, &login_body());
    let ticket = ticket_of(&out);
    let out = read(&mut service, ticket, ReadResult::Credentials(None));
    assert!(matches!(out[..], [Effect::Hash(_)]), "{out:?}");
    let result = HashResult::Verified(false);
    service.handle_hash_reply(NOW, HashReply { ticket, result });
    let sent = frames(&effects(&mut service));
    assert_eq!(sent[0].1.code, Code::BadCredentials.as_u16());
}

#[test]
fn a_newer_login_of_the_class_kicks_the_older_one() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    let ticket = {
        service.handle_open(NOW, conn(2), ADDRESS);
        let (_, out) = request(&mut service, conn(2), 1, Command::Login, &login_body());
        ticket_of(&out)
    };
    let credentials = Credentials { user: ADA, password_phc: "phc".into() };
    read(&mut service, ticket, ReadResult::Credentials(Some(credentials)));
    service.handle_hash_reply(NOW, HashReply { ticket, result: HashResult::Verified(true) });
    effects(&mut service);
    let opened = SessionOpened { epoch: Epoch(2), generations: Generations::default() };
    let out = written(&mut service, ticket, Written::SessionOpened(opened));
    let kick = out.into_iter().find_map(|effect| match effect {
        Effect::Post { mail, .. } => Some(mail),
        _ => None,
    });
    service.handle_peer(NOW, kick.expect("the older session is told"));
    let out = effects(&mut service);
    let sent = frames(&out);
    assert_eq!((sent[0].0, sent[0].1.cmd), (conn(1), Command::KickNotify.id()));
    let closed = |effect: &Effect| matches!(effect, Effect::Close { conn: c, reason: Goodbye::Kicked } if *c == conn(1));
    assert!(out.iter().any(closed));
    // The older connection's end leaves the newer session where it is.
    service.handle_closed(NOW, conn(1));
    assert_eq!(node.table.session_count(), 1);
}

#[test]
fn a_kick_for_a_session_that_is_gone_does_not_hit_the_next_user_of_its_slot() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    service.handle_closed(NOW, conn(1));
    effects(&mut service);
    let again = ConnId { index: 1, generation: 2 };
    login(&mut service, again, BEN, 1);
    for stale in [conn(1), again] {
        let mail = PeerMail::Kick {
            conn: stale,
            user: ADA,
            epoch: Epoch(1),
            reason: pb::KickReason::Replaced,
            device_name: String::new(),
        };
        service.handle_peer(NOW, mail);
        assert!(effects(&mut service).is_empty());
    }
}

#[test]
fn the_ack_follows_the_commit_and_a_late_one_to_a_closed_connection_is_dropped() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    let (_, out) = request(&mut service, conn(1), 2, Command::MsgSend, &send_body(1));
    assert!(frames(&out).is_empty(), "no answer before the commit");
    let ticket = ticket_of(&out);
    let appended = Appended { msg_id: MsgId(3), seq: Seq(6), conv_seq: ConvSeq(1), time_ms: 9 };
    let out = written(&mut service, ticket, Written::Appended(appended));
    let resp = pb::MsgSendResp::decode(frames(&out)[0].2.as_slice()).unwrap();
    assert_eq!((resp.seq, resp.conv_seq), (6, 1));
    let (_, out) = request(&mut service, conn(1), 3, Command::MsgSend, &send_body(2));
    let ticket = ticket_of(&out);
    service.handle_closed(NOW, conn(1));
    effects(&mut service);
    service.handle_open(NOW, ConnId { index: 1, generation: 2 }, ADDRESS);
    assert!(frames(&written(&mut service, ticket, Written::Appended(appended))).is_empty());
    assert!(service.is_idle());
}

#[test]
fn later_sends_of_a_conversation_wait_for_the_failed_one() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    let (_, out) = request(&mut service, conn(1), 2, Command::MsgSend, &send_body(1));
    let ticket = ticket_of(&out);
    let failed_send = Some(aldis_logic::job::FailedSend {
        conversation: ConversationKey::direct(ADA, BEN),
        client_msg_id: ClientMsgId([1; 16]),
    });
    let reply = WriteReply { ticket, fence: 1, result: Err(JobError::Unavailable), failed_send };
    service.handle_write_reply(NOW, reply);
    assert_eq!(frames(&effects(&mut service))[0].1.code, Code::Unavailable.as_u16());
    let (_, out) = request(&mut service, conn(1), 3, Command::MsgSend, &send_body(2));
    assert_eq!(frames(&out)[0].1.code, Code::Unavailable.as_u16());
    let (_, out) = request(&mut service, conn(1), 4, Command::MsgSend, &send_body(1));
    assert!(matches!(&out[..], [Effect::Write(write)] if write.fence == 1), "{out:?}");
    let (_, out) = request(&mut service, conn(1), 5, Command::MsgSend, &send_body(2));
    assert!(matches!(out[..], [Effect::Write(_)]));
}

#[test]
fn a_reader_that_is_behind_gets_one_hint_when_it_has_caught_up() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    for seq in 6..10 {
        for delivery in deliveries(&node, event(ADA, seq, conn(99))) {
            service.handle_delivery(NOW, &delivery);
        }
        for effect in effects(&mut service) {
            assert!(matches!(effect, Effect::Send { lane: Lane::Push, .. }));
            assert_eq!(seq, 6, "nothing is pushed to who is behind");
            service.handle_push_dropped(conn(1));
        }
    }
    service.handle_drained(NOW, conn(1));
    let sent = frames(&effects(&mut service));
    let hint = pb::MsgPushNotify::decode(sent[0].2.as_slice()).unwrap();
    assert_eq!((sent.len(), hint.head, hint.entries.len()), (1, 9, 0));
}

#[test]
fn missed_deliveries_lead_to_a_head_check_and_a_hint() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    service.handle_missed(NOW, &[conn(1), conn(7)]);
    service.handle_turn_end(NOW);
    let out = effects(&mut service);
    assert!(matches!(&out[..], [Effect::Read(r)] if r.job_users() == [ADA]), "{out:?}");
    let ticket = ticket_of(&out);
    let heads = vec![UserHead {
        user: ADA,
        head: Seq(12),
        epochs: [(DeviceClass::Phone, Epoch(1))].into_iter().collect(),
    }];
    let sent = frames(&read(&mut service, ticket, ReadResult::Heads(heads)));
    assert_eq!(pb::MsgPushNotify::decode(sent[0].2.as_slice()).unwrap().head, 12);
    // A check that finds a newer session ends this one.
    service.handle_missed(NOW, &[conn(1)]);
    service.handle_turn_end(NOW);
    let ticket = ticket_of(&effects(&mut service));
    let heads = vec![UserHead {
        user: ADA,
        head: Seq(12),
        epochs: [(DeviceClass::Phone, Epoch(2))].into_iter().collect(),
    }];
    let sent = frames(&read(&mut service, ticket, ReadResult::Heads(heads)));
    assert_eq!(sent[0].1.cmd, Command::KickNotify.id());
}

#[test]
fn requests_wait_when_credits_are_used_up_and_go_on_when_they_return() {
    let node = node();
    let limits = CreditLimits { writes: 1, ..CreditLimits::default() };
    let mut service = Service::new(node.clone(), ReactorId(0), limits);
    login(&mut service, conn(1), ADA, 1);
    let (_, out) = request(&mut service, conn(1), 2, Command::MsgSend, &send_body(1));
    let ticket = ticket_of(&out);
    let (admit, _) = request(&mut service, conn(1), 3, Command::MsgSend, &send_body(2));
    assert_eq!(admit, Admit::Wait);
    let (admit, _) =
        request(&mut service, conn(1), 4, Command::Heartbeat, &pb::HeartbeatReq::default());
    assert_eq!(admit, Admit::Taken, "what needs no credit is not the service's to hold back");
    service.handle_turn_end(NOW);
    assert!(effects(&mut service).is_empty());
    let appended = Appended { msg_id: MsgId(3), seq: Seq(6), conv_seq: ConvSeq(1), time_ms: 9 };
    written(&mut service, ticket, Written::Appended(appended));
    service.handle_turn_end(NOW);
    let out = effects(&mut service);
    assert!(matches!(out[..], [Effect::Resume { conn: c }] if c == conn(1)), "{out:?}");
}

#[test]
fn who_closed_its_side_still_gets_its_answers() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    let (_, out) = request(&mut service, conn(1), 2, Command::MsgSend, &send_body(1));
    let ticket = ticket_of(&out);
    service.handle_half_closed(NOW, conn(1));
    assert!(effects(&mut service).is_empty());
    let appended = Appended { msg_id: MsgId(3), seq: Seq(6), conv_seq: ConvSeq(1), time_ms: 9 };
    let out = written(&mut service, ticket, Written::Appended(appended));
    assert!(matches!(out[0], Effect::Send { .. }));
    assert!(out.iter().any(|e| matches!(e, Effect::Close { reason: Goodbye::PeerDone, .. })));
}

#[test]
fn a_token_logs_in_only_the_device_it_was_given_to() {
    let node = node();
    let mut service = service(&node);
    let token = login(&mut service, conn(1), ADA, 1).token;
    let body = |device: &str, class: DeviceClass, token: &str| pb::LoginReq {
        token: token.into(),
        device_id: device.into(),
        device_class: class.number() as i32,
        ..Default::default()
    };
    service.handle_open(NOW, conn(2), ADDRESS);
    for bad in [
        body("d2", DeviceClass::Phone, &token),
        body("d1", DeviceClass::Web, &token),
        body("d1", DeviceClass::Phone, &token[1..]),
    ] {
        let (_, out) = request(&mut service, conn(2), 1, Command::Login, &bad);
        assert_eq!(frames(&out)[0].1.code, Code::BadCredentials.as_u16());
    }
    let good = body("d1", DeviceClass::Phone, &token);
    let (_, out) = request(&mut service, conn(2), 1, Command::Login, &good);
    let ticket = ticket_of(&out);
    let reply = WriteReply {
        ticket,
        fence: 0,
        result: Err(JobError::Refused(Code::BadCredentials, "revoked")),
        failed_send: None,
    };
    service.handle_write_reply(NOW, reply);
    assert_eq!(frames(&effects(&mut service))[0].1.code, Code::BadCredentials.as_u16());
    let later = Now { unix_ms: NOW.unix_ms + 3_600_001, ..NOW };
    let bytes = good.encode_to_vec();
    let header = Header { cmd: Command::Login.id(), code: 0, seq: 1, len: bytes.len() as u32 };
    service.handle_frame(later, conn(2), Frame { header, body: &bytes });
    assert_eq!(frames(&effects(&mut service))[0].1.code, Code::TokenExpired.as_u16());
}

trait JobUsers {
    fn job_users(&self) -> Vec<UserId>;
}

impl JobUsers for aldis_logic::job::ReadRequest {
    fn job_users(&self) -> Vec<UserId> {
        match &self.job {
            ReadJob::Heads { users } => users.clone(),
            _ => Vec::new(),
        }
    }
}
