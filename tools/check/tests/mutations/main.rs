//! A checker that accepts everything proves nothing: every mutation of a valid history is caught,
//! by the invariant that forbids it.

mod changes;
#[path = "../model/mod.rs"]
mod model;
mod nodes;
mod tools;

use std::collections::BTreeMap;

use aldis_check::{History, Invariant, Verdict, check};
use serde_json::Value;

use tools::{
    append_to_final, expect, final_entries, final_pages, for_each_entry, is, is_ever_changed,
    lines_of, pick_message, replace_final, verdict,
};

#[test]
fn an_acknowledged_message_that_one_reader_lost() {
    expect(Invariant::I1, |lines, rng| {
        let mut entries = final_entries(lines, 2);
        let index = pick_message(&entries, 2, rng);
        entries.remove(index);
        replace_final(lines, 2, entries);
        true
    });
}

#[test]
fn a_message_that_is_in_a_mailbox_twice() {
    expect(Invariant::I4, |lines, rng| {
        let mut entries = final_entries(lines, 2);
        let index = pick_message(&entries, 2, rng);
        entries.insert(index, entries[index].clone());
        replace_final(lines, 2, entries);
        true
    });
}

#[test]
fn two_messages_of_a_conversation_swapped_in_one_mailbox() {
    expect(Invariant::I13, |lines, rng| {
        let mut entries = final_entries(lines, 2);
        let first = pick_message(&entries, 2, rng);
        let conv = entries[first]["conv"].clone();
        let later = (first + 1..entries.len()).find(|index| entries[*index]["conv"] == conv);
        let Some(later) = later else { return false };
        entries.swap(first, later);
        replace_final(lines, 2, entries);
        true
    });
}

#[test]
fn a_mailbox_that_went_back() {
    expect(Invariant::I5, |lines, _| {
        let mut entries = final_entries(lines, 2);
        entries.truncate(entries.len() - 3);
        // Its owner saw them before.
        replace_final(lines, 2, entries);
        let page = final_pages(lines, 2)[0];
        let head = lines[page]["result"]["head"].as_u64().unwrap();
        lines[..page].iter().any(|line| {
            is(line, "push", "ok")
                && line["args"]["user"] == 2
                && line["result"]["head"].as_u64().unwrap() > head
        })
    });
}

#[test]
fn a_hole_in_a_page() {
    expect(Invariant::I6, |lines, rng| {
        let pages: Vec<usize> = (0..lines.len())
            .filter(|index| is(&lines[*index], "sync", "ok"))
            .filter(|index| lines[*index]["result"]["entries"].as_array().unwrap().len() > 2)
            .collect();
        let page = pages[rng.below(pages.len() as u64) as usize];
        lines[page]["result"]["entries"].as_array_mut().unwrap().remove(1);
        true
    });
}

#[test]
fn another_value_at_the_same_seq() {
    expect(Invariant::I4, |lines, rng| {
        let pushes: Vec<usize> = (0..lines.len())
            .filter(|index| is(&lines[*index], "push", "ok"))
            .filter(|index| lines[*index]["result"]["entries"].as_array().unwrap().len() == 1)
            // One that is ever changed is another promise's.
            .filter(|index| !is_ever_changed(lines, &lines[*index]["result"]["entries"][0]))
            .collect();
        let push = pushes[rng.below(pushes.len() as u64) as usize];
        lines[push]["result"]["entries"][0]["hash"] = "00000000000000ff".into();
        true
    });
}

#[test]
fn a_refused_send_that_appears() {
    expect(Invariant::I3, |lines, _| {
        let refused = lines
            .iter()
            .find(|line| is(line, "send", "fail") && line["result"]["code"] == "FORBIDDEN");
        let Some(args) = refused.map(|line| line["args"].clone()) else { return false };
        // Its other tries were cut or refused for now; make all of them refusals.
        let id = args["client_msg_id"].clone();
        for line in lines.iter_mut().filter(|line| line["args"]["client_msg_id"] == id) {
            if line["phase"] == "info" {
                line["phase"] = "fail".into();
            }
        }
        let open: Vec<(Value, Value)> = lines
            .iter()
            .filter(|line| line["args"]["client_msg_id"] == id && line["phase"] == "invoke")
            .map(|line| (line["process"].clone(), line["id"].clone()))
            .filter(|key| {
                !lines.iter().any(|line| {
                    line["phase"] == "fail" && (&line["process"], &line["id"]) == (&key.0, &key.1)
                })
            })
            .collect();
        lines.retain(|line| !open.contains(&(line["process"].clone(), line["id"].clone())));
        let sender = args["sender"].as_u64().unwrap();
        append_to_final(lines, sender, &args);
        true
    });
}

#[test]
fn a_content_that_nobody_sent() {
    expect(Invariant::I3, |lines, _| {
        let sent = lines.iter().find(|line| is(line, "send", "ok"));
        let mut args = sent.expect("something was sent")["args"].clone();
        args["client_msg_id"] = "ffffffffffffffffffffffffffffffff".into();
        let sender = args["sender"].as_u64().unwrap();
        append_to_final(lines, sender, &args);
        true
    });
}

#[test]
fn two_acknowledged_sends_in_the_wrong_order() {
    expect(Invariant::I7, |lines, _| {
        // Two messages of a conversation, the second begun after the first was acknowledged.
        let mut first: BTreeMap<String, (u64, Value)> = BTreeMap::new();
        let mut pair = None;
        for line in lines.iter().filter(|line| is(line, "send", "ok")) {
            let conv = line["args"]["conv"].to_string();
            let id = line["args"]["client_msg_id"].clone();
            let t_ns = line["t_ns"].as_u64().unwrap();
            let begun = lines
                .iter()
                .find(|other| is(other, "send", "invoke") && other["args"]["client_msg_id"] == id);
            let begun_ns = begun.unwrap()["t_ns"].as_u64().unwrap();
            let seq = line["result"]["conv_seq"].clone();
            match first.get(&conv) {
                Some((acked_ns, other)) if *acked_ns < begun_ns => {
                    pair = Some((line["args"]["conv"].clone(), other.clone(), seq));
                    break;
                }
                Some(_) => {}
                None => {
                    first.insert(conv, (t_ns, seq));
                }
            }
        }
        let Some((conv, a, b)) = pair else { return false };
        let swap = |value: &mut Value| {
            if *value == a {
                *value = b.clone();
            } else if *value == b {
                *value = a.clone();
            }
        };
        for line in lines.iter_mut().filter(|line| line["args"]["conv"] == conv) {
            if is(line, "send", "ok") {
                swap(&mut line["result"]["conv_seq"]);
            }
        }
        for_each_entry(lines, |entry| {
            if entry["conv"] == conv {
                swap(&mut entry["conv_seq"]);
            }
        });
        true
    });
}

#[test]
fn a_resend_that_got_another_place() {
    expect(Invariant::I2, |lines, rng| {
        let acks: Vec<usize> =
            (0..lines.len()).filter(|index| is(&lines[*index], "send", "ok")).collect();
        let original = lines[acks[rng.below(acks.len() as u64) as usize]].clone();
        let last_ns = lines.last().unwrap()["t_ns"].as_u64().unwrap();
        for (offset, phase) in [(1, "invoke"), (2, "ok")] {
            let mut line = original.clone();
            line["process"] = "resender".into();
            line["phase"] = phase.into();
            line["t_ns"] = (last_ns + offset).into();
            line["result"]["conv_seq"] = 1_000_000.into();
            lines.push(line);
        }
        true
    });
}

#[test]
fn a_page_that_never_ends() {
    expect(Invariant::I6, |lines, _| {
        let page = lines.iter_mut().find(|line| is(line, "sync", "ok"));
        let Some(page) = page else { return false };
        page["result"]["entries"] = Value::Array(vec![]);
        page["result"]["more"] = true.into();
        true
    });
}

#[test]
fn pages_that_do_not_ascend() {
    for op in ["sync", "history"] {
        expect(Invariant::I6, |lines, _| {
            let page = lines.iter_mut().find(|line| {
                is(line, op, "ok") && line["result"]["entries"].as_array().unwrap().len() > 1
            });
            let Some(page) = page else { return false };
            page["result"]["entries"].as_array_mut().unwrap().reverse();
            true
        });
    }
}

#[test]
fn a_message_in_the_mailbox_of_somebody_else() {
    expect(Invariant::I8, |lines, _| {
        let entries = final_entries(lines, 1);
        let foreign = entries.iter().find(|entry| {
            entry["kind"] == 1
                && entry["conv"][0] != 0
                && entry["conv"][0] != 4
                && entry["conv"][1] != 4
        });
        let Some(foreign) = foreign.cloned() else { return false };
        let mut others = final_entries(lines, 4);
        others.push(foreign);
        replace_final(lines, 4, others);
        true
    });
}

#[test]
fn a_message_id_given_twice() {
    expect(Invariant::I12, |lines, _| {
        let mut acks = lines.iter_mut().filter(|line| is(line, "send", "ok"));
        let first = acks.next().unwrap()["result"]["msg_id"].clone();
        acks.next().unwrap()["result"]["msg_id"] = first;
        true
    });
}

#[test]
fn a_user_without_a_final_sync_and_a_torn_file_are_not_judged() {
    let lines = lines_of(1);
    let without: Vec<Value> = lines
        .iter()
        .filter(|line| {
            !(line["op"] == "sync" && line["args"]["final"] == true && line["args"]["user"] == 3)
        })
        .cloned()
        .collect();
    let Verdict::Unknown(why) = verdict(&without) else { panic!("no judgement without user 3") };
    assert!(why.iter().any(|why| why.contains("user 3")), "{why:?}");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let torn = text + "{\"run\":\"model\",\"t_ns\":";
    assert!(matches!(check(&History::parse("torn", &torn)), Verdict::Unknown(_)));
}
