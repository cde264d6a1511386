//! Sessions: logging in, being replaced, what may be said when.

use aldis_logic::job::{
    Credentials, HashReply, HashResult, JobError, LoginState, ReadResult, WriteJob, WriteReply,
    WriteRequest, Written,
};
use aldis_logic::{Admit, Effect, Goodbye, Now, PeerMail};
use aldis_wire::limits::LOGIN_MS_MAX;
use aldis_wire::{Code, Command, ConnId, DeviceClass, Epoch, Frame, Header, Message, Seq, pb};

use crate::harness::*;

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
fn the_store_learns_when_a_login_came_however_long_the_password_took() {
    let node = node();
    let mut service = service(&node);
    service.handle_open(NOW, conn(1), ADDRESS);
    let (_, out) = request(&mut service, conn(1), 1, Command::Login, &login_body());
    let ticket = ticket_of(&out);
    let credentials = Credentials { user: ADA, password_phc: "phc".into() };
    read(&mut service, ticket, ReadResult::Credentials(Some(credentials)));
    let later = Now { mono_ms: NOW.mono_ms + LOGIN_MS_MAX + 1, ..NOW };
    service.handle_hash_reply(later, HashReply { ticket, result: HashResult::Verified(true) });
    let out = effects(&mut service);
    let [Effect::Write(WriteRequest { job: WriteJob::OpenSession(open), .. })] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(open.asked_ms, NOW.mono_ms);
    assert!(open.is_too_late(later) && !open.is_too_late(NOW));
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
    let out = written(&mut service, ticket, Written::SessionOpened(opened(ADA, 2)));
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
