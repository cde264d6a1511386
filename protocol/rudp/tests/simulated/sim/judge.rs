//! What was promised about messages: each at most once, whole, to whom it was sent, in the order of
//! its flow without a gap; all of them while their session lives; and of a session that ended, all
//! but those that its end named as unknown.

use std::collections::{HashMap, HashSet};

use aldis_rudp::{Flow, MessageId};
use bytes::Bytes;

use super::content;

/// A session as its sending side knows it, by number.
pub type SessionNumber = usize;

#[derive(Debug)]
struct Message {
    session: SessionNumber,
    flow: Flow,
    /// Its place among the messages of its session and flow.
    place: u64,
    bytes: usize,
    is_delivered: bool,
}

#[derive(Debug, Default)]
struct Session {
    /// Host that sends in it.
    from: usize,
    /// Messages that were accepted.
    messages: HashMap<MessageId, u64>,
    /// How many of each flow were sent, and how many delivered.
    flows: HashMap<Flow, (u64, u64)>,
    outstanding_count: usize,
    is_over: bool,
}

/// All messages of a run.
#[derive(Debug, Default)]
pub struct Judge {
    messages: Vec<Message>,
    sessions: Vec<Session>,
}

impl Judge {
    /// A session is up at a host.
    pub fn begin(&mut self, from: usize) -> SessionNumber {
        self.sessions.push(Session { from, ..Session::default() });
        self.sessions.len() - 1
    }

    /// The content of the next message.
    pub fn draft(&self, bytes: usize) -> Bytes {
        content::write(self.messages.len() as u64, bytes)
    }

    /// That message was accepted.
    pub fn accept(&mut self, number: SessionNumber, flow: Flow, id: MessageId, bytes: usize) {
        let session = &mut self.sessions[number];
        let (sent, _) = session.flows.entry(flow).or_default();
        let place = *sent;
        *sent += 1;
        session.outstanding_count += 1;
        let before = session.messages.insert(id, self.messages.len() as u64);
        assert_eq!(before, None, "{id:?} was given twice in a session");
        self.messages.push(Message { session: number, flow, place, bytes, is_delivered: false });
    }

    /// A message was delivered at a host.
    pub fn deliver(&mut self, at: usize, flow: Flow, message: &[u8]) {
        let number = content::number(message).expect("a delivered message is one that was sent");
        let known = self.messages.get_mut(number as usize);
        let known = known.unwrap_or_else(|| panic!("message {number} was never sent"));
        assert!(*message == *content::write(number, known.bytes), "message {number} is altered");
        assert!(!known.is_delivered, "message {number} was delivered twice");
        assert_eq!(known.flow, flow, "message {number} came in another flow");
        known.is_delivered = true;
        let session = &mut self.sessions[known.session];
        assert_ne!(session.from, at, "message {number} came to its own sender");
        session.outstanding_count -= 1;
        let (sent, delivered) = session.flows.get_mut(&flow).expect("it was sent in this flow");
        if let Flow::Ordered(_) = flow {
            assert_eq!(known.place, *delivered, "message {number} is out of order in {flow:?}");
        }
        *delivered += 1;
        assert!(delivered <= sent);
    }

    /// A session ended at its sending side; it says which messages may not have arrived.
    pub fn end(&mut self, number: SessionNumber, unknown: &[MessageId]) {
        let session = &mut self.sessions[number];
        assert!(!session.is_over, "a session ends once");
        session.is_over = true;
        let named: HashSet<_> = unknown.iter().collect();
        assert_eq!(named.len(), unknown.len(), "unknown messages are named once");
        assert!(unknown.iter().all(|id| session.messages.contains_key(id)), "a strange message");
        for (id, message) in &session.messages {
            let is_delivered = self.messages[*message as usize].is_delivered;
            assert!(
                is_delivered || named.contains(id),
                "message {message} was taken for acknowledged and never delivered"
            );
        }
    }

    /// The process of the sending side is gone: nothing is promised any more.
    pub fn forget(&mut self, number: SessionNumber) {
        self.sessions[number].is_over = true;
    }

    /// Messages of a living session that were not delivered.
    pub fn outstanding_count(&self, number: SessionNumber) -> usize {
        self.sessions[number].outstanding_count
    }

    /// Messages accepted and messages delivered in all.
    pub fn counts(&self) -> (usize, usize) {
        let delivered = self.messages.iter().filter(|message| message.is_delivered).count();
        (self.messages.len(), delivered)
    }
}
