//! The comparison finds what it is for: planted losses, duplicates, swaps and changed texts.

use aldis_wire::{ClientMsgId, pb};

use super::compare::{Comparison, Directory, Reading, Way};
use super::script::{self, Script};

fn script() -> Script {
    let text = (1..=6)
        .map(|n| {
            let from = if n % 2 == 0 { "ben" } else { "ada" };
            format!("{{\"conversation\":\"c\",\"from\":\"{from}\",\"text\":\"text {n}\"}}\n")
        })
        .collect::<String>();
    script::read(text.as_bytes()).unwrap()
}

fn id(line: usize) -> ClientMsgId {
    ClientMsgId([line as u8 + 1; 16])
}

fn entry(script: &Script, line: usize) -> pb::MessageData {
    let position = line as u64 + 1;
    let person = script.lines[line].person as u64;
    pb::MessageData {
        seq: position,
        msg_id: 100 + position,
        conv_seq: position,
        sender_id: 10 + person,
        receiver_id: 11 - person,
        r#type: pb::MsgType::Text as i32,
        content: script.lines[line].text.clone(),
        client_msg_id: id(line).0.to_vec().into(),
        ..Default::default()
    }
}

/// Differences found when a reader gets these entries.
fn findings(change: impl FnOnce(&mut Vec<pb::MessageData>)) -> Vec<String> {
    let script = script();
    let directory = Directory { user_ids: vec![10, 11], group_ids: vec![0] };
    let mut comparison = Comparison::new(&script);
    let mut entries: Vec<_> = (0..script.lines.len()).map(|line| entry(&script, line)).collect();
    for (line, entry) in entries.iter().enumerate() {
        comparison.handle_sent(line, id(line));
        let (msg_id, conv_seq) = (entry.msg_id, entry.conv_seq);
        comparison.handle_acked(line, &pb::MsgSendResp { msg_id, conv_seq, ..Default::default() });
    }
    change(&mut entries);
    let mut reading = Reading::default();
    for entry in &entries {
        comparison.handle_mailbox_entry(&directory, &mut reading, Way::Sync, 0, entry);
    }
    comparison.finish_reading(&reading, Way::Sync, 0, &[0]);
    comparison.finish();
    comparison.findings.examples
}

#[test]
fn what_is_as_said_is_equal() {
    assert_eq!(findings(|_| {}), Vec::<String>::new());
}

#[test]
fn every_planted_difference_is_found() {
    type Change = fn(&mut Vec<pb::MessageData>);
    let changes: [(&str, Change); 8] = [
        ("lost at the end", |entries| drop(entries.pop())),
        ("lost in the middle, seqs closed up", |entries| {
            entries.remove(2);
            entries.iter_mut().zip(1..).for_each(|(entry, seq)| entry.seq = seq);
        }),
        ("twice", |entries| {
            let again = entries[2].clone();
            entries.insert(3, again);
            entries.iter_mut().zip(1..).for_each(|(entry, seq)| entry.seq = seq);
        }),
        ("swapped", |entries| {
            entries.swap(1, 2);
            entries.iter_mut().zip(1..).for_each(|(entry, seq)| entry.seq = seq);
        }),
        ("another text", |entries| entries[4].content = "text 5 ".into()),
        ("another sender", |entries| entries[0].sender_id = 11),
        ("another place", |entries| entries[5].conv_seq = 9),
        ("a hole in the mailbox", |entries| entries[5].seq = 8),
    ];
    for (name, change) in changes {
        assert!(!findings(change).is_empty(), "{name}");
    }
}

#[test]
fn a_line_that_was_never_acknowledged_is_a_difference() {
    let script = script();
    let mut comparison = Comparison::new(&script);
    comparison.handle_sent(0, id(0));
    comparison.finish();
    assert_eq!(comparison.findings.count, script.lines.len());
}
