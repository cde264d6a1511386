//! What the owners of devices are told, and what they make of it: every answer must be one that the
//! protocol allows for what was asked. Knows nothing of the server.

use aldis_client::core::{Request, RequestError, RequestNo, Response};
use aldis_wire::{ClientMsgId, Code, ConversationKey, GroupId, Message as _, UserId, pb};

use crate::agenda::Event;
use crate::app::Asked;
use crate::device::Rest;
use crate::ledger::SendKey;
use crate::world::World;

impl World {
    /// Sends that the store did not take: their clients try again without anybody seeing it.
    pub fn note_unavailable(&mut self, keys: Vec<SendKey>) {
        let now_us = self.out.agenda.now_us();
        for key in keys {
            self.ledger.note_repeat(key);
            for device in &mut self.devices {
                if self.people[device.person].user == Some(key.sender) {
                    device.recorder.record_repeat(&mut self.lines, now_us, key.id);
                }
            }
        }
    }

    /// What was on the wire and not answered goes out again.
    pub fn note_repeats(&mut self, d: usize) {
        let Some(sender) = self.user_of(d) else { return };
        let now_us = self.out.agenda.now_us();
        let device = &mut self.devices[d];
        let mut is_hit = false;
        for (&conversation, ids) in &device.unanswered {
            for &id in ids.iter().filter(|id| device.was_on_wire.contains(id)) {
                is_hit = true;
                device.recorder.record_repeat(&mut self.lines, now_us, id);
                self.ledger.note_repeat(SendKey { conversation, sender, id });
            }
        }
        if is_hit {
            self.out.coverage.hit("client: resend on the next connection");
        }
    }

    /// The session is open.
    pub fn handle_online(&mut self, d: usize, resp: &pb::LoginResp) {
        if Some(UserId(resp.user_id)) != self.user_of(d) {
            self.out.violation(format!("device {d} is logged in as {}", resp.user_id));
        }
    }

    /// A login was refused for good: with the right password that must not be.
    pub fn handle_login_failed(&mut self, d: usize, code: Code) {
        self.out.violation(format!("the login of device {d} was refused: {code:?}"));
    }

    /// A message was acknowledged.
    pub fn handle_send_acked(&mut self, d: usize, id: ClientMsgId, ack: pb::MsgSendResp) {
        let Some(user) = self.user_of(d) else { return };
        let Some(conversation) = self.devices[d].settle(id) else {
            return self.out.violation(format!("device {d} got an answer it did not wait for"));
        };
        let key = SendKey { conversation, sender: user, id };
        if self.devices[d].conflicts.remove(&id) {
            return self.out.violation(format!("{key:?} with another content was acknowledged"));
        }
        if self.ledger.record(key).is_some_and(|record| record.ack.is_some()) {
            self.out.coverage.hit("client: resend of an acknowledged id");
        }
        if self.devices[d].applied.contains_key(&ack.seq) {
            self.out.coverage.hit("client: own entry after its sync");
        }
        if let Err(what) = self.ledger.note_ack(key, ack) {
            self.out.violation(what);
        }
    }

    /// A message was refused for good.
    pub fn handle_send_failed(&mut self, d: usize, id: ClientMsgId, code: Code, maybe: bool) {
        let Some(user) = self.user_of(d) else { return };
        let Some(conversation) = self.devices[d].settle(id) else { return };
        let key = SendKey { conversation, sender: user, id };
        let is_conflict = self.devices[d].conflicts.remove(&id);
        match code {
            Code::Conflict if is_conflict => {
                self.out.coverage.hit("client: conflicting id refused");
            }
            Code::NotFound | Code::Forbidden
                if !is_conflict && self.may_be_refused(conversation, code) =>
            {
                self.out.coverage.hit(match code {
                    Code::NotFound => "client: send refused, not a member",
                    _ => "client: send refused, blocked",
                });
                // A copy's refusal may be older than the acknowledgement, and come later.
                let is_acked = self.ledger.record(key).is_some_and(|record| record.ack.is_some());
                if is_acked && !self.ledger.is_copied(key) {
                    self.out.violation(format!("{key:?} was acknowledged and then refused"));
                }
            }
            _ => self.out.violation(format!(
                "{key:?} was refused: {code:?} (perhaps committed: {maybe}, changed: {is_conflict})"
            )),
        }
    }

    /// Whether the rules may refuse a message there so.
    fn may_be_refused(&self, conversation: ConversationKey, code: Code) -> bool {
        match code {
            Code::NotFound => conversation.as_group().is_some(),
            _ => self.ledger.may_be_blocked(conversation),
        }
    }

    /// Something that was asked is answered.
    pub fn handle_response(
        &mut self,
        d: usize,
        no: RequestNo,
        result: Result<Response, RequestError>,
    ) {
        let Some(asked) = self.devices[d].asked.remove(&no) else { return };
        match (asked, result) {
            (Asked::Register, Ok(Response::Register(resp))) => {
                self.handle_registered(d, UserId(resp.user_id));
            }
            (Asked::Register, Err(error)) => {
                if !error.is_retryable() {
                    self.out.violation(format!("person of device {d} cannot register: {error}"));
                }
                let pause_us = self.out.dice.range(50, 500) * 1_000;
                self.out.agenda.after(pause_us, Event::OwnerLooks(d));
            }
            (Asked::History, Ok(_)) => self.out.coverage.hit("client: history read"),
            (Asked::BeyondHead, Err(RequestError::Refused { code: Code::Resync, .. })) => {
                self.out.coverage.hit("client: RESYNC for a position above the head");
            }
            (Asked::GroupCreate(_), Ok(Response::GroupCreate(resp))) => {
                self.out.coverage.hit("client: group created");
                self.ledger.groups.insert(GroupId(resp.group_id));
            }
            (Asked::GroupCreate(body), Err(error)) if error.is_retryable() && self.is_loading => {
                self.ask(d, Request::GroupCreate(body.clone()), Asked::GroupCreate(body));
            }
            (Asked::Invite(group), Ok(Response::GroupInvite(resp))) => {
                self.out.coverage.hit("client: members invited");
                let again = resp.added_ids.iter().any(|id| self.left.contains(&(group, *id)));
                if again {
                    self.out.coverage.hit("client: group entered again");
                }
            }
            (Asked::Leave(group), Ok(Response::GroupLeave(resp))) => {
                if resp.seq != 0
                    && let Some(user) = self.user_of(d)
                {
                    self.out.coverage.hit("client: group left");
                    self.left.insert((group, user.0));
                }
            }
            (Asked::Change(what), Ok(_)) => self.out.coverage.hit(what),
            (Asked::Logout, Ok(_)) => {
                self.out.coverage.hit("client: logged out");
                self.devices[d].rest = Rest::LoggedOut;
                let pause_us = self.out.dice.range(300, 4_000) * 1_000;
                self.out.agenda.after(pause_us, Event::OwnerLooks(d));
            }
            (Asked::FinalSync(after), Err(_)) => self.begin_final_sync(d, after),
            (Asked::FinalSync(after), Ok(Response::MsgSync(page))) => {
                let last = page.entries.last().map_or(after, |entry| entry.seq);
                let streams = page.entries.iter().filter_map(begun_stream);
                self.devices[d].final_streams.extend(streams);
                if page.more {
                    self.begin_final_sync(d, last);
                } else {
                    self.go_on_with_final_streams(d);
                }
            }
            (Asked::FinalStream(stream, after), Err(_)) => {
                self.begin_final_stream(d, stream, after);
            }
            (Asked::FinalStream(stream, after), Ok(Response::MsgSync(page))) => {
                let after = after.max(page.skipped_to);
                let last = page.entries.last().map_or(after, |entry| entry.seq);
                if page.more {
                    self.begin_final_stream(d, stream, last);
                } else {
                    self.go_on_with_final_streams(d);
                }
            }
            (_, Ok(_)) | (_, Err(_)) => {}
        }
    }

    fn handle_registered(&mut self, d: usize, user: UserId) {
        let person = self.devices[d].person;
        match self.people[person].user.replace(user) {
            Some(first) if first != user => {
                self.out.violation(format!("person {person} is {first}, and now {user}"));
            }
            Some(_) => {}
            None => {
                self.out.coverage.hit("client: registered");
                for other in self.people[person].devices.clone() {
                    let pause_us = self.out.dice.range(1, 1_500) * 1_000;
                    self.out.agenda.after(pause_us, Event::OwnerLooks(other));
                    self.devices[other].rest = Rest::Unborn;
                }
                self.log_in(d);
            }
        }
    }
}

/// The stream that an entry of a mailbox begins.
fn begun_stream(entry: &pb::MessageData) -> Option<u64> {
    if entry.r#type() != pb::MsgType::SystemGroup {
        return None;
    }
    let event = pb::GroupEvent::decode(entry.content.clone()).ok()?;
    event.is_stream.then_some(entry.group_id)
}
