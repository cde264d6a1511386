//! Connects and logs in many sessions, a bounded number at a time. Knows nothing of load.

use std::net::SocketAddr;
use std::time::Duration;

use aldis_client::ClientError;
use aldis_wire::{Command, Frame, pb};
use anyhow::{Context, Result, anyhow, ensure};

use super::codec::{SEQ_SET_UP, decode, request_frame};
use super::net::{ConnIndex, Handler, Net, Outbox};
use super::progress::Progress;
use super::tokens::User;

/// Logins under way at a time: well below a listener's backlog, enough to fill commit batches.
const LOGINS_IN_FLIGHT_MAX: usize = 256;
/// No login finished for so long: the server does not answer.
const STALLED_AFTER: Duration = Duration::from_secs(15);

/// A session that is logged in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session {
    /// Whose.
    pub user_id: u64,
    /// Of the mailbox at login.
    pub head: u64,
}

struct Logins<'a> {
    users: &'a [User],
    sessions: Vec<Option<Session>>,
    in_flight: usize,
    done: usize,
    servers: &'a [SocketAddr],
    failed: Option<anyhow::Error>,
}

impl Handler for Logins<'_> {
    fn handle_frame(&mut self, _: &mut Outbox, conn: ConnIndex, frame: Frame<'_>, _now_ns: u64) {
        if frame.header.cmd != Command::LoginResp.id() {
            return self.handle_early(conn, frame);
        }
        match decode::<pb::LoginResp>(frame.header, frame.body) {
            Ok(response) => {
                let heads = response.heads.iter();
                let head = heads.filter(|head| head.stream == 0).map(|head| head.head).max();
                let user_id = self.users[conn].id;
                self.sessions[conn] = Some(Session { user_id, head: head.unwrap_or(0) });
                self.in_flight -= 1;
                self.done += 1;
            }
            Err(error) => {
                self.failed = Some(error.context(format!("LOGIN of user {}", self.id(conn))))
            }
        }
    }

    fn handle_closed(&mut self, _: &mut Outbox, conn: ConnIndex, why: &str) {
        let user = self.id(conn);
        self.failed = Some(if self.sessions[conn].is_some() {
            anyhow!("the session of user {user} ended while others logged in: {why}")
        } else {
            let reason = format!("before the LOGIN of user {user}: {why}");
            ClientError::Unreachable { server: self.server_of(conn), reason }.into()
        });
    }
}

impl Logins<'_> {
    fn id(&self, conn: ConnIndex) -> u64 {
        self.users[conn].id
    }

    fn server_of(&self, conn: ConnIndex) -> String {
        self.servers[conn % self.servers.len()].to_string()
    }

    /// What may arrive while others still log in.
    fn handle_early(&mut self, conn: ConnIndex, frame: Frame<'_>) {
        let harmless = [Command::MsgPushNotify.id(), Command::HeartbeatResp.id()];
        if !harmless.contains(&frame.header.cmd) {
            let user = self.id(conn);
            let name = Command::from_server(frame.header.cmd);
            self.failed = Some(anyhow!("unexpected {name:?} for user {user} while logging in"));
        }
    }
}

/// LOGIN with the token of this user.
pub fn login_frame(user: &User) -> Vec<u8> {
    let request = pb::LoginReq {
        token: user.token.clone(),
        device_id: user.device_id.clone(),
        device_class: user.device_class,
        device_name: "aldis bench".to_owned(),
        ..Default::default()
    };
    request_frame(Command::Login, SEQ_SET_UP, &request)
}

/// Opens a connection for each user and logs it in; connection i of `net` belongs to user i, and
/// goes to the servers in turn.
/// `first_number` is its first one's number among all connections of this process.
pub fn log_in(
    net: &mut Net,
    servers: &[SocketAddr],
    users: &[User],
    first_number: usize,
    progress: &Progress,
) -> Result<Vec<Session>> {
    let mut waiting = users.iter().enumerate();
    let sessions = vec![None; users.len()];
    let mut logins = Logins { users, sessions, in_flight: 0, done: 0, servers, failed: None };
    let mut last_done = (0, net.now_ns());
    while logins.done < users.len() {
        while logins.in_flight < LOGINS_IN_FLIGHT_MAX {
            let Some((index, user)) = waiting.next() else { break };
            let server = servers[index % servers.len()];
            let conn = net.connect(server, first_number + index)?;
            net.outbox().send(conn, &login_frame(user));
            logins.in_flight += 1;
        }
        let now_ns = net.now_ns();
        if logins.done > last_done.0 {
            progress.add_sessions(logins.done - last_done.0);
            last_done = (logins.done, now_ns);
        }
        let stalled_ns = last_done.1 + STALLED_AFTER.as_nanos() as u64;
        ensure!(
            now_ns < stalled_ns,
            "no LOGIN was answered for {} s; {} of {} are done",
            STALLED_AFTER.as_secs(),
            logins.done,
            users.len()
        );
        net.turn(&mut logins, stalled_ns)?;
        if let Some(error) = logins.failed.take() {
            return Err(error);
        }
    }
    progress.add_sessions(logins.done - last_done.0);
    let sessions: Option<Vec<Session>> = logins.sessions.into_iter().collect();
    sessions.context("every session is logged in")
}
