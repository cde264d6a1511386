//! Mail from other threads to one reactor, or to another loop around a `mio::Poll`: bounded, in two
//! lanes, waking it only if it sleeps. Knows neither connections nor what a mail says.
//!
//! No wake-up is lost. A sender pushes, then looks whether the reactor is asleep; the reactor
//! declares itself asleep, then looks whether the lanes are empty; a sequentially consistent fence
//! stands between the two steps on each side. In the order of the fences one comes first. If it is
//! the sender's, the reactor sees the mail and does not sleep; if it is the reactor's, the sender
//! sees it asleep and wakes it. Of several senders one takes the flag and wakes for all: their
//! mails were pushed before they saw the flag taken, and the reactor drains the lanes after
//! it was woken.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};

use crossbeam::queue::SegQueue;
use mio::Waker;

/// Room in a mailbox.
#[derive(Clone, Copy, Debug)]
pub struct MailLimits {
    /// Mails in the reserved lane: the slots that may be reserved in all.
    pub reserved_max: usize,
    /// Total weight in the best-effort lane, in the senders' unit (bytes, usually).
    pub best_effort_weight_max: usize,
}

/// A mailbox of a reactor: senders for the others, the receiver for [`crate::Reactor::new`].
pub fn mailbox<M: Send>(limits: MailLimits) -> (MailSender<M>, MailReceiver<M>) {
    let shared = Arc::new(Shared {
        reserved: LaneQueue::new(limits.reserved_max),
        best_effort: LaneQueue::new(limits.best_effort_weight_max),
        asleep: AtomicBool::new(false),
        closed: AtomicBool::new(false),
        waker: OnceLock::new(),
    });
    (MailSender { shared: shared.clone() }, MailReceiver { shared })
}

/// The sending end. Clones share the limits.
pub struct MailSender<M> {
    shared: Arc<Shared<M>>,
}

impl<M> Clone for MailSender<M> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<M: Send> MailSender<M> {
    /// Posts a mail whose slot was reserved when its job was accepted. It comes back if the reactor
    /// is gone; that the lane is full would be a bug of who reserves.
    pub fn post(&self, mail: M) -> Result<(), M> {
        self.shared.push(&self.shared.reserved, mail, 1)
    }

    /// Posts a mail if its weight fits (0 counts as 1); else, or if the reactor is gone, it comes
    /// back.
    pub fn try_post(&self, mail: M, weight: usize) -> Result<(), M> {
        self.shared.push(&self.shared.best_effort, mail, weight.max(1))
    }

    /// The same for what others have precedence over: it is posted only if the lane then weighs no more
    /// than this.
    pub fn try_post_within(&self, mail: M, weight: usize, weight_max: usize) -> Result<(), M> {
        let waiting = self.shared.best_effort.weight.load(Ordering::Relaxed);
        if waiting.saturating_add(weight) > weight_max {
            return Err(mail);
        }
        self.try_post(mail, weight)
    }

    /// Whether the reactor is gone, so that nothing can be posted any more.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }
}

/// The reactor's end.
pub struct MailReceiver<M> {
    shared: Arc<Shared<M>>,
}

impl<M> MailReceiver<M> {
    /// From now on senders can wake; before, nobody sleeps.
    pub fn set_waker(&self, waker: Waker) {
        let first = self.shared.waker.set(waker).is_ok();
        assert!(first, "one mailbox belongs to one reactor");
    }

    /// Announces that the reactor is about to sleep; false: there is mail, do not.
    pub fn prepare_sleep(&self) -> bool {
        self.shared.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let may_sleep = self.is_empty();
        if !may_sleep {
            self.end_sleep();
        }
        may_sleep
    }

    /// The reactor is awake: nobody needs to wake it.
    pub fn end_sleep(&self) {
        self.shared.asleep.store(false, Ordering::Relaxed);
    }

    /// The oldest mail with a reserved slot.
    pub fn pop_reserved(&self) -> Option<M> {
        self.shared.reserved.pop()
    }

    /// The oldest mail of the other lane.
    pub fn pop_best_effort(&self) -> Option<M> {
        self.shared.best_effort.pop()
    }

    fn is_empty(&self) -> bool {
        self.shared.reserved.queue.is_empty() && self.shared.best_effort.queue.is_empty()
    }
}

impl<M> Drop for MailReceiver<M> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
    }
}

struct Shared<M> {
    reserved: LaneQueue<M>,
    best_effort: LaneQueue<M>,
    asleep: AtomicBool,
    closed: AtomicBool,
    waker: OnceLock<Waker>,
}

impl<M> Shared<M> {
    fn push(&self, lane: &LaneQueue<M>, mail: M, weight: usize) -> Result<(), M> {
        if self.closed.load(Ordering::Acquire) {
            return Err(mail);
        }
        lane.push(mail, weight)?;
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::Relaxed)
            && let Some(waker) = self.waker.get()
            && let Err(error) = waker.wake()
        {
            log::error!("cannot wake a reactor: {error}");
        }
        Ok(())
    }
}

/// A queue whose total weight is bounded. It takes memory for what it holds, not for its bound.
struct LaneQueue<M> {
    queue: SegQueue<(usize, M)>,
    weight: AtomicUsize,
    weight_max: usize,
}

impl<M> LaneQueue<M> {
    fn new(weight_max: usize) -> Self {
        Self { queue: SegQueue::new(), weight: AtomicUsize::new(0), weight_max }
    }

    fn push(&self, mail: M, weight: usize) -> Result<(), M> {
        // What can never fit must not even pass through the sum: it could wrap around.
        if weight > self.weight_max {
            return Err(mail);
        }
        let before = self.weight.fetch_add(weight, Ordering::Relaxed);
        if before.saturating_add(weight) > self.weight_max {
            self.weight.fetch_sub(weight, Ordering::Relaxed);
            return Err(mail);
        }
        self.queue.push((weight, mail));
        Ok(())
    }

    fn pop(&self) -> Option<M> {
        let (weight, mail) = self.queue.pop()?;
        self.weight.fetch_sub(weight, Ordering::Relaxed);
        Some(mail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: MailLimits = MailLimits { reserved_max: 2, best_effort_weight_max: 10 };

    #[test]
    fn each_lane_has_its_own_bound() {
        let (sender, receiver) = mailbox::<u32>(LIMITS);
        assert_eq!(sender.try_post(1, 8), Ok(()));
        assert_eq!(sender.try_post(2, 3), Err(2));
        assert_eq!(sender.try_post(3, 2), Ok(()));
        assert_eq!(sender.post(4), Ok(()));
        assert_eq!(sender.post(5), Ok(()));
        assert_eq!(sender.post(6), Err(6));
        assert_eq!(receiver.pop_best_effort(), Some(1));
        assert_eq!(sender.try_post(7, 8), Ok(()));
        assert_eq!(receiver.pop_reserved(), Some(4));
        assert_eq!(sender.post(8), Ok(()));
    }

    #[test]
    fn what_others_precede_leaves_room_for_them() {
        let (sender, _receiver) = mailbox::<u32>(LIMITS);
        assert_eq!(sender.try_post_within(1, 4, 5), Ok(()));
        assert_eq!(sender.try_post_within(2, 2, 5), Err(2));
        assert_eq!(sender.try_post_within(3, usize::MAX, 5), Err(3));
        assert_eq!(sender.try_post(4, 6), Ok(()));
    }

    #[test]
    fn a_weight_that_overflows_is_refused_and_changes_nothing() {
        let (sender, _receiver) = mailbox::<u32>(LIMITS);
        assert_eq!(sender.try_post(1, 10), Ok(()));
        assert_eq!(sender.try_post(2, usize::MAX), Err(2));
        assert_eq!(sender.try_post(3, 1), Err(3));
    }

    #[test]
    fn mail_keeps_the_reactor_awake() {
        let (sender, receiver) = mailbox::<u32>(LIMITS);
        assert!(receiver.prepare_sleep());
        receiver.end_sleep();
        sender.post(1).unwrap();
        assert!(!receiver.prepare_sleep());
    }

    #[test]
    fn nothing_is_taken_when_the_reactor_is_gone() {
        let (sender, receiver) = mailbox::<u32>(LIMITS);
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(sender.post(1), Err(1));
        assert_eq!(sender.try_post(1, 1), Err(1));
    }
}
