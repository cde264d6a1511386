//! Who may be told what a user does, written once for all backends. Knows no backend, and nothing of
//! how they are told.

use aldis_logic::job::{Audience, JobError, PresenceAudience};
use aldis_wire::limits::TYPING_MEMBERS_MAX;
use aldis_wire::{ConversationKey, UserId};

use crate::lists::Scan;
use crate::record::{Key, LastSeen, Presence, Record, Row};
use crate::refusal::{NO_SUCH_GROUP, NO_SUCH_USER};

/// Whom the asker may tell something in each of these conversations: those who would get a message.
/// Why not, where the asker could not send one.
pub(crate) fn audiences<S: Scan>(
    snapshot: &mut S,
    job: &Audience,
) -> Result<Vec<Result<Vec<UserId>, JobError>>, S::Stop> {
    let is_pair = |key: &ConversationKey| key.as_group().is_none();
    let keys = job.asks.iter().map(|(_, key)| *key);
    let pairs: Vec<ConversationKey> = keys.filter(is_pair).collect();
    let mut ties = snapshot.ties(&pairs)?.into_iter();
    let mut found = Vec::with_capacity(job.asks.len());
    for &(asker, key) in &job.asks {
        found.push(match key.peer_of(asker) {
            None => of_group(snapshot, asker, key, job.at_ms)?,
            Some(peer) => {
                let ties = ties.next().ok_or(JobError::Internal)?;
                match ties.check_sender(key, asker, job.friends_only) {
                    _ if !snapshot.has_user(peer)? => Err(NO_SUCH_USER),
                    Err(why) => Err(why),
                    Ok(()) if peer == asker => Ok(Vec::new()),
                    Ok(()) => Ok(vec![peer]),
                }
            }
        });
    }
    Ok(found)
}

/// All other members, if they are few.
fn of_group<S: Scan>(
    snapshot: &mut S,
    asker: UserId,
    key: ConversationKey,
    at_ms: u64,
) -> Result<Result<Vec<UserId>, JobError>, S::Stop> {
    let Some(id) = key.as_group() else { return Ok(Err(NO_SUCH_GROUP)) };
    if snapshot.role(id, asker)?.is_none() {
        return Ok(Err(NO_SUCH_GROUP));
    }
    let group = snapshot.group(id, TYPING_MEMBERS_MAX + 1)?;
    if group.members.len() > TYPING_MEMBERS_MAX {
        return Ok(Ok(Vec::new()));
    }
    let checked = group.check_sender(asker, at_ms);
    Ok(checked.map(|()| group.users().filter(|user| *user != asker).collect()))
}

/// Who of these may see whether the other is online: when that one's last session ended, as far as that
/// is stored, or nothing. Of a user who does not exist nobody sees anything.
pub(crate) fn sights<S: Scan>(
    snapshot: &mut S,
    pairs: &[(UserId, UserId)],
) -> Result<Vec<Option<u64>>, S::Stop> {
    let keys: Vec<Key> = pairs.iter().map(|(_, target)| Key::from_slice(&[target.0])).collect();
    let audiences = records::<Presence, S>(snapshot, &keys)?;
    let seen = records::<LastSeen, S>(snapshot, &keys)?;
    let conversations: Vec<ConversationKey> =
        pairs.iter().map(|(viewer, target)| ConversationKey::direct(*viewer, *target)).collect();
    let ties = snapshot.ties(&conversations)?;
    let facts = pairs.iter().zip(conversations).zip(ties).zip(audiences).zip(seen);
    Ok(facts
        .map(|(((((viewer, target), pair), ties), audience), seen)| {
            let is_self = viewer == target && viewer.0 != 0;
            let (theirs, own) = (ties.side(pair, *target), ties.side(pair, *viewer));
            let is_blocked = theirs.is_blocking || own.is_blocking;
            let is_in_audience = match PresenceAudience::from_number(audience.audience) {
                PresenceAudience::Friends => theirs.is_friend && own.is_friend,
                PresenceAudience::Everybody => viewer.0 != 0,
                PresenceAudience::Nobody => false,
            };
            (is_self || (is_in_audience && !is_blocked)).then_some(seen.seen_ms)
        })
        .collect())
}

fn records<T: Record, S: Scan>(snapshot: &mut S, keys: &[Key]) -> Result<Vec<T>, S::Stop> {
    let record = |row: Option<Row>| match row {
        None => Ok(T::default()),
        Some(row) => T::from_row(row).ok_or_else(|| JobError::Internal.into()),
    };
    snapshot.rows(T::TABLE, keys)?.into_iter().map(record).collect()
}
