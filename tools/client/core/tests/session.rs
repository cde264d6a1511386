//! Sessions and connections: login, kick, goaway, silence. The core against a scripted server.

use super::*;

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
fn secrets_are_not_in_debug_output() {
    let rig = Rig::online(4);
    let text = format!("{:?}", rig.core);
    assert!(!text.contains("secret-1") && !text.contains("token-1"), "{text}");
}
