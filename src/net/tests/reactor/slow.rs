//! Handlers that make frames wait, and peers that do not read.

use std::time::Duration;

use aldis_net::{CloseReason, Config, ConnId, Lane, Sent};
use aldis_wire::{Command, Header, OutFrame};
use bytes::Bytes;

use crate::node::{Client, Event, Node, heartbeat};

/// A notification of this size.
fn push(len: usize) -> OutFrame {
    let header = Header { cmd: Command::MsgPushNotify.id(), code: 0, seq: 0, len: len as u32 };
    OutFrame::new(&header.encode(), Bytes::from(vec![1; len]))
}

/// Makes the peer slow: fills what the kernel buffers, until the soft limit is passed and stays so.
/// Returns how many frames that took.
fn make_slow(node: &Node, id: ConnId) -> usize {
    let soft = Config::default().output_soft_bytes;
    let mut sent = 0;
    loop {
        sent += node.call(move |io, _| {
            let mut count = 0;
            while io.output_len() <= 2 * soft {
                assert_eq!(io.send(id, push(10_000), Lane::Reply), Sent::Queued);
                count += 1;
            }
            count
        });
        // The kernel's buffers grow for a while.
        std::thread::sleep(Duration::from_millis(50));
        if node.call(move |io, _| io.output_len() > soft * 3 / 2) {
            return sent;
        }
    }
}

fn expect_pushes(client: &mut Client, count: usize) {
    for _ in 0..count {
        assert_eq!(client.receive().unwrap().0.cmd, Command::MsgPushNotify.id());
    }
}

#[test]
fn who_never_reads_is_noticed_before_the_kernel_holds_much() {
    let node = Node::start(Config::default());
    let (_client, id) = node.log_in();
    let bytes = make_slow(&node, id) * 10_000;
    // What waits here, what the peer's kernel has taken, and little in this one's.
    assert!(bytes < 1 << 20, "{bytes} bytes were taken");
}

#[test]
fn frames_that_waited_come_once_and_in_order() {
    let node = Node::start(Config::default());
    let (mut client, id) = node.log_in();
    node.call(|_, echo| echo.admitted = 3);
    // More than one scratch buffer, so that some wait in the tail and some in the kernel.
    let bytes: Vec<u8> = (0..3000).flat_map(|seq| heartbeat(seq, 200)).collect();
    let mut writer = client.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        std::io::Write::write_all(&mut writer, &bytes).unwrap();
    });
    client.expect_seqs(0..3);
    let mut next = 3;
    for admitted in [0, 1, 5, 1, 0, 70, 2000, 5000] {
        node.call(move |io, echo| {
            echo.admitted = admitted;
            io.resume(id);
        });
        let end = (next + admitted as u32).min(3000);
        client.expect_seqs(next..end);
        next = end;
    }
    assert_eq!(next, 3000);
    sender.join().unwrap();
    assert_eq!(node.call(|io, _| io.input_capacity()), 0, "nothing is kept");
}

#[test]
fn a_waiting_connection_is_not_read() {
    let node = Node::start(Config::default());
    let (mut client, id) = node.log_in();
    node.call(|_, echo| echo.admitted = 0);
    client.send(&heartbeat(1, 10));
    node.until(|io, _| io.input_capacity() > 0);
    let before = node.counters();
    client.send(&vec![0; 10_000]);
    node.call(|_, _| ());
    assert_eq!(node.counters().bytes_in, before.bytes_in);
    node.call(move |io, _| io.close(id, CloseReason::Handler));
    node.wait_for(Event::Closed(id, CloseReason::Handler));
}

#[test]
fn resuming_who_does_not_wait_changes_nothing() {
    let node = Node::start(Config::default());
    let (mut client, id) = node.log_in();
    node.call(move |io, _| io.resume(id));
    client.send(&heartbeat(1, 10));
    client.expect_seqs([1]);
}

#[test]
fn a_slow_reader_loses_pushes_and_is_told_when_it_has_caught_up() {
    let node = Node::start(Config::default());
    let (mut client, id) = node.log_in();
    let queued = make_slow(&node, id);
    assert_eq!(node.call(move |io, _| io.send(id, push(1), Lane::Push)), Sent::Dropped);
    assert_eq!(node.counters().pushes_dropped, 1);
    expect_pushes(&mut client, queued);
    node.wait_for(Event::Drained(id));
    assert_eq!(node.call(move |io, _| io.send(id, push(5), Lane::Push)), Sent::Queued);
    expect_pushes(&mut client, 1);
}

#[test]
fn one_turn_can_send_much_more_than_the_soft_limit_to_who_reads() {
    let node = Node::start(Config { output_soft_bytes: 2000, ..Config::default() });
    let (mut client, id) = node.log_in();
    let all_queued =
        node.call(move |io, _| (0..30).all(|_| io.send(id, push(900), Lane::Push) == Sent::Queued));
    assert!(all_queued);
    expect_pushes(&mut client, 30);
}

#[test]
fn what_one_system_call_cannot_hold_is_written_by_further_ones() {
    for write_bytes_per_turn in [1, 1 << 20] {
        let node = Node::start(Config { write_bytes_per_turn, ..Config::default() });
        let (mut client, id) = node.log_in();
        // Tails of this size are not copied: two pieces for each frame.
        node.call(move |io, _| {
            for _ in 0..200 {
                assert_eq!(io.send(id, push(2000), Lane::Reply), Sent::Queued);
            }
        });
        expect_pushes(&mut client, 200);
    }
}

#[test]
fn a_slow_reader_still_gets_replies_and_its_requests_wait() {
    let node = Node::start(Config::default());
    let (mut client, id) = node.log_in();
    client.send(&heartbeat(1, 10)[..20]);
    node.until(|io, _| io.input_capacity() > 0);
    let queued = make_slow(&node, id);
    let before = node.counters().bytes_in;
    client.send(&[&heartbeat(1, 10)[20..], &heartbeat(2, 10)].concat());
    let reply = OutFrame::new(&heartbeat(9, 0), Bytes::new());
    assert_eq!(node.call(move |io, _| io.send(id, reply, Lane::Reply)), Sent::Queued);
    node.call(|_, _| ());
    assert_eq!(node.counters().bytes_in, before, "nothing more is read");
    expect_pushes(&mut client, queued);
    client.expect_seqs([9, 1, 2]);
}

#[test]
fn requests_whose_answers_are_not_read_stop_being_read() {
    let config = Config { output_soft_bytes: 10_000, ..Config::default() };
    let node = Node::start(config);
    let (mut client, _) = node.log_in();
    let mut writer = client.stream.try_clone().unwrap();
    let bytes: Vec<u8> = (0..30_000).flat_map(|seq| heartbeat(seq, 1000)).collect();
    let sender = std::thread::spawn(move || {
        std::io::Write::write_all(&mut writer, &bytes).unwrap();
    });
    // The client reads nothing until the server has stopped reading.
    let mut before = 0;
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let frames = node.counters().frames_in;
        if frames == before && frames > 1 {
            break;
        }
        before = frames;
    }
    assert!(before < 30_000, "{before} frames were read");
    assert!(node.call(|io, _| io.output_len()) <= 12_000);
    client.expect_seqs(0..30_000);
    sender.join().unwrap();
}

#[test]
fn above_the_hard_limit_the_connection_closes() {
    let node = Node::start(Config::default());
    let (_client, id) = node.log_in();
    let sent = node.call(move |io, _| {
        let sent = (0..100_000).map(|_| io.send(id, push(10_000), Lane::Reply));
        sent.take_while(|sent| *sent == Sent::Queued).count()
    });
    let least = Config::default().output_hard_bytes / 10_016;
    assert!((least..100_000).contains(&sent), "{sent}");
    node.wait_for(Event::Closed(id, CloseReason::OutputLimit));
}
