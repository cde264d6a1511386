//! Deadlines fire. How fast is not asserted: machines are slow.

use std::time::{Duration, Instant};

use aldis_net::{CloseReason, Config, Lane};
use aldis_wire::{Command, OutFrame};
use bytes::Bytes;

use crate::node::{Client, Event, Node, heartbeat, request};

const SHORT: Duration = Duration::from_millis(100);

#[test]
fn who_does_not_log_in_is_closed_even_when_busy() {
    let node = Node::start(Config { login_deadline: SHORT, ..Config::default() });
    let (mut client, id) = node.connect();
    let mut seq = 0;
    loop {
        seq += 1;
        if std::io::Write::write_all(&mut client.stream, &heartbeat(seq, 0)).is_err() {
            break;
        }
        if client.receive().is_none() {
            break;
        }
    }
    node.wait_for(Event::Closed(id, CloseReason::LoginDeadline));
}

#[test]
fn what_a_stranger_sent_to_a_process_that_stood_still_is_not_handled() {
    let node = Node::start(Config { login_deadline: SHORT, ..Config::default() });
    let (mut client, id) = node.connect();
    // The reactor itself sends, and reads when it goes on.
    let _client = node.call(move |_, _| {
        client.send(&heartbeat(1, 0));
        std::thread::sleep(3 * SHORT);
        client
    });
    node.wait_for(Event::Closed(id, CloseReason::LoginDeadline));
    assert_eq!(node.counters().frames_in, 0);
}

#[test]
fn who_came_while_the_process_stood_still_and_is_gone_is_not_heard() {
    let node = Node::start(Config { login_deadline: 10 * SHORT, ..Config::default() });
    let address = node.address;
    // Nobody accepts meanwhile: the kernel keeps the connection, its frame and its end.
    let client = node.call(move |_, _| {
        let mut client = Client::connect(address);
        client.send(&heartbeat(1, 0));
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        std::thread::sleep(5 * SHORT);
        client
    });
    let id = node.wait(|event| match event {
        Event::Open(id) => Some(*id),
        _ => None,
    });
    node.wait_for(Event::Closed(id, CloseReason::Peer));
    assert_eq!(node.counters().frames_in, 0);
    drop(client);
}

#[test]
fn who_came_while_the_process_stood_still_and_waits_is_served() {
    let node = Node::start(Config { login_deadline: 50 * SHORT, ..Config::default() });
    let address = node.address;
    let mut client = node.call(move |_, _| {
        let mut client = Client::connect(address);
        client.send(&heartbeat(1, 0));
        std::thread::sleep(15 * SHORT);
        client
    });
    client.expect_seqs([1]);
}

#[test]
fn a_frame_that_trickles_in_is_closed() {
    let node = Node::start(Config { frame_deadline: SHORT, ..Config::default() });
    let (mut client, id) = node.log_in();
    let bytes = heartbeat(1, 100_000);
    for byte in bytes {
        if std::io::Write::write_all(&mut client.stream, &[byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    node.wait_for(Event::Closed(id, CloseReason::FrameDeadline));
}

#[test]
fn a_silent_session_is_closed() {
    let node = Node::start(Config { idle_deadline: SHORT, ..Config::default() });
    let (_client, id) = node.log_in();
    node.wait_for(Event::Closed(id, CloseReason::IdleDeadline));
}

#[test]
fn a_session_that_sends_is_kept() {
    let idle = Duration::from_secs(2);
    let node = Node::start(Config { idle_deadline: idle, ..Config::default() });
    let (mut client, _) = node.log_in();
    let begin = Instant::now();
    while begin.elapsed() < idle + Duration::from_millis(500) {
        client.send(&heartbeat(1, 0));
        client.expect_seqs([1]);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_session_whose_frame_waits_is_neither_idle_nor_slow() {
    let config = Config { idle_deadline: SHORT, frame_deadline: SHORT, ..Config::default() };
    let node = Node::start(config);
    let (mut client, id) = node.connect();
    node.call(|_, echo| echo.admitted = 1);
    let login = request(Command::Login.id(), 1, b"");
    client.send(&[login, heartbeat(2, 10), heartbeat(3, 10)].concat());
    client.expect_seqs([1]);
    std::thread::sleep(3 * SHORT);
    node.call(move |io, echo| {
        echo.admitted = 2;
        io.resume(id);
    });
    client.expect_seqs([2, 3]);
    node.wait_for(Event::Closed(id, CloseReason::IdleDeadline));
}

#[test]
fn who_reads_nothing_of_what_is_queued_is_closed() {
    let node = Node::start(Config { write_stall_deadline: SHORT, ..Config::default() });
    let (_client, id) = node.log_in();
    // The kernel takes some megabytes for a peer that reads nothing: fill until it takes no more.
    let chunk = Bytes::from(vec![0; 1 << 20]);
    loop {
        let chunk = chunk.clone();
        let left = node.call(move |io, _| {
            if io.output_len() == 0 {
                let head = &heartbeat(1, 1 << 20)[..16];
                let _ = io.send(id, OutFrame::new(head, chunk), Lane::Reply);
            }
            io.connection_count()
        });
        if left == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    node.wait_for(Event::Closed(id, CloseReason::WriteStall));
}

#[test]
fn a_peer_that_never_closes_its_side_is_closed_after_lingering() {
    let node = Node::start(Config { linger_deadline: SHORT, ..Config::default() });
    let (mut client, id) = node.log_in();
    node.call(move |io, _| io.close_after_flush(id, CloseReason::Handler));
    assert!(client.receive().is_none(), "told at once that nothing more comes");
    node.wait_for(Event::Closed(id, CloseReason::Handler));
}

#[test]
fn the_handlers_own_deadline_is_reached() {
    let node = Node::start(Config::default());
    node.call(|io, echo| echo.deadline = Some(io.now() + SHORT));
    node.until(|_, echo| echo.timeouts == 1);
}
