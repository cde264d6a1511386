//! Goal: peers that vanish, break off or come all at once harm nobody else: what they held is given
//! back, and whoever behaves is served.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aldis_scenario::kernel::Blackhole;
use aldis_scenario::process::raise_descriptor_limit;
use aldis_scenario::requests::text_to;
use aldis_scenario::{RawClient, Scene, SeededUser, ServerOptions, frame};
use aldis_wire::{Code, Command, DeviceClass, pb};

/// Clients that come back at once.
const STORM: usize = 5_000;
/// Threads that they come from; each opens all of its connections before it waits for an answer.
const STORM_THREADS: usize = 10;
/// Connections of one source address: well below its ports.
const PER_SOURCE: usize = 2_000;
/// How often one of them tries: it may be told to come back later, or be too late.
const TRIES_MAX: usize = 50;
/// Connections that are reset in the middle of a frame.
const RESETS: usize = 500;

#[test]
fn a_client_that_vanishes_is_noticed_and_gets_all_when_it_is_back() {
    let config = "[session]\nheartbeat_s = 1\n".to_owned();
    let scene = Scene::start_with(ServerOptions { config, ..ServerOptions::default() });
    let users = scene.server.seed_users("ghost", 2, DeviceClass::Phone);
    let mut sender = RawClient::login_seeded(scene.address(), &users[0]);
    let ghost = RawClient::login_seeded(scene.address(), &users[1]);
    let port = ghost.stream().local_addr().expect("it is connected").port();
    let cut = Blackhole::of_port(port);
    for number in 0..50 {
        sender.send_message(&text_to(users[1].id, &format!("to a ghost {number}")));
    }
    // The scene's end waits until the connection is given up; nobody said goodbye.
    drop(cut);
    std::mem::forget(ghost);
    let mut back = RawClient::connect(scene.address());
    let said = back.login_with_token(&users[1]);
    assert_eq!(said.heads[0].head, 50);
    assert_eq!(back.sync_all(0).len(), 50);
    drop((sender, back));
    scene.finish();
}

#[test]
fn connections_that_are_reset_within_a_frame_leave_nothing_behind() {
    let scene = Scene::start();
    let users = scene.server.seed_users("broken", 4, DeviceClass::Phone);
    for number in 0..RESETS {
        let mut client = RawClient::connect(scene.address());
        if number % 2 == 0 {
            client.login_with_token(&users[number / 2 % users.len()]);
        }
        let bytes = frame(Command::MsgSend.id(), 7, &[0x0a; 600]);
        client.send_bytes(&bytes[..1 + number % (bytes.len() - 1)]);
        client.reset();
    }
    scene.pair_is_served();
    scene.finish();
}

#[test]
fn when_thousands_come_back_at_once_all_get_in_and_the_others_are_served() {
    let limit = raise_descriptor_limit();
    assert!(limit > STORM + 1_000, "{limit} descriptors are too few for this test");
    let scene = Scene::start();
    let users = scene.server.seed_users("storm", STORM, DeviceClass::Phone);
    let (tries, entered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for round in 0..2 {
        // The first round fills the house; its end, without a word, is the second one's beginning.
        std::thread::scope(|scope| {
            for (number, users) in users.chunks(STORM / STORM_THREADS).enumerate() {
                let (scene, tries, entered) = (&scene, &tries, &entered);
                scope.spawn(move || {
                    let inside = come_in(scene, number, users, tries);
                    entered.fetch_add(inside.len(), Ordering::Relaxed);
                    inside.into_iter().for_each(RawClient::reset);
                });
            }
        });
        scene.pair_is_served();
        println!("round {round}: {} logins in {} tries", STORM, tries.swap(0, Ordering::Relaxed));
    }
    assert_eq!(entered.into_inner(), 2 * STORM);
    scene.finish();
}

/// Everybody connects and asks, and only then are answers read; who was not let in tries again.
fn come_in(
    scene: &Scene,
    number: usize,
    users: &[SeededUser],
    tries: &AtomicUsize,
) -> Vec<RawClient> {
    let source = [2, (number * STORM / STORM_THREADS / PER_SOURCE) as u8 + 1];
    let mut inside = Vec::new();
    let mut outside: Vec<&SeededUser> = users.iter().collect();
    for _ in 0..TRIES_MAX {
        let asked: Vec<_> = outside
            .drain(..)
            .map(|user| {
                tries.fetch_add(1, Ordering::Relaxed);
                let mut client = RawClient::connect_from(source, scene.address());
                client.try_send_bytes(&frame(
                    Command::Login.id(),
                    1,
                    &aldis_wire::Message::encode_to_vec(&user.login_body()),
                ));
                (user, client)
            })
            .collect();
        for (user, mut client) in asked {
            match client.receive().map(|reply| reply.code()) {
                Some(Code::Ok) => inside.push(client),
                Some(Code::Busy | Code::RateLimited | Code::Unavailable) | None => {
                    outside.push(user);
                }
                Some(other) => panic!("{}: {other}", user.name),
            }
        }
        if outside.is_empty() {
            return inside;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{} never got in", outside.len());
}

#[test]
fn a_login_that_drips_in_is_taken_and_one_that_drips_for_too_long_is_not() {
    let scene = Scene::start();
    let users = scene.server.seed_users("drip", 2, DeviceClass::Phone);
    let login = |user: &SeededUser| {
        let body = aldis_wire::Message::encode_to_vec(&user.login_body());
        frame(Command::Login.id(), 1, &body)
    };
    let mut client = RawClient::connect(scene.address());
    for byte in login(&users[0]) {
        client.send_bytes(&[byte]);
    }
    client.receive().expect("an answer").ok::<pb::LoginResp>();
    let mut slow = RawClient::connect(scene.address());
    for byte in login(&users[1]) {
        if !slow.try_send_bytes(&[byte]) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(slow.is_closed_silently(), "its time to log in is over");
    drop((client, slow));
    scene.finish();
}
