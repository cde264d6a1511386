//! Names for ids and ids for names. Asks the server, remembers the answers.

use std::collections::HashMap;

use aldis_client::core::Target;
use aldis_client::{Client, ClientError};
use aldis_wire::{GroupId, UserId, limits, name, pb};

use crate::exit::{MissingError, usage};
use crate::print::people_of;
use crate::terminal::escape_line;

/// Names remembered; beyond it they are forgotten and asked again.
const NAMES_MAX: usize = 10_000;

/// See the file's first line.
#[derive(Debug, Default)]
pub struct Names {
    users: HashMap<u64, pb::UserInfo>,
    groups: HashMap<u64, String>,
    /// The user's own names for friends.
    remarks: HashMap<u64, String>,
}

impl Names {
    /// Looks up the users among `ids` that are not known yet.
    pub fn fetch(
        &mut self,
        client: &mut Client,
        ids: impl IntoIterator<Item = u64>,
    ) -> Result<(), ClientError> {
        let mut unknown: Vec<UserId> = ids
            .into_iter()
            .filter(|id| *id != 0 && !self.users.contains_key(id))
            .map(UserId)
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        if self.users.len() + unknown.len() > NAMES_MAX {
            self.users.clear();
        }
        for chunk in unknown.chunks(limits::USER_GET_MAX) {
            for user in client.users(chunk)? {
                self.users.insert(user.user_id, user);
            }
        }
        Ok(())
    }

    /// Looks up whatever is needed to show these entries.
    pub fn fetch_for(
        &mut self,
        client: &mut Client,
        entries: &[pb::MessageData],
    ) -> Result<(), ClientError> {
        self.fetch(client, entries.iter().flat_map(people_of))?;
        let is_unknown = |group: u64| group != 0 && !self.knows_group(group);
        if entries.iter().any(|entry| is_unknown(entry.group_id)) {
            self.fetch_groups(client)?;
            // Groups that were left have no name any more; asking again would not help.
            for entry in entries.iter().filter(|entry| entry.group_id != 0) {
                let number = format!("group:{}", entry.group_id);
                self.groups.entry(entry.group_id).or_insert(number);
            }
        }
        Ok(())
    }

    /// Looks up the names of all groups that this user is in.
    pub fn fetch_groups(&mut self, client: &mut Client) -> Result<(), ClientError> {
        for group in client.groups()? {
            self.groups.insert(group.group_id, group.name);
        }
        Ok(())
    }

    /// Whether the group's name is known.
    pub fn knows_group(&self, group: u64) -> bool {
        self.groups.contains_key(&group)
    }

    /// Whether the user's names are known.
    pub fn knows_user(&self, id: u64) -> bool {
        self.users.contains_key(&id)
    }

    /// A user's names, if they are known.
    pub fn known_user(&self, id: u64) -> Option<&pb::UserInfo> {
        self.users.get(&id)
    }

    /// Remembers a user's names.
    pub fn set_user(&mut self, user: pb::UserInfo) {
        if self.users.len() >= NAMES_MAX {
            self.users.clear();
        }
        self.users.insert(user.user_id, user);
    }

    /// Remembers the user's own names for friends, and no others.
    pub fn set_remarks(&mut self, remarks: HashMap<u64, String>) {
        self.remarks = remarks;
    }

    /// Remembers a group's name.
    pub fn set_group(&mut self, group: u64, name: &str) {
        if self.groups.len() < NAMES_MAX {
            self.groups.insert(group, name.to_owned());
        }
    }

    /// How to show a user, on one line.
    pub fn user(&self, id: u64) -> String {
        if let Some(remark) = self.remarks.get(&id) {
            return escape_line(remark);
        }
        match self.users.get(&id) {
            Some(user) if !user.nickname.is_empty() => escape_line(&user.nickname),
            Some(user) => escape_line(&user.username),
            None => format!("id:{id}"),
        }
    }

    /// What to type to reach a user.
    pub fn username(&self, id: u64) -> String {
        self.users.get(&id).map_or_else(|| format!("id:{id}"), |user| escape_line(&user.username))
    }

    /// How to show a group, on one line.
    pub fn group(&self, id: u64) -> String {
        self.groups.get(&id).map_or_else(|| format!("group:{id}"), |name| escape_line(name))
    }

    /// How to show a conversation, on one line.
    pub fn target(&self, target: Target) -> String {
        match target {
            Target::User(user) => self.user(user.0),
            Target::Group(group) => self.group(group.0),
        }
    }

    /// The user or group that was typed: a user name, `id:NUMBER`, or `group:NUMBER`.
    pub fn resolve(&mut self, client: &mut Client, typed: &str) -> anyhow::Result<Target> {
        if let Some(number) = typed.strip_prefix("group:") {
            return Ok(Target::Group(GroupId(parse_id(number)?)));
        }
        self.resolve_user(client, typed).map(Target::User)
    }

    /// The user that was typed: a user name or `id:NUMBER`.
    pub fn resolve_user(&mut self, client: &mut Client, typed: &str) -> anyhow::Result<UserId> {
        if let Some(number) = typed.strip_prefix("id:") {
            return Ok(UserId(parse_id(number)?));
        }
        let wanted = name::normalize_username(typed).ok_or_else(|| {
            usage(format!("{typed:?} is no user name, id:NUMBER or group:NUMBER"))
        })?;
        // Names are found ascending, so the exact one comes first.
        let found = client.find_users(&wanted, 1)?.into_iter().next();
        let user = found
            .filter(|user| user.username == wanted)
            .ok_or_else(|| MissingError(format!("there is no user {wanted}")))?;
        let id = UserId(user.user_id);
        self.users.insert(user.user_id, user);
        Ok(id)
    }
}

fn parse_id(number: &str) -> anyhow::Result<u64> {
    let id = number.parse().ok().filter(|id| *id > 0);
    id.ok_or_else(|| usage(format!("{number:?} is no id")))
}

/// The conversation of an entry as its reader `me` addresses it.
pub fn target_of(entry: &pb::MessageData, me: u64) -> Target {
    match (entry.group_id, entry.sender_id == me) {
        (0, true) => Target::User(UserId(entry.receiver_id)),
        (0, false) => Target::User(UserId(entry.sender_id)),
        (group, _) => Target::Group(GroupId(group)),
    }
}
