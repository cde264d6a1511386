//! Two clients that behave well while the server is abused: every message of one arrives at the other,
//! within a bound, or this says so. On a thread of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aldis_wire::{Code, Command, Message, pb};

use crate::conn::{Conn, Seen};
use crate::finding::{Kind, Problem};
use crate::judge::Judge;
use crate::stream::Target;
use crate::world::random_16;

/// Between two messages: the pair is there to notice, not to be a load.
const PAUSE: Duration = Duration::from_millis(20);
/// Time to register, log in and say something.
const BEGIN_MAX: Duration = Duration::from_secs(10);
/// Nobody waits longer for one message.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What the pair saw so far.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Messages that arrived.
    pub rounds: u64,
    /// The longest time of one from sending to arrival.
    pub slowest: Duration,
    /// What was wrong first.
    pub problem: Option<Problem>,
}

/// See the file's first line.
#[derive(Debug)]
pub struct Pair {
    stop: Arc<AtomicBool>,
    report: Arc<Mutex<Report>>,
    thread: Option<JoinHandle<()>>,
}

struct End {
    conn: Conn,
    id: u64,
}

impl Pair {
    /// Registers two users under these names and begins.
    pub fn start(target: Target, names: [String; 2], bound: Duration) -> Self {
        let (stop, report) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::default()));
        let (stopped, shared) = (stop.clone(), report.clone());
        let thread = std::thread::spawn(move || {
            let said = run(&target, names, bound, &stopped, &shared);
            if let Err(what) = said {
                let problem = Problem::new(Kind::PairDisturbed, "", what);
                lock(&shared).problem.get_or_insert(problem);
            }
        });
        Self { stop, report, thread: Some(thread) }
    }

    /// Waits until it goes on or has failed: a server that is busy may take a while.
    pub fn wait_begun(&self) {
        let deadline = Instant::now() + BEGIN_MAX;
        while Instant::now() < deadline {
            let report = self.report();
            if report.rounds > 0 || report.problem.is_some() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// So far.
    pub fn report(&self) -> Report {
        lock(&self.report).clone()
    }

    /// Ends it.
    pub fn finish(mut self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it had to say is in the report.
            let _ = thread.join();
        }
        self.report()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn lock(report: &Mutex<Report>) -> std::sync::MutexGuard<'_, Report> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(
    target: &Target,
    names: [String; 2],
    bound: Duration,
    stop: &AtomicBool,
    report: &Mutex<Report>,
) -> Result<(), String> {
    let judge = Judge::default();
    let [one, two] = names;
    let mut ends = [enter(target, &judge, &one, stop)?, enter(target, &judge, &two, stop)?];
    let mut from = 0;
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let text = random_16();
        say(&judge, &mut ends, from, &text)?;
        hear(&judge, &mut ends[1 - from], &text, began)?;
        let took = began.elapsed();
        let mut report = lock(report);
        report.rounds += 1;
        report.slowest = report.slowest.max(took);
        if took > bound {
            let what = format!("a message of the pair took {took:?}, more than {bound:?}");
            report.problem.get_or_insert(Problem::new(Kind::PairDisturbed, "late", what));
        }
        drop(report);
        from = 1 - from;
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Enters, on another connection where the server did not wait: it closes those that log in late, and a
/// machine that is abused may be slow.
fn enter(target: &Target, judge: &Judge, name: &str, stop: &AtomicBool) -> Result<End, String> {
    // The same each time: a registration whose answer was lost is repeated.
    let (deadline, request_id) = (Instant::now() + WAIT_MAX, random_16());
    loop {
        let entered = try_enter(target, judge, name, &request_id);
        let is_over = stop.load(Ordering::Relaxed) || Instant::now() >= deadline;
        if entered.is_ok() || is_over {
            return entered;
        }
    }
}

fn try_enter(target: &Target, judge: &Judge, name: &str, request_id: &[u8]) -> Result<End, String> {
    let mut conn = Conn::connect(target, 0).map_err(|error| error.to_string())?;
    let password = format!("password of {name}");
    let register = pb::RegisterReq {
        username: name.into(),
        password: password.clone(),
        nickname: String::new(),
        request_id: request_id.to_vec().into(),
    };
    let made: pb::RegisterResp = ask(&mut conn, judge, Command::Register, &register)?;
    let login = pb::LoginReq {
        username: name.into(),
        password,
        device_id: "pair".into(),
        device_class: pb::DeviceClass::Desktop as i32,
        ..Default::default()
    };
    ask::<pb::LoginResp>(&mut conn, judge, Command::Login, &login)?;
    Ok(End { conn, id: made.user_id })
}

fn say(judge: &Judge, ends: &mut [End; 2], from: usize, text: &[u8]) -> Result<(), String> {
    let body = pb::MsgSendReq {
        receiver_id: ends[1 - from].id,
        client_msg_id: text.to_vec().into(),
        r#type: pb::MsgType::Custom as i32,
        content: text.to_vec().into(),
        ..Default::default()
    };
    ask::<pb::MsgSendResp>(&mut ends[from].conn, judge, Command::MsgSend, &body).map(drop)
}

fn ask<M: Message + Default>(
    conn: &mut Conn,
    judge: &Judge,
    command: Command,
    body: &impl Message,
) -> Result<M, String> {
    let frame = crate::case::Frame { cmd: command.id(), ..Default::default() };
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let mut seen = Seen::default();
        conn.send(&frame, &body.encode_to_vec(), &mut seen);
        let replies = conn.wait(judge, &mut seen);
        if let Some(problem) = seen.problems.first() {
            return Err(format!("the pair: {}", problem.what));
        }
        let reply = replies.iter().find(|reply| reply.header.cmd == command.id() + 1);
        match reply.map(|reply| (reply.code(), reply)) {
            Some((Code::Ok, reply)) => {
                return M::decode(reply.body.as_slice()).map_err(|error| error.to_string());
            }
            Some((Code::Busy | Code::Unavailable | Code::RateLimited, _))
                if Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(100));
            }
            Some((code, _)) => return Err(format!("{command:?} of the pair was answered {code}")),
            None => return Err(format!("{command:?} of the pair was not answered")),
        }
    }
}

fn hear(judge: &Judge, end: &mut End, text: &[u8], began: Instant) -> Result<(), String> {
    loop {
        let mut seen = Seen::default();
        for reply in end.conn.receive(judge, &mut seen) {
            if reply.header.cmd != Command::MsgPushNotify.id() {
                continue;
            }
            let push = pb::MsgPushNotify::decode(reply.body.as_slice()).unwrap_or_default();
            if push.entries.iter().any(|entry| entry.content == text) {
                return Ok(());
            }
        }
        if end.conn.is_closed {
            return Err("a connection of the pair was closed".into());
        }
        if began.elapsed() > WAIT_MAX {
            return Err(format!("a message of the pair did not arrive within {WAIT_MAX:?}"));
        }
        end.conn.wait_readable(Duration::from_millis(100));
    }
}
