//! Sends and requests: order, retries, limits. The core against a scripted server.

use super::*;

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
