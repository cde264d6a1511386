//! Friends: who asks whom, what comes of it, and who blocks whom. What both may know is an entry of
//! their conversation; what only one may know is an entry of that one's own. Knows no backend.

use aldis_logic::job::{FriendChange, FriendJob, JobError, Ticket, Written};
use aldis_wire::limits::{BLOCKED_USERS_MAX, FRIEND_REQUESTS_MAX, FRIENDS_MAX};
use aldis_wire::{ConversationKey, Seq, UserId, pb};

use super::ties::Side;
use super::{Needs, NewEvent, Placed, Rows, encode, get, put, tell_self};
use crate::record::{Key, Relation, Table, Tally, state};
use crate::refusal::{
    BLOCKED, NO_SUCH_FRIEND, NO_SUCH_REQUEST, NO_SUCH_USER, TOO_MANY_BLOCKED, TOO_MANY_FRIENDS,
    TOO_MANY_REQUESTS,
};

/// The rows of a pair.
pub(super) fn needs(job: &FriendJob) -> Needs {
    let (actor, other) = (job.actor, job.other);
    let relation = |a: UserId, b: UserId| (Table::Relation, Key::from_slice(&[a.0, b.0]));
    let tally = |user: UserId| (Table::Tally, Key::from_slice(&[user.0]));
    Needs {
        conversations: vec![ConversationKey::direct(actor, other)],
        users: vec![actor, other],
        rows: vec![relation(actor, other), relation(other, actor), tally(actor), tally(other)],
        ..Needs::default()
    }
}

/// Two users as a job of one of them sees them, changed in memory until all is allowed.
struct Pair {
    actor: UserId,
    other: UserId,
    /// The actor's row and the other's.
    mine: Relation,
    theirs: Relation,
    my_tally: Tally,
    their_tally: Tally,
}

/// Whom the change is told.
enum Told {
    /// Nobody: nothing was changed.
    Nobody,
    Both(pb::FriendEventKind),
    Actor,
}

/// Runs the job.
pub(super) fn change<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    job: &FriendJob,
) -> Result<Written, R::Stop> {
    let (actor, other) = (job.actor, job.other);
    if !rows.has_user(other)? || !rows.has_user(actor)? {
        return Err(NO_SUCH_USER.into());
    }
    let mut pair = Pair {
        actor,
        other,
        mine: get(rows, &[actor.0, other.0])?,
        theirs: get(rows, &[other.0, actor.0])?,
        my_tally: get(rows, &[actor.0])?,
        their_tally: get(rows, &[other.0])?,
    };
    let now_ms = rows.now_ms();
    let told = match &job.change {
        FriendChange::Apply { reason } => pair.apply(reason, now_ms)?,
        FriendChange::Accept => pair.accept(now_ms)?,
        FriendChange::Refuse => pair.refuse()?,
        FriendChange::Delete => pair.delete()?,
        FriendChange::Update { remark, folder } => pair.update(remark, folder)?,
        FriendChange::Block => pair.block()?,
        FriendChange::Unblock => pair.unblock(),
    };
    let placed = pair.store(rows, origin, &told, &job.change)?;
    Ok(Written::Changed { seq: placed.seq })
}

impl Pair {
    fn apply(&mut self, reason: &str, now_ms: u64) -> Result<Told, JobError> {
        self.check_blocks()?;
        if self.mine.has(state::FRIEND) {
            return Ok(Told::Nobody);
        }
        if self.theirs.has(state::FRIEND) {
            // Only the actor had ended it, and the other was never told.
            self.befriend_other(now_ms)?;
            return Ok(Told::Actor);
        }
        if self.mine.has(state::ASKED_BY_OTHER) {
            return self.accept(now_ms);
        }
        if self.theirs.has(state::ASKED_BY_OTHER) && self.theirs.reason == reason {
            return Ok(Told::Nobody);
        }
        if !self.theirs.has(state::ASKED_BY_OTHER) {
            count_up(&mut self.their_tally.requests, FRIEND_REQUESTS_MAX, TOO_MANY_REQUESTS)?;
        }
        self.theirs.set(state::ASKED_BY_OTHER, true);
        self.theirs.set(state::REFUSED, false);
        reason.clone_into(&mut self.theirs.reason);
        self.theirs.asked_ms = now_ms;
        self.mine.set(state::ASKED, true);
        Ok(Told::Both(pb::FriendEventKind::FriendApplied))
    }

    fn accept(&mut self, now_ms: u64) -> Result<Told, JobError> {
        self.check_blocks()?;
        if !self.mine.has(state::ASKED_BY_OTHER) {
            // A repeat of what was accepted changes nothing.
            let is_done = self.mine.has(state::FRIEND);
            return if is_done { Ok(Told::Nobody) } else { Err(NO_SUCH_REQUEST) };
        }
        self.befriend_other(now_ms)?;
        if !self.theirs.has(state::FRIEND) {
            count_up(&mut self.their_tally.friends, FRIENDS_MAX, TOO_MANY_FRIENDS)?;
            self.theirs.set(state::FRIEND, true);
            self.theirs.since_ms = now_ms;
        }
        self.theirs.set(state::CLOSED, false);
        self.end_request();
        Ok(Told::Both(pb::FriendEventKind::FriendAccepted))
    }

    fn refuse(&mut self) -> Result<Told, JobError> {
        if !self.mine.has(state::ASKED_BY_OTHER) {
            let is_done = self.mine.has(state::REFUSED);
            return if is_done { Ok(Told::Nobody) } else { Err(NO_SUCH_REQUEST) };
        }
        self.end_request();
        self.mine.set(state::REFUSED, true);
        Ok(Told::Both(pb::FriendEventKind::FriendRefused))
    }

    fn delete(&mut self) -> Result<Told, JobError> {
        if !self.mine.has(state::FRIEND) {
            let is_done = self.mine.has(state::CLOSED);
            return if is_done { Ok(Told::Nobody) } else { Err(NO_SUCH_FRIEND) };
        }
        self.mine.set(state::FRIEND, false);
        self.mine.set(state::CLOSED, true);
        self.mine.since_ms = 0;
        self.mine.remark.clear();
        self.mine.folder.clear();
        self.my_tally.friends = self.my_tally.friends.saturating_sub(1);
        Ok(Told::Actor)
    }

    fn update(&mut self, remark: &str, folder: &str) -> Result<Told, JobError> {
        if !self.mine.has(state::FRIEND) {
            return Err(NO_SUCH_FRIEND);
        }
        if self.mine.remark == remark && self.mine.folder == folder {
            return Ok(Told::Nobody);
        }
        remark.clone_into(&mut self.mine.remark);
        folder.clone_into(&mut self.mine.folder);
        Ok(Told::Actor)
    }

    fn block(&mut self) -> Result<Told, JobError> {
        if self.mine.has(state::BLOCKED) {
            return Ok(Told::Nobody);
        }
        count_up(&mut self.my_tally.blocked, BLOCKED_USERS_MAX, TOO_MANY_BLOCKED)?;
        self.mine.set(state::BLOCKED, true);
        if self.mine.has(state::ASKED_BY_OTHER) {
            self.end_request();
        }
        Ok(Told::Actor)
    }

    fn unblock(&mut self) -> Told {
        if !self.mine.has(state::BLOCKED) {
            return Told::Nobody;
        }
        self.mine.set(state::BLOCKED, false);
        self.my_tally.blocked = self.my_tally.blocked.saturating_sub(1);
        Told::Actor
    }

    fn check_blocks(&self) -> Result<(), JobError> {
        match self.mine.has(state::BLOCKED) || self.theirs.has(state::BLOCKED) {
            true => Err(BLOCKED),
            false => Ok(()),
        }
    }

    /// Puts the other into the actor's list.
    fn befriend_other(&mut self, now_ms: u64) -> Result<(), JobError> {
        if !self.mine.has(state::FRIEND) {
            count_up(&mut self.my_tally.friends, FRIENDS_MAX, TOO_MANY_FRIENDS)?;
            self.mine.since_ms = now_ms;
        }
        self.mine.set(state::FRIEND, true);
        self.mine.set(state::CLOSED, false);
        self.mine.set(state::REFUSED, false);
        Ok(())
    }

    /// The other's request to the actor waits no longer, nor does one of the actor.
    fn end_request(&mut self) {
        let sides =
            [(&mut self.mine, &mut self.my_tally), (&mut self.theirs, &mut self.their_tally)];
        for (relation, tally) in sides {
            if relation.has(state::ASKED_BY_OTHER) {
                relation.set(state::ASKED_BY_OTHER, false);
                relation.reason.clear();
                tally.requests = tally.requests.saturating_sub(1);
            }
            relation.set(state::ASKED, false);
        }
    }

    /// Writes what is allowed, and tells whom it concerns.
    fn store<R: Rows>(
        self,
        rows: &mut R,
        origin: Ticket,
        told: &Told,
        change: &FriendChange,
    ) -> Result<Placed, R::Stop> {
        let (actor, other) = (self.actor, self.other);
        let key = ConversationKey::direct(actor, other);
        let placed = match told {
            Told::Nobody => return Ok(Placed { seq: Seq(0), ..Placed::default() }),
            Told::Both(kind) => {
                let reason = match change {
                    FriendChange::Apply { reason } => reason.clone(),
                    _ => String::new(),
                };
                let kind = (*kind).into();
                let event = NewEvent {
                    conversation: key,
                    actor,
                    kind: pb::MsgType::SystemFriend,
                    content: encode(&pb::FriendEvent { kind, reason }),
                    once: None,
                    stream: None,
                };
                let mut owners = [actor, other];
                owners.sort_unstable();
                rows.add_event(origin, event, &owners)?
            }
            Told::Actor => {
                let what = pb::self_event::What::Relation(info(other, &self.mine));
                tell_self(rows, origin, actor, what)?
            }
        };
        let ties = rows.ties(key)?;
        let changed = ties.with(key, actor, side(&self.mine)).with(key, other, side(&self.theirs));
        if changed != ties {
            rows.set_ties(key, changed)?;
        }
        put(rows, &[actor.0, other.0], self.mine)?;
        put(rows, &[other.0, actor.0], self.theirs)?;
        put(rows, &[actor.0], self.my_tally)?;
        put(rows, &[other.0], self.their_tally)?;
        Ok(placed)
    }
}

fn count_up(count: &mut u64, max: usize, over: JobError) -> Result<(), JobError> {
    if *count >= max as u64 {
        return Err(over);
    }
    *count += 1;
    Ok(())
}

fn side(relation: &Relation) -> Side {
    Side {
        is_friend: relation.has(state::FRIEND),
        is_closed: relation.has(state::CLOSED),
        is_blocking: relation.has(state::BLOCKED),
    }
}

/// A relation as its user sees it.
pub(crate) fn info(other: UserId, relation: &Relation) -> pb::RelationInfo {
    let has_asked = relation.has(state::ASKED_BY_OTHER);
    pb::RelationInfo {
        user_id: other.0,
        is_friend: relation.has(state::FRIEND),
        is_blocked: relation.has(state::BLOCKED),
        has_asked,
        was_asked: relation.has(state::ASKED),
        remark: relation.remark.clone(),
        folder: relation.folder.clone(),
        reason: relation.reason.clone(),
        since_ms: relation.since_ms,
        asked_ms: if has_asked { relation.asked_ms } else { 0 },
    }
}

/// Whether a list of this kind has the relation.
pub(crate) fn is_listed(relation: &Relation, list: pb::RelationList) -> bool {
    match list {
        pb::RelationList::Friends => relation.has(state::FRIEND),
        pb::RelationList::Requests => relation.has(state::ASKED_BY_OTHER),
        pb::RelationList::Blocked => relation.has(state::BLOCKED),
    }
}
