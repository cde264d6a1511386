//! Who is there: those who ask are told what the directory says of those whom they may see, those who
//! watch hear of changes, each once, and nobody watches after the end of a session.

use std::sync::Arc;

use aldis_logic::job::{
    LocateReply, LocateRequest, NodeId, ReadJob, ReadResult, SessionRecord, Ticket, WriteJob,
};
use aldis_logic::{Effect, Hints, Now, PeerMail, Service};
use aldis_wire::{Code, Command, DeviceClass, Epoch, Message, UserId, pb};

use crate::harness::{
    ADA, BEN, NOW, all_effects, conn, effects, frames, login, node, read, request, service,
    ticket_of,
};

fn later(ms: u64) -> Now {
    Now { mono_ms: NOW.mono_ms + ms, ..NOW }
}

fn on_node_9(user: UserId, class: DeviceClass) -> SessionRecord {
    SessionRecord { user, class, epoch: Epoch(1), node: NodeId(9), boot: Default::default() }
}

fn located(service: &mut Service, now: Now, ticket: Ticket, at: &[SessionRecord]) -> Vec<Effect> {
    let reply = LocateReply { ticket, sessions: at.to_vec(), unknown: Vec::new() };
    service.handle_locate_reply(now, &reply);
    effects(service)
}

/// What is asked of the directory.
fn asked(out: &[Effect]) -> Option<&LocateRequest> {
    out.iter().find_map(|effect| match effect {
        Effect::Locate(request) => Some(request),
        _ => None,
    })
}

fn turn(service: &mut Service, now: Now) -> Vec<Effect> {
    service.handle_turn_end(now);
    all_effects(service)
}

/// A session of Ada's that watches Ben, who is there with a phone.
fn watching(service: &mut Service) {
    login(service, conn(1), ADA, 1);
    let body = pb::PresenceSubscribeReq { user_ids: vec![BEN.0, 0, BEN.0] };
    let (_, out) = request(service, conn(1), 2, Command::PresenceSubscribe, &body);
    let pairs_of = |request: &aldis_logic::job::ReadRequest| match &request.job {
        ReadJob::Sight { pairs } => pairs.clone(),
        other => panic!("{other:?}"),
    };
    assert!(matches!(&out[..], [Effect::Read(r)] if pairs_of(r) == [(ADA, BEN)]), "{out:?}");
    let ticket = ticket_of(&out);
    let out = read(service, ticket, ReadResult::Sight(vec![Some(7)]));
    assert_eq!(asked(&out).unwrap().users, [BEN]);
    let out = located(service, NOW, ticket, &[on_node_9(BEN, DeviceClass::Phone)]);
    let sent = frames(&out);
    let resp = pb::PresenceSubscribeResp::decode(sent[0].2.as_slice()).unwrap();
    assert_eq!((resp.users[0].user_id, &resp.users[0].online[..]), (BEN.0, &[1][..]));
}

fn hint(service: &mut Service, now: Now, came: &[UserId], left: &[UserId]) {
    let hints = Hints { came: came.to_vec(), left: left.to_vec() };
    service.handle_peer(now, PeerMail::Hints(Arc::new(hints)));
}

/// The notifications among effects.
fn told(out: &[Effect]) -> Vec<(u64, usize)> {
    let sent = frames(out).into_iter();
    let told = sent.filter(|(_, header, _)| header.cmd == Command::PresenceNotify.id());
    let users = told.flat_map(|(_, _, body)| pb::PresenceNotify::decode(&body[..]).unwrap().users);
    users.map(|info| (info.user_id, info.online.len())).collect()
}

#[test]
fn who_has_left_is_looked_for_after_a_while_and_told_to_who_may_see_it() {
    let node = node();
    let mut service = service(&node);
    watching(&mut service);
    hint(&mut service, later(10), &[], &[BEN]);
    assert!(asked(&turn(&mut service, later(10))).is_none(), "not yet");
    let at = later(10 + 3_000);
    assert_eq!(service.poll_timeout().map(|at_ms| at_ms <= at.mono_ms), Some(true));
    let out = turn(&mut service, at);
    let ticket = asked(&out).unwrap().ticket;
    let out = located(&mut service, at, ticket, &[]);
    assert!(told(&out).is_empty(), "it is asked first who may see it");
    let out = turn(&mut service, at);
    let ticket = ticket_of(&out);
    let out = read(&mut service, ticket, ReadResult::Sight(vec![Some(99)]));
    assert_eq!(told(&out), [(BEN.0, 0)]);
    // Back again, and Ada may not see it any more.
    let at = later(60_000);
    hint(&mut service, at, &[BEN], &[]);
    let out = turn(&mut service, at);
    let ticket = asked(&out).unwrap().ticket;
    located(&mut service, at, ticket, &[on_node_9(BEN, DeviceClass::Web)]);
    let out = turn(&mut service, at);
    let ticket = ticket_of(&out);
    assert!(told(&read(&mut service, ticket, ReadResult::Sight(vec![None]))).is_empty());
}

#[test]
fn nobody_watches_after_the_end_of_a_session() {
    let node = node();
    let mut service = service(&node);
    watching(&mut service);
    login(&mut service, conn(2), BEN, 1);
    let body = pb::PresenceSubscribeReq { user_ids: vec![BEN.0] };
    let (_, out) = request(&mut service, conn(2), 2, Command::PresenceSubscribe, &body);
    let ticket = ticket_of(&out);
    let out = read(&mut service, ticket, ReadResult::Sight(vec![Some(7)]));
    let ticket = asked(&out).unwrap().ticket;
    located(&mut service, NOW, ticket, &[]);
    turn(&mut service, later(4));
    service.handle_closed(later(205), conn(1));
    let out = turn(&mut service, later(205));
    // Ada's own end is told to the others, and stored with that of others a little later.
    let hints = out.iter().find_map(|effect| match effect {
        Effect::Hints(hints) => Some(hints.clone()),
        _ => None,
    });
    assert!(hints.is_some_and(|hints| hints.left == [ADA]), "{out:?}");
    service.handle_closed(later(205), conn(2));
    hint(&mut service, later(205), &[BEN], &[BEN]);
    let out = turn(&mut service, later(10_000));
    assert!(asked(&out).is_none(), "{out:?}");
    let seen = out.iter().any(|effect| match effect {
        Effect::Write(request) => {
            matches!(&request.job, WriteJob::NoteSeen { users } if users[0].0 == ADA)
        }
        _ => false,
    });
    assert!(seen, "{out:?}");
}

#[test]
fn too_many_users_are_refused_and_nothing_is_kept_of_it() {
    let node = node();
    let mut service = service(&node);
    login(&mut service, conn(1), ADA, 1);
    let body = pb::PresenceQueryReq { user_ids: (1..=201).collect() };
    let (_, out) = request(&mut service, conn(1), 2, Command::PresenceQuery, &body);
    assert_eq!(Code::from_u16(frames(&out)[0].1.code), Some(Code::TooLarge));
    assert!(service.is_idle());
}
