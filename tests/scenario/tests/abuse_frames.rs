//! Goal: whatever bytes arrive instead of frames, the peer gets BAD_FRAME, another documented code
//! or a closed connection, and nobody else notices.

use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use aldis_scenario::requests::text_to;
use aldis_scenario::{RawClient, Scene, frame, seed};
use aldis_wire::limits::{BODY_BEFORE_LOGIN_BYTES_MAX, BODY_BYTES_MAX, PIPELINED_REQUESTS_MAX};
use aldis_wire::{Code, Command, HEADER_LEN, Header, Message, pb};

/// Key of an unknown length-delimited field: 1000.
const UNKNOWN_FIELD: [u8; 2] = [0xC2, 0x3E];

/// A body of exactly this length that decodes as any message: one unknown field.
fn padding(len: usize) -> Vec<u8> {
    let mut body = UNKNOWN_FIELD.to_vec();
    // The length as a varint of four bytes, whatever it is.
    let rest = len - 6;
    for shift in [0, 7, 14] {
        body.push((rest >> shift) as u8 & 0x7F | 0x80);
    }
    body.push((rest >> 21) as u8);
    body.resize(len, 0);
    body
}

/// A header with any bytes in it.
fn header(cmd: u16, code: u16, seq: u32, len: u32) -> [u8; HEADER_LEN] {
    Header { cmd, code, seq, len }.encode()
}

/// The answer is BAD_FRAME to this request, then the connection ends.
fn assert_bad_frame(client: &mut RawClient, cmd: u16, seq: u32) {
    let reply = client.receive().expect("an answer before the end");
    assert_eq!(reply.code(), Code::BadFrame);
    assert_eq!((reply.header.cmd, reply.header.seq), (cmd + 1, seq));
    assert!(client.is_closed_silently());
}

fn assert_alive(client: &mut RawClient) {
    client.call(Command::Heartbeat, &pb::HeartbeatReq::default()).ok::<pb::HeartbeatResp>();
}

#[test]
fn another_magic_closes_without_an_answer() {
    let scene = Scene::start();
    let mut good = frame(Command::Heartbeat.id(), 1, &[]);
    for (index, byte) in [(0, 0), (0, 0x4A), (1, 0), (1, 0xFF)] {
        good[index] = byte;
        let mut client = RawClient::connect(scene.address());
        client.send_bytes(&good);
        assert!(client.is_closed_silently());
        good = frame(Command::Heartbeat.id(), 1, &[]);
    }
    for bytes in [&b"G"[..], b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"I\0", b"\0"]
    {
        let mut client = RawClient::connect(scene.address());
        client.send_bytes(bytes);
        assert!(client.is_closed_silently(), "{bytes:?}");
    }
    // Behind good frames too, whose answers may be lost with the connection.
    let (mut client, _) = scene.user("good-then-bad");
    let mut bytes = frame(Command::Heartbeat.id(), 7, &[]);
    bytes.extend_from_slice(b"SSH-2.0-x");
    client.send_bytes(&bytes);
    while let Some(reply) = client.receive() {
        assert_eq!(reply.header.seq, 7);
    }
    drop(client);
    scene.finish();
}

#[test]
fn another_version_flags_or_code_is_a_bad_frame() {
    let scene = Scene::start();
    let (logged_in, _) = scene.user("bad-frames");
    drop(logged_in);
    let cmd = Command::Heartbeat.id();
    for (index, bytes) in [(2, [0, 2, 255]), (3, [1, 0x80, 255])] {
        for byte in bytes {
            let mut bytes = header(cmd, 0, 0xDEAD_BEEF, 0);
            bytes[index] = byte;
            let mut client = RawClient::connect(scene.address());
            client.send_bytes(&bytes);
            assert_bad_frame(&mut client, cmd, 0xDEAD_BEEF);
        }
    }
    for code in [1, 15, 16, u16::MAX] {
        let mut client = RawClient::connect(scene.address());
        client.send_bytes(&header(cmd, code, 9, 0));
        assert_bad_frame(&mut client, cmd, 9);
    }
    scene.finish();
}

#[test]
fn bodies_up_to_the_limit_are_read_and_no_further() {
    let scene = Scene::start();
    let cmd = Command::Heartbeat.id();
    let over =
        |max: usize| [max as u32 + 1, 1 << 24, 1 << 31, u32::MAX - HEADER_LEN as u32, u32::MAX];

    let mut stranger = RawClient::connect(scene.address());
    for len in [0, 6, BODY_BEFORE_LOGIN_BYTES_MAX] {
        let body = if len == 0 { Vec::new() } else { padding(len) };
        assert_eq!(stranger.call_raw(cmd, &body).code(), Code::Ok, "{len} bytes before login");
    }
    for len in over(BODY_BEFORE_LOGIN_BYTES_MAX) {
        let mut client = RawClient::connect(scene.address());
        client.send_bytes(&header(cmd, 0, 5, len));
        assert_bad_frame(&mut client, cmd, 5);
    }

    for (number, len) in over(BODY_BYTES_MAX).into_iter().enumerate() {
        let (mut client, _) = scene.user(&format!("large-{number}"));
        for len in [0, BODY_BYTES_MAX] {
            let body = if len == 0 { Vec::new() } else { padding(len) };
            assert_eq!(client.call_raw(cmd, &body).code(), Code::Ok, "{len} bytes");
        }
        client.send_bytes(&header(cmd, 0, 0x7FFF_FFFF, len));
        // What follows is not parsed: it may not be taken for the next frame.
        client.try_send_bytes(&frame(cmd, 6, &[]));
        assert_bad_frame(&mut client, cmd, 0x7FFF_FFFF);
    }
    drop(stranger);
    scene.finish();
}

#[test]
fn every_unknown_command_is_unsupported_and_the_connection_stays() {
    let scene = Scene::start();
    let (mut client, _) = scene.user("unknown-commands");
    let mut stranger = RawClient::connect(scene.address());
    let is_unknown = |cmd: &u16| Command::request(*cmd).is_none();
    let unknown: Vec<u16> = (0..=u16::MAX).filter(is_unknown).collect();
    for cmds in unknown.chunks(PIPELINED_REQUESTS_MAX / 2) {
        let mut bytes = Vec::new();
        for &cmd in cmds {
            bytes.extend(frame(cmd, u32::from(cmd) + 1, b"\xFFnothing"));
        }
        client.send_bytes(&bytes);
        for &cmd in cmds {
            let reply = client.receive().expect("an answer");
            assert_eq!((reply.header.cmd, reply.code()), (cmd.wrapping_add(1), Code::Unsupported));
            assert_eq!(reply.header.seq, u32::from(cmd) + 1);
        }
    }
    let responses = Command::REQUESTS.map(Command::response);
    for command in responses.into_iter().chain(Command::NOTIFICATIONS) {
        assert_eq!(stranger.call_raw(command.id(), &[]).code(), Code::Unsupported, "{command:?}");
    }
    assert_alive(&mut client);
    drop((client, stranger));
    scene.finish();
}

#[test]
fn bodies_that_do_not_decode_are_bad_requests() {
    let scene = Scene::start();
    let (mut client, _) = scene.user("undecodable");
    let mut stranger = RawClient::connect(scene.address());
    let nested_groups = vec![0x0B; BODY_BYTES_MAX];
    // Groups of an unknown field, which a decoder may skip by recursion, properly ended.
    let levels = 200_000;
    let balanced = [[0xA3, 0x3F].repeat(levels), [0xA4, 0x3F].repeat(levels)].concat();
    let bodies: [(&str, &[u8]); 8] = [
        ("a key without a value", &[0x08]),
        ("a varint without an end", &[0xFF; 11]),
        ("a length beyond the end", &[0xC2, 0x3E, 0x7F, 0x00]),
        ("a length of nearly 2^64", b"\xC2\x3E\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"),
        ("field number 0", &[0x00, 0x00]),
        ("wire type 7", &[0x0F]),
        ("groups without an end", &nested_groups),
        ("groups within groups", &balanced),
    ];
    for command in Command::REQUESTS {
        for (name, body) in bodies {
            let reply = client.call_raw(command.id(), body);
            assert_eq!(reply.code(), Code::BadRequest, "{command:?}: {name}");
            if body.len() <= BODY_BEFORE_LOGIN_BYTES_MAX && command.allowed_before_login() {
                let reply = stranger.call_raw(command.id(), body);
                assert_eq!(reply.code(), Code::BadRequest, "{command:?} before login: {name}");
            }
        }
    }
    assert_alive(&mut client);
    drop((client, stranger));
    scene.finish();
}

/// A small generator, so that a seed repeats a run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // splitmix64, http://prng.di.unimi.it/splitmix64.c
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[test]
fn random_bodies_get_a_documented_code() {
    let scene = Scene::start();
    let (mut client, id) = scene.user("random-bodies");
    let mut random = Random(seed());
    // LOGOUT ends the connection when it decodes by chance.
    let commands: Vec<_> =
        Command::REQUESTS.into_iter().filter(|c| *c != Command::Logout).collect();
    for _ in 0..5_000 {
        let command = commands[random.next() as usize % commands.len()];
        // Half of them begin as a real message does, so that not all fail at the first byte.
        let mut body = match random.next() % 4 {
            0 => text_to(id, "a text").encode_to_vec(),
            1 => vec![0x08, (random.next() % 128) as u8, 0x10, (random.next() % 128) as u8],
            _ => Vec::new(),
        };
        let len = random.next() % 40;
        body.extend((0..len).map(|_| random.next() as u8));
        if !body.is_empty() {
            let index = random.next() as usize % body.len();
            body[index] ^= 1 << (random.next() % 8);
        }
        // The pair would rightly notice a message.
        let is_to_pair = |req: &pb::MsgSendReq| scene.pair_ids().contains(&req.receiver_id);
        if pb::MsgSendReq::decode(body.as_slice()).is_ok_and(|req| is_to_pair(&req)) {
            continue;
        }
        // The client holds each answer against the table of PROTOCOL.md.
        let reply = client.call_raw(command.id(), &body);
        assert_ne!(reply.code(), Code::Internal, "{command:?} {body:02x?}");
    }
    assert_alive(&mut client);
    drop(client);
    scene.finish();
}

#[test]
fn floods_of_a_repeated_field_are_refused() {
    let scene = Scene::start();
    let (mut client, _) = scene.user("floods");
    // Field number of the list in each message. Members count once, and there is no user 1.
    let lists = [
        (Command::UserGet, 1, Code::TooLarge),
        (Command::GroupCreate, 2, Code::NotFound),
        (Command::GroupInvite, 2, Code::NotFound),
    ];
    for (command, field, code) in lists {
        let mut start = Vec::new();
        if command == Command::GroupInvite {
            start.extend([0x08, 0x01]); // group_id
        } else if command == Command::GroupCreate {
            start.extend(b"\x0A\x01g\x1A\x10sixteen bytes id");
        }
        let room = BODY_BYTES_MAX - start.len();
        let unpacked = [start.clone(), [field << 3, 0x01].repeat(room / 2)].concat();
        let mut packed = start;
        packed.push(field << 3 | 2);
        let count = room - 4;
        packed.extend([count as u8 & 0x7F | 0x80, (count >> 7) as u8 & 0x7F | 0x80]);
        packed.push((count >> 14) as u8);
        packed.resize(BODY_BYTES_MAX, 0x01);
        for (name, body) in [("unpacked", unpacked), ("packed", packed)] {
            let reply = client.call_raw(command.id(), &body);
            assert_eq!(reply.code(), code, "{command:?} {name}");
        }
    }
    drop(client);
    scene.finish();
}

#[test]
fn frames_in_pieces_are_frames_and_truncated_ones_are_none() {
    let scene = Scene::start();
    let (mut client, id) = scene.user("pieces");
    let whole =
        frame(Command::MsgSend.id(), 77, &text_to(id, "one byte at a time").encode_to_vec());
    for byte in &whole {
        client.send_bytes(std::slice::from_ref(byte));
    }
    client.response(77).ok::<pb::MsgSendResp>();

    for len in 1..whole.len() {
        let mut client = RawClient::connect(scene.address());
        client.send_bytes(&whole[..len]);
        client.half_close();
        assert!(client.is_closed_silently(), "{len} bytes");
    }
    for len in [1, HEADER_LEN - 1, HEADER_LEN, whole.len() - 1] {
        let mut client = RawClient::connect(scene.address());
        client.send_bytes(&whole[..len]);
        client.reset();
    }
    // The session that was cut off in a frame is gone, and its bytes did nothing.
    client.send_bytes(&whole[..whole.len() - 1]);
    client.reset();
    let (mut reader, _) = scene.user("pieces-reader");
    let body = pb::UserGetReq { user_ids: vec![id] };
    reader.call(Command::UserGet, &body).ok::<pb::UserGetResp>();
    drop(reader);
    scene.finish();
}

#[test]
fn a_client_that_half_closes_gets_all_its_answers() {
    let scene = Scene::start();
    let (mut client, id) = scene.user("half-close");
    let mut bytes = Vec::new();
    let count = 200;
    for seq in 1..=count {
        let body = text_to(id, &format!("text {seq}")).encode_to_vec();
        bytes.extend(frame(Command::MsgSend.id(), 1_000 + seq, &body));
    }
    client.send_bytes(&bytes);
    client.half_close();
    for seq in 1..=count {
        let ack: pb::MsgSendResp = client.response(1_000 + seq).ok();
        assert_eq!(ack.conv_seq, u64::from(seq), "the order of sending");
    }
    assert!(client.is_closed_silently());
    drop(client);
    scene.finish();
}

#[test]
fn a_body_that_never_ends_closes_the_connection_however_slowly_it_drips() {
    let scene = Scene::start();
    let (mut silent, _) = scene.user("silent");
    let (mut dripping, _) = scene.user("dripping");
    let announced = header(Command::MsgSend.id(), 0, 1, BODY_BYTES_MAX as u32);
    silent.send_bytes(&announced);
    dripping.send_bytes(&announced);
    let mut drip = dripping.stream().try_clone().expect("a descriptor");
    let dripper = std::thread::spawn(move || {
        // Ends with the first write that the closed connection refuses.
        while drip.write_all(&[0]).is_ok() {
            sleep(Duration::from_millis(100));
        }
    });
    assert!(silent.is_closed_silently());
    assert!(dripping.is_closed_silently());
    dripper.join().expect("the dripping thread ends");
    drop((silent, dripping));
    scene.finish();
}
