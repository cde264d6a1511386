//! The views of friends, groups, members and long texts: what they hold and what their keys do.
//! Part of the model.

use aldis_client::core::{Request, Target};
use aldis_wire::{GroupId, UserId, pb};
use ratatui::crossterm::event::KeyEvent;

use super::account::FIELDS;
use super::asks::After;
use super::prompt::{Sure, Wish};
use super::{Model, Purpose};
use crate::screens::keys::{self, Act};

/// How long a member is silenced at once.
const MUTE_S: u32 = 3_600;

/// What stands in place of the conversations. `selected` counts from the top.
#[derive(Clone, Debug, PartialEq)]
pub enum Panel {
    Friends {
        list: pb::RelationList,
        selected: usize,
    },
    Groups {
        selected: usize,
    },
    /// Who asked to come in stands above the members.
    Members {
        group: u64,
        selected: usize,
    },
    /// What a search found.
    Search {
        selected: usize,
    },
    /// Oneself; a row for each of `account::FIELDS`.
    Profile {
        selected: usize,
    },
    Devices {
        selected: usize,
    },
    /// A text to be read; `top` is the first row shown.
    Reading {
        title: String,
        text: String,
        top: usize,
    },
}

/// Who is what to the user.
#[derive(Debug, Default)]
pub struct Relations {
    pub friends: Vec<pb::RelationInfo>,
    pub requests: Vec<pb::RelationInfo>,
    pub blocked: Vec<pb::RelationInfo>,
}

/// Members of one group, and who asked to become one.
#[derive(Debug)]
pub struct Roster {
    pub group: u64,
    pub members: Vec<pb::GroupMember>,
    pub requests: Vec<pb::GroupRequestInfo>,
}

impl Relations {
    pub fn list(&self, list: pb::RelationList) -> &[pb::RelationInfo] {
        match list {
            pb::RelationList::Friends => &self.friends,
            pb::RelationList::Requests => &self.requests,
            pb::RelationList::Blocked => &self.blocked,
        }
    }

    pub(super) fn list_mut(&mut self, list: pb::RelationList) -> &mut Vec<pb::RelationInfo> {
        match list {
            pb::RelationList::Friends => &mut self.friends,
            pb::RelationList::Requests => &mut self.requests,
            pb::RelationList::Blocked => &mut self.blocked,
        }
    }
}

impl Panel {
    pub fn table(&self) -> &'static keys::Table {
        match self {
            Panel::Friends { .. } => &keys::FRIENDS,
            Panel::Groups { .. } => &keys::GROUPS,
            Panel::Members { .. } => &keys::MEMBERS,
            Panel::Search { .. } => &keys::SEARCH,
            Panel::Profile { .. } => &keys::PROFILE,
            Panel::Devices { .. } => &keys::DEVICES,
            Panel::Reading { .. } => &keys::READING,
        }
    }

    fn selected_mut(&mut self) -> &mut usize {
        match self {
            Panel::Friends { selected, .. }
            | Panel::Groups { selected }
            | Panel::Search { selected }
            | Panel::Profile { selected }
            | Panel::Devices { selected }
            | Panel::Members { selected, .. }
            | Panel::Reading { top: selected, .. } => selected,
        }
    }
}

impl Model {
    pub(super) fn show_friends(&mut self) {
        self.panel = Some(Panel::Friends { list: pb::RelationList::Friends, selected: 0 });
        self.refresh_relations();
    }

    pub(super) fn show_groups(&mut self) {
        self.panel = Some(Panel::Groups { selected: 0 });
        self.are_groups_wanted = true;
    }

    pub(super) fn show_members(&mut self, group: u64) {
        self.panel = Some(Panel::Members { group, selected: 0 });
        self.ask_members(group);
    }

    /// Members and requests of a group, if they were loaded.
    pub fn roster_of(&self, group: u64) -> Option<&Roster> {
        self.roster.as_ref().filter(|roster| roster.group == group)
    }

    /// The rows that a panel has.
    fn row_count(&self, panel: &Panel) -> usize {
        match panel {
            Panel::Friends { list, .. } => self.relations.list(*list).len(),
            Panel::Groups { .. } => self.groups.len(),
            Panel::Search { .. } => self.search.hits.len(),
            Panel::Profile { .. } => FIELDS.len(),
            Panel::Devices { .. } => self.account.devices.len(),
            Panel::Members { group, .. } => {
                self.roster_of(*group).map_or(0, |r| r.requests.len() + r.members.len())
            }
            Panel::Reading { text, .. } => {
                crate::screens::view::reading_rows_below_top(self.size, text)
            }
        }
    }

    pub(super) fn handle_panel_key(&mut self, key: KeyEvent) {
        let Some(mut panel) = self.panel.clone() else { return };
        let Some(act) = panel.table().find(key) else { return };
        let last = self.row_count(&panel).saturating_sub(1);
        let selected = panel.selected_mut();
        match act {
            Act::Up => *selected = selected.saturating_sub(1).min(last),
            Act::Down => *selected = (*selected + 1).min(last),
            Act::First => *selected = 0,
            Act::Last => *selected = last,
            Act::Back => return self.leave_panel(),
            _ => return self.act_in_panel(&panel, act),
        }
        if matches!(panel, Panel::Search { selected } if selected == last) {
            self.more_hits();
        }
        self.panel = Some(panel);
    }

    /// PgUp and PgDn in a panel.
    pub(super) fn page_panel(&mut self, by: isize) {
        let Some(mut panel) = self.panel.clone() else { return };
        let last = self.row_count(&panel).saturating_sub(1);
        let rows = isize::from(self.size.1.cast_signed()).saturating_sub(6).max(1);
        let selected = panel.selected_mut();
        *selected = selected.saturating_add_signed(by.saturating_mul(rows)).min(last);
        self.panel = Some(panel);
    }

    fn leave_panel(&mut self) {
        // Members were come to from the groups, or from the conversation of the group.
        self.panel = match self.panel {
            Some(Panel::Members { group, .. }) if self.current_group() != Some(group) => {
                let selected = self.groups.keys().position(|id| *id == group).unwrap_or(0);
                Some(Panel::Groups { selected })
            }
            _ => None,
        };
    }

    fn act_in_panel(&mut self, panel: &Panel, act: Act) {
        match panel {
            Panel::Friends { list, selected } => self.act_on_relation(*list, *selected, act),
            Panel::Groups { selected } => {
                let group = self.groups.keys().nth(*selected).copied();
                self.act_on_group(group, act);
            }
            Panel::Members { group, selected } => {
                let roster = self.roster_of(*group);
                let asked_count = roster.map_or(0, |roster| roster.requests.len());
                let request = roster.and_then(|r| r.requests.get(*selected)).map(|r| r.user_id);
                let index = selected.checked_sub(asked_count);
                let member = roster.and_then(|r| r.members.get(index?)).copied();
                match (request, member) {
                    (Some(user), _) => self.act_on_request(*group, user, act),
                    (None, Some(member)) => self.act_on_member(*group, &member, act),
                    (None, None) => {}
                }
                self.act_on_whole_group(*group, act);
            }
            Panel::Search { selected } => match act {
                Act::Open => self.open_hit(*selected),
                Act::Search => self.ask_search(),
                _ => {}
            },
            Panel::Profile { selected } => self.act_on_profile(*selected, act),
            Panel::Devices { selected } => self.act_on_device(*selected, act),
            Panel::Reading { .. } => {}
        }
    }

    fn act_on_relation(&mut self, list: pb::RelationList, selected: usize, act: Act) {
        match act {
            Act::NextList => {
                let list = match list {
                    pb::RelationList::Friends => pb::RelationList::Requests,
                    pb::RelationList::Requests => pb::RelationList::Blocked,
                    pb::RelationList::Blocked => pb::RelationList::Friends,
                };
                self.panel = Some(Panel::Friends { list, selected: 0 });
                return self.ask_relations(list);
            }
            Act::Add => return self.put("ask to be friends (user name):", "", Wish::Befriend),
            _ => {}
        }
        let Some(relation) = self.relations.list(list).get(selected).cloned() else {
            if act == Act::Block {
                self.put("block (user name):", "", Wish::Block);
            }
            return;
        };
        let user = relation.user_id;
        let name = self.names.user(user);
        match (act, list) {
            (Act::Open, _) => self.open(Target::User(UserId(user))),
            (Act::Accept | Act::Refuse, pb::RelationList::Requests) => {
                let accept = act == Act::Accept;
                let done = if accept { "accepted" } else { "refused" };
                let body = pb::FriendHandleReq { user_id: user, accept };
                self.change(Request::FriendHandle(body), done, After::Relations);
            }
            (Act::Remark, pb::RelationList::Friends) => {
                let wish = Wish::Remark { user, folder: relation.folder };
                self.put(&format!("your name for {name}:"), &relation.remark, wish);
            }
            (Act::Delete, pb::RelationList::Friends) => {
                let sure = Sure::DeleteFriend { user };
                self.put_sure(&format!("Take {name} off your friends?"), sure);
            }
            (Act::Block, _) if !relation.is_blocked => {
                self.put_sure(&format!("Block {name}?"), Sure::Block { user });
            }
            (Act::Unblock, _) if relation.is_blocked => {
                let body = pb::UnblockReq { user_id: user };
                self.change(Request::Unblock(body), "no longer blocked", After::Relations);
            }
            _ => {}
        }
    }

    fn act_on_group(&mut self, group: Option<u64>, act: Act) {
        match (act, group) {
            (Act::Create, _) => self.put("name of the new group:", "", Wish::GroupName),
            (Act::Join, _) => self.put("number of the group:", "", Wish::Join),
            (Act::Open, Some(group)) => self.open(Target::Group(GroupId(group))),
            (Act::Members, Some(group)) => self.show_members(group),
            (Act::Leave, Some(group)) => {
                let name = self.names.group(group);
                self.put_sure(&format!("Leave {name}?"), Sure::Leave { group });
            }
            _ => {}
        }
    }

    fn act_on_request(&mut self, group: u64, user: u64, act: Act) {
        if let Act::Accept | Act::Refuse = act {
            let accept = act == Act::Accept;
            let done = if accept { "taken in" } else { "refused" };
            let body = pb::GroupHandleJoinReq { group_id: group, user_id: user, accept };
            self.change(Request::GroupHandleJoin(body), done, After::Group(group));
        }
    }

    fn act_on_member(&mut self, group: u64, member: &pb::GroupMember, act: Act) {
        let user = member.user_id;
        let name = self.names.user(user);
        match act {
            Act::Open => self.open(Target::User(UserId(user))),
            Act::Promote | Act::Demote => {
                let is_up = act == Act::Promote;
                let role = if is_up { pb::GroupRole::Admin } else { pb::GroupRole::Member };
                let done = if is_up { "made an admin" } else { "made a plain member" };
                let body =
                    pb::GroupSetRoleReq { group_id: group, user_id: user, role: role.into() };
                self.change(Request::GroupSetRole(body), done, After::Group(group));
            }
            Act::Transfer => {
                let sure = Sure::Transfer { group, user };
                self.put_sure(&format!("Make {name} the owner in your place?"), sure);
            }
            Act::Delete => {
                self.put_sure(&format!("Put {name} out?"), Sure::Remove { group, user });
            }
            Act::Mute => {
                let is_muted = member.muted_until_ms > self.now_ms;
                let seconds = if is_muted { 0 } else { MUTE_S };
                let done = if is_muted { "may speak again" } else { "silenced for an hour" };
                let (group_id, user_id) = (group, user);
                let body = pb::GroupMuteReq { group_id, user_id, seconds, all_muted: false };
                self.change(Request::GroupMute(body), done, After::Group(group));
            }
            _ => {}
        }
    }

    fn act_on_whole_group(&mut self, group: u64, act: Act) {
        let info = self.groups.get(&group).cloned().unwrap_or_default();
        let name = self.names.group(group);
        match act {
            Act::Invite => self.put("bring in (user names):", "", Wish::Invite { group }),
            Act::MuteAll => {
                let all_muted = !info.all_muted;
                let done = if all_muted { "all are silenced" } else { "all may speak again" };
                let body = pb::GroupMuteReq { group_id: group, all_muted, ..Default::default() };
                self.change(Request::GroupMute(body), done, After::Group(group));
            }
            Act::Rename => self.put("new name:", &info.name, Wish::Rename { group }),
            Act::Announce => {
                self.put("announcement:", &info.announcement, Wish::Announce { group });
            }
            Act::JoinMode => {
                let (mode, done) = match info.join_mode() {
                    pb::JoinMode::Invited => (pb::JoinMode::Asked, "strangers may ask"),
                    pb::JoinMode::Asked => (pb::JoinMode::Open, "strangers may come in"),
                    pb::JoinMode::Open => (pb::JoinMode::Invited, "only members bring others in"),
                };
                let join_mode = Some(mode.into());
                let body = pb::GroupUpdateReq { join_mode, ..Default::default() };
                self.update_group(group, body, done);
            }
            Act::Leave => self.put_sure(&format!("Leave {name}?"), Sure::Leave { group }),
            Act::Dissolve => {
                self.put_sure(&format!("End {name} for everybody?"), Sure::Dissolve { group });
            }
            _ => {}
        }
    }

    /// Whether a list is still on its way.
    pub fn is_loading(&self, panel: &Panel) -> bool {
        self.asks.has(|purpose| match (panel, purpose) {
            (Panel::Friends { list, .. }, Purpose::Relations { list: asked, .. }) => list == asked,
            (Panel::Groups { .. }, Purpose::Groups { .. })
            | (Panel::Search { .. }, Purpose::Search { .. })
            | (Panel::Devices { .. }, Purpose::Devices) => true,
            (Panel::Members { group, .. }, Purpose::Members { group: asked, .. }) => group == asked,
            _ => false,
        })
    }
}
