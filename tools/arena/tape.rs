//! What the simulation itself costs: the same run again, with ends that do nothing but send
//! datagrams of the same sizes and deliver the same messages at the same times. Knows times, sizes
//! and numbers of messages, no transport.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use aldis_netsim::Datagram;

use crate::content;
use crate::end::{Deliver, End, Outgoing};

/// One thing that an end did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It was told that a deadline was over.
    Wake {
        /// When, ns.
        at_ns: u64,
    },
    /// It sent a datagram.
    Emit {
        /// When, ns.
        at_ns: u64,
        /// Of so many bytes.
        bytes: u32,
        /// And so many of lower headers.
        headers: u16,
    },
    /// It delivered a message.
    Deliver {
        /// When, ns.
        at_ns: u64,
        /// Which one.
        number: u64,
    },
}

impl Mark {
    fn at_ns(self) -> u64 {
        match self {
            Mark::Wake { at_ns } | Mark::Emit { at_ns, .. } | Mark::Deliver { at_ns, .. } => at_ns,
        }
    }
}

/// Messages on their way from the end that was given them to the one that delivers them.
type Store = Rc<RefCell<Vec<Bytes>>>;

/// An end that repeats a tape.
pub struct TapeEnd {
    marks: std::vec::IntoIter<Mark>,
    store: Store,
    ready_ns: u64,
    /// It had a turn when or after it was ready, so that demands began as they did then.
    has_begun: bool,
    now_ns: u64,
}

impl TapeEnd {
    /// Client and server that repeat what others did.
    pub fn pair(
        client: Vec<Mark>,
        server: Vec<Mark>,
        ready_ns: u64,
        message_count: usize,
    ) -> (Self, Self) {
        // All room is taken now, so that the heap of the replay is that of the simulation alone.
        let store = Rc::new(RefCell::new(vec![Bytes::new(); message_count]));
        let end = |marks: Vec<Mark>, store| Self {
            marks: marks.into_iter(),
            store,
            ready_ns,
            has_begun: false,
            now_ns: 0,
        };
        (end(client, Rc::clone(&store)), end(server, store))
    }

    /// The next thing it did, if that is due.
    fn due(&self) -> Option<Mark> {
        self.marks.as_slice().first().copied().filter(|mark| mark.at_ns() <= self.now_ns)
    }
}

impl End for TapeEnd {
    fn connect(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    fn is_ready(&self) -> bool {
        self.now_ns >= self.ready_ns
    }

    fn send(&mut self, now_ns: u64, _flow: u32, message: &Bytes) -> bool {
        self.now_ns = now_ns;
        let number = content::number_of(message).unwrap_or(u64::MAX);
        if let Some(place) = self.store.borrow_mut().get_mut(number as usize) {
            *place = message.clone();
        }
        true
    }

    fn handle_datagram(&mut self, now_ns: u64, _datagram: Datagram) {
        self.now_ns = now_ns;
    }

    fn handle_timeout(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
        self.has_begun |= self.is_ready();
        if let Some(Mark::Wake { .. }) = self.due() {
            self.marks.next();
        }
    }

    fn poll_timeout(&mut self, _now_ns: u64) -> Option<u64> {
        let next = self.marks.as_slice().first().map(|mark| mark.at_ns());
        let begin = (!self.has_begun).then_some(self.ready_ns);
        next.into_iter().chain(begin).min()
    }

    fn poll_transmit(&mut self, now_ns: u64) -> Option<Outgoing> {
        self.now_ns = now_ns;
        while let Some(Mark::Wake { .. }) = self.due() {
            self.marks.next();
        }
        let Some(Mark::Emit { bytes, headers, .. }) = self.due() else {
            return None;
        };
        self.marks.next();
        Some(Outgoing { bytes: vec![0; bytes as usize], ecn: None, headers })
    }

    fn poll_messages(&mut self, now_ns: u64, deliver: Deliver<'_>) {
        self.now_ns = now_ns;
        while let Some(Mark::Deliver { number, .. }) = self.due() {
            self.marks.next();
            let message = self.store.borrow_mut().get_mut(number as usize).map(std::mem::take);
            deliver(&message.unwrap_or_default());
        }
    }

    fn fault(&self) -> Option<String> {
        None
    }
}
