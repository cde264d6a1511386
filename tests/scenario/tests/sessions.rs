//! Goal: sessions begin, are replaced, end and survive as PROTOCOL.md says, and a node starts and
//! stops as its operator expects.

use std::net::SocketAddr;
use std::time::Duration;

use aldis_scenario::requests::{group_text, login_body, text_to, texts};
use aldis_scenario::{
    RawClient, Scene, SeededUser, Server, ServerOptions, aldisd, frame, wait_for,
};
use aldis_wire::{Code, Command, DeviceClass, pb};
use rustix::process::Signal;

const PASSWORD: &str = "correct horse";
/// A server that was asked to end is gone after this time on the slowest machine.
const END_MAX: Duration = Duration::from_secs(60);

/// The seq of heartbeats that are told apart from other requests by it.
const BEAT: u32 = 1 << 30;

fn with_config(config: &str) -> ServerOptions {
    ServerOptions { config: config.into(), ..ServerOptions::default() }
}

fn seeded(server: &Server, count: usize) -> Vec<SeededUser> {
    server.seed_users("user", count, DeviceClass::Phone)
}

fn assert_alive(client: &mut RawClient) {
    client.call(Command::Heartbeat, &pb::HeartbeatReq::default()).ok::<pb::HeartbeatResp>();
}

/// The head of the mailbox as HEARTBEAT tells it.
fn head(client: &mut RawClient) -> u64 {
    let beat = client.call(Command::Heartbeat, &pb::HeartbeatReq::default());
    beat.ok::<pb::HeartbeatResp>().head_seq
}

#[test]
fn a_login_replaces_the_session_of_its_class_and_no_other() {
    let scene = Scene::start();
    let address = scene.address();
    RawClient::register(address, "mover", PASSWORD);
    let mut sessions: Vec<_> = DeviceClass::ALL
        .into_iter()
        .map(|class| (class, RawClient::login(address, "mover", PASSWORD, class)))
        .collect();
    let newer_name = pb::LoginReq {
        device_id: "another phone".into(),
        device_name: "Mover's new phone 📱".into(),
        ..login_body("mover", PASSWORD, DeviceClass::Phone)
    };
    let mut newer = RawClient::connect(address);
    newer.call(Command::Login, &newer_name).ok::<pb::LoginResp>();
    for (class, client) in &mut sessions {
        if *class == DeviceClass::Phone {
            let kick: pb::KickNotify = client.notification(Command::KickNotify).decode();
            assert_eq!(kick.reason(), pb::KickReason::Replaced);
            assert_eq!(kick.device_name, newer_name.device_name);
            assert!(client.is_closed_silently());
        } else {
            assert_alive(client);
        }
    }
    // Again and again, from the same device too: exactly the last one stays.
    for _ in 0..20 {
        let mut next = RawClient::login(address, "mover", PASSWORD, DeviceClass::Phone);
        newer.notification(Command::KickNotify);
        assert!(newer.is_closed_silently());
        assert_alive(&mut next);
        newer = next;
    }
    drop((sessions, newer));
    scene.finish();
}

#[test]
fn of_logins_at_the_same_moment_one_session_stays() {
    let scene = Scene::start();
    let user = &seeded(&scene.server, 1)[0];
    let mut clients: Vec<_> = (0..40).map(|_| RawClient::connect(scene.address())).collect();
    for client in &mut clients {
        client.send(Command::Login, &user.login_body());
    }
    // Each login but the last is kicked, before or after its answer; a heartbeat behind it is
    // answered by who is still there.
    let is_live = |client: &mut RawClient| {
        let beat = frame(Command::Heartbeat.id(), BEAT, &[]);
        client.try_send_bytes(&beat)
            && std::iter::from_fn(|| client.receive()).any(|reply| reply.header.seq == BEAT)
    };
    wait_for("all sessions but one end", || {
        clients.retain_mut(is_live);
        assert!(!clients.is_empty(), "the last login stays");
        clients.len() == 1
    });
    drop(clients);
    scene.finish();
}

#[test]
fn tokens_are_refreshed_and_revoked() {
    let scene = Scene::start();
    let address = scene.address();
    let user = seeded(&scene.server, 1).remove(0);
    let mut client = RawClient::connect(address);
    let first = client.login_with_token(&user);
    assert!(first.token_expires_ms > first.server_time_ms);
    let refreshed: pb::RefreshTokenResp =
        client.call(Command::RefreshToken, &pb::RefreshTokenReq {}).ok();
    assert!(refreshed.token_expires_ms >= first.token_expires_ms);
    let tokens = [user.token.clone(), first.token, refreshed.token];
    for token in &tokens {
        let same = SeededUser { token: token.clone(), ..user.clone() };
        drop(RawClient::login_seeded(address, &same));
    }
    // LOGOUT ends all tokens of the device, and those of no other device.
    drop(client);
    let mut client = RawClient::login_seeded(address, &user);
    client.call(Command::Logout, &pb::LogoutReq {}).ok::<pb::LogoutResp>();
    assert!(client.is_closed_silently());
    for token in tokens {
        let body = pb::LoginReq { token, ..user.login_body() };
        let reply = RawClient::connect(address).call(Command::Login, &body);
        assert_eq!(reply.code(), Code::BadCredentials);
    }
    RawClient::register(address, "two-devices", PASSWORD);
    let mut tokens = [DeviceClass::Phone, DeviceClass::Web].map(|class| {
        let body = login_body("two-devices", PASSWORD, class);
        let mut client = RawClient::connect(address);
        let token = client.call(Command::Login, &body).ok::<pb::LoginResp>().token;
        (client, pb::LoginReq { token, username: String::new(), password: String::new(), ..body })
    });
    tokens[0].0.call(Command::Logout, &pb::LogoutReq {}).ok::<pb::LogoutResp>();
    let codes = tokens
        .each_ref()
        .map(|(_, body)| RawClient::connect(address).call(Command::Login, body).code());
    assert_eq!(codes, [Code::BadCredentials, Code::Ok]);
    drop(tokens);
    scene.finish();
}

#[test]
fn sigterm_says_goodbye_and_loses_nothing() {
    let mut server = Server::start_with(with_config("[drain]\nseconds = 30\n"));
    let users = seeded(&server, 3);
    let address = server.address();
    let mut ada = RawClient::login_seeded(address, &users[0]);
    let mut ben = RawClient::login_seeded(address, &users[1]);
    let mut stranger = RawClient::connect(address);
    // In flight while the signal comes; each one that is acknowledged must survive.
    let sent: Vec<u32> = (0..200)
        .map(|n| ada.send(Command::MsgSend, &text_to(users[1].id, &format!("text {n}"))))
        .collect();
    server.signal(Signal::TERM);
    for client in [&mut ada, &mut ben] {
        let goaway: pb::GoawayNotify = client.notification(Command::GoawayNotify).decode();
        assert!(goaway.reconnect_delay_ms <= 30_000);
    }
    for seq in sent {
        ada.response(seq).ok::<pb::MsgSendResp>();
    }
    // The session can still finish what it does; new ones are not taken.
    ada.send_message(&text_to(users[1].id, "last words"));
    let reply = stranger.call(Command::Login, &users[2].login_body());
    assert_eq!(reply.code(), Code::Unavailable);
    drop((ada, ben, stranger));
    assert!(server.wait_end(END_MAX), "it ends by itself, well, when everybody has left");
    assert!(!server.log().contains("panicked"), "{}", server.log());

    server.restart();
    let mut ben = RawClient::login_seeded(server.address(), &users[1]);
    let entries = ben.sync_all(0);
    let mut wanted: Vec<String> = (0..200).map(|n| format!("text {n}")).collect();
    wanted.push("last words".into());
    assert_eq!(texts(&entries), wanted);
}

#[test]
fn a_drain_does_not_wait_for_those_who_stay() {
    let mut server = Server::start_with(with_config("[drain]\nseconds = 1\n"));
    let users = seeded(&server, 1);
    let mut client = RawClient::login_seeded(server.address(), &users[0]);
    let mut silent = RawClient::connect(server.address());
    server.signal(Signal::TERM);
    client.notification(Command::GoawayNotify);
    assert!(client.is_closed_silently() && silent.is_closed_silently());
    assert!(server.wait_end(END_MAX));
}

#[test]
fn a_second_server_on_the_same_data_refuses() {
    let server = Server::start();
    let config = std::fs::read_to_string(server.config_path()).expect("its configuration");
    let other = server.dir().join("other.toml");
    let any_port = config.replace(&server.address().to_string(), "127.0.0.1:0");
    std::fs::write(&other, any_port).expect("the directory is writable");
    let output = aldisd().arg("--config").arg(&other).output().expect("aldisd runs");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(message.contains("another aldisd is running"), "{message}");
    // Neither did it disturb the first one.
    RawClient::register(server.address(), "undisturbed", PASSWORD);
}

#[test]
fn a_taken_port_is_named() {
    let server = Server::start();
    let dir = server.dir().join("elsewhere");
    let config = server.dir().join("same-port.toml");
    let text = format!("data_dir = {dir:?}\n[listen]\nclient = \"{}\"\n", server.address());
    std::fs::write(&config, text).expect("the directory is writable");
    let output = aldisd().arg("--config").arg(&config).output().expect("aldisd runs");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(message.contains(&server.address().to_string()), "{message}");
}

#[test]
fn configuration_errors_name_key_and_line() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("aldisd.toml");
    let check = |text: &str| {
        std::fs::write(&path, text).expect("the directory is writable");
        let output =
            aldisd().arg("--config").arg(&path).arg("check-config").output().expect("aldisd runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(check("data_dir = \"x\"\n").0);
    for (text, wanted) in [
        ("\n\n[session]\nheartbeat_s = 0\n", ["session.heartbeat_s", "line 4"]),
        ("[listen]\nclient = \"0.0.0.0:7700\"\n", ["allow_plaintext", "line 2"]),
        ("[listen]\nclient = \"[::]:7700\"\n", ["allow_plaintext", "line 2"]),
        ("[listen]\nclinet = \"127.0.0.1:1\"\n", ["clinet", "line 2"]),
        ("[threads]\nreactors = -1\n", ["reactors", "line 2"]),
        ("data_dir = 7\n", ["data_dir", "line 1"]),
        ("[drain\n", ["drain", "line 1"]),
    ] {
        let (is_good, message) = check(text);
        assert!(!is_good, "{text}");
        for word in wanted {
            assert!(message.contains(word), "{word} is missing in: {message}");
        }
        assert!(message.contains("aldisd.toml"), "{message}");
    }
    assert!(!dir.path().join("x").exists(), "check-config makes nothing");
    // What check-config refuses, serve refuses.
    std::fs::write(&path, "[listen]\nclient = \"0.0.0.0:0\"\n").expect("writable");
    let output =
        aldisd().arg("--config").arg(&path).current_dir(dir.path()).output().expect("aldisd runs");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && message.contains("allow_plaintext"), "{message}");
}

#[test]
fn heartbeats_tell_the_head() {
    let scene = Scene::start();
    let (mut ada, ada_id) = scene.user("ada");
    let (mut ben, ben_id) = scene.user("ben");
    assert_eq!((head(&mut ada), head(&mut ben)), (0, 0));
    for number in 1..=10 {
        ada.send_message(&text_to(ben_id, "tick"));
        ben.notification(Command::MsgPushNotify);
        assert_eq!((head(&mut ada), head(&mut ben)), (number, number));
    }
    let group = ben.create_group(vec![ada_id]);
    ben.send_message(&group_text(group, "tock"));
    ada.notification(Command::MsgPushNotify);
    ada.notification(Command::MsgPushNotify);
    assert_eq!((head(&mut ada), head(&mut ben)), (12, 12));
    drop((ada, ben));
    scene.finish();
}

#[test]
fn who_says_nothing_for_two_and_a_half_intervals_is_closed() {
    let server = Server::start_with(with_config("[session]\nheartbeat_s = 1\n"));
    let users = seeded(&server, 2);
    let mut lively = RawClient::connect(server.address());
    assert_eq!(lively.login_with_token(&users[0]).heartbeat_interval_ms, 1_000);
    let mut silent = RawClient::login_seeded(server.address(), &users[1]);
    let waiter = std::thread::spawn(move || silent.is_closed_silently());
    // Longer than the deadline of the silent one, however long that takes.
    while !waiter.is_finished() {
        assert_alive(&mut lively);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(waiter.join().expect("no panic"));
    assert_alive(&mut lively);
}

#[test]
fn a_slow_reader_gets_a_hint_and_loses_nothing() {
    // The silence of the reader is not what this is about.
    let scene = Scene::start_with(with_config("[session]\nheartbeat_s = 3600\n"));
    let address: SocketAddr = scene.address();
    let users = seeded(&scene.server, 2);
    let mut sender = RawClient::login_seeded(address, &users[0]);
    let mut slow = RawClient::login_seeded(address, &users[1]);
    // Far above what the server queues and the kernel's buffers hold.
    let count = 6_000;
    let text = "x".repeat(2_000);
    for batch in 0..count / 200 {
        let sent: Vec<u32> = (0..200)
            .map(|n| {
                let text = format!("{} {text}", batch * 200 + n);
                sender.send(Command::MsgSend, &text_to(users[1].id, &text))
            })
            .collect();
        for seq in sent {
            sender.response(seq).ok::<pb::MsgSendResp>();
        }
    }
    scene.pair_is_served();
    // Now it reads: pushes from the first on, then a hint instead of those that were dropped.
    let (mut local, mut hinted) = (0, 0);
    while hinted < count {
        let push: pb::MsgPushNotify = slow.notification(Command::MsgPushNotify).decode();
        if push.entries.is_empty() {
            hinted = push.head;
        }
        for entry in push.entries {
            assert_eq!(entry.seq, local + 1, "pushes have no gap before the hint");
            local = entry.seq;
        }
        assert!(local < count, "6,000 pushes fit no queue: some must be dropped");
    }
    println!("{local} pushes, then a hint to {hinted}");
    let rest = slow.sync_all(local);
    assert_eq!(rest.len() as u64, count - local);
    for (entry, seq) in rest.iter().zip(local + 1..) {
        assert_eq!(entry.seq, seq);
        assert!(entry.content.starts_with(format!("{} ", seq - 1).as_bytes()));
    }
    // It is served as before.
    sender.send_message(&text_to(users[1].id, "welcome back"));
    let push: pb::MsgPushNotify = slow.notification(Command::MsgPushNotify).decode();
    assert_eq!(texts(&push.entries), ["welcome back"]);
    drop((sender, slow));
    scene.finish();
}
