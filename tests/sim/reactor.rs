//! One simulated reactor: its turns in the order of src/net/reactor.rs, its reading as in
//! src/net/input.rs. What a service does with it is in `glue`.

use std::collections::VecDeque;
use std::sync::Arc;

use aldis_logic::cluster::KickOrder;
use aldis_logic::job::{
    DirectoryRequest, HashRequest, LocateRequest, ReactorId, ReadRequest, WriteRequest,
};
use aldis_logic::{Admit, CreditLimits, Hints, Node, Notice, PeerMail, Service};
use aldis_wire::limits::{BODY_BEFORE_LOGIN_BYTES_MAX, BODY_BYTES_MAX};
use aldis_wire::{ConnId, FrameError, HEADER_LEN, parse_frame};

use crate::agenda::Event;
use crate::conn::{Io, State};
use crate::mail::Mailbox;
use crate::network::{LinkId, Side};
use crate::outside::Outside;

/// Usual time from an event to the turn that handles it, us.
const TURN_US_MAX: u64 = 100;
/// The same when something else has the core, us.
const STALLED_TURN_US_MAX: u64 = 30_000;

/// What a service wants from other threads.
#[derive(Debug)]
pub enum Job {
    /// For the writer.
    Write(WriteRequest),
    /// For a reader.
    Read(ReadRequest),
    /// For the password pool.
    Hash(HashRequest),
    /// For the directory worker.
    Directory(DirectoryRequest),
    /// For the link.
    Kick(KickOrder),
    /// For another reactor's service.
    Post(usize, PeerMail),
    Notice(Notice),
    Locate(LocateRequest),
    Hints(Arc<Hints>),
}

/// See the file's first line.
pub struct Reactor {
    pub number: usize,
    pub boot: u32,
    pub service: Service,
    /// Of the service.
    pub credits: CreditLimits,
    pub io: Io,
    pub mailbox: Mailbox,
    /// What the world carries on after the turn.
    pub jobs: Vec<Job>,
    pub accepts: VecDeque<LinkId>,
    pub is_listening: bool,
    pub is_stopping: bool,
    /// Write jobs under way and their bytes, to name what others wait for.
    pub writes: (u32, u64),
    turn_planned: bool,
    deadline_planned_us: Option<u64>,
}

/// Why no further frame was handled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    More,
    Paused,
    Closed,
}

impl Reactor {
    /// A reactor without connections.
    pub fn new(
        number: usize,
        boot: u32,
        node: &Arc<Node>,
        credits: CreditLimits,
        io: Io,
        mailbox: Mailbox,
    ) -> Self {
        let service = Service::new(node.clone(), ReactorId(number as u16), credits);
        Self {
            credits,
            number,
            boot,
            service,
            io,
            mailbox,
            jobs: Vec::new(),
            accepts: VecDeque::new(),
            is_listening: true,
            is_stopping: false,
            writes: (0, 0),
            turn_planned: false,
            deadline_planned_us: None,
        }
    }

    /// Wakes it.
    pub fn plan_turn(&mut self, outside: &mut Outside) {
        if std::mem::replace(&mut self.turn_planned, true) {
            return;
        }
        let is_stalled = outside.dice.chance(5);
        let delay_us_max = if is_stalled { STALLED_TURN_US_MAX } else { TURN_US_MAX };
        let delay_us = outside.dice.range(0, delay_us_max);
        let turn = Event::Turn { boot: self.boot, reactor: self.number };
        outside.agenda.after(delay_us, turn);
    }

    /// One turn.
    pub fn turn(&mut self, outside: &mut Outside) {
        self.turn_planned = false;
        let now_us = outside.agenda.now_us();
        self.accept(outside);
        self.take_mails(outside);
        while let Some(id) = self.io.drained.pop() {
            if self.io.open(id).is_some() {
                self.handle_drained(outside, id);
            }
        }
        for id in std::mem::take(&mut self.io.ready) {
            self.receive(outside, id);
        }
        let deadline_us = self.io.expire(now_us);
        self.remove_closed(outside);
        self.handle_turn_end(outside);
        self.io.flush_all(outside);
        self.service.invariants();
        if self.io.has_work() || !self.mailbox.is_empty() {
            self.plan_turn(outside);
        }
        let service_us = self.service.poll_timeout().map(|at_ms| at_ms * 1_000);
        self.plan_deadline(outside, deadline_us.into_iter().chain(service_us).min());
    }

    fn plan_deadline(&mut self, outside: &mut Outside, deadline_us: Option<u64>) {
        if self.deadline_planned_us.is_some_and(|at_us| at_us <= outside.agenda.now_us()) {
            self.deadline_planned_us = None;
        }
        let Some(at_us) = deadline_us else { return };
        if self.deadline_planned_us.is_none_or(|planned_us| at_us < planned_us) {
            self.deadline_planned_us = Some(at_us);
            let turn = Event::Turn { boot: self.boot, reactor: self.number };
            outside.agenda.at(at_us, turn);
        }
    }

    fn accept(&mut self, outside: &mut Outside) {
        while let Some(link) = self.accepts.pop_front() {
            let now_us = outside.agenda.now_us();
            let Some(known) = outside.net.link(link) else { continue };
            if !known.server_open {
                continue;
            }
            let id = self.io.insert(link, now_us);
            known.conn_index = id.index;
            known.generation = id.generation;
            self.handle_open(outside, id);
            self.io.mark_ready(id);
        }
    }

    fn take_mails(&mut self, outside: &mut Outside) {
        for _ in 0..self.io.plan.mails_per_turn {
            let Some(mail) = self.mailbox.reserved.pop_front() else { break };
            self.handle_mail(outside, mail);
        }
        for _ in 0..self.io.plan.mails_per_turn {
            let Some(deliveries) = self.mailbox.pop_deliveries() else { break };
            self.handle_deliveries(outside, &deliveries);
        }
    }

    fn remove_closed(&mut self, outside: &mut Outside) {
        while let Some(id) = self.io.closed.pop() {
            let Some(conn) = self.io.remove(id) else { continue };
            let (agenda, dice) = (&mut outside.agenda, &mut outside.dice);
            let abort = !conn.end_seen;
            outside.net.close(agenda, dice, conn.link, Side::Server, abort);
            self.handle_closed(outside, id);
        }
    }

    /// Closes everything, as at the end of a process that stops in order.
    pub fn stop(&mut self, outside: &mut Outside) {
        for id in self.io.ids() {
            self.io.close(id);
        }
        self.remove_closed(outside);
    }

    fn receive(&mut self, outside: &mut Outside, id: ConnId) {
        let soft = self.io.plan.output_soft_bytes;
        let Some(conn) = self.io.conn(id) else { return };
        conn.in_ready = false;
        match conn.state {
            State::Open => {}
            State::Flushing | State::Lingering => return self.discard(outside, id),
            State::Closed => return,
        }
        if conn.waiting || conn.output_paused || conn.end_seen {
            return;
        }
        if conn.out.len() > soft {
            conn.frame_since_us = None;
            conn.output_paused = true;
            outside.coverage.hit("wait: output above the soft limit");
            return;
        }
        if self.handle_tail(outside, id) != Flow::More {
            return;
        }
        let mut budget = self.io.plan.read_bytes_per_turn;
        while let Some(conn) = self.io.open(id) {
            if budget == 0 {
                return self.io.mark_ready(id);
            }
            let link = conn.link;
            let Some(bytes) = outside.net.read(link, Side::Server, budget) else { return };
            if bytes.is_empty() {
                conn.end_seen = true;
                conn.tail.clear();
                conn.frame_since_us = None;
                return self.handle_half_closed(outside, id);
            }
            budget -= bytes.len();
            conn.active_at_us =
                if conn.logged_in { outside.agenda.now_us() } else { conn.active_at_us };
            conn.tail.extend_from_slice(&bytes);
            // The client has room again.
            let latency_us = outside.net.latency_us(&mut outside.dice);
            outside.agenda.after(latency_us, Event::ClientReads(link));
            if self.handle_tail(outside, id) != Flow::More {
                return;
            }
        }
    }

    /// Handles the frames that were received until one is incomplete or has to wait.
    fn handle_tail(&mut self, outside: &mut Outside, id: ConnId) -> Flow {
        let now_us = outside.agenda.now_us();
        let Some(conn) = self.io.open(id) else { return Flow::Closed };
        let tail = std::mem::take(&mut conn.tail);
        let mut used = 0;
        let flow = loop {
            let soft = self.io.plan.output_soft_bytes;
            let Some(conn) = self.io.open(id) else { return Flow::Closed };
            if conn.out.len() > soft {
                conn.output_paused = true;
                outside.coverage.hit("wait: output above the soft limit");
                break Flow::Paused;
            }
            let body_max =
                if conn.logged_in { BODY_BYTES_MAX } else { BODY_BEFORE_LOGIN_BYTES_MAX };
            match parse_frame(&tail[used..], body_max) {
                Ok(Some(frame)) => match self.handle_frame(outside, id, frame) {
                    Admit::Taken => used += HEADER_LEN + frame.body.len(),
                    Admit::Wait => {
                        let Some(conn) = self.io.open(id) else { return Flow::Closed };
                        conn.waiting = true;
                        break Flow::Paused;
                    }
                },
                Ok(None) => break Flow::More,
                Err(error) => {
                    self.handle_frame_error(outside, id, error);
                    match error {
                        FrameError::Magic(_) => self.io.close(id),
                        _ => self.io.close_after_flush(now_us, id),
                    }
                    return Flow::Closed;
                }
            }
        };
        let Some(conn) = self.io.open(id) else { return Flow::Closed };
        conn.tail = tail[used..].to_vec();
        let is_incomplete = flow == Flow::More && !conn.tail.is_empty();
        let since_us = conn.frame_since_us.filter(|_| used == 0).unwrap_or(now_us);
        conn.frame_since_us = is_incomplete.then_some(since_us);
        flow
    }

    fn discard(&mut self, outside: &mut Outside, id: ConnId) {
        while let Some(conn) = self.io.conn(id) {
            let Some(bytes) = outside.net.read(conn.link, Side::Server, usize::MAX) else { return };
            if !bytes.is_empty() {
                continue;
            }
            if conn.state == State::Flushing {
                conn.end_seen = true;
                return;
            }
            return self.io.close(id);
        }
    }
}
