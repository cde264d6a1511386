//! Groups: how they begin and end, who comes, goes and is brought in. Each change is an entry of the
//! group's conversation for all whom it concerns; who comes gets it as the first one, who goes as the
//! last one. What owner and admins do is in `group_admin`. Knows no backend.

use aldis_logic::job::{CreateGroup, GroupLimits, Ticket, Written};
use aldis_wire::{ConvSeq, ConversationKey, GroupId, Seq, UserId, pb};

use super::{NewEvent, Placed, Rows, encode, get, put};
use crate::group::{Group, Member, Role, Seats, Stay, StreamState, each_once, successor};
use crate::record::{Follow, GroupSetting};
use crate::refusal::{GROUP_FULL, NO_SUCH_GROUP, NO_SUCH_USER, TOO_MANY_GROUPS};

/// GROUP_CREATE.
pub(super) fn create<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    job: &CreateGroup,
) -> Result<Written, R::Stop> {
    let owner = job.owner;
    check_users(rows, &[owner])?;
    if let Some(group) = rows.made_group(owner, job.request_id)? {
        return Ok(Written::GroupCreated { group, seq: Seq(0) });
    }
    let mut users = each_once(&job.members, Some(owner));
    if users.len() + 1 > job.limits.members_max {
        return Err(GROUP_FULL.into());
    }
    check_users(rows, &users)?;
    users.push(owner);
    users.sort_unstable();
    check_group_counts(rows, &users, job.limits)?;

    let id = rows.make_group(job)?;
    let event = pb::GroupEvent {
        name: job.name.clone(),
        open_history: job.open_history.then_some(true),
        ..event(pb::GroupEventKind::GroupCreated, &users, owner)
    };
    let group = Group { name: job.name.as_str().into(), ..Group::default() };
    let placed = tell(rows, origin, id, &group, owner, event, &users)?;
    let members = users.iter().map(|&user| Member {
        user,
        join_seq: placed.conv_seq.0,
        role: if user == owner { Role::Owner } else { Role::Member },
        muted_until_ms: 0,
    });
    let members: Vec<Member> = members.collect();
    let stays = members.iter().map(|&member| Stay::begun(member, 0)).collect();
    let group = group.with_members(owner, members);
    if job.open_history {
        let open_seq = placed.conv_seq.0;
        put(rows, &[id.0], GroupSetting { open_seq, ..GroupSetting::default() })?;
    }
    rows.change_group(id, group.clone(), stays)?;
    begin_stream(rows, origin, id, group, owner, job.limits)?;
    Ok(Written::GroupCreated { group: id, seq: placed.seq })
}

/// GROUP_INVITE.
pub(super) fn invite<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    actor: UserId,
    id: GroupId,
    users: &[UserId],
    limits: GroupLimits,
) -> Result<Written, R::Stop> {
    let (group, _) = group_of(rows, id, actor, users)?;
    let mut added = each_once(users, None);
    check_users(rows, &added)?;
    added.retain(|&user| group.member(user).is_none());
    if added.is_empty() {
        return Ok(Written::Invited { added, seq: Seq(0) });
    }
    let placed = admit(rows, origin, id, &group, actor, &added, limits)?;
    Ok(Written::Invited { added, seq: placed.seq })
}

/// Makes users members, none of whom is one.
pub(super) fn admit<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    id: GroupId,
    group: &Group,
    actor: UserId,
    added: &[UserId],
    limits: GroupLimits,
) -> Result<Placed, R::Stop> {
    if group.member_count + added.len() > limits.members_max {
        return Err(GROUP_FULL.into());
    }
    check_group_counts(rows, added, limits)?;
    let joined = event(pb::GroupEventKind::MembersJoined, added, group.owner);
    let placed = tell(rows, origin, id, group, actor, joined, added)?;
    let new = |user: &UserId| Member {
        user: *user,
        join_seq: placed.conv_seq.0,
        role: Role::Member,
        muted_until_ms: 0,
    };
    let setting: GroupSetting = get(rows, &[id.0])?;
    let new: Vec<Member> = added.iter().map(new).collect();
    let stays = new.iter().map(|&member| Stay::begun(member, setting.open_seq)).collect();
    let group = group.with_changes(group.owner, &[], &new).with_member_seq(placed.conv_seq);
    rows.change_group(id, group.clone(), stays)?;
    if group.stream.is_some() {
        follow(rows, id, added.iter().copied(), placed.conv_seq)?;
    } else {
        if setting.open_seq != 0 {
            note_earlier(rows, id, added, placed.conv_seq)?;
        }
        begin_stream(rows, origin, id, group, actor, limits)?;
    }
    Ok(placed)
}

/// Makes a group that has grown too large for mailboxes a stream. That is an entry itself, the last
/// one of the group in them.
fn begin_stream<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    id: GroupId,
    group: Group,
    actor: UserId,
    limits: GroupLimits,
) -> Result<(), R::Stop> {
    if group.member_count <= limits.fanout_max {
        return Ok(());
    }
    let became = pb::GroupEvent {
        is_stream: true,
        ..event(pb::GroupEventKind::GroupBecameStream, &[], group.owner)
    };
    // The response names the entry before it.
    let placed = tell(rows, origin.of_nobody(), id, &group, actor, became, &[])?;
    let begin_seq = placed.conv_seq.0;
    follow(rows, id, group.users(), placed.conv_seq)?;
    let stream = Some(StreamState { begin_seq, end_seq: 0, member_seq: begin_seq });
    rows.change_group(id, Group { stream, ..group }, vec![])
}

/// What is above the entry is in the stream for these.
fn follow<R: Rows>(
    rows: &mut R,
    id: GroupId,
    users: impl Iterator<Item = UserId>,
    from: ConvSeq,
) -> Result<(), R::Stop> {
    for user in users {
        put(rows, &[user.0, id.0], Follow { start_seq: from.0, is_over: 0 })?;
    }
    Ok(())
}

/// What is below the entry and can be read by these is in no mailbox of theirs.
fn note_earlier<R: Rows>(
    rows: &mut R,
    id: GroupId,
    users: &[UserId],
    below: ConvSeq,
) -> Result<(), R::Stop> {
    for user in users {
        put(rows, &[user.0, id.0], Follow { start_seq: below.0, is_over: 1 })?;
    }
    Ok(())
}

/// These are members of the group no more.
pub(super) fn unfollow<R: Rows>(
    rows: &mut R,
    id: GroupId,
    group: &Group,
    gone: &[Member],
) -> Result<(), R::Stop> {
    let Some(stream) = group.stream else { return Ok(()) };
    for member in gone {
        let start_seq = member.join_seq.max(stream.begin_seq);
        put(rows, &[member.user.0, id.0], Follow { start_seq, is_over: 1 })?;
    }
    Ok(())
}

/// GROUP_LEAVE.
pub(super) fn leave<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    user: UserId,
    id: GroupId,
) -> Result<Written, R::Stop> {
    let seats = Seats { users: &[user], has_staff: true };
    let group = rows.group_for(id, seats)?.unwrap_or_default();
    let Some(leaver) = group.member(user) else {
        // A repeat of who was a member changes nothing.
        let was_there = rows.was_member(id, user)?;
        return if was_there {
            Ok(Written::Left { seq: Seq(0) })
        } else {
            Err(NO_SUCH_GROUP.into())
        };
    };
    let others = || group.members.iter().copied().filter(|member| member.user != user);
    let owner = match group.owner == user {
        true => successor(others()).unwrap_or_default(),
        false => group.owner,
    };
    let left = event(pb::GroupEventKind::MemberLeft, &[user], owner);
    let placed = tell(rows, origin, id, &group, user, left, &[user])?;
    unfollow(rows, id, &group, &[leaver])?;
    let mut stays = vec![Stay::ended(leaver, placed.conv_seq.0)];
    let next = group.member(owner).filter(|_| owner != group.owner);
    let next: Vec<Member> =
        next.into_iter().map(|next| Member { role: Role::Owner, ..next }).collect();
    stays.extend(next.iter().map(|&next| Stay::now(next)));
    let group = group.with_changes(owner, &[user], &next).with_member_seq(placed.conv_seq);
    rows.change_group(id, group, stays)?;
    Ok(Written::Left { seq: placed.seq })
}

/// The group as far as the user and those others need it, and the user's place in it; or what a stranger is
/// told.
pub(super) fn group_of<R: Rows>(
    rows: &mut R,
    id: GroupId,
    user: UserId,
    others: &[UserId],
) -> Result<(Group, Member), R::Stop> {
    let users: Vec<UserId> = others.iter().copied().chain([user]).collect();
    let group = rows.group_for(id, Seats { users: &users, has_staff: false })?;
    let group = group.unwrap_or_default();
    match group.member(user) {
        Some(member) => Ok((group, member)),
        None => Err(NO_SUCH_GROUP.into()),
    }
}

/// An entry of the group's conversation, as the group was before it, for its members and for those
/// who come by it. `moved`: who comes or goes by it.
pub(super) fn tell<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    id: GroupId,
    group: &Group,
    actor: UserId,
    mut event: pb::GroupEvent,
    moved: &[UserId],
) -> Result<Placed, R::Stop> {
    event.is_stream |= group.stream.is_some();
    let event = NewEvent {
        conversation: ConversationKey::group(id),
        actor,
        kind: pb::MsgType::SystemGroup,
        content: encode(&event),
        once: None,
        stream: group.in_stream(),
    };
    rows.add_event(origin, event, &group.owners(moved))
}

/// What every event says; `owner` is the one after it.
pub(super) fn event(kind: pb::GroupEventKind, users: &[UserId], owner: UserId) -> pb::GroupEvent {
    let user_ids = users.iter().map(|user| user.0).collect();
    pb::GroupEvent { kind: kind.into(), user_ids, owner_id: owner.0, ..Default::default() }
}

/// Refuses a list in which somebody is unknown.
fn check_users<R: Rows>(rows: &mut R, users: &[UserId]) -> Result<(), R::Stop> {
    for &user in users {
        if !rows.has_user(user)? {
            return Err(NO_SUCH_USER.into());
        }
    }
    Ok(())
}

fn check_group_counts<R: Rows>(
    rows: &mut R,
    users: &[UserId],
    limits: GroupLimits,
) -> Result<(), R::Stop> {
    for &user in users {
        if rows.group_count(user)? >= limits.per_user_max as u64 {
            return Err(TOO_MANY_GROUPS.into());
        }
    }
    Ok(())
}
