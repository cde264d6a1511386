//! Commits batches: transactions, what happens when they fail, housekeeping. Knows no job's rules.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aldis_logic::job::{Event, JobError, WriteJob, WriteRequest, Written};
use aldis_wire::Seq;
use aldis_wire::limits::GROUP_MEMBERS_MAX;

use super::Shared;
use super::batch::{Batch, Entry, Made, Outcome};
use super::claim::Renewal;
use super::connection::Purpose;
use super::durable::Barrier;
use super::failure::Abort;
use super::link::Link;
use super::load::{learn_users, load};
use super::mailboxes::Mailboxes;
use super::packet::Failed;
use super::plan::Plan;
use super::sql_text::SqlText;
use super::working_set::Caches;
use super::write_back::write_back;
use crate::rules::Deferred;
use crate::traits::{Committed, Fenced, StoreError, Writer};

/// How often a transaction is tried that another node's was in the way of, before it is halved: the
/// lock order leaves few reasons for it.
const TRIES_MAX: u32 = 3;
/// Time after which what is left of a batch is Unavailable instead of being tried again. One try
/// can take as long as the lock wait timeout.
const TRYING_TIME_MAX: Duration = Duration::from_secs(2);
/// Time for finding the jobs of a batch that fail by themselves: finding one takes some twenty
/// transactions, and only a bug makes one.
const ISOLATING_TIME_MAX: Duration = Duration::from_secs(10);

/// The writer of a MySQL store.
#[derive(Debug)]
pub struct MysqlWriter {
    shared: Arc<Shared>,
    link: Link,
    caches: Caches,
    barrier: Barrier,
    /// A buffer.
    sql: SqlText,
    retry_count: u64,
}

impl MysqlWriter {
    pub(super) fn open(shared: Arc<Shared>) -> Result<Self, StoreError> {
        Ok(Self {
            link: Link::open(shared.target(Purpose::Write))?,
            barrier: shared.barrier(),
            shared,
            caches: Caches::new(),
            sql: SqlText::default(),
            retry_count: 0,
        })
    }

    /// How many transactions were given up so far because another one was in the way.
    pub fn retry_count(&self) -> u64 {
        self.retry_count
    }

    /// Runs a part of a batch as one transaction.
    fn commit_part(
        &mut self,
        now_ms: u64,
        part: &[WriteRequest],
        out: &mut Committed,
    ) -> Result<(), Failed> {
        let mut plan = Plan::of(part);
        if plan.takes_msg_ids && self.shared.claim.lacks_ids(now_ms) {
            self.renew_claim(now_ms)?;
        }
        let session = self.link.session()?;
        learn_users(session, &mut self.sql, &mut self.caches, &mut plan)?;
        let set = load(session, &mut self.sql, &mut self.caches, &plan)?;
        let mut batch = Batch {
            set,
            made: Made::default(),
            deferred: Deferred::default(),
            caches: &self.caches,
            claim: &self.shared.claim,
            stored_hash: &self.shared.stored_hash,
            now_ms,
            #[cfg(feature = "planted-bugs")]
            planted: &self.shared.planted,
        };
        let outcomes = batch.run_all(part).map_err(Failed::ours)?;

        let mut mailboxes = Mailboxes::of(&batch.made.entries);
        mailboxes.lock(session, &mut self.sql, &batch)?;
        let marks = std::mem::take(&mut batch.made.marks);
        mailboxes.place(&mut batch.made.entries, marks, &mut batch.set.devices);

        let shows_what_is_stored = outcomes.iter().any(Result::is_ok);
        let needs_barrier = shows_what_is_stored && !session.server.has_binary_log;
        let barrier = needs_barrier.then_some(self.barrier);
        write_back(session, &mut self.sql, &batch, &mailboxes, barrier)?;

        let Batch { set, made, .. } = batch;
        for account in &made.accounts {
            self.caches.users.insert(account.user, ());
        }
        for group in &made.changed_groups {
            if let Some(known) = set.groups.get(group) {
                self.caches.groups.insert(*group, known.clone());
            }
        }
        let results = outcomes.into_iter().map(|outcome| Ok(finish(outcome?, &made.entries)));
        out.results.extend(results);
        let places = made.entries.iter().map(|entry| &entry.message);
        let places = places.map(|message| (message.conversation, message.conv_seq.0));
        self.shared.durable.raise_all(mailboxes.heads(), places);
        out.events.extend(made.entries.into_iter().map(|entry| Event {
            message: Arc::new(entry.message),
            owners: entry.owners,
            origin: entry.origin,
        }));
        Ok(())
    }

    fn renew_claim(&mut self, now_ms: u64) -> Result<(), Failed> {
        let session = self.link.session()?;
        match self.shared.claim.renew(session, now_ms)? {
            Renewal::Kept => Ok(()),
            Renewal::Lost => Err(Failed::ours(Abort::Unavailable(
                "the node's number belongs to another process".to_owned(),
            ))),
        }
    }

    /// Leaves no trace of a transaction that was given up. What is remembered of users and groups
    /// was committed by others before, so it stays.
    fn roll_back(&mut self, failed: &Failed) {
        match &failed.why {
            Abort::Unavailable(why) if failed.is_ours => log::error!("no batch is possible: {why}"),
            Abort::Unavailable(why) => return self.give_up_connection(why),
            Abort::Retry(_) | Abort::Poisoned(_) => (),
        }
        let outcome = match self.link.session() {
            Ok(session) => session.run("ROLLBACK").map_err(|error| error.to_string()),
            Err(_) => return,
        };
        if let Err(why) = outcome {
            self.give_up_connection(&why);
        }
    }

    /// The server rolls back what is open on it.
    fn give_up_connection(&mut self, why: &str) {
        if self.link.close(why) {
            log::error!("the store is unavailable: {why}");
        }
    }
}

/// A job's result once its entry has a place.
fn finish(outcome: Outcome, entries: &[Entry]) -> Written {
    let Outcome { mut written, entry } = outcome;
    let Some(entry) = entry.and_then(|entry| entries.get(entry)) else { return written };
    match &mut written {
        Written::Appended(appended) => appended.seq = entry.sender_seq,
        Written::GroupCreated { seq, .. }
        | Written::Invited { seq, .. }
        | Written::Changed { seq }
        | Written::Left { seq } => *seq = entry.sender_seq,
        Written::Registered(_)
        | Written::SessionOpened(_)
        | Written::SessionReleased
        | Written::IndexStored
        | Written::DeviceRevoked
        | Written::Revoked(_)
        | Written::Seen
        | Written::Marked => debug_assert_ne!(entry.sender_seq, Seq(0), "they make no entries"),
    }
    written
}

/// What is still to be committed of a batch.
struct Parts {
    /// The next part is on top: what follows waits for its outcome, so order holds.
    stack: Vec<Range<usize>>,
    try_count: u32,
    begun_at: Instant,
}

impl Parts {
    fn of(len: usize) -> Self {
        let whole = (len > 0).then_some(0..len);
        Self { stack: whole.into_iter().collect(), try_count: 0, begun_at: Instant::now() }
    }

    fn next(&mut self) -> Option<Range<usize>> {
        self.stack.pop()
    }

    fn halve(&mut self, part: Range<usize>) {
        let middle = part.start + part.len() / 2;
        self.stack.push(middle..part.end);
        self.stack.push(part.start..middle);
        self.try_count = 0;
    }

    fn has_time(&self, time_max: Duration) -> bool {
        self.begun_at.elapsed() < time_max
    }
}

impl Writer for MysqlWriter {
    fn commit(&mut self, now_ms: u64, batch: &[WriteRequest]) -> Committed {
        let mut out = Committed {
            results: Vec::with_capacity(batch.len()),
            events: Vec::with_capacity(batch.len()),
        };
        let mut parts = Parts::of(batch.len());
        while let Some(part) = parts.next() {
            let Some(requests) = batch.get(part.clone()) else { break };
            let Err(failed) = self.commit_part(now_ms, requests, &mut out) else {
                parts.try_count = 0;
                continue;
            };
            self.roll_back(&failed);
            let is_alone = part.len() == 1;
            match failed.why {
                Abort::Unavailable(_) => break,
                Abort::Retry(why) => {
                    self.retry_count += 1;
                    parts.try_count += 1;
                    let has_tries = parts.try_count < TRIES_MAX;
                    match (has_tries, is_alone) {
                        _ if !parts.has_time(TRYING_TIME_MAX) => {
                            log::error!("a transaction was tried for too long: {why}");
                            break;
                        }
                        (true, _) => parts.stack.push(part),
                        (false, false) => parts.halve(part),
                        (false, true) if failed.is_duplicate => {
                            log::error!("a job meets its own duplicate again and again: {why}");
                            out.results.push(Err(JobError::Internal));
                            parts.try_count = 0;
                        }
                        (false, true) => {
                            log::error!("a transaction was tried too often: {why}");
                            break;
                        }
                    }
                }
                Abort::Poisoned(why) if is_alone => {
                    log::error!("a job fails by itself: {why}");
                    out.results.push(Err(JobError::Internal));
                    parts.try_count = 0;
                }
                Abort::Poisoned(_) if parts.has_time(ISOLATING_TIME_MAX) => parts.halve(part),
                Abort::Poisoned(why) => {
                    log::error!("too many jobs of a batch fail by themselves: {why}");
                    break;
                }
            }
        }
        self.caches.trim();
        out.results.resize(batch.len(), Err(JobError::Unavailable));
        out
    }

    fn mailbox_rows(&self, job: &WriteJob) -> usize {
        match job {
            WriteJob::Append(job) => match job.conversation.as_group() {
                None => 2,
                Some(group) => self
                    .caches
                    .groups
                    .peek(group)
                    .map_or(GROUP_MEMBERS_MAX, |known| known.group.members.len()),
            },
            WriteJob::CreateGroup(job) => job.members.len() + 1,
            WriteJob::InviteMembers { .. } | WriteJob::LeaveGroup { .. } | WriteJob::Group(_) => {
                GROUP_MEMBERS_MAX
            }
            WriteJob::Message(job) if job.conversation.as_group().is_some() => GROUP_MEMBERS_MAX,
            WriteJob::Friend(_) | WriteJob::Message(_) => 2,
            WriteJob::Register(_)
            | WriteJob::OpenSession(_)
            | WriteJob::ReleaseSession { .. }
            | WriteJob::RevokeDevice { .. }
            | WriteJob::MarkDelivered { .. }
            | WriteJob::View(_)
            | WriteJob::UpdateUser(_)
            | WriteJob::EndDevice { .. }
            | WriteJob::ChangePassword { .. }
            | WriteJob::NoteSeen { .. } => 1,
            WriteJob::StoreIndex { .. } => 0,
        }
    }

    /// Keeps the claim on the node's number and the connection, or gets the connection back.
    fn maintain(&mut self, now_ms: u64) -> Result<(), Fenced> {
        if self.shared.claim.is_due(now_ms)
            && let Err(failed) = self.renew_claim(now_ms)
        {
            self.roll_back(&failed);
        }
        self.link.keep_alive();
        if !self.link.is_up() {
            // The next batch says it if there is none.
            let _ = self.link.session();
        }
        if self.shared.claim.is_lost() {
            return Err(Fenced::NodeClaimed { node: self.shared.claim.node() });
        }
        match self.link.found_epoch() {
            Some(found) => Err(Fenced::StoreReplaced { found, known: self.shared.store_epoch }),
            None => Ok(()),
        }
    }
}
