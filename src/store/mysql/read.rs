//! Answers questions, each from one snapshot: which connection, what if it fails, what must be on
//! disk before it is shown. The questions themselves are in `lookups`, `sync` and `history`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aldis_logic::job::{JobError, ReadJob, ReadResult};
use aldis_wire::{ConversationKey, GroupId, UserId};

use super::Shared;
use super::connection::Purpose;
use super::durable::Barrier;
use super::failure::{Abort, Stop};
use super::follows;
use super::link::Link;
use super::look::Snapshot;
use super::lookups::{self, Head};
use super::replica::ReplicaLinks;
use super::search::Searched;
use super::sql_text::SqlText;
use crate::lists;
use crate::search::{search_messages, search_names};
use crate::sight;
use crate::traits::{Reader, StoreError};

/// A failure after less time than this is that of a connection which broke while nobody used it;
/// the question is asked once more.
const STALE_MAX: Duration = Duration::from_millis(200);

/// A reader of a MySQL store.
pub struct MysqlReader {
    pub(super) shared: Arc<Shared>,
    pub(super) primary: Link,
    pub(super) replicas: ReplicaLinks,
    pub(super) barrier: Barrier,
    /// Kept for its memory.
    pub(super) sql: SqlText,
}

impl MysqlReader {
    pub(super) fn open(shared: Arc<Shared>) -> Result<Self, StoreError> {
        let number = shared.next_number();
        Ok(Self {
            primary: Link::open(shared.target(Purpose::Read))?,
            replicas: ReplicaLinks::new(&shared, number as usize),
            barrier: Barrier::new(shared.claim.node(), number),
            sql: SqlText::default(),
            shared,
        })
    }

    fn answer(&mut self, job: &ReadJob) -> Result<ReadResult, Stop> {
        if let ReadJob::Sync { user, after, limit } = job {
            return Ok(ReadResult::Sync(self.sync(*user, *after, *limit)?));
        }
        if let ReadJob::History { reader, conversation, range, limit } = job {
            let page = self.history(*reader, *conversation, *range, *limit)?;
            return Ok(ReadResult::History(page));
        }
        if let ReadJob::Stream { reader, group, after, limit } = job {
            return Ok(ReadResult::Sync(self.stream(*reader, *group, *after, *limit)?));
        }
        if let ReadJob::StreamEnds { asks } = job {
            return Ok(ReadResult::StreamEnds(self.stream_ends(asks)?));
        }
        if is_list(job) {
            return self.answer_list(job);
        }
        let session = self.primary.session()?;
        let sql = &mut self.sql;
        sql.clear();
        Ok(match job {
            ReadJob::Credentials { username } => {
                ReadResult::Credentials(lookups::credentials(session, sql, username)?)
            }
            ReadJob::LoginState { user, device_id } => {
                let (mut state, head) = lookups::login_state(session, sql, *user, device_id)?;
                let (streams, heads) = follows::followed(session, sql, &[*user], device_id)?;
                state.streams = streams.into_iter().map(|(_, followed)| followed).collect();
                self.secure(&[(*user, head)])?;
                self.secure_streams(&heads)?;
                ReadResult::LoginState(state)
            }
            ReadJob::Heads { users } => {
                // What is followed comes first: it is of no later time than the heads.
                let (streams, stream_heads) = follows::followed(session, sql, users, "")?;
                sql.clear();
                let (mut answer, heads) = lookups::heads(session, sql, users)?;
                follows::distribute(&mut answer, &streams);
                self.secure(&heads)?;
                self.secure_streams(&stream_heads)?;
                ReadResult::Heads(answer)
            }
            ReadJob::Users { users } => ReadResult::Users(lookups::users(session, sql, users)?),
            ReadJob::FindUsers { prefix, limit } => {
                ReadResult::Users(lookups::find_users(session, sql, prefix, *limit)?)
            }
            ReadJob::Groups { user, after, limit } => {
                ReadResult::Groups(lookups::groups(session, sql, *user, *after, *limit)?)
            }
            ReadJob::Members { reader, group, after, limit } => ReadResult::Members(
                lookups::members(session, sql, *reader, *group, *after, *limit)?,
            ),
            ReadJob::Sight { pairs } => {
                ReadResult::Sight(sight::sights(&mut Snapshot { session, sql }, pairs)?)
            }
            ReadJob::Devices { user, limit } => {
                ReadResult::Devices(lookups::devices(session, sql, *user, *limit)?)
            }
            ReadJob::Account { user } => {
                ReadResult::Account(lookups::account(session, sql, *user)?)
            }
            ReadJob::Audience(job) => {
                ReadResult::Audience(sight::audiences(&mut Snapshot { session, sql }, job)?)
            }
            ReadJob::SearchMessages(job) => {
                ReadResult::SearchedMessages(search_messages(&mut Searched(self), job)?)
            }
            ReadJob::SearchNames { user, names, query, after, limit } => {
                let mut snapshot = Snapshot { session, sql };
                let page = search_names(&mut snapshot, *user, *names, query, *after, *limit)?;
                ReadResult::SearchedNames(page)
            }
            ReadJob::Sync { .. }
            | ReadJob::Stream { .. }
            | ReadJob::StreamEnds { .. }
            | ReadJob::History { .. }
            | ReadJob::Conversations { .. }
            | ReadJob::Pinned { .. }
            | ReadJob::FollowedStreams { .. }
            | ReadJob::Receipts { .. }
            | ReadJob::Reactions { .. }
            | ReadJob::GroupRequests { .. }
            | ReadJob::Relations { .. } => unreachable!("pages and lists are answered above"),
        })
    }

    /// A question that is a list written once for all backends.
    fn answer_list(&mut self, job: &ReadJob) -> Result<ReadResult, Stop> {
        let mut snapshot = Snapshot { session: self.primary.session()?, sql: &mut self.sql };
        let (answer, shown) = snapshot.hold(|look| {
            Ok(match job {
                ReadJob::Conversations { user, before, limit } => {
                    let page = lists::conversations(look, *user, *before, *limit)?;
                    (ReadResult::Conversations(page), vec![*user])
                }
                ReadJob::Pinned { user } => {
                    (ReadResult::Conversations(lists::pinned(look, *user)?), vec![*user])
                }
                ReadJob::FollowedStreams { user, after, limit } => {
                    let page = lists::streams(look, *user, *after, *limit)?;
                    (ReadResult::Conversations(page), vec![*user])
                }
                ReadJob::Receipts { reader, conversation, after, limit } => {
                    let page = lists::receipts(look, *reader, *conversation, *after, *limit)?;
                    let others = page.receipts.iter().map(|receipt| UserId(receipt.user_id));
                    let shown = others.chain([*reader]).collect();
                    (ReadResult::Receipts(page), shown)
                }
                ReadJob::Reactions { reader, conversation, conv_seq, after, limit } => {
                    let place = (*conversation, *conv_seq);
                    let page = lists::reactions(look, *reader, place, *after, *limit)?;
                    (ReadResult::Reactions(page), vec![*reader])
                }
                ReadJob::GroupRequests { reader, group, after, limit } => {
                    let page = lists::group_requests(look, *reader, *group, *after, *limit)?;
                    (ReadResult::GroupRequests(page), vec![])
                }
                ReadJob::Relations { user, list, after, limit } => {
                    let page = lists::relations(look, *user, *list, *after, *limit)?;
                    (ReadResult::Relations(page), vec![])
                }
                _ => unreachable!("it is no list"),
            })
        })?;
        self.secure_users(&shown)?;
        Ok(answer)
    }

    /// Makes sure that what the mailboxes of these users tell is on disk: marks and reactions are
    /// told there too.
    fn secure_users(&mut self, users: &[UserId]) -> Result<(), Abort> {
        self.sql.clear();
        let (_, heads) = lookups::heads(self.primary.session()?, &mut self.sql, users)?;
        self.secure(&heads)
    }

    /// Makes sure that what these heads count is on disk. A head that a crash takes back would be
    /// passed again by another entry, of which nobody would then be told.
    pub(super) fn secure(&mut self, heads: &[(UserId, Head)]) -> Result<(), Abort> {
        let durable = &self.shared.durable;
        let needs_barrier =
            |&(user, head): &(UserId, Head)| head.is_fresh && !durable.has_mailbox(user, head.seq);
        if !heads.iter().any(needs_barrier) {
            return Ok(());
        }
        self.barrier.pass(self.primary.session()?)?;
        for &(user, head) in heads {
            self.shared.durable.raise_mailbox(user, head.seq);
        }
        Ok(())
    }

    /// The same for heads of groups.
    fn secure_streams(&mut self, heads: &[(GroupId, Head)]) -> Result<(), Abort> {
        let key = ConversationKey::group;
        let durable = &self.shared.durable;
        let needs_barrier = |&(group, head): &(GroupId, Head)| {
            head.is_fresh && !durable.has_conversation(key(group), head.seq)
        };
        if !heads.iter().any(needs_barrier) {
            return Ok(());
        }
        self.barrier.pass(self.primary.session()?)?;
        for &(group, head) in heads {
            self.shared.durable.raise_conversation(key(group), head.seq);
        }
        Ok(())
    }
}

/// Whether lists written once for all backends answer it.
fn is_list(job: &ReadJob) -> bool {
    matches!(
        job,
        ReadJob::Conversations { .. }
            | ReadJob::Pinned { .. }
            | ReadJob::FollowedStreams { .. }
            | ReadJob::Receipts { .. }
            | ReadJob::Reactions { .. }
            | ReadJob::GroupRequests { .. }
            | ReadJob::Relations { .. }
    )
}

impl Reader for MysqlReader {
    fn read(&mut self, job: &ReadJob) -> Result<ReadResult, JobError> {
        let begun = Instant::now();
        let mut outcome = self.answer(job);
        let mut was_up = false;
        if let Err(Stop::Abort(Abort::Unavailable(why) | Abort::Retry(why))) = &outcome {
            was_up = self.primary.close(why);
            if was_up && begun.elapsed() < STALE_MAX {
                outcome = self.answer(job);
            }
        }
        let why = match outcome {
            Ok(found) => return Ok(found),
            Err(Stop::Refuse(why)) => return Err(why),
            Err(Stop::Abort(why)) => why,
        };
        match why {
            Abort::Poisoned(why) => {
                log::error!("a question cannot be answered: {why}");
                // A transaction may be open.
                self.primary.reset();
                Err(JobError::Internal)
            }
            Abort::Unavailable(why) | Abort::Retry(why) => {
                // While it cannot even be connected to, one line is enough.
                if self.primary.close(&why) || was_up {
                    log::error!("the store is unavailable: {why}");
                }
                Err(JobError::Unavailable)
            }
        }
    }
}
