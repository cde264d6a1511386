//! First stage of a batch: everybody has an account and a live session. Sends no messages.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use aldis_client::ClientError;
use aldis_client::core::{Event, Request, RequestError};
use aldis_wire::{Code, pb};
use bytes::Bytes;

use super::compare::Reading;
use super::pool::ConnNo;
use super::stage::{LIVE_CLASS, LOGINS_MAX, Replay, TICK, progress, refused, retry_pause};

/// Live connections of a batch, both ways.
#[derive(Debug, Default)]
pub struct Live {
    /// By person.
    pub conns: HashMap<usize, ConnNo>,
    /// By connection.
    pub people: HashMap<ConnNo, usize>,
}

/// Tries of a REGISTER; each comes after the pause that the server asked for.
const REGISTER_TRIES_MAX: u32 = 100;

/// Connects these people and registers those that need it.
pub fn arrive(replay: &mut Replay<'_>, people: &[usize]) -> anyhow::Result<Live> {
    let mut live = Live::default();
    let mut to_come: VecDeque<usize> = people.iter().copied().collect();
    let mut coming = HashMap::new();
    let mut later: Vec<(Instant, usize)> = Vec::new();
    let bar = progress(people.len(), "people");
    replay.touch();
    loop {
        while coming.len() < LOGINS_MAX
            && let Some(person) = to_come.pop_front()
        {
            let no = replay.open(person, LIVE_CLASS)?;
            live.conns.insert(person, no);
            live.people.insert(no, person);
            coming.insert(person, 0_u32);
            begin(replay, person, no)?;
        }
        let due = later.extract_if(.., |(at, _)| *at <= Instant::now());
        for (_, person) in due.collect::<Vec<_>>() {
            if let Some(no) = live.conns.get(&person) {
                begin(replay, person, *no)?;
            }
        }
        if coming.is_empty() {
            bar.finish_and_clear();
            return Ok(live);
        }
        if replay.is_stuck() {
            return Err(ClientError::Timeout.into());
        }
        let Some((no, event)) = replay.pool.next_event(TICK)? else { continue };
        let Some(person) = live.people.get(&no).copied() else { continue };
        match event {
            Event::Response { result: Ok(_), .. } => {
                replay.touch();
                log_in(replay, person, no);
            }
            Event::Response { result: Err(error), .. } => {
                let tries = coming.entry(person).or_default();
                *tries += 1;
                match retry_at(&error, *tries) {
                    Retry::At(at) => later.push((at, person)),
                    Retry::LogIn => log_in(replay, person, no),
                    Retry::Never(code, message) => return Err(refused(code, message).into()),
                }
            }
            Event::Online(resp) => {
                replay.touch();
                handle_online(replay, person, &resp);
                if coming.remove(&person).is_some() {
                    bar.inc(1);
                }
            }
            Event::LoginFailed { code, message } => return Err(refused(code, message).into()),
            Event::Kicked { reason, .. } => return Err(ClientError::Kicked { reason }.into()),
            Event::Offline { reason, .. } => replay.check_offline(no, reason)?,
            _ => {}
        }
    }
}

/// Notes who a person is and where the mailbox stood before this replay.
fn handle_online(replay: &mut Replay<'_>, person: usize, resp: &pb::LoginResp) {
    if let Some(id) = replay.directory.user_ids.get_mut(person) {
        *id = resp.user_id;
    }
    let Some(person) = replay.people.get_mut(person) else { return };
    person.is_registered = true;
    if person.base_seq.is_none() {
        let mailbox = resp.heads.iter().find(|head| head.stream == 0);
        let head = mailbox.map_or(0, |mailbox| mailbox.head);
        person.base_seq = Some(head);
        person.live = Reading::from_seq(head);
    }
}

/// Registers, or logs in who is registered.
fn begin(replay: &mut Replay<'_>, person: usize, no: ConnNo) -> anyhow::Result<()> {
    let Some(who) = replay.people.get(person).cloned() else { return Ok(()) };
    if who.is_registered {
        log_in(replay, person, no);
        return Ok(());
    }
    let password = replay.password.clone();
    let Some((core, now)) = replay.pool.core(no) else { return Ok(()) };
    core.connect(now);
    let request_id = Bytes::copy_from_slice(&core.new_request_id(now).0);
    let (username, nickname) = (who.username, who.nickname);
    core.request(Request::Register(pb::RegisterReq { username, password, nickname, request_id }))?;
    Ok(())
}

fn log_in(replay: &mut Replay<'_>, person: usize, no: ConnNo) {
    let credentials = replay.credentials(person);
    if let Some((core, now)) = replay.pool.core(no) {
        core.login(now, credentials);
    }
}

enum Retry {
    At(Instant),
    LogIn,
    Never(Code, String),
}

/// What follows a REGISTER that did not make an account.
fn retry_at(error: &RequestError, tries: u32) -> Retry {
    match error {
        // The account is there already: from an earlier replay with this tag, or from a try whose
        // answer was lost.
        RequestError::Refused { code: Code::Conflict, .. } => Retry::LogIn,
        _ if error.is_retryable() && tries < REGISTER_TRIES_MAX => {
            Retry::At(Instant::now() + retry_pause(error))
        }
        RequestError::Refused { code, message, .. } => Retry::Never(*code, message.clone()),
        RequestError::Lost => Retry::Never(Code::Unavailable, "no connection stays".to_owned()),
    }
}
