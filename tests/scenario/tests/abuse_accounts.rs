//! Goal: who has no right to an account gets a documented code that tells nothing, and its owner
//! is served all the same.

use std::time::{Duration, Instant};

use aldis_scenario::{RawClient, Scene, SeededUser, login_body, random_16, text_to};
use aldis_wire::limits::{
    DEVICE_ID_BYTES_MAX, DISPLAY_NAME_BYTES_MAX, PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN,
    TOKEN_BYTES_MAX, USERNAME_BYTES_MAX,
};
use aldis_wire::{Code, Command, DeviceClass, Message, pb};

const PASSWORD: &str = "correct horse";

fn register_body(username: &str, password: &str) -> pb::RegisterReq {
    pb::RegisterReq {
        username: username.into(),
        password: password.into(),
        nickname: String::new(),
        request_id: random_16().to_vec().into(),
    }
}

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
fn names_and_passwords_that_break_the_rules_are_refused() {
    let scene = Scene::start();
    let mut client = RawClient::connect(scene.address());
    let long_name = "x".repeat(USERNAME_BYTES_MAX + 1);
    for name in [
        "",
        " ",
        "a b",
        "a\0b",
        "a\nb",
        "a\r\nb",
        "\u{1b}[2J",
        "a\u{202E}b",
        "-a",
        ".",
        "%",
        "a'b",
        "a/b",
        "../a",
        "a\u{200B}b",
        "\u{FEFF}a",
    ] {
        let reply = client.call(Command::Register, &register_body(name, PASSWORD));
        assert_eq!(reply.code(), Code::BadRequest, "{name:?}");
        let body = login_body(name, PASSWORD, DeviceClass::Web);
        assert_eq!(client.call(Command::Login, &body).code(), Code::BadCredentials, "{name:?}");
    }
    let reply = client.call(Command::Register, &register_body(&long_name, PASSWORD));
    assert_eq!(reply.code(), Code::TooLarge, "a long username");
    let body = login_body(&long_name, PASSWORD, DeviceClass::Web);
    assert_eq!(client.call(Command::Login, &body).code(), Code::BadCredentials);

    let nickname = |nickname: &str| pb::RegisterReq {
        nickname: nickname.into(),
        ..register_body("nick", PASSWORD)
    };
    for bad in [" ", "a\nb", "a\0", "\u{202E}evil", "a\u{7F}", "\u{85}"] {
        assert_eq!(
            client.call(Command::Register, &nickname(bad)).code(),
            Code::BadRequest,
            "{bad:?}"
        );
    }
    let long = "é".repeat(DISPLAY_NAME_BYTES_MAX / 2 + 1);
    assert_eq!(client.call(Command::Register, &nickname(&long)).code(), Code::TooLarge);

    let lengths = [
        (0, Code::BadRequest),
        (PASSWORD_BYTES_MIN - 1, Code::BadRequest),
        (PASSWORD_BYTES_MAX + 1, Code::TooLarge),
        (3_900, Code::TooLarge),
    ];
    for (len, code) in lengths {
        let body = register_body("password-lengths", &"p".repeat(len));
        assert_eq!(client.call(Command::Register, &body).code(), code, "{len} bytes");
    }
    let huge = register_body("password-lengths", &"p".repeat(1 << 20));
    let mut flooder = RawClient::connect(scene.address());
    flooder.try_send_bytes(&aldis_scenario::frame(
        Command::Register.id(),
        1,
        &huge.encode_to_vec(),
    ));
    // The rest of the body may reset the connection before the answer is read.
    if let Some(reply) = flooder.receive() {
        assert_eq!(reply.code(), Code::BadFrame);
        assert!(flooder.is_closed_silently());
    }
    for len in [PASSWORD_BYTES_MIN, PASSWORD_BYTES_MAX] {
        let (name, password) = (format!("password-{len}"), "p".repeat(len));
        client.call(Command::Register, &register_body(&name, &password)).ok::<pb::RegisterResp>();
        assert_eq!(login_code(&scene, &login_body(&name, &password, DeviceClass::Web)), Code::Ok);
    }

    for len in [0, 15, 17] {
        let body = pb::RegisterReq {
            request_id: vec![7; len].into(),
            ..register_body("request-ids", PASSWORD)
        };
        assert_eq!(client.call(Command::Register, &body).code(), Code::BadRequest);
    }
    drop((client, flooder));
    scene.finish();
}

#[test]
fn strings_that_are_no_utf_8_are_bad_requests() {
    let scene = Scene::start();
    let mut client = RawClient::connect(scene.address());
    // Fields 1 to 3 of both messages are strings; overlong, surrogate, and plain wrong bytes.
    for command in [Command::Register, Command::Login] {
        for field in 1..=3u8 {
            for bytes in [&b"\xC0\x80"[..], b"\xED\xA0\x80", b"a\xFF", b"\xF5\x80\x80\x80"] {
                let body = [&[field << 3 | 2, bytes.len() as u8], bytes].concat();
                let reply = client.call_raw(command.id(), &body);
                assert_eq!(reply.code(), Code::BadRequest, "{command:?} field {field}");
            }
        }
    }
    drop(client);
    scene.finish();
}

#[test]
fn devices_that_break_the_rules_are_bad_requests() {
    let scene = Scene::start();
    RawClient::register(scene.address(), "devices", PASSWORD);
    let good = login_body("devices", PASSWORD, DeviceClass::Web);
    let long = "d".repeat(DEVICE_ID_BYTES_MAX + 1);
    for id in ["", "a\nb", "a\0", &long] {
        let body = pb::LoginReq { device_id: id.into(), ..good.clone() };
        assert_eq!(login_code(&scene, &body), Code::BadRequest, "{id:?}");
    }
    for class in [0, 6, -1, i32::MAX, i32::MIN] {
        let body = pb::LoginReq { device_class: class, ..good.clone() };
        assert_eq!(login_code(&scene, &body), Code::BadRequest, "{class}");
    }
    for name in ["a\nb", "\u{202E}b"] {
        let body = pb::LoginReq { device_name: name.into(), ..good.clone() };
        assert_eq!(login_code(&scene, &body), Code::BadRequest, "{name:?}");
    }
    let long = "n".repeat(DISPLAY_NAME_BYTES_MAX + 1);
    let body = pb::LoginReq { device_name: long, ..good.clone() };
    assert_eq!(login_code(&scene, &body), Code::TooLarge);
    assert_eq!(login_code(&scene, &good), Code::Ok);
    scene.finish();
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    let scene = Scene::start();
    let names: Vec<String> = (0..5).map(|n| format!("exists-{n}")).collect();
    for name in &names {
        RawClient::register(scene.address(), name, PASSWORD);
    }
    let mut answers = Vec::new();
    let mut medians = Vec::new();
    for kind in ["exists", "does-not-exist"] {
        let mut times = Vec::new();
        for number in 0..names.len() {
            let mut client = RawClient::connect(scene.address());
            let name = format!("{kind}-{number}");
            let started_at = Instant::now();
            let body = login_body(&name, "wrong horse", DeviceClass::Web);
            let reply = client.call(Command::Login, &body);
            times.push(started_at.elapsed());
            answers.push((reply.header.code, reply.body));
        }
        times.sort();
        medians.push(times[times.len() / 2]);
    }
    println!(
        "median time of a refusal: wrong password {:?}, unknown user {:?}",
        medians[0], medians[1]
    );
    answers.dedup();
    assert_eq!(answers.len(), 1, "one answer for all");
    assert_eq!(answers[0].0, Code::BadCredentials.as_u16());
    // The user without a password, who can only use a token, is not told apart either.
    let seeded = scene.server.seed_users("no-password", 1, DeviceClass::Web);
    for password in ["", PASSWORD] {
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
    while RawClient::connect(scene.address()).call(Command::Login, &wrong).code()
        != Code::RateLimited
    {}
    assert_eq!(login_code(&scene, &right), Code::RateLimited);
    // ... but the owner gets in with a token there, and with the password elsewhere.
    assert_eq!(login_code(&scene, &owner.login_body()), Code::Ok);
    let mut elsewhere = RawClient::connect_from([9, 9], scene.address());
    assert_eq!(elsewhere.call(Command::Login, &right).code(), Code::Ok);
    drop(elsewhere);
    scene.finish();
}

#[test]
fn a_username_is_taken_once_in_all_its_forms() {
    let scene = Scene::start();
    let mut client = RawClient::connect(scene.address());
    let first = register_body("Ada-名", PASSWORD);
    let id = client.call(Command::Register, &first).ok::<pb::RegisterResp>().user_id;
    for name in ["Ada-名", "ada-名", "ADA-名", "ＡＤＡ-名"] {
        let reply = client.call(Command::Register, &register_body(name, PASSWORD));
        assert_eq!(reply.code(), Code::Conflict, "{name}");
    }
    // A repeat returns the same user and changes nothing, whoever repeats it with what password.
    let repeat = pb::RegisterReq { password: "another horse".into(), ..first.clone() };
    for body in [first, repeat] {
        let again = client.call(Command::Register, &body).ok::<pb::RegisterResp>().user_id;
        assert_eq!(again, id);
    }
    let body = login_body("ada-名", "another horse", DeviceClass::Web);
    assert_eq!(login_code(&scene, &body), Code::BadCredentials);
    let body = login_body("ADA-名", PASSWORD, DeviceClass::Web);
    let resp: pb::LoginResp = client.call(Command::Login, &body).ok();
    assert_eq!((resp.user_id, resp.username.as_str()), (id, "ada-名"));
    drop(client);
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
    let (mut done, mut busy, mut taken) = (0, 0, 0);
    for (client, seq) in clients.iter_mut().zip(sent) {
        match client.response(seq).code() {
            Code::Ok => done += 1,
            Code::Busy => busy += 1,
            Code::Conflict => taken += 1,
            code => panic!("{code}"),
        }
    }
    println!("{done} registered, {busy} told to wait, {taken} came too late");
    assert!(done > 0 && taken <= 9);
    drop(clients);
    scene.finish();
}
