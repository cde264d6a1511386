//! Tests of one receiver: order, repeats, hints, syncs.

use aldis_wire::{HEADER_LEN, Message, pb};

use super::*;
use crate::bench::codec::{STAMP_LEN, SendTemplate, Target};

const EXPECT: Expect = Expect { tag: RunTag(1), payload_len: STAMP_LEN };

fn message(no: u64, seq: u64) -> pb::MessageData {
    let template = SendTemplate::new(Target::User(2), STAMP_LEN, RunTag(1), 0);
    let mut frame = Vec::new();
    template.write(Stamp { no, due_ns: no }, &mut frame);
    let request = pb::MsgSendReq::decode(&frame[HEADER_LEN..]).unwrap();
    let content = request.content;
    pb::MessageData { seq, sender_id: 1, receiver_id: 2, r#type: 1, content, ..Default::default() }
}

struct Side {
    receiver: Receiver,
    tally: Tally,
    got: Vec<u64>,
}

impl Side {
    fn new() -> Self {
        Self { receiver: Receiver::new(0, 1, 10), tally: Tally::default(), got: Vec::new() }
    }

    fn push(&mut self, entries: Vec<pb::MessageData>, head: u64) {
        let body = pb::MsgPushNotify { stream: 0, head, entries }.encode_to_vec();
        let Side { receiver, tally, got } = self;
        receiver.handle_push(&body, &EXPECT, tally, |stamp, _| got.push(stamp.no));
    }

    fn page(&mut self, entries: Vec<pb::MessageData>, head: u64, more: bool) {
        let body = pb::MsgSyncResp { entries, head, more, ..Default::default() }.encode_to_vec();
        let Side { receiver, tally, got } = self;
        receiver.handle_sync_page(&body, &EXPECT, tally, |stamp, _| got.push(stamp.no));
    }

    fn faults(&self) -> Vec<&'static str> {
        self.tally.faults.iter().map(|(kind, ..)| kind).collect()
    }
}

#[test]
fn pushes_in_order_are_delivered_and_need_no_sync() {
    let mut side = Side::new();
    side.push(vec![message(1, 11)], 11);
    side.push(vec![message(2, 13), message(3, 14)], 14);
    assert_eq!(side.got, [1, 2, 3]);
    assert_eq!(side.receiver.poll_sync(), None);
    assert_eq!(side.faults(), [""; 0]);
}

#[test]
fn a_hint_is_followed_by_a_sync_that_completes_the_deliveries() {
    let mut side = Side::new();
    side.push(vec![message(1, 11)], 11);
    side.push(vec![], 14);
    assert_eq!(side.receiver.poll_sync(), Some(11));
    assert_eq!(side.receiver.poll_sync(), None);
    // What is pushed meanwhile is left to the sync.
    side.push(vec![message(4, 14)], 14);
    side.push(vec![message(5, 15)], 15);
    side.page(vec![message(2, 12), message(3, 13), message(4, 14)], 14, false);
    assert_eq!(side.receiver.poll_sync(), Some(14));
    side.page(vec![message(5, 15)], 15, false);
    assert_eq!(side.receiver.poll_sync(), None);
    assert_eq!(side.got, [1, 2, 3, 4, 5]);
    assert_eq!((side.tally.hints, side.faults()), (1, vec![]));
    // A push that was under way while the sync was answered is no fault.
    side.push(vec![message(5, 15)], 15);
    assert_eq!(side.faults(), [""; 0]);
}

#[test]
fn a_gap_is_synced_and_pages_are_followed_to_the_end() {
    let mut side = Side::new();
    side.push(vec![message(3, 13)], 13);
    assert_eq!(side.receiver.poll_sync(), Some(10));
    side.page(vec![message(1, 11)], 13, true);
    assert_eq!(side.receiver.poll_sync(), Some(11));
    side.page(vec![message(2, 12), message(3, 13)], 13, false);
    assert_eq!((side.got.as_slice(), side.tally.gaps), (&[1, 2, 3][..], 1));
    assert_eq!(side.faults(), [""; 0]);
}

#[test]
fn repeats_losses_and_changes_are_faults() {
    let mut side = Side::new();
    side.push(vec![message(1, 11)], 11);
    side.push(vec![message(1, 11)], 11);
    assert_eq!(side.faults(), ["messages pushed twice"]);

    let mut side = Side::new();
    side.push(vec![message(1, 11)], 11);
    side.push(vec![message(1, 12)], 12);
    assert_eq!(side.faults(), ["messages stored twice"]);

    let mut side = Side::new();
    side.push(vec![], 12);
    side.receiver.poll_sync();
    side.page(vec![message(2, 11), message(3, 13)], 13, false);
    assert_eq!(side.faults(), ["holes in a sync", "messages missing in a sync"]);

    let mut side = Side::new();
    side.push(vec![], 12);
    side.receiver.poll_sync();
    side.page(vec![], 12, false);
    assert_eq!(side.faults(), ["syncs that stop below the head"]);
    assert_eq!(side.receiver.poll_sync(), None);

    let mut side = Side::new();
    let mut changed = message(1, 11);
    changed.content = b"something else".to_vec().into();
    side.push(vec![changed], 11);
    assert_eq!(side.faults(), ["contents that changed"]);
}

#[test]
fn entries_of_others_and_events_are_not_ours_to_judge() {
    let mut side = Side::new();
    let mut event = message(9, 11);
    event.r#type = 100;
    let mut other = message(9, 12);
    other.sender_id = 77;
    side.push(vec![event, other], 12);
    side.push(vec![message(1, 13)], 13);
    assert_eq!((side.got.as_slice(), side.faults()), (&[1][..], vec![]));
}
