//! The way to the link's thread: what other threads hand to it, and what happens when it does not
//! fit. Knows nothing of what becomes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use aldis_directory::{NodeRecord, Sessions};
use aldis_link::LinkMail;
use aldis_logic::cluster::{KickOrder, Outgoing, Routes, outgoing};
use aldis_logic::job::Event;
use aldis_logic::{Hints, Notice};
use aldis_net::{MailLimits, MailReceiver, MailSender, mailbox};

/// Entries that may wait for the link's thread, bytes: a second of a link that carries 500 Mbit/s.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Bytes that may wait there up to which notifications are added that are in no store.
const NOTICE_BYTES_MAX: usize = 4 << 20;
/// Slots for what must not be lost: answers of the directory (two under way at most) and the end.
const RESERVED_MAX: usize = 4;
/// What other mail takes while it waits, bytes.
const MAIL_BYTES: usize = 256;

/// See the file's first line.
#[derive(Clone)]
pub struct LinkPost {
    sender: MailSender<LinkMail>,
    routes: Arc<Routes>,
    has_dropped: Arc<AtomicBool>,
    /// Of the clock that all who deal with routes share.
    origin: Instant,
}

/// What the link's thread needs to get its mail.
pub struct LinkMailEnd {
    /// Its mailbox.
    pub receiver: MailReceiver<LinkMail>,
    /// See `LinkPost`.
    pub routes: Arc<Routes>,
    /// Entries were dropped on their way to the link.
    pub has_dropped: Arc<AtomicBool>,
    /// See `LinkPost`.
    pub origin: Instant,
}

impl LinkPost {
    /// The way, and its end.
    pub fn new() -> (Self, LinkMailEnd) {
        let (sender, receiver) = mailbox(MailLimits {
            reserved_max: RESERVED_MAX,
            best_effort_weight_max: WAITING_BYTES_MAX,
        });
        let (routes, has_dropped) = (Arc::new(Routes::default()), Arc::default());
        let post = Self { sender, routes, has_dropped, origin: Instant::now() };
        let LinkPost { routes, has_dropped, origin, .. } = post.clone();
        (post, LinkMailEnd { receiver, routes, has_dropped, origin })
    }

    /// Hands over what concerns other nodes. Where it does not fit, they are told to look by
    /// themselves.
    pub fn forward(&self, events: &[Event]) {
        let now_ms = self.origin.elapsed().as_millis() as u64;
        let entries = outgoing(events, &self.routes, now_ms);
        if entries.is_empty() {
            return;
        }
        let weight = entries.iter().map(Outgoing::weight).sum();
        if self.sender.try_post(LinkMail::Outgoing(entries), weight).is_err() {
            self.has_dropped.store(true, Ordering::Relaxed);
        }
    }

    /// Users on other nodes are told something. Where it does not fit, it is dropped.
    pub fn notice(&self, notice: Notice) {
        if self.routes.has_peers() {
            let weight = notice.weight();
            let _ = self.sender.try_post_within(LinkMail::Notice(notice), weight, NOTICE_BYTES_MAX);
        }
    }

    /// Sessions began or ended here. Where it does not fit, other nodes find out by themselves.
    pub fn hints(&self, hints: Arc<Hints>) {
        if self.routes.has_peers() {
            let weight = hints.weight();
            let _ = self.sender.try_post_within(LinkMail::Hints(hints), weight, NOTICE_BYTES_MAX);
        }
    }

    /// A session elsewhere is over. Where that does not fit, a head check finds out.
    pub fn kick(&self, order: KickOrder) {
        let _ = self.sender.try_post(LinkMail::Kick(order), MAIL_BYTES);
    }

    /// The directory's answer to a question of the link.
    pub fn found(&self, number: u32, sessions: Sessions) {
        // A link that is gone needs no answer.
        let _ = self.sender.post(LinkMail::Found { number, sessions });
    }

    /// The nodes that there are; the next list comes soon, if this one does not fit.
    pub fn nodes(&self, nodes: Vec<NodeRecord>) {
        let weight = MAIL_BYTES * (1 + nodes.len());
        let _ = self.sender.try_post(LinkMail::Nodes(nodes), weight);
    }

    /// The node goes away, and nothing more is sent.
    pub fn stop(&self) {
        let _ = self.sender.post(LinkMail::Stop);
    }
}
