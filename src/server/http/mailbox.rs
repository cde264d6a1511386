//! Where replies of workers come to that were asked for by an HTTP thread. Knows no reply.

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::mail::Mail;

/// The way to an HTTP thread.
#[derive(Clone)]
pub struct EdgePost(Sender<Mail>);

/// Its end there.
pub type EdgeMail = Receiver<Mail>;

/// A mailbox with room for so many replies: as many as jobs may be under way.
pub fn edge_mailbox(replies_max: usize) -> (EdgePost, EdgeMail) {
    let (sender, receiver) = channel(replies_max);
    (EdgePost(sender), receiver)
}

impl EdgePost {
    /// Posts a reply, whose slot was reserved when its job was accepted.
    pub fn reply(&self, mail: Mail) {
        let result = self.0.try_send(mail);
        // A thread that is gone needs no reply; one that is there has room for it.
        let is_full = matches!(result, Err(TrySendError::Full(_)));
        assert!(!is_full, "a reply's slot is reserved");
    }
}
