//! Tests of the code as a whole: what repairs bring back.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::redundancy::encoder::Encoder;
use crate::wire::header::Shape;

fn frames(number: u64) -> Vec<u8> {
    (0..20 + number % 7).map(|byte| (byte * 31 + number * 17) as u8).collect()
}

fn with_content<T>(number: u64, run: impl FnOnce(&Content<'_>) -> T) -> T {
    let frames = frames(number);
    run(&Content { shape: Shape::Next, first_message: number as u32, frames: &frames })
}

/// Sends `count` datagrams with a repair after each `interval` of them; `is_lost` says what does not
/// arrive. Gives what was brought back.
fn run(count: u64, interval: u64, is_lost: impl Fn(u64) -> bool) -> BTreeSet<u64> {
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let mut seen = BTreeSet::new();
    let mut solved = BTreeMap::new();
    let mut number = 0;
    for index in 0..count {
        with_content(number, |content| {
            encoder.push(Time(0), number, content);
            if !is_lost(number) {
                seen.insert(number);
                decoder.handle_source(number, content);
            }
        });
        number += 1;
        if (index + 1) % interval == 0 {
            let mut body = Vec::new();
            assert!(encoder.put_repair(number, 1.0, |_| true, &mut body));
            if !is_lost(number) {
                let is_seen = |number: u64| seen.contains(&number);
                decoder.handle_repair(Time(0), number, &body, is_seen).unwrap();
            }
            number += 1;
        }
        while let Some((number, symbol)) = decoder.poll_solved() {
            assert!(is_lost(number));
            let content = content(&symbol).unwrap();
            assert_eq!(
                (content.first_message, content.frames),
                (number as u32, &frames(number)[..])
            );
            assert!(solved.insert(number, ()).is_none(), "{number} twice");
            seen.insert(number);
            decoder.handle_source(number, &content);
        }
    }
    solved.into_keys().collect()
}

#[test]
fn one_loss_comes_back_with_the_next_repair() {
    assert_eq!(run(24, 4, |number| number == 7), BTreeSet::from([7]));
}

#[test]
fn a_burst_comes_back_with_as_many_repairs() {
    let is_lost = |number| (10..14).contains(&number) && number != 14;
    assert_eq!(run(60, 4, is_lost), BTreeSet::from([10, 11, 12, 13]));
}

#[test]
fn a_lost_repair_is_made_up_for_by_the_next() {
    assert_eq!(run(24, 4, |number| [6, 9].contains(&number)), BTreeSet::from([6]));
}

#[test]
fn nothing_comes_back_of_what_repairs_do_not_cover() {
    assert_eq!(run(23, 24, |number| number == 7), BTreeSet::new());
}

proptest! {
    #[test]
    fn whatever_is_lost_what_comes_back_is_right(
        lost in proptest::collection::btree_set(0u64..150, 0..60), interval in 1u64..8,
    ) {
        run(100, interval, |number| lost.contains(&number));
    }

    #[test]
    fn light_loss_is_repaired_in_full(
        lost in proptest::collection::btree_set(0u64..80, 0..4), interval in 2u64..4,
    ) {
        let sources: BTreeSet<u64> =
            lost.iter().copied().filter(|number| number % (interval + 1) != interval).collect();
        prop_assert_eq!(run(90, interval, |number| lost.contains(&number)), sources);
    }

    #[test]
    fn arbitrary_repairs_never_panic(
        body in proptest::collection::vec(any::<u8>(), 0..40), repair in 0u64..200,
    ) {
        let mut decoder = Decoder::default();
        for number in 0..50 {
            with_content(number, |content| decoder.handle_source(number, content));
        }
        let _ = decoder.handle_repair(Time(0), repair, &body, |number| number < 50);
        while let Some((_, symbol)) = decoder.poll_solved() {
            let _ = content(&symbol);
        }
    }
}
