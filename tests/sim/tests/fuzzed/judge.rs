//! Who may see which conversation, by what the store was asked and said; and whether what somebody
//! is sent is all theirs. Errs on the side of whoever was once near a group.

use std::collections::{BTreeMap, BTreeSet};

use aldis_logic::job::{GroupChange, JobError, WriteJob, Written};
use aldis_wire::{GroupId, UserId};

use crate::script::marks;

/// See the file's first lines.
#[derive(Debug, Default)]
pub struct Judge {
    /// Messages that were acknowledged.
    pub message_ids: Vec<u64>,
    /// Who ever had to do with a group.
    near: BTreeMap<GroupId, BTreeSet<UserId>>,
    /// The same of groups whose making had an unknown outcome.
    near_unknown: BTreeSet<UserId>,
}

impl Judge {
    /// Groups that are known.
    pub fn groups(&self) -> Vec<GroupId> {
        self.near.keys().copied().collect()
    }

    /// The store was asked for a change and said so; or it may have happened all the same.
    pub fn note(&mut self, job: &WriteJob, result: &Result<Written, JobError>, is_unknown: bool) {
        if result.is_err() && !is_unknown {
            return;
        }
        match job {
            WriteJob::CreateGroup(create) => {
                let near = create.members.iter().copied().chain([create.owner]);
                match result {
                    Ok(Written::GroupCreated { group, .. }) => {
                        self.near.entry(*group).or_default().extend(near);
                    }
                    _ => self.near_unknown.extend(near),
                }
            }
            WriteJob::InviteMembers { group, members, .. } => {
                self.near.entry(*group).or_default().extend(members);
            }
            WriteJob::Group(job) => {
                let near = self.near.entry(job.group).or_default();
                near.insert(job.actor);
                if let GroupChange::HandleJoin { user, .. } = &job.change {
                    near.insert(*user);
                }
            }
            _ => {}
        }
    }

    /// Whoever is logged in there gets nothing that is somebody else's; who is not gets nothing.
    pub fn check(&self, reader: Option<UserId>, body: &[u8]) {
        for key in marks(body) {
            let reader = reader.expect("nobody is logged in there");
            let is_theirs = match key.as_group() {
                None => [key.lo, key.hi].contains(&reader.0),
                Some(group) => {
                    let is_near = self.near.get(&group).is_some_and(|near| near.contains(&reader));
                    is_near || self.near_unknown.contains(&reader)
                }
            };
            assert!(is_theirs, "{reader:?} is sent what is of {key:?}");
        }
    }
}
