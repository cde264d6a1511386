//! The examples of `vectors/stream.json` against this client's rule. Goal: what other languages
//! are told is what this one does.

// Helpers of tests fail like tests.
#![allow(clippy::unwrap_used)]

use aldis_client::core::{PageOutcome, Stream};
use aldis_wire::pb::MessageData;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    local: u64,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Entries {
    head: u64,
    entries: Vec<u64>,
    /// Of a page.
    #[serde(default)]
    skipped_to: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    at_ms: u64,
    push: Option<Entries>,
    own: Option<u64>,
    head: Option<u64>,
    head_soon: Option<u64>,
    page: Option<Entries>,
    refused: Option<u64>,
    disconnected: Option<bool>,
    timeout: Option<bool>,
    ask: Option<bool>,
    reset: Option<u64>,
    #[serde(default)]
    applied: Vec<u64>,
    sync_after: Option<u64>,
    wake_ms: Option<u64>,
    local: Option<u64>,
}

fn entries(seqs: &[u64]) -> Vec<MessageData> {
    seqs.iter().map(|&seq| MessageData { seq, ..Default::default() }).collect()
}

#[test]
fn every_case_of_the_published_vectors_holds() {
    let file: File = serde_json::from_str(include_str!("../vectors/stream.json")).unwrap();
    assert!(file.cases.len() > 20);
    for case in file.cases {
        let mut stream = Stream::new(case.local);
        for (index, step) in case.steps.iter().enumerate() {
            let place = format!("{}, step {}", case.name, index + 1);
            let now = step.at_ms;
            let mut applied = Vec::new();
            if let Some(push) = &step.push {
                stream.handle_push(now, entries(&push.entries), push.head, &mut applied);
            } else if let Some(seq) = step.own {
                stream.handle_own(now, entries(&[seq]).remove(0), &mut applied);
            } else if let Some(head) = step.head {
                stream.handle_head(head);
            } else if let Some(head) = step.head_soon {
                stream.handle_head_soon(now, head);
            } else if let Some(page) = &step.page {
                let (entries, skipped_to) = (entries(&page.entries), page.skipped_to);
                let outcome = stream.handle_page(now, entries, page.head, skipped_to, &mut applied);
                assert_eq!(outcome, PageOutcome::Applied, "{place}");
            } else if let Some(retry_after_ms) = step.refused {
                stream.handle_sync_refused(now, retry_after_ms);
            } else if step.ask.is_some() {
                stream.ask();
            } else if step.disconnected.is_some() {
                stream.handle_disconnected();
            } else if step.timeout.is_some() {
                stream.handle_timeout(now);
            } else if let Some(head) = step.reset {
                stream.reset(head);
            } else {
                panic!("{place}: no input");
            }
            let seqs: Vec<u64> = applied.iter().map(|applied| applied.entry.seq).collect();
            assert_eq!(seqs, step.applied, "{place}: applied");
            let sync_after = stream.wants_sync().then(|| stream.begin_sync());
            assert_eq!(sync_after, step.sync_after, "{place}: sync");
            assert_eq!(stream.poll_timeout(), step.wake_ms, "{place}: timer");
            if let Some(local) = step.local {
                assert_eq!(stream.local(), local, "{place}: position");
            }
        }
    }
}
