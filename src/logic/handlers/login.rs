//! LOGIN: credentials, then the next epoch from the store, then the table and the directory, and
//! only then the head: nothing that is committed in between is missed.

use aldis_wire::limits::{DEVICE_ID_BYTES_MAX, PASSWORD_BYTES_MAX, TOKEN_BYTES_MAX};
use aldis_wire::name::normalize_username;
use aldis_wire::{Code, DeviceClass, Epoch, Seq, UserId, limits, pb};

use super::{account, bad_request, check_display_name, head_check, presence, too_large};
use crate::cluster::KickOrder;
use crate::effect::{Effect, PeerMail};
use crate::job::{
    Credentials, DirectoryJob, DirectoryRequest, HashJob, LoginState, OpenSession, ReadJob,
    Registration, SessionOpened, SessionRecord, Ticket, Verdict, WriteJob,
};
use crate::node::{LinkUse, Node, NodeConfig};
use crate::now::Now;
use crate::request::{Refusal, Request};
use crate::service::Service;
use crate::session::{LoggingIn, OnlineSession, Replaced, State};
use crate::table::{Entered, Online};
use crate::throttle::Attempt;
use crate::token::{Claims, TokenError};

/// Why a login is refused. One text for all, so that nobody learns which accounts exist.
pub(crate) const BAD_CREDENTIALS: Refusal = Refusal {
    code: Code::BadCredentials,
    message: "wrong username, password or token",
    retry_after_ms: 0,
};

pub(super) fn handle(service: &mut Service, request: &Request<'_>) -> Result<(), Refusal> {
    let body: pb::LoginReq = request.decode()?;
    if service.session(request.conn).is_some_and(|session| session.online().is_some()) {
        return Err(Refusal::new(Code::Forbidden, "already logged in"));
    }
    if service.is_draining {
        return Err(Refusal::new(Code::Unavailable, "the node is going away"));
    }
    let class = check_device(&body)?;
    let has_password = !body.username.is_empty() && !body.password.is_empty();
    let has_either = !body.username.is_empty() || !body.password.is_empty();
    if has_password != has_either || has_either != body.token.is_empty() {
        return Err(bad_request("either a token, or a username and a password"));
    }
    if body.token.is_empty() {
        begin_with_password(service, request, body, class)
    } else {
        begin_with_token(service, request, body, class)
    }
}

/// The class of a device that may log in.
pub(crate) fn check_device(body: &pb::LoginReq) -> Result<DeviceClass, Refusal> {
    let id = &body.device_id;
    if id.is_empty() || id.len() > DEVICE_ID_BYTES_MAX || id.chars().any(char::is_control) {
        return Err(bad_request("device_id is empty, too long or not printable"));
    }
    if !body.device_name.is_empty() {
        check_display_name(&body.device_name)?;
    }
    DeviceClass::from_number(body.device_class.into())
        .ok_or_else(|| bad_request("unknown device_class"))
}

fn begin_with_password(
    service: &mut Service,
    request: &Request<'_>,
    body: pb::LoginReq,
    class: DeviceClass,
) -> Result<(), Refusal> {
    if body.password.len() > PASSWORD_BYTES_MAX {
        return Err(too_large("the password is over its limit"));
    }
    let username = normalize_username(&body.username).ok_or(BAD_CREDENTIALS)?;
    if !service.has_hash(request.conn) {
        return Err(account::POOL_FULL);
    }
    let now = service.now;
    let Some(session) = service.session(request.conn) else { return Ok(()) };
    let attempt = Attempt::password(&username, session.address);
    throttle(&service.node, now, &attempt)?;
    let login = LoggingIn {
        request: request.seq,
        asked_ms: service.now.mono_ms,
        user: UserId(0),
        device_id: body.device_id,
        device_name: body.device_name,
        class,
        username: username.clone(),
        password: body.password,
        generations: None,
        opened: None,
        entered: None,
        head: Seq(0),
        replaced: Replaced::Nobody,
    };
    service.begin_account_step(request.conn, State::LoggingIn(Box::new(login)));
    let ticket = request.ticket(service.reactor);
    if !service.start_attempt(ticket, attempt) {
        service.start_read(ticket, ReadJob::Credentials { username });
    }
    Ok(())
}

/// Counts an attempt, or says when the next one may come.
pub(crate) fn throttle(node: &Node, now: Now, attempt: &Attempt) -> Result<(), Refusal> {
    node.throttle.lock().begin(now, attempt).map_err(|wait_ms| too_many(attempt, wait_ms))
}

/// What the attempts on all nodes mean for one that this node has counted.
pub(crate) fn settle(
    node: &Node,
    now: Now,
    attempt: &Attempt,
    verdict: Verdict,
) -> Result<(), Refusal> {
    let Verdict::Wait(wait_ms) = verdict else { return Ok(()) };
    node.throttle.lock().refused(now, attempt, wait_ms);
    Err(too_many(attempt, wait_ms))
}

fn too_many(attempt: &Attempt, retry_after_ms: u32) -> Refusal {
    let message = match attempt {
        Attempt::Password { .. } => "too many attempts",
        Attempt::Registration { .. } => "too many registrations",
    };
    Refusal { retry_after_ms, ..Refusal::new(Code::RateLimited, message) }
}

/// The directory said whether the password may be tried.
pub(super) fn handle_attempted(service: &mut Service, ticket: Ticket, verdict: Verdict) {
    let (node, now) = (service.node.clone(), service.now);
    let Some(address) = service.session(ticket.conn).map(|session| session.address) else { return };
    let Some(login) = logging_in(service, ticket) else { return };
    let username = login.username.clone();
    match settle(&node, now, &Attempt::password(&username, address), verdict) {
        Ok(()) => service.start_read(ticket, ReadJob::Credentials { username }),
        Err(refusal) => account::fail(service, ticket, refusal),
    }
}

fn begin_with_token(
    service: &mut Service,
    request: &Request<'_>,
    body: pb::LoginReq,
    class: DeviceClass,
) -> Result<(), Refusal> {
    if body.token.len() > TOKEN_BYTES_MAX {
        return Err(too_large("the token is over its limit"));
    }
    let claims = match service.node.keyring.verify(&body.token, service.now.unix_ms) {
        Ok(claims) => claims,
        Err(TokenError::Expired) => {
            return Err(Refusal::new(Code::TokenExpired, "the token has expired"));
        }
        Err(TokenError::Invalid) => return Err(BAD_CREDENTIALS),
    };
    if claims.device_id != body.device_id || claims.class != class {
        return Err(BAD_CREDENTIALS);
    }
    let login = LoggingIn {
        request: request.seq,
        asked_ms: service.now.mono_ms,
        user: claims.user,
        device_id: body.device_id,
        device_name: body.device_name,
        class,
        username: String::new(),
        password: String::new(),
        generations: Some(claims.generations),
        opened: None,
        entered: None,
        head: Seq(0),
        replaced: Replaced::Nobody,
    };
    service.begin_account_step(request.conn, State::LoggingIn(Box::new(login)));
    open_session(service, request.ticket(service.reactor));
    Ok(())
}

pub(super) fn handle_credentials(
    service: &mut Service,
    ticket: Ticket,
    found: Option<Credentials>,
) {
    if !service.has_hash(ticket.conn) {
        return account::fail(service, ticket, account::POOL_FULL);
    }
    let Some(login) = logging_in(service, ticket) else { return };
    // An unknown user costs the same time as a wrong password: an empty PHC string never fits.
    let Credentials { user, password_phc } =
        found.unwrap_or(Credentials { user: UserId(0), password_phc: String::new() });
    login.user = user;
    let password = std::mem::take(&mut login.password);
    service.start_hash(ticket, HashJob::Verify { password, password_phc });
}

pub(super) fn handle_verified(service: &mut Service, ticket: Ticket, is_right: bool) {
    if !is_right {
        return account::fail(service, ticket, BAD_CREDENTIALS);
    }
    let Some(session) = service.session(ticket.conn) else { return };
    let address = session.address;
    let Some(login) = logging_in(service, ticket) else { return };
    let username = std::mem::take(&mut login.username);
    service.forgive(ticket.conn, Attempt::password(&username, address));
    open_session(service, ticket);
}

fn open_session(service: &mut Service, ticket: Ticket) {
    let Some(login) = logging_in(service, ticket) else { return };
    let open = OpenSession {
        user: login.user,
        device_id: login.device_id.clone(),
        class: login.class,
        device_name: login.device_name.clone(),
        generations: login.generations,
        asked_ms: login.asked_ms,
    };
    service.start_write(ticket, WriteJob::OpenSession(open));
}

/// The client has closed its side while its LOGIN was under way: it has given up, and may be logged
/// in elsewhere by now. It is answered, but it takes nobody's place.
const GIVEN_UP: Refusal = Refusal {
    code: Code::Unavailable,
    message: "the connection was closed before the login was complete",
    retry_after_ms: 0,
};

fn has_given_up(service: &mut Service, ticket: Ticket) -> bool {
    service.session(ticket.conn).is_some_and(|session| session.is_half_closed)
}

/// The store gave the next epoch: enter the node's table, then the directory.
pub(super) fn handle_opened(service: &mut Service, ticket: Ticket, opened: SessionOpened) {
    let (reactor, node) = (service.reactor, service.node.clone());
    let Some(login) = logging_in(service, ticket) else { return };
    let (user, class, epoch) = (login.user, login.class, opened.epoch);
    let online = Online { reactor, conn: ticket.conn, class, epoch };
    let device_name = login.device_name.clone();
    login.opened = Some(opened);
    if has_given_up(service, ticket) {
        return account::fail(service, ticket, GIVEN_UP);
    }
    match node.table.enter(user, online) {
        Entered::New => {}
        Entered::Replaced(older) => {
            let mail = PeerMail::Kick {
                conn: older.conn,
                user,
                epoch: older.epoch,
                reason: pb::KickReason::Replaced,
                device_name,
            };
            service.emit(Effect::Post { reactor: older.reactor, mail });
        }
        Entered::Fenced => return service.kick(ticket.conn, pb::KickReason::Replaced, device_name),
    }
    let Some(login) = logging_in(service, ticket) else { return };
    login.entered = Some(online);
    let record =
        SessionRecord { user, class, epoch, node: node.config.node, boot: node.config.boot };
    let job = DirectoryJob::Register(record);
    service.emit(Effect::Directory(DirectoryRequest { ticket, job }));
}

/// The directory knows the session: whatever is committed from now on is delivered here.
pub(super) fn handle_registration(service: &mut Service, ticket: Ticket, answer: Registration) {
    let NodeConfig { node: this, link, .. } = service.node.config;
    let Some(login) = logging_in(service, ticket) else { return };
    if answer == Registration::Fenced {
        let device_name = String::new();
        return service.kick(ticket.conn, pb::KickReason::Replaced, device_name);
    }
    login.replaced = match (answer, link) {
        (Registration::Live { replaced: Some(older) }, _) if older.node != this => {
            Replaced::On(older.node)
        }
        (Registration::Unavailable, _) | (_, LinkUse::Broadcast) => Replaced::Unknown,
        _ => Replaced::Nobody,
    };
    let (user, device_id) = (login.user, login.device_id.clone());
    head_check::note_login(service, ticket.conn);
    service.start_read(ticket, ReadJob::LoginState { user, device_id });
}

/// The last step: the session is open.
pub(super) fn handle_state(service: &mut Service, ticket: Ticket, state: LoginState) {
    let link = service.node.config.link;
    if has_given_up(service, ticket) {
        return account::fail(service, ticket, GIVEN_UP);
    }
    let Some(login) = logging_in(service, ticket) else { return };
    let (Some(opened), Some(online)) = (login.opened.clone(), login.entered) else { return };
    let (user, class) = (login.user, login.class);
    let order = kick_order(link, login, opened.epoch);
    let head = login.head.max(state.head);
    let device_id = std::mem::take(&mut login.device_id);
    let generations = opened.generations;
    let claims = Claims { user, device_id: device_id.clone(), class, generations };
    let (token, token_expires_ms) = match service.node.mint(&claims, service.now) {
        Ok(token) => token,
        Err(refusal) => return account::fail(service, ticket, refusal),
    };
    let config = &service.node.config;
    let body = pb::LoginResp {
        user_id: user.0,
        session_id: opened.epoch.0,
        token,
        token_expires_ms,
        heads: heads(head, &state),
        store_epoch: config.store_epoch,
        server_time_ms: service.now.unix_ms,
        heartbeat_interval_ms: config.heartbeat_interval_ms,
        limits: Some(limits_message(config)),
        features: Vec::new(),
        cursor: state.cursor.0,
        username: state.username.clone(),
        nickname: state.nickname.clone(),
    };
    service.respond(ticket, &body);
    service.note_logged_in(ticket.conn);
    let device_id = device_id.into_boxed_str();
    let mut session =
        OnlineSession { user, online, generations, head, hold: None, streams: None, device_id };
    for followed in &state.streams {
        session.streams.get_or_insert_default().raise(followed.group, followed.head);
        service.node.streams.follow(user, followed);
    }
    service.end_account_step(ticket.conn, State::Online(session));
    presence::note(service, user, true);
    if !state.streams.is_empty() {
        // What was committed after these heads were read, and before they were followed.
        head_check::note(service, ticket.conn);
    }
    if let Some(order) = order {
        service.emit(Effect::Kick(order));
    }
}

/// The older session on another node is ended only now: a LOGIN whose client has given up and is
/// gone must not end the session that it has instead.
fn kick_order(link: LinkUse, login: &LoggingIn, epoch: Epoch) -> Option<KickOrder> {
    let node = match login.replaced {
        _ if link == LinkUse::Off => return None,
        Replaced::Nobody => return None,
        Replaced::On(node) => Some(node),
        Replaced::Unknown => None,
    };
    Some(KickOrder {
        node,
        user: login.user,
        class: login.class,
        epoch,
        reason: pb::KickReason::Replaced,
        device_name: login.device_name.clone(),
    })
}

/// The mailbox's head, and those of the streams.
fn heads(head: Seq, state: &LoginState) -> Vec<pb::StreamHead> {
    let mailbox = pb::StreamHead { stream: 0, head: head.0, cursor: state.cursor.0 };
    let streams = state.streams.iter().map(|followed| pb::StreamHead {
        stream: followed.group.0,
        head: followed.head.0,
        cursor: followed.cursor.max(followed.start).0,
    });
    std::iter::once(mailbox).chain(streams).collect()
}

fn limits_message(config: &NodeConfig) -> pb::Limits {
    pb::Limits {
        body_bytes_max: limits::BODY_BYTES_MAX as u32,
        text_bytes_max: limits::TEXT_BYTES_MAX as u32,
        pipelined_requests_max: config.rates.in_flight as u32,
        sync_entries_max: limits::SYNC_ENTRIES_MAX as u32,
        group_members_max: config.group_limits.members_max as u32,
    }
}

fn logging_in(service: &mut Service, ticket: Ticket) -> Option<&mut LoggingIn> {
    match &mut service.session(ticket.conn)?.state {
        State::LoggingIn(login) if login.request == ticket.request => Some(login),
        _ => None,
    }
}
