//! What messages were made to say, and when. Knows no invariant.

use std::collections::HashMap;

use aldis_wire::ConversationKey;

use crate::history::{History, LineRef};
use crate::model::Outcome;

/// What a message says from some time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Of the content.
    pub hash: u64,
    /// When its first try began.
    pub start_ns: u64,
    /// When it was first acknowledged; `u64::MAX`: never, so it may come at any time.
    pub end_ns: u64,
    /// Where that is written, or where its first try is.
    pub line: LineRef,
}

/// All edits that were not refused, by place.
#[derive(Debug, Default)]
pub struct Edits(HashMap<(ConversationKey, u64), Vec<Version>>);

impl Edits {
    /// Those of a history. Tries of one request are one edit.
    pub fn of(history: &History) -> Self {
        let mut versions: HashMap<(ConversationKey, u64, u128), Version> = HashMap::new();
        for edit in history.edits.iter().filter(|edit| edit.outcome != Outcome::Fail) {
            let (start_ns, line) = (edit.span.start_ns, edit.span.invoke);
            let first = Version { hash: edit.hash, start_ns, end_ns: u64::MAX, line };
            let key = (edit.conv, edit.conv_seq, edit.request_id);
            let version = versions.entry(key).or_insert(first);
            version.start_ns = version.start_ns.min(start_ns);
            if edit.outcome == Outcome::Ok(()) && edit.span.end_ns < version.end_ns {
                (version.end_ns, version.line) = (edit.span.end_ns, edit.span.completion);
            }
        }
        let mut edits = Self::default();
        for ((conv, conv_seq, _), version) in versions {
            edits.0.entry((conv, conv_seq)).or_default().push(version);
        }
        edits
    }

    /// Of this place.
    pub fn at(&self, conv: ConversationKey, conv_seq: u64) -> &[Version] {
        self.0.get(&(conv, conv_seq)).map_or(&[], Vec::as_slice)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
