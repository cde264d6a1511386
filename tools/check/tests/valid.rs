//! Histories of a correct server are valid, whatever faults happen; planted bugs are caught.

mod model;

use std::collections::BTreeSet;

use aldis_check::{History, Invariant, Verdict, check};
use model::{Bug, Coverage, generate};
use serde_json::Value;

/// Seeds that are tried; `ALDIS_CHECK_SEED` tries one.
const SEEDS: u64 = 40;

fn seeds() -> Vec<u64> {
    match std::env::var("ALDIS_CHECK_SEED") {
        Ok(seed) => vec![seed.parse().expect("ALDIS_CHECK_SEED is a number")],
        Err(_) => (0..SEEDS).collect(),
    }
}

fn text(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn histories_of_a_correct_server_are_valid() {
    let mut all = Coverage::default();
    for seed in seeds() {
        let (lines, coverage) = generate(seed, Bug::None);
        let history = History::parse("model", &text(&lines));
        let verdict = check(&history);
        assert_eq!(verdict, Verdict::Valid, "ALDIS_CHECK_SEED={seed}");
        assert!(history.summary().acknowledged > 100, "ALDIS_CHECK_SEED={seed}");
        all.crashes += coverage.crashes;
        all.resends += coverage.resends;
        all.busy += coverage.busy;
        all.forbidden += coverage.forbidden;
        all.replies_lost += coverage.replies_lost;
        all.pushes += coverage.pushes;
        all.group_events += coverage.group_events;
        all.changes += coverage.changes;
    }
    let Coverage { crashes, resends, busy, forbidden, replies_lost, pushes, group_events, changes } =
        all;
    let counts = [crashes, resends, busy, forbidden, replies_lost, pushes, group_events, changes];
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

#[test]
fn the_order_and_number_of_files_do_not_matter() {
    let (lines, _) = generate(3, Bug::None);
    let directory = std::env::temp_dir().join(format!("aldis-check-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let mut paths: BTreeSet<_> = BTreeSet::new();
    for line in lines {
        let path = directory.join(line["process"].as_str().unwrap());
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).unwrap();
        paths.insert(path);
    }
    let paths: Vec<_> = paths.into_iter().rev().collect();
    let history = History::read_files(&paths).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(check(&history), Verdict::Valid);
    assert!(History::read_files(&paths).is_err());
}

#[test]
fn bugs_planted_in_the_server_are_caught() {
    for (bug, wanted) in [(Bug::AckBeforeCommit, Invariant::I1), (Bug::NoDedupe, Invariant::I2)] {
        // A bug shows only where a crash meets a send that was answered or is sent again.
        let found = (0..SEEDS).filter(|seed| {
            let (lines, _) = generate(*seed, bug);
            let verdict = check(&History::parse("model", &text(&lines)));
            matches!(verdict, Verdict::Invalid { counts, .. } if counts.contains_key(&wanted))
        });
        assert!(found.count() as u64 > SEEDS / 2, "{bug:?}");
    }
}
