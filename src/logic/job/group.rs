//! Changes of groups: what is asked.

use aldis_wire::limits::{GROUP_FANOUT_MAX, GROUP_MEMBERS_MAX, GROUPS_PER_USER_MAX};
use aldis_wire::{GroupId, RequestId, UserId};

/// A group to create.
#[derive(Clone, Debug)]
pub struct CreateGroup {
    /// Becomes its owner and first member.
    pub owner: UserId,
    /// As shown.
    pub name: String,
    /// The others, each once, without the owner; an unknown one refuses the job.
    pub members: Vec<UserId>,
    /// Who comes in later can read everything from the beginning.
    pub open_history: bool,
    /// (owner, this) is unique; a repeat returns the group it made.
    pub request_id: RequestId,
    /// See there.
    pub limits: GroupLimits,
}

/// A change of a group by owner, admins, or somebody who asks them.
#[derive(Clone, Debug)]
pub struct GroupJob {
    /// Who changes it.
    pub actor: UserId,
    /// Which.
    pub group: GroupId,
    /// What.
    pub change: GroupChange,
    /// See there.
    pub limits: GroupLimits,
}

/// How large groups may be, and how many; settings of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLimits {
    /// Members of a group whose entries go into their mailboxes. One that has more is a stream from
    /// then on. At most `limits::GROUP_FANOUT_MAX`.
    pub fanout_max: usize,
    /// Members of any group.
    pub members_max: usize,
    /// Groups that a user is in, the own ones included. At most `limits::GROUPS_PER_USER_MAX`.
    pub per_user_max: usize,
}

impl Default for GroupLimits {
    fn default() -> Self {
        Self {
            fanout_max: GROUP_FANOUT_MAX,
            members_max: GROUP_MEMBERS_MAX,
            per_user_max: GROUPS_PER_USER_MAX,
        }
    }
}

/// See [`GroupJob`]. A repeat of one that took effect leaves everything as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupChange {
    /// GROUP_REMOVE. Who is no member is passed over.
    Remove {
        /// Whom.
        users: Vec<UserId>,
    },
    /// GROUP_SET_ROLE.
    SetRole {
        /// Whose.
        user: UserId,
        /// Admin, or plain member.
        is_admin: bool,
    },
    /// GROUP_TRANSFER.
    Transfer {
        /// The next owner.
        to: UserId,
    },
    /// GROUP_UPDATE.
    Update(GroupUpdate),
    /// GROUP_MUTE of a member.
    Mute {
        /// Whom.
        user: UserId,
        /// From now on, ms; 0: no longer.
        mute_ms: u64,
    },
    /// GROUP_MUTE of all but owner and admins.
    MuteAll {
        /// Or no longer.
        is_muted: bool,
    },
    /// GROUP_DISSOLVE.
    Dissolve,
    /// GROUP_JOIN.
    Join {
        /// For owner and admins to read.
        reason: String,
    },
    /// GROUP_HANDLE_JOIN.
    HandleJoin {
        /// Who asked.
        user: UserId,
        /// Or refused.
        accept: bool,
    },
}

/// What GROUP_UPDATE sets; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupUpdate {
    /// As shown.
    pub name: Option<String>,
    /// For all members; may be empty.
    pub announcement: Option<String>,
    /// See there.
    pub join_mode: Option<JoinMode>,
    /// Whether who comes in later can read what was said from now on.
    pub open_history: Option<bool>,
}

/// How strangers come into a group, besides being brought in by members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum JoinMode {
    /// Not at all.
    #[default]
    Invited = 0,
    /// Owner and admins are asked.
    Asked = 1,
    /// At once.
    Open = 2,
}

impl JoinMode {
    /// The mode with this number, or none at all.
    pub fn from_number(number: u64) -> Self {
        match number {
            1 => JoinMode::Asked,
            2 => JoinMode::Open,
            _ => JoinMode::Invited,
        }
    }
}
