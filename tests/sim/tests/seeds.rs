//! The simulation over many seeds. Goal: no promise is broken, and every fault and branch of interest
//! happens. `ALDIS_SIM_SEEDS` says how many seeds (2,000), `ALDIS_SEED` repeats one and
//! `ALDIS_SIM_TRACE=1` prints what happens in it.

use aldis_sim::{Coverage, Options, run};

/// Seeds of a usual run.
const SEED_COUNT: u64 = 2_000;
/// With fewer seeds than this the rarest branches may be missing by chance.
const SEED_COUNT_FOR_COVERAGE: u64 = 1_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

#[test]
fn every_seed_keeps_the_promises_and_every_branch_happens() {
    let is_traced = std::env::var("ALDIS_SIM_TRACE").is_ok_and(|value| value == "1");
    let options = Options { is_traced, ..Options::default() };
    if let Some(seed) = number("ALDIS_SEED") {
        let outcome = run(seed, options);
        assert!(outcome.violations.is_empty(), "seed {seed}:\n{}", outcome.violations.join("\n"));
        return;
    }
    let seed_count = number("ALDIS_SIM_SEEDS").unwrap_or(SEED_COUNT);
    let mut coverage = Coverage::default();
    for seed in 0..seed_count {
        let outcome = run(seed, options);
        coverage.add(&outcome.coverage);
        assert!(
            outcome.violations.is_empty(),
            "seed {seed}:\n{}\nrepeat: ALDIS_SEED={seed} ALDIS_SIM_TRACE=1 \
             cargo test -p aldis-sim --test seeds -- --nocapture",
            outcome.violations.join("\n")
        );
    }
    println!("{coverage}");
    let missing = coverage.missing();
    assert!(
        missing.is_empty() || seed_count < SEED_COUNT_FOR_COVERAGE,
        "never happened in {seed_count} seeds: {missing:#?}\n{coverage}"
    );
}

#[test]
fn a_seed_is_one_history() {
    // Some of them with several nodes and a link between them.
    let seeds = number("ALDIS_SEED").map_or(7..20, |seed| seed..seed + 1);
    let mut datagrams = 0;
    for seed in seeds.clone() {
        let (first, second) = (run(seed, Options::default()), run(seed, Options::default()));
        assert!(first.history.len() > 1_000, "something happened");
        assert!(first == second, "seed {seed} is two histories");
        datagrams += first.coverage.count("wire: datagram sent");
    }
    assert!(datagrams > 1_000 || seeds.end - seeds.start == 1, "nodes spoke to each other");
}
