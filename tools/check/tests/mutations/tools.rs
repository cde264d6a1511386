//! Ways to change a history, and to look what the checker says of it.

use aldis_check::{History, Invariant, Verdict, check};
use serde_json::Value;

use crate::model::{Bug, Rng, generate};

/// Histories that each mutation is tried on; `ALDIS_CHECK_SEED` tries one.
const SEEDS: u64 = 12;

pub fn lines_of(seed: u64) -> Vec<Value> {
    generate(seed, Bug::None).0
}

pub fn verdict(lines: &[Value]) -> Verdict {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    check(&History::parse("mutated", &text))
}

/// Applies a mutation to many histories; each that it changed must break the invariant.
pub fn expect(invariant: Invariant, mutate: impl Fn(&mut Vec<Value>, &mut Rng) -> bool) {
    expect_one_of(&[invariant], mutate);
}

/// The same, where it depends on the history which of some invariants it breaks.
pub fn expect_one_of(invariants: &[Invariant], mutate: impl Fn(&mut Vec<Value>, &mut Rng) -> bool) {
    let seeds = match std::env::var("ALDIS_CHECK_SEED") {
        Ok(seed) => vec![seed.parse().expect("ALDIS_CHECK_SEED is a number")],
        Err(_) => (100..100 + SEEDS).collect(),
    };
    let mut changed = 0;
    for seed in seeds {
        let mut lines = lines_of(seed);
        if !mutate(&mut lines, &mut Rng::new(seed)) {
            continue;
        }
        changed += 1;
        match verdict(&lines) {
            Verdict::Invalid { counts, violations } => {
                assert!(
                    invariants.iter().any(|invariant| counts.contains_key(invariant)),
                    "ALDIS_CHECK_SEED={seed}: {invariants:?} wanted, found {counts:?}"
                );
                assert!(violations.iter().all(|violation| !violation.lines.is_empty()));
            }
            other => panic!("ALDIS_CHECK_SEED={seed}: {invariants:?} wanted, found {other:?}"),
        }
    }
    assert!(changed > 0, "the mutation fits no history");
}

pub fn is(line: &Value, op: &str, phase: &str) -> bool {
    line["op"] == op && line["phase"] == phase
}

/// Whether anybody ever saw the entry's message recalled or edited.
pub fn is_ever_changed(lines: &[Value], entry: &Value) -> bool {
    let seen = lines.iter().filter_map(|line| line["result"]["entries"].as_array()).flatten();
    let mut versions = seen.filter(|other| other["msg_id"] == entry["msg_id"]);
    versions.any(|version| version["flags"] != 0)
}

/// Indices of the pages of a user's last final sync.
pub fn final_pages(lines: &[Value], user: u64) -> Vec<usize> {
    let pages = (0..lines.len()).filter(|index| {
        let line = &lines[*index];
        is(line, "sync", "ok") && line["args"]["final"] == true && line["args"]["user"] == user
    });
    let pages: Vec<usize> = pages.collect();
    let start = pages.iter().rposition(|index| lines[*index]["args"]["after"] == 0);
    pages[start.expect("every user has one")..].to_vec()
}

/// All entries of a user's last final sync, in order.
pub fn final_entries(lines: &[Value], user: u64) -> Vec<Value> {
    let pages = final_pages(lines, user);
    pages
        .iter()
        .flat_map(|page| lines[*page]["result"]["entries"].as_array().expect("of a sync").clone())
        .collect()
}

/// Replaces a user's last final sync by one page with these entries, numbered from 1.
pub fn replace_final(lines: &mut Vec<Value>, user: u64, mut entries: Vec<Value>) {
    for (seq, entry) in (1..).zip(&mut entries) {
        entry["seq"] = seq.into();
    }
    let pages = final_pages(lines, user);
    let (first, others) = pages.split_first().expect("at least one");
    let page = &mut lines[*first];
    page["args"]["limit"] = 0.into();
    page["result"]["head"] = entries.len().into();
    page["result"]["more"] = false.into();
    page["result"]["entries"] = entries.into();
    let ids: Vec<(Value, Value)> = others
        .iter()
        .map(|page| (lines[*page]["process"].clone(), lines[*page]["id"].clone()))
        .collect();
    // The invocation of the first page asked for a limit; completions' arguments are not read.
    let id = (lines[*first]["process"].clone(), lines[*first]["id"].clone());
    let invoke = lines
        .iter_mut()
        .find(|l| l["phase"] == "invoke" && (l["process"].clone(), l["id"].clone()) == id);
    invoke.expect("it was invoked")["args"]["limit"] = 0.into();
    lines.retain(|line| !ids.contains(&(line["process"].clone(), line["id"].clone())));
}

/// A message of another user, acknowledged, and its position in a user's final entries.
pub fn pick_message(entries: &[Value], user: u64, rng: &mut Rng) -> usize {
    let candidates: Vec<usize> = (0..entries.len())
        .filter(|index| entries[*index]["kind"] == 1 && entries[*index]["sender"] != user)
        .collect();
    candidates[rng.below(candidates.len() as u64) as usize]
}

/// Calls `change` for every entry of every page and push.
pub fn for_each_entry(lines: &mut [Value], mut change: impl FnMut(&mut Value)) {
    for line in lines {
        if let Some(entries) = line["result"]["entries"].as_array_mut() {
            entries.iter_mut().for_each(&mut change);
        }
    }
}

/// Adds an entry with this key at the end of a user's final sync.
pub fn append_to_final(lines: &mut Vec<Value>, user: u64, key: &Value) {
    let mut entries = final_entries(lines, user);
    let mut entry = entries.last().expect("users get messages").clone();
    entry.as_object_mut().expect("an entry").remove("group_event");
    entry["kind"] = 1.into();
    entry["msg_id"] = 1_000_000.into();
    entry["conv_seq"] = 1_000_000.into();
    for field in ["conv", "sender", "client_msg_id", "hash"] {
        entry[field] = key[field].clone();
    }
    entries.push(entry);
    replace_final(lines, user, entries);
}
