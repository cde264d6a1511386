//! How often one user may ask: what is too much is refused with the time to wait, and a message that is
//! refused holds up those behind it.

use aldis_logic::job::{Appended, ReadResult, Written};
use aldis_logic::{Admit, Effect, MemoryLevel, Node, NodeConfig, Rate, Rates, Service};
use aldis_wire::{Code, Command, ConvSeq, Message, MsgId, Seq, pb};

use crate::harness::{
    ADA, ADDRESS, NOW, config, conn, frames, login, login_body, node, node_from, read, request,
    send_body, service, ticket_of, written,
};

fn limited() -> std::sync::Arc<Node> {
    let sends = Rate { per_s: 1, burst: 2 };
    let queries = Rate { per_s: 1, burst: 1 };
    let rates = Rates { sends, queries, on_loopback: true, ..Rates::default() };
    node_from(NodeConfig { rates, ..config() })
}

/// The code of an answer that was given at once; `None`: a job was started.
fn code(out: &[Effect]) -> Option<Code> {
    let sent = frames(out);
    let (_, header, body) = sent.first()?;
    let code = Code::from_u16(header.code).unwrap();
    if code == Code::RateLimited {
        assert!(pb::Error::decode(body.as_slice()).unwrap().retry_after_ms > 0);
    }
    Some(code)
}

fn send(service: &mut Service, id: u8) -> Option<Code> {
    let (_, out) = request(service, conn(1), id.into(), Command::MsgSend, &send_body(id));
    code(&out)
}

#[test]
fn a_message_that_comes_too_soon_holds_up_those_behind_it() {
    let node = limited();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    assert_eq!((send(&mut service, 2), send(&mut service, 3)), (None, None));
    assert_eq!(send(&mut service, 4), Some(Code::RateLimited));
    assert_eq!(send(&mut service, 5), Some(Code::Unavailable), "it would overtake the fourth");
    assert_eq!(send(&mut service, 4), Some(Code::RateLimited), "still too soon");
    assert_eq!(send(&mut service, 5), Some(Code::Unavailable));
}

#[test]
fn kinds_are_counted_apart_and_heartbeats_not_at_all() {
    let node = limited();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    let mut ask = |seq, command| {
        let (_, out) = request(&mut service, conn(1), seq, command, &pb::HeartbeatReq::default());
        code(&out)
    };
    assert_eq!(ask(2, Command::GroupList), None);
    assert_eq!(ask(3, Command::GroupList), Some(Code::RateLimited));
    assert_eq!(ask(4, Command::Heartbeat), Some(Code::Ok));
    assert_eq!(ask(5, Command::RefreshToken), Some(Code::Ok));
    assert_eq!(send(&mut service, 6), None);
}

#[test]
fn tools_of_the_same_machine_are_not_limited_unless_that_is_wanted() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    for id in 0..2_000u32 {
        let body = send_body((id % 250) as u8);
        let (_, out) = request(&mut service, conn(1), id + 2, Command::MsgSend, &body);
        let ticket = ticket_of(&out);
        let appended = Appended { msg_id: MsgId(1), seq: Seq(6), conv_seq: ConvSeq(1), time_ms: 1 };
        written(&mut service, ticket, Written::Appended(appended));
    }
}

#[test]
fn a_connection_has_as_many_requests_in_flight_as_it_was_told() {
    let node =
        node_from(NodeConfig { rates: Rates { in_flight: 2, ..Rates::default() }, ..config() });
    let mut service = service(&node);
    let told = login(&mut service, conn(1), ADA, 1);
    assert_eq!(told.limits.unwrap().pipelined_requests_max, 2);
    let mut ask =
        |seq| request(&mut service, conn(1), seq, Command::GroupList, &pb::GroupListReq::default());
    let (_, first) = ask(2);
    assert_eq!(ask(3).0, Admit::Taken);
    assert_eq!(ask(4).0, Admit::Wait, "one more is not read");
    let out = read(&mut service, ticket_of(&first), ReadResult::Groups(Default::default()));
    assert!(out.iter().any(|effect| matches!(effect, Effect::Resume { .. })), "{out:?}");
}

#[test]
fn a_node_short_of_memory_serves_those_who_are_in_and_lets_nobody_else_in() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    service.handle_open(NOW, conn(2), ADDRESS);
    node.memory.set(MemoryLevel::Short);
    assert!(service.admits(NOW, ADDRESS));
    let (_, out) = request(&mut service, conn(2), 1, Command::Login, &login_body());
    assert_eq!(code(&out), Some(Code::Busy));
    let lists = pb::GroupListReq::default();
    let (_, out) = request(&mut service, conn(1), 2, Command::GroupList, &lists);
    assert_eq!(code(&out), Some(Code::Busy));
    node.memory.set(MemoryLevel::Spent);
    assert!(!service.admits(NOW, ADDRESS));
    assert_eq!(send(&mut service, 3), None, "it is stored");
    let sync = pb::MsgSyncReq::default();
    assert_eq!(code(&request(&mut service, conn(1), 4, Command::MsgSync, &sync).1), None);
    node.memory.set(MemoryLevel::Plenty);
    assert!(service.admits(NOW, ADDRESS));
    let (_, out) = request(&mut service, conn(2), 5, Command::Login, &login_body());
    assert_eq!(code(&out), None, "it begins");
}
