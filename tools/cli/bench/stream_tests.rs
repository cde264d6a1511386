//! Tests of one sender's bookkeeping.

use aldis_wire::{HEADER_LEN, parse_frame};

use super::*;
use crate::bench::codec::{RunTag, STAMP_LEN, Target};

fn stream(window: usize, deliveries: u32) -> Stream {
    let template = SendTemplate::new(Target::User(2), STAMP_LEN, RunTag(1), 0);
    Stream::new(template, window, deliveries)
}

/// Header seqs of the frames in `out`.
fn seqs(mut out: &[u8]) -> Vec<u32> {
    let mut seqs = Vec::new();
    while let Some(frame) = parse_frame(out, 10_000).unwrap() {
        seqs.push(frame.header.seq);
        out = &out[HEADER_LEN + frame.body.len()..];
    }
    seqs
}

fn fill(stream: &mut Stream, due_ns: u64) -> Vec<u32> {
    let mut out = Vec::new();
    while stream.has_room() {
        stream.send(due_ns, &mut out);
    }
    seqs(&out)
}

#[test]
fn the_window_bounds_what_is_unanswered() {
    let mut stream = stream(3, 0);
    assert_eq!(fill(&mut stream, 5), [1, 2, 3]);
    assert_eq!(stream.handle_ack(2, 11), Acked::Now { due_ns: 5 });
    assert_eq!(fill(&mut stream, 6), [4]);
    assert_eq!(stream.handle_ack(2, 12), Acked::Unknown);
    assert_eq!(stream.handle_ack(9, 12), Acked::Unknown);
    assert_eq!(stream.handle_ack(4, 11), Acked::OutOfOrder);
    // The oldest is still unanswered: numbers do not run away from it.
    for no in 5..50 {
        fill(&mut stream, 7);
        stream.handle_ack(no, 100 + u64::from(no));
    }
    assert!(stream.next <= 1 + 8 + 1);
}

#[test]
fn with_deliveries_a_message_is_finished_only_when_all_have_it() {
    let mut stream = stream(1, 2);
    assert_eq!(fill(&mut stream, 1), [1]);
    stream.handle_delivered(1);
    stream.handle_ack(1, 1);
    assert!(!stream.has_room());
    stream.handle_delivered(1);
    assert_eq!(fill(&mut stream, 1), [2]);
    stream.handle_delivered(2);
    stream.handle_delivered(2);
    assert!(!stream.has_room());
    stream.handle_ack(2, 2);
    assert_eq!((stream.unfinished(), stream.unanswered()), (0, 0));
}

#[test]
fn refused_sends_are_repeated_in_order_with_the_same_bytes_after_all_were_answered() {
    let mut stream = stream(3, 0);
    let mut first = Vec::new();
    while stream.has_room() {
        stream.send(8, &mut first);
    }
    assert!(stream.handle_refused(3, 1_000, 0));
    assert!(stream.handle_refused(2, 1_000, 50));
    assert_eq!(stream.retry_at_ns(), None);
    assert!(!stream.has_room());
    assert_eq!(stream.handle_ack(1, 1), Acked::Now { due_ns: 8 });
    assert_eq!(stream.retry_at_ns(), Some(1_000 + 50_000_000));
    let mut again = Vec::new();
    assert_eq!(stream.retry(&mut again), 2);
    assert_eq!(again, first[first.len() / 3..]);
    assert_eq!(stream.unanswered(), 2);
    assert_eq!(stream.handle_ack(2, 2), Acked::Now { due_ns: 8 });
    assert!(stream.handle_failed(3));
    assert_eq!(stream.unfinished(), 0);
}

#[test]
fn what_is_due_without_room_is_sent_later_with_its_own_due_time() {
    let mut stream = stream(1, 0);
    fill(&mut stream, 1);
    assert!(stream.postpone(2));
    stream.handle_ack(1, 1);
    let mut out = Vec::new();
    stream.send_postponed(&mut out);
    assert_eq!(seqs(&out), [2]);
    assert_eq!(stream.handle_ack(2, 2), Acked::Now { due_ns: 2 });
    stream.close();
    assert!(!stream.postpone(3));
    assert!(!stream.has_room());
}
