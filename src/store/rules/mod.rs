//! Rules of what is changed rarely, written once for all backends: who may do what, which rows
//! change, which entries say so. A backend lends its transaction as [`Rows`]. Knows no backend.
//!
//! Locks: a job's [`Needs`] name the conversations and users whose rows a backend with several writers
//! locks first. A conversation's row guards what its members may do in it and the relations of a 1:1
//! pair; a user's row guards the tally.

mod accounts;
mod friends;
mod group_admin;
mod groups;
mod messages;
mod once;
mod reactions;
mod ties;
mod views;

use aldis_logic::job::{CreateGroup, InStream, JobError, Ticket, WriteJob, Written};
use aldis_wire::{
    ConvSeq, ConversationKey, DeviceClass, Epoch, GroupId, RequestId, Seq, UserId, pb,
};
use bytes::Bytes;

use crate::group::{Group, Seats, Stay};
use crate::page::Span;
use crate::record::{Key, Record, Row, Table};

pub(crate) use accounts::{KnownDevice, NewestSession, Profile};
pub(crate) use friends::{info as relation_info, is_listed};
pub(crate) use messages::{BodyChange, Target};
pub(crate) use once::{Once, SentKey};
pub(crate) use ties::Ties;
pub(crate) use views::{Deferred, finish, shown};

/// An entry of the server's own that says what was changed.
pub(crate) struct NewEvent {
    pub conversation: ConversationKey,
    /// Who did it; one of those who get the entry.
    pub actor: UserId,
    pub kind: pb::MsgType,
    pub content: Bytes,
    /// Of a request that must not be done twice and has no natural key.
    pub once: Option<Once>,
    /// The entry is in a stream, and in mailboxes only besides.
    pub stream: Option<InStream>,
}

/// Where an entry was placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placed {
    /// In the actor's mailbox; 0 where the backend knows it only later, and puts it into the result itself.
    pub seq: Seq,
    pub conv_seq: ConvSeq,
}

/// A transaction of a backend, as rules see it.
pub(crate) trait Rows {
    /// Why it cannot go on; a refusal is one of the reasons.
    type Stop: From<JobError>;

    /// Unix time.
    fn now_ms(&self) -> u64;

    /// Whether there is such a user.
    fn has_user(&mut self, user: UserId) -> Result<bool, Self::Stop>;

    /// The user's row; `None`: there is no such user.
    fn profile(&mut self, user: UserId) -> Result<Option<Profile>, Self::Stop>;

    /// Changes it.
    fn set_profile(&mut self, user: UserId, profile: Profile) -> Result<(), Self::Stop>;

    /// The device; `None`: the user never logged in there.
    fn device(&mut self, user: UserId, id: &str) -> Result<Option<KnownDevice>, Self::Stop>;

    /// Ends all tokens of a device.
    fn raise_device_generation(&mut self, user: UserId, id: &str) -> Result<(), Self::Stop>;

    /// The newest session of each class, ascending.
    fn sessions(&mut self, user: UserId) -> Result<Vec<NewestSession>, Self::Stop>;

    /// Sessions of the class up to this epoch are over.
    fn set_revoked(
        &mut self,
        user: UserId,
        class: DeviceClass,
        epoch: Epoch,
    ) -> Result<(), Self::Stop>;

    /// The row, with what this transaction changed in it.
    fn row(&mut self, table: Table, key: &Key) -> Result<Option<Row>, Self::Stop>;

    /// Makes or replaces the row.
    fn set_row(&mut self, table: Table, key: Key, row: Row) -> Result<(), Self::Stop>;

    /// Drops the rows whose keys begin so, what this transaction made of them included.
    fn drop_rows(&mut self, table: Table, prefix: Key) -> Result<(), Self::Stop>;

    /// What the two of a 1:1 conversation are to each other.
    fn ties(&mut self, pair: ConversationKey) -> Result<Ties, Self::Stop>;

    /// Changes it.
    fn set_ties(&mut self, pair: ConversationKey, ties: Ties) -> Result<(), Self::Stop>;

    /// The group with all members; `None`: there never was one.
    fn group(&mut self, id: GroupId) -> Result<Option<Group>, Self::Stop>;

    /// The group with those who are asked for: of a stream, other members may be missing.
    fn group_for(&mut self, id: GroupId, seats: Seats<'_>) -> Result<Option<Group>, Self::Stop>;

    /// The group that this request has made.
    fn made_group(
        &mut self,
        creator: UserId,
        request_id: RequestId,
    ) -> Result<Option<GroupId>, Self::Stop>;

    /// Makes a group without members.
    fn make_group(&mut self, job: &CreateGroup) -> Result<GroupId, Self::Stop>;

    /// The group is now so, besides members that it does not name; the stays of it that were begun, changed or
    /// ended.
    fn change_group(
        &mut self,
        id: GroupId,
        group: Group,
        stays: Vec<Stay>,
    ) -> Result<(), Self::Stop>;

    /// In how many groups the user is.
    fn group_count(&mut self, user: UserId) -> Result<u64, Self::Stop>;

    /// Whether the user was ever in the group.
    fn was_member(&mut self, group: GroupId, user: UserId) -> Result<bool, Self::Stop>;

    /// Which entries of a group somebody can see, ascending; the last one is open while the stay goes on
    /// (`u64::MAX`).
    fn stays(&mut self, group: GroupId, user: UserId) -> Result<Vec<Span>, Self::Stop>;

    /// What is told at the end of the transaction.
    fn deferred(&mut self) -> &mut Deferred;

    /// An entry of a conversation, with what this transaction changed in it.
    fn target(
        &mut self,
        conversation: ConversationKey,
        conv_seq: ConvSeq,
    ) -> Result<Option<Target>, Self::Stop>;

    /// Changes what an entry that exists says, for all readers.
    fn change_body(
        &mut self,
        conversation: ConversationKey,
        conv_seq: ConvSeq,
        change: BodyChange,
    ) -> Result<(), Self::Stop>;

    /// Whether this was done before; with another body that is a conflict.
    fn is_repeat(
        &mut self,
        key: &SentKey,
        once: &Once,
        kind: pb::MsgType,
    ) -> Result<bool, Self::Stop>;

    /// Appends an entry to a conversation and to the mailboxes of these owners, who are ascending.
    fn add_event(
        &mut self,
        origin: Ticket,
        event: NewEvent,
        owners: &[UserId],
    ) -> Result<Placed, Self::Stop>;
}

/// What a job looks at, for backends that have to ask for it before.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// 1:1 conversations to lock.
    pub conversations: Vec<ConversationKey>,
    /// Groups to lock, with all members.
    pub groups: Vec<GroupId>,
    /// Groups to lock, as far as these users need them.
    pub seats: Vec<(GroupId, UserId)>,
    /// Those of them whose staff is needed too, see [`Seats`].
    pub staff: Vec<GroupId>,
    /// Users to lock.
    pub users: Vec<UserId>,
    /// Rows that the rules ask for.
    pub rows: Vec<(Table, Key)>,
    /// Entries that the rules ask for.
    pub targets: Vec<(ConversationKey, ConvSeq)>,
    /// Requests that may be repeats.
    pub once: Vec<SentKey>,
    /// Whose stays in a group the rules ask for.
    pub stays: Vec<(GroupId, UserId)>,
    /// Users whose rows the rules ask for.
    pub profiles: Vec<UserId>,
    /// Users whose number of groups counts.
    pub counted: Vec<UserId>,
    /// Who may have been in which group.
    pub leavers: Vec<(GroupId, UserId)>,
    /// A group to make, unless the request has made it before.
    pub made: Option<(UserId, RequestId)>,
}

impl Needs {
    /// Users whose places in a group are looked at.
    fn add_seats(&mut self, group: GroupId, users: impl Iterator<Item = UserId>) {
        self.seats.extend(users.map(|user| (group, user)));
    }

    /// Users who are to become members.
    fn add_members(&mut self, users: &[UserId]) {
        self.users.extend(users);
        self.counted.extend(users);
    }
}

/// What the rules need for a job; `None`: the backend runs it by itself.
pub(crate) fn needs(job: &WriteJob) -> Option<Needs> {
    match job {
        WriteJob::Friend(job) => Some(friends::needs(job)),
        WriteJob::CreateGroup(job) => {
            let made = Some((job.owner, job.request_id));
            let mut needs = Needs { made, ..Needs::default() };
            needs.add_members(&job.members);
            needs.add_members(&[job.owner]);
            Some(needs)
        }
        WriteJob::InviteMembers { actor, group, members, .. } => {
            let rows = vec![(Table::GroupSetting, Key::from_slice(&[group.0]))];
            let mut needs = Needs { rows, ..Needs::default() };
            needs.add_seats(*group, members.iter().copied().chain([*actor]));
            needs.add_members(members);
            Some(needs)
        }
        WriteJob::LeaveGroup { user, group } => {
            let leavers = vec![(*group, *user)];
            let (seats, staff) = (leavers.clone(), vec![*group]);
            Some(Needs { seats, staff, leavers, ..Needs::default() })
        }
        WriteJob::Group(job) => Some(group_admin::needs(job)),
        WriteJob::Message(job) => Some(messages::needs(job)),
        WriteJob::View(job) => Some(views::needs(job)),
        other => accounts::needs(other),
    }
}

/// Whose mailbox a job's result names a seq of: the first new entry of this one's.
pub(crate) fn actor(job: &WriteJob) -> UserId {
    match job {
        WriteJob::Friend(job) => job.actor,
        WriteJob::CreateGroup(job) => job.owner,
        WriteJob::InviteMembers { actor, .. } => *actor,
        WriteJob::LeaveGroup { user, .. } => *user,
        WriteJob::Group(job) => job.actor,
        WriteJob::Message(job) => job.actor,
        WriteJob::View(job) => job.user,
        WriteJob::UpdateUser(job) => job.user,
        WriteJob::ChangePassword { user, .. } | WriteJob::EndDevice { user, .. } => *user,
        WriteJob::NoteSeen { .. } => UserId(0),
        other => unreachable!("{other:?} has no needs"),
    }
}

/// Runs a job that has [`needs`]. A refused one has changed nothing.
pub(crate) fn run<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    job: &WriteJob,
) -> Result<Written, R::Stop> {
    match job {
        WriteJob::Friend(job) => friends::change(rows, origin, job),
        WriteJob::CreateGroup(job) => groups::create(rows, origin, job),
        WriteJob::InviteMembers { actor, group, members, limits } => {
            groups::invite(rows, origin, *actor, *group, members, *limits)
        }
        WriteJob::LeaveGroup { user, group } => groups::leave(rows, origin, *user, *group),
        WriteJob::Group(job) => group_admin::change(rows, origin, job),
        WriteJob::Message(job) => messages::change(rows, origin, job),
        WriteJob::View(job) => views::change(rows, origin, job),
        WriteJob::UpdateUser(job) => accounts::update(rows, origin, job),
        WriteJob::EndDevice { user, device_id } => accounts::end_device(rows, *user, device_id),
        job @ WriteJob::ChangePassword { .. } => accounts::change_password(rows, job),
        WriteJob::NoteSeen { users } => accounts::note_seen(rows, users),
        other => unreachable!("{other:?} has no needs"),
    }
}

/// The record with this key, or the default.
fn get<T: Record, R: Rows>(rows: &mut R, key: &[u64]) -> Result<T, R::Stop> {
    let Some(row) = rows.row(T::TABLE, &Key::from_slice(key))? else { return Ok(T::default()) };
    // What is stored was made by `put`.
    T::from_row(row).ok_or_else(|| JobError::Internal.into())
}

/// Stores the record.
fn put<T: Record, R: Rows>(rows: &mut R, key: &[u64], record: T) -> Result<(), R::Stop> {
    rows.set_row(T::TABLE, Key::from_slice(key), record.into_row())
}

/// An entry that only the user's own devices get.
fn tell_self<R: Rows>(
    rows: &mut R,
    origin: Ticket,
    user: UserId,
    what: pb::self_event::What,
) -> Result<Placed, R::Stop> {
    let event = NewEvent {
        conversation: ConversationKey::own(user),
        actor: user,
        kind: pb::MsgType::SystemSelf,
        content: encode(&pb::SelfEvent { what: Some(what) }),
        once: None,
        stream: None,
    };
    rows.add_event(origin, event, &[user])
}

fn encode(message: &impl aldis_wire::Message) -> Bytes {
    Bytes::from(message.encode_to_vec())
}
