//! From typed names to ids, one question after the other, and what is done with them then. Knows no
//! keys.

use aldis_client::core::{Request, Target};
use aldis_wire::{GroupId, UserId, name, pb};

use super::Model;
use super::asks::{After, Purpose};

/// What is done with the users that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    Open,
    CreateGroup { name: String },
    Invite { group: u64 },
    Befriend { reason: String },
    Block,
}

/// Names that are looked up.
#[derive(Debug)]
pub(super) struct Resolving {
    /// In the reverse order.
    to_find: Vec<String>,
    found_ids: Vec<u64>,
    then: Then,
}

impl Model {
    /// Looks up user names (or `id:NUMBER`), then does something with all of them.
    pub(super) fn resolve(&mut self, typed: &str, then: Then) {
        let mut to_find: Vec<String> = typed.split_whitespace().map(str::to_owned).collect();
        to_find.reverse();
        if self.resolving.is_some() {
            return self.say("names are being looked up; try again in a moment");
        }
        self.resolving = Some(Resolving { to_find, found_ids: Vec::new(), then });
        self.find_next();
    }

    /// Opens what was typed: a user name, `id:NUMBER` or `group:NUMBER`.
    pub fn open_typed(&mut self, typed: &str) {
        match typed.strip_prefix("group:").map(str::parse) {
            Some(Ok(id)) => self.open(Target::Group(GroupId(id))),
            Some(Err(_)) => self.say(&format!("{typed} is no group:NUMBER")),
            None => self.resolve(typed, Then::Open),
        }
    }

    fn find_next(&mut self) {
        let Some(resolving) = &mut self.resolving else { return };
        let Some(typed) = resolving.to_find.pop() else { return self.finish_resolving() };
        if let Some(number) = typed.strip_prefix("id:") {
            match number.parse() {
                Ok(id) => {
                    resolving.found_ids.push(id);
                    return self.find_next();
                }
                Err(_) => return self.fail_resolving(&format!("{typed} is no id:NUMBER")),
            }
        }
        let Some(name) = name::normalize_username(&typed) else {
            return self.fail_resolving(&format!("{typed} is no user name"));
        };
        // Names are found ascending, so the exact one comes first.
        let request = pb::UserFindReq { query: name.clone(), limit: 1 };
        self.ask(Request::UserFind(request), Purpose::Find { name });
    }

    pub(super) fn handle_found(&mut self, name: &str, resp: pb::UserFindResp) {
        let found = resp.users.into_iter().find(|user| user.username == name);
        match found {
            None => self.fail_resolving(&format!("there is no user {name}")),
            Some(user) => {
                if let Some(resolving) = &mut self.resolving {
                    resolving.found_ids.push(user.user_id);
                }
                self.names.set_user(user);
                self.find_next();
            }
        }
    }

    pub(super) fn fail_resolving(&mut self, why: &str) {
        self.resolving = None;
        self.say(why);
    }

    fn finish_resolving(&mut self) {
        let Some(Resolving { found_ids: ids, then, .. }) = self.resolving.take() else { return };
        match then {
            Then::Open => {
                if let Some(id) = ids.first() {
                    self.open(Target::User(UserId(*id)));
                }
            }
            Then::CreateGroup { name } => {
                let request_id = self.new_request_id();
                let body = pb::GroupCreateReq {
                    name: name.clone(),
                    member_ids: ids,
                    request_id,
                    open_history: false,
                };
                self.ask(Request::GroupCreate(body), Purpose::CreateGroup { name });
            }
            Then::Invite { .. } if ids.is_empty() => {}
            Then::Invite { group } => {
                let body = pb::GroupInviteReq { group_id: group, member_ids: ids };
                self.change(Request::GroupInvite(body), "brought in", After::Group(group));
            }
            Then::Befriend { reason } => {
                for user_id in ids {
                    let body = pb::FriendApplyReq { user_id, reason: reason.clone() };
                    self.change(Request::FriendApply(body), "asked", After::Relations);
                }
            }
            Then::Block => {
                for user_id in ids {
                    let body = pb::BlockReq { user_id };
                    self.change(Request::Block(body), "blocked", After::Relations);
                }
            }
        }
    }
}
