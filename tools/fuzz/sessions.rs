//! How the users of a world come to be and get their sessions, by token where there is one, and how a
//! connection is brought into a state. Part of a world.

use std::collections::BTreeMap;
use std::time::Duration;

use aldis_wire::{Code, Command, Message, pb};

use crate::case::{Frame, State};
use crate::conn::{Conn, Reply, Seen};
use crate::finding::{Kind, Problem};
use crate::parts::Actor;
use crate::world::{Person, Trouble, World, random_16};

/// Tries of something that a busy server puts off.
const TRIES_MAX: u32 = 20;
/// Logins that are tried before a user counts as one who cannot.
const LOGINS_MAX: u32 = 6;

impl World {
    /// A token of a user for the device of this class, without changing anything.
    pub fn token(&mut self, actor: Actor, class: u8) -> Result<String, Trouble> {
        if !self.person(actor)?.tokens.contains_key(&class) {
            let mut conn = self.connect()?;
            self.log_in(&mut conn, actor, class)?;
        }
        Ok(self.person(actor)?.tokens.get(&class).cloned().unwrap_or_default())
    }

    /// A new user.
    pub(crate) fn register(&mut self) -> Result<Person, Trouble> {
        let name = self.fresh_name();
        let password = format!("password of {name}");
        let body = pb::RegisterReq {
            username: name.clone(),
            password: password.clone(),
            nickname: String::new(),
            request_id: random_16().into(),
        };
        let mut answer = Err(Trouble::Unanswered(Command::Register));
        for _ in 0..TRIES_MAX {
            let mut conn = self.connect()?;
            answer = self.call(&mut conn, Command::Register, &body, &mut Seen::default());
            if !matches!(answer, Err(Trouble::Unanswered(_))) {
                break;
            }
        }
        let reply = answer?;
        let id = pb::RegisterResp::decode(reply.body.as_slice()).unwrap_or_default().user_id;
        match reply.code() {
            Code::Ok => Ok(Person { id, name, password, tokens: BTreeMap::new(), device_id: None }),
            code => Err(Trouble::Refused(Command::Register, code, error_text(&reply))),
        }
    }

    /// Logs in, by token where there is a good one. A user whose password a case has changed is replaced.
    pub fn log_in(&mut self, conn: &mut Conn, actor: Actor, class: u8) -> Result<(), Trouble> {
        let (mut refused, mut tries) = (None, 0);
        while tries < LOGINS_MAX {
            tries += 1;
            if conn.is_closed {
                *conn = self.connect()?;
            }
            let person = self.person(actor)?.clone();
            let mut seen = Seen::default();
            if let Some(token) = person.tokens.get(&class) {
                let mut body = pb::LoginReq { token: token.clone(), ..login_body(class) };
                if let Some(device_id) = &person.device_id {
                    body.device_id.clone_from(device_id);
                }
                match self.call(conn, Command::Login, &body, &mut seen) {
                    Ok(reply) if reply.code() == Code::Ok => return Ok(()),
                    Ok(_) => {}
                    Err(Trouble::Unanswered(_)) => continue,
                    Err(trouble) => return Err(trouble),
                }
            }
            match self.password_login(conn, &person, class, &mut seen) {
                Ok(token) => {
                    let person = self.people.entry(actor).or_insert(person);
                    person.tokens.insert(class, token);
                    return Ok(());
                }
                Err(Trouble::Refused(command, code, text)) => {
                    refused = Some(Trouble::Refused(command, code, text));
                    if matches!(actor, Actor::V | Actor::O) {
                        break;
                    }
                    self.people.remove(&actor);
                }
                Err(Trouble::Unanswered(command)) => refused = Some(Trouble::Unanswered(command)),
                Err(trouble) => return Err(trouble),
            }
        }
        Err(refused.unwrap_or(Trouble::Unanswered(Command::Login)))
    }

    /// Logs in by password; the token.
    pub(crate) fn password_login(
        &mut self,
        conn: &mut Conn,
        person: &Person,
        class: u8,
        seen: &mut Seen,
    ) -> Result<String, Trouble> {
        let body = pb::LoginReq {
            username: person.name.clone(),
            password: person.password.clone(),
            ..login_body(class)
        };
        let reply = self.call(conn, Command::Login, &body, seen)?;
        match reply.code() {
            Code::Ok => Ok(pb::LoginResp::decode(reply.body.as_slice()).unwrap_or_default().token),
            code => Err(Trouble::Refused(Command::Login, code, error_text(&reply))),
        }
    }

    /// A request of the fuzzer's own, again where the server puts it off.
    pub fn call(
        &mut self,
        conn: &mut Conn,
        command: Command,
        body: &impl Message,
        seen: &mut Seen,
    ) -> Result<Reply, Trouble> {
        let frame = Frame { cmd: command.id(), ..Frame::default() };
        let bytes = body.encode_to_vec();
        for _ in 0..TRIES_MAX {
            conn.send(&frame, &bytes, seen);
            let replies = conn.wait(&self.judge, seen);
            let response = command.id() + 1;
            let reply = replies.into_iter().find(|reply| reply.header.cmd == response);
            let Some(reply) = reply else {
                return Err(Trouble::Unanswered(command));
            };
            if !matches!(reply.code(), Code::Busy | Code::Unavailable) {
                return Ok(reply);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Err(Trouble::Refused(command, Code::Busy, format!("{TRIES_MAX} times")))
    }

    /// Brings a new connection of somebody into a state.
    pub fn open(
        &mut self,
        actor: Actor,
        state: State,
        class: u8,
        seen: &mut Seen,
    ) -> Result<Conn, Trouble> {
        // Between cases there may be minutes.
        self.keep_alive()?;
        let mut conn = self.connect()?;
        match state {
            State::Fresh => return Ok(conn),
            State::LoggingIn => {
                let token = self.token(actor, class)?;
                let body = pb::LoginReq { token, ..login_body(class) }.encode_to_vec();
                let frame = Frame { cmd: Command::Login.id(), ..Frame::default() };
                conn.send(&frame, &body, seen);
                return Ok(conn);
            }
            _ => self.log_in(&mut conn, actor, class)?,
        }
        match state {
            State::Kicked => {
                conn.allow_close();
                let mut newer = self.connect()?;
                self.log_in(&mut newer, actor, class)?;
                conn.wait_closed(&self.judge, seen);
            }
            State::LoggedOut => {
                let body = pb::LogoutReq {};
                self.call(&mut conn, Command::Logout, &body, seen)?;
                if let Some(person) = self.people.get_mut(&actor) {
                    person.tokens.remove(&class);
                }
                conn.wait_closed(&self.judge, seen);
            }
            State::AfterError => {
                // A version that there is not: BAD_FRAME, then the end.
                let cmd = Command::Heartbeat.id();
                let frame = Frame { cmd, head: vec![(2, 99)], ..Frame::default() };
                conn.send(&frame, &[], seen);
                conn.wait_closed(&self.judge, seen);
            }
            _ => return Ok(conn),
        }
        if !conn.is_closed {
            let what = format!("a connection that is {} stays open", state.name());
            seen.problems.push(Problem::new(Kind::AfterEnd, state.name(), what));
        }
        conn.state = state;
        Ok(conn)
    }
}

/// The device of a class.
pub fn device_id(class: u8) -> String {
    format!("fuzz-{class}")
}

fn login_body(class: u8) -> pb::LoginReq {
    pb::LoginReq {
        device_id: device_id(class),
        device_class: i32::from(class),
        ..Default::default()
    }
}

fn error_text(reply: &Reply) -> String {
    pb::Error::decode(reply.body.as_slice()).unwrap_or_default().message
}
