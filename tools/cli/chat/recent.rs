//! The latest conversations, read off the end of the mailbox. Shows nothing.

use aldis_client::core::Target;
use aldis_client::{Client, ClientError};
use aldis_wire::pb;

use crate::names::target_of;

/// Entries looked at.
const ENTRIES: u64 = 400;
/// Conversations named.
pub(super) const CONVERSATIONS_MAX: usize = 15;

/// The latest conversations with their last entry, newest first.
pub(super) fn fetch(
    client: &mut Client,
    me: u64,
) -> Result<Vec<(Target, pb::MessageData)>, ClientError> {
    // A position at or above the head is answered with the head, and an empty page.
    let local = client.core().local_seq(0).unwrap_or(0);
    let mut after = local.saturating_sub(ENTRIES);
    let mut latest: Vec<(Target, pb::MessageData)> = Vec::new();
    loop {
        let page = client.sync_page(0, after, 0)?;
        for entry in page.entries {
            after = entry.seq;
            let target = target_of(&entry, me);
            latest.retain(|(other, _)| *other != target);
            latest.insert(0, (target, entry));
        }
        if !page.more || after > local {
            latest.truncate(CONVERSATIONS_MAX);
            return Ok(latest);
        }
    }
}
