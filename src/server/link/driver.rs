//! The loop of the link's thread: one turn takes what came, does what is due, and sends what is to be
//! sent. It moves bytes and decides nothing: that is for the link itself (src/link).

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aldis_directory::Lookup;
use aldis_link::{Link, LinkMail, LinkOutput, LinkParts};
use aldis_logic::Node;
use aldis_logic::cluster::HubConfig;
use aldis_logic::job::ReactorId;
use aldis_rudp::{Endpoint, Time, Transmit};
use crossbeam::channel::Sender;
use mio::{Events, Poll, Token, Waker};

use super::post::LinkMailEnd;
use super::socket::LinkSocket;
use super::timer::Timer;
use crate::mail::PostOffice;
use crate::metrics::LinkCounts;

const SOCKET: Token = Token(0);
const TIMER: Token = Token(1);
const WAKER: Token = Token(2);
/// Events of one poll: there are three sources.
const EVENTS_MAX: usize = 4;
/// Mails of one turn; the datagrams that came meanwhile are looked at in between.
const MAILS_PER_TURN: usize = 64;
/// Pause before datagrams are sent again for which the kernel had no room, unless it says so before.
const BLOCKED_PAUSE: Duration = Duration::from_millis(1);

/// What a link's thread is made of.
pub struct DriverParts {
    /// Its socket.
    pub socket: LinkSocket,
    /// All sessions of the link.
    pub endpoint: Endpoint,
    /// For the hub.
    pub hub: HubConfig,
    /// The node.
    pub node: Arc<Node>,
    /// The way to the reactors.
    pub office: PostOffice,
    /// The way to the directory.
    pub lookups: Sender<Lookup>,
    /// Datagrams are not encrypted, so none may leave the machine.
    pub is_plain: bool,
    /// What happens is counted here.
    pub counts: LinkCounts,
}

/// See the file's first line.
pub struct Driver {
    poll: Poll,
    timer: Timer,
    socket: LinkSocket,
    link: Link,
    mail: LinkMailEnd,
    node: Arc<Node>,
    office: PostOffice,
    lookups: Sender<Lookup>,
    counts: LinkCounts,
    /// Something happened since the counts were published.
    has_news: bool,
    /// There may be datagrams that no event tells of any more.
    is_readable: bool,
    /// Datagrams that did not fit the socket.
    unsent: Option<Transmit>,
    buffer: Vec<u8>,
}

impl Driver {
    /// A link that knows no session yet.
    pub fn new(parts: DriverParts, mail: LinkMailEnd) -> io::Result<Self> {
        let DriverParts { socket, endpoint, hub, node, office, lookups, is_plain, counts } = parts;
        let poll = Poll::new()?;
        socket.register(poll.registry(), SOCKET)?;
        let timer = Timer::new(poll.registry(), TIMER)?;
        mail.receiver.set_waker(Waker::new(poll.registry(), WAKER)?);
        let link = Link::new(LinkParts {
            endpoint,
            hub,
            node: node.clone(),
            routes: mail.routes.clone(),
            reactor_count: office.reactor_count(),
            is_plain,
        });
        Ok(Self {
            poll,
            timer,
            socket,
            link,
            mail,
            node,
            office,
            lookups,
            counts,
            has_news: true,
            is_readable: true,
            unsent: None,
            buffer: Vec::new(),
        })
    }

    /// Runs until the node goes away.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            self.sleep(&mut events)?;
            for event in &events {
                // An edge may mean both.
                self.is_readable |= event.token() == SOCKET && event.is_readable();
            }
            if self.turn()? {
                return Ok(());
            }
        }
    }

    fn sleep(&mut self, events: &mut Events) -> io::Result<()> {
        let now = Instant::now();
        let due = self.due_at(now);
        let is_due = due.is_some_and(|at| at <= now);
        let is_busy = is_due || self.is_readable || !self.mail.receiver.prepare_sleep();
        if let Some(at) = due.filter(|_| !is_busy) {
            self.timer.set(now, at)?;
        }
        let result = self.poll.poll(events, is_busy.then_some(Duration::ZERO));
        self.mail.receiver.end_sleep();
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            other => other,
        }
    }

    /// When something is due although nothing comes.
    fn due_at(&self, now: Instant) -> Option<Instant> {
        let at = |time: Time| self.mail.origin + Duration::from_nanos(time.0);
        let (link, blocked) = match self.unsent {
            // The endpoint has something to send all the time.
            Some(_) => (self.link.poll_timeout_unsent(), Some(now + BLOCKED_PAUSE)),
            None => (self.link.poll_timeout(), None),
        };
        let counts = self.has_news.then(|| self.counts.due_at(now));
        link.map(at).into_iter().chain(blocked).chain(counts).min()
    }

    /// One turn, for which time stands still. True: it was the last one.
    fn turn(&mut self) -> io::Result<bool> {
        let now = self.now();
        // Datagrams before timers: acknowledgements that wait in the socket are no losses.
        self.receive(now)?;
        self.take_mail(now);
        self.link.handle_timeout(now);
        if self.mail.has_dropped.swap(false, Ordering::Relaxed) {
            log::warn!("entries for other nodes were dropped: the link's queue is full");
            self.link.handle_dropped(now);
        }
        self.drain(now);
        let is_over = self.link.handle_turn_end(now);
        self.transmit(now);
        for (reactor, deliveries) in self.link.take_deliveries() {
            self.office.deliver(ReactorId(reactor as u16), deliveries);
        }
        self.publish();
        Ok(is_over)
    }

    /// Figures are copied where others see them, now and then.
    fn publish(&mut self) {
        let now = Instant::now();
        self.has_news = self.counts.due_at(now) > now;
        if !self.has_news {
            self.counts.publish(now, self.link.figures());
        }
    }

    fn receive(&mut self, now: Time) -> io::Result<()> {
        if !self.is_readable {
            return Ok(());
        }
        let link = &mut self.link;
        self.is_readable = self.socket.receive(|from, ecn, datagram| {
            link.handle_datagram(now, from, ecn, datagram);
        })?;
        Ok(())
    }

    fn take_mail(&mut self, now: Time) {
        for _ in 0..MAILS_PER_TURN {
            let receiver = &self.mail.receiver;
            let mail: Option<LinkMail> =
                receiver.pop_reserved().or_else(|| receiver.pop_best_effort());
            let Some(mail) = mail else { return };
            self.link.handle_mail(now, mail);
        }
    }

    fn drain(&mut self, now: Time) {
        while let Some(output) = self.link.poll_output(now) {
            match output {
                LinkOutput::Lookup(lookup) => {
                    let number = lookup.number;
                    if self.lookups.try_send(lookup).is_err() {
                        self.link.handle_lookup_refused(now, number);
                    }
                }
                LinkOutput::Post { reactor, mail } => self.office.peer(reactor, mail),
                LinkOutput::Hints(hints) => self.office.hints(&hints),
                LinkOutput::Alarm => {
                    self.node.alarms.raise();
                    self.office.alarm();
                }
            }
        }
    }

    fn transmit(&mut self, now: Time) {
        if let Some(unsent) = self.unsent.take()
            && !self.socket.send(&unsent, &self.buffer)
        {
            self.unsent = Some(unsent);
            return;
        }
        while let Some(transmit) = self.link.poll_transmit(now, &mut self.buffer) {
            if !self.socket.send(&transmit, &self.buffer) {
                self.unsent = Some(transmit);
                return;
            }
        }
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.mail.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
