//! A generator of histories: a model of a correct server and of clients that pipeline, lose their
//! connection, and send again, driven by a seed. Bugs can be planted in the server.

mod client;
mod server;

use serde_json::{Value, json};

use client::{Client, Pending, Reply};
pub use server::Bug;
use server::{Key, Message, Server};

/// Steps of a run; each is one action of a client, the server or the network.
const STEPS: u64 = 1_500;
/// Users; the first of each pair talks most to the second.
pub const USERS: u64 = 5;

/// A sequence of numbers that a seed determines (splitmix64).
pub struct Rng(u64);

impl Rng {
    /// Starts it.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Writes lines with a clock that always moves.
pub struct Recorder {
    /// What was written.
    pub lines: Vec<Value>,
    now_ns: u64,
}

impl Recorder {
    fn line(&mut self, process: &str, op: &str, phase: &str, id: u64, args: &Value, result: Value) {
        self.lines.push(json!({
            "run": "model", "seed": 0, "t_ns": self.now_ns, "process": process, "node": "n1",
            "op": op, "phase": phase, "id": id, "args": args, "result": result,
        }));
        self.now_ns += 1;
    }
}

/// How often something happened: a generator that never crashes tests nothing.
#[derive(Debug, Default)]
pub struct Coverage {
    pub crashes: u64,
    pub resends: u64,
    pub busy: u64,
    pub forbidden: u64,
    pub replies_lost: u64,
    pub pushes: u64,
    pub group_events: u64,
    pub changes: u64,
}

struct World {
    rng: Rng,
    server: Server,
    clients: Vec<Client>,
    recorder: Recorder,
    coverage: Coverage,
}

/// A history of the model with this seed, as lines in the order of time.
pub fn generate(seed: u64, bug: Bug) -> (Vec<Value>, Coverage) {
    let mut world = World {
        rng: Rng::new(seed),
        server: Server::new(bug),
        clients: (1..=USERS)
            .flat_map(|user| (0..1 + user % 2).map(move |device| Client::new(user, device)))
            .collect(),
        recorder: Recorder { lines: Vec::new(), now_ns: 1_000 },
        coverage: Coverage::default(),
    };
    world.make_group();
    for _ in 0..STEPS {
        world.recorder.now_ns += world.rng.below(50);
        world.step();
    }
    world.heal();
    world.final_syncs();
    (world.recorder.lines, world.coverage)
}

impl World {
    fn step(&mut self) {
        let index = self.rng.below(self.clients.len() as u64) as usize;
        match self.rng.below(1_000) {
            0..400 => self.clients[index].act(&mut self.rng, &self.server, &mut self.recorder),
            400..700 => self.serve(index),
            700..980 => self.receive(index),
            980..993 => self.cut(index),
            993..997 => self.crash(),
            _ => self.clients[index].read(&mut self.rng, &self.server, &mut self.recorder),
        }
    }

    /// The server handles the oldest request of a connection.
    fn serve(&mut self, index: usize) {
        let Some(request) = self.clients[index].requests.pop_front() else { return };
        let user = self.clients[index].user;
        let reply = match request {
            Pending::Send { id, key, message } => self.serve_send(index, id, key, message),
            Pending::Group { id, op, args } => {
                let (result, events) = self.server.change_group(user, op, &args);
                self.coverage.group_events += events.len() as u64;
                self.fan_out(index, events);
                Reply::Done { id, op, args, result }
            }
            Pending::Other { id, op, args } => {
                let result = match op {
                    "login" => self.server.login(user),
                    "sync" => self.server.sync(user, &args),
                    "history" => self.server.history(user, &args),
                    "edit" | "recall" => self.server.change_message(user, op, &args),
                    "block" | "unblock" => self.server.block(user, op, &args),
                    "mark_read" => self.server.mark_read(user, &args),
                    _ => self.server.unread(user, &args),
                };
                let is_change = matches!(op, "edit" | "recall" | "block" | "unblock");
                self.coverage.changes += u64::from(is_change && result.get("code").is_none());
                Reply::Done { id, op, args, result }
            }
        };
        self.clients[index].replies.push_back(reply);
    }

    fn serve_send(&mut self, index: usize, id: u64, key: Key, message: Message) -> Reply {
        // After BUSY later sends of the conversation on this connection get the same answer, until
        // the client sends again from the refused one.
        let blocked = self.clients[index].blocked.remove(&message.conv);
        let is_behind = blocked.is_some_and(|first| first != key);
        if is_behind || self.rng.percent(4) {
            self.coverage.busy += 1;
            self.clients[index].blocked.insert(message.conv, blocked.unwrap_or(key));
            return Reply::Refused { id, key, code: "BUSY" };
        }
        // A rule that refuses a message refuses its resend too.
        if key.2 % 40 == 7 {
            self.coverage.forbidden += 1;
            return Reply::Refused { id, key, code: "FORBIDDEN" };
        }
        let (result, events) = self.server.append(key, message, &mut self.rng);
        self.fan_out(index, events);
        Reply::Acked { id, key, result }
    }

    fn fan_out(&mut self, origin: usize, events: Vec<Message>) {
        for event in events {
            for (index, client) in self.clients.iter_mut().enumerate() {
                let is_reader = self.server.seq_of(client.user, &event).is_some();
                if index == origin || !is_reader || !client.online || self.rng.percent(5) {
                    continue;
                }
                self.coverage.pushes += 1;
                let head = self.server.head(client.user);
                let hint = self.rng.percent(5);
                let entries =
                    if hint { vec![] } else { vec![self.server.entry(client.user, &event)] };
                client.replies.push_back(Reply::Push(json!({"head": head, "entries": entries})));
            }
        }
    }

    /// A client takes the oldest of what the server said.
    fn receive(&mut self, index: usize) {
        self.clients[index].receive(&mut self.recorder);
    }

    /// A connection is lost, with what is under way on it, or after the server took some of it.
    fn cut(&mut self, index: usize) {
        let taken = self.rng.below(4);
        for _ in 0..taken {
            self.serve(index);
        }
        let client = &mut self.clients[index];
        self.coverage.replies_lost += client.replies.len() as u64;
        self.coverage.resends += client.disconnect(&mut self.recorder);
    }

    /// The server dies: every connection is lost; what was committed stays.
    fn crash(&mut self) {
        self.coverage.crashes += 1;
        self.server.crash();
        for index in 0..self.clients.len() {
            self.cut_after_crash(index);
        }
    }

    fn cut_after_crash(&mut self, index: usize) {
        let client = &mut self.clients[index];
        self.coverage.replies_lost += client.replies.len() as u64;
        self.coverage.resends += client.disconnect(&mut self.recorder);
    }

    fn make_group(&mut self) {
        self.clients[0].create_group(&[2, 3], &mut self.recorder);
        self.run_dry();
    }

    /// No more faults: everything that is unanswered gets its answer.
    fn heal(&mut self) {
        self.server.heal();
        for _ in 0..200 {
            for client in &mut self.clients {
                client.continue_after_fault(&mut self.recorder);
            }
            self.run_dry();
        }
        assert!(self.clients.iter().all(Client::is_quiet), "the model comes to rest");
    }

    fn run_dry(&mut self) {
        for index in 0..self.clients.len() {
            while !self.clients[index].requests.is_empty() {
                self.serve(index);
            }
            while !self.clients[index].replies.is_empty() {
                self.receive(index);
            }
        }
    }

    fn final_syncs(&mut self) {
        for index in 0..self.clients.len() {
            let limit = 3 + self.rng.below(40);
            let mut after = 0;
            loop {
                self.clients[index].ask_final_sync(after, limit, &mut self.recorder);
                self.run_dry();
                let last = self.recorder.lines.last().expect("an answer was written");
                let entries = last["result"]["entries"].as_array().expect("of a sync");
                after = entries.last().map_or(after, |entry| entry["seq"].as_u64().expect("a seq"));
                if last["result"]["more"] == false {
                    break;
                }
            }
        }
    }
}
