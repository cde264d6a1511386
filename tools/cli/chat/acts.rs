//! What the chat's commands about people and groups do. Part of the engine; parses nothing.

use aldis_client::core::Target;
use aldis_wire::UserId;

use super::command::Command;
use super::engine::Engine;
use crate::exit;
use crate::terminal::escape_line;

impl Engine {
    /// A command that asks the server something.
    pub(super) fn handle_command(&mut self, command: Command) -> anyhow::Result<()> {
        if !self.session.client.core().is_online() {
            return Err(exit::usage("no connection at the moment; messages can be typed"));
        }
        match command {
            Command::To(typed) => {
                let target = self.names.resolve(&mut self.session.client, &typed)?;
                self.open(target)?;
            }
            Command::History(count) => self.show_history(count)?,
            Command::Who => self.show_who()?,
            Command::Groups => self.show_groups()?,
            Command::GroupCreate { name, members } => self.create_group(&name, &members)?,
            Command::GroupInvite(members) => self.invite(&members)?,
            Command::GroupLeave => self.leave()?,
            Command::File(path) => self.send_file(&path)?,
            _ => {}
        }
        Ok(())
    }

    fn show_who(&mut self) -> anyhow::Result<()> {
        let members: Vec<u64> = match self.current {
            None => return Err(exit::usage("no conversation is open")),
            Some(Target::User(user)) => vec![self.view.me, user.0],
            Some(Target::Group(group)) => {
                let members = self.session.client.members(group)?;
                members.into_iter().map(|member| member.user_id).collect()
            }
        };
        self.names.fetch(&mut self.session.client, members.iter().copied())?;
        for id in members {
            let line = format!("{} ({}, id:{id})", self.names.user(id), self.names.username(id));
            self.output.show(&line);
        }
        Ok(())
    }

    fn show_groups(&mut self) -> anyhow::Result<()> {
        let groups = self.session.client.groups()?;
        if groups.is_empty() {
            self.notice("no groups; /group create NAME MEMBER… makes one");
        }
        for group in groups {
            self.names.set_group(group.group_id, &group.name);
            let name = escape_line(&group.name);
            let line = format!("group:{} {name}, {} members", group.group_id, group.member_count);
            self.output.show(&line);
        }
        Ok(())
    }

    fn create_group(&mut self, name: &str, members: &[String]) -> anyhow::Result<()> {
        let members = self.resolve_all(members)?;
        let resp = self.session.client.create_group(name, &members, false)?;
        self.names.set_group(resp.group_id, name);
        Ok(self.open(Target::Group(aldis_wire::GroupId(resp.group_id)))?)
    }

    fn invite(&mut self, members: &[String]) -> anyhow::Result<()> {
        let Some(Target::Group(group)) = self.current else {
            return Err(exit::usage("no group is open"));
        };
        let members = self.resolve_all(members)?;
        let resp = self.session.client.invite(group, &members)?;
        self.notice(&format!("{} new members", resp.added_ids.len()));
        Ok(())
    }

    fn leave(&mut self) -> anyhow::Result<()> {
        let Some(Target::Group(group)) = self.current else {
            return Err(exit::usage("no group is open"));
        };
        self.session.client.leave_group(group)?;
        self.current = None;
        self.notice("left the group; /to NAME picks whom to talk to");
        Ok(())
    }

    fn send_file(&mut self, path: &str) -> anyhow::Result<()> {
        let target = self.current.ok_or_else(|| exit::usage("no conversation is open"))?;
        let text = std::fs::read_to_string(path)
            .map_err(|error| exit::usage(format!("{path}: {error}")))?;
        if text.is_empty() {
            return Err(exit::usage(format!("{path} is empty")));
        }
        self.send_text(target, text)
    }

    fn resolve_all(&mut self, typed: &[String]) -> anyhow::Result<Vec<UserId>> {
        let client = &mut self.session.client;
        typed.iter().map(|typed| self.names.resolve_user(client, typed)).collect()
    }
}
