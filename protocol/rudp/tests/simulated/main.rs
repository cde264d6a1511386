//! Goal: whatever the network, attackers and restarts do, every promise of the endpoint holds after
//! every step, for thousands of seeds; and bugs that are planted break one.
//!
//! `RUDP_SEED=n` runs one seed. The soak example runs any number.

mod sim;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sim::hostile::{Hostile, Kind};

const KINDS: [Kind; 4] = [Kind::Forged, Kind::Replayed, Kind::Flipped, Kind::Truncated];
/// Hostile datagrams of each kind that a test's seeds must bring at least, or it shows nothing.
const HOSTILE_MIN: u64 = 1_000;

/// Runs seeds and tells which ones fail.
fn run(seeds: Range<u64>) {
    let only: Option<u64> = std::env::var("RUDP_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(seeds, |seed| seed..seed + 1);
    let (mut failed, mut hostile) = (Vec::new(), Hostile::default());
    for seed in seeds {
        match catch_unwind(AssertUnwindSafe(|| sim::run(seed))) {
            Ok(outcome) => hostile += outcome.hostile,
            Err(_) => failed.push(seed),
        }
    }
    assert!(failed.is_empty(), "RUDP_SEED={} and others of {failed:?}", failed[0]);
    println!("{hostile}");
    let is_missing = |kind| only.is_none() && hostile.count(kind) < HOSTILE_MIN;
    assert!(!KINDS.into_iter().any(is_missing), "too few to tell: {hostile}");
}

#[test]
fn promises_hold_for_seeds_from_0() {
    run(0..500);
}

#[test]
fn promises_hold_for_seeds_from_500() {
    run(500..1_000);
}

#[test]
fn promises_hold_for_seeds_from_1000() {
    run(1_000..1_500);
}

#[test]
fn promises_hold_for_seeds_from_1500() {
    run(1_500..2_000);
}

#[test]
fn the_same_seed_gives_the_same_datagrams_to_the_byte() {
    for seed in 0..20 {
        assert_eq!(sim::run(seed), sim::run(seed), "seed {seed}");
    }
    assert_ne!(sim::run(1).digest, sim::run(2).digest);
}

/// Needs the feature `planted-bugs`, which compiles the bugs in.
#[cfg(feature = "planted-bugs")]
mod planted {
    use super::{AssertUnwindSafe, catch_unwind, sim};
    use aldis_rudp::planted::{Bug, plant};

    /// A bug shows in one of this many seeds.
    const SEEDS_MAX: u64 = 100;

    fn is_caught(bug: Bug) -> bool {
        plant(Some(bug));
        let caught =
            (0..SEEDS_MAX).any(|seed| catch_unwind(AssertUnwindSafe(|| sim::run(seed))).is_err());
        plant(None);
        caught
    }

    #[test]
    fn a_message_delivered_again_is_caught() {
        assert!(is_caught(Bug::NoDedupe));
    }

    #[test]
    fn an_acknowledgement_of_what_did_not_arrive_is_caught() {
        assert!(is_caught(Bug::AckOfTheMissing));
    }

    #[test]
    fn a_timer_that_never_backs_off_is_caught() {
        assert!(is_caught(Bug::NoBackoff));
    }

    #[test]
    fn a_probe_without_data_is_caught() {
        assert!(is_caught(Bug::ProbeWithoutData));
    }
}
