//! Goal: nobody speaks for another user, and whatever a message holds, it arrives as it was sent or
//! is refused with the documented code.

use aldis_scenario::requests::{create_body, login_body, random_16, text_to, texts};
use aldis_scenario::{RawClient, Scene, frame};
use aldis_wire::limits::{
    CONTENT_BYTES_MAX, EXTRA_BYTES_MAX, PIPELINED_REQUESTS_MAX, TEXT_BYTES_MAX, USER_FIND_MAX,
};
use aldis_wire::{Code, Command, DeviceClass, Message, pb};

#[test]
fn nobody_can_speak_as_somebody_else() {
    let scene = Scene::start();
    let (mut ada, ada_id) = scene.user("ada");
    let (mut ben, ben_id) = scene.user("ben");
    // There is no field for a sender; whatever numbers unknown fields have, they are ignored.
    let mut forged = text_to(ben_id, "I am Eve").encode_to_vec();
    for field in [7u8, 8, 9, 10, 11, 12, 13, 14, 15] {
        forged.extend([field << 3, 0x01]);
    }
    assert_eq!(ada.call_raw(Command::MsgSend.id(), &forged).code(), Code::Ok);
    let push: pb::MsgPushNotify = ben.notification(Command::MsgPushNotify).decode();
    assert_eq!((push.entries[0].sender_id, push.entries[0].receiver_id), (ada_id, ben_id));
    // Nor can a client make what only the server makes.
    for kind in [0, 8, 99, 100, 101, -1, i32::MAX] {
        let body = pb::MsgSendReq { r#type: kind, ..text_to(ben_id, "system") };
        assert_eq!(ada.send_code(&body), Code::BadRequest, "{kind}");
    }
    drop((ada, ben));
    scene.finish();
}

#[test]
fn an_id_stands_for_one_message_of_one_sender_in_one_conversation() {
    let scene = Scene::start();
    let (mut ada, ada_id) = scene.user("ada");
    let (mut ben, ben_id) = scene.user("ben");
    let group = ada.create_group(vec![ben_id]);
    let first = text_to(ben_id, "once");
    let ack = ada.send_message(&first);
    for _ in 0..3 {
        assert_eq!(ada.send_message(&first), ack, "a repeat gets the first result");
    }
    for other in [
        pb::MsgSendReq { content: "twice".into(), ..first.clone() },
        pb::MsgSendReq { extra: "x".into(), ..first.clone() },
        pb::MsgSendReq { r#type: pb::MsgType::Custom as i32, ..first.clone() },
    ] {
        assert_eq!(ada.send_code(&other), Code::Conflict);
    }
    // The same id elsewhere is another message: other way round, to oneself, in a group.
    let reply = pb::MsgSendReq { receiver_id: ada_id, ..first.clone() };
    assert_eq!(ben.send_message(&reply).conv_seq, ack.conv_seq + 1);
    let note = ada.send_message(&reply);
    let in_group = pb::MsgSendReq { receiver_id: 0, group_id: group, ..first.clone() };
    let said = ada.send_message(&in_group);
    assert!(note.msg_id != ack.msg_id && said.msg_id != ack.msg_id);
    let body = pb::HistoryReq { receiver_id: ben_id, ..Default::default() };
    let page: pb::HistoryResp = ada.call(Command::History, &body).ok();
    assert_eq!(texts(&page.entries), ["once", "once"]);
    for len in [0, 15, 17, 1_000] {
        let body = pb::MsgSendReq { client_msg_id: vec![1; len].into(), ..first.clone() };
        assert_eq!(ada.send_code(&body), Code::BadRequest, "{len} bytes");
    }

    let create = create_body(vec![ben_id]);
    let made: pb::GroupCreateResp = ada.call(Command::GroupCreate, &create).ok();
    let repeated: pb::GroupCreateResp = ada.call(Command::GroupCreate, &create).ok();
    assert_eq!(repeated.group_id, made.group_id);
    let other = pb::GroupCreateReq { name: "another".into(), ..create.clone() };
    let again: pb::GroupCreateResp = ada.call(Command::GroupCreate, &other).ok();
    assert_eq!(again.group_id, made.group_id, "no second group");
    let by_ben = pb::GroupCreateReq { member_ids: vec![ada_id], ..create };
    let theirs: pb::GroupCreateResp = ben.call(Command::GroupCreate, &by_ben).ok();
    assert_ne!(theirs.group_id, made.group_id, "ids of others do not collide");
    drop((ada, ben));
    scene.finish();
}

#[test]
fn any_text_arrives_as_it_was_sent() {
    let scene = Scene::start();
    let (mut ada, _) = scene.user("ada");
    let (mut ben, ben_id) = scene.user("ben");
    for text in [
        "'; DROP TABLE messages; --",
        "\" OR 1=1 /* \\ */ %_%",
        "NUL \0 inside",
        "\u{202E}right to left\u{2066}\u{200F}",
        "\u{1B}[2J\u{7}\r\n[2026-01-01T00:00:00Z ERROR] forged",
        "👩‍👩‍👧‍👦🏳️‍🌈 你好 नमस्ते שלום",
        "\u{FEFF}\u{FFFF}\u{10FFFF}",
        " ",
    ] {
        ada.send_message(&text_to(ben_id, text));
        let push: pb::MsgPushNotify = ben.notification(Command::MsgPushNotify).decode();
        assert_eq!(push.entries[0].content, text.as_bytes(), "{text:?}");
        let entries = ben.sync_page(push.head - 1).entries;
        assert_eq!(entries[0].content, text.as_bytes(), "{text:?}");
    }
    let log = scene.server.log();
    assert!(!log.contains("forged") && !log.contains("DROP"), "no content in the log: {log}");
    drop((ada, ben));
    scene.finish();
}

#[test]
fn searching_for_users_takes_every_character_literally() {
    let scene = Scene::start();
    let (mut ada, _) = scene.user("under_score");
    for name in ["underxscore", "under-score", "überall"] {
        scene.user(name);
    }
    let mut find = |query: &str, limit| {
        let body = pb::UserFindReq { query: query.into(), limit };
        let reply = ada.call(Command::UserFind, &body);
        if reply.code() != Code::Ok {
            let is_refused = matches!(reply.code(), Code::BadRequest | Code::TooLarge);
            assert!(is_refused, "{} for {} bytes", reply.code(), query.len());
            return None;
        }
        let users = reply.decode::<pb::UserFindResp>().users;
        Some(users.into_iter().map(|user| user.username).collect::<Vec<_>>())
    };
    assert_eq!(find("under_", 0), Some(vec!["under_score".to_owned()]));
    assert_eq!(find("UNDER_S", 0), Some(vec!["under_score".to_owned()]));
    assert_eq!(find("ÜBER", u32::MAX), Some(vec!["überall".to_owned()]));
    assert_eq!(find("under", u32::MAX).map(|names| names.len()), Some(3));
    assert_eq!(find("under", 2).map(|names| names.len()), Some(2));
    for query in ["%", "under%", "*", "[a-z]", "'", "a b", "\u{10FFFF}"] {
        assert_eq!(find(query, 0).unwrap_or_default(), [""; 0], "{query:?}");
    }
    for query in ["", " ", "\0", "a\nb", &"x".repeat(10_000)] {
        assert_eq!(find(query, 0), None, "{query:?}");
    }
    let users = scene.server.seed_users("many", USER_FIND_MAX + 10, DeviceClass::Device);
    assert_eq!(find("many-", u32::MAX).map(|names| names.len()), Some(USER_FIND_MAX));
    drop((ada, users));
    scene.finish();
}

#[test]
fn nothing_that_a_client_says_writes_lines_into_the_log() {
    let scene = Scene::start();
    let evil = "x\n[2026-01-01T00:00:00Z ERROR] forged";
    let mut client = RawClient::connect(scene.address());
    let body = pb::RegisterReq {
        username: evil.into(),
        password: evil.into(),
        nickname: evil.into(),
        request_id: random_16().to_vec().into(),
    };
    assert_eq!(client.call(Command::Register, &body).code(), Code::BadRequest);
    let body = pb::RegisterReq { username: "logger".into(), ..body };
    assert_eq!(client.call(Command::Register, &body).code(), Code::BadRequest);
    let login = login_body(evil, evil, DeviceClass::Web);
    assert_eq!(client.call(Command::Login, &login).code(), Code::BadCredentials);
    let login = pb::LoginReq { device_id: evil.into(), device_name: evil.into(), ..login };
    assert_eq!(client.call(Command::Login, &login).code(), Code::BadRequest);
    let login = pb::LoginReq {
        token: evil.into(),
        device_id: "d".into(),
        device_class: DeviceClass::Web.number() as i32,
        ..Default::default()
    };
    assert_eq!(client.call(Command::Login, &login).code(), Code::BadCredentials);
    let (mut user, _) = scene.user("logger");
    let group = pb::GroupCreateReq { name: evil.into(), ..create_body(vec![]) };
    assert_eq!(user.call(Command::GroupCreate, &group).code(), Code::BadRequest);
    assert!(!scene.server.log().contains("forged"), "{}", scene.server.log());
    drop((client, user));
    scene.finish();
}

#[test]
fn messages_are_taken_up_to_their_limits() {
    let scene = Scene::start();
    let (mut ada, _) = scene.user("ada");
    let (mut ben, ben_id) = scene.user("ben");
    let custom = pb::MsgType::Custom as i32;
    let body = |kind: i32, content: usize, extra: usize| pb::MsgSendReq {
        r#type: kind,
        content: vec![b'x'; content].into(),
        extra: vec![0xFF; extra].into(),
        ..text_to(ben_id, "")
    };
    let text = pb::MsgType::Text as i32;
    for (body, code) in [
        (body(text, TEXT_BYTES_MAX, 0), Code::Ok),
        (body(text, TEXT_BYTES_MAX + 1, 0), Code::TooLarge),
        (body(text, 0, 0), Code::BadRequest),
        (body(custom, CONTENT_BYTES_MAX, EXTRA_BYTES_MAX), Code::Ok),
        (body(custom, CONTENT_BYTES_MAX + 1, 0), Code::TooLarge),
        (body(custom, 1, EXTRA_BYTES_MAX), Code::Ok),
        (body(custom, 1, EXTRA_BYTES_MAX + 1), Code::TooLarge),
        (body(custom, 0, 0), Code::Ok),
    ] {
        let lens = (body.content.len(), body.extra.len());
        assert_eq!(ada.send_code(&body), code, "{lens:?}");
        if code == Code::Ok {
            let push: pb::MsgPushNotify = ben.notification(Command::MsgPushNotify).decode();
            // A message above the soft limit of output may come as a hint.
            let entries = if push.entries.is_empty() {
                ben.sync_page(push.head - 1).entries
            } else {
                push.entries
            };
            assert_eq!(entries[0].content, body.content);
            assert_eq!(entries[0].extra, body.extra);
        }
    }
    for bytes in [&b"\xFF"[..], b"ok \xC0\x80", b"\xED\xA0\x80", b"\xF0\x9F\x98"] {
        let body = pb::MsgSendReq { content: bytes.to_vec().into(), ..text_to(ben_id, "") };
        assert_eq!(ada.send_code(&body), Code::BadRequest, "{bytes:x?}");
    }
    let group = ada.create_group(vec![]);
    let neither = pb::MsgSendReq { receiver_id: 0, ..text_to(0, "to nobody") };
    assert_eq!(ada.send_code(&neither), Code::BadRequest);
    let both = pb::MsgSendReq { group_id: group, ..text_to(ben_id, "to both") };
    assert_eq!(ada.send_code(&both), Code::BadRequest);
    drop((ada, ben));
    scene.finish();
}

#[test]
fn more_requests_than_may_be_pipelined_just_wait() {
    let scene = Scene::start();
    let (mut ada, ada_id) = scene.user("ada");
    for count in [PIPELINED_REQUESTS_MAX + 1, 4 * PIPELINED_REQUESTS_MAX] {
        let mut bytes = Vec::new();
        for number in 0..count as u32 {
            let body = match number % 3 {
                0 => (Command::MsgSend, text_to(ada_id, "note").encode_to_vec()),
                1 => (
                    Command::MsgSync,
                    pb::MsgSyncReq { limit: 1, ..Default::default() }.encode_to_vec(),
                ),
                _ => (Command::Heartbeat, Vec::new()),
            };
            bytes.extend(frame(body.0.id(), 10_000 + number, &body.1));
        }
        ada.send_bytes(&bytes);
        for number in 0..count as u32 {
            assert_eq!(ada.response(10_000 + number).code(), Code::Ok);
        }
    }
    drop(ada);
    scene.finish();
}
