//! What other threads post to a reactor, and how it gets there.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aldis_logic::job::{
    AttemptReply, DirectoryReply, HashReply, LocateReply, ReactorId, ReadReply, SessionRecord,
    WriteReply,
};
use aldis_logic::{CreditLimits, Delivery, Hints, PeerMail};
use aldis_net::{MailLimits, MailReceiver, MailSender, mailbox};
use aldis_wire::ConnId;
use parking_lot::Mutex;

use crate::http::EdgePost;

/// Deliveries and kicks that may wait for a reactor, bytes: a burst of a few large groups.
const DELIVERIES_BYTES_MAX: usize = 64 << 20;
/// Bytes that may wait there up to which notifications are added that are in no store.
const NOTICES_BYTES_MAX: usize = 8 << 20;
/// Slots for mail that answers no job: one for missed deliveries, the others for drain and stop.
const OTHER_MAILS_MAX: usize = 4;
/// What a kick takes while it waits, bytes.
const PEER_MAIL_BYTES: usize = 256;
/// What a target of a delivery takes in memory, bytes.
const TARGET_BYTES: usize = 32;
/// What a delivery takes besides its targets and its body, bytes.
const DELIVERY_BYTES: usize = 64;

/// One piece of mail.
#[derive(Debug)]
pub enum Mail {
    /// From a store writer, the replies of one batch.
    Written(Vec<WriteReply>),
    /// From a store reader.
    Read(ReadReply),
    /// From the password pool.
    Hashed(HashReply),
    /// From the directory worker.
    Directory(DirectoryReply),
    /// From the directory worker, where users are.
    Located(LocateReply),
    /// From the directory worker, whether an attempt may be made.
    Attempted(AttemptReply),
    /// From a store writer, the entries of one batch; or from the link.
    Deliveries(Vec<Delivery>),
    /// From another reactor's service, or from the link.
    Peer(PeerMail),
    /// From the directory: this session lost its place to a newer one on another node.
    Fenced(SessionRecord),
    /// Some deliveries did not fit: see [`Missed`].
    Missed,
    /// All sessions may have missed something, or a node is gone: the node's `Alarms` know.
    Alarm,
    /// The node is going away; clients come back within so many ms.
    Drain(u32),
    /// The drain is over.
    Stop,
}

/// Connections whose deliveries did not fit the mailbox. Bounded by the connections of a reactor.
#[derive(Debug, Default)]
pub struct Missed {
    conns: Mutex<HashSet<ConnId>>,
    is_announced: AtomicBool,
}

impl Missed {
    /// Takes all.
    pub fn take(&self) -> Vec<ConnId> {
        self.is_announced.store(false, Ordering::SeqCst);
        std::mem::take(&mut *self.conns.lock()).into_iter().collect()
    }
}

/// The way to one reactor.
#[derive(Clone)]
pub struct Post {
    sender: MailSender<Mail>,
    missed: Arc<Missed>,
}

/// What a reactor needs to get its mail.
pub struct MailEnd {
    /// Its mailbox.
    pub receiver: MailReceiver<Mail>,
    /// What did not fit.
    pub missed: Arc<Missed>,
}

/// The ways to all reactors of the node.
#[derive(Clone)]
pub struct PostOffice {
    posts: Arc<[Post]>,
    /// Threads that get replies and nothing else; their ids follow those of the reactors.
    edges: Arc<[EdgePost]>,
}

impl PostOffice {
    /// Mailboxes for `count` reactors, with their receiving ends.
    pub fn new(count: usize, limits: CreditLimits) -> (Self, Vec<MailEnd>) {
        let limits = MailLimits {
            reserved_max: limits.reply_queue_len() + OTHER_MAILS_MAX,
            best_effort_weight_max: DELIVERIES_BYTES_MAX,
        };
        let (posts, ends): (Vec<_>, Vec<_>) = (0..count)
            .map(|_| {
                let (sender, receiver) = mailbox(limits);
                let missed = Arc::new(Missed::default());
                (Post { sender, missed: missed.clone() }, MailEnd { receiver, missed })
            })
            .unzip();
        (Self { posts: posts.into(), edges: Arc::default() }, ends)
    }

    /// The same with ways to further threads.
    pub fn with_edges(self, edges: Vec<EdgePost>) -> Self {
        Self { edges: edges.into(), ..self }
    }

    /// Threads that replies can go to: the reactors, then the others.
    pub fn way_count(&self) -> usize {
        self.posts.len() + self.edges.len()
    }

    /// Reactors.
    pub fn reactor_count(&self) -> usize {
        self.posts.len()
    }

    /// Posts a reply, whose slot was reserved when its job was accepted.
    pub fn reply(&self, reactor: ReactorId, mail: Mail) {
        let number = usize::from(reactor.0);
        let Some(post) = self.posts.get(number) else {
            if let Some(edge) = self.edges.get(number - self.posts.len()) {
                edge.reply(mail);
            }
            return;
        };
        let result = post.sender.post(mail);
        // A reactor that is gone needs no reply; one that is there has room for it.
        assert!(result.is_ok() || post.sender.is_closed(), "a reply's slot is reserved");
    }

    /// Posts deliveries; sessions whose deliveries do not fit get a head check instead.
    pub fn deliver(&self, reactor: ReactorId, deliveries: Vec<Delivery>) {
        let Some(post) = self.posts.get(usize::from(reactor.0)) else { return };
        let weight = deliveries
            .iter()
            .map(|d| DELIVERY_BYTES + d.targets.len() * TARGET_BYTES + d.push.len())
            .sum();
        if let Err(Mail::Deliveries(deliveries)) =
            post.sender.try_post(Mail::Deliveries(deliveries), weight)
        {
            let conns = deliveries.iter().flat_map(|d| &d.targets).map(|target| target.conn);
            post.miss(conns);
        }
    }

    /// Posts what another service says; if a kick does not fit, a head check finds out.
    pub fn peer(&self, reactor: ReactorId, mail: PeerMail) {
        let Some(post) = self.posts.get(usize::from(reactor.0)) else { return };
        if let PeerMail::Notice(notice) = &mail {
            let weight = PEER_MAIL_BYTES + notice.frame.len() + notice.targets.len() * TARGET_BYTES;
            let _ = post.sender.try_post_within(Mail::Peer(mail), weight, NOTICES_BYTES_MAX);
            return;
        }
        let result = post.sender.try_post(Mail::Peer(mail), PEER_MAIL_BYTES);
        if let Err(Mail::Peer(PeerMail::Kick { conn, .. })) = result {
            post.miss([conn]);
        }
    }

    /// Tells every reactor of whom something may be new; one that has no room finds out by itself.
    pub fn hints(&self, hints: &Arc<Hints>) {
        for post in self.posts.iter() {
            let (mail, weight) = (Mail::Peer(PeerMail::Hints(hints.clone())), hints.weight());
            let _ = post.sender.try_post_within(mail, weight, NOTICES_BYTES_MAX);
        }
    }

    /// Says that a session was fenced; if it does not fit, the next head check finds out.
    pub fn fenced(&self, reactor: ReactorId, record: SessionRecord) {
        if let Some(post) = self.posts.get(usize::from(reactor.0)) {
            let _ = post.sender.try_post(Mail::Fenced(record), PEER_MAIL_BYTES);
        }
    }

    /// Says that there is an alarm. One that has no room for it is busy, and looks anyway.
    pub fn alarm(&self) {
        for post in self.posts.iter() {
            let _ = post.sender.try_post(Mail::Alarm, PEER_MAIL_BYTES);
        }
    }

    /// Tells every reactor; false if one could not be told because it is gone.
    pub fn broadcast(&self, mut mail: impl FnMut() -> Mail) -> bool {
        self.posts.iter().all(|post| post.sender.post(mail()).is_ok())
    }
}

impl Post {
    fn miss(&self, conns: impl IntoIterator<Item = ConnId>) {
        self.missed.conns.lock().extend(conns);
        if !self.missed.is_announced.swap(true, Ordering::SeqCst) {
            // The lane has room for it, or mail that wakes the reactor anyway, after which it looks.
            let _ = self.sender.post(Mail::Missed);
        }
    }
}
