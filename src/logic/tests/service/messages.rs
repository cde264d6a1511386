//! Messages: acks, order after failures, slow readers, waiting for room.

use aldis_logic::job::{
    Appended, FailedSend, JobError, LoginState, ReactorId, ReadJob, ReadReply, ReadRequest,
    ReadResult, UserHead, WriteReply, Written,
};
use aldis_logic::{Admit, CreditLimits, Effect, Goodbye, Lane, Now, Online, Service};
use aldis_wire::{
    ClientMsgId, Code, Command, ConnId, ConvSeq, ConversationKey, DeviceClass, Epoch, Message,
    MsgId, Seq, UserId, pb,
};

use crate::harness::*;

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
    assert!(matches!(&out[..], [Effect::Read(r)] if asks_heads_of(r, ADA)), "{out:?}");
    let ticket = ticket_of(&out);
    let heads = vec![UserHead {
        revoked: Default::default(),
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
        revoked: Default::default(),
        user: ADA,
        head: Seq(12),
        epochs: [(DeviceClass::Phone, Epoch(2))].into_iter().collect(),
    }];
    let sent = frames(&read(&mut service, ticket, ReadResult::Heads(heads)));
    assert_eq!(sent[0].1.cmd, Command::KickNotify.id());
}

#[test]
fn a_send_does_not_overtake_those_that_a_failure_will_refuse() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    login(&mut service, conn(2), BEN, 1);
    let (_, out) = request(&mut service, conn(1), 2, Command::MsgSend, &send_body(1));
    let first = ticket_of(&out);
    // The service hears of a failure by somebody else's request.
    let (_, out) = request(&mut service, conn(2), 2, Command::MsgSend, &send_body(1));
    let unavailable = |ticket| WriteReply {
        ticket,
        fence: 1,
        result: Err(JobError::Unavailable),
        failed_send: Some(FailedSend {
            conversation: ConversationKey::direct(ADA, BEN),
            client_msg_id: ClientMsgId([1; 16]),
        }),
    };
    service.handle_write_reply(NOW, unavailable(ticket_of(&out)));
    effects(&mut service);
    let (admit, out) = request(&mut service, conn(1), 3, Command::MsgSend, &send_body(2));
    assert!(admit == Admit::Wait && out.is_empty(), "{out:?}");
    service.handle_write_reply(NOW, unavailable(first));
    let out = effects(&mut service);
    assert!(out.iter().any(|effect| matches!(effect, Effect::Resume { .. })), "{out:?}");
    let (admit, out) = request(&mut service, conn(1), 3, Command::MsgSend, &send_body(2));
    assert_eq!(admit, Admit::Taken);
    assert_eq!(frames(&out)[0].1.code, Code::Unavailable.as_u16());
}

#[test]
fn after_an_outage_all_sessions_are_checked_on_every_reactor() {
    let node = node();
    let (mut service, mut other) = (service(&node), service(&node));
    login(&mut service, conn(1), ADA, 1);
    login(&mut other, conn(2), BEN, 1);
    let (_, out) = request(&mut service, conn(1), 2, Command::MsgSend, &send_body(1));
    let ticket = ticket_of(&out);
    let result = Err(JobError::Unavailable);
    service.handle_write_reply(NOW, WriteReply { ticket, fence: 1, result, failed_send: None });
    service.handle_turn_end(NOW);
    other.handle_turn_end(NOW);
    assert!(effects(&mut other).is_empty(), "it is not over");
    effects(&mut service);
    let (_, out) = request(&mut service, conn(1), 3, Command::MsgSend, &send_body(1));
    let appended = Appended { msg_id: MsgId(3), seq: Seq(6), conv_seq: ConvSeq(1), time_ms: 9 };
    written(&mut service, ticket_of(&out), Written::Appended(appended));
    other.handle_turn_end(NOW);
    let out = effects(&mut other);
    assert!(matches!(&out[..], [Effect::Read(r)] if asks_heads_of(r, BEN)), "{out:?}");
    other.handle_turn_end(NOW);
    assert!(effects(&mut other).is_empty(), "once");
}

#[test]
fn a_head_check_that_the_store_does_not_answer_is_made_again() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    service.handle_missed(NOW, &[conn(1)]);
    service.handle_turn_end(NOW);
    let ticket = ticket_of(&effects(&mut service));
    let reply = ReadReply { ticket, result: Err(JobError::Unavailable) };
    service.handle_read_reply(NOW, reply);
    service.handle_turn_end(NOW);
    assert!(effects(&mut service).is_empty(), "not at once");
    let later = Now { mono_ms: NOW.mono_ms + 100, ..NOW };
    service.handle_turn_end(later);
    let out = effects(&mut service);
    assert!(matches!(&out[..], [Effect::Read(r)] if asks_heads_of(r, ADA)), "{out:?}");
}

#[test]
fn a_login_that_missed_a_delivery_is_checked_too() {
    let node = node();
    let mut service = service(&node);
    let login_ticket = login_until_state(&mut service, conn(1), ADA, 1);
    service.handle_missed(NOW, &[conn(1)]);
    service.handle_turn_end(NOW);
    let ticket = ticket_of(&effects(&mut service));
    let heads = vec![UserHead {
        revoked: Default::default(),
        user: ADA,
        head: Seq(12),
        epochs: [(DeviceClass::Phone, Epoch(1))].into_iter().collect(),
    }];
    assert!(read(&mut service, ticket, ReadResult::Heads(heads)).is_empty());
    // It had read its head before.
    let state = LoginState { head: Seq(11), ..Default::default() };
    let sent = frames(&read(&mut service, login_ticket, ReadResult::LoginState(state)));
    let resp = pb::LoginResp::decode(sent[0].2.as_slice()).unwrap();
    assert_eq!(resp.heads[0].head, 12);
}

#[test]
fn a_session_that_missed_that_it_was_replaced_is_kicked() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    let newer =
        Online { reactor: ReactorId(1), conn: conn(1), class: DeviceClass::Phone, epoch: Epoch(2) };
    node.table.enter(ADA, newer);
    service.handle_missed(NOW, &[conn(1)]);
    let sent = frames(&effects(&mut service));
    assert_eq!(sent[0].1.cmd, Command::KickNotify.id());
    assert!(node.table.has(ADA, newer));
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

fn asks_heads_of(request: &ReadRequest, user: UserId) -> bool {
    matches!(&request.job, ReadJob::Heads { users } if users[..] == [user])
}

#[test]
fn a_check_that_the_store_did_not_answer_wakes_the_service_later() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    assert_eq!(service.poll_timeout(), None);
    service.handle_missed(NOW, &[conn(1)]);
    service.handle_turn_end(NOW);
    let ticket = ticket_of(&effects(&mut service));
    assert_eq!(service.poll_timeout(), None, "the answer is a turn of its own");
    service.handle_read_reply(NOW, ReadReply { ticket, result: Err(JobError::Unavailable) });
    service.handle_turn_end(NOW);
    let retry_at_ms = service.poll_timeout().expect("a later turn");
    assert!(retry_at_ms > NOW.mono_ms && effects(&mut service).is_empty());
    service.handle_turn_end(Now { mono_ms: retry_at_ms, ..NOW });
    let out = effects(&mut service);
    assert!(matches!(&out[..], [Effect::Read(r)] if asks_heads_of(r, ADA)), "{out:?}");
}
