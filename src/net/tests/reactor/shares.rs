//! Goal: who sends more than a share waits for others, and then for the second to be over; nothing of it
//! is lost.

use aldis_net::Config;

use crate::node::{Event, Node, heartbeat};

/// Frames of a flood: many times what one visit takes.
const FLOOD: u32 = 640;

#[test]
fn what_one_connection_sends_at_once_is_handled_between_what_others_send() {
    let node = Node::start(Config::default());
    let (mut flood, _) = node.log_in();
    let (mut other, other_id) = node.log_in();
    // The reactor itself sends, so that it finds both at once when it polls again.
    let (mut flood, mut other) = node.call(move |_, _| {
        flood.send(&(0..FLOOD).flat_map(|seq| heartbeat(seq, 0)).collect::<Vec<u8>>());
        other.send(&heartbeat(7_777, 0));
        (flood, other)
    });
    let mut before_other = 0;
    node.wait(|event| match event {
        Event::Frame(conn, 7_777) if *conn == other_id => Some(()),
        Event::Frame(..) => {
            before_other += 1;
            None
        }
        _ => None,
    });
    assert!(before_other <= 2 + 16, "two logins and one visit, but {before_other}");
    other.expect_seqs([7_777]);
    flood.expect_seqs(0..FLOOD);
}

#[test]
fn who_is_in_goes_first_however_many_knock() {
    let node = Node::start(Config { strangers_percent: 1, ..Config::default() });
    let (mut member, member_id) = node.log_in();
    let mut strangers: Vec<_> = (0..50).map(|_| node.connect().0).collect();
    // The reactor itself sends, so that it finds them all at once when it polls again.
    (strangers, member) = node.call(move |_, _| {
        strangers.iter_mut().for_each(|stranger| stranger.send(&heartbeat(1, 0)));
        member.send(&heartbeat(7_777, 0));
        (strangers, member)
    });
    node.wait(|event| match event {
        Event::Frame(conn, 7_777) if *conn == member_id => Some(()),
        Event::Frame(conn, 1) if *conn != member_id => panic!("{conn:?} was served before"),
        _ => None,
    });
    member.expect_seqs([7_777]);
    strangers.iter_mut().for_each(|stranger| stranger.expect_seqs([1]));
}

#[test]
fn who_sends_more_than_the_rate_is_not_read_for_a_while_and_answered_then() {
    let node = Node::start(Config { frames_per_second: 40, ..Config::default() });
    let (mut client, _) = node.log_in();
    // The login was the first of the burst's 400.
    client.send(&(0..410).flat_map(|seq| heartbeat(seq, 100)).collect::<Vec<u8>>());
    client.expect_seqs(0..399);
    assert_eq!(node.counters().frames_in, 400);
    let (mut other, _) = node.log_in();
    other.send(&heartbeat(1, 0));
    other.expect_seqs([1]);
    client.expect_seqs(399..410);
    assert_eq!(node.counters().pauses, 1);
}

#[test]
fn who_is_not_logged_in_may_send_little_in_whatever_pieces() {
    let node = Node::start(Config {
        stranger_frames_per_second: 2,
        strangers_percent: 100,
        mails_per_turn: 1,
        ..Config::default()
    });
    let (mut guessing, _) = node.connect();
    guessing.send(&(0..14).flat_map(|seq| heartbeat(seq, 0)).collect::<Vec<u8>>());
    guessing.expect_seqs(0..12);
    assert_eq!(node.counters().frames_in, 12);
    let (mut dripping, _) = node.connect();
    for byte in heartbeat(99, 6) {
        dripping.send(&[byte]);
        // Each takes a turn. The first may be the one before the byte, and in its turn it comes first.
        (0..3).for_each(|_| node.call(|_, _| ()));
    }
    guessing.expect_seqs(12..14);
    dripping.expect_seqs([99]);
    assert!(node.counters().pauses >= 2, "{:?}", node.counters());
}

#[test]
fn a_pause_ends_with_its_connection() {
    let node = Node::start(Config { frames_per_second: 1, ..Config::default() });
    let (mut client, id) = node.log_in();
    client.send(&(0..20).flat_map(|seq| heartbeat(seq, 0)).collect::<Vec<u8>>());
    client.expect_seqs(0..9);
    drop(client);
    node.wait(|event| matches!(event, Event::Closed(conn, _) if *conn == id).then_some(()));
    // Whoever gets its place is not paused.
    let (mut next, next_id) = node.log_in();
    assert_eq!(next_id.index, id.index);
    next.send(&heartbeat(5, 0));
    next.expect_seqs([5]);
}
