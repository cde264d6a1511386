//! Attempts at passwords, where all nodes count them together: what the directory says decides before
//! anything is looked up or hashed, and where it says nothing the node's own count does.

use std::sync::Arc;

use aldis_logic::job::{
    Account, AttemptJob, AttemptReply, AttemptRequest, HashReply, HashResult, ReadJob, ReadReply,
    ReadResult, Ticket, Verdict,
};
use aldis_logic::{Attempt, Effect, Node, NodeConfig, Service};
use aldis_wire::{Code, Command, Message, pb};
use bytes::Bytes;

use crate::harness::*;

fn shared() -> (Arc<Node>, Service) {
    let node = node_from(NodeConfig { shares_attempts: true, ..config() });
    let service = service(&node);
    (node, service)
}

/// The attempt that is asked about.
fn asked(effects: &[Effect]) -> (Ticket, Attempt) {
    let [Effect::Attempt(AttemptRequest { ticket, job: AttemptJob::Begin(attempt) })] = effects
    else {
        panic!("{effects:?}")
    };
    (*ticket, attempt.clone())
}

fn settle(service: &mut Service, ticket: Ticket, verdict: Verdict) -> Vec<Effect> {
    service.handle_attempt_reply(NOW, AttemptReply { ticket, verdict });
    effects(service)
}

fn refused(effects: &[Effect]) -> (Code, u32) {
    let sent = frames(effects);
    let body = pb::Error::decode(sent[0].2.as_slice()).unwrap();
    (Code::from_u16(sent[0].1.code).unwrap(), body.retry_after_ms)
}

#[test]
fn a_login_waits_for_what_other_nodes_counted() {
    let (_, mut service) = shared();
    service.handle_open(NOW, conn(1), ADDRESS);
    for verdict in [Verdict::Counted, Verdict::Unknown] {
        let (_, out) = request(&mut service, conn(1), 1, Command::Login, &login_body());
        let (ticket, attempt) = asked(&out);
        assert_eq!(attempt, Attempt::password("ada", ADDRESS));
        let out = settle(&mut service, ticket, verdict);
        let [Effect::Read(read)] = &out[..] else { panic!("{out:?}") };
        assert!(matches!(read.job, ReadJob::Credentials { .. }));
        let result = Ok(ReadResult::Credentials(None));
        service.handle_read_reply(NOW, ReadReply { ticket, result });
        effects(&mut service);
        service.handle_hash_reply(NOW, HashReply { ticket, result: HashResult::Verified(true) });
        let out = effects(&mut service);
        let forgiven = AttemptJob::Forgive(attempt);
        assert!(matches!(&out[0], Effect::Attempt(request) if request.job == forgiven), "{out:?}");
        service.handle_closed(NOW, conn(1));
        effects(&mut service);
        service.handle_open(NOW, conn(1), ADDRESS);
    }
}

#[test]
fn a_refused_attempt_is_refused_here_until_its_time_and_is_not_counted() {
    let (node, mut service) = shared();
    service.handle_open(NOW, conn(1), ADDRESS);
    for _ in 0..20 {
        let (_, out) = request(&mut service, conn(1), 1, Command::Login, &login_body());
        let (ticket, attempt) = asked(&out);
        let out = settle(&mut service, ticket, Verdict::Wait(4_000));
        assert_eq!(refused(&out), (Code::RateLimited, 4_000));
        let (_, out) = request(&mut service, conn(1), 2, Command::Login, &login_body());
        assert_eq!(refused(&out), (Code::RateLimited, 4_000), "the directory is not asked again");
        node.throttle.lock().succeeded(&attempt);
    }
    assert!(service.is_idle());
}

#[test]
fn a_registration_and_a_change_of_password_are_attempts_as_well() {
    let (node, mut service) = shared();
    service.handle_open(NOW, conn(1), ADDRESS);
    let body = pb::RegisterReq {
        username: "ben".into(),
        password: "a long password".into(),
        request_id: Bytes::copy_from_slice(&[9; 16]),
        ..Default::default()
    };
    let (_, out) = request(&mut service, conn(1), 1, Command::Register, &body);
    let (ticket, attempt) = asked(&out);
    assert_eq!(attempt, Attempt::registration(ADDRESS));
    assert_eq!(
        refused(&settle(&mut service, ticket, Verdict::Wait(2_000))),
        (Code::RateLimited, 2_000)
    );
    login(&mut service, conn(2), ADA, 1);
    let body = pb::ChangePasswordReq {
        old_password: "a long password".into(),
        new_password: "another password".into(),
    };
    for verdict in [Verdict::Wait(3_000), Verdict::Counted] {
        let (_, out) = request(&mut service, conn(2), 5, Command::ChangePassword, &body);
        let ticket = ticket_of(&out);
        let account = Account { username: "ada".into(), password_phc: "phc".into() };
        service
            .handle_read_reply(NOW, ReadReply { ticket, result: Ok(ReadResult::Account(account)) });
        let (ticket, attempt) = asked(&effects(&mut service));
        let out = settle(&mut service, ticket, verdict);
        match verdict {
            Verdict::Counted => assert!(matches!(out[..], [Effect::Hash(_)]), "{out:?}"),
            _ => assert_eq!(refused(&out), (Code::RateLimited, 3_000)),
        }
        node.throttle.lock().succeeded(&attempt);
    }
}
