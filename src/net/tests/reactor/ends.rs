//! Every way in which a connection ends, and handles that outlive it.

use std::net::Shutdown;

use aldis_net::{CloseReason, Config, ConnId, Lane, Sent};
use aldis_wire::OutFrame;
use bytes::Bytes;
use socket2::SockRef;

use crate::node::{Client, Event, Node, PATIENCE, heartbeat};

/// Closes with a reset instead of an orderly end.
fn reset(client: Client) {
    SockRef::from(&client.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
}

fn answer() -> OutFrame {
    OutFrame::new(&heartbeat(9, 0), Bytes::new())
}

#[test]
fn a_peer_that_shuts_down_after_pipelining_gets_all_answers() {
    let node = Node::start(Config::default());
    let (mut client, id) = node.log_in();
    let bytes: Vec<u8> = (0..500).flat_map(|seq| heartbeat(seq, 100)).collect();
    client.send(&bytes);
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.expect_seqs(0..500);
    assert!(client.read_to_end());
    node.wait_for(Event::HalfClosed(id));
    node.wait_for(Event::Closed(id, CloseReason::Peer));
}

#[test]
fn connections_that_end_together_are_removed_between_what_others_send() {
    let node = Node::start(Config::default());
    let clients: Vec<(Client, ConnId)> = (0..64).map(|_| node.log_in()).collect();
    let ids: Vec<ConnId> = clients.iter().map(|(_, id)| *id).collect();
    let closing = ids.clone();
    let before = node.call(move |io, _| {
        closing.into_iter().for_each(|id| io.close(id, CloseReason::Handler));
        io.counters().turns
    });
    for id in ids {
        // In the order in which they were closed.
        node.wait_for(Event::Closed(id, CloseReason::Handler));
    }
    let turns = node.counters().turns - before;
    assert!(turns >= 64 / 8 - 1, "{turns} turns");
}

#[test]
fn a_handler_that_owes_answers_keeps_a_half_closed_connection() {
    let node = Node::start(Config::default());
    let (mut client, id) = node.log_in();
    node.call(|_, echo| {
        echo.silent = true;
        echo.keep_half_closed = true;
    });
    client.send(&heartbeat(9, 0));
    client.stream.shutdown(Shutdown::Write).unwrap();
    node.wait_for(Event::HalfClosed(id));
    assert_eq!(node.call(move |io, _| io.send(id, answer(), Lane::Reply)), Sent::Queued);
    node.call(move |io, _| io.close_after_flush(id, CloseReason::Peer));
    client.expect_seqs([9]);
    assert!(client.read_to_end());
    node.wait_for(Event::Closed(id, CloseReason::Peer));
}

#[test]
fn frames_that_waited_are_answered_after_a_shutdown_too() {
    let node = Node::start(Config::default());
    let (mut client, id) = node.log_in();
    node.call(|_, echo| echo.admitted = 1);
    client.send(&[heartbeat(1, 0), heartbeat(2, 0), heartbeat(3, 0)].concat());
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.expect_seqs([1]);
    node.call(move |io, echo| {
        echo.admitted = 10;
        io.resume(id);
    });
    client.expect_seqs([2, 3]);
    assert!(client.read_to_end());
    node.wait_for(Event::Closed(id, CloseReason::Peer));
}

#[test]
fn a_reset_in_the_middle_of_a_frame_closes() {
    let node = Node::start(Config::default());
    let (mut client, id) = node.log_in();
    client.send(&heartbeat(1, 1000)[..500]);
    node.until(|io, _| io.input_capacity() > 0);
    reset(client);
    node.wait_for(Event::Closed(id, CloseReason::Reset));
    assert_eq!(node.call(|io, _| io.input_capacity()), 0);
}

#[test]
fn a_reset_is_noticed_while_a_frame_waits() {
    let node = Node::start(Config::default());
    let (mut client, id) = node.log_in();
    node.call(|_, echo| echo.admitted = 0);
    client.send(&heartbeat(1, 10));
    node.until(|io, _| io.input_capacity() > 0);
    reset(client);
    node.wait_for(Event::Closed(id, CloseReason::Reset));
}

#[test]
fn an_end_in_the_middle_of_a_frame_closes() {
    let node = Node::start(Config::default());
    let (mut client, id) = node.log_in();
    client.send(&heartbeat(1, 1000)[..500]);
    drop(client);
    node.wait_for(Event::Closed(id, CloseReason::Peer));
}

#[test]
fn what_was_queued_before_close_after_flush_arrives() {
    let node = Node::start(Config::default());
    let (mut client, id) = node.log_in();
    let body = 500_000;
    let sent = node.call(move |io, _| {
        let frame = OutFrame::new(&heartbeat(9, body)[..16], Bytes::from(vec![9; body]));
        let sent = io.send(id, frame, Lane::Reply);
        io.close_after_flush(id, CloseReason::Handler);
        (sent, io.send(id, answer(), Lane::Reply))
    });
    assert_eq!(sent, (Sent::Queued, Sent::Gone));
    client.send(&heartbeat(1, 0));
    assert_eq!(client.receive().unwrap().1.len(), body);
    assert!(client.read_to_end(), "what the client sent meanwhile does not reset it");
    drop(client);
    node.wait_for(Event::Closed(id, CloseReason::Handler));
}

#[test]
fn who_writes_before_reading_can_finish_and_then_reads_why_it_was_closed() {
    let node = Node::start(Config { linger_deadline: PATIENCE, ..Config::default() });
    let (mut client, id) = node.log_in();
    node.call(|_, echo| echo.admitted = 0);
    // Much more than the kernel buffers, and the server does not read it as frames.
    let bytes = heartbeat(1, 1000).repeat(20_000);
    let mut writer = client.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        std::io::Write::write_all(&mut writer, &bytes).unwrap();
    });
    node.until(|io, _| io.input_capacity() > 0);
    // Time for the kernel's buffers to fill, after which no event tells of more to read.
    std::thread::sleep(std::time::Duration::from_millis(200));
    node.call(move |io, _| {
        let _ = io.send(id, answer(), Lane::Reply);
        io.close_after_flush(id, CloseReason::Handler);
    });
    sender.join().unwrap();
    client.expect_seqs([9]);
    assert!(client.read_to_end());
}

#[test]
fn a_stale_handle_does_nothing_to_the_next_connection() {
    let node = Node::start(Config::default());
    let (client, old) = node.log_in();
    drop(client);
    node.wait_for(Event::Closed(old, CloseReason::Peer));
    let (mut client, new) = node.log_in();
    assert_eq!(new.index, old.index, "the slot is used again");
    assert_ne!(new.generation, old.generation);
    let sent = node.call(move |io, _| {
        io.close(old, CloseReason::Handler);
        io.close_after_flush(old, CloseReason::Handler);
        io.set_logged_in(old);
        io.resume(old);
        io.close(ConnId { index: 9999, generation: 1 }, CloseReason::Handler);
        io.send(old, answer(), Lane::Reply)
    });
    assert_eq!(sent, Sent::Gone);
    client.send(&heartbeat(2, 0));
    client.expect_seqs([2]);
}

#[test]
fn every_open_has_exactly_one_close() {
    let node = Node::start(Config::default());
    let ids: Vec<ConnId> = (0..50)
        .map(|round| {
            let (mut client, id) = node.log_in();
            client.send(&heartbeat(1, 10)[..10 + round % 16]);
            match round % 3 {
                0 => reset(client),
                1 => drop(client),
                _ => node.call(move |io, _| {
                    io.close(id, CloseReason::Handler);
                    io.close(id, CloseReason::Handler);
                    io.close_after_flush(id, CloseReason::Handler);
                }),
            }
            id
        })
        .collect();
    node.until(|io, _| io.connection_count() == 0);
    let events = node.events();
    for id in ids {
        let ends = events.iter().filter(|event| matches!(event, Event::Closed(c, _) if *c == id));
        assert_eq!(ends.count(), 1, "{id:?}");
        assert_eq!(events.iter().filter(|event| **event == Event::Open(id)).count(), 1);
    }
    let counters = node.counters();
    assert_eq!(counters.closed.iter().sum::<u64>(), 50);
    assert_eq!(counters.accepted, 50);
}

#[test]
fn stopping_closes_what_is_open_after_a_last_flush() {
    let node = Node::start(Config::default());
    let (mut client, id) = node.log_in();
    node.call(move |io, _| {
        let _ = io.send(id, answer(), Lane::Reply);
        io.stop();
    });
    client.expect_seqs([9]);
    assert!(client.receive().is_none());
    node.wait_for(Event::Closed(id, CloseReason::Stopped));
}
