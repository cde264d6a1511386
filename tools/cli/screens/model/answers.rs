//! What the answers to requests do to the model. Part of the model; knows no keys.

use aldis_client::core::{Response, Target};
use aldis_wire::{GroupId, pb};

use super::asks::{After, Outcome, Purpose, Ticket, why};
use super::{Model, Roster};

impl Model {
    /// The outcome of a request.
    pub fn handle_outcome(&mut self, now_ms: u64, ticket: Ticket, outcome: Outcome) {
        self.now_ms = now_ms;
        if let Some((purpose, outcome)) = self.asks.handle_outcome(now_ms, ticket, outcome) {
            match outcome {
                Ok(response) => self.handle_answer(purpose, response),
                Err(error) => self.handle_failure(purpose, &why(&error)),
            }
        }
        self.settle();
    }

    fn handle_answer(&mut self, purpose: Purpose, response: Response) {
        match (purpose, response) {
            (Purpose::List { left }, Response::ConversationList(page)) => {
                self.handle_list(left, &page);
            }
            (Purpose::History { target, page }, Response::History(resp)) => {
                self.handle_page(target, page, &resp);
            }
            (Purpose::Names, Response::UserGet(resp)) => {
                resp.users.into_iter().for_each(|user| self.names.set_user(user));
            }
            (Purpose::Groups { so_far }, Response::GroupList(page)) => {
                self.handle_groups(so_far, page);
            }
            (Purpose::Members { group, so_far }, Response::GroupMembers(page)) => {
                self.handle_members(group, so_far, page);
            }
            (Purpose::JoinRequests { group }, Response::GroupRequests(page)) => {
                self.wanted_names.extend(page.requests.iter().map(|request| request.user_id));
                if let Some(roster) = self.roster.as_mut().filter(|roster| roster.group == group) {
                    roster.requests = page.requests;
                } else {
                    let requests = page.requests;
                    self.roster = Some(Roster { group, members: Vec::new(), requests });
                }
            }
            (Purpose::Relations { list, so_far }, Response::FriendList(page)) => {
                self.handle_relations(list, so_far, page);
            }
            (Purpose::Search { query }, Response::Search(resp)) => self.handle_hits(&query, &resp),
            (Purpose::Receipts { target, so_far }, Response::Receipts(resp)) => {
                self.handle_receipts(target, so_far, resp);
            }
            (Purpose::Watch, Response::PresenceSubscribe(resp)) => self.note_presence(resp.users),
            (Purpose::Find { name }, Response::UserFind(resp)) => self.handle_found(&name, resp),
            (Purpose::CreateGroup { name }, Response::GroupCreate(resp)) => {
                self.names.set_group(resp.group_id, &name);
                self.are_groups_wanted = true;
                self.open(Target::Group(GroupId(resp.group_id)));
            }
            (Purpose::Devices, Response::DeviceList(resp)) => self.account.devices = resp.devices,
            (Purpose::Audience { audience }, _) => {
                self.account.audience = Some(audience);
                self.say("changed");
            }
            (Purpose::Revoke { device_id }, _) => self.handle_revoked(device_id),
            (Purpose::Password, _) => self.handle_new_password(),
            (Purpose::Change { done, then }, _) => {
                self.say(&done);
                self.look_again(then);
            }
            // MARK_READ needs no answer; others do not come, as the core checks their kind.
            _ => {}
        }
    }

    fn handle_failure(&mut self, purpose: Purpose, why: &str) {
        match purpose {
            // A mark may fail where one is no longer a member; names that are not known stay ids.
            Purpose::Receipts { .. }
            | Purpose::MarkRead
            | Purpose::Names
            | Purpose::Typing
            | Purpose::Watch => {}
            Purpose::Find { .. } => self.fail_resolving(why),
            Purpose::Search { .. } => self.say(&format!("nothing was searched: {why}")),
            Purpose::Change { done, then } => {
                self.say(&format!("not {done}: {why}"));
                self.look_again(then);
            }
            Purpose::CreateGroup { name } => self.say(&format!("{name} was not made: {why}")),
            Purpose::History { target, page } => {
                self.handle_no_page(target, page);
                self.say(&format!("no messages: {why}"));
            }
            // Of a group that one has left there is no list.
            Purpose::Members { .. } | Purpose::JoinRequests { .. } => {}
            Purpose::Audience { .. } => self.say(&format!("not changed: {why}")),
            Purpose::Revoke { .. } => self.say(&format!("not logged out: {why}")),
            Purpose::Password => self.say(&format!("not changed: {why}")),
            Purpose::List { .. }
            | Purpose::Groups { .. }
            | Purpose::Relations { .. }
            | Purpose::Devices => {
                self.say(&format!("a list did not come: {why}"));
            }
        }
    }

    fn look_again(&mut self, then: After) {
        match then {
            After::Nothing => {}
            After::Relations => {
                self.refresh_relations();
                self.ask_relations(pb::RelationList::Blocked);
            }
            After::Group(group) => {
                self.are_groups_wanted = true;
                self.ask_members(group);
            }
            After::Groups => self.are_groups_wanted = true,
            After::Profile => self.ask_profile(),
        }
    }

    fn handle_groups(&mut self, mut so_far: Vec<pb::GroupInfo>, page: pb::GroupListResp) {
        let more = page.more && !page.groups.is_empty();
        so_far.extend(page.groups);
        if let Some(last) = so_far.last().filter(|_| more) {
            let body = pb::GroupListReq { after_group_id: last.group_id, limit: 0 };
            self.ask(aldis_client::core::Request::GroupList(body), Purpose::Groups { so_far });
            return;
        }
        for group in &so_far {
            self.names.set_group(group.group_id, &group.name);
        }
        let was_admin = self.is_admin_here();
        self.groups = so_far.into_iter().map(|group| (group.group_id, group)).collect();
        // Requests to come in are for admins only, which one may have just become known to be.
        if let Some(group) = self.current_group().filter(|_| !was_admin && self.is_admin_here()) {
            self.ask_members(group);
        }
    }

    fn is_admin_here(&self) -> bool {
        let group = self.current_group().and_then(|group| self.groups.get(&group));
        group.is_some_and(|group| group.role() > pb::GroupRole::Member)
    }

    fn handle_members(
        &mut self,
        group: u64,
        mut so_far: Vec<pb::GroupMember>,
        page: pb::GroupMembersResp,
    ) {
        let more = page.more && !page.members.is_empty();
        so_far.extend(page.members);
        if let Some(last) = so_far.last().filter(|_| more) {
            let after_user_id = last.user_id;
            let body = pb::GroupMembersReq { group_id: group, after_user_id, limit: 0 };
            let request = aldis_client::core::Request::GroupMembers(body);
            return self.ask(request, Purpose::Members { group, so_far });
        }
        self.wanted_names.extend(so_far.iter().map(|member| member.user_id));
        so_far.sort_by_key(|member| (std::cmp::Reverse(member.role), member.user_id));
        match self.roster.as_mut().filter(|roster| roster.group == group) {
            Some(roster) => roster.members = so_far,
            None => {
                self.roster = Some(Roster { group, members: so_far, requests: Vec::new() });
            }
        }
        self.handle_roster();
    }

    fn handle_relations(
        &mut self,
        list: pb::RelationList,
        mut so_far: Vec<pb::RelationInfo>,
        page: pb::FriendListResp,
    ) {
        let more = page.more && !page.relations.is_empty();
        so_far.extend(page.relations);
        if let Some(last) = so_far.last().filter(|_| more) {
            let after_user_id = last.user_id;
            let body = pb::FriendListReq { list: list.into(), after_user_id, limit: 0 };
            let request = aldis_client::core::Request::FriendList(body);
            return self.ask(request, Purpose::Relations { list, so_far });
        }
        self.wanted_names.extend(so_far.iter().map(|relation| relation.user_id));
        if list == pb::RelationList::Friends {
            let named = so_far.iter().filter(|relation| !relation.remark.is_empty());
            let remarks = named.map(|relation| (relation.user_id, relation.remark.clone()));
            self.names.set_remarks(remarks.collect());
        }
        *self.relations.list_mut(list) = so_far;
    }
}
