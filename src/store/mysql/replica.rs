//! Which replica to read a page from: whoever fails or lags is passed over for a while. Knows no
//! table.
//!
//! Permission and the heads come from the primary; rows come from a replica only when it has all
//! that those heads count. What a replica has is on the primary's disk, because it comes from the
//! primary's binary log, which is synced before a commit becomes visible (sync_binlog = 1 is
//! required).

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Shared;
use super::connection::{Purpose, Session};
use super::failure::Abort;
use super::link::{Link, Target};
use super::options::Endpoint;

/// How long a replica is left alone after it failed.
const FAILED_REST: Duration = Duration::from_secs(5);
/// How long a replica is left alone after it lacked something.
const LAGGING_REST: Duration = Duration::from_millis(500);

/// A replica, as all readers of the process know it.
#[derive(Debug)]
pub(super) struct Replica {
    endpoint: Endpoint,
    rests_until: Mutex<Option<Instant>>,
}

impl Replica {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        endpoint.warn();
        Self { endpoint, rests_until: Mutex::new(None) }
    }

    fn is_resting(&self) -> bool {
        self.rests_until.lock().is_some_and(|until| Instant::now() < until)
    }

    fn rest(&self, time: Duration) {
        *self.rests_until.lock() = Some(Instant::now() + time);
    }
}

/// A reader's connections to the replicas.
#[derive(Debug)]
pub(super) struct ReplicaLinks {
    shared: Arc<Shared>,
    links: Vec<Link>,
    /// Where the next search begins, so that they share the work.
    next: usize,
}

impl ReplicaLinks {
    /// Connects later, when they are needed. Readers of other numbers begin with other replicas.
    pub(super) fn new(shared: &Arc<Shared>, number: usize) -> Self {
        let target = |replica: &Replica| Target {
            endpoint: replica.endpoint.clone(),
            purpose: Purpose::ReadReplica,
            store_epoch: shared.store_epoch,
            allow_unsafe_durability: None,
        };
        let links = shared.replicas.iter().map(|replica| Link::closed(Arc::new(target(replica))));
        Self { shared: shared.clone(), links: links.collect(), next: number }
    }

    /// Whether one of them can be asked. Begins to connect to those that are not connected.
    pub(super) fn is_any_ready(&mut self) -> bool {
        let mut is_any = false;
        for (link, replica) in self.links.iter_mut().zip(&self.shared.replicas) {
            is_any |= !replica.is_resting() && link.session_now().is_ok();
        }
        is_any
    }

    /// Asks one after the other until one has an answer; `Ok(None)` means that it lags.
    pub(super) fn try_each<T>(
        &mut self,
        mut ask: impl FnMut(&mut Session) -> Result<Option<T>, Abort>,
    ) -> Option<T> {
        let count = self.links.len();
        let first = self.next;
        self.next = self.next.wrapping_add(1);
        for at in (0..count).map(|step| first.wrapping_add(step) % count) {
            let replica = self.shared.replicas.get(at)?;
            let link = self.links.get_mut(at)?;
            if replica.is_resting() {
                continue;
            }
            let Ok(session) = link.session_now() else { continue };
            match ask(session) {
                Ok(Some(answer)) => return Some(answer),
                Ok(None) => replica.rest(LAGGING_REST),
                Err(Abort::Unavailable(why) | Abort::Retry(why) | Abort::Poisoned(why)) => {
                    log::warn!("replica {} is passed over: {why}", replica.endpoint);
                    link.close(&why);
                    replica.rest(FAILED_REST);
                }
            }
        }
        None
    }
}
