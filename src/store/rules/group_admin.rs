//! What owner and admins of a group do, and who asks them to come in. Whoever may not is told so if a
//! member, and otherwise that there is no such group. Knows no backend.

use aldis_logic::job::{
    GroupChange, GroupJob, GroupLimits, GroupUpdate, JobError, JoinMode, Ticket, Written,
};
use aldis_wire::limits::GROUP_REQUESTS_MAX;
use aldis_wire::{GroupId, Seq, UserId, pb};

use super::groups::{admit, event, group_of, tell, unfollow};
use super::{Needs, Placed, Rows, get, put, tell_self};
use crate::group::{Group, Member, Role, Seats, Stay, StreamState};
use crate::record::{GroupRequest, GroupSetting, Key, Table};
use crate::refusal::{
    NO_SUCH_GROUP, NO_SUCH_MEMBER, NO_SUCH_REQUEST, NO_SUCH_USER, NOT_ALLOWED, TOO_MANY_REQUESTS,
};

/// Rows that the rules ask for.
pub(super) fn needs(job: &GroupJob) -> Needs {
    let group = job.group.0;
    let mut needs = Needs {
        leavers: vec![(job.group, job.actor)],
        rows: vec![(Table::GroupSetting, Key::from_slice(&[group]))],
        ..Needs::default()
    };
    match named(&job.change) {
        Some(others) => needs.add_seats(job.group, others.iter().copied().chain([job.actor])),
        None => needs.groups.push(job.group),
    }
    if matches!(job.change, GroupChange::Join { .. }) {
        needs.staff.push(job.group);
    }
    let joiner = match job.change {
        GroupChange::Join { .. } => Some(job.actor),
        GroupChange::HandleJoin { user, .. } => Some(user),
        _ => None,
    };
    if let Some(user) = joiner {
        needs.users.push(user);
        needs.counted.push(user);
        needs.rows.push((Table::GroupRequest, Key::from_slice(&[group, user.0])));
    }
    needs
}

/// Whom a change is about, besides the actor. `None`: all members.
fn named(change: &GroupChange) -> Option<&[UserId]> {
    Some(match change {
        GroupChange::Remove { users } => users,
        GroupChange::SetRole { user, .. }
        | GroupChange::Transfer { to: user }
        | GroupChange::Mute { user, .. }
        | GroupChange::HandleJoin { user, .. } => std::slice::from_ref(user),
        GroupChange::Update(_) | GroupChange::MuteAll { .. } | GroupChange::Join { .. } => &[],
        GroupChange::Dissolve => return None,
    })
}

/// A change of a group by one of its members.
struct Act<'a, R: Rows> {
    rows: &'a mut R,
    origin: Ticket,
    id: GroupId,
    group: Group,
    actor: Member,
    limits: GroupLimits,
}

/// Runs the job.
pub(super) fn change<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    job: &GroupJob,
) -> Result<Written, R::Stop> {
    let &GroupJob { actor, group: id, limits, .. } = job;
    if let GroupChange::Join { reason } = &job.change {
        let placed = join(rows, origin, job, reason)?;
        return Ok(Written::Changed { seq: placed.seq });
    }
    if matches!(job.change, GroupChange::Dissolve) && is_dissolved(rows, id, actor)? {
        return Ok(Written::Changed { seq: Seq(0) });
    }
    let (group, actor) = match named(&job.change) {
        Some(others) => group_of(rows, id, actor, others)?,
        None => {
            let group = rows.group(id)?.unwrap_or_default();
            let actor = group.member(actor).ok_or(NO_SUCH_GROUP)?;
            (group, actor)
        }
    };
    let mut act = Act { rows, origin, id, group, actor, limits };
    let placed = match &job.change {
        GroupChange::Remove { users } => act.remove(users)?,
        GroupChange::SetRole { user, is_admin } => act.set_role(*user, *is_admin)?,
        GroupChange::Transfer { to } => act.transfer(*to)?,
        GroupChange::Update(update) => act.update(update)?,
        GroupChange::Mute { user, mute_ms } => act.mute(*user, *mute_ms)?,
        GroupChange::MuteAll { is_muted } => act.mute_all(*is_muted)?,
        GroupChange::Dissolve => act.dissolve()?,
        GroupChange::HandleJoin { user, accept } => act.handle_join(*user, *accept)?,
        GroupChange::Join { .. } => unreachable!("it is no member's"),
    };
    Ok(Written::Changed { seq: placed.seq })
}

impl<R: Rows> Act<'_, R> {
    fn remove(&mut self, users: &[UserId]) -> Result<Placed, R::Stop> {
        self.check_role(Role::Admin)?;
        let mut gone: Vec<Member> =
            users.iter().filter_map(|&user| self.group.member(user)).collect();
        gone.sort_unstable_by_key(|member| member.user);
        gone.dedup();
        if gone.iter().any(|member| member.role >= self.actor.role) {
            return Err(NOT_ALLOWED.into());
        }
        if gone.is_empty() {
            return Ok(Placed::default());
        }
        let users: Vec<UserId> = gone.iter().map(|member| member.user).collect();
        let removed = event(pb::GroupEventKind::MembersRemoved, &users, self.group.owner);
        let placed =
            tell(self.rows, self.origin, self.id, &self.group, self.actor.user, removed, &users)?;
        unfollow(self.rows, self.id, &self.group, &gone)?;
        let leave_seq = placed.conv_seq.0;
        let stays = gone.into_iter().map(|member| Stay::ended(member, leave_seq)).collect();
        let group = self.group.with_changes(self.group.owner, &users, &[]);
        let group = group.with_member_seq(placed.conv_seq);
        self.rows.change_group(self.id, group, stays)?;
        Ok(placed)
    }

    fn set_role(&mut self, user: UserId, is_admin: bool) -> Result<Placed, R::Stop> {
        self.check_role(Role::Owner)?;
        let member = self.member(user)?;
        if member.role == Role::Owner {
            return Err(NOT_ALLOWED.into());
        }
        let role = if is_admin { Role::Admin } else { Role::Member };
        if member.role == role {
            return Ok(Placed::default());
        }
        let kind = match is_admin {
            true => pb::GroupEventKind::AdminMade,
            false => pb::GroupEventKind::AdminUnmade,
        };
        let placed = self.tell(event(kind, &[user], self.group.owner))?;
        self.replace(self.group.owner, &[Member { role, ..member }])?;
        Ok(placed)
    }

    fn transfer(&mut self, to: UserId) -> Result<Placed, R::Stop> {
        if self.group.owner == to && self.actor.role < Role::Owner {
            // A repeat of who was the owner.
            return Ok(Placed::default());
        }
        self.check_role(Role::Owner)?;
        let next = self.member(to)?;
        if next.user == self.actor.user {
            return Ok(Placed::default());
        }
        let placed = self.tell(event(pb::GroupEventKind::OwnerChanged, &[to], to))?;
        let before = Member { role: Role::Member, ..self.actor };
        self.replace(to, &[before, Member { role: Role::Owner, ..next }])?;
        Ok(placed)
    }

    fn update(&mut self, update: &GroupUpdate) -> Result<Placed, R::Stop> {
        self.check_role(Role::Admin)?;
        let GroupUpdate { name, announcement, join_mode, open_history } = update;
        let mut setting: GroupSetting = get(self.rows, &[self.id.0])?;
        let before = setting.clone();
        if let Some(announcement) = announcement {
            announcement.clone_into(&mut setting.announcement);
        }
        if let Some(mode) = join_mode {
            setting.join_mode = *mode as u64;
        }
        let name = name.as_deref().filter(|name| *name != &*self.group.name);
        let open_history = open_history.filter(|is_open| *is_open != (before.open_seq != 0));
        if setting == before && name.is_none() && open_history.is_none() {
            return Ok(Placed::default());
        }
        let updated = pb::GroupEvent {
            name: name.unwrap_or_default().to_owned(),
            announcement: (setting.announcement != before.announcement)
                .then(|| setting.announcement.clone()),
            join_mode: setting.join_mode as i32,
            open_history,
            ..event(pb::GroupEventKind::GroupUpdated, &[], self.group.owner)
        };
        let placed = self.tell(updated)?;
        if let Some(is_open) = open_history {
            // Nothing that was said before all were told can be read by who comes later.
            setting.open_seq = if is_open { placed.conv_seq.0 } else { 0 };
        }
        if let Some(name) = name {
            let group = Group { name: name.into(), ..self.group.clone() };
            self.rows.change_group(self.id, group, Vec::new())?;
        }
        put(self.rows, &[self.id.0], setting)?;
        Ok(placed)
    }

    fn mute(&mut self, user: UserId, mute_ms: u64) -> Result<Placed, R::Stop> {
        self.check_role(Role::Admin)?;
        let member = self.member(user)?;
        if member.role >= self.actor.role {
            return Err(NOT_ALLOWED.into());
        }
        let now_ms = self.rows.now_ms();
        let was_muted = member.muted_until_ms > now_ms;
        let muted_until_ms = if mute_ms == 0 { 0 } else { now_ms.saturating_add(mute_ms) };
        if mute_ms == 0 && !was_muted {
            return Ok(Placed::default());
        }
        let muted = pb::GroupEvent {
            muted_until_ms,
            ..event(pb::GroupEventKind::MemberMuted, &[user], self.group.owner)
        };
        let placed = self.tell(muted)?;
        self.replace(self.group.owner, &[Member { muted_until_ms, ..member }])?;
        Ok(placed)
    }

    fn mute_all(&mut self, is_muted: bool) -> Result<Placed, R::Stop> {
        self.check_role(Role::Admin)?;
        if self.group.is_muted == is_muted {
            return Ok(Placed::default());
        }
        let muted = pb::GroupEvent {
            all_muted: is_muted,
            ..event(pb::GroupEventKind::AllMuted, &[], self.group.owner)
        };
        let placed = self.tell(muted)?;
        let group = Group { is_muted, ..self.group.clone() };
        self.rows.change_group(self.id, group, Vec::new())?;
        Ok(placed)
    }

    fn dissolve(&mut self) -> Result<Placed, R::Stop> {
        self.check_role(Role::Owner)?;
        let nobody = UserId::default();
        let placed = self.tell(event(pb::GroupEventKind::GroupDissolved, &[], nobody))?;
        let leave_seq = placed.conv_seq.0;
        let ended = |&member| Stay::ended(member, leave_seq);
        let stays = self.group.members.iter().map(ended).collect();
        unfollow(self.rows, self.id, &self.group, &self.group.members)?;
        let mut group = self.group.with_members(nobody, Vec::new());
        // It is in the stream: nobody's mailbox needs a row for it.
        let ended = |stream| StreamState { end_seq: leave_seq, member_seq: leave_seq, ..stream };
        group.stream = group.stream.map(ended);
        self.rows.change_group(self.id, group, stays)?;
        Ok(placed)
    }

    fn handle_join(&mut self, user: UserId, accept: bool) -> Result<Placed, R::Stop> {
        self.check_role(Role::Admin)?;
        let key = [self.id.0, user.0];
        let request: GroupRequest = get(self.rows, &key)?;
        if !request.is_waiting() {
            // Somebody answered it before, perhaps this one.
            let is_done = request.asked_ms > 0;
            return if is_done { Ok(Placed::default()) } else { Err(NO_SUCH_REQUEST.into()) };
        }
        let is_new = accept && self.group.member(user).is_none();
        let placed = match is_new {
            true => {
                let Self { rows, origin, id, group, actor, limits } = self;
                admit(*rows, *origin, *id, group, actor.user, &[user], *limits)?
            }
            false => Placed::default(),
        };
        end_request(self.rows, self.id, user, request)?;
        if !accept {
            let refused = group_request(self.id, user, "", pb::GroupRequestState::Refused);
            tell_self(self.rows, self.origin, user, refused)?;
        }
        Ok(placed)
    }

    fn check_role(&self, least: Role) -> Result<(), JobError> {
        if self.actor.role >= least { Ok(()) } else { Err(NOT_ALLOWED) }
    }

    fn member(&self, user: UserId) -> Result<Member, JobError> {
        self.group.member(user).ok_or(NO_SUCH_MEMBER)
    }

    /// An entry for all members.
    fn tell(&mut self, event: pb::GroupEvent) -> Result<Placed, R::Stop> {
        tell(self.rows, self.origin, self.id, &self.group, self.actor.user, event, &[])
    }

    /// Changes some of the members.
    fn replace(&mut self, owner: UserId, changed: &[Member]) -> Result<(), R::Stop> {
        let stays = changed.iter().map(|&member| Stay::now(member)).collect();
        self.rows.change_group(self.id, self.group.with_changes(owner, &[], changed), stays)
    }
}

/// GROUP_JOIN.
fn join<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    job: &GroupJob,
    reason: &str,
) -> Result<Placed, R::Stop> {
    let &GroupJob { actor: user, group: id, limits, .. } = job;
    if !rows.has_user(user)? {
        return Err(NO_SUCH_USER.into());
    }
    let seats = Seats { users: &[user], has_staff: true };
    let group = rows.group_for(id, seats)?.unwrap_or_default();
    if group.member(user).is_some() {
        return Ok(Placed::default());
    }
    let mut setting: GroupSetting = get(rows, &[id.0])?;
    let mode = JoinMode::from_number(setting.join_mode);
    if group.member_count == 0 || mode == JoinMode::Invited {
        return Err(NO_SUCH_GROUP.into());
    }
    let key = [id.0, user.0];
    let mut request: GroupRequest = get(rows, &key)?;
    if mode == JoinMode::Open {
        let placed = admit(rows, origin, id, &group, user, &[user], limits)?;
        if request.is_waiting() {
            end_request(rows, id, user, request)?;
        }
        return Ok(placed);
    }
    if request.is_waiting() && request.reason == reason {
        return Ok(Placed::default());
    }
    if !request.is_waiting() {
        if setting.requests >= GROUP_REQUESTS_MAX as u64 {
            return Err(TOO_MANY_REQUESTS.into());
        }
        setting.requests += 1;
        request.waiting = 1;
    }
    request.asked_ms = rows.now_ms();
    reason.clone_into(&mut request.reason);
    for member in group.members.iter().filter(|member| member.role >= Role::Admin) {
        let asked = group_request(id, user, reason, pb::GroupRequestState::Waiting);
        tell_self(rows, origin, member.user, asked)?;
    }
    put(rows, &key, request)?;
    put(rows, &[id.0], setting)?;
    Ok(Placed::default())
}

fn end_request<R: Rows>(
    rows: &mut R,
    id: GroupId,
    user: UserId,
    request: GroupRequest,
) -> Result<(), R::Stop> {
    let mut setting: GroupSetting = get(rows, &[id.0])?;
    setting.requests = setting.requests.saturating_sub(1);
    put(rows, &[id.0], setting)?;
    let ended = GroupRequest { waiting: 0, reason: String::new(), ..request };
    put(rows, &[id.0, user.0], ended)
}

fn group_request(
    group: GroupId,
    user: UserId,
    reason: &str,
    state: pb::GroupRequestState,
) -> pb::self_event::What {
    pb::self_event::What::GroupRequest(pb::GroupRequestInfo {
        group_id: group.0,
        user_id: user.0,
        reason: reason.to_owned(),
        state: state.into(),
        asked_ms: 0,
    })
}

/// Whether the group has ended and the user was in it: who dissolves it again changes nothing.
fn is_dissolved<R: Rows>(rows: &mut R, id: GroupId, user: UserId) -> Result<bool, R::Stop> {
    let is_over = rows.group(id)?.is_none_or(|group| group.member_count == 0);
    Ok(is_over && rows.was_member(id, user)?)
}
