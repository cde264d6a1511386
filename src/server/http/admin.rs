//! The admin listener: is the process alive, can it serve, what has it counted. Nothing here changes
//! anything.

use std::cell::RefCell;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aldis_logic::job::{ReactorId, ReadJob, ReadReply, ReadRequest, Ticket};
use aldis_wire::{Command, ConnId, UserId};
use crossbeam::channel::{Sender, TrySendError};
use hyper::{Method, StatusCode};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::mailbox::EdgeMail;
use super::serve::{Answer, Asked, HttpLimits, answer, serve, text_answer, wrong_method};
use crate::mail::Mail;
use crate::metrics::{Sources, page};

/// For Prometheus and a load balancer; people are few.
const HTTP_LIMITS: HttpLimits = HttpLimits {
    connections_max: 64,
    head_time_max: Duration::from_secs(10),
    body_time_max: Duration::from_secs(2),
    body_bytes_max: 1024,
    connection_time_max: Duration::from_secs(600),
};
/// How long the store may take to answer a question before the node counts as not ready.
const PROBE_TIME_MAX: Duration = Duration::from_secs(1);
/// Who waits for one answer of the store at the same time: one for each connection.
const WAITING_MAX: usize = HTTP_LIMITS.connections_max;

/// What the admin listener needs.
pub struct Admin {
    /// For the metrics, and whether the node drains.
    pub sources: Sources,
    /// Where its question to the store goes: one at a time.
    pub readers: Sender<ReadRequest>,
    /// Where the answer comes to.
    pub reactor: ReactorId,
    /// Whether this process still has its node's number.
    pub has_claim: Box<dyn Fn() -> bool + Send>,
}

/// Runs until the stop signal's other end is gone.
pub fn run(
    listener: TcpListener,
    admin: Admin,
    mut mail: EdgeMail,
    stop: watch::Receiver<()>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let counters = admin.sources.metrics.http.clone();
    let state = Rc::new(State { admin, probe: RefCell::default() });
    let of_mail = state.clone();
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        tokio::task::spawn_local(async move {
            while let Some(mail) = mail.recv().await {
                if let Mail::Read(reply) = mail {
                    of_mail.handle_reply(&reply);
                }
            }
        });
        let handle = move |asked| respond(state.clone(), asked);
        serve(listener, HTTP_LIMITS, counters, "admin", stop, handle).await
    })
}

struct State {
    admin: Admin,
    probe: RefCell<Probe>,
}

/// A question to the store that is under way, and who waits for its answer.
#[derive(Default)]
struct Probe {
    is_under_way: bool,
    waiting: Vec<oneshot::Sender<bool>>,
}

async fn respond(state: Rc<State>, asked: Asked) -> Answer {
    let is_read = asked.method == Method::GET || asked.method == Method::HEAD;
    match asked.path.as_str() {
        "/healthz" | "/readyz" | "/metrics" if !is_read => wrong_method("GET, HEAD"),
        "/healthz" => text_answer(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => match state.obstacles().await.as_slice() {
            [] => text_answer(StatusCode::OK, "ready\n".to_owned()),
            obstacles => {
                let text = format!("not ready: {}\n", obstacles.join("; "));
                text_answer(StatusCode::SERVICE_UNAVAILABLE, text)
            }
        },
        "/metrics" => match page(&state.admin.sources) {
            Ok(text) => answer(StatusCode::OK, prometheus::TEXT_FORMAT, text.into()),
            Err(error) => {
                log::error!("the metrics cannot be written: {error}");
                text_answer(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
            }
        },
        _ => text_answer(StatusCode::NOT_FOUND, "/healthz, /readyz, /metrics\n".to_owned()),
    }
}

impl State {
    /// Why the node cannot serve.
    async fn obstacles(&self) -> Vec<&'static str> {
        let mut obstacles = Vec::new();
        if self.admin.sources.is_draining.load(Ordering::Relaxed) {
            obstacles.push("draining");
        }
        if !(self.admin.has_claim)() {
            obstacles.push("the node's number is not claimed for certain");
        }
        if let Err(obstacle) = self.ask_store().await {
            obstacles.push(obstacle);
        }
        obstacles
    }

    async fn ask_store(&self) -> Result<(), &'static str> {
        let answer = self.join_probe()?;
        match timeout(PROBE_TIME_MAX, answer).await {
            Ok(Ok(true)) => Ok(()),
            Ok(_) => Err("the store is unavailable"),
            Err(_) => Err("the store does not answer"),
        }
    }

    /// Waits for the question under way, or asks one.
    fn join_probe(&self) -> Result<oneshot::Receiver<bool>, &'static str> {
        let mut probe = self.probe.borrow_mut();
        probe.waiting.retain(|waiting| !waiting.is_closed());
        if probe.waiting.len() >= WAITING_MAX {
            return Err("the store does not answer");
        }
        if !probe.is_under_way {
            let conn = ConnId { index: 0, generation: 0 };
            let (reactor, command) = (self.admin.reactor, Command::UserGet);
            let ticket = Ticket { reactor, conn, request: 0, command, bytes: 0 };
            // Nobody has this number, and finding that out takes the store all that others do.
            let job = ReadJob::Users { users: vec![UserId(1)] };
            match self.admin.readers.try_send(ReadRequest { ticket, job }) {
                Ok(()) => probe.is_under_way = true,
                Err(TrySendError::Full(_)) => return Err("the readers' queue is full"),
                Err(TrySendError::Disconnected(_)) => return Err("the readers have ended"),
            }
        }
        let (sender, receiver) = oneshot::channel();
        probe.waiting.push(sender);
        Ok(receiver)
    }

    fn handle_reply(&self, reply: &ReadReply) {
        let mut probe = self.probe.borrow_mut();
        probe.is_under_way = false;
        for waiting in probe.waiting.drain(..) {
            // Whoever waited may have gone.
            let _ = waiting.send(reply.result.is_ok());
        }
    }
}
