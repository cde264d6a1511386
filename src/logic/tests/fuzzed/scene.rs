//! What the fuzzed tests of the logic start from: a node, a service with one open session.

use std::net::{IpAddr, Ipv4Addr};

use aldis_logic::job::{
    Credentials, DirectoryReply, Generations, HashReply, HashResult, LoginState, ReactorId,
    ReadReply, ReadResult, Registration, SessionOpened, Ticket, WriteReply, Written,
};
use aldis_logic::{CreditLimits, Effect, Now, Service};
use aldis_wire::{Command, ConnId, DeviceClass, Epoch, Frame, Header, Message, UserId, pb};

#[path = "../common/mod.rs"]
mod common;

pub use common::{config, node_from};

pub const NOW: Now = Now { mono_ms: 1_000, unix_ms: 1_800_000_000_000 };
pub const ADA: UserId = UserId(10_001);
/// The connection of ADA's session.
pub const ONLINE: ConnId = ConnId { index: 0, generation: 1 };
/// One without a session.
pub const FRESH: ConnId = ConnId { index: 1, generation: 1 };

/// A service with the two connections.
pub fn service() -> Service {
    let mut service = Service::new(node_from(config()), ReactorId(0), CreditLimits::default());
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    service.handle_open(NOW, ONLINE, address);
    service.handle_open(NOW, FRESH, address);
    log_in(&mut service);
    service
}

/// All that the service wants done.
pub fn effects(service: &mut Service) -> Vec<Effect> {
    service.invariants();
    std::iter::from_fn(|| service.poll_effect()).collect()
}

/// The job's ticket, if the effect is one.
pub fn ticket_of(effect: &Effect) -> Option<Ticket> {
    match effect {
        Effect::Write(request) => Some(request.ticket),
        Effect::Read(request) => Some(request.ticket),
        Effect::Hash(request) => Some(request.ticket),
        Effect::Directory(request) => Some(request.ticket),
        Effect::Locate(request) => Some(request.ticket),
        Effect::Attempt(request) => Some(request.ticket),
        _ => None,
    }
}

fn log_in(service: &mut Service) {
    let body = pb::LoginReq {
        username: "ada".into(),
        password: "correct horse".into(),
        device_id: "phone".into(),
        device_class: DeviceClass::Phone.number() as i32,
        ..Default::default()
    };
    let body = body.encode_to_vec();
    let header = Header { cmd: Command::Login.id(), code: 0, seq: 1, len: body.len() as u32 };
    service.handle_frame(NOW, ONLINE, Frame { header, body: &body });
    let ticket = effects(service).iter().find_map(ticket_of).expect("the account is looked up");
    let read = |result| ReadReply { ticket, result: Ok(result) };
    let credentials = Credentials { user: ADA, password_phc: "phc".into() };
    service.handle_read_reply(NOW, read(ReadResult::Credentials(Some(credentials))));
    service.handle_hash_reply(NOW, HashReply { ticket, result: HashResult::Verified(true) });
    let opened = SessionOpened {
        user: ADA,
        class: DeviceClass::Phone,
        epoch: Epoch(1),
        before: Epoch(0),
        generations: Generations::default(),
    };
    let result = Ok(Written::SessionOpened(opened));
    service.handle_write_reply(NOW, WriteReply { ticket, fence: 0, result, failed_send: None });
    let registration = Registration::Live { replaced: None };
    service.handle_directory_reply(NOW, DirectoryReply { ticket, registration });
    service.handle_read_reply(NOW, read(ReadResult::LoginState(LoginState::default())));
    let is_open = |effect: &Effect| matches!(effect, Effect::LoggedIn { conn: ONLINE });
    assert!(effects(service).iter().any(is_open), "the session is open");
}
