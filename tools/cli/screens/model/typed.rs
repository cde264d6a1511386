//! What is typed to a conversation: a message, or a command that begins with `/`. Part of the
//! model.

use aldis_client::core::Target;
use aldis_wire::limits;

use super::prompt::{Sure, Wish};
use super::resolve::Then;
use super::{Effect, Focus, Model, Panel};
use crate::chat::command::{self, Command};
use crate::screens::keys;

/// What the help says of commands.
const TYPED: &str = "  /to NAME         talk to somebody: a user name, id:NUMBER or group:NUMBER
  /who             members of the open group
  /group           groups; /group create NAME MEMBER…, invite MEMBER…, leave
  /file PATH       send a text file as one message
  /login           take the session back after another login took it
  /help  /quit     this help; leave
  //text           a message that begins with /

  Marks of messages
  …                waits for the server
  ✓                the server has it
  ✓·               a device of the other's has it
  ✓✓               it was read; in a group: by all
  ✗                refused; it says why
  @                mentions you";

/// All keys and commands.
pub fn help() -> String {
    keys::help(TYPED)
}

impl Model {
    pub(super) fn handle_typed(&mut self, target: Target, text: &str) {
        match command::parse(text) {
            Command::Say(text) => self.send_text(target, text),
            Command::Nothing => {}
            Command::Help => self.show_help(),
            Command::To(name) => self.open_typed(&name),
            Command::Recent => self.focus = Focus::List,
            Command::Who => match self.current_group() {
                Some(group) => self.show_members(group),
                None => self.say("this is no group"),
            },
            Command::Groups => self.show_groups(),
            Command::GroupCreate { name, members } => {
                self.resolve(&members.join(" "), Then::CreateGroup { name });
            }
            Command::GroupInvite(members) => match self.current_group() {
                Some(group) => self.resolve(&members.join(" "), Then::Invite { group }),
                None => self.say("this is no group"),
            },
            Command::GroupLeave => match self.current_group() {
                Some(group) => self.put_sure("Leave this group?", Sure::Leave { group }),
                None => self.say("this is no group"),
            },
            Command::File(path) => self.send_file(target, &path),
            Command::Login => self.log_in(),
            Command::Quit => self.ask_quit(),
            Command::History(_) => self.say("PgUp shows older messages"),
            Command::Full => self.say("pick a message with ↑, then Enter shows all of it"),
            Command::Wrong(why) => self.say(&why),
        }
    }

    pub(super) fn show_help(&mut self) {
        let panel = Panel::Reading { title: "Help".to_owned(), text: help(), top: 0 };
        self.panel = Some(panel);
    }

    pub(super) fn ask_to_open(&mut self) {
        self.put("talk to (user name or group:NUMBER):", "", Wish::Open);
    }

    pub(super) fn ask_search(&mut self) {
        self.put("search messages for:", "", Wish::Search);
    }

    /// Leaves, but not over messages that were not acknowledged.
    pub(super) fn ask_quit(&mut self) {
        match self.outbox.waiting_count() {
            0 => self.quit(),
            count => {
                let question = format!("Not acknowledged: {count}. Leave all the same?");
                self.put_sure(&question, Sure::Quit);
            }
        }
    }

    fn send_file(&mut self, target: Target, path: &str) {
        self.effects.push_back(Effect::ReadFile { target, path: path.to_owned() });
    }

    /// A text file was read for a conversation.
    pub fn handle_file(&mut self, target: Target, path: &str, read: Result<String, String>) {
        match read {
            Err(why) => self.say(&format!("{path}: {why}")),
            Ok(text) if text.is_empty() => self.say(&format!("{path} is empty")),
            Ok(text) if text.len() > limits::TEXT_BYTES_MAX => {
                let (len, max) = (text.len(), limits::TEXT_BYTES_MAX);
                self.say(&format!("{path} has {len} bytes, a text has at most {max}"));
            }
            Ok(text) => self.send_text(target, text),
        }
    }
}
