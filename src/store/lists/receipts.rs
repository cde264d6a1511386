//! RECEIPTS and REACTIONS: what the other members have of a conversation. Knows no backend.
//!
//! A device says how much of its mailbox it holds. What that is in a conversation is seen in the
//! mailbox: up to before the conversation's first entry that the device lacks. Of a device that is
//! far behind only so much is said as is certain by the times of entries.

use aldis_logic::job::JobError;
use aldis_wire::{ConvSeq, ConversationKey, UserId, pb};

use super::{FirstAbove, Look, Place};
use crate::record::{Key, Reactions, Record, Table, View};
use crate::refusal::{NO_SUCH_GROUP, NO_SUCH_MESSAGE, NOT_A_PARTY};

/// Entries of a mailbox that are looked at for one receipt.
const LOOKED_ENTRIES_MAX: u64 = 100;
/// Clocks of nodes differ by less, and a commit takes less time: of two entries further apart the
/// one with the earlier time was committed before. ms
const CERTAIN_MS: u64 = 60_000;

/// RECEIPTS, for members.
pub(crate) fn receipts<L: Look>(
    look: &mut L,
    reader: UserId,
    key: ConversationKey,
    after: UserId,
    limit: usize,
) -> Result<pb::ReceiptsResp, L::Stop> {
    let standing = look.standings(reader, &[key])?;
    let head = standing.first().map_or(0, |standing| standing.head);
    let mut users = others(look, reader, key, after, limit)?;
    if head == 0 {
        users.clear();
    }
    let more = users.len() > limit;
    users.truncate(limit);
    let view_key = |user: &UserId| Key::from_slice(&[user.0, key.lo, key.hi]);
    let keys: Vec<Key> = users.iter().map(view_key).collect();
    let rows = look.rows(Table::View, &keys)?;
    let received = received(look, key, head, &users)?;
    let mut receipts = Vec::with_capacity(users.len());
    for ((user, row), received) in users.iter().zip(rows).zip(received) {
        let view = row.map_or(Some(View::default()), View::from_row).ok_or(JobError::Internal)?;
        receipts.push(pb::Receipt {
            user_id: user.0,
            read_conv_seq: view.read_seq,
            received_conv_seq: received.max(view.read_seq),
        });
    }
    Ok(pb::ReceiptsResp { receipts, more })
}

/// The other members above `after`, one more than `limit` if there are more.
fn others<L: Look>(
    look: &mut L,
    reader: UserId,
    key: ConversationKey,
    after: UserId,
    limit: usize,
) -> Result<Vec<UserId>, L::Stop> {
    let Some(group) = key.as_group() else {
        let peer = key.peer_of(reader).unwrap_or_default();
        if key != ConversationKey::direct(reader, peer) {
            return Err(NOT_A_PARTY.into());
        }
        return Ok(if peer != reader && peer > after { vec![peer] } else { vec![] });
    };
    look.role(group, reader)?.ok_or(NO_SUCH_GROUP)?;
    // The reader may be one of them.
    let mut users = look.members(group, after, limit.saturating_add(2))?;
    users.retain(|&user| user != reader);
    users.truncate(limit.saturating_add(1));
    Ok(users)
}

/// Up to where some device of each user has received the conversation.
fn received<L: Look>(
    look: &mut L,
    key: ConversationKey,
    head: u64,
    users: &[UserId],
) -> Result<Vec<u64>, L::Stop> {
    let cursors = look.cursors(users)?;
    let heads = look.heads(users)?;
    let parts: Vec<FirstAbove> = users
        .iter()
        .zip(&cursors)
        .map(|(&owner, &above)| FirstAbove { owner, above, last: above + LOOKED_ENTRIES_MAX })
        .collect();
    let firsts = look.first_above(key, &parts)?;
    let mut received = Vec::with_capacity(users.len());
    let mut far_behind = Vec::new();
    for ((part, first), mailbox_head) in parts.iter().zip(firsts).zip(heads) {
        received.push(match first {
            Some(conv_seq) => conv_seq.saturating_sub(1),
            None if part.last >= mailbox_head => head,
            None => {
                far_behind.push((received.len(), *part));
                0
            }
        });
    }
    for (number, part) in far_behind {
        if let Some(slot) = received.get_mut(number) {
            *slot = certainly_received(look, key, head, part)?;
        }
    }
    Ok(received)
}

/// The highest entry of the conversation that is so much older than the last one of the mailbox
/// that the device holds that it must stand before it.
fn certainly_received<L: Look>(
    look: &mut L,
    conversation: ConversationKey,
    head: u64,
    part: FirstAbove,
) -> Result<u64, L::Stop> {
    if part.above == 0 {
        return Ok(0);
    }
    let held = look.mailbox(part.owner, part.above, 1)?;
    let Some((_, held)) = held.first() else { return Ok(0) };
    let until_ms = held.time_ms.saturating_sub(CERTAIN_MS);
    // Times along a conversation ascend, but for differences that CERTAIN_MS covers.
    let (mut low, mut high) = (0, head);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let probe = look.outlines(&[Place { conversation, conv_seq: middle }])?;
        if probe.first().is_some_and(|outline| outline.time_ms <= until_ms) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(low)
}

/// REACTIONS, for members who can see the message.
pub(crate) fn reactions<L: Look>(
    look: &mut L,
    reader: UserId,
    place: (ConversationKey, ConvSeq),
    after: UserId,
    limit: usize,
) -> Result<pb::ReactionsResp, L::Stop> {
    let (key, ConvSeq(conv_seq)) = place;
    match key.as_group() {
        Some(group) => {
            look.role(group, reader)?.ok_or(NO_SUCH_GROUP)?;
        }
        None if key.lo != reader.0 && key.hi != reader.0 => return Err(NOT_A_PARTY.into()),
        None => {}
    }
    let standing = look.standings(reader, &[key])?.into_iter().next().unwrap_or_default();
    let is_seen = |span: &crate::page::Span| (span.first..=span.last).contains(&conv_seq);
    if !standing.readable(key).iter().any(is_seen) {
        return Err(NO_SUCH_MESSAGE.into());
    }
    let outline = look.outlines(&[Place { conversation: key, conv_seq }])?;
    if !outline.first().is_some_and(|outline| outline.kind.is_message()) {
        return Err(NO_SUCH_MESSAGE.into());
    }
    let prefix = [key.lo, key.hi, conv_seq];
    let mut rows = look.scan(Table::Reaction, &prefix, after.0, limit.saturating_add(1))?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let mut users = Vec::with_capacity(rows.len());
    for (user_id, row) in rows {
        let made = Reactions::from_row(row).ok_or(JobError::Internal)?;
        users.push(pb::UserReactions { user_id, reactions: made.list });
    }
    Ok(pb::ReactionsResp { users, more })
}
