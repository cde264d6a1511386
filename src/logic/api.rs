//! REGISTER and LOGIN for whoever has no connection: the requests of the HTTP api. Takes the same
//! steps as the handlers of both commands, by the same jobs, and ends with a token instead of a
//! session. Knows no HTTP; each request is a number.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use aldis_wire::limits::PASSWORD_BYTES_MAX;
use aldis_wire::name::normalize_username;
use aldis_wire::{Code, Command, ConnId, DeviceClass, UserId, pb};

use crate::credits::{CreditLimits, Credits, Need};
use crate::handlers::account::POOL_FULL;
use crate::handlers::login::{self, BAD_CREDENTIALS};
use crate::handlers::register;
use crate::job::{
    AttemptJob, AttemptReply, AttemptRequest, Credentials, Generations, HashJob, HashReply,
    HashRequest, HashResult, JobError, LoginState, NewUser, ReactorId, ReadJob, ReadReply,
    ReadRequest, ReadResult, Ticket, Verdict, WriteJob, WriteReply, WriteRequest, Written,
};
use crate::memory::MemoryLevel;
use crate::node::Node;
use crate::now::Now;
use crate::request::Refusal;
use crate::service::OVERLOADED;
use crate::throttle::Attempt;
use crate::token::Claims;

/// What is asked.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// First create this user; `None`: it exists. Names and password are those of `login`.
    pub register: Option<pb::RegisterReq>,
    /// Whose token, for which device: username, password, device_id and device_class count.
    pub login: pb::LoginReq,
    /// Who asks.
    pub address: IpAddr,
}

/// What a request gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiLogin {
    /// Who it is.
    pub user: UserId,
    /// For LOGIN on any node.
    pub token: String,
    /// Until when it holds, Unix ms.
    pub token_expires_ms: u64,
}

/// One thing to do.
#[derive(Debug)]
pub enum ApiEffect {
    /// For a store writer. A slot in its queue is reserved.
    Write(WriteRequest),
    /// For a store reader. A slot in its queue is reserved.
    Read(ReadRequest),
    /// For the password pool. A slot in its queue is reserved.
    Hash(HashRequest),
    /// For the directory worker; if its queue is full, the glue answers `Unknown` for a `Begin`.
    Attempt(AttemptRequest),
    /// The request with this number is done.
    Answer(u32, Result<ApiLogin, Refusal>),
}

/// A request under way.
#[derive(Debug)]
struct Asking {
    address: IpAddr,
    username: String,
    password: String,
    device_id: String,
    class: DeviceClass,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// What other nodes counted is asked for; then this user is made, or one is looked for.
    Attempting(Attempt, Option<Box<NewUser>>),
    Hashing(Box<NewUser>),
    Registering,
    Finding,
    Verifying(UserId),
    Reading(UserId),
}

/// See the file's first lines.
#[derive(Debug)]
pub struct ApiService {
    node: Arc<Node>,
    reactor: ReactorId,
    now: Now,
    requests: HashMap<u32, Asking>,
    last_request: u32,
    effects: VecDeque<ApiEffect>,
    credits: Credits,
    /// Failures of the writer that this service knows of.
    fence: u32,
}

impl ApiService {
    /// A service without requests. Replies to its jobs come to `reactor`.
    pub fn new(node: Arc<Node>, reactor: ReactorId, limits: CreditLimits) -> Self {
        Self {
            node,
            reactor,
            now: Now::default(),
            requests: HashMap::new(),
            last_request: 0,
            effects: VecDeque::new(),
            credits: Credits::new(limits),
            fence: 0,
        }
    }

    /// The next thing to do. Drain it after each input.
    pub fn poll_effect(&mut self) -> Option<ApiEffect> {
        self.effects.pop_front()
    }

    /// Somebody asks: the number of the request, whose answer comes as an effect; or a refusal at
    /// once.
    pub fn handle_request(&mut self, now: Now, request: ApiRequest) -> Result<u32, Refusal> {
        self.now = now;
        let ApiRequest { register: new_user, login: body, address } = request;
        if self.node.memory.level() > MemoryLevel::Plenty {
            return Err(OVERLOADED);
        }
        let class = login::check_device(&body)?;
        let new_user = new_user.map(register::check).transpose()?;
        if body.password.len() > PASSWORD_BYTES_MAX {
            return Err(Refusal::new(Code::TooLarge, "the password is over its limit"));
        }
        let username = normalize_username(&body.username).ok_or(BAD_CREDENTIALS)?;
        if !self.credits.has(Need::Account) || !self.has_hash(address) {
            return Err(POOL_FULL);
        }
        let attempt = match &new_user {
            Some(_) => Attempt::registration(address),
            None => Attempt::password(&username, address),
        };
        login::throttle(&self.node, now, &attempt)?;
        self.credits.take_account();
        self.last_request = self.last_request.wrapping_add(1);
        let number = self.last_request;
        // The password is in `body` as well.
        let step = Step::Attempting(attempt.clone(), new_user.map(|(user, _)| Box::new(user)));
        let (password, device_id) = (body.password, body.device_id);
        let asking = Asking { address, username, password, device_id, class, step };
        self.requests.insert(number, asking);
        self.attempt(number, attempt);
        Ok(number)
    }

    /// The directory said whether an attempt may be made.
    pub fn handle_attempt_reply(&mut self, now: Now, reply: AttemptReply) {
        self.now = now;
        self.credits.give_read();
        self.handle_attempted(reply.ticket.request, reply.verdict);
    }

    /// A store writer answered.
    pub fn handle_write_reply(&mut self, now: Now, reply: WriteReply) {
        self.now = now;
        self.credits.give_write(reply.ticket.bytes);
        self.fence = self.fence.max(reply.fence);
        self.node.outages.note(matches!(reply.result, Err(JobError::Unavailable)));
        let number = reply.ticket.request;
        match reply.result {
            Ok(Written::Registered(_)) => self.handle_registered(number),
            Ok(other) => unreachable!("{other:?} is no step of an account"),
            Err(error) => self.answer(number, Err(error.into())),
        }
    }

    /// A store reader answered.
    pub fn handle_read_reply(&mut self, now: Now, reply: ReadReply) {
        self.now = now;
        self.credits.give_read();
        let number = reply.ticket.request;
        match reply.result {
            Ok(ReadResult::Credentials(found)) => self.handle_credentials(number, found),
            Ok(ReadResult::LoginState(state)) => self.handle_state(number, &state),
            Ok(other) => unreachable!("{other:?} is no step of an account"),
            Err(error) => self.answer(number, Err(error.into())),
        }
    }

    /// The password pool answered.
    pub fn handle_hash_reply(&mut self, now: Now, reply: HashReply) {
        self.now = now;
        self.credits.give_hash();
        let number = reply.ticket.request;
        if let Some(asking) = self.requests.get(&number) {
            self.node.addresses.end_check(asking.address, self.now);
        }
        match reply.result {
            HashResult::Hashed(password_phc) => self.handle_hashed(number, password_phc),
            HashResult::Verified(is_right) => self.handle_verified(number, is_right),
            HashResult::Failed => self.answer(number, Err(JobError::Internal.into())),
        }
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.credits.is_idle()
    }

    fn handle_attempted(&mut self, number: u32, verdict: Verdict) {
        let Some(asking) = self.requests.get_mut(&number) else { return };
        let step = std::mem::replace(&mut asking.step, Step::Finding);
        let Step::Attempting(attempt, user) = step else { unreachable!("{step:?} asks nobody") };
        if let Err(refusal) = login::settle(&self.node, self.now, &attempt, verdict) {
            return self.answer(number, Err(refusal));
        }
        let Some(user) = user else { return self.find(number) };
        asking.step = Step::Hashing(user);
        let (address, password) = (asking.address, asking.password.clone());
        // Others may have taken what room there was.
        if !self.has_hash(address) {
            return self.answer(number, Err(POOL_FULL));
        }
        self.hash(number, HashJob::Hash { password });
    }

    fn handle_hashed(&mut self, number: u32, password_phc: String) {
        let Some(asking) = self.requests.get_mut(&number) else { return };
        let step = std::mem::replace(&mut asking.step, Step::Registering);
        let Step::Hashing(user) = step else { unreachable!("{step:?} waits for no hash") };
        let job = WriteJob::Register(NewUser { password_phc, ..*user });
        let (ticket, fence) = (self.ticket(number), self.fence);
        self.credits.take_write(ticket.bytes);
        self.effects.push_back(ApiEffect::Write(WriteRequest { ticket, fence, job }));
    }

    /// A repeat of a registration gives the user that the first one made, whatever the password:
    /// so it has to be verified as by any login.
    fn handle_registered(&mut self, number: u32) {
        let Some(asking) = self.requests.get_mut(&number) else { return };
        let attempt = Attempt::password(&asking.username, asking.address);
        asking.step = Step::Attempting(attempt.clone(), None);
        match login::throttle(&self.node, self.now, &attempt) {
            Ok(()) => self.attempt(number, attempt),
            Err(refusal) => self.answer(number, Err(refusal)),
        }
    }

    fn handle_credentials(&mut self, number: u32, found: Option<Credentials>) {
        let Some(address) = self.requests.get(&number).map(|asking| asking.address) else { return };
        if !self.has_hash(address) {
            return self.answer(number, Err(POOL_FULL));
        }
        let Some(asking) = self.requests.get_mut(&number) else { return };
        // An unknown user costs the same time as a wrong password: an empty PHC string never fits.
        let Credentials { user, password_phc } =
            found.unwrap_or(Credentials { user: UserId(0), password_phc: String::new() });
        asking.step = Step::Verifying(user);
        let password = std::mem::take(&mut asking.password);
        self.hash(number, HashJob::Verify { password, password_phc });
    }

    fn handle_verified(&mut self, number: u32, is_right: bool) {
        if !is_right {
            return self.answer(number, Err(BAD_CREDENTIALS));
        }
        let Some(asking) = self.requests.get_mut(&number) else { return };
        let Step::Verifying(user) = asking.step else { unreachable!("only then it is verified") };
        asking.step = Step::Reading(user);
        let attempt = Attempt::password(&asking.username, asking.address);
        let device_id = asking.device_id.clone();
        self.forgive(number, attempt);
        self.read(number, ReadJob::LoginState { user, device_id });
    }

    fn handle_state(&mut self, number: u32, state: &LoginState) {
        let Some(asking) = self.requests.get(&number) else { return };
        let Step::Reading(user) = asking.step else { unreachable!("only then it is read") };
        let result = self.mint(user, asking, state.generations);
        self.answer(number, result);
    }

    fn mint(
        &self,
        user: UserId,
        asking: &Asking,
        generations: Generations,
    ) -> Result<ApiLogin, Refusal> {
        let device_id = asking.device_id.clone();
        let claims = Claims { user, device_id, class: asking.class, generations };
        let (token, token_expires_ms) = self.node.mint(&claims, self.now)?;
        Ok(ApiLogin { user, token, token_expires_ms })
    }

    /// Asks what other nodes counted, if they count together.
    fn attempt(&mut self, number: u32, attempt: Attempt) {
        if !self.node.config.shares_attempts {
            return self.handle_attempted(number, Verdict::Unknown);
        }
        self.credits.take_read();
        let (ticket, job) = (self.ticket(number), AttemptJob::Begin(attempt));
        self.effects.push_back(ApiEffect::Attempt(AttemptRequest { ticket, job }));
    }

    fn forgive(&mut self, number: u32, attempt: Attempt) {
        self.node.throttle.lock().succeeded(&attempt);
        if self.node.config.shares_attempts {
            let (ticket, job) = (self.ticket(number), AttemptJob::Forgive(attempt));
            self.effects.push_back(ApiEffect::Attempt(AttemptRequest { ticket, job }));
        }
    }

    /// Whether the password pool has room for one more of this address.
    fn has_hash(&self, address: IpAddr) -> bool {
        self.credits.has_hash() && self.node.addresses.has_check(address)
    }

    fn find(&mut self, number: u32) {
        let Some(asking) = self.requests.get(&number) else { return };
        let username = asking.username.clone();
        self.read(number, ReadJob::Credentials { username });
    }

    fn read(&mut self, number: u32, job: ReadJob) {
        self.credits.take_read();
        let ticket = self.ticket(number);
        self.effects.push_back(ApiEffect::Read(ReadRequest { ticket, job }));
    }

    fn hash(&mut self, number: u32, job: HashJob) {
        self.credits.take_hash();
        if let Some(asking) = self.requests.get(&number) {
            self.node.addresses.begin_check(asking.address, self.now);
        }
        let ticket = self.ticket(number);
        self.effects.push_back(ApiEffect::Hash(HashRequest { ticket, job }));
    }

    fn answer(&mut self, number: u32, result: Result<ApiLogin, Refusal>) {
        if self.requests.remove(&number).is_some() {
            self.credits.give_account();
            self.effects.push_back(ApiEffect::Answer(number, result));
        }
    }

    fn ticket(&self, number: u32) -> Ticket {
        let conn = ConnId { index: number, generation: 0 };
        Ticket { reactor: self.reactor, conn, request: number, command: Command::Login, bytes: 0 }
    }
}
