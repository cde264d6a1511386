//! The loop: one turn after the other. Knows in which order things happen, not how.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aldis_wire::ConnId;
use mio::event::Event;
use mio::{Events, Poll, Token, Waker};

use crate::acceptor::{Acceptor, conn_of};
use crate::flush::flush_all;
use crate::input::{SCRATCH_BYTES, receive};
use crate::share::{Door, LATER_VISITS};
use crate::timer::Entry;
use crate::{CloseReason, Config, Handler, Io, MailReceiver, Tls};

/// Events taken in one turn: with their frames and answers they fit the cache, and what comes meanwhile
/// waits for less than a millisecond.
const EVENTS_PER_TURN: usize = 256;
/// Connections that are removed in one turn. All whose deadline ended at one tick of a flood took 2 to 6 ms.
const CLOSES_PER_TURN: usize = 8;

/// Time of turns after which other threads of the core may run: hundreds of times what asking costs.
const YIELD_AFTER: Duration = Duration::from_micros(100);

/// What counts as a standstill is this part of the time there is to log in: a client may give up sooner
/// than it is closed.
const STANDSTILLS_PER_LOGIN: u32 = 4;

/// No connection has the index of these two: `Config::assert_valid` sees to it.
const LISTENER: Token = Token(u32::MAX as usize);
const WAKER: Token = Token(u32::MAX as usize - 1);

/// A poll loop with its connections. One thread runs it.
pub struct Reactor<H: Handler> {
    handler: H,
    io: Io,
    mail: MailReceiver<H::Mail>,
    poll: Poll,
    events: Events,
    acceptor: Option<Acceptor>,
    door: Door,
    scratch: Box<[u8]>,
    due: Vec<Entry>,
    /// Length of the turns since others were let run.
    ran: Duration,
}

impl<H: Handler> Reactor<H> {
    /// Prepares everything; nothing is accepted before `run`. With `tls`, connections are encrypted.
    /// Panics if the limits in `config` contradict each other.
    pub fn new(
        config: Config,
        listener: TcpListener,
        tls: Option<Arc<Tls>>,
        mail: MailReceiver<H::Mail>,
        handler: H,
    ) -> io::Result<Self> {
        config.assert_valid();
        let poll = Poll::new()?;
        mail.set_waker(Waker::new(poll.registry(), WAKER)?);
        let acceptor = Acceptor::new(listener, tls, poll.registry(), LISTENER)?;
        let now = Instant::now();
        Ok(Self {
            handler,
            door: Door::new(&config, now),
            io: Io::new(config, now),
            mail,
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN),
            acceptor: Some(acceptor),
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            due: Vec::new(),
            ran: Duration::ZERO,
        })
    }

    /// Runs until [`Io::stop`], then closes what is still open and gives the handler back. Fails
    /// only if the poll itself does.
    pub fn run(mut self) -> io::Result<H> {
        while !self.io.stopping {
            self.turn()?;
        }
        let open: Vec<ConnId> = self.io.open_ids().collect();
        for id in open {
            self.io.close(id, CloseReason::Stopped);
        }
        while !self.io.closed.is_empty() {
            self.remove_closed();
        }
        Ok(self.handler)
    }

    /// One turn: sleeps until something happens, then does all of it. For tests; `run` is for everyone
    /// else.
    pub fn turn(&mut self) -> io::Result<()> {
        self.sleep()?;
        let begin = Instant::now();
        let gap = begin.saturating_duration_since(self.io.now);
        self.io.now = begin;
        self.io.tick = self.io.clock.tick(begin);
        if gap >= self.standstill() {
            self.io.note_standstill();
        }
        self.io.counters.turns += 1;
        self.take_events();
        self.take_mails();
        self.tell_drained();
        self.io.end_throttles();
        self.receive_ready();
        self.receive_again();
        self.serve_strangers();
        self.expire_deadlines();
        if self.handler.poll_timeout().is_some_and(|deadline| deadline <= begin) {
            self.handler.handle_timeout(&mut self.io);
        }
        self.remove_closed();
        self.handler.handle_turn_end(&mut self.io);
        flush_all(&mut self.io);
        self.handler.handle_flushed(&self.io);
        let length = begin.elapsed();
        self.let_others_run(length);
        if length > self.io.config.turn_warn {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or_default();
            log::warn!("a turn of reactor {name} took {} ms", length.as_millis());
        }
        Ok(())
    }

    /// A reactor that always finds something to do does not sleep, and those that it has given work to on
    /// its core would wait for the scheduler's next tick.
    fn let_others_run(&mut self, length: Duration) {
        self.ran += length;
        if self.ran >= YIELD_AFTER {
            self.ran = Duration::ZERO;
            std::thread::yield_now();
        }
    }

    /// Waits for events, mail or the next deadline; not at all while something can be done.
    fn sleep(&mut self) -> io::Result<()> {
        let listening_ends = self.acceptor.is_some() && !self.io.listening;
        let busy = self.io.has_work() || listening_ends || !self.mail.prepare_sleep();
        let timeout = if busy { Duration::ZERO } else { self.timeout() };
        let result = self.poll.poll(&mut self.events, Some(timeout));
        self.mail.end_sleep();
        match result {
            // A signal: the events are those of an empty poll.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            other => other,
        }
    }

    fn timeout(&self) -> Duration {
        let now = Instant::now();
        let wheel = self.io.wheel.next().map(|tick| self.io.clock.instant(tick));
        let strangers = self.strangers_wait(now).map(|at| at.max(self.door.opens_at()));
        let pause = self.io.throttled.front().map(|(until, _)| self.io.clock.instant(*until));
        let first =
            [wheel, pause, strangers, self.handler.poll_timeout()].into_iter().flatten().min();
        // So that a longer one is told from a standstill.
        let longest = self.standstill() / 2;
        first.map_or(longest, |deadline| deadline.saturating_duration_since(now).min(longest))
    }

    /// With so much between two turns the process did not run, or a turn took far too long.
    fn standstill(&self) -> Duration {
        self.io.config.login_deadline / STANDSTILLS_PER_LOGIN
    }

    fn take_events(&mut self) {
        for event in &self.events {
            match event.token() {
                LISTENER => {
                    if let Some(acceptor) = &mut self.acceptor {
                        acceptor.handle_event();
                    }
                }
                WAKER => self.io.counters.wakeups += 1,
                token => take_event(&mut self.io, conn_of(token), event),
            }
        }
    }

    /// Since when or from when on somebody waits who is not logged in.
    fn strangers_wait(&self, now: Instant) -> Option<Instant> {
        if !self.io.strangers.is_empty() {
            return Some(now);
        }
        self.acceptor.as_ref().and_then(|acceptor| acceptor.poll_timeout(now))
    }

    /// Reads those who are not logged in and accepts others, if it is their turn. What others are to get
    /// is written before.
    fn serve_strangers(&mut self) {
        if !self.io.listening
            && let Some(acceptor) = self.acceptor.take()
        {
            acceptor.accept_last(&mut self.io, &mut self.handler, self.poll.registry());
        }
        let Some(waiting_since) = self.strangers_wait(self.io.now) else { return };
        let begin = Instant::now();
        if begin < waiting_since.max(self.door.opens_at()) {
            return;
        }
        flush_all(&mut self.io);
        let mut visits = self.io.strangers.len();
        while visits > 0 && begin.elapsed() < LATER_VISITS {
            let Some(id) = self.io.strangers.pop_front() else { break };
            receive(&mut self.io, &mut self.handler, &mut self.scratch, id);
            visits -= 1;
        }
        // Who waits in the kernel is in no hurry yet: the time to log in begins when it is accepted.
        let accepts = if visits == 0 { self.io.config.accepts_per_turn } else { 1 };
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.accept(accepts, &mut self.io, &mut self.handler, self.poll.registry());
        }
        self.door.close(begin, Instant::now());
    }

    /// The lanes have budgets of their own, so that neither keeps the other waiting.
    fn take_mails(&mut self) {
        for _ in 0..self.io.config.mails_per_turn {
            let Some(mail) = self.mail.pop_reserved() else { break };
            self.handler.handle_mail(&mut self.io, mail);
        }
        for _ in 0..self.io.config.mails_per_turn {
            let Some(mail) = self.mail.pop_best_effort() else { break };
            self.handler.handle_mail(&mut self.io, mail);
        }
    }

    fn tell_drained(&mut self) {
        while let Some(id) = self.io.drained.pop() {
            if self.io.is_open(id) {
                self.handler.handle_drained(&mut self.io, id);
            }
        }
    }

    /// Reads what was listed before; what is listed meanwhile has used its budget.
    fn receive_ready(&mut self) {
        let count = self.io.ready.len();
        if count > 0 {
            self.door.note_member(self.io.now);
        }
        for at in 0..count {
            let id = self.io.ready[at];
            receive(&mut self.io, &mut self.handler, &mut self.scratch, id);
            if let Some(conn) = self.io.conn(id) {
                conn.invariants();
            }
        }
        self.io.ready.drain(..count);
    }

    /// Goes on with those who had more, one after the other, as long as that keeps nobody waiting.
    fn receive_again(&mut self) {
        if self.io.again.is_empty() {
            return;
        }
        let begin = Instant::now();
        while let Some(id) = self.io.again.pop_front() {
            receive(&mut self.io, &mut self.handler, &mut self.scratch, id);
            if begin.elapsed() >= LATER_VISITS {
                return;
            }
        }
    }

    fn expire_deadlines(&mut self) {
        self.io.wheel.advance(self.io.tick, &mut self.due);
        for entry in self.due.drain(..) {
            self.io.expire(entry);
        }
    }

    /// Tells the handler of ends, which may close others. Their deadlines often end together.
    fn remove_closed(&mut self) {
        for _ in 0..CLOSES_PER_TURN {
            let Some(id) = self.io.closed.pop_front() else { return };
            if let Some(conn) = self.io.remove(id) {
                self.io.counters.closed[conn.reason as usize] += 1;
                drop(conn.transport);
                self.handler.handle_closed(&mut self.io, id, conn.reason);
            }
        }
    }
}

/// Notes what a connection can do now. Each is registered once, edge-triggered, for everything.
fn take_event(io: &mut Io, id: ConnId, event: &Event) {
    let Some(conn) = io.conn(id) else { return };
    if event.is_error() || event.is_write_closed() {
        io.close(id, CloseReason::Reset);
        return;
    }
    if event.is_writable() && !conn.writable {
        conn.writable = true;
        io.mark_dirty(id);
    }
    if event.is_readable() || event.is_read_closed() {
        let Some(conn) = io.conn(id) else { return };
        conn.readable = true;
        conn.end_announced |= event.is_read_closed();
        io.mark_ready(id);
    }
}
