//! However bytes are cut, the same frames come out, in order, and everybody gets a turn.
//!
//! A failing random case is printed and kept by proptest; PROPTEST_RNG_SEED repeats a whole run.

use std::io::Write as _;

use aldis_net::{CloseReason, Config};
use aldis_wire::limits::{BODY_BEFORE_LOGIN_BYTES_MAX, BODY_BYTES_MAX};
use aldis_wire::{Code, Command, FrameError};
use proptest::prelude::*;

use crate::node::{Event, Node, heartbeat, request};

#[test]
fn frames_cut_at_every_byte_are_answered() {
    let node = Node::start(Config::default());
    let (mut client, _) = node.log_in();
    let bytes = [heartbeat(10, 3), heartbeat(11, 0), heartbeat(12, 20)].concat();
    for cut in 1..bytes.len() {
        client.send(&bytes[..cut]);
        // The answer to a call says that a turn has passed: the pieces arrive separately.
        node.call(|_, _| ());
        client.send(&bytes[cut..]);
        client.expect_seqs([10, 11, 12]);
    }
}

#[test]
fn one_byte_at_a_time_makes_frames_too() {
    let node = Node::start(Config::default());
    let (mut client, _) = node.log_in();
    for byte in [heartbeat(1, 5), heartbeat(2, 0)].concat() {
        client.send(&[byte]);
        node.call(|_, _| ());
    }
    client.expect_seqs([1, 2]);
    assert_eq!(node.call(|io, _| io.input_capacity()), 0, "nothing is kept");
}

#[test]
fn many_frames_in_one_segment_are_answered_by_few_writes() {
    let node = Node::start(Config::default());
    let (mut client, _) = node.log_in();
    let before = node.counters();
    let bytes: Vec<u8> = (0..100).flat_map(|seq| heartbeat(seq, 10)).collect();
    client.send(&bytes);
    client.expect_seqs(0..100);
    let after = node.counters();
    assert_eq!(after.frames_in - before.frames_in, 100);
    assert!(after.write_calls - before.write_calls <= 10, "{after:?}");
}

#[test]
fn the_largest_body_passes_and_one_above_is_answered_and_closed() {
    let node = Node::start(Config::default());
    let (mut client, id) = node.log_in();
    let body = vec![7; BODY_BYTES_MAX];
    client.send(&request(Command::MsgSend.id(), 5, &body));
    let (header, answer) = client.receive().unwrap();
    assert_eq!((header.seq, answer == body), (5, true));
    let mut too_large = request(Command::MsgSend.id(), 6, &[]);
    too_large[12..16].copy_from_slice(&(BODY_BYTES_MAX as u32 + 1).to_be_bytes());
    client.send(&too_large);
    // What the peer goes on sending must not cost it the answer.
    let _ = client.stream.write_all(&vec![0; 300_000]);
    let (header, _) = client.receive().unwrap();
    assert_eq!((header.seq, header.code), (6, Code::BadFrame.as_u16()));
    assert!(client.read_to_end(), "closed in order, not reset");
    drop(client);
    node.wait_for(Event::Closed(id, CloseReason::BadFrame));
}

#[test]
fn strangers_get_small_bodies_only() {
    let node = Node::start(Config::default());
    let (mut client, id) = node.connect();
    client.send(&heartbeat(1, BODY_BEFORE_LOGIN_BYTES_MAX));
    client.expect_seqs([1]);
    client.send(&heartbeat(2, BODY_BEFORE_LOGIN_BYTES_MAX + 1));
    let error = node.wait(|event| match event {
        Event::Error(conn, error) if *conn == id => Some(*error),
        _ => None,
    });
    assert!(matches!(error, FrameError::TooLarge { .. }));
}

#[test]
fn a_frame_behind_the_login_in_one_segment_may_be_large() {
    let node = Node::start(Config::default());
    let (mut client, _) = node.connect();
    let login = request(Command::Login.id(), 1, b"x");
    client.send(&[login, heartbeat(2, 100_000)].concat());
    client.expect_seqs([1, 2]);
}

#[test]
fn a_wrong_magic_closes_at_once_without_an_answer() {
    let node = Node::start(Config::default());
    let (mut client, id) = node.connect();
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    assert!(client.receive().is_none());
    node.wait_for(Event::Closed(id, CloseReason::BadFrame));
}

#[test]
fn a_flood_on_one_connection_leaves_others_their_turn() {
    const FRAMES_PER_TURN: usize = 16;
    let config = Config { read_bytes_per_turn: 64 * FRAMES_PER_TURN, ..Config::default() };
    let node = Node::start(config);
    let (mut flood, _) = node.log_in();
    let (mut other, other_id) = node.log_in();
    // The reactor itself sends, so that it finds both at once when it polls again.
    let (_flood, mut other) = node.call(move |_, _| {
        let bytes: Vec<u8> = (0..500).flat_map(|seq| heartbeat(seq, 48)).collect();
        flood.send(&bytes);
        other.send(&heartbeat(777, 0));
        (flood, other)
    });
    let mut before_other = 0;
    node.wait(|event| match event {
        Event::Frame(conn, 777) if *conn == other_id => Some(()),
        Event::Frame(..) => {
            before_other += 1;
            None
        }
        _ => None,
    });
    // Two logins, and one turn of the flood; one more if the events come apart.
    assert!(before_other <= 2 + 2 * FRAMES_PER_TURN, "{before_other}");
    other.expect_seqs([777]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_chunks_of_arbitrary_frames_are_echoed(
        bodies in proptest::collection::vec(
            prop_oneof![0usize..40, 0usize..3000, 200_000usize..400_000], 1..30,
        ),
        chunks in proptest::collection::vec(
            prop_oneof![1usize..20, 1usize..5000, 100_000usize..300_000], 1..40,
        ),
        budget in prop_oneof![1usize..3000, Just(256 << 10)],
    ) {
        let bodies: Vec<usize> = bodies.into_iter().map(|len| len % (budget * 200)).collect();
        let config = Config {
            read_bytes_per_turn: budget,
            write_bytes_per_turn: budget / 3 + 1,
            ..Config::default()
        };
        let node = Node::start(config);
        let (mut client, _) = node.log_in();
        let frames: Vec<Vec<u8>> =
            bodies.iter().zip(0..).map(|(len, seq)| heartbeat(seq, *len)).collect();
        let bytes = frames.concat();
        let mut writer = client.stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            let mut rest = &bytes[..];
            for chunk in chunks.into_iter().cycle() {
                let (now, later) = rest.split_at(chunk.min(rest.len()));
                writer.write_all(now).unwrap();
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
        });
        for (frame, seq) in frames.iter().zip(0u32..) {
            let (header, body) = client.receive().unwrap();
            prop_assert_eq!(header.seq, seq);
            prop_assert_eq!(&body[..], &frame[16..]);
        }
        sender.join().unwrap();
    }
}
