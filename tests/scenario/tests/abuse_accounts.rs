//! Goal: who has no right to an account gets a documented code that tells nothing, and its owner
//! is served all the same.

use std::time::{Duration, Instant};

use aldis_scenario::requests::{login_body, register_body, text_to};
use aldis_scenario::{RawClient, Scene, SeededUser};
use aldis_wire::limits::TOKEN_BYTES_MAX;
use aldis_wire::{Code, Command, DeviceClass, pb};

const PASSWORD: &str = "correct horse";
/// A delay that is not over before the next request has come.
const LONG_DELAY_MS: u32 = 1_500;

/// A login on a connection of its own.
fn login_code(scene: &Scene, body: &pb::LoginReq) -> Code {
    RawClient::connect(scene.address()).call(Command::Login, body).code()
}

/// A user who is logged in as `SeededUser` says: by a token of LOGIN_RESP.
fn token_of(scene: &Scene, name: &str) -> SeededUser {
    let id = RawClient::register(scene.address(), name, PASSWORD);
    let class = DeviceClass::Web;
    let body = login_body(name, PASSWORD, class);
    let mut client = RawClient::connect(scene.address());
    let token = client.call(Command::Login, &body).ok::<pb::LoginResp>().token;
    SeededUser { id, name: name.into(), token, device_id: body.device_id, class }
}

#[test]
fn before_login_only_login_register_and_heartbeat_are_answered() {
    let scene = Scene::start();
    let mut client = RawClient::connect(scene.address());
    for command in Command::REQUESTS {
        if !command.allowed_before_login() {
            assert_eq!(client.call_raw(command.id(), &[]).code(), Code::NotLoggedIn, "{command:?}");
        }
    }
    let beat: pb::HeartbeatResp =
        client.call(Command::Heartbeat, &pb::HeartbeatReq::default()).ok();
    assert_eq!(beat.head_seq, 0);
    drop(client);
    scene.finish();
}

#[test]
fn what_is_pipelined_behind_a_login_waits_for_its_outcome() {
    let scene = Scene::start();
    let id = RawClient::register(scene.address(), "pipeliner", PASSWORD);
    for (password, outcome, follow_up) in
        [(PASSWORD, Code::Ok, Code::Ok), ("wrong horse", Code::BadCredentials, Code::NotLoggedIn)]
    {
        let mut client = RawClient::connect(scene.address());
        let login =
            client.send(Command::Login, &login_body("pipeliner", password, DeviceClass::Phone));
        let sends: Vec<_> =
            (0..20).map(|_| client.send(Command::MsgSend, &text_to(id, "early"))).collect();
        let first = client.receive().expect("an answer");
        assert_eq!((first.header.seq, first.code()), (login, outcome));
        for send in sends {
            assert_eq!(client.response(send).code(), follow_up);
        }
    }
    scene.finish();
}

#[test]
fn a_second_login_or_register_on_a_connection_is_forbidden() {
    let scene = Scene::start();
    let (mut client, id) = scene.user("twice");
    let again = login_body("twice", PASSWORD, DeviceClass::Phone);
    assert_eq!(client.call(Command::Login, &again).code(), Code::Forbidden);
    let other = register_body("twice-too", PASSWORD);
    assert_eq!(client.call(Command::Register, &other).code(), Code::Forbidden);
    client.call(Command::MsgSend, &text_to(id, "still here")).ok::<pb::MsgSendResp>();
    drop(client);
    scene.finish();
}

#[test]
fn nothing_behind_a_logout_is_done() {
    let scene = Scene::start();
    let user = token_of(&scene, "leaver");
    let mut client = RawClient::login_seeded(scene.address(), &user);
    let before: Vec<_> =
        (0..5).map(|_| client.send(Command::MsgSend, &text_to(user.id, "before"))).collect();
    let logout = client.send(Command::Logout, &pb::LogoutReq {});
    client.send(Command::MsgSend, &text_to(user.id, "after"));
    for seq in before {
        assert_eq!(client.receive().map(|reply| reply.header.seq), Some(seq), "before LOGOUT");
    }
    let reply = client.receive().expect("an answer");
    assert_eq!((reply.header.seq, reply.code()), (logout, Code::Ok));
    assert!(client.is_closed_silently());

    assert_eq!(login_code(&scene, &user.login_body()), Code::BadCredentials, "revoked");
    let mut client = RawClient::login(scene.address(), "leaver", PASSWORD, DeviceClass::Web);
    let page: pb::MsgSyncResp = client.call(Command::MsgSync, &pb::MsgSyncReq::default()).ok();
    assert_eq!(page.head, 5);
    drop(client);
    scene.finish();
}

#[test]
fn a_token_works_as_it_was_given_and_in_no_other_way() {
    let scene = Scene::start();
    let user = token_of(&scene, "token-owner");
    let other = token_of(&scene, "token-other");
    let good = user.login_body();
    assert_eq!(login_code(&scene, &good), Code::Ok);
    let with_token = |token: String| pb::LoginReq { token, ..good.clone() };

    let another_device = pb::LoginReq { device_id: "another".into(), ..good.clone() };
    assert_eq!(login_code(&scene, &another_device), Code::BadCredentials);
    let phone = DeviceClass::Phone.number() as i32;
    let another_class = pb::LoginReq { device_class: phone, ..good.clone() };
    assert_eq!(login_code(&scene, &another_class), Code::BadCredentials);

    let parts: Vec<&str> = user.token.split('.').collect();
    let others: Vec<&str> = other.token.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("a JWT has three parts") };
    let none = base64url(br#"{"alg":"none","typ":"JWT"}"#);
    let hs512 = base64url(br#"{"alg":"HS512","typ":"JWT"}"#);
    for forged in [
        format!("{header}.{}.{signature}", others[1]),
        format!("{header}.{claims}.{}", others[2]),
        format!("{header}.{claims}."),
        format!("{header}.{claims}"),
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{hs512}.{claims}.{signature}"),
        format!("{}.", user.token),
        format!("{} ", user.token),
        format!("{}=", user.token),
        user.token.to_uppercase(),
        ".".into(),
        "..".into(),
        "a".repeat(TOKEN_BYTES_MAX),
    ] {
        assert_eq!(
            login_code(&scene, &with_token(forged.clone())),
            Code::BadCredentials,
            "{forged}"
        );
    }
    let too_long = with_token("a".repeat(TOKEN_BYTES_MAX + 1));
    assert_eq!(login_code(&scene, &too_long), Code::TooLarge);

    // One bit off at each position of the text; pipelined, because there are many.
    let mut client = RawClient::connect(scene.address());
    for bit in 0..7 {
        let flipped = (0..user.token.len()).map(|index| {
            let mut bytes = user.token.clone().into_bytes();
            bytes[index] ^= 1 << bit;
            (index, String::from_utf8(bytes).expect("ASCII"))
        });
        let sent: Vec<_> = flipped
            .map(|(index, token)| (index, client.send(Command::Login, &with_token(token))))
            .collect();
        for (index, seq) in sent {
            let reply = client.response(seq);
            assert_eq!(reply.code(), Code::BadCredentials, "bit {bit} of character {index}");
        }
    }
    assert_eq!(client.call(Command::Login, &good).code(), Code::Ok, "the real one still works");
    drop(client);
    scene.finish();
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * index)) as usize & 63]));
        }
    }
    text
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    let scene = Scene::start();
    let count = 15;
    for number in 0..count {
        RawClient::register(scene.address(), &format!("exists-{number}"), PASSWORD);
    }
    let kinds = ["exists", "does-not-exist"];
    let mut answers = Vec::new();
    let mut times = [Vec::new(), Vec::new()];
    // In turns, so that both see the same load of the machine.
    for number in 0..count {
        for (kind, times) in kinds.iter().zip(&mut times) {
            let mut client = RawClient::connect(scene.address());
            let name = format!("{kind}-{number}");
            let started_at = Instant::now();
            let body = login_body(&name, "wrong horse", DeviceClass::Web);
            let reply = client.call(Command::Login, &body);
            times.push(started_at.elapsed());
            answers.push((reply.header.code, reply.body));
        }
    }
    // A look for people: how long things take on a shared machine proves nothing.
    for (kind, times) in kinds.iter().zip(&mut times) {
        times.sort();
        println!("median time of a refusal of a user who {kind}: {:?}", times[count / 2]);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "one answer for all");
    assert_eq!(answers[0].0, Code::BadCredentials.as_u16());
    // The user without a password, who can only use a token, is not told apart either.
    let seeded = scene.server.seed_users("no-password", 1, DeviceClass::Web);
    for password in ["guess", PASSWORD] {
        let body = login_body(&seeded[0].name, password, DeviceClass::Web);
        let reply = RawClient::connect(scene.address()).call(Command::Login, &body);
        assert_eq!((reply.header.code, reply.body), answers[0].clone(), "{password:?}");
    }
    scene.finish();
}

#[test]
fn guessing_is_slowed_down_and_the_owner_still_gets_in() {
    let scene = Scene::start();
    let owner = token_of(&scene, "guessed");
    let wrong = login_body("guessed", "wrong horse", DeviceClass::Web);
    let mut delays_ms = Vec::new();
    while delays_ms.len() < 2 {
        let reply = RawClient::connect(scene.address()).call(Command::Login, &wrong);
        if reply.code() == Code::BadCredentials {
            continue;
        }
        assert_eq!(reply.code(), Code::RateLimited);
        let delay_ms = reply.error().retry_after_ms;
        // Only growing delays count: on a slow machine most of one may have passed unseen.
        if delays_ms.last().is_none_or(|last| delay_ms > *last) {
            delays_ms.push(delay_ms);
        }
        std::thread::sleep(Duration::from_millis(delay_ms.into()));
    }
    println!("delays: {delays_ms:?} ms");
    // The right password is not tried either from where the guesses come ...
    let right = login_body("guessed", PASSWORD, DeviceClass::Web);
    loop {
        let reply = RawClient::connect(scene.address()).call(Command::Login, &wrong);
        if reply.code() != Code::RateLimited {
            continue;
        }
        // The rest of an old delay would be over before the next line asks.
        let delay_ms = reply.error().retry_after_ms;
        if delay_ms >= LONG_DELAY_MS {
            break;
        }
        std::thread::sleep(Duration::from_millis(delay_ms.into()));
    }
    assert_eq!(login_code(&scene, &right), Code::RateLimited);
    // ... but the owner gets in with a token there, and with the password elsewhere.
    assert_eq!(login_code(&scene, &owner.login_body()), Code::Ok);
    let mut elsewhere = RawClient::connect_from([9, 9], scene.address());
    assert_eq!(elsewhere.call(Command::Login, &right).code(), Code::Ok);
    drop(elsewhere);
    scene.finish();
}

#[test]
fn many_registrations_at_once_are_done_or_told_to_wait() {
    let scene = Scene::start();
    let mut clients: Vec<_> = (0..200).map(|_| RawClient::connect(scene.address())).collect();
    let sent: Vec<_> = clients
        .iter_mut()
        .enumerate()
        .map(|(n, client)| {
            // Ten want the same name: one gets it.
            let name = format!("storm-{}", n.max(9));
            client.send(Command::Register, &register_body(&name, PASSWORD))
        })
        .collect();
    let (mut done, mut busy, mut taken, mut late) = (0, 0, 0, 0);
    for (client, seq) in clients.iter_mut().zip(sent) {
        let Some(reply) = client.receive() else {
            // On a slow machine the time to log in is over before it is its turn.
            late += 1;
            continue;
        };
        assert_eq!(reply.header.seq, seq);
        match reply.code() {
            Code::Ok => done += 1,
            Code::Busy => busy += 1,
            Code::Conflict => taken += 1,
            code => panic!("{code}"),
        }
    }
    println!("{done} registered, {busy} told to wait, {taken} names were taken, {late} closed");
    assert!(done > 0 && taken <= 9);
    drop(clients);
    scene.finish();
}
