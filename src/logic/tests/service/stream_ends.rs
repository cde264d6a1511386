//! Ends of streams that a session missed: what its client was told of and its user does not follow any
//! more is asked about, and the end is told once.

use aldis_logic::job::{Followed, JobError, ReadJob, ReadReply, ReadResult, SyncPage, UserHead};
use aldis_logic::{Effect, HeadCheckTimes, Now, Service};
use aldis_wire::{Command, GroupId, Message, Seq, UserId, pb};

use crate::harness::*;

const GROUP: GroupId = GroupId(7);
/// Between checks of a session, ms.
const INTERVAL_MS: u64 = 15_000;

fn start() -> Service {
    let times = HeadCheckTimes { interval_ms: INTERVAL_MS, after_login_ms: 1_500 };
    let mut service = service(&node_with(Some(times)));
    login(&mut service, conn(1), ADA, 1);
    service
}

/// The session's check in this interval, whose answer says that the user follows these; what the service
/// does then.
fn check(service: &mut Service, interval: u64, streams: &[(GroupId, u64)]) -> Vec<Effect> {
    service.handle_turn_end(Now { mono_ms: NOW.mono_ms + interval * INTERVAL_MS, ..NOW });
    let ticket = ticket_of(&effects(service));
    let follow =
        |&(group, head)| Followed { group, start: Seq(3), head: Seq(head), cursor: Seq(0) };
    let streams = streams.iter().map(follow).collect();
    let (epochs, revoked) = Default::default();
    let head = UserHead { user: ADA, head: Seq(5), epochs, revoked, streams };
    read(service, ticket, ReadResult::Heads(vec![head]))
}

/// The streams and heads that the client is told of.
fn hints(effects: &[Effect]) -> Vec<(u64, u64)> {
    let told = frames(effects).into_iter().map(|(_, header, body)| {
        assert_eq!(header.cmd, Command::MsgPushNotify.id());
        let push = pb::MsgPushNotify::decode(body.as_slice()).unwrap();
        assert!(push.entries.is_empty());
        (push.stream, push.head)
    });
    told.collect()
}

fn asked(effects: &[Effect]) -> Option<Vec<(UserId, GroupId)>> {
    effects.iter().find_map(|effect| match effect {
        Effect::Read(request) => match &request.job {
            ReadJob::StreamEnds { asks } => Some(asks.clone()),
            other => panic!("{other:?}"),
        },
        _ => None,
    })
}

#[test]
fn the_end_of_a_stream_that_a_client_was_told_of_is_asked_for_and_told_once() {
    let mut service = start();
    assert_eq!(hints(&check(&mut service, 1, &[(GROUP, 8)])), [(GROUP.0, 8)]);
    let out = check(&mut service, 2, &[]);
    assert_eq!(asked(&out), Some(vec![(ADA, GROUP)]));
    let told = read(&mut service, ticket_of(&out), ReadResult::StreamEnds(vec![Some(Seq(9))]));
    assert_eq!(hints(&told), [(GROUP.0, 9)]);
    assert!(check(&mut service, 3, &[]).is_empty(), "it is known to be over");
    // A heartbeat names what is followed.
    let (_, out) =
        request(&mut service, conn(1), 9, Command::Heartbeat, &pb::HeartbeatReq::default());
    let resp = pb::HeartbeatResp::decode(frames(&out)[0].2.as_slice()).unwrap();
    assert!(resp.heads.is_empty());
    // Another stay is told like any.
    assert_eq!(hints(&check(&mut service, 4, &[(GROUP, 12)])), [(GROUP.0, 12)]);
    assert_eq!(asked(&check(&mut service, 5, &[])), Some(vec![(ADA, GROUP)]));
}

#[test]
fn a_stream_that_goes_on_or_could_not_be_asked_for_is_asked_for_again() {
    let mut service = start();
    check(&mut service, 1, &[(GROUP, 8)]);
    let out = check(&mut service, 2, &[]);
    assert!(read(&mut service, ticket_of(&out), ReadResult::StreamEnds(vec![None])).is_empty());
    let out = check(&mut service, 3, &[]);
    assert_eq!(asked(&out), Some(vec![(ADA, GROUP)]));
    let result = Err(JobError::Unavailable);
    service.handle_read_reply(NOW, ReadReply { ticket: ticket_of(&out), result });
    let out = check(&mut service, 4, &[]);
    assert_eq!(asked(&out), Some(vec![(ADA, GROUP)]));
    // What the client had before is no news.
    let told = read(&mut service, ticket_of(&out), ReadResult::StreamEnds(vec![Some(Seq(8))]));
    assert!(told.is_empty());
}

#[test]
fn a_client_that_has_read_a_stream_to_its_end_is_not_asked_about() {
    let mut service = start();
    check(&mut service, 1, &[(GROUP, 8)]);
    let body = pb::MsgSyncReq { stream: GROUP.0, after_seq: 9, limit: 0 };
    let (_, out) = request(&mut service, conn(1), 2, Command::MsgSync, &body);
    let page = SyncPage { stream: Some(GROUP), head: Seq(9), is_over: true, ..SyncPage::default() };
    read(&mut service, ticket_of(&out), ReadResult::Sync(page));
    assert!(check(&mut service, 2, &[]).is_empty());
}

#[test]
fn ends_of_many_streams_are_asked_for_by_several_checks() {
    let mut service = start();
    let streams: Vec<(GroupId, u64)> = (1..=100).map(|group| (GroupId(group), 4)).collect();
    assert_eq!(hints(&check(&mut service, 1, &streams)).len(), 100);
    let mut told = Vec::new();
    for _ in 0..2 {
        let out = check(&mut service, 2, &[]);
        let asked = asked(&out).unwrap();
        assert!(asked.len() <= 64, "{}", asked.len());
        let ends = vec![Some(Seq(6)); asked.len()];
        told.extend(hints(&read(&mut service, ticket_of(&out), ReadResult::StreamEnds(ends))));
    }
    told.sort_unstable();
    assert_eq!(told, streams.iter().map(|&(group, _)| (group.0, 6)).collect::<Vec<_>>());
}
