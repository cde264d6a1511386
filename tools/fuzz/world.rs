//! Who there is: attacker, ally and a third one, which are replaced now and then; a victim that goes on
//! saying secrets to a friend; an observer whom nobody addresses. Knows how to bring a connection into a
//! state, not what is done on it.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use aldis_wire::{Code, Command, Message, pb};

use crate::conn::{Conn, Seen};
use crate::judge::Judge;
use crate::means::{Member, StoreProcess};
use crate::parts::{Actor, Parts, TROOP, to_hex};
use crate::stream::Target;

/// Cases after which the troop is replaced: what they did to each other must not decide about those
/// that follow.
const TROOP_CASES_MAX: u32 = 400;
/// Times that a connection is tried.
const CONNECTS_MAX: usize = 3;
/// Between two signs of life of those who are there all the time: the server waits for minutes.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Cases after which the victim says something.
const SECRET_CASES: u64 = 40;

/// Why a case could not be played.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// No connection, or one that broke although nothing was done to it.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The connection was closed before the answer came: so ends what waits too long to log in.
    #[error("{0:?} was not answered")]
    Unanswered(Command),
    /// The server does not let the fuzzer prepare its users.
    #[error("{0:?} was answered {1}: {2}")]
    Refused(Command, Code, String),
}

/// A user of the fuzzer.
#[derive(Clone, Debug)]
pub struct Person {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its password, unless a case has changed it.
    pub password: String,
    /// By device class.
    pub tokens: BTreeMap<u8, String>,
    /// The device of the token that it came with; `None`: one of its own for each class.
    pub device_id: Option<String>,
}

/// See the file's first line.
#[derive(Debug)]
pub struct World {
    /// Where the server is.
    pub target: Target,
    /// The oracles.
    pub judge: Judge,
    /// Users that there are, by their ids; new ones join them.
    pub crowd: Vec<u64>,
    /// Those of them that were there before, with a token.
    pub members: Vec<Member>,
    /// A token whose time is over.
    pub expired: Option<String>,
    /// Stops and continues the process that stores.
    pub store: Option<StoreProcess>,
    /// A group that only the victim is in.
    pub secret_group: u64,
    /// A group of the troop, and a message there and between attacker and ally; 0 with fresh users.
    pub group: u64,
    pub(crate) people: BTreeMap<Actor, Person>,
    troop_cases: u32,
    cases: u64,
    next_member: usize,
    /// Distinguishes this run's names from those of all others.
    tag: String,
    made: u64,
    connected: u16,
    watched: Vec<Conn>,
    friend: u64,
    heard: Instant,
}

impl World {
    /// Registers victim and observer and logs them in.
    pub fn new(target: Target) -> Result<Self, Trouble> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| Trouble::Unreachable(format!("no random numbers: {error}")))?;
        let mut world = Self {
            target,
            judge: Judge { secret: to_hex(&random[4..]).into_bytes(), ..Judge::default() },
            crowd: Vec::new(),
            members: Vec::new(),
            expired: None,
            store: None,
            secret_group: 0,
            group: 0,
            people: BTreeMap::new(),
            troop_cases: 0,
            cases: 0,
            next_member: 0,
            tag: to_hex(&random[..4]),
            made: 0,
            connected: 0,
            watched: Vec::new(),
            friend: 0,
            heard: Instant::now(),
        };
        world.watch()?;
        Ok(world)
    }

    /// Logs those in who are there all the time: at the beginning, and after the server came back.
    pub fn watch(&mut self) -> Result<(), Trouble> {
        self.watched.clear();
        let friend = self.register()?;
        self.friend = friend.id;
        let victim = self.person(Actor::V)?.id;
        self.person(Actor::O)?;
        self.judge.entitled = vec![victim, friend.id];
        for who in [Actor::V, Actor::O] {
            let mut conn = self.connect()?;
            self.log_in(&mut conn, who, 1)?;
            self.watched.push(conn);
        }
        let mut conn = self.connect()?;
        self.password_login(&mut conn, &friend, 1, &mut Seen::default())?;
        self.watched.push(conn);
        let name = self.secret_text();
        let create =
            pb::GroupCreateReq { name, request_id: random_16().into(), ..Default::default() };
        let made: pb::GroupCreateResp = self.victim_asks(Command::GroupCreate, &create)?;
        self.secret_group = made.group_id;
        self.say_secret()
    }

    fn secret_text(&self) -> String {
        format!("secret {}", String::from_utf8_lossy(&self.judge.secret))
    }

    fn victim_asks<M: Message + Default>(
        &mut self,
        command: Command,
        body: &impl Message,
    ) -> Result<M, Trouble> {
        let mut victim = self.watched.remove(0);
        let answer = self.call(&mut victim, command, body, &mut Seen::default());
        self.watched.insert(0, victim);
        let reply = answer?;
        match reply.code() {
            Code::Ok => Ok(M::decode(reply.body.as_slice()).unwrap_or_default()),
            code => Err(Trouble::Refused(command, code, String::new())),
        }
    }

    /// The victim says its secret so many times, to its friend and in its group.
    pub fn say_secrets(&mut self, times: usize) -> Result<(), Trouble> {
        (0..times).try_for_each(|_| self.say_secret())
    }

    fn say_secret(&mut self) -> Result<(), Trouble> {
        let text = self.secret_text();
        for (receiver_id, group_id) in [(self.friend, 0), (0, self.secret_group)] {
            let body = pb::MsgSendReq {
                receiver_id,
                group_id,
                client_msg_id: random_16().into(),
                r#type: pb::MsgType::Text as i32,
                content: text.clone().into_bytes().into(),
                ..Default::default()
            };
            self.victim_asks::<pb::MsgSendResp>(Command::MsgSend, &body)?;
        }
        Ok(())
    }

    /// Between two cases: replaces the troop when its time has come, lets the victim speak, and looks at
    /// what the watched connections got.
    pub fn prepare(&mut self, fresh: bool, seen: &mut Seen) -> Result<(), Trouble> {
        self.cases += 1;
        self.troop_cases += 1;
        if fresh || self.troop_cases > TROOP_CASES_MAX || self.group == 0 {
            TROOP.iter().for_each(|actor| drop(self.people.remove(actor)));
            self.group = 0;
            self.troop_cases = 0;
            if !fresh {
                self.make_group()?;
            }
        }
        self.keep_alive()?;
        if self.cases.is_multiple_of(SECRET_CASES) {
            self.say_secret()?;
        }
        self.look(seen)
    }

    /// Reads what those got who are there all the time.
    pub fn look(&mut self, seen: &mut Seen) -> Result<(), Trouble> {
        for conn in &mut self.watched {
            conn.receive(&self.judge, seen);
            if conn.is_closed {
                let who = conn.user.unwrap_or(0);
                let what = format!("the connection of user {who}, who only listens, was closed");
                return Err(Trouble::Unreachable(what));
            }
        }
        Ok(())
    }

    /// Keeps the watched connections from being taken for dead ones.
    pub(crate) fn keep_alive(&mut self) -> Result<(), Trouble> {
        if self.heard.elapsed() <= HEARTBEAT {
            return Ok(());
        }
        self.heard = Instant::now();
        for index in 0..self.watched.len() {
            let mut conn = self.watched.remove(index);
            let body = pb::HeartbeatReq::default();
            let answer = self.call(&mut conn, Command::Heartbeat, &body, &mut Seen::default());
            self.watched.insert(index, conn);
            answer?;
        }
        Ok(())
    }

    /// A group of the troop with something said in it, and between two of them.
    fn make_group(&mut self) -> Result<(), Trouble> {
        let mut conn = self.connect()?;
        self.log_in(&mut conn, Actor::A, 1)?;
        let (b, c) = (self.person(Actor::B)?.id, self.person(Actor::C)?.id);
        let seen = &mut Seen::default();
        let create = pb::GroupCreateReq {
            name: "troop".into(),
            member_ids: vec![b, c],
            request_id: random_16().into(),
            ..Default::default()
        };
        let reply = self.call(&mut conn, Command::GroupCreate, &create, seen)?;
        let made = pb::GroupCreateResp::decode(reply.body.as_slice()).unwrap_or_default();
        self.group = made.group_id;
        for (receiver_id, group_id) in [(b, 0), (0, made.group_id)] {
            let body = pb::MsgSendReq {
                receiver_id,
                group_id,
                client_msg_id: random_16().into(),
                r#type: pb::MsgType::Text as i32,
                content: b"hello".to_vec().into(),
                ..Default::default()
            };
            self.call(&mut conn, Command::MsgSend, &body, seen)?;
        }
        Ok(())
    }

    /// A user, made if there is none yet.
    pub fn person(&mut self, actor: Actor) -> Result<&Person, Trouble> {
        if !self.people.contains_key(&actor) {
            let person = self.register()?;
            self.crowd.push(person.id);
            self.people.insert(actor, person);
        }
        Ok(&self.people[&actor])
    }

    /// A name that nobody has.
    pub fn fresh_name(&mut self) -> String {
        self.made += 1;
        format!("fuzz-{}-{}", self.tag, self.made)
    }

    /// The actor `m` is the next one of the crowd from now on.
    pub fn next_member(&mut self) {
        let Some(member) = self.members.get(self.next_member % self.members.len().max(1)) else {
            return;
        };
        self.next_member += 1;
        let person = Person {
            id: member.id,
            name: String::new(),
            password: String::new(),
            tokens: BTreeMap::from([(member.class, member.token.clone())]),
            device_id: Some(member.device_id.clone()),
        };
        self.people.insert(Actor::M, person);
    }

    /// The store answers nobody until it may go on.
    pub fn stop_store(&mut self) {
        if let Some(store) = &mut self.store {
            store.stop();
        }
    }

    /// See [`World::stop_store`].
    pub fn let_store_go(&mut self) {
        if let Some(store) = &mut self.store {
            store.go_on();
        }
    }

    /// A new connection.
    pub fn connect(&mut self) -> Result<Conn, Trouble> {
        self.connected = self.connected.wrapping_add(1);
        let connect = || Conn::connect(&self.target, self.connected);
        // A handshake that a slow machine did not end in time is ended by the server.
        let is_late = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
        let mut connected = connect();
        for _ in 1..CONNECTS_MAX {
            if !connected.as_ref().is_err_and(is_late) {
                break;
            }
            connected = connect();
        }
        connected.map_err(|error| Trouble::Unreachable(error.to_string()))
    }
}

/// An id that nobody used before.
pub fn random_16() -> Vec<u8> {
    let mut id = vec![0; 16];
    getrandom::fill(&mut id).expect("the kernel gives random numbers");
    id
}

/// A body without places.
pub fn plain(bytes: &[u8]) -> Parts {
    let mut parts = Parts::default();
    parts.push_bytes(bytes);
    parts
}
