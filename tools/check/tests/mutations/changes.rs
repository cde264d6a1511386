//! Mutations of what became of messages and of who may write: recalls, edits, blocks, removals, the
//! end of a group.

use aldis_check::Invariant;
use serde_json::{Value, json};

use crate::model::USERS;
use crate::tools::{expect, final_entries, for_each_entry, is, replace_final};

/// The last acknowledged line of this operation, with the arguments that count.
fn last_done(lines: &[Value], op: &str) -> Option<Value> {
    lines.iter().rev().find(|line| is(line, op, "ok")).cloned()
}

/// What was sent to the place that a change names.
fn sent_to(lines: &[Value], change: &Value) -> Option<Value> {
    let of_place = |line: &&Value| {
        is(line, "send", "ok")
            && line["args"]["conv"] == change["args"]["conv"]
            && line["result"]["conv_seq"] == change["args"]["conv_seq"]
    };
    lines.iter().find(of_place).map(|line| line["args"]["hash"].clone())
}

/// All final syncs show a changed message as it was sent.
fn undo_in_final_syncs(lines: &mut [Value], op: &str) -> bool {
    let Some(change) = last_done(lines, op) else { return false };
    let Some(hash) = sent_to(lines, &change) else { return false };
    let mut is_undone = false;
    let finals = lines.iter_mut().filter(|line| line["args"]["final"] == true);
    for line in finals {
        for_each_entry(std::slice::from_mut(line), |entry| {
            let is_meant = entry["conv"] == change["args"]["conv"]
                && entry["conv_seq"] == change["args"]["conv_seq"];
            if is_meant && entry["flags"] != 0 {
                is_undone = true;
                (entry["hash"], entry["flags"]) = (hash.clone(), 0.into());
            }
        });
    }
    is_undone
}

#[test]
fn an_edit_that_is_undone() {
    expect(Invariant::I9, |lines, _| undo_in_final_syncs(lines, "edit"));
}

#[test]
fn a_recall_that_is_undone() {
    expect(Invariant::I9, |lines, _| undo_in_final_syncs(lines, "recall"));
}

#[test]
fn an_edit_that_nobody_made() {
    expect(Invariant::I3, |lines, _| {
        let Some(edit) = last_done(lines, "edit") else { return false };
        let hash = edit["args"]["hash"].clone();
        let is_read = lines.iter().any(|line| {
            let entries = line["result"]["entries"].as_array();
            entries.into_iter().flatten().any(|entry| entry["hash"] == hash)
        });
        lines.retain(|line| line["op"] != "edit");
        is_read
    });
}

#[test]
fn an_end_of_a_group_that_nobody_asked_for() {
    expect(Invariant::I3, |lines, _| {
        let is_done = last_done(lines, "group_dissolve").is_some();
        lines.retain(|line| line["op"] != "group_dissolve");
        is_done
    });
}

/// At the end of the history somebody does this, and then a message of user 2's is accepted.
fn accept_after(lines: &mut Vec<Value>, op: &str, args: &Value, conv: [u64; 2]) {
    let mut t_ns = lines.last().expect("a history")["t_ns"].as_u64().expect("a time");
    let send = json!({
        "conv": conv, "sender": 2, "client_msg_id": "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee", "kind": 1,
        "hash": "00000000000000ee",
    });
    let result = json!({"msg_id": 9_000_000, "seq": 0, "conv_seq": 9_000, "time_ms": 1});
    for (id, op, args, result) in [(1, op, args, json!({})), (2, "send", &send, result)] {
        for phase in ["invoke", "ok"] {
            t_ns += 10;
            lines.push(json!({
                "run": "model", "seed": 0, "t_ns": t_ns, "process": "late", "node": "n1", "op": op,
                "phase": phase, "id": id, "args": args, "result": result,
            }));
        }
    }
}

#[test]
fn a_message_that_is_accepted_after_a_block() {
    for (user, peer) in [(1, 2), (2, 1)] {
        expect(Invariant::I14, |lines, _| {
            accept_after(lines, "block", &json!({"user": user, "peer": peer}), [1, 2]);
            true
        });
    }
}

#[test]
fn a_message_of_who_was_put_out_that_is_accepted() {
    expect(Invariant::I14, |lines, _| {
        // One that was not answered may let the other in again at any time.
        lines.retain(|line| line["op"] != "group_invite");
        let args = json!({"user": 1, "group_id": 1, "member_ids": [2]});
        accept_after(lines, "group_remove", &args, [0, 1]);
        true
    });
}

#[test]
fn a_message_that_is_accepted_after_the_end_of_its_group() {
    expect(Invariant::I14, |lines, _| {
        accept_after(lines, "group_dissolve", &json!({"user": 1, "group_id": 1}), [0, 1]);
        true
    });
}

/// The mailbox of somebody who is out of a group by such an event gets what came there later.
fn show_after(lines: &mut Vec<Value>, kind: u64) -> bool {
    let all: Vec<Vec<Value>> = (1..=USERS).map(|user| final_entries(lines, user)).collect();
    let events = all.iter().flatten().filter(|entry| entry["group_event"]["kind"] == kind);
    for event in events {
        let (conv, conv_seq) = (event["conv"].clone(), event["conv_seq"].as_u64());
        for user in event["group_event"]["user_ids"].as_array().into_iter().flatten() {
            let user = user.as_u64().expect("a user");
            let mut own = all[user as usize - 1].clone();
            // It never came back: what is above the event is nobody's of it.
            let is_later =
                |entry: &&Value| entry["conv"] == conv && entry["conv_seq"].as_u64() > conv_seq;
            if own.iter().any(|entry| is_later(&entry)) {
                continue;
            }
            let mut later = all.iter().flatten().filter(is_later);
            let Some(shown) = later.find(|entry| entry["kind"] == 1) else { continue };
            own.push(shown.clone());
            replace_final(lines, user, own);
            return true;
        }
    }
    false
}

#[test]
fn what_comes_after_a_leave_or_a_removal_is_shown_to_who_is_gone() {
    for kind in [3, 4] {
        expect(Invariant::I8, |lines, _| show_after(lines, kind));
    }
}
