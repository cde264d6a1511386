//! Goal: one address, or one crowd, cannot take what all need: connections, password checks and the
//! store's readers are left for others, and messages come first.

use std::thread;
use std::time::Duration;

use aldis_scenario::process::descriptor_count;
use aldis_scenario::requests::{login_body, text_to};
use aldis_scenario::{RawClient, Scene, ServerOptions, frame, wait_for};
use aldis_wire::{Code, Command, DeviceClass, Message, pb};

/// Connections of one address that are tested at the limit.
const CONNECTIONS: usize = 40;
/// Of them, those that may wait for their login.
const STRANGERS: usize = 20;
/// Attackers of the small flood.
const ATTACKERS: usize = 500;
/// Bursts of lists until the server must have refused some.
const ROUNDS_MAX: usize = 20;
const PASSWORD: &str = "a password of a test";

/// Loopback addresses count as any others; users may ask as often as they like.
const COUNTED: &str = "[rates]\non_loopback = true\nsends_per_second = 0\n\
                       changes_per_second = 0\nqueries_per_second = 0\ntold_per_second = 0\n";

/// A small server with these tables.
fn scene(tables: &str) -> Scene {
    let config = format!("[threads]\nreactors = 1\nhashers = 1\n{tables}");
    Scene::start_with(ServerOptions { config, ..ServerOptions::default() })
}

/// Whether the server took the connection: it answers a heartbeat.
fn is_taken(client: &mut RawClient) -> bool {
    let beat = frame(Command::Heartbeat.id(), 7, &pb::HeartbeatReq::default().encode_to_vec());
    client.try_send_bytes(&beat)
        && client.stream().peek(&mut [0]).is_ok_and(|len| len > 0)
        && client.response(7).code() == Code::Ok
}

#[test]
fn an_address_has_so_many_connections_and_not_one_more() {
    let scene = scene(&format!(
        "[connection]\nper_address_max = {CONNECTIONS}\n\
         before_login_per_address_max = {STRANGERS}\nlogin_s = 60\n{COUNTED}"
    ));
    let users = scene.server.seed_users("many", CONNECTIONS, DeviceClass::Desktop);
    let connect = |host| RawClient::connect_from([9, host], scene.address());
    let mut strangers: Vec<RawClient> = (0..STRANGERS).map(|_| connect(1)).collect();
    assert!(strangers.iter_mut().all(is_taken), "as many as may");
    assert!(!is_taken(&mut connect(1)), "one more stranger");
    assert!(is_taken(&mut connect(2)), "another address");
    drop(strangers);
    let mut inside: Vec<RawClient> = Vec::new();
    for user in &users {
        // The server may still see some of those that went.
        wait_for("a place", || {
            let mut client = connect(1);
            let is_in = is_taken(&mut client);
            if is_in {
                client.login_with_token(user);
                inside.push(client);
            }
            is_in
        });
    }
    assert!(!is_taken(&mut connect(1)), "one more connection");
    inside.pop();
    wait_for("the place of who went", || is_taken(&mut connect(1)));
    drop(inside);
    scene.finish();
}

#[test]
fn logins_of_one_address_leave_the_password_pool_to_others() {
    let scene =
        scene(&format!("{COUNTED}password_checks_per_address = 4\n[connection]\nlogin_s = 60\n"));
    RawClient::register(scene.address(), "owner", PASSWORD);
    let mut flood: Vec<RawClient> = (0..200)
        .map(|number| {
            let mut client = RawClient::connect_from([9, 1], scene.address());
            // Other accounts, so that it is not the account that is slowed down.
            let body = login_body(&format!("nobody{number}"), PASSWORD, DeviceClass::Web);
            client.send(Command::Login, &body);
            client
        })
        .collect();
    // It waits for the four that are before it at most, and is not told to come back.
    let mut owner = RawClient::connect_from([9, 2], scene.address());
    let reply = owner.call(Command::Login, &login_body("owner", PASSWORD, DeviceClass::Desktop));
    reply.ok::<pb::LoginResp>();
    let codes: Vec<Code> =
        flood.iter_mut().map(|client| client.receive().expect("an answer").code()).collect();
    let count = |code| codes.iter().filter(|answer| **answer == code).count();
    assert!(count(Code::Busy) > 0 && count(Code::BadCredentials) >= 4, "{codes:?}");
    drop((flood, owner));
    scene.finish();
}

#[test]
fn lists_are_refused_before_messages_and_syncs_are() {
    let scene = scene("");
    let crowd = scene.server.seed_users("crowd", 30, DeviceClass::Desktop);
    let mut crowd: Vec<RawClient> =
        crowd.iter().map(|user| RawClient::login_seeded(scene.address(), user)).collect();
    let (mut sender, _) = scene.user("sender");
    let (mut reader, reader_id) = scene.user("reader");
    let lists: Vec<u8> = (1..=250)
        .flat_map(|seq| {
            let body = pb::GroupListReq::default().encode_to_vec();
            frame(Command::GroupList.id(), 1_000 + seq, &body)
        })
        .collect();
    let (mut refused, mut rounds) = (0, 0);
    // How many lists are under way at a time depends on who gets the cores.
    while refused == 0 && rounds < ROUNDS_MAX {
        for client in &mut crowd {
            client.send_bytes(&lists);
        }
        sender.send_message(&text_to(reader_id, "beside lists"));
        reader.sync_page(0);
        rounds += 1;
        for client in &mut crowd {
            for seq in 1..=250 {
                let reply = client.response(1_000 + seq);
                // That retry_after_ms goes with it is part of what every reply is held against.
                assert!(matches!(reply.code(), Code::Ok | Code::Busy), "{:?}", reply.error());
                refused += usize::from(reply.code() == Code::Busy);
            }
        }
    }
    assert!(refused > 0, "7,500 lists at once are more than are read at a time");
    assert_eq!(reader.sync_all(0).len(), rounds);
    drop((crowd, sender, reader));
    scene.finish();
}

#[test]
fn five_hundred_attackers_keep_no_message_away() {
    let scene = scene(&format!("{COUNTED}[connection]\nlogin_s = 20\n"));
    let (mut sender, _) = scene.user("sender");
    let (mut reader, reader_id) = scene.user("reader");
    let address = scene.address();
    let before = descriptor_count(scene.server.pid());
    let attackers: Vec<_> = (0..10u8)
        .map(|group| {
            thread::spawn(move || {
                let each = ATTACKERS / 10;
                let mut clients: Vec<RawClient> =
                    (0..each).map(|_| RawClient::connect_from([20, group + 1], address)).collect();
                for _ in 0..10 {
                    for (number, client) in clients.iter_mut().enumerate() {
                        if !attack(client, number) {
                            *client = RawClient::connect_from([20, group + 1], address);
                        }
                    }
                    thread::sleep(Duration::from_millis(100));
                }
            })
        })
        .collect();
    for number in 0..100 {
        sender.send_message(&text_to(reader_id, &number.to_string()));
        thread::sleep(Duration::from_millis(10));
    }
    for attacker in attackers {
        attacker.join().expect("attackers do not fail");
    }
    let texts: Vec<Vec<u8>> =
        reader.sync_all(0).into_iter().map(|entry| entry.content.to_vec()).collect();
    let sent: Vec<Vec<u8>> = (0..100).map(|number| number.to_string().into_bytes()).collect();
    assert_eq!(texts, sent);
    wait_for("the attackers' descriptors are given back", || {
        descriptor_count(scene.server.pid()) <= before
    });
    drop((sender, reader));
    scene.finish();
}

/// One of the kinds of abuse; false when the server has had enough of it.
fn attack(client: &mut RawClient, number: usize) -> bool {
    match number % 5 {
        0 => {
            let body = login_body(&format!("nobody{number}"), PASSWORD, DeviceClass::Web);
            client.try_send_bytes(&frame(Command::Login.id(), 1, &body.encode_to_vec()))
        }
        1 => client.try_send_bytes(&[0xA5; 4_096]),
        // One byte of a frame at a time.
        2 => client.try_send_bytes(&[0x49]),
        // A length that nobody may announce.
        3 => client.try_send_bytes(b"IM\x01\0\x10\x01\0\0\0\0\0\x01\xff\xff\xff\xff"),
        // Many answers that are never read.
        _ => {
            let body = pb::HeartbeatReq::default().encode_to_vec();
            client.try_send_bytes(&frame(Command::Heartbeat.id(), 1, &body).repeat(200))
        }
    }
}
