//! A recorded client that knows all nodes and never gives up: after a cut it goes to the next node.
//! Knows no traffic.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aldis_client::core::Credentials;
use aldis_client::recorder::HistoryFile;
use aldis_client::{Client, ClientConfig, ClientError, Config, Event, SavedState, Start};
use aldis_wire::Code;
use aldis_wire::pb::KickReason;

use super::HammerOptions;
use crate::SeededUser;

/// Nothing takes longer than this on the slowest machine, faults of tests included.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// Time for a call, so that its caller can look whether it is over.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Pause between two tries to come back: a client waits up to 30 s, which would only make the
/// tests slow.
const RETURN_PAUSE: Duration = Duration::from_millis(300);

/// See the file's head.
pub(super) struct Link {
    client: Client,
    name: String,
    tried_at: Instant,
    has_late_logins: bool,
}

/// What came of a call.
pub(super) enum Called<T> {
    /// It was answered.
    Done(T),
    /// It was refused, and would be again.
    Refused(Code),
    /// Unknown, or refused for now.
    Later,
}

/// Where and as what a link opens.
#[derive(Clone, Copy)]
pub(super) struct LinkOptions<'a> {
    /// Of the hammer.
    pub hammer: &'a HammerOptions,
    /// The node to begin with; any number, wrapped.
    pub node: usize,
    /// Who.
    pub user: &'a SeededUser,
    /// Unique in the run.
    pub name: &'a str,
    /// Sends on the wire at once.
    pub window: usize,
}

impl Link {
    /// A session of this user, which may take its time during an outage.
    pub fn open(options: LinkOptions<'_>, file: &HistoryFile) -> Self {
        let LinkOptions { hammer, node, user, name, window } = options;
        let addresses = &hammer.addresses;
        let core = Config {
            window,
            // What it says is asked for by the test, page by page.
            start: Start::Head,
            ..Config::new(&user.device_id, user.class)
        };
        let mut servers: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        servers.rotate_left(node % addresses.len());
        servers.extend(hammer.gateways.iter().cloned());
        let server = servers.remove(0);
        let mut config = ClientConfig::new(server, core);
        (config.others, config.call_timeout) = (servers, CALL_MAX);
        let saved =
            SavedState { user_id: user.id, token: user.token.clone(), ..SavedState::default() };
        let client = Client::with_recorder(config, saved, Some((file, name))).expect("a client");
        let (tried_at, has_late_logins) = (Instant::now(), hammer.has_late_logins);
        let mut link = Self { client, name: name.to_owned(), tried_at, has_late_logins };
        link.come_back();
        link.wait_online();
        link
    }

    fn wait_online(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.client.core().is_online() {
            assert!(Instant::now() < deadline, "{}: no session", self.name);
            self.turn(Duration::from_millis(100));
        }
    }

    fn come_back(&mut self) {
        self.tried_at = Instant::now();
        let (core, now) = self.client.core_mut();
        core.login(now, Credentials::SavedToken);
    }

    /// The client, to be given something to do.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Sends that have no answer.
    pub fn unanswered(&self) -> usize {
        self.client.core().unanswered_send_count()
    }

    /// Waits for something that concerns sends, at most so long.
    pub fn turn(&mut self, wait_max: Duration) -> Option<Event> {
        let deadline = Instant::now() + wait_max;
        if !self.client.core().is_online() && self.tried_at.elapsed() > RETURN_PAUSE {
            self.come_back();
        }
        loop {
            match self.client.wait_event(deadline).expect("a client that goes on") {
                Some(event @ (Event::SendAcked { .. } | Event::SendFailed { .. })) => {
                    return Some(event);
                }
                Some(Event::Kicked { reason, .. }) => self.handle_kick(reason),
                Some(Event::LoginFailed { code, message }) => {
                    panic!("{}: no login, {code} {message}", self.name)
                }
                Some(_) => {}
                None => return None,
            }
        }
    }

    /// A call that may fail while there is an outage.
    pub fn call<T>(
        &mut self,
        call: impl FnOnce(&mut Client) -> Result<T, ClientError>,
    ) -> Called<T> {
        if !self.client.core().is_online() && self.tried_at.elapsed() > RETURN_PAUSE {
            self.come_back();
        }
        let result = call(&mut self.client);
        if let Err(ClientError::Kicked { reason }) = result {
            self.handle_kick(reason);
            return Called::Later;
        }
        assert!(!self.client.core().is_stopped(), "{}: the session was ended", self.name);
        match result {
            Ok(done) => Called::Done(done),
            Err(ClientError::Refused { code, .. })
                if code.is_definite() && !code.is_retryable() =>
            {
                Called::Refused(code)
            }
            Err(ClientError::Refused { .. } | ClientError::Timeout) => Called::Later,
            Err(error) => panic!("{}: {error}", self.name),
        }
    }

    fn handle_kick(&mut self, reason: KickReason) {
        let is_by_itself = self.has_late_logins && reason == KickReason::Replaced;
        assert!(is_by_itself, "{}: kicked, {reason:?}", self.name);
        self.come_back();
    }

    /// Leaves this node as if the network had cut the connection, for the next one.
    pub fn go_to_next_node(&mut self) {
        self.client.cut();
        self.come_back();
    }
}
