//! Questions to the user on the line where messages are typed, and what the answers do.

use aldis_client::core::{Request, Target};
use aldis_wire::{limits, pb};

use super::asks::After;
use super::resolve::Then;
use super::{Model, target_ids};
use crate::screens::editor::Editor;

/// Bytes of an answer that is a list of names.
const NAMES_BYTES_MAX: usize = 4 << 10;

/// A question.
#[derive(Debug)]
pub struct Prompt {
    pub question: String,
    pub answer: Answer,
}

/// What kind of answer it takes.
#[derive(Debug)]
pub enum Answer {
    Text { editor: Editor, wish: Wish },
    YesNo(Sure),
}

/// What a typed answer leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Open,
    React { target: Target, conv_seq: u64 },
    Search,
    GroupName,
    GroupMembers { name: String },
    Invite { group: u64 },
    Befriend,
    BefriendReason { typed: String },
    Block,
    Remark { user: u64, folder: String },
    Rename { group: u64 },
    Announce { group: u64 },
    Join,
    JoinReason { group: u64 },
    Nickname,
    Picture,
    Audience,
    OldPassword,
    NewPassword { old: String },
    NewPasswordAgain { old: String, new: String },
}

/// What a `y` leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sure {
    Quit,
    Recall { target: Target, conv_seq: u64 },
    Clear { target: Target, conv_seq: u64 },
    Leave { group: u64 },
    Dissolve { group: u64 },
    Remove { group: u64, user: u64 },
    Transfer { group: u64, user: u64 },
    DeleteFriend { user: u64 },
    Block { user: u64 },
    Revoke { device_id: String },
}

impl Wish {
    /// Whether nobody may see what is typed.
    pub fn is_secret(&self) -> bool {
        matches!(self, Wish::OldPassword | Wish::NewPassword { .. } | Wish::NewPasswordAgain { .. })
    }
}

impl Model {
    /// Puts a question whose answer is typed; `before` stands there already.
    pub(super) fn put(&mut self, question: &str, before: &str, wish: Wish) {
        let bytes_max = match wish {
            Wish::Announce { .. } => limits::ANNOUNCEMENT_BYTES_MAX,
            Wish::BefriendReason { .. } | Wish::JoinReason { .. } => limits::REASON_BYTES_MAX,
            Wish::GroupName | Wish::Rename { .. } | Wish::Remark { .. } | Wish::Nickname => {
                limits::DISPLAY_NAME_BYTES_MAX
            }
            Wish::Picture => limits::AVATAR_URL_BYTES_MAX,
            Wish::OldPassword | Wish::NewPassword { .. } | Wish::NewPasswordAgain { .. } => {
                limits::PASSWORD_BYTES_MAX
            }
            Wish::Search => limits::SEARCH_QUERY_BYTES_MAX,
            Wish::React { .. } => limits::REACTION_BYTES_MAX,
            _ => NAMES_BYTES_MAX,
        };
        let mut editor = Editor::one_line(bytes_max);
        editor.set(before);
        let answer = Answer::Text { editor, wish };
        self.prompt = Some(Prompt { question: question.to_owned(), answer });
    }

    /// Puts a question that `y` answers.
    pub(super) fn put_sure(&mut self, question: &str, sure: Sure) {
        let question = question.to_owned();
        self.prompt = Some(Prompt { question, answer: Answer::YesNo(sure) });
    }

    /// An answer was typed. An empty one is none where a name is wanted.
    pub(super) fn grant(&mut self, wish: Wish, typed: &str) {
        if wish.is_secret() {
            return self.grant_password(wish, typed.to_owned());
        }
        let typed = typed.trim();
        let may_be_empty = matches!(
            wish,
            Wish::GroupMembers { .. }
                | Wish::BefriendReason { .. }
                | Wish::Remark { .. }
                | Wish::Announce { .. }
                | Wish::JoinReason { .. }
                | Wish::Picture
        );
        if typed.is_empty() && !may_be_empty {
            return;
        }
        let text = typed.to_owned();
        match wish {
            Wish::Open => self.open_typed(typed),
            Wish::React { target, conv_seq } => self.react(target, conv_seq, text),
            Wish::Search => self.search(typed),
            Wish::GroupName => {
                let wish = Wish::GroupMembers { name: text };
                self.put("its members (user names):", "", wish);
            }
            Wish::GroupMembers { name } => self.resolve(typed, Then::CreateGroup { name }),
            Wish::Invite { group } => self.resolve(typed, Then::Invite { group }),
            Wish::Befriend => {
                self.put("why (may stay empty):", "", Wish::BefriendReason { typed: text });
            }
            Wish::BefriendReason { typed } => self.resolve(&typed, Then::Befriend { reason: text }),
            Wish::Block => self.resolve(typed, Then::Block),
            Wish::Remark { user, folder } => {
                let body = pb::FriendUpdateReq { user_id: user, remark: text, folder };
                self.change(Request::FriendUpdate(body), "named", After::Relations);
            }
            Wish::Rename { group } => {
                let body = pb::GroupUpdateReq { name: Some(text), ..Default::default() };
                self.update_group(group, body, "renamed");
            }
            Wish::Announce { group } => {
                let body = pb::GroupUpdateReq { announcement: Some(text), ..Default::default() };
                self.update_group(group, body, "announced");
            }
            Wish::Join => match typed.strip_prefix("group:").unwrap_or(typed).parse() {
                Ok(group) => self.put("why (may stay empty):", "", Wish::JoinReason { group }),
                Err(_) => self.say(&format!("{typed} is no number of a group")),
            },
            Wish::JoinReason { group } => {
                let body = pb::GroupJoinReq { group_id: group, reason: text };
                self.change(Request::GroupJoin(body), "asked to come in", After::Groups);
            }
            Wish::Nickname => {
                let body = pb::UserUpdateReq { nickname: Some(text), ..Default::default() };
                self.update_profile(body, "named");
            }
            Wish::Picture => {
                let body = pb::UserUpdateReq { avatar_url: Some(text), ..Default::default() };
                self.update_profile(body, "changed");
            }
            Wish::Audience => self.set_audience(typed),
            Wish::OldPassword | Wish::NewPassword { .. } | Wish::NewPasswordAgain { .. } => {}
        }
    }

    /// A question was answered with yes.
    pub(super) fn confirm(&mut self, sure: Sure) {
        match sure {
            Sure::Quit => self.quit(),
            Sure::Recall { target, conv_seq } => {
                let (receiver_id, group_id) = target_ids(target);
                let body = pb::RecallReq { receiver_id, group_id, conv_seq };
                self.change(Request::Recall(body), "taken back", After::Nothing);
            }
            Sure::Clear { target, conv_seq } => {
                let body =
                    pb::ConversationUpdateReq { clear_conv_seq: conv_seq, ..Default::default() };
                self.update_chat(target, body, "cleared");
            }
            Sure::Leave { group } => {
                let body = pb::GroupLeaveReq { group_id: group };
                self.change(Request::GroupLeave(body), "left the group", After::Groups);
            }
            Sure::Dissolve { group } => {
                let body = pb::GroupDissolveReq { group_id: group };
                self.change(Request::GroupDissolve(body), "the group has ended", After::Groups);
            }
            Sure::Remove { group, user } => {
                let body = pb::GroupRemoveReq { group_id: group, user_ids: vec![user] };
                self.change(Request::GroupRemove(body), "put out", After::Group(group));
            }
            Sure::Transfer { group, user } => {
                let body = pb::GroupTransferReq { group_id: group, user_id: user };
                self.change(Request::GroupTransfer(body), "made the owner", After::Group(group));
            }
            Sure::DeleteFriend { user } => {
                let body = pb::FriendDeleteReq { user_id: user };
                self.change(Request::FriendDelete(body), "taken off the list", After::Relations);
            }
            Sure::Block { user } => {
                let body = pb::BlockReq { user_id: user };
                self.change(Request::Block(body), "blocked", After::Relations);
            }
            Sure::Revoke { device_id } => {
                self.revoke(device_id);
            }
        }
    }

    pub(super) fn update_group(&mut self, group: u64, body: pb::GroupUpdateReq, done: &str) {
        let body = pb::GroupUpdateReq { group_id: group, ..body };
        self.change(Request::GroupUpdate(body), done, After::Group(group));
    }
}
