//! An entry's content changes: recalled, edited, cleared by its reader. Its id, place and sender
//! never do, so all versions that were seen are one value: the one that was sent. Knows no
//! invariant.

use std::collections::HashMap;

use crate::history::History;
use crate::model::{Attempt, Body, Outcome, Seen, SendKey, Value, ValueId};

/// What all versions of an entry have in common.
type Place = (SendKey, u64, u64);

/// Makes the versions of each entry one value. `changed` says of each value whether it was seen
/// with another content than was sent.
pub fn unite(history: &mut History, changed: &[bool]) {
    if !changed.contains(&true) {
        return;
    }
    let mut first: HashMap<Place, ValueId> = HashMap::new();
    for wanted in [false, true] {
        let values = (0..).map(ValueId).zip(&history.values).zip(changed);
        for ((id, value), _) in values.filter(|(_, is_changed)| **is_changed == wanted) {
            first.entry(place(value)).or_insert(id);
        }
    }
    let sent = sent_bodies(history);
    let mut renamed: HashMap<ValueId, ValueId> = HashMap::new();
    for (at, _) in changed.iter().enumerate().filter(|(_, is_changed)| **is_changed) {
        let Some(value) = history.values.get(at) else { continue };
        let Some(id) = first.get(&place(value)).copied() else { continue };
        let mut united = history.value(id).clone();
        if changed.get(id.0 as usize) == Some(&true)
            && let Some(body) = sent.get(&value.key)
        {
            united.body = *body;
        }
        renamed.insert(ValueId(at as u32), id);
        for target in [at, id.0 as usize] {
            if let Some(slot) = history.values.get_mut(target) {
                *slot = united.clone();
            }
        }
    }
    let pushes = history.pushes.iter_mut().map(|push| &mut push.entries);
    let syncs = history.syncs.iter_mut().map(|sync| &mut sync.entries);
    let reads = history.histories.iter_mut().map(|read| &mut read.entries);
    for entries in pushes.chain(syncs).chain(reads) {
        let rename = |seen: &mut Seen| {
            seen.value = renamed.get(&seen.value).copied().unwrap_or(seen.value);
        };
        entries.iter_mut().for_each(rename);
    }
}

/// What was sent under each id, as far as that is known: a try with another content is refused.
fn sent_bodies(history: &History) -> HashMap<SendKey, Body> {
    let mut sent = HashMap::new();
    let ranks: [fn(&Attempt) -> bool; 3] = [
        |attempt| matches!(attempt.outcome, Outcome::Ok(_)),
        |attempt| attempt.outcome == Outcome::Info,
        |_| true,
    ];
    for is_of_rank in ranks {
        for attempt in history.attempts.iter().filter(|attempt| is_of_rank(attempt)) {
            sent.entry(attempt.key).or_insert(attempt.body);
        }
    }
    sent
}

fn place(value: &Value) -> Place {
    (value.key, value.msg_id, value.conv_seq)
}
