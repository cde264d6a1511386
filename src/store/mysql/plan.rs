//! What a batch must know before it runs: which rows it locks and what it looks up, sorted as locks
//! are taken. Knows the jobs, no SQL and no rules.

use aldis_logic::job::{Append, WriteJob, WriteRequest};
use aldis_wire::{ConvSeq, ConversationKey, DeviceClass, GroupId, RequestId, UserId};

use crate::record::{Key, Table};
use crate::rules;
pub(super) use crate::rules::SentKey;

/// A 1:1 conversation and how many messages the batch has for it, resends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Direct {
    pub conversation: ConversationKey,
    pub message_count: u64,
}

/// Everything that a batch's jobs look at. The lists are ascending and name everything once.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    /// 1:1 conversations that one of the two sends to or changes.
    pub directs: Vec<Direct>,
    /// Groups to lock.
    pub groups: Vec<GroupId>,
    /// Those of them whose members are all needed.
    pub full_groups: Vec<GroupId>,
    /// Who is needed of the others.
    pub seats: Vec<(GroupId, UserId)>,
    /// Those of the others whose staff is needed too.
    pub staff: Vec<GroupId>,
    /// Messages that may be resends.
    pub sent: Vec<SentKey>,
    /// Users whose rows guard devices, sessions and the number of groups they are in.
    pub users: Vec<UserId>,
    /// Users whose rows are looked at besides.
    pub profiles: Vec<UserId>,
    pub names: Vec<&'a str>,
    pub devices: Vec<(UserId, &'a str)>,
    pub sessions: Vec<(UserId, DeviceClass)>,
    /// Creations of groups that may be repeats.
    pub requests: Vec<(UserId, RequestId)>,
    /// Users whose number of groups counts.
    pub counted: Vec<UserId>,
    /// Whose leave may be a repeat.
    pub leavers: Vec<(GroupId, UserId)>,
    /// Rows that the rules ask for.
    pub rows: Vec<(Table, Key)>,
    /// Entries that the rules ask for.
    pub targets: Vec<(ConversationKey, ConvSeq)>,
    /// Whose stays in a group the rules ask for.
    pub stays: Vec<(GroupId, UserId)>,
    pub takes_user_ids: bool,
    pub takes_group_ids: bool,
    /// Whether a message id may be needed.
    pub takes_msg_ids: bool,
}

impl<'a> Plan<'a> {
    /// Reads the jobs.
    pub(super) fn of(batch: &'a [WriteRequest]) -> Self {
        let mut plan = Self::default();
        let mut directs = Vec::new();
        for request in batch {
            plan.add(&request.job, &mut directs);
        }
        directs.sort_unstable_by_key(|direct: &Direct| direct.conversation);
        plan.directs = directs
            .chunk_by(|a, b| a.conversation == b.conversation)
            .map(|same| Direct {
                conversation: same[0].conversation,
                message_count: same.iter().map(|direct| direct.message_count).sum(),
            })
            .collect();
        sort_once(&mut plan.groups);
        sort_once(&mut plan.full_groups);
        sort_once(&mut plan.seats);
        sort_once(&mut plan.staff);
        sort_once(&mut plan.sent);
        sort_once(&mut plan.users);
        sort_once(&mut plan.profiles);
        sort_once(&mut plan.names);
        sort_once(&mut plan.devices);
        sort_once(&mut plan.sessions);
        sort_once(&mut plan.requests);
        sort_once(&mut plan.counted);
        sort_once(&mut plan.leavers);
        sort_once(&mut plan.rows);
        sort_once(&mut plan.targets);
        sort_once(&mut plan.stays);
        plan
    }

    fn add(&mut self, job: &'a WriteJob, directs: &mut Vec<Direct>) {
        if let Some(needs) = rules::needs(job) {
            self.takes_msg_ids = true;
            if let WriteJob::EndDevice { user, device_id }
            | WriteJob::ChangePassword { user, device_id, .. } = job
            {
                self.devices.push((*user, device_id));
                // All classes of the user are looked up.
                self.sessions.push((*user, DeviceClass::Phone));
            }
            self.profiles.extend(needs.profiles);
            self.users.extend(needs.users);
            self.full_groups.extend(&needs.groups);
            self.groups.extend(needs.groups);
            for (group, user) in needs.seats {
                self.add_seat(group, user);
            }
            self.staff.extend(needs.staff);
            self.counted.extend(needs.counted);
            self.leavers.extend(needs.leavers);
            if let Some(made) = needs.made {
                self.takes_group_ids = true;
                self.requests.push(made);
            }
            self.rows.extend(needs.rows);
            self.targets.extend(needs.targets);
            self.sent.extend(needs.once);
            self.stays.extend(needs.stays);
            let locked = |conversation| Direct { conversation, message_count: 0 };
            directs.extend(needs.conversations.into_iter().map(locked));
            return;
        }
        match job {
            WriteJob::Append(job) => self.add_append(job, directs),
            WriteJob::Register(user) => {
                self.takes_user_ids = true;
                self.names.push(&user.username);
            }
            WriteJob::OpenSession(job) => {
                self.users.push(job.user);
                self.devices.push((job.user, &job.device_id));
                self.sessions.push((job.user, job.class));
            }
            WriteJob::ReleaseSession { user, class, .. } => {
                self.users.push(*user);
                self.sessions.push((*user, *class));
            }
            // It is one statement, and guards nothing.
            WriteJob::MarkDelivered { stream: Some(_), .. } => {}
            WriteJob::RevokeDevice { user, device_id }
            | WriteJob::MarkDelivered { user, device_id, .. } => {
                self.users.push(*user);
                self.devices.push((*user, device_id));
            }
            // Nothing has to be known of an index to write it.
            WriteJob::StoreIndex { .. } => {}
            WriteJob::CreateGroup(_)
            | WriteJob::InviteMembers { .. }
            | WriteJob::LeaveGroup { .. }
            | WriteJob::Group(_)
            | WriteJob::Friend(_)
            | WriteJob::Message(_)
            | WriteJob::View(_)
            | WriteJob::UpdateUser(_)
            | WriteJob::EndDevice { .. }
            | WriteJob::ChangePassword { .. }
            | WriteJob::NoteSeen { .. } => unreachable!("the rules say what it needs"),
        }
    }

    fn add_append(&mut self, job: &Append, directs: &mut Vec<Direct>) {
        let key = job.conversation;
        if let Some(group) = key.as_group() {
            self.add_seat(group, job.sender);
        } else if key.lo == job.sender.0 || key.hi == job.sender.0 {
            directs.push(Direct { conversation: key, message_count: 1 });
        } else {
            // Nobody else sends there, so there is nothing to look up.
            return;
        }
        self.takes_msg_ids = true;
        self.sent.push(SentKey::of(job));
    }

    /// The group as far as one user needs it.
    fn add_seat(&mut self, group: GroupId, user: UserId) {
        self.groups.push(group);
        self.seats.push((group, user));
    }

    /// Leaves out the 1:1 conversations of users who do not exist.
    pub(super) fn keep_directs(&mut self, mut exists: impl FnMut(UserId) -> bool) {
        self.directs.retain(|direct| {
            let ConversationKey { lo, hi } = direct.conversation;
            let is_alone = lo == hi || direct.conversation.is_own();
            exists(UserId(lo)) && (is_alone || exists(UserId(hi)))
        });
    }
}

fn sort_once<T: Ord>(list: &mut Vec<T>) {
    list.sort_unstable();
    list.dedup();
}

#[cfg(test)]
mod tests {
    use aldis_logic::job::{ReactorId, Ticket};
    use aldis_wire::{ClientMsgId, Command, ConnId, pb};
    use bytes::Bytes;

    use super::*;

    fn request(job: WriteJob) -> WriteRequest {
        let conn = ConnId { index: 0, generation: 0 };
        let command = Command::MsgSend;
        let ticket = Ticket { reactor: ReactorId(0), conn, request: 0, command, bytes: 0 };
        WriteRequest { ticket, fence: 0, job }
    }

    fn send(conversation: ConversationKey, sender: u64, id: u8) -> WriteRequest {
        request(WriteJob::Append(Append {
            conversation,
            sender: UserId(sender),
            client_msg_id: ClientMsgId([id; 16]),
            kind: pb::MsgType::Text,
            content: Bytes::new(),
            extra: Bytes::new(),
            refs: Bytes::new(),
            friends_only: false,
        }))
    }

    #[test]
    fn conversations_are_in_lock_order_with_their_messages() {
        let direct = |a, b| ConversationKey::direct(UserId(a), UserId(b));
        let group = ConversationKey::group(GroupId(7));
        let batch = [
            send(direct(9, 3), 9, 1),
            send(direct(2, 5), 2, 2),
            send(group, 4, 3),
            send(direct(3, 9), 3, 1),
            send(direct(2, 5), 2, 2),
            send(direct(2, 5), 8, 4),
            request(WriteJob::LeaveGroup { user: UserId(1), group: GroupId(6) }),
        ];
        let mut plan = Plan::of(&batch);
        let planned: Vec<_> =
            plan.directs.iter().map(|direct| (direct.conversation, direct.message_count)).collect();
        assert_eq!(planned, [(direct(2, 5), 2), (direct(3, 9), 2)]);
        assert_eq!(plan.groups, [GroupId(6), GroupId(7)]);
        assert_eq!(plan.sent.len(), 4, "one is twice in the batch, one is a stranger's");
        assert!(plan.takes_msg_ids && !plan.takes_user_ids && plan.users.is_empty());
        plan.keep_directs(|user| user != UserId(9));
        assert_eq!(plan.directs.len(), 1);
    }

    #[test]
    fn users_are_locked_once_and_ascending() {
        let device = |user, device_id: &str| {
            request(WriteJob::RevokeDevice { user: UserId(user), device_id: device_id.into() })
        };
        let invite = WriteJob::InviteMembers {
            actor: UserId(1),
            group: GroupId(6),
            members: vec![UserId(8), UserId(4)],
            limits: aldis_logic::job::GroupLimits::default(),
        };
        let batch = [device(5, "b"), device(4, "a"), device(5, "b"), request(invite)];
        let plan = Plan::of(&batch);
        assert_eq!(plan.users, [4, 5, 8].map(UserId));
        assert_eq!(plan.counted, [4, 8].map(UserId));
        assert_eq!(plan.devices, [(UserId(4), "a"), (UserId(5), "b")]);
    }
}
