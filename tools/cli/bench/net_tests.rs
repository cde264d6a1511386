//! Tests of the event loop against a plain listener.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use aldis_wire::{Code, OutFrame};

use super::*;

#[derive(Default)]
struct Seen {
    frames: Vec<(ConnIndex, u32, usize)>,
    closed: Vec<(ConnIndex, String)>,
}

impl Handler for Seen {
    fn handle_frame(&mut self, _: &mut Outbox, conn: ConnIndex, frame: Frame<'_>, _now_ns: u64) {
        self.frames.push((conn, frame.header.seq, frame.body.len()));
    }

    fn handle_closed(&mut self, _: &mut Outbox, conn: ConnIndex, why: &str) {
        self.closed.push((conn, why.to_owned()));
    }
}

fn pair() -> (Net, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut net = Net::new(Instant::now(), None).unwrap();
    net.connect(listener.local_addr().unwrap(), 0).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    (net, stream)
}

fn until(net: &mut Net, seen: &mut Seen, done: impl Fn(&Seen) -> bool) {
    let give_up_ns = net.now_ns() + 20_000_000_000;
    while !done(seen) {
        assert!(net.now_ns() < give_up_ns, "{:?} {:?}", seen.frames, seen.closed);
        let wake_ns = net.now_ns() + 50_000_000;
        net.turn(seen, wake_ns).unwrap();
    }
}

fn frame(seq: u32, len: usize) -> Vec<u8> {
    let message = "x".repeat(len);
    OutFrame::error(0x1003, seq, Code::Internal, &message, 0).to_vec()
}

#[test]
fn frames_cut_anywhere_and_larger_than_a_read_arrive_whole_and_in_order() {
    let (mut net, mut peer) = pair();
    let mut seen = Seen::default();
    for byte in frame(1, 10) {
        peer.write_all(&[byte]).unwrap();
        let wake_ns = net.now_ns() + 1_000_000;
        net.turn(&mut seen, wake_ns).unwrap();
    }
    let mut bytes = frame(2, 900_000);
    bytes.extend(frame(3, 5));
    bytes.extend(frame(4, 70_000));
    let writer = std::thread::spawn(move || {
        peer.write_all(&bytes).unwrap();
        peer
    });
    until(&mut net, &mut seen, |seen| seen.frames.len() == 4);
    let seqs: Vec<u32> = seen.frames.iter().map(|frame| frame.1).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
    assert!(seen.frames[1].2 > 900_000 && seen.closed.is_empty());
    drop(writer.join().unwrap());
    until(&mut net, &mut seen, |seen| seen.closed.len() == 1);
}

#[test]
fn what_came_before_the_end_is_still_handled() {
    let (mut net, mut peer) = pair();
    peer.write_all(&frame(7, 100)).unwrap();
    drop(peer);
    let mut seen = Seen::default();
    until(&mut net, &mut seen, |seen| seen.closed.len() == 1);
    assert_eq!(seen.frames.len(), 1);
    assert!(net.outbox().frames_for(0).is_none());
}

#[test]
fn a_peer_that_reads_slowly_gets_every_byte() {
    let (mut net, mut peer) = pair();
    let mut seen = Seen::default();
    let frames: Vec<u8> = (0..40).flat_map(|seq| frame(seq, 200_000)).collect();
    net.outbox().send(0, &frames);
    let len = frames.len();
    let reader = std::thread::spawn(move || {
        let mut bytes = vec![0; len];
        peer.read_exact(&mut bytes).unwrap();
        peer.write_all(&frame(1, 1)).unwrap();
        bytes
    });
    until(&mut net, &mut seen, |seen| seen.frames.len() == 1);
    assert!(reader.join().unwrap() == frames);
}

#[test]
fn nobody_listening_and_a_peer_of_another_protocol_end_the_connection() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut net = Net::new(Instant::now(), None).unwrap();
    let mut seen = Seen::default();
    match net.connect(address, 0) {
        Ok(_) => until(&mut net, &mut seen, |seen| seen.closed.len() == 1),
        Err(error) => assert!(format!("{error:#}").contains("connecting"), "{error:#}"),
    }
    let (mut net, mut peer) = pair();
    let mut seen = Seen::default();
    peer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    until(&mut net, &mut seen, |seen| seen.closed.len() == 1);
    assert!(seen.closed[0].1.contains("magic"), "{:?}", seen.closed);
}
