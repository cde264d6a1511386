//! What the owners of devices do: register, write, make and leave groups, read back, restart, log
//! out. What they expect to be told is in `answers`. Knows nothing of the server.

use aldis_client::core::{Core, Credentials, Outgoing, Request, SavedState, Start, Target};
use aldis_wire::{ClientMsgId, GroupId, UserId, pb};
use bytes::Bytes;

use crate::agenda::Event;
use crate::device::{Rest, config};
use crate::ledger::{SendKey, conversation_of};
use crate::recorder::Recorder;
use crate::world::World;

/// Entries of the pages of the full sync at the end.
const FINAL_SYNC_LIMIT: u32 = 500;

/// What an owner asked and waits for.
#[derive(Clone, Debug)]
pub enum Asked {
    /// REGISTER; repeated until it is answered OK.
    Register,
    /// A page of a conversation.
    History,
    /// A sync from above the head.
    BeyondHead,
    /// A group; repeated as it is when the outcome is unknown.
    GroupCreate(pb::GroupCreateReq),
    /// Somebody into a group.
    Invite(GroupId),
    /// Out of a group.
    Leave(GroupId),
    /// A change that happened, by the name of its count, when it is answered OK.
    Change(&'static str),
    /// The end of the session.
    Logout,
    /// A page of the full sync at the end, above this.
    FinalSync(u64),
    /// The same of a stream.
    FinalStream(u64, u64),
}

impl World {
    fn credentials(&self, d: usize) -> Credentials {
        let person = &self.people[self.devices[d].person];
        let (username, password) = (person.name.clone(), person.password.clone());
        Credentials::Password { username, password }
    }

    /// The owner logs in, whatever the device did before.
    pub fn log_in(&mut self, d: usize) {
        let credentials = self.credentials(d);
        let now_ms = self.out.agenda.now_ms();
        self.devices[d].rest = Rest::None;
        self.devices[d].core.login(now_ms, credentials);
        self.pump(d);
    }

    /// The owner of a fresh account registers, on its first device.
    pub fn register(&mut self, d: usize) {
        if self.devices[d].asked.values().any(|asked| matches!(asked, Asked::Register)) {
            return;
        }
        let person = &self.people[self.devices[d].person];
        let request = pb::RegisterReq {
            username: person.name.clone(),
            password: person.password.clone(),
            nickname: String::new(),
            request_id: person.request_id.to_vec().into(),
        };
        // An impatient owner asks twice at once.
        let count = self.out.dice.range(1, 2);
        let now_ms = self.out.agenda.now_ms();
        self.devices[d].rest = Rest::None;
        for _ in 0..count {
            self.ask(d, Request::Register(request.clone()), Asked::Register);
        }
        self.devices[d].core.connect(now_ms);
        self.pump(d);
    }

    /// The owner of a stopped device looks at it.
    pub fn owner_looks(&mut self, d: usize) {
        let is_registered = self.user_of(d).is_some();
        match self.devices[d].rest {
            Rest::None if !is_registered => self.register(d),
            Rest::Unborn if is_registered => self.log_in(d),
            Rest::Kicked | Rest::LoggedOut if self.is_loading && self.out.dice.chance(700) => {
                self.log_in(d);
            }
            _ => {}
        }
    }

    /// The owner's next deed.
    pub fn act(&mut self, d: usize) {
        if !self.is_loading {
            return;
        }
        let pause_us = self.out.dice.range(1, self.plan.pause_ms_max) * 1_000;
        self.out.agenda.after(pause_us, Event::DeviceActs(d));
        let Some(user) = self.user_of(d).filter(|_| self.devices[d].rest == Rest::None) else {
            return;
        };
        match self.out.dice.below(100) {
            0..45 => {
                let target = self.pick_target();
                for _ in 0..self.out.dice.range(1, 6) {
                    self.send_new(d, user, target);
                }
            }
            45..55 => self.change_something(d, user),
            55..60 => self.create_group(d),
            60..66 => self.invite(d),
            66..70 => self.leave_group(d),
            70..76 => self.read_history(d),
            76..78 => self.sync_beyond_head(d),
            78..83 => self.resend_acknowledged(d, user, false),
            83..87 => self.resend_acknowledged(d, user, true),
            87..92 => self.resend_elsewhere(d, user),
            92..97 => self.restart(d, user),
            _ => {
                self.ask(d, Request::Logout(pb::LogoutReq {}), Asked::Logout);
            }
        }
        self.pump(d);
    }

    fn pick_target(&mut self) -> Target {
        let groups: Vec<GroupId> = self.ledger.groups.iter().copied().collect();
        if !groups.is_empty() && self.out.dice.chance(500) {
            return Target::Group(*self.out.dice.pick(&groups));
        }
        let users: Vec<UserId> = self.people.iter().filter_map(|person| person.user).collect();
        Target::User(*self.out.dice.pick(&users))
    }

    /// Sends a message that was never sent before.
    pub fn send_new(&mut self, d: usize, user: UserId, target: Target) {
        let now_ms = self.out.agenda.now_ms();
        let number = self.ledger.sends().count();
        let filler_max = *self.out.dice.pick(&[0, 20, 200, 3_000]);
        let filler = self.out.dice.range(0, filler_max) as usize;
        let content = Bytes::from(format!("message {number} {}", "x".repeat(filler)));
        let id = self.devices[d].core.new_request_id(now_ms);
        let message = Outgoing {
            target,
            client_msg_id: ClientMsgId(id.0),
            kind: pb::MsgType::Text,
            content,
            extra: Bytes::new(),
            refs: None,
        };
        if self.devices[d].core.send(message.clone()).is_ok() {
            self.ledger.note_send(d, user, &message);
            let conversation = conversation_of(user, target);
            let lane = self.devices[d].unanswered.entry(conversation).or_default();
            lane.push(message.client_msg_id);
        }
    }

    /// Sends an acknowledged message again; or something else under its id.
    fn resend_acknowledged(&mut self, d: usize, user: UserId, changed: bool) {
        let keys = self.ledger.acknowledged_by(user);
        if keys.is_empty() {
            return;
        }
        let key = *self.out.dice.pick(&keys);
        let Some(record) = self.ledger.record(key) else { return };
        let mut message = record.message.clone();
        if self.devices[d].is_unanswered(key.id) {
            return;
        }
        if changed {
            message.content = Bytes::from_static(b"something else");
            self.devices[d].conflicts.insert(key.id);
        }
        if self.devices[d].core.send(message).is_ok() {
            let lane = self.devices[d].unanswered.entry(key.conversation).or_default();
            lane.push(key.id);
        }
    }

    /// Sends what another device of the user has not got an answer for: its first one, because
    /// what follows would overtake it.
    fn resend_elsewhere(&mut self, d: usize, user: UserId) {
        let person = self.devices[d].person;
        let others = self.people[person].devices.iter().filter(|other| **other != d);
        let firsts: Vec<SendKey> = others
            .flat_map(|other| &self.devices[*other].unanswered)
            .filter_map(|(&conversation, ids)| {
                Some(SendKey { conversation, sender: user, id: *ids.first()? })
            })
            .filter(|key| !self.devices[d].unanswered.contains_key(&key.conversation))
            .collect();
        if firsts.is_empty() {
            return;
        }
        let key = *self.out.dice.pick(&firsts);
        let others = self.people[person].devices.clone();
        let is_conflict = others.iter().any(|o| self.devices[*o].conflicts.contains(&key.id));
        let Some(record) = self.ledger.record(key).filter(|_| !is_conflict) else { return };
        let message = record.message.clone();
        if self.devices[d].core.send(message).is_ok() {
            self.out.coverage.hit("client: resend of an unanswered id elsewhere");
            self.ledger.note_copy(key);
            let lane = self.devices[d].unanswered.entry(key.conversation).or_default();
            lane.push(key.id);
        }
    }

    /// Asks something and remembers what it was.
    pub fn ask(&mut self, d: usize, request: Request, asked: Asked) {
        if let Ok(no) = self.devices[d].core.request(request) {
            self.devices[d].asked.insert(no, asked);
        }
    }

    /// Some of all.
    pub fn some_users(&mut self) -> Vec<u64> {
        let mut users: Vec<u64> =
            self.people.iter().filter_map(|person| person.user.map(|user| user.0)).collect();
        users.retain(|_| self.out.dice.chance(600));
        users
    }

    fn create_group(&mut self, d: usize) {
        let member_ids = self.some_users();
        let request_id = self.devices[d].core.new_request_id(self.out.agenda.now_ms()).0;
        let name = "a group".to_owned();
        let request_id = request_id.to_vec().into();
        let body = pb::GroupCreateReq { name, member_ids, request_id, open_history: false };
        self.ask(d, Request::GroupCreate(body.clone()), Asked::GroupCreate(body));
    }

    /// One of those that somebody was told of.
    pub fn pick_group(&mut self) -> Option<GroupId> {
        let groups: Vec<GroupId> = self.ledger.groups.iter().copied().collect();
        (!groups.is_empty()).then(|| *self.out.dice.pick(&groups))
    }

    fn invite(&mut self, d: usize) {
        let Some(group) = self.pick_group() else { return };
        let member_ids = self.some_users();
        if !member_ids.is_empty() {
            let body = pb::GroupInviteReq { group_id: group.0, member_ids };
            self.ask(d, Request::GroupInvite(body), Asked::Invite(group));
        }
    }

    fn leave_group(&mut self, d: usize) {
        let Some(group) = self.pick_group() else { return };
        let body = pb::GroupLeaveReq { group_id: group.0 };
        self.ask(d, Request::GroupLeave(body), Asked::Leave(group));
    }

    fn read_history(&mut self, d: usize) {
        let (receiver_id, group_id) = match self.pick_target() {
            Target::User(peer) => (peer.0, 0),
            Target::Group(group) => (0, group.0),
        };
        let newest = self.out.dice.chance(500);
        let body = pb::HistoryReq {
            receiver_id,
            group_id,
            before_conv_seq: if newest { 0 } else { self.out.dice.range(1, 40) },
            after_conv_seq: 0,
            limit: self.out.dice.range(1, 20) as u32,
        };
        self.ask(d, Request::History(body), Asked::History);
    }

    fn sync_beyond_head(&mut self, d: usize) {
        let body = pb::MsgSyncReq { stream: 0, after_seq: 1 << 40, limit: 0 };
        self.ask(d, Request::MsgSync(body), Asked::BeyondHead);
    }

    /// The device's process ends and starts again, with what it saved or with nothing.
    fn restart(&mut self, d: usize, user: UserId) {
        let now_ms = self.out.agenda.now_ms();
        let keeps_state = self.out.dice.chance(600);
        let device = &mut self.devices[d];
        let saved = if keeps_state { device.core.export_state() } else { SavedState::default() };
        device.core.disconnect(now_ms);
        self.pump(d);
        let start = if self.out.dice.chance(500) {
            Start::Zero
        } else {
            Start::Cursor { behind_max: u64::MAX }
        };
        let device = &mut self.devices[d];
        device.process_count += 1;
        let process = format!("{}.{}", device.device_id, device.process_count);
        let local = saved.streams.iter().find(|(stream, _)| *stream == 0).map(|(_, seq)| *seq);
        device.last_seq = match (local, start) {
            (Some(local), _) => Some(local),
            (None, Start::Zero) => Some(0),
            (None, _) => None,
        };
        self.out.coverage.hit(match device.last_seq {
            Some(0) if local.is_none() => "client: first position from zero",
            _ => "client: restarted with its saved state",
        });
        let mut core_config = config(&device.device_id, device.class, start);
        core_config.window = self.plan.window;
        let seed = self.out.dice.bits();
        device.recorder = Recorder::new(process, device.class.number(), saved.user_id);
        device.core = Core::new(core_config, saved, seed, now_ms, self.out.agenda.unix_ms());
        device.last_streamed.clear();
        device.asked.clear();
        device.timer_at_ms = None;
        self.submit_again(d, user);
        self.log_in(d);
    }

    /// What the process before got no answer for, in its order.
    fn submit_again(&mut self, d: usize, user: UserId) {
        let device = &mut self.devices[d];
        for (&conversation, ids) in &device.unanswered {
            for &id in ids {
                let key = SendKey { conversation, sender: user, id };
                let Some(record) = self.ledger.record(key) else { continue };
                let mut message = record.message.clone();
                if device.conflicts.contains(&id) {
                    message.content = Bytes::from_static(b"something else");
                }
                if device.core.send(message).is_err() {
                    self.out.violations.push(format!("device {d} cannot send again"));
                }
            }
        }
    }

    /// The owner asks for everything from the beginning, as the last word.
    pub fn begin_final_sync(&mut self, d: usize, after_seq: u64) {
        self.devices[d].recorder.final_sync = true;
        let body = pb::MsgSyncReq { stream: 0, after_seq, limit: FINAL_SYNC_LIMIT };
        self.ask(d, Request::MsgSync(body), Asked::FinalSync(after_seq));
        self.pump(d);
    }

    /// The same of a stream.
    pub fn begin_final_stream(&mut self, d: usize, stream: u64, after_seq: u64) {
        let body = pb::MsgSyncReq { stream, after_seq, limit: FINAL_SYNC_LIMIT };
        self.ask(d, Request::MsgSync(body), Asked::FinalStream(stream, after_seq));
        self.pump(d);
    }

    /// Goes on with the next stream that the mailbox named, or is done.
    pub fn go_on_with_final_streams(&mut self, d: usize) {
        match self.devices[d].final_streams.pop_first() {
            Some(stream) => self.begin_final_stream(d, stream, 0),
            None => self.devices[d].final_sync_done = true,
        }
    }
}
