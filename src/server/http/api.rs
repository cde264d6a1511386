//! The api listener: tokens and the address of a node, for clients. Between HTTP and the sans-IO
//! `ApiService`, whose jobs go to the same workers as those of the client protocol.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aldis_logic::job::JobError;
use aldis_logic::{ApiEffect, ApiLogin, ApiRequest, ApiService, CreditLimits, Now, Refusal};
use aldis_wire::Code;
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Method, StatusCode};
use prometheus::IntCounterVec;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::bodies::{
    JSON, LoginBody, RegisterBody, error_answer, gateway_answer, login_answer, parse,
    refusal_answer,
};
use super::gateways::Gateways;
use super::mailbox::EdgeMail;
use super::rate::Rate;
use super::serve::{Answer, Asked, HttpLimits, serve, text_answer, wrong_method};
use crate::clock::Clock;
use crate::mail::Mail;
use crate::reactor_handler::{Workers, expect_room};

/// Jobs of the api that may be under way: at 13 ms for a hash what a login may wait for stays below
/// a second, and the share of the workers that the api can take stays small.
pub const LIMITS: CreditLimits = CreditLimits {
    writes: 32,
    write_bytes: 1 << 20,
    reads: 64,
    shed_writes: 32,
    shed_reads: 64,
    hashes: 48,
    accounts: 48,
};
/// For clients, each of which comes once in a long while.
const HTTP_LIMITS: HttpLimits = HttpLimits {
    connections_max: 1_024,
    head_time_max: Duration::from_secs(10),
    body_time_max: Duration::from_secs(10),
    body_bytes_max: 8 << 10,
    connection_time_max: Duration::from_secs(60),
};
/// How long an answer may take: well over what the store's own limits allow for.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);
/// Written by a proxy: whom it speaks for.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Settings of the listener.
#[derive(Clone, Copy, Debug)]
pub struct ApiOptions {
    /// Requests of one address per second in the long run; 0 is no limit.
    pub requests_per_second: u32,
    /// A proxy says whom it speaks for; without one, anybody could say anything.
    pub is_behind_proxy: bool,
}

/// What the api listener needs.
pub struct Api {
    /// Takes the steps.
    pub service: ApiService,
    /// Where its jobs go.
    pub workers: Workers,
    /// Where clients are sent.
    pub gateways: Arc<Gateways>,
    /// Whether the node is going away.
    pub is_draining: Arc<AtomicBool>,
    /// Counts answers.
    pub counters: IntCounterVec,
    /// See there.
    pub options: ApiOptions,
}

/// Runs until the stop signal's other end is gone.
pub fn run(
    listener: TcpListener,
    api: Api,
    mut mail: EdgeMail,
    stop: watch::Receiver<()>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let counters = api.counters.clone();
    let state = Rc::new(State {
        service: RefCell::new(api.service),
        workers: api.workers,
        gateways: api.gateways,
        is_draining: api.is_draining,
        rate: RefCell::new(Rate::new(api.options.requests_per_second)),
        waiting: RefCell::default(),
        is_behind_proxy: api.options.is_behind_proxy,
        clock: Clock::new(),
    });
    let of_mail = state.clone();
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        tokio::task::spawn_local(async move {
            while let Some(mail) = mail.recv().await {
                of_mail.handle_mail(mail);
            }
        });
        let handle = move |asked| respond(state.clone(), asked);
        serve(listener, HTTP_LIMITS, counters, "api", stop, handle).await
    })
}

/// Who waits for which request of the service.
type Waiting = HashMap<u32, oneshot::Sender<Result<ApiLogin, Refusal>>>;

struct State {
    service: RefCell<ApiService>,
    workers: Workers,
    gateways: Arc<Gateways>,
    is_draining: Arc<AtomicBool>,
    rate: RefCell<Rate>,
    waiting: RefCell<Waiting>,
    is_behind_proxy: bool,
    clock: Clock,
}

async fn respond(state: Rc<State>, asked: Asked) -> Answer {
    let address = state.address_of(&asked);
    let taken = state.rate.borrow_mut().take(state.now().mono_ms, address);
    if let Err(retry_after_ms) = taken {
        let message = "too many requests from this address";
        return refusal_answer(&Refusal { code: Code::RateLimited, message, retry_after_ms });
    }
    match asked.path.as_str() {
        "/v1/gateway" if asked.method == Method::GET => state.gateway(),
        "/v1/gateway" => wrong_method("GET"),
        "/v1/login" | "/v1/register" if asked.method != Method::POST => wrong_method("POST"),
        "/v1/login" | "/v1/register" if !is_json(&asked.headers) => {
            let message = "the body's content type is application/json";
            let code = Code::Unsupported.name();
            error_answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, code, message, 0)
        }
        "/v1/login" => match parse::<LoginBody>(&asked.body) {
            Ok(body) => state.log_in(None, body.into(), address).await,
            Err(error) => error.answer(),
        },
        "/v1/register" => match parse::<RegisterBody>(&asked.body) {
            Ok(body) => {
                let (register, login) = body.split();
                state.log_in(Some(register), login, address).await
            }
            Err(error) => error.answer(),
        },
        _ => {
            let text = "/v1/gateway, /v1/login, /v1/register\n".to_owned();
            text_answer(StatusCode::NOT_FOUND, text)
        }
    }
}

/// A form of a web page cannot have this content type, so no page can make its visitors send one.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(JSON))
}

impl State {
    fn gateway(&self) -> Answer {
        match self.choose() {
            Some(gateway) => gateway_answer(&gateway),
            None => {
                let message = "no node takes new clients";
                refusal_answer(&Refusal { code: Code::Busy, message, retry_after_ms: 1_000 })
            }
        }
    }

    fn choose(&self) -> Option<String> {
        let is_open = !self.is_draining.load(Ordering::Relaxed);
        // Without random numbers the choice is poor, and still right.
        self.gateways.choose(is_open, getrandom::u64().unwrap_or_default())
    }

    async fn log_in(
        &self,
        register: Option<aldis_wire::pb::RegisterReq>,
        login: aldis_wire::pb::LoginReq,
        address: IpAddr,
    ) -> Answer {
        let request = ApiRequest { register, login, address };
        let begun = self.service.borrow_mut().handle_request(self.now(), request);
        let number = match begun {
            Ok(number) => number,
            Err(refusal) => return refusal_answer(&refusal),
        };
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(number, sender);
        self.drain_effects();
        let answered = timeout(ANSWER_TIME_MAX, receiver).await;
        self.waiting.borrow_mut().remove(&number);
        match answered {
            Ok(Ok(Ok(login))) => login_answer(&login, self.choose().as_deref()),
            Ok(Ok(Err(refusal))) => refusal_answer(&refusal),
            Ok(Err(_)) | Err(_) => refusal_answer(&Refusal {
                code: JobError::Unavailable.code(),
                message: JobError::Unavailable.message(),
                retry_after_ms: 1_000,
            }),
        }
    }

    fn handle_mail(&self, mail: Mail) {
        let now = self.now();
        match mail {
            Mail::Written(replies) => {
                for reply in replies {
                    self.service.borrow_mut().handle_write_reply(now, reply);
                    self.drain_effects();
                }
            }
            Mail::Read(reply) => self.service.borrow_mut().handle_read_reply(now, reply),
            Mail::Hashed(reply) => self.service.borrow_mut().handle_hash_reply(now, reply),
            Mail::Attempted(reply) => self.service.borrow_mut().handle_attempt_reply(now, reply),
            // The rest is for reactors.
            _ => {}
        }
        self.drain_effects();
    }

    fn drain_effects(&self) {
        loop {
            let effect = self.service.borrow_mut().poll_effect();
            match effect {
                None => return,
                Some(ApiEffect::Write(request)) => {
                    expect_room(self.workers.writer.try_send(request));
                }
                Some(ApiEffect::Read(request)) => {
                    expect_room(self.workers.readers.try_send(request));
                }
                Some(ApiEffect::Hash(request)) => {
                    expect_room(self.workers.hashers.try_send(request));
                }
                Some(ApiEffect::Attempt(request)) => {
                    if let Some(reply) = self.workers.attempt(request) {
                        self.service.borrow_mut().handle_attempt_reply(self.now(), reply);
                    }
                }
                Some(ApiEffect::Answer(number, result)) => {
                    if let Some(waiting) = self.waiting.borrow_mut().remove(&number) {
                        // Whoever waited may have gone.
                        let _ = waiting.send(result);
                    }
                }
            }
        }
    }

    /// Whom limits are counted for.
    fn address_of(&self, asked: &Asked) -> IpAddr {
        let forwarded = || {
            // Only the last entry was written by the proxy itself.
            let value = asked.headers.get_all(FORWARDED_FOR).iter().next_back()?;
            value.to_str().ok()?.rsplit(',').next()?.trim().parse::<IpAddr>().ok()
        };
        let forwarded = if self.is_behind_proxy { forwarded() } else { None };
        forwarded.unwrap_or(asked.peer.ip())
    }

    fn now(&self) -> Now {
        self.clock.now()
    }
}
