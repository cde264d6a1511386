//! What the tests of the service share: a node, steps of a login, made-up replies.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use aldis_logic::job::{
    AttemptJob, AttemptRequest, Credentials, DirectoryReply, Event, Generations, HashReply,
    HashResult, LoginState, ReactorId, ReadJob, ReadReply, ReadResult, Registration, SessionOpened,
    StoredMessage, Ticket, WriteJob, WriteReply, Written,
};
use aldis_logic::{
    Admit, CreditLimits, Delivery, Effect, HeadCheckTimes, LinkUse, Node, NodeConfig, Now, Service,
    fan_out,
};
use aldis_wire::{
    ClientMsgId, Command, ConnId, ConvSeq, ConversationKey, DeviceClass, Epoch, Frame, Header,
    Message, MsgId, MsgNo, OutFrame, Seq, UserId, parse_frame, pb,
};
use bytes::Bytes;

#[path = "../common/mod.rs"]
mod common;

pub use common::{config, node_from};

pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub const NOW: Now = Now { mono_ms: 1_000, unix_ms: 1_800_000_000_000 };
pub const ADA: UserId = UserId(10_001);
pub const BEN: UserId = UserId(10_002);

pub fn conn(index: u32) -> ConnId {
    ConnId { index, generation: 1 }
}

pub fn node() -> Arc<Node> {
    node_with(None)
}

/// A node that compares its sessions with the store at these times.
pub fn node_with(head_checks: Option<HeadCheckTimes>) -> Arc<Node> {
    node_of(head_checks, LinkUse::Off)
}

/// A node of a cluster.
pub fn linked_node() -> Arc<Node> {
    node_of(None, LinkUse::Routed)
}

fn node_of(head_checks: Option<HeadCheckTimes>, link: LinkUse) -> Arc<Node> {
    node_from(NodeConfig { head_checks, link, ..config() })
}

pub fn service(node: &Arc<Node>) -> Service {
    Service::new(node.clone(), ReactorId(0), CreditLimits::default())
}

/// Hands in a request and returns what the service wants done.
pub fn request(
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

/// What the service wants done, but for what it says and stores of who came and went.
pub fn effects(service: &mut Service) -> Vec<Effect> {
    let mut effects = all_effects(service);
    let is_of_presence = |effect: &Effect| match effect {
        Effect::Hints(_) => true,
        Effect::Write(request) => matches!(request.job, WriteJob::NoteSeen { .. }),
        _ => false,
    };
    effects.retain(|effect| !is_of_presence(effect));
    effects
}

pub fn all_effects(service: &mut Service) -> Vec<Effect> {
    service.invariants();
    std::iter::from_fn(|| service.poll_effect()).collect()
}

/// The frames among effects: connection, header, body.
pub fn frames(effects: &[Effect]) -> Vec<(ConnId, Header, Vec<u8>)> {
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send { conn, frame, .. } => Some(decode(*conn, frame)),
        _ => None,
    });
    sent.collect()
}

pub fn decode(conn: ConnId, frame: &OutFrame) -> (ConnId, Header, Vec<u8>) {
    let bytes = frame.to_vec();
    let frame = parse_frame(&bytes, 1 << 20).unwrap().unwrap();
    (conn, frame.header, frame.body.to_vec())
}

pub fn ticket_of(effects: &[Effect]) -> Ticket {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Write(request) => Some(request.ticket),
        Effect::Read(request) => Some(request.ticket),
        Effect::Hash(request) => Some(request.ticket),
        Effect::Directory(request) => Some(request.ticket),
        Effect::Locate(request) => Some(request.ticket),
        // Nobody waits for what is forgiven.
        Effect::Attempt(AttemptRequest { ticket, job: AttemptJob::Begin(_) }) => Some(*ticket),
        _ => None,
    });
    found.expect("a job was started")
}

pub fn written(service: &mut Service, ticket: Ticket, written: Written) -> Vec<Effect> {
    let reply = WriteReply { ticket, fence: 0, result: Ok(written), failed_send: None };
    service.handle_write_reply(NOW, reply);
    effects(service)
}

pub fn read(service: &mut Service, ticket: Ticket, result: ReadResult) -> Vec<Effect> {
    service.handle_read_reply(NOW, ReadReply { ticket, result: Ok(result) });
    effects(service)
}

pub fn login_body() -> pb::LoginReq {
    pb::LoginReq {
        username: "ada".into(),
        password: "correct horse".into(),
        device_id: "d1".into(),
        device_class: DeviceClass::Phone.number() as i32,
        ..Default::default()
    }
}

/// Steps of a LOGIN up to where the head is read; its ticket.
pub fn login_until_state(service: &mut Service, conn: ConnId, user: UserId, epoch: u64) -> Ticket {
    login_until_state_at(service, NOW, conn, user, epoch)
}

fn login_until_state_at(
    service: &mut Service,
    now: Now,
    conn: ConnId,
    user: UserId,
    epoch: u64,
) -> Ticket {
    let ticket = login_until_registered(service, conn, user, epoch);
    let registration = Registration::Live { replaced: None };
    service.handle_directory_reply(now, DirectoryReply { ticket, registration });
    let out = effects(service);
    assert!(matches!(&out[..], [Effect::Read(r)] if matches!(r.job, ReadJob::LoginState { .. })));
    ticket
}

/// The same up to where the directory is asked.
pub fn login_until_registered(
    service: &mut Service,
    conn: ConnId,
    user: UserId,
    epoch: u64,
) -> Ticket {
    let ticket = login_until_opening(service, conn, user);
    written(service, ticket, Written::SessionOpened(opened(user, epoch)));
    ticket
}

/// The same up to where the store opens the session.
pub fn login_until_opening(service: &mut Service, conn: ConnId, user: UserId) -> Ticket {
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
    // Before it, what was wrong at earlier attempts may be forgiven.
    let Some(Effect::Write(write)) = out.last() else { panic!("{out:?}") };
    assert!(matches!(write.job, WriteJob::OpenSession(_)), "{out:?}");
    ticket
}

pub fn opened(user: UserId, epoch: u64) -> SessionOpened {
    let (class, generations) = (DeviceClass::Phone, Generations::default());
    let before = Epoch(epoch - 1);
    SessionOpened { user, class, epoch: Epoch(epoch), before, generations }
}

pub fn login(service: &mut Service, conn: ConnId, user: UserId, epoch: u64) -> pb::LoginResp {
    login_at(service, NOW, conn, user, epoch)
}

/// A login that the directory learns of at this time.
pub fn login_at(
    service: &mut Service,
    now: Now,
    conn: ConnId,
    user: UserId,
    epoch: u64,
) -> pb::LoginResp {
    let ticket = login_until_state_at(service, now, conn, user, epoch);
    let state = LoginState { head: Seq(5), username: "ada".into(), ..Default::default() };
    let out = read(service, ticket, ReadResult::LoginState(state));
    assert!(out.iter().any(|effect| matches!(effect, Effect::LoggedIn { .. })));
    let sent = frames(&out);
    assert_eq!((sent[0].1.cmd, sent[0].1.code), (Command::LoginResp.id(), 0));
    pb::LoginResp::decode(sent[0].2.as_slice()).unwrap()
}

pub fn send_body(id: u8) -> pb::MsgSendReq {
    pb::MsgSendReq {
        receiver_id: BEN.0,
        client_msg_id: Bytes::copy_from_slice(&[id; 16]),
        r#type: pb::MsgType::Text as i32,
        content: Bytes::from_static(b"hi"),
        ..Default::default()
    }
}

pub fn event(owner: UserId, seq: u64, origin: ConnId) -> Event {
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
        refs: Bytes::new(),
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
    let owners = [(owner, Seq(seq))].into_iter().collect();
    Event { message: Arc::new(message), owners, origin, stream: None }
}

pub fn deliveries(node: &Node, event: Event) -> Vec<Delivery> {
    let mut out = vec![Vec::new()];
    fan_out(&[event], node, &mut out);
    out.remove(0)
}
