//! Goal: names, passwords and devices that break the rules are refused with the documented code.

use aldis_scenario::requests::{login_body, register_body};
use aldis_scenario::{RawClient, Scene, frame};
use aldis_wire::limits::{
    DEVICE_ID_BYTES_MAX, DISPLAY_NAME_BYTES_MAX, PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN,
    USERNAME_BYTES_MAX,
};
use aldis_wire::{Code, Command, DeviceClass, Message, pb};

const PASSWORD: &str = "correct horse";

/// A login on a connection of its own.
fn login_code(scene: &Scene, body: &pb::LoginReq) -> Code {
    RawClient::connect(scene.address()).call(Command::Login, body).code()
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
        // A password without a username is no login at all.
        let code = if name.is_empty() { Code::BadRequest } else { Code::BadCredentials };
        assert_eq!(client.call(Command::Login, &body).code(), code, "{name:?}");
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
    flooder.try_send_bytes(&frame(Command::Register.id(), 1, &huge.encode_to_vec()));
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
