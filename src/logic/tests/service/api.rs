//! Tokens without a connection: the steps of a registration and of a login, and what becomes of each
//! when the store, the pool or the password says no.

use std::sync::Arc;

use aldis_logic::job::{
    AttemptReply, Credentials, Generations, HashJob, HashReply, HashResult, JobError, LoginState,
    ReactorId, ReadJob, ReadReply, ReadResult, Ticket, Verdict, WriteJob, WriteReply, Written,
};
use aldis_logic::{
    AddressLimits, ApiEffect, ApiLogin, ApiRequest, ApiService, Attempt, CreditLimits, Node,
    NodeConfig, Now, Rates, Refusal,
};
use aldis_wire::{Code, pb};
use bytes::Bytes;

use crate::harness::{ADA, ADDRESS, NOW, config, login_body, node, node_from};

const LIMITS: CreditLimits = CreditLimits {
    writes: 4,
    write_bytes: 1 << 20,
    reads: 4,
    shed_writes: 4,
    shed_reads: 4,
    hashes: 3,
    accounts: 3,
};

fn api(node: &Arc<Node>) -> ApiService {
    ApiService::new(node.clone(), ReactorId(7), LIMITS)
}

fn ask_login() -> ApiRequest {
    ApiRequest { register: None, login: login_body(), address: ADDRESS }
}

fn ask_register() -> ApiRequest {
    let login = login_body();
    let register = pb::RegisterReq {
        username: login.username.clone(),
        password: login.password.clone(),
        request_id: Bytes::copy_from_slice(&[9; 16]),
        ..Default::default()
    };
    ApiRequest { register: Some(register), login, address: ADDRESS }
}

fn effects(api: &mut ApiService) -> Vec<ApiEffect> {
    std::iter::from_fn(|| api.poll_effect()).collect()
}

/// The one job that was started.
fn job(api: &mut ApiService) -> (Ticket, ApiEffect) {
    let mut effects = effects(api);
    assert_eq!(effects.len(), 1, "{effects:?}");
    let effect = effects.remove(0);
    let ticket = match &effect {
        ApiEffect::Write(request) => request.ticket,
        ApiEffect::Read(request) => request.ticket,
        ApiEffect::Hash(request) => request.ticket,
        ApiEffect::Attempt(request) => request.ticket,
        ApiEffect::Answer(..) => panic!("{effect:?} is no job"),
    };
    assert_eq!(ticket.reactor, ReactorId(7), "replies come to the api's own mailbox");
    (ticket, effect)
}

/// The one answer that was given.
fn answer(api: &mut ApiService) -> (u32, Result<ApiLogin, Refusal>) {
    match effects(api).as_slice() {
        [ApiEffect::Answer(number, result)] => (*number, result.clone()),
        other => panic!("{other:?}"),
    }
}

fn read(api: &mut ApiService, ticket: Ticket, result: Result<ReadResult, JobError>) {
    api.handle_read_reply(NOW, ReadReply { ticket, result });
}

fn write(api: &mut ApiService, ticket: Ticket, fence: u32, result: Result<Written, JobError>) {
    api.handle_write_reply(NOW, WriteReply { ticket, fence, result, failed_send: None });
}

fn hash(api: &mut ApiService, ticket: Ticket, result: HashResult) {
    api.handle_hash_reply(NOW, HashReply { ticket, result });
}

/// From the question for credentials to the answer.
fn finish_login(api: &mut ApiService, generations: Generations) -> ApiLogin {
    let (ticket, effect) = job(api);
    assert!(matches!(effect, ApiEffect::Read(r) if matches!(r.job, ReadJob::Credentials { .. })));
    let credentials = Credentials { user: ADA, password_phc: "phc".into() };
    read(api, ticket, Ok(ReadResult::Credentials(Some(credentials))));
    let (ticket, effect) = job(api);
    assert!(matches!(effect, ApiEffect::Hash(r) if matches!(r.job, HashJob::Verify { .. })));
    hash(api, ticket, HashResult::Verified(true));
    let (ticket, effect) = job(api);
    assert!(matches!(effect, ApiEffect::Read(r) if matches!(r.job, ReadJob::LoginState { .. })));
    let state = LoginState { generations, ..LoginState::default() };
    read(api, ticket, Ok(ReadResult::LoginState(state)));
    let login = answer(api).1.expect("a token");
    assert!(api.is_idle());
    login
}

#[test]
fn a_login_gives_a_token_of_the_device_as_it_is_and_opens_no_session() {
    let node = node();
    let mut api = api(&node);
    let generations = Generations { user: 2, device: 5 };
    api.handle_request(NOW, ask_login()).unwrap();
    let login = finish_login(&mut api, generations);
    assert_eq!((login.user, node.table.session_count()), (ADA, 0));
    let claims = node.keyring.verify(&login.token, NOW.unix_ms).unwrap();
    assert_eq!((claims.user, claims.device_id.as_str()), (ADA, "d1"));
    assert_eq!(claims.generations, generations);
    assert_eq!(login.token_expires_ms, NOW.unix_ms + 3_600_000);
}

#[test]
fn a_registration_makes_the_user_and_then_verifies_like_any_login() {
    let node = node();
    let mut api = api(&node);
    api.handle_request(NOW, ask_register()).unwrap();
    let (ticket, effect) = job(&mut api);
    assert!(matches!(effect, ApiEffect::Hash(r) if matches!(r.job, HashJob::Hash { .. })));
    hash(&mut api, ticket, HashResult::Hashed("phc".into()));
    let (ticket, effect) = job(&mut api);
    let ApiEffect::Write(request) = effect else { panic!("{effect:?}") };
    assert!(matches!(request.job, WriteJob::Register(user) if user.password_phc == "phc"));
    write(&mut api, ticket, 0, Ok(Written::Registered(ADA)));
    assert_eq!(finish_login(&mut api, Generations::default()).user, ADA);
}

#[test]
fn a_repeat_of_a_registration_with_another_password_gives_no_token() {
    let node = node();
    let mut api = api(&node);
    api.handle_request(NOW, ask_register()).unwrap();
    let (ticket, _) = job(&mut api);
    hash(&mut api, ticket, HashResult::Hashed("another".into()));
    let (ticket, _) = job(&mut api);
    write(&mut api, ticket, 0, Ok(Written::Registered(ADA)));
    let (ticket, _) = job(&mut api);
    let credentials = Credentials { user: ADA, password_phc: "phc".into() };
    read(&mut api, ticket, Ok(ReadResult::Credentials(Some(credentials))));
    let (ticket, _) = job(&mut api);
    hash(&mut api, ticket, HashResult::Verified(false));
    assert_eq!(answer(&mut api).1.unwrap_err().code, Code::BadCredentials);
    assert!(api.is_idle());
}

#[test]
fn an_unknown_user_takes_the_steps_of_a_wrong_password_and_gets_its_answer() {
    let node = node();
    let mut api = api(&node);
    let known = Credentials { user: ADA, password_phc: "phc".into() };
    let mut answers = Vec::new();
    for found in [Some(known), None] {
        api.handle_request(NOW, ask_login()).unwrap();
        let (ticket, _) = job(&mut api);
        read(&mut api, ticket, Ok(ReadResult::Credentials(found)));
        let (ticket, effect) = job(&mut api);
        assert!(matches!(effect, ApiEffect::Hash(_)), "both are hashed");
        hash(&mut api, ticket, HashResult::Verified(false));
        answers.push(answer(&mut api).1);
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].is_err());
}

#[test]
fn no_more_is_under_way_than_the_limits_allow() {
    let node = node();
    let mut api = api(&node);
    let numbers: Vec<_> = (0..3).map(|_| api.handle_request(NOW, ask_login()).unwrap()).collect();
    let full = api.handle_request(NOW, ask_login()).unwrap_err();
    assert_eq!((full.code, full.retry_after_ms > 0), (Code::Busy, true));
    let jobs = effects(&mut api);
    assert_eq!(jobs.len(), numbers.len());
    let [ApiEffect::Read(first), ..] = &jobs[..] else { panic!("{jobs:?}") };
    read(&mut api, first.ticket, Err(JobError::Unavailable));
    let (number, result) = answer(&mut api);
    assert_eq!((number, result.unwrap_err().code), (numbers[0], Code::Unavailable));
    assert!(api.handle_request(NOW, ask_login()).is_ok(), "there is room again");
}

#[test]
fn a_failed_write_is_told_and_the_next_one_knows_of_it() {
    let node = node();
    let mut api = api(&node);
    let until_write = |api: &mut ApiService| {
        api.handle_request(NOW, ask_register()).unwrap();
        let (ticket, _) = job(api);
        hash(api, ticket, HashResult::Hashed("phc".into()));
        let (ticket, effect) = job(api);
        let ApiEffect::Write(request) = effect else { panic!("{effect:?}") };
        (ticket, request.fence)
    };
    let (ticket, fence) = until_write(&mut api);
    assert_eq!(fence, 0);
    write(&mut api, ticket, 3, Err(JobError::Unavailable));
    assert_eq!(answer(&mut api).1.unwrap_err().code, Code::Unavailable);
    assert!(node.outages.is_failing());
    assert_eq!(until_write(&mut api).1, 3, "or the writer would take it for one of before");
}

#[test]
fn guesses_are_slowed_down_by_the_throttle_of_the_node() {
    let node = node();
    let mut api = api(&node);
    let outcome = (0..20).find_map(|_| match api.handle_request(NOW, ask_login()) {
        Ok(_) => {
            let (ticket, _) = job(&mut api);
            read(&mut api, ticket, Ok(ReadResult::Credentials(None)));
            let (ticket, _) = job(&mut api);
            hash(&mut api, ticket, HashResult::Verified(false));
            answer(&mut api).1.unwrap_err();
            None
        }
        Err(refusal) => Some(refusal),
    });
    let refusal = outcome.expect("it is slowed down");
    assert_eq!((refusal.code, refusal.retry_after_ms > 0), (Code::RateLimited, true));
    let throttled = node.throttle.lock().begin(NOW, &Attempt::password("ada", ADDRESS));
    assert!(throttled.is_err(), "LOGIN over TCP waits as well");
    let later = Now { mono_ms: NOW.mono_ms + u64::from(refusal.retry_after_ms), ..NOW };
    assert!(api.handle_request(later, ask_login()).is_ok());
}

#[test]
fn one_address_has_its_share_of_the_password_pool_and_no_more() {
    let addresses = AddressLimits { password_checks: 1, ..AddressLimits::default() };
    let rates = Rates { addresses, on_loopback: true, ..Rates::default() };
    let node = node_from(NodeConfig { rates, ..config() });
    let mut api = api(&node);
    api.handle_request(NOW, ask_register()).unwrap();
    let (ticket, _) = job(&mut api);
    let full = api.handle_request(NOW, ask_login()).unwrap_err();
    assert_eq!((full.code, full.retry_after_ms > 0), (Code::Busy, true));
    let elsewhere = ApiRequest { address: "192.0.2.1".parse().unwrap(), ..ask_login() };
    assert!(api.handle_request(NOW, elsewhere).is_ok());
    effects(&mut api);
    hash(&mut api, ticket, HashResult::Failed);
    answer(&mut api).1.unwrap_err();
    assert!(api.handle_request(NOW, ask_login()).is_ok(), "its share is free again");
}

#[test]
fn what_other_nodes_counted_decides_before_a_password_is_looked_at() {
    let node = node_from(NodeConfig { shares_attempts: true, ..config() });
    let mut api = api(&node);
    for verdict in [Verdict::Counted, Verdict::Unknown] {
        api.handle_request(NOW, ask_login()).unwrap();
        let (ticket, effect) = job(&mut api);
        assert!(matches!(effect, ApiEffect::Attempt(_)), "{effect:?}");
        api.handle_attempt_reply(NOW, AttemptReply { ticket, verdict });
        let (ticket, _) = job(&mut api);
        read(&mut api, ticket, Err(JobError::Unavailable));
        answer(&mut api).1.unwrap_err();
    }
    api.handle_request(NOW, ask_register()).unwrap();
    let (ticket, _) = job(&mut api);
    api.handle_attempt_reply(NOW, AttemptReply { ticket, verdict: Verdict::Wait(9_000) });
    let refusal = answer(&mut api).1.unwrap_err();
    assert_eq!((refusal.code, refusal.retry_after_ms), (Code::RateLimited, 9_000));
    assert!(api.is_idle());
}
