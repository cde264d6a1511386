//! Goal: of what the configuration limits, as much as may be had is had, and one more is refused with the
//! documented code, or ends the connection where time is up.

use std::time::{Duration, Instant};

use aldis_scenario::requests::{register_body, text_to};
use aldis_scenario::{RawClient, Reply, Scene, ServerOptions, frame};
use aldis_wire::limits::CONTENT_BYTES_MAX;
use aldis_wire::{Code, Command, DeviceClass, Message, pb};

/// Groups that a user may be in, or make in an hour.
const GROUPS: u8 = 3;
/// Bytes that may come at once where a second's share is small.
const BURST_BYTES: usize = 2 << 20;
/// How long a connection may take for what these tests time.
const TIME: Duration = Duration::from_secs(4);
/// Limits hold for this machine, and none but that of the test.
const COUNTED: &str = "[rates]\non_loopback = true\nsends_per_second = 0\n\
                       changes_per_second = 0\nqueries_per_second = 0\ntold_per_second = 0\n";

fn scene(config: &str) -> Scene {
    Scene::start_with(ServerOptions { config: config.into(), ..ServerOptions::default() })
}

/// A picture, or whatever has so many bytes.
fn content_to(receiver: u64, len: usize) -> pb::MsgSendReq {
    let body = text_to(receiver, "");
    pb::MsgSendReq { r#type: pb::MsgType::Image.into(), content: vec![7; len].into(), ..body }
}

fn create_group(client: &mut RawClient, number: u8) -> Reply {
    let body = pb::GroupCreateReq {
        request_id: vec![number; 16].into(),
        name: format!("group {number}"),
        member_ids: Vec::new(),
        ..Default::default()
    };
    client.call(Command::GroupCreate, &body)
}

#[test]
fn a_user_is_in_so_many_groups_and_not_in_one_more() {
    let scene = scene(&format!("[policy]\ngroups_per_user_max = {GROUPS}\n"));
    let (mut ada, _) = scene.user("ada");
    let (mut ben, ben_id) = scene.user("ben");
    let groups: Vec<u64> = (0..GROUPS)
        .map(|number| create_group(&mut ada, number).ok::<pb::GroupCreateResp>().group_id)
        .collect();
    assert_eq!(create_group(&mut ada, GROUPS).code(), Code::TooLarge);
    // Whoever is brought in is in one more as well.
    for number in 0..GROUPS {
        create_group(&mut ben, number).ok::<pb::GroupCreateResp>();
    }
    assert_eq!(ada.invite(groups[0], vec![ben_id]).code(), Code::TooLarge);
    ada.call(Command::GroupDissolve, &pb::GroupDissolveReq { group_id: groups[0] })
        .ok::<pb::GroupDissolveResp>();
    create_group(&mut ada, GROUPS + 1).ok::<pb::GroupCreateResp>();
    drop((ada, ben));
    scene.finish();
}

#[test]
fn a_user_makes_so_many_groups_in_an_hour_and_not_one_more() {
    let scene = scene(&format!("{COUNTED}groups_per_hour = {GROUPS}\n"));
    let (mut ada, _) = scene.user("ada");
    let (mut ben, _) = scene.user("ben");
    for number in 0..GROUPS {
        create_group(&mut ada, number).ok::<pb::GroupCreateResp>();
    }
    let refused = create_group(&mut ada, GROUPS);
    assert_eq!(refused.code(), Code::RateLimited);
    assert!(refused.error().retry_after_ms > 0);
    let join = pb::GroupJoinReq { group_id: 20_001, reason: String::new() };
    assert_eq!(ada.call(Command::GroupJoin, &join).code(), Code::RateLimited);
    create_group(&mut ben, 0).ok::<pb::GroupCreateResp>();
    drop((ada, ben));
    scene.finish();
}

#[test]
fn a_user_sends_so_many_bytes_and_not_many_more_by_any_connection() {
    let scene = scene(&format!("{COUNTED}kib_per_second = 1\n"));
    let (mut ada, _) = scene.user("ada");
    let (mut ben, ben_id) = scene.user("ben");
    let mut other =
        RawClient::login(scene.address(), "ada", "a password of a test", DeviceClass::Tablet);
    let first = content_to(ben_id, CONTENT_BYTES_MAX);
    ada.call(Command::MsgSend, &first).ok::<pb::MsgSendResp>();
    // What is left, but for some room for the lengths of the other fields.
    let left = BURST_BYTES - first.encoded_len() - 512;
    ada.call(Command::MsgSend, &content_to(ben_id, left.min(CONTENT_BYTES_MAX)))
        .ok::<pb::MsgSendResp>();
    // So many come again only within minutes.
    for client in [&mut other, &mut ada] {
        let refused = client.call(Command::MsgSend, &content_to(ben_id, 400 << 10));
        assert_eq!(refused.code(), Code::RateLimited);
        assert!(refused.error().retry_after_ms > 0);
        let beat = client.call(Command::Heartbeat, &pb::HeartbeatReq::default());
        assert_eq!(beat.code(), Code::Ok, "whoever is there is not taken for dead");
    }
    ben.call(Command::MsgSend, &content_to(ben_id, 400 << 10)).ok::<pb::MsgSendResp>();
    drop((ada, ben, other));
    scene.finish();
}

#[test]
fn whoever_has_not_logged_in_in_time_is_closed_and_whoever_has_is_not() {
    let scene = scene(&format!("[connection]\nlogin_s = {}\n", TIME.as_secs()));
    let (mut inside, _) = scene.user("ada");
    let connected_at = Instant::now();
    let mut stranger = RawClient::connect(scene.address());
    // What is not a login gains no time.
    let reply = stranger.call(Command::Register, &register_body("ben", "correct horse"));
    reply.ok::<pb::RegisterResp>();
    assert!(stranger.is_closed_silently());
    assert!(connected_at.elapsed() >= TIME, "it has its time");
    inside.call(Command::Heartbeat, &pb::HeartbeatReq::default()).ok::<pb::HeartbeatResp>();
    drop((inside, stranger));
    scene.finish();
}

#[test]
fn a_frame_that_is_not_complete_in_time_ends_its_connection_and_one_that_is_does_not() {
    let scene = scene(&format!("[connection]\nframe_s = {}\n", TIME.as_secs()));
    let (mut slow, _) = scene.user("ada");
    let (mut quick, _) = scene.user("ben");
    let beat = frame(Command::Heartbeat.id(), 9, &pb::HeartbeatReq::default().encode_to_vec());
    let (head, tail) = beat.split_at(beat.len() / 2);
    for client in [&mut slow, &mut quick] {
        client.send_bytes(head);
    }
    let began_at = Instant::now();
    quick.send_bytes(tail);
    assert_eq!(quick.response(9).code(), Code::Ok);
    assert!(slow.is_closed_silently());
    assert!(began_at.elapsed() >= TIME / 2, "it has its time");
    quick.call(Command::Heartbeat, &pb::HeartbeatReq::default()).ok::<pb::HeartbeatResp>();
    drop((slow, quick));
    scene.finish();
}
