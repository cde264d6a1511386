//! What goes wrong with several nodes and a database that crashes: stale reads, reads of what was
//! not committed, commits that are gone, numbers taken outside of the transaction.

use std::collections::BTreeMap;

use aldis_check::Invariant;
use serde_json::{Value, json};

use crate::tools::{
    expect, expect_one_of, final_entries, final_pages, for_each_entry, is, replace_final,
};

/// A user with two devices in the model.
const USER: u64 = 1;

fn seqs(line: &Value) -> impl Iterator<Item = u64> + '_ {
    let entries = line["result"]["entries"].as_array().into_iter().flatten();
    entries.filter_map(|entry| entry["seq"].as_u64())
}

/// Whether the line shows entries of this user's mailbox.
fn is_view_of(line: &Value, user: u64) -> bool {
    let is_view = is(line, "push", "ok") || is(line, "sync", "ok");
    is_view && line["args"]["user"] == user
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

/// What matches a completion to its invocation.
fn key(line: &Value) -> (String, u64) {
    (line["process"].to_string(), number(&line["id"]))
}

/// When each operation began.
fn begun(lines: &[Value]) -> BTreeMap<(String, u64), u64> {
    let invoked = lines.iter().filter(|line| line["phase"] == "invoke");
    invoked.map(|line| (key(line), number(&line["t_ns"]))).collect()
}

/// A page that a device asked for after another device of the same user had seen an entry above
/// where it starts: (index, highest seq that was seen).
fn page_after_a_sighting(lines: &[Value], user: u64) -> Option<(usize, u64)> {
    let begun = begun(lines);
    let mut seen: Vec<(u64, u64, &Value)> = Vec::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| is_view_of(line, user)) {
        if is(line, "sync", "ok") {
            let begun_ns = begun[&key(line)];
            let earlier = seen
                .iter()
                .filter(|(at, _, process)| *at < begun_ns && **process != line["process"]);
            let highest = earlier.map(|(_, seq, _)| *seq).max().unwrap_or(0);
            if number(&line["args"]["after"]) < highest && line["args"]["final"] == false {
                return Some((index, highest));
            }
        }
        if let Some(seq) = seqs(line).max() {
            seen.push((number(&line["t_ns"]), seq, &line["process"]));
        }
    }
    None
}

#[test]
fn a_page_of_a_node_that_lags_behind_what_another_one_showed() {
    expect(Invariant::I5, |lines, _| {
        let Some((page, highest)) = page_after_a_sighting(lines, USER) else { return false };
        let result = &mut lines[page]["result"];
        let entries = result["entries"].as_array_mut().unwrap();
        entries.retain(|entry| number(&entry["seq"]) < highest);
        result["head"] = (highest - 1).into();
        result["more"] = false.into();
        // The page is right in itself: as the node has it.
        let last = result["entries"].as_array().unwrap().last().map(|entry| entry["seq"].clone());
        let after = lines[page]["args"]["after"].clone();
        lines[page]["result"]["head"] = last.unwrap_or(after);
        true
    });
}

#[test]
fn a_page_of_a_replica_that_lags_under_the_head_of_the_primary() {
    expect(Invariant::I6, |lines, _| {
        let Some((page, highest)) = page_after_a_sighting(lines, USER) else { return false };
        let result = &mut lines[page]["result"];
        let entries = result["entries"].as_array_mut().unwrap();
        entries.retain(|entry| number(&entry["seq"]) < highest);
        result["more"] = false.into();
        true
    });
}

#[test]
fn a_login_on_a_node_that_lags() {
    expect(Invariant::I5, |lines, _| {
        let Some(seen) =
            lines.iter().position(|line| is_view_of(line, USER) && seqs(line).next().is_some())
        else {
            return false;
        };
        let seen_ns = number(&lines[seen]["t_ns"]);
        let begun = begun(lines);
        let login = lines.iter_mut().find(|line| {
            is(line, "login", "ok") && line["args"]["user"] == USER && begun[&key(line)] > seen_ns
        });
        let Some(login) = login else { return false };
        login["result"]["head"] = 0.into();
        true
    });
}

#[test]
fn an_entry_that_was_pushed_and_then_replaced_by_another_one() {
    expect(Invariant::I4, |lines, rng| {
        // Pushed before its commit; the commit failed, and another message took its place.
        let pushes: Vec<usize> = (0..lines.len())
            .filter(|index| is(&lines[*index], "push", "ok") && seqs(&lines[*index]).count() == 1)
            .filter(|index| lines[*index]["result"]["entries"][0]["kind"] == 1)
            .collect();
        let push = pushes[rng.below(pushes.len() as u64) as usize];
        let first = lines[push]["result"]["entries"][0].clone();
        lines.retain(|line| {
            !(is(line, "send", "ok") && line["result"]["msg_id"] == first["msg_id"])
        });
        let Some(push) = lines
            .iter()
            .position(|line| is(line, "push", "ok") && line["result"]["entries"][0] == first)
        else {
            return false;
        };
        let is_first = |entry: &Value| entry["msg_id"] == first["msg_id"];
        for_each_entry(&mut lines[push + 1..], |entry| {
            if is_first(entry) {
                entry["msg_id"] = 2_000_000.into();
                entry["client_msg_id"] = "fffffffffffffffffffffffffffffffe".into();
            }
        });
        true
    });
}

#[test]
fn an_acknowledged_message_that_a_crash_took_from_everybody() {
    expect(Invariant::I1, |lines, rng| {
        let acks: Vec<Value> = lines
            .iter()
            .filter(|line| is(line, "send", "ok"))
            .map(|line| line["result"]["msg_id"].clone())
            .collect();
        let lost = &acks[rng.below(acks.len() as u64) as usize];
        for user in 1..=crate::model::USERS {
            let mut entries = final_entries(lines, user);
            entries.retain(|entry| entry["msg_id"] != *lost);
            replace_final(lines, user, entries);
        }
        // Nobody had seen it: only the acknowledgement says that it was there.
        let shows = |line: &Value| {
            let entries = line["result"]["entries"].as_array();
            entries.is_some_and(|entries| entries.iter().any(|e| e["msg_id"] == *lost))
        };
        lines.retain(|line| !shows(line));
        true
    });
}

#[test]
fn a_message_that_was_seen_and_then_lost_without_an_acknowledgement() {
    expect(Invariant::I1, |lines, _| {
        // A resend that was never answered before the end: somebody read it, no final sync has it.
        let history = lines.iter().rev().find(|line| {
            is(line, "history", "ok")
                && line["args"]["conv"][0] != 0
                && line["result"]["entries"].as_array().is_some_and(|e| !e.is_empty())
        });
        let Some(history) = history else { return false };
        let lost = history["result"]["entries"][0]["msg_id"].clone();
        lines.retain(|line| !(is(line, "send", "ok") && line["result"]["msg_id"] == lost));
        for user in 1..=crate::model::USERS {
            let mut entries = final_entries(lines, user);
            entries.retain(|entry| entry["msg_id"] != lost);
            replace_final(lines, user, entries);
        }
        true
    });
}

#[test]
fn an_entry_that_was_shown_before_its_commit_and_rolled_back() {
    expect_one_of(&[Invariant::I4, Invariant::I5], |lines, _| {
        // The last page of some sync got an entry more than there was, and nobody saw it again.
        let page = lines.iter().position(|line| {
            is_view_of(line, USER)
                && is(line, "sync", "ok")
                && line["args"]["final"] == false
                && line["result"]["more"] == false
                && seqs(line).next().is_some()
        });
        let Some(page) = page else { return false };
        let result = &mut lines[page]["result"];
        let head = number(&result["head"]) + 1;
        let entries = result["entries"].as_array_mut().unwrap();
        let mut shown = entries.last().unwrap().clone();
        shown["seq"] = head.into();
        shown["msg_id"] = 3_000_000.into();
        shown["conv_seq"] = 900_000.into();
        shown["client_msg_id"] = "fffffffffffffffffffffffffffffffd".into();
        entries.push(shown);
        result["head"] = head.into();
        true
    });
}

#[test]
fn a_number_taken_outside_of_the_transaction_that_another_commit_overtook() {
    expect(Invariant::I6, |lines, rng| {
        // The entry before the last one was not committed yet when the page was read.
        let pages: Vec<usize> = (0..lines.len())
            .filter(|index| is(&lines[*index], "sync", "ok") && seqs(&lines[*index]).count() > 1)
            .collect();
        let page = pages[rng.below(pages.len() as u64) as usize];
        let entries = lines[page]["result"]["entries"].as_array_mut().unwrap();
        entries.remove(entries.len() - 2);
        true
    });
}

#[test]
fn two_nodes_that_gave_two_messages_one_place() {
    expect(Invariant::I4, |lines, _| {
        let acks: Vec<usize> =
            (0..lines.len()).filter(|index| is(&lines[*index], "send", "ok")).collect();
        let first = acks[0];
        let conv = lines[first]["args"]["conv"].clone();
        let other = acks.iter().find(|index| {
            let args = &lines[**index]["args"];
            args["conv"] == conv && args["client_msg_id"] != lines[first]["args"]["client_msg_id"]
        });
        let Some(other) = other.copied() else { return false };
        lines[other]["result"]["conv_seq"] = lines[first]["result"]["conv_seq"].clone();
        true
    });
}

#[test]
fn a_twin_through_another_node_that_became_a_message_of_its_own() {
    expect(Invariant::I2, |lines, rng| {
        let acks: Vec<usize> =
            (0..lines.len()).filter(|index| is(&lines[*index], "send", "ok")).collect();
        let ack = lines[acks[rng.below(acks.len() as u64) as usize]].clone();
        let user = number(&ack["args"]["sender"]);
        let mut entries = final_entries(lines, user);
        let id = &ack["result"]["msg_id"];
        let Some(mut twin) = entries.iter().find(|e| e["msg_id"] == *id).cloned() else {
            return false;
        };
        twin["msg_id"] = 4_000_000.into();
        twin["conv_seq"] = 800_000.into();
        entries.push(twin);
        replace_final(lines, user, entries);
        true
    });
}

#[test]
fn a_message_that_does_not_count_and_an_event_that_does() {
    for (kind, change) in [(1, -1), (100, 1)] {
        expect(Invariant::I10, |lines, rng| {
            let entries = final_entries(lines, USER);
            let of_kind: Vec<&Value> = entries
                .iter()
                .filter(|entry| entry["kind"] == kind && entry["conv"][0] == 0)
                .collect();
            if of_kind.is_empty() {
                return false;
            }
            let wrong = of_kind[rng.below(of_kind.len() as u64) as usize].clone();
            for_each_entry(lines, |entry| {
                if entry["conv"] == wrong["conv"] && entry["conv_seq"] == wrong["conv_seq"] {
                    entry["msg_no"] = (entry["msg_no"].as_i64().unwrap() + change).into();
                }
            });
            true
        });
    }
}

#[test]
fn unread_that_counts_one_too_few_or_far_too_many() {
    // One too many may be a message that was cut off and came late.
    for change in [-1, 60] {
        expect(Invariant::I10, |lines, _| {
            // At rest at the end, so that nothing under way can explain it.
            let page = final_pages(lines, USER)[0];
            let t_ns = number(&lines[page]["t_ns"]) + 1_000_000;
            let entries = final_entries(lines, USER);
            let direct = entries.iter().filter(|entry| entry["conv"][0] != 0);
            let Some(conv) = direct.map(|entry| entry["conv"].clone()).next_back() else {
                return false;
            };
            let count = entries.iter().filter(|entry| entry["conv"] == conv).count() as i64;
            for (offset, phase) in [(0, "invoke"), (1, "ok")] {
                lines.push(json!({
                    "run": "model", "t_ns": t_ns + offset, "process": "asker", "op": "unread",
                    "phase": phase, "id": 1, "args": {"user": USER, "conv": conv},
                    "result": {"mark": 0, "unread": count + change},
                }));
            }
            true
        });
    }
}

#[test]
fn a_read_mark_that_went_back() {
    expect(Invariant::I9, |lines, _| {
        let marked = lines
            .iter()
            .find(|line| is(line, "mark_read", "ok") && number(&line["args"]["conv_seq"]) > 0);
        let Some(marked) = marked.cloned() else { return false };
        let t_ns = lines.last().unwrap()["t_ns"].as_u64().unwrap() + 1_000_000;
        let (user, conv) = (&marked["args"]["user"], &marked["args"]["conv"]);
        let positions: std::collections::BTreeSet<u64> = final_entries(lines, number(user))
            .iter()
            .filter(|entry| entry["conv"] == *conv)
            .filter_map(|entry| entry["conv_seq"].as_u64())
            .collect();
        for (offset, phase) in [(0, "invoke"), (1, "ok")] {
            lines.push(json!({
                "run": "model", "t_ns": t_ns + offset, "process": "asker", "op": "unread",
                "phase": phase, "id": 1, "args": {"user": user, "conv": conv},
                "result": {"mark": 0, "unread": positions.len()},
            }));
        }
        true
    });
}

#[test]
fn a_recalled_message_that_is_read_again() {
    expect(Invariant::I9, |lines, _| {
        // As if its sender had taken it back before the readers' last words.
        let entries = final_entries(lines, USER);
        let Some(message) = entries.iter().find(|entry| entry["kind"] == 1).cloned() else {
            return false;
        };
        let page = final_pages(lines, USER)[0];
        let begun = lines[..page].iter().rposition(|line| is(line, "sync", "invoke"));
        let begun_ns = number(&lines[begun.unwrap()]["t_ns"]);
        let args = json!({"user": 1, "conv": message["conv"], "conv_seq": message["conv_seq"]});
        for (back, phase) in [(2, "invoke"), (1, "ok")] {
            lines.push(json!({
                "run": "model", "t_ns": begun_ns - back, "process": "recaller", "op": "recall",
                "phase": phase, "id": 1, "args": args, "result": {},
            }));
        }
        true
    });
}
