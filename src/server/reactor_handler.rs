//! Between a reactor and its service: inputs one way, effects the other. Decides nothing itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use aldis_logic::job::{
    AttemptJob, AttemptReply, AttemptRequest, DirectoryRequest, HashRequest, LocateRequest,
    ReadRequest, Verdict, WriteRequest,
};
use aldis_logic::{Admit, Effect, Goodbye, Lane, Now, Service};
use aldis_net::{CloseReason, Handler, Io, Sent};
use aldis_wire::{ConnId, Frame, FrameError};
use crossbeam::channel::{Sender, TrySendError};

use crate::clock::Clock;
use crate::link::LinkPost;
use crate::mail::{Mail, Missed, PostOffice};
use crate::metrics::ReactorCounts;

/// The ways from a reactor to the workers. As long as credits allow (`CreditLimits`), they have room.
#[derive(Clone)]
pub struct Workers {
    /// The store writer.
    pub writer: Sender<WriteRequest>,
    /// The store readers.
    pub readers: Sender<ReadRequest>,
    /// The password pool.
    pub hashers: Sender<HashRequest>,
    /// The directory worker.
    pub directory: Sender<DirectoryRequest>,
    /// The same, for questions.
    pub locates: Sender<LocateRequest>,
    /// The same, for attempts at passwords.
    pub attempts: Sender<AttemptRequest>,
    /// The link, if this node is one of a cluster.
    pub link: Option<LinkPost>,
}

/// The handler of one client reactor.
pub struct ClientHandler {
    service: Service,
    workers: Workers,
    office: PostOffice,
    missed: Arc<Missed>,
    counts: Arc<ReactorCounts>,
    turn: Turn,
    is_stopping: bool,
}

impl Workers {
    /// Asks what attempts on other nodes mean for one. An answer at once: there is no room for the
    /// question, and the node's own count decides.
    pub fn attempt(&self, request: AttemptRequest) -> Option<AttemptReply> {
        let Err(TrySendError::Full(request)) = self.attempts.try_send(request) else { return None };
        log::debug!("the directory's queue for attempts is full");
        let is_awaited = matches!(request.job, AttemptJob::Begin(_));
        is_awaited.then_some(AttemptReply { ticket: request.ticket, verdict: Verdict::Unknown })
    }
}

impl ClientHandler {
    /// A handler for a service without connections.
    pub fn new(
        service: Service,
        workers: Workers,
        office: PostOffice,
        missed: Arc<Missed>,
        counts: Arc<ReactorCounts>,
        clock: Clock,
    ) -> Self {
        let turn = Turn { clock, read_at: None, last: Now::default() };
        Self { service, workers, office, missed, counts, turn, is_stopping: false }
    }

    /// Does what the service wants done.
    fn drain_effects(&mut self, io: &mut Io) {
        while let Some(effect) = self.service.poll_effect() {
            self.counts.note(&effect);
            match effect {
                Effect::Send { conn, frame, lane } => {
                    let net_lane = match lane {
                        Lane::Reply => aldis_net::Lane::Reply,
                        Lane::Push | Lane::Notice => aldis_net::Lane::Push,
                    };
                    if io.send(conn, frame, net_lane) == Sent::Dropped && lane == Lane::Push {
                        self.service.handle_push_dropped(conn);
                    }
                }
                Effect::Close { conn, reason } => {
                    log::debug!("conn={conn:?} closes: {reason:?}");
                    let reason = match reason {
                        Goodbye::BadFrame => CloseReason::BadFrame,
                        Goodbye::PeerDone => CloseReason::Peer,
                        _ => CloseReason::Handler,
                    };
                    io.close_after_flush(conn, reason);
                }
                Effect::LoggedIn { conn } => io.set_logged_in(conn),
                Effect::Resume { conn } => io.resume(conn),
                Effect::Write(request) => expect_room(self.workers.writer.try_send(request)),
                Effect::Read(request) => expect_room(self.workers.readers.try_send(request)),
                Effect::Hash(request) => expect_room(self.workers.hashers.try_send(request)),
                Effect::Directory(request) => self.ask_directory(request),
                Effect::Post { reactor, mail } => self.office.peer(reactor, mail),
                Effect::Kick(order) => {
                    if let Some(link) = &self.workers.link {
                        link.kick(order);
                    }
                }
                Effect::Locate(request) => expect_room(self.workers.locates.try_send(request)),
                Effect::Attempt(request) => {
                    if let Some(reply) = self.workers.attempt(request) {
                        self.service.handle_attempt_reply(self.turn.last, reply);
                    }
                }
                Effect::Hints(hints) => {
                    self.office.hints(&hints);
                    if let Some(link) = &self.workers.link {
                        link.hints(hints);
                    }
                }
                Effect::Notice(notice) => {
                    if let Some(link) = &self.workers.link {
                        link.notice(notice);
                    }
                }
            }
        }
    }

    /// The directory is a hint: where its queue is full, the session goes on without it.
    fn ask_directory(&mut self, request: DirectoryRequest) {
        let Err(TrySendError::Full(request)) = self.workers.directory.try_send(request) else {
            return;
        };
        log::warn!("the directory's queue is full");
        self.counts.note_directory_overflow();
        self.service.handle_directory_full(self.turn.last, &request);
    }
}

/// Credits keep queues from filling; a worker that is gone has stopped the process or is about to.
pub fn expect_room<T>(result: Result<(), TrySendError<T>>) {
    assert!(!matches!(result, Err(TrySendError::Full(_))), "credits reserve a slot for every job");
}

impl Handler for ClientHandler {
    type Mail = Mail;

    fn admits(&mut self, io: &Io, peer: SocketAddr) -> bool {
        let now = self.turn.at(io.now());
        self.service.admits(now, peer.ip())
    }

    fn counts(&mut self, peer: SocketAddr) -> bool {
        self.service.counts(peer.ip())
    }

    fn handle_open(&mut self, io: &mut Io, conn: ConnId, peer: SocketAddr) {
        let now = self.turn.at(io.now());
        self.service.handle_open(now, conn, peer.ip());
    }

    fn handle_frame(&mut self, io: &mut Io, conn: ConnId, frame: Frame<'_>) -> aldis_net::Admit {
        let now = self.turn.at(io.now());
        let admit = self.service.handle_frame(now, conn, frame);
        self.drain_effects(io);
        match admit {
            Admit::Taken => aldis_net::Admit::Taken,
            Admit::Wait => aldis_net::Admit::Wait,
        }
    }

    fn handle_frame_error(&mut self, io: &mut Io, conn: ConnId, error: FrameError) {
        log::debug!("conn={conn:?} sent what is no frame: {error}");
        #[cfg(feature = "planted-bugs")]
        crate::planted::leak();
        let now = self.turn.at(io.now());
        self.service.handle_frame_error(now, conn, error);
        self.drain_effects(io);
    }

    fn handle_half_closed(&mut self, io: &mut Io, conn: ConnId) {
        let now = self.turn.at(io.now());
        self.service.handle_half_closed(now, conn);
        self.drain_effects(io);
    }

    fn handle_closed(&mut self, io: &mut Io, conn: ConnId, reason: CloseReason) {
        log::debug!("conn={conn:?} closed: {}", reason.name());
        let now = self.turn.at(io.now());
        self.service.handle_closed(now, conn);
        self.drain_effects(io);
    }

    fn handle_drained(&mut self, io: &mut Io, conn: ConnId) {
        let now = self.turn.at(io.now());
        self.service.handle_drained(now, conn);
        self.drain_effects(io);
    }

    fn handle_mail(&mut self, io: &mut Io, mail: Mail) {
        let now = self.turn.at(io.now());
        match mail {
            Mail::Written(replies) => {
                for reply in replies {
                    self.service.handle_write_reply(now, reply);
                    self.drain_effects(io);
                }
            }
            Mail::Read(reply) => self.service.handle_read_reply(now, reply),
            Mail::Hashed(reply) => self.service.handle_hash_reply(now, reply),
            Mail::Directory(reply) => self.service.handle_directory_reply(now, reply),
            Mail::Located(reply) => self.service.handle_locate_reply(now, &reply),
            Mail::Attempted(reply) => self.service.handle_attempt_reply(now, reply),
            Mail::Deliveries(deliveries) => {
                for delivery in &deliveries {
                    self.service.handle_delivery(now, delivery);
                    self.drain_effects(io);
                }
            }
            Mail::Peer(mail) => self.service.handle_peer(now, mail),
            Mail::Fenced(record) => self.service.handle_fenced(now, &record),
            Mail::Missed => self.service.handle_missed(now, &self.missed.take()),
            // The end of the turn looks at the alarms.
            Mail::Alarm => {}
            Mail::Drain(delay_ms_max) => {
                io.stop_listening();
                self.service.handle_drain(now, delay_ms_max);
            }
            Mail::Stop => {
                self.service.handle_drain_end(now);
                self.is_stopping = true;
            }
        }
        self.drain_effects(io);
    }

    /// The turn that follows is all the service needs.
    fn handle_timeout(&mut self, _io: &mut Io) {}

    fn poll_timeout(&self) -> Option<Instant> {
        self.service.poll_timeout().map(|mono_ms| self.turn.clock.instant(mono_ms))
    }

    fn handle_turn_end(&mut self, io: &mut Io) {
        let now = self.turn.at(io.now());
        self.service.handle_turn_end(now);
        self.drain_effects(io);
        if self.is_stopping {
            io.stop();
        }
    }

    fn handle_flushed(&mut self, io: &Io) {
        self.counts.publish(io.counters());
    }
}

/// Both times of an input, read from the system once per turn.
struct Turn {
    clock: Clock,
    read_at: Option<Instant>,
    last: Now,
}

impl Turn {
    fn at(&mut self, now: Instant) -> Now {
        if self.read_at != Some(now) {
            self.read_at = Some(now);
            self.last = self.clock.at(now);
        }
        self.last
    }
}
