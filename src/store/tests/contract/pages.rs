//! Pages of mailboxes and histories: bounds in rows and bytes, directions, ends.

use aldis_logic::job::{HistoryRange, WriteJob};
use aldis_wire::limits::{PAGE_BYTES_MAX, SYNC_ENTRIES_MAX};
use aldis_wire::{Code, ConvSeq, Seq, UserId};

use crate::harness::{Bench, append, direct, on_every_backend};

/// Messages 1 to `count` from one to the other, in batches of odd sizes so that runs differ.
fn conversation(bench: &mut Bench, count: usize) -> (UserId, UserId) {
    let users = bench.users(2);
    let mut sent = 0;
    for size in [1, 7, 300, 2, 1, 50].into_iter().cycle() {
        let size = size.min(count - sent);
        let jobs: Vec<WriteJob> = (0..size)
            .map(|n| {
                let text = (sent + n + 1).to_string();
                append(direct(users[0], users[1]), users[n % 2], bench.fresh_id(), &text)
            })
            .collect();
        assert!(bench.batch(jobs).results.iter().all(Result::is_ok));
        sent += size;
        if sent == count {
            return (users[0], users[1]);
        }
    }
    unreachable!("the sizes repeat for ever")
}

#[test]
fn sync_returns_what_is_above_in_order_and_ends() {
    on_every_backend(|bench| {
        let (a, _) = conversation(bench, 1_200);
        for after in [0, 1, 6, 7, 8, 9, 100, 307, 308, 309, 699, 1_199, 1_200] {
            let page = bench.sync(a, after, SYNC_ENTRIES_MAX);
            assert_eq!(page.head, Seq(1_200));
            let last = (after + 500).min(1_200);
            let seqs: Vec<_> = page.entries.iter().map(|(seq, _)| seq.0).collect();
            assert_eq!(seqs, (after + 1..=last).collect::<Vec<_>>());
            for (seq, entry) in &page.entries {
                assert_eq!(entry.content, seq.0.to_string());
            }
        }
        assert_eq!(bench.sync(a, 10, 3).entries.len(), 3);
        assert_eq!(bench.sync(a, 10, 0).entries.len(), 0);
        assert_eq!(bench.sync(a, 0, usize::MAX).entries.len(), SYNC_ENTRIES_MAX);
    });
}

#[test]
fn sync_of_nobody_or_from_above_the_head_is_empty() {
    on_every_backend(|bench| {
        let (a, _) = conversation(bench, 3);
        for (user, after, head) in
            [(a, 4, 3), (a, u64::MAX, 3), (UserId(5), 0, 0), (UserId(u64::MAX), 0, 0)]
        {
            let page = bench.sync(user, after, 10);
            assert_eq!((page.entries.len(), page.head), (0, Seq(head)));
        }
    });
}

#[test]
fn a_page_ends_by_bytes_but_holds_one_entry() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let key = direct(users[0], users[1]);
        let big = "x".repeat(PAGE_BYTES_MAX / 3);
        let huge = "y".repeat(PAGE_BYTES_MAX + 1);
        for text in [&big, &big, &big, &huge, &big] {
            bench.send(key, users[0], text).unwrap();
        }
        let sizes = [(0, 2), (1, 2), (2, 1), (3, 1), (4, 1)];
        for (after, count) in sizes {
            assert_eq!(bench.sync(users[1], after, 10).entries.len(), count, "after {after}");
            let range = HistoryRange::After(ConvSeq(after));
            let page = bench.history(users[1], key, range, 10).unwrap();
            assert_eq!((page.entries.len(), page.more), (count, after as usize + count < 5));
        }
        for (before, first, count) in [(6, 5, 1), (5, 4, 1), (4, 2, 2), (3, 1, 2)] {
            let range = HistoryRange::Before(ConvSeq(before));
            let page = bench.history(users[1], key, range, 10).unwrap();
            let seen = (page.entries[0].conv_seq.0, page.entries.len(), page.more);
            assert_eq!(seen, (first, count, first > 1), "before {before}");
        }
    });
}

#[test]
fn history_pages_in_both_directions_meet() {
    on_every_backend(|bench| {
        let (a, b) = conversation(bench, 700);
        let key = direct(a, b);
        let mut down = Vec::new();
        let mut range = HistoryRange::Newest;
        loop {
            let page = bench.history(a, key, range, 33).unwrap();
            assert_eq!(page.max_conv_seq, ConvSeq(700));
            assert!(page.entries.is_sorted_by_key(|entry| entry.conv_seq));
            range = HistoryRange::Before(page.entries[0].conv_seq);
            down.splice(0..0, page.entries);
            if !page.more {
                break;
            }
        }
        let mut up = Vec::new();
        loop {
            let range = HistoryRange::After(ConvSeq(up.len() as u64));
            let page = bench.history(b, key, range, 41).unwrap();
            up.extend(page.entries);
            if !page.more {
                break;
            }
        }
        assert_eq!(up.len(), 700);
        assert!(up == down);
        for (at, entry) in (1..).zip(&up) {
            assert_eq!((entry.conv_seq.0, entry.msg_no.0), (at, at));
        }
    });
}

#[test]
fn history_at_the_ends_is_empty() {
    on_every_backend(|bench| {
        let (a, b) = conversation(bench, 3);
        for range in [
            HistoryRange::Before(ConvSeq(0)),
            HistoryRange::Before(ConvSeq(1)),
            HistoryRange::After(ConvSeq(3)),
            HistoryRange::After(ConvSeq(u64::MAX)),
        ] {
            let page = bench.history(a, direct(a, b), range, 5).unwrap();
            assert_eq!((page.entries.len(), page.more), (0, false), "{range:?}");
            assert_eq!(page.max_conv_seq, ConvSeq(3));
        }
        for other in [UserId(77), UserId(u64::MAX)] {
            let key = direct(a, other);
            let page = bench.history(a, key, HistoryRange::Newest, 5).unwrap();
            assert_eq!((page.entries.len(), page.max_conv_seq), (0, ConvSeq(0)));
        }
        let stranger = bench.history(UserId(77), direct(a, b), HistoryRange::Newest, 5);
        assert_eq!(stranger.unwrap_err().code(), Code::NotFound);
    });
}
