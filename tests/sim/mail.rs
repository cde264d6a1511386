//! What workers post to a reactor, and the bounded lanes of its mailbox, as src/server/mail.rs and
//! src/net/mailbox.rs have them. Knows no service.

use std::collections::{BTreeSet, VecDeque};

use aldis_logic::job::{
    DirectoryReply, HashReply, LocateReply, ReadReply, SessionRecord, WriteReply,
};
use aldis_logic::{Delivery, PeerMail};
use aldis_wire::ConnId;

/// What a delivery and each of its targets take besides the body, bytes.
const DELIVERY_BYTES: usize = 64;
const TARGET_BYTES: usize = 32;

/// One piece of mail with a reserved slot.
#[derive(Debug)]
pub enum Mail {
    /// From the writer.
    Written(Vec<WriteReply>),
    /// From a reader.
    Read(ReadReply),
    /// From the password pool.
    Hashed(HashReply),
    /// From the directory worker.
    Directory(DirectoryReply),
    /// From the directory worker, where users are.
    Located(LocateReply),
    /// From another reactor's service.
    Peer(PeerMail),
    /// From the directory worker: this session lost its place elsewhere.
    Fenced(SessionRecord),
    /// Some deliveries did not fit.
    Missed,
    /// All sessions may have missed something.
    Alarm,
    /// The node is going away; clients come back within so many ms.
    Drain(u32),
    /// The drain is over.
    Stop,
}

/// What the bounded lane weighs with these.
pub fn weight(deliveries: &[Delivery]) -> usize {
    deliveries.iter().map(|d| DELIVERY_BYTES + d.targets.len() * TARGET_BYTES + d.push.len()).sum()
}

/// The mailbox of one reactor.
#[derive(Debug, Default)]
pub struct Mailbox {
    /// Mail with reserved slots that has arrived.
    pub reserved: VecDeque<Mail>,
    /// Deliveries that have arrived, with their weight.
    pub deliveries: VecDeque<(usize, Vec<Delivery>)>,
    /// Of the deliveries that have arrived or are on their way, bytes.
    weight: usize,
    weight_max: usize,
    /// Job replies that have arrived or are on their way, and how many there may be.
    reply_count: usize,
    reply_count_max: usize,
    missed: BTreeSet<ConnId>,
    is_announced: bool,
    /// When the last mail of each lane arrives; the next one cannot come before. us
    pub reserved_at_us: u64,
    /// See above.
    pub deliveries_at_us: u64,
}

impl Mailbox {
    /// Empty, with the bounds of its lanes.
    pub fn new(weight_max: usize, reply_count_max: usize) -> Self {
        Self { weight_max, reply_count_max, ..Self::default() }
    }

    /// From now on the bounded lane takes so many bytes.
    pub fn set_weight_max(&mut self, weight_max: usize) {
        self.weight_max = weight_max;
    }

    /// A reply takes the slot that its job reserved.
    pub fn take_reply_slots(&mut self, count: usize) {
        self.reply_count += count;
        assert!(self.reply_count <= self.reply_count_max, "credits reserve a slot for every reply");
    }

    /// Replies were handled.
    pub fn give_reply_slots(&mut self, count: usize) {
        self.reply_count -= count;
    }

    /// Whether deliveries of this weight are taken.
    pub fn admit(&mut self, weight: usize) -> bool {
        let fits = self.weight + weight <= self.weight_max;
        self.weight += if fits { weight } else { 0 };
        fits
    }

    /// The oldest deliveries.
    pub fn pop_deliveries(&mut self) -> Option<Vec<Delivery>> {
        let (weight, deliveries) = self.deliveries.pop_front()?;
        self.weight -= weight;
        Some(deliveries)
    }

    /// Notes who missed something; true: the reactor must be told by [`Mail::Missed`].
    pub fn miss(&mut self, conns: impl IntoIterator<Item = ConnId>) -> bool {
        self.missed.extend(conns);
        !std::mem::replace(&mut self.is_announced, true)
    }

    /// Takes all who missed something.
    pub fn take_missed(&mut self) -> Vec<ConnId> {
        self.is_announced = false;
        std::mem::take(&mut self.missed).into_iter().collect()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.reserved.is_empty() && self.deliveries.is_empty()
    }
}
