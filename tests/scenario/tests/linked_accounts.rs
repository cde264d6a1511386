//! Goal: what users do to their own accounts holds on every node: a device that is revoked and all others
//! after a change of the password are out, at once where nodes can tell each other, and otherwise with the
//! next head check; a profile is told to one's other devices.

use std::time::{Duration, Instant};

use aldis_scenario::requests::login_body;
use aldis_scenario::{Cluster, NodeOptions, RawClient, Server, next_entry};
use aldis_services::MariaDb;
use aldis_wire::{Code, Command, DeviceClass, Message, pb};

const PASSWORD: &str = "a password of a test";
const OTHER: &str = "another password of a test";
/// Each session is compared with the store every 15 s, and a slow machine takes its time.
const HEAD_CHECK_MAX: Duration = Duration::from_secs(25);

/// A session, with the body of its LOGIN_RESP.
fn enter(node: &Server, name: &str, class: DeviceClass) -> (RawClient, pb::LoginResp) {
    let mut client = RawClient::connect(node.address());
    let resp = client.call(Command::Login, &login_body(name, PASSWORD, class)).ok();
    (client, resp)
}

fn by_token(node: &Server, token: &str, class: DeviceClass) -> Code {
    let body = pb::LoginReq {
        token: token.into(),
        device_id: format!("scenario-{}", class.number()),
        device_class: class.number() as i32,
        ..Default::default()
    };
    RawClient::connect(node.address()).call(Command::Login, &body).code()
}

fn expect_revoked(client: &mut RawClient) {
    let kick: pb::KickNotify = client.notification(Command::KickNotify).decode();
    assert_eq!(kick.reason(), pb::KickReason::Revoked);
    assert!(client.is_closed_silently());
}

fn devices(client: &mut RawClient) -> Vec<(String, bool, bool)> {
    let found: pb::DeviceListResp = client.call(Command::DeviceList, &pb::DeviceListReq {}).ok();
    let of = |device: pb::DeviceInfo| (device.device_id, device.is_online, device.is_this);
    found.devices.into_iter().map(of).collect()
}

fn revoke(client: &mut RawClient, class: DeviceClass) -> Code {
    let device_id = format!("scenario-{}", class.number());
    client.call(Command::DeviceRevoke, &pb::DeviceRevokeReq { device_id }).code()
}

#[test]
fn a_revoked_device_is_out_on_the_other_node_at_once() {
    let cluster = Cluster::start(2);
    RawClient::register(cluster.nodes[0].address(), "ada", PASSWORD);
    let (mut phone, resp) = enter(&cluster.nodes[1], "ada", DeviceClass::Phone);
    let (mut web, _) = enter(&cluster.nodes[1], "ada", DeviceClass::Web);
    let (mut desktop, _) = enter(&cluster.nodes[0], "ada", DeviceClass::Desktop);
    let listed = devices(&mut desktop);
    assert_eq!(listed[0], ("scenario-3".into(), true, true), "the last login first");
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|(_, is_online, _)| *is_online));
    let began = Instant::now();
    assert_eq!(revoke(&mut desktop, DeviceClass::Phone), Code::Ok);
    assert_eq!(by_token(&cluster.nodes[1], &resp.token, DeviceClass::Phone), Code::BadCredentials);
    expect_revoked(&mut phone);
    println!("out after {:?}", began.elapsed());
    let listed = devices(&mut desktop);
    let phone = listed.iter().find(|(id, ..)| id == "scenario-1").expect("it is still listed");
    assert!(!phone.1, "{listed:?}");
    assert_eq!(revoke(&mut desktop, DeviceClass::Phone), Code::Ok, "a repeat");
    assert_eq!(revoke(&mut desktop, DeviceClass::Tablet), Code::NotFound);
    // With the password it is a device again, and the others were left alone.
    let (mut phone, _) = enter(&cluster.nodes[1], "ada", DeviceClass::Phone);
    for client in [&mut phone, &mut web, &mut desktop] {
        assert_eq!(client.call(Command::Heartbeat, &pb::HeartbeatReq::default()).code(), Code::Ok);
    }
    cluster.assert_quiet();
}

#[test]
fn a_revoked_device_is_out_within_a_head_check_where_nodes_cannot_tell_each_other() {
    let url = MariaDb::shared().fresh_database();
    let nodes = [1, 2].map(|id| NodeOptions::new(id, &url).start());
    RawClient::register(nodes[0].address(), "ada", PASSWORD);
    let (mut phone, _) = enter(&nodes[1], "ada", DeviceClass::Phone);
    let (mut desktop, _) = enter(&nodes[0], "ada", DeviceClass::Desktop);
    let began = Instant::now();
    assert_eq!(revoke(&mut desktop, DeviceClass::Phone), Code::Ok);
    expect_revoked(&mut phone);
    let took = began.elapsed();
    println!("out after {took:?}");
    assert!(took < HEAD_CHECK_MAX, "{took:?}");
}

#[test]
fn another_password_ends_all_sessions_but_the_one_that_set_it() {
    let cluster = Cluster::start(2);
    let id = RawClient::register(cluster.nodes[0].address(), "ada", PASSWORD);
    let (mut phone, resp) = enter(&cluster.nodes[1], "ada", DeviceClass::Phone);
    let (mut web, _) = enter(&cluster.nodes[0], "ada", DeviceClass::Web);
    let (mut desktop, desktop_resp) = enter(&cluster.nodes[0], "ada", DeviceClass::Desktop);
    let change =
        |old: &str| pb::ChangePasswordReq { old_password: old.into(), new_password: OTHER.into() };
    let wrong = desktop.call(Command::ChangePassword, &change(OTHER));
    assert_eq!(wrong.code(), Code::BadCredentials);
    let fresh: pb::ChangePasswordResp =
        desktop.call(Command::ChangePassword, &change(PASSWORD)).ok();
    expect_revoked(&mut phone);
    expect_revoked(&mut web);
    let node = &cluster.nodes[1];
    assert_eq!(by_token(node, &resp.token, DeviceClass::Phone), Code::BadCredentials);
    assert_eq!(by_token(node, &desktop_resp.token, DeviceClass::Desktop), Code::BadCredentials);
    let repeat = desktop.call(Command::ChangePassword, &change(PASSWORD));
    assert_eq!(repeat.code(), Code::BadCredentials, "the old one is not the password any more");
    let old = login_body("ada", PASSWORD, DeviceClass::Phone);
    assert_eq!(
        RawClient::connect(node.address()).call(Command::Login, &old).code(),
        Code::BadCredentials
    );
    let new = login_body("ada", OTHER, DeviceClass::Phone);
    let again: pb::LoginResp = RawClient::connect(node.address()).call(Command::Login, &new).ok();
    assert_eq!(again.user_id, id);
    // The session goes on, and its new token holds.
    let refreshed = desktop.call(Command::RefreshToken, &pb::RefreshTokenReq {});
    assert_eq!(refreshed.code(), Code::Ok);
    assert_eq!(by_token(node, &fresh.token, DeviceClass::Desktop), Code::Ok);
    cluster.assert_quiet();
}

#[test]
fn guesses_at_the_old_password_are_slowed_down_like_those_at_a_login() {
    let cluster = Cluster::start(1);
    RawClient::register(cluster.nodes[0].address(), "ada", PASSWORD);
    let (mut client, _) = enter(&cluster.nodes[0], "ada", DeviceClass::Phone);
    let guess = pb::ChangePasswordReq {
        old_password: "a guess at the password".into(),
        new_password: OTHER.into(),
    };
    let codes: Vec<Code> =
        (0..8).map(|_| client.call(Command::ChangePassword, &guess).code()).collect();
    assert_eq!(codes[0], Code::BadCredentials);
    assert!(codes.contains(&Code::RateLimited), "{codes:?}");
    let login = login_body("ada", PASSWORD, DeviceClass::Web);
    let mut other = RawClient::connect(cluster.nodes[0].address());
    assert_eq!(other.call(Command::Login, &login).code(), Code::RateLimited, "they count together");
    cluster.assert_quiet();
}

#[test]
fn a_profile_is_told_to_ones_other_devices() {
    let cluster = Cluster::start(2);
    let id = RawClient::register(cluster.nodes[0].address(), "ada", PASSWORD);
    let (mut desktop, _) = enter(&cluster.nodes[0], "ada", DeviceClass::Desktop);
    let (mut phone, _) = enter(&cluster.nodes[1], "ada", DeviceClass::Phone);
    // What is committed from now on is pushed there too.
    std::thread::sleep(Duration::from_secs(2));
    let update = pb::UserUpdateReq {
        nickname: Some("Ada L.".into()),
        avatar_url: Some("https://example.org/ada.png".into()),
        ..Default::default()
    };
    let answer: pb::UserUpdateResp = desktop.call(Command::UserUpdate, &update).ok();
    let told = next_entry(&mut phone);
    assert_eq!((told.seq, told.r#type()), (answer.seq, pb::MsgType::SystemSelf));
    let event = pb::SelfEvent::decode(told.content).expect("a SelfEvent");
    let Some(pb::self_event::What::Profile(own)) = event.what else { panic!("a profile") };
    let user = own.user.expect("a user");
    assert_eq!((user.user_id, user.nickname.as_str()), (id, "Ada L."));
    let repeat: pb::UserUpdateResp = desktop.call(Command::UserUpdate, &update).ok();
    assert_eq!(repeat.seq, 0, "a repeat changes nothing");
    let query = pb::UserGetReq { user_ids: vec![id] };
    let found: pb::UserGetResp = phone.call(Command::UserGet, &query).ok();
    assert_eq!(found.users[0].avatar_url, "https://example.org/ada.png");
    cluster.assert_quiet();
}
