//! The client without I/O: handed bytes, the time and the application's wishes; hands out bytes,
//! deadlines and events. No socket, no clock, no entropy: the same inputs give the same outputs.
//!
//! The driver's loop: after any `handle_*` or application call, do what [`Core::poll_link`] says,
//! write what [`Core::poll_transmit`] gives, take every [`Core::poll_event`], and call
//! [`Core::handle_timeout`] at [`Core::poll_timeout`]. `now` is milliseconds of any monotonic clock.

mod answer;
mod config;
mod deframe;
mod event;
pub mod ids;
mod input;
pub mod limits;
mod link;
mod outbox;
mod output;
mod pending;
mod request;
mod session;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use aldis_wire::limits::{CONTENT_BYTES_MAX, EXTRA_BYTES_MAX};
use aldis_wire::{ClientMsgId, RequestId, UserId, pb};
use bytes::Bytes;

pub use config::{Config, Credentials, SavedState, Start};
pub use event::{Event, LinkAction, Observation, OfflineReason, Told};
pub use outbox::{Outgoing, Target};
pub use request::{Ask, Request, RequestError, RequestNo, Response};
pub use stream::{Applied, PageOutcome, Stream, Via};

use deframe::Deframer;
use ids::{IdSource, Rng};
use limits::{OUT_BYTES_SOFT_MAX, REQUESTS_MAX};
use link::{Link, Phase};
use outbox::Outbox;
use pending::PendingTable;
use session::{Mark, Session};

/// The client. See the file's first lines.
#[derive(Debug)]
pub struct Core {
    config: Config,
    rng: Rng,
    ids: IdSource,
    /// Unix time minus `now`, ms.
    unix_offset_ms: i64,

    link: Link,
    credentials: Option<Credentials>,
    saved: SavedState,
    session: Session,

    deframer: Deframer,
    out: Vec<u8>,
    out_written: usize,
    last_received_at: u64,

    pending: PendingTable,
    outbox: Outbox,
    /// Requests of the application that are not on the wire yet.
    queued: VecDeque<(RequestNo, Request)>,
    asked_on_wire_count: usize,
    /// A MSG_SYNC or HISTORY is on the wire; the server works on one at a time.
    read_on_wire: bool,
    mark_on_wire: bool,
    next_request_no: u64,

    streams: BTreeMap<u64, StreamState>,
    events: VecDeque<Event>,
    observations: VecDeque<Observation>,
}

/// A stream and how far its entries were marked as delivered.
#[derive(Debug)]
struct StreamState {
    rule: Stream,
    mark: Mark,
    /// MSG_SYNC was answered RESYNC: the next head from the server is the place to start.
    wants_reset: bool,
}

/// Why the core did not take a message or a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Its queue is full; try again after the next acknowledgement or response.
    #[error("too many unanswered messages or requests")]
    WouldBlock,
    /// It does not fit into a frame.
    #[error("larger than the protocol allows")]
    TooLarge,
}

impl Core {
    /// A client at rest. `now` and `unix_ms` are the same moment on two clocks; the latter only
    /// makes ids time-ordered.
    pub fn new(config: Config, saved: SavedState, seed: u64, now: u64, unix_ms: u64) -> Self {
        let mut rng = Rng::new(seed);
        let ids = IdSource::new(Rng::new(rng.next_u64()));
        let window = config.window.clamp(1, limits::WINDOW_MAX);
        let streams = saved.streams.iter().map(|&(id, local)| (id, StreamState::new(local)));
        Self {
            rng,
            ids,
            unix_offset_ms: (unix_ms as i64).saturating_sub(now as i64),
            link: Link::new(),
            credentials: None,
            session: Session::default(),
            deframer: Deframer::default(),
            out: Vec::new(),
            out_written: 0,
            last_received_at: now,
            pending: PendingTable::default(),
            outbox: Outbox::new(window),
            queued: VecDeque::new(),
            asked_on_wire_count: 0,
            read_on_wire: false,
            mark_on_wire: false,
            next_request_no: 1,
            streams: streams.take(limits::STREAMS_MAX).collect(),
            events: VecDeque::new(),
            observations: VecDeque::new(),
            saved,
            config,
        }
    }

    /// Connects without logging in, for REGISTER.
    pub fn connect(&mut self, now: u64) {
        self.link.start(now);
    }

    /// Logs in, now if a connection is open, else once it is; and again after each reconnect.
    pub fn login(&mut self, now: u64, credentials: Credentials) {
        self.credentials = Some(credentials);
        self.link.start(now);
    }

    /// Closes the connection and stays stopped until the next `login` or `connect`. Unanswered
    /// sends are kept.
    pub fn disconnect(&mut self, now: u64) {
        self.credentials = None;
        self.end_link(now, OfflineReason::Asked, 0);
    }

    /// Sends a message with a fresh id.
    pub fn send_message(
        &mut self,
        now: u64,
        target: Target,
        kind: pb::MsgType,
        content: Bytes,
        extra: Bytes,
    ) -> Result<ClientMsgId, SubmitError> {
        let client_msg_id = self.ids.client_msg_id(self.unix_ms(now));
        self.send(Outgoing { target, client_msg_id, kind, content, extra, refs: None })?;
        Ok(client_msg_id)
    }

    /// Sends a message under an id of the caller's, for example one that an earlier process did
    /// not see acknowledged. An id that is still unanswered here must not be sent again.
    pub fn send(&mut self, message: Outgoing) -> Result<(), SubmitError> {
        if message.content.len() > CONTENT_BYTES_MAX || message.extra.len() > EXTRA_BYTES_MAX {
            return Err(SubmitError::TooLarge);
        }
        self.outbox.push(message).map_err(|_| SubmitError::WouldBlock)
    }

    /// Asks something else. The outcome comes as [`Event::Response`]; when the connection ends
    /// before, as [`RequestError::Lost`].
    pub fn request(&mut self, request: Request) -> Result<RequestNo, SubmitError> {
        if self.queued.len() + self.asked_on_wire_count >= REQUESTS_MAX {
            return Err(SubmitError::WouldBlock);
        }
        let no = self.take_request_no();
        self.queued.push_back((no, request));
        Ok(no)
    }

    /// A fresh id for requests that carry one.
    pub fn new_request_id(&mut self, now: u64) -> RequestId {
        self.ids.request_id(self.unix_ms(now))
    }

    /// Asks for a new token now rather than when three quarters of the old one's life are over.
    pub fn refresh_token(&mut self) {
        self.session.refresh_due = true;
    }

    /// Everything of the stream up to `seq` is safe on this device; told to the server in batches.
    /// Only needed with `Config::auto_mark` off.
    pub fn mark_delivered(&mut self, now: u64, stream: u64, seq: u64) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.mark.want(now, seq.min(state.rule.local()));
        }
    }

    /// What must survive a restart of the application: positions and the token.
    pub fn export_state(&self) -> SavedState {
        let streams = self.streams.iter().map(|(&id, state)| (id, state.rule.local())).collect();
        SavedState { streams, ..self.saved.clone() }
    }

    /// The session's user, once there was a session.
    pub fn user_id(&self) -> Option<UserId> {
        (self.saved.user_id != 0).then_some(UserId(self.saved.user_id))
    }

    /// Whether a session is open.
    pub fn is_online(&self) -> bool {
        self.session.is_online()
    }

    /// Whether the core neither has a connection nor wants one.
    pub fn is_stopped(&self) -> bool {
        self.link.phase() == Phase::Stopped
    }

    /// Messages accepted and neither acknowledged nor refused.
    pub fn unanswered_send_count(&self) -> usize {
        self.outbox.len()
    }

    /// Position in a stream, if it is followed.
    pub fn local_seq(&self, stream: u64) -> Option<u64> {
        self.streams.get(&stream).map(|state| state.rule.local())
    }

    /// Whether all streams are applied up to what was heard of.
    pub fn is_current(&self) -> bool {
        self.streams.values().all(|state| state.rule.is_current())
    }

    /// What the driver must do with its socket.
    pub fn poll_link(&mut self) -> Option<LinkAction> {
        self.link.poll_action()
    }

    /// The next event for the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The first event that `matches`; the others keep their order.
    pub fn take_event(&mut self, matches: impl FnMut(&Event) -> bool) -> Option<Event> {
        let index = self.events.iter().position(matches)?;
        self.events.remove(index)
    }

    /// Whether bytes wait for the socket.
    pub fn has_output(&self) -> bool {
        self.out_written < self.out.len()
    }

    /// The next observation for a recorder. Take them before the bytes of `poll_transmit` go out,
    /// so that an invocation is recorded before it can have an effect.
    pub fn poll_observation(&mut self) -> Option<Observation> {
        self.observations.pop_front()
    }

    /// Bytes for the socket; tell with `handle_transmitted` how many of them it took.
    pub fn poll_transmit(&mut self, now: u64) -> &[u8] {
        if self.out.len() - self.out_written < OUT_BYTES_SOFT_MAX {
            self.fill_out(now);
        }
        self.out.get(self.out_written..).unwrap_or_default()
    }

    /// The socket took `count` bytes of what `poll_transmit` gave.
    pub fn handle_transmitted(&mut self, count: usize) {
        self.out_written += count;
        debug_assert!(self.out_written <= self.out.len());
        if self.out_written >= self.out.len() {
            self.out_written = 0;
            if self.out.capacity() > 2 * OUT_BYTES_SOFT_MAX {
                self.out = Vec::new(); // one large message must not cost memory for ever
            } else {
                self.out.clear();
            }
        } else if self.out_written >= OUT_BYTES_SOFT_MAX {
            self.out.drain(..self.out_written);
            self.out_written = 0;
        }
    }

    fn unix_ms(&self, now: u64) -> u64 {
        (now as i64).saturating_add(self.unix_offset_ms).max(0) as u64
    }

    fn take_request_no(&mut self) -> RequestNo {
        let no = RequestNo(self.next_request_no);
        self.next_request_no += 1;
        no
    }

    fn observe(&mut self, observation: impl FnOnce() -> Observation) {
        if self.config.observe {
            self.observations.push_back(observation());
        }
    }
}

impl StreamState {
    fn new(local: u64) -> Self {
        Self { rule: Stream::new(local), mark: Mark::new(local), wants_reset: false }
    }
}
