//! Clients that follow no rules: garbage, half frames, requests before login, floods that nobody
//! reads the answers of. They write raw bytes and change nothing that others see.

use aldis_logic::job::NewUser;
use aldis_store::Store as _;
use aldis_store::memory::MemoryStore;
use aldis_wire::{Code, Command, DeviceClass, Message, OutFrame, RequestId, UserId, pb};

use crate::agenda::Event;
use crate::network::{LinkId, Owner, Side};
use crate::world::World;

/// The password of all of them; hashes of simulated passwords are the passwords.
const PASSWORD: &str = "pest-password";
/// More than a connection may have unanswered.
const FLOOD: u32 = 300;

/// See the file's first line.
#[derive(Debug)]
pub struct Pest {
    name: String,
    user: UserId,
    link: Option<LinkId>,
    to_send: Vec<u8>,
    reads: bool,
}

impl Pest {
    /// A pest with an account.
    pub fn new(store: &MemoryStore, number: usize) -> Self {
        let name = format!("pest-{number}");
        let user = NewUser {
            username: name.clone(),
            nickname: "a nickname that makes answers long, said to everybody who asks".to_owned(),
            password_phc: PASSWORD.to_owned(),
            request_id: RequestId([number as u8; 16]),
        };
        let user = store.add_user(user, 0).expect("the store is new");
        Self { name, user, link: None, to_send: Vec::new(), reads: true }
    }

    fn login(&self, seq: u32) -> Vec<u8> {
        let body = pb::LoginReq {
            username: self.name.clone(),
            password: PASSWORD.to_owned(),
            device_id: "pest".to_owned(),
            device_class: DeviceClass::Device.number() as i32,
            ..Default::default()
        };
        frame(Command::Login, seq, &body)
    }
}

fn frame(command: Command, seq: u32, body: &impl Message) -> Vec<u8> {
    OutFrame::encode(command.id(), Code::Ok, seq, body).to_vec()
}

impl World {
    /// The next thing a pest does.
    pub fn pest_acts(&mut self, p: usize) {
        if let Some(link) = self.pests[p].link.take() {
            let abort = self.out.dice.chance(500);
            let (agenda, dice) = (&mut self.out.agenda, &mut self.out.dice);
            self.out.net.close(agenda, dice, link, Side::Client, abort);
        }
        if !self.is_loading {
            return;
        }
        let bytes = self.pest_script(p);
        let address = self.pick_address(None);
        let pest = &mut self.pests[p];
        pest.to_send = bytes;
        pest.reads = self.out.dice.chance(500);
        let link = self.out.net.open(Owner::Pest(p), address);
        pest.link = Some(link);
        let latency_us = self.out.net.latency_us(&mut self.out.dice);
        self.out.agenda.after(latency_us, Event::Accept(link));
        let pause_us = self.out.dice.range(200, 4_000) * 1_000;
        self.out.agenda.after(pause_us, Event::PestActs(p));
    }

    fn pest_script(&mut self, p: usize) -> Vec<u8> {
        let pest = &self.pests[p];
        let mut bytes = Vec::new();
        match self.out.dice.below(6) {
            0 => bytes.extend((0..40).map(|_| self.out.dice.bits() as u8)),
            1 => {
                bytes.extend(pest.login(1));
                bytes.truncate(self.out.dice.range(1, bytes.len() as u64) as usize);
            }
            2 => {
                // Everything before login, and logins behind a login.
                bytes.extend(frame(Command::MsgSync, 1, &pb::MsgSyncReq::default()));
                for seq in 2..5 {
                    bytes.extend(pest.login(seq));
                }
                bytes.extend(frame(Command::Heartbeat, 5, &pb::HeartbeatReq::default()));
                bytes.extend(frame(Command::Logout, 6, &pb::LogoutReq {}));
            }
            3 => {
                let body = pb::LoginReq { password: "x".repeat(5_000), ..Default::default() };
                bytes.extend(frame(Command::Login, 1, &body));
            }
            _ => {
                bytes.extend(pest.login(1));
                for seq in 2..4 {
                    bytes.extend(frame(Command::MsgSync, seq, &pb::MsgSyncReq::default()));
                }
                // Long answers fill the output, short questions the limit of requests under way.
                let count = *self.out.dice.pick(&[1, 100]);
                let body = pb::UserGetReq { user_ids: vec![pest.user.0; count] };
                for seq in 4..FLOOD {
                    bytes.extend(frame(Command::UserGet, seq, &body));
                }
            }
        }
        bytes
    }

    /// A pest's connection is open, or not.
    pub fn pest_connected(&mut self, p: usize, link: LinkId, is_open: bool) {
        if is_open && self.pests[p].link == Some(link) {
            self.pest_writes(p, link);
        } else if self.pests[p].link == Some(link) {
            self.pests[p].link = None;
        }
    }

    fn pest_writes(&mut self, p: usize, link: LinkId) {
        let pest = &mut self.pests[p];
        let (agenda, dice) = (&mut self.out.agenda, &mut self.out.dice);
        let written = self.out.net.write(agenda, dice, link, Side::Client, &pest.to_send);
        pest.to_send.drain(..written);
    }

    /// There may be something to read, or room to write.
    pub fn pest_reads(&mut self, p: usize, link: LinkId) {
        if self.pests[p].link != Some(link) {
            return;
        }
        if self.pests[p].reads {
            while let Some(bytes) = self.out.net.read(link, Side::Client, 4_096) {
                if bytes.is_empty() {
                    self.pests[p].link = None;
                    let (agenda, dice) = (&mut self.out.agenda, &mut self.out.dice);
                    return self.out.net.close(agenda, dice, link, Side::Client, false);
                }
            }
            let room = Event::Arrive { link, to: Side::Server, len: 0, end: false };
            self.out.agenda.after(50, room);
        }
        self.pest_writes(p, link);
    }

    /// The connection broke.
    pub fn pest_reset(&mut self, p: usize, link: LinkId) {
        if self.pests[p].link == Some(link) {
            self.pests[p].link = None;
        }
        self.out.net.forget(link, Side::Client);
    }
}
