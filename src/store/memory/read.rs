//! Answers of a memory store.

use aldis_logic::job::{
    Account, Credentials, Device, Followed, Generations, HistoryPage, HistoryRange, JobError,
    LoginState, ReadJob, ReadResult, SyncPage, UserHead,
};
use aldis_wire::limits::SYNC_ENTRIES_MAX;
use aldis_wire::{ConvSeq, ConversationKey, Epoch, GroupId, Seq, UserId, pb};

use super::state::State;
use crate::found::{merged, nick_key};
use crate::lists;
use crate::page::{END, PageBytes, Span, above, blank, end_of, plan, plan_stream};
use crate::record::{Follow, GroupSetting, Key, Record, Table, View};
use crate::refusal::{NO_SUCH_GROUP, NO_SUCH_USER, NOT_A_PARTY};
use crate::search::{self, search_messages, search_names};
use crate::sight;
use crate::stays::readable;

impl State {
    pub(super) fn read(&self, job: &ReadJob) -> Result<ReadResult, JobError> {
        Ok(match job {
            ReadJob::Credentials { username } => {
                let found = self.user_by_name(username).map(|(user, stored)| Credentials {
                    user,
                    password_phc: stored.password_phc.clone(),
                });
                ReadResult::Credentials(found)
            }
            ReadJob::LoginState { user, device_id } => {
                let stored = self.users.get(user).ok_or(NO_SUCH_USER)?;
                let device = self.devices.get(&(*user, device_id.clone()));
                ReadResult::LoginState(LoginState {
                    head: Seq(self.head(*user)),
                    cursor: Seq(device.map_or(0, |device| device.cursor)),
                    generations: Generations {
                        user: stored.token_generation,
                        device: device.map_or(0, |device| device.token_generation),
                    },
                    username: stored.username.clone(),
                    nickname: stored.nickname.clone(),
                    streams: self.followed(*user, Some(device_id)),
                })
            }
            ReadJob::Heads { users } => ReadResult::Heads(
                users
                    .iter()
                    .filter(|user| self.users.contains_key(user))
                    .map(|&user| self.user_head(user))
                    .collect(),
            ),
            ReadJob::Sync { user, after, limit } => {
                ReadResult::Sync(self.sync(*user, *after, *limit))
            }
            ReadJob::Stream { reader, group, after, limit } => {
                ReadResult::Sync(self.stream(*reader, *group, *after, *limit)?)
            }
            ReadJob::StreamEnds { asks } => {
                let ends = asks.iter().map(|&(reader, group)| {
                    let page = self.stream(reader, group, END, 0);
                    page.ok().and_then(|page| end_of(&page))
                });
                ReadResult::StreamEnds(ends.collect())
            }
            ReadJob::History { reader, conversation, range, limit } => {
                ReadResult::History(self.history(*reader, *conversation, *range, *limit)?)
            }
            ReadJob::Conversations { user, before, limit } => ReadResult::Conversations(
                lists::conversations(&mut &*self, *user, *before, *limit)?,
            ),
            ReadJob::Pinned { user } => {
                ReadResult::Conversations(lists::pinned(&mut &*self, *user)?)
            }
            ReadJob::FollowedStreams { user, after, limit } => {
                ReadResult::Conversations(lists::streams(&mut &*self, *user, *after, *limit)?)
            }
            ReadJob::Receipts { reader, conversation, after, limit } => {
                let (key, after) = (*conversation, *after);
                ReadResult::Receipts(lists::receipts(&mut &*self, *reader, key, after, *limit)?)
            }
            ReadJob::Reactions { reader, conversation, conv_seq, after, limit } => {
                let (place, after) = ((*conversation, *conv_seq), *after);
                ReadResult::Reactions(lists::reactions(&mut &*self, *reader, place, after, *limit)?)
            }
            ReadJob::Users { users } => {
                ReadResult::Users(users.iter().filter_map(|&user| self.user_info(user)).collect())
            }
            ReadJob::FindUsers { prefix, limit } => {
                ReadResult::Users(self.find_users(prefix, *limit))
            }
            ReadJob::Groups { user, after, limit } => {
                ReadResult::Groups(self.groups_of(*user, *after, *limit))
            }
            ReadJob::Members { reader, group, after, limit } => {
                ReadResult::Members(self.members_of(*reader, *group, *after, *limit)?)
            }
            ReadJob::GroupRequests { reader, group, after, limit } => {
                let page = lists::group_requests(&mut &*self, *reader, *group, *after, *limit)?;
                ReadResult::GroupRequests(page)
            }
            ReadJob::Sight { pairs } => ReadResult::Sight(sight::sights(&mut &*self, pairs)?),
            ReadJob::Devices { user, limit } => ReadResult::Devices(self.devices_of(*user, *limit)),
            ReadJob::Account { user } => {
                let stored = self.users.get(user).ok_or(NO_SUCH_USER)?;
                let (username, password_phc) =
                    (stored.username.clone(), stored.password_phc.clone());
                ReadResult::Account(Account { username, password_phc })
            }
            ReadJob::Audience(job) => ReadResult::Audience(sight::audiences(&mut &*self, job)?),
            ReadJob::Relations { user, list, after, limit } => {
                ReadResult::Relations(lists::relations(&mut &*self, *user, *list, *after, *limit)?)
            }
            ReadJob::SearchMessages(job) => {
                ReadResult::SearchedMessages(search_messages(&mut &*self, job)?)
            }
            ReadJob::SearchNames { user, names, query, after, limit } => {
                let page = search_names(&mut &*self, *user, *names, query, *after, *limit)?;
                ReadResult::SearchedNames(page)
            }
        })
    }

    fn find_users(&self, prefix: &str, limit: usize) -> Vec<pb::UserInfo> {
        let names = self.names.iter().filter(|(name, _)| name.starts_with(prefix)).take(limit);
        let by_username = names.filter_map(|(_, &user)| self.user_info(user)).collect();
        let keys = self.users.iter().map(|(&user, stored)| (nick_key(&stored.nickname), user));
        let mut keys: Vec<_> = keys.filter(|(key, _)| key.starts_with(prefix)).collect();
        keys.sort_unstable();
        let by_nickname = keys.into_iter().take(limit);
        let by_nickname = by_nickname.filter_map(|(_, user)| self.user_info(user)).collect();
        merged(by_username, by_nickname, limit)
    }

    pub(super) fn user_info(&self, user: UserId) -> Option<pb::UserInfo> {
        self.users.get(&user).map(|stored| pb::UserInfo {
            user_id: user.0,
            username: stored.username.clone(),
            nickname: stored.nickname.clone(),
            avatar_url: stored.avatar_url.clone(),
        })
    }

    fn user_head(&self, user: UserId) -> UserHead {
        let sessions = || self.sessions.iter().filter(|((owner, _), _)| *owner == user);
        UserHead {
            user,
            head: Seq(self.head(user)),
            epochs: sessions().map(|((_, class), one)| (*class, Epoch(one.epoch))).collect(),
            revoked: sessions()
                .filter(|(_, one)| one.revoked > 0)
                .map(|((_, class), one)| (*class, Epoch(one.revoked)))
                .collect(),
            streams: self.followed(user, None),
        }
    }

    fn devices_of(&self, user: UserId, limit: usize) -> Vec<Device> {
        let own = self.devices.iter().filter(|((owner, _), _)| *owner == user);
        let mut devices: Vec<Device> = own
            .filter_map(|((_, id), device)| {
                let class = device.class?;
                let session = self.sessions.get(&(user, class));
                let session = session
                    .filter(|session| session.device_id == *id && session.epoch > session.revoked);
                Some(Device {
                    device_id: id.clone(),
                    class,
                    name: device.name.clone(),
                    login_ms: device.login_ms,
                    epoch: session.map(|session| Epoch(session.epoch)),
                })
            })
            .collect();
        devices.sort_by(|a, b| (b.login_ms, &a.device_id).cmp(&(a.login_ms, &b.device_id)));
        devices.truncate(limit);
        devices
    }

    fn sync(&self, user: UserId, after: Seq, limit: usize) -> SyncPage {
        let mut bytes = PageBytes::default();
        let entries = self
            .mailboxes
            .range((user, after.0.saturating_add(1))..=(user, u64::MAX))
            .take(limit.min(SYNC_ENTRIES_MAX))
            .map_while(|((_, seq), &(key, at))| {
                let mut message = (**self.entry(key, at)?).clone();
                if at.0 <= self.view(user, key).cleared_seq {
                    blank(&mut message);
                }
                Some((Seq(*seq), message))
            })
            .take_while(|(_, message)| bytes.take(message))
            .collect();
        SyncPage { entries, head: Seq(self.head(user)), ..SyncPage::default() }
    }

    fn conversation_head(&self, key: ConversationKey) -> u64 {
        self.conversations.get(&key).map_or(0, |found| found.entries.len() as u64)
    }

    /// The streams of the groups that the user is in, with the cursors of a device.
    fn followed(&self, user: UserId, device_id: Option<&String>) -> Vec<Followed> {
        let first = (Table::Follow, Key::from_slice(&[user.0, 0]));
        let rows = self.rows.range(first..);
        let own = rows.take_while(|((table, key), _)| *table == Table::Follow && key[0] == user.0);
        let followed = own.filter_map(|((_, key), row)| {
            let follow = Follow::from_row(row.clone()).filter(|follow| follow.is_over == 0)?;
            let group = GroupId(key[1]);
            let cursor =
                device_id.and_then(|id| self.stream_cursors.get(&(user, id.clone(), group)));
            let head = self.conversation_head(ConversationKey::group(group));
            Some(Followed {
                group,
                start: Seq(follow.start_seq),
                head: Seq(head),
                cursor: Seq(cursor.copied().unwrap_or(0).min(head)),
            })
        });
        followed.collect()
    }

    fn stream(
        &self,
        reader: UserId,
        id: GroupId,
        after: Seq,
        limit: usize,
    ) -> Result<SyncPage, JobError> {
        let key = ConversationKey::group(id);
        let group = self.groups.get(&id).ok_or(NO_SUCH_GROUP)?;
        let stays = group.stay_rows(reader);
        let head = self.conversation_head(key);
        let limit = limit.min(SYNC_ENTRIES_MAX);
        let plan = group.stream.and_then(|is| plan_stream(is, &stays, head, after.0, limit));
        let plan = plan.ok_or(NO_SUCH_GROUP)?;
        let cleared = self.view(reader, key).cleared_seq;
        let mut bytes = PageBytes::default();
        let entries = plan
            .span
            .iter()
            .flat_map(|span| span.first..=span.last)
            .filter_map(|seq| {
                let mut message = (**self.entry(key, ConvSeq(seq))?).clone();
                if seq <= cleared {
                    blank(&mut message);
                }
                Some((Seq(seq), message))
            })
            .take_while(|(_, message)| bytes.take(message))
            .collect();
        Ok(plan.page(id, entries))
    }

    /// The places of a group's conversation that are there for a reader, and in no mailbox.
    pub(super) fn seen_of_stream(&self, reader: UserId, id: GroupId) -> Vec<Span> {
        let Some(group) = self.groups.get(&id) else { return Vec::new() };
        let head = self.conversation_head(ConversationKey::group(id));
        search::visible(group.stream, &group.stay_rows(reader), head)
    }

    fn history(
        &self,
        reader: UserId,
        key: ConversationKey,
        range: HistoryRange,
        limit: usize,
    ) -> Result<HistoryPage, JobError> {
        let all = self.conversations.get(&key).map_or(&[][..], |found| &found.entries[..]);
        let visible = self.visible(reader, key, all.len() as u64)?;
        let shown = above(&visible, self.view(reader, key).cleared_seq);
        let plan = plan(&shown, range, limit.min(SYNC_ENTRIES_MAX));
        let mut wanted: Vec<u64> =
            plan.spans.iter().flat_map(|span| span.first..=span.last).collect();
        if plan.is_descending {
            wanted.reverse();
        }
        let mut bytes = PageBytes::default();
        let mut entries: Vec<_> = wanted
            .iter()
            .filter_map(|conv_seq| all.get(*conv_seq as usize - 1))
            .take_while(|message| bytes.take(message))
            .map(|message| (**message).clone())
            .collect();
        let more = plan.more || entries.len() < wanted.len();
        if plan.is_descending {
            entries.reverse();
        }
        let max_conv_seq = ConvSeq(visible.last().map_or(0, |span| span.last));
        Ok(HistoryPage { entries, more, max_conv_seq })
    }

    fn visible(
        &self,
        reader: UserId,
        key: ConversationKey,
        head: u64,
    ) -> Result<Vec<Span>, JobError> {
        let Some(group) = key.as_group() else {
            return match (key.lo == reader.0 || key.hi == reader.0, head) {
                (false, _) => Err(NOT_A_PARTY),
                (true, 0) => Ok(vec![]),
                (true, last) => Ok(vec![Span { first: 1, last }]),
            };
        };
        let group = self.groups.get(&group).ok_or(NO_SUCH_GROUP)?;
        let spans = readable(&group.stay_rows(reader), head);
        if spans.is_empty() { Err(NO_SUCH_GROUP) } else { Ok(spans) }
    }

    fn view(&self, owner: UserId, key: ConversationKey) -> View {
        let row = self.rows.get(&(Table::View, Key::from_slice(&[owner.0, key.lo, key.hi])));
        row.cloned().and_then(View::from_row).unwrap_or_default()
    }

    pub(super) fn groups_of(
        &self,
        user: UserId,
        after: GroupId,
        limit: usize,
    ) -> pb::GroupListResp {
        let above = self.groups.iter().filter(|(id, _)| **id > after);
        let mut groups: Vec<_> = above
            .filter_map(|(id, group)| {
                let role = group.role(user)?;
                let setting = self.rows.get(&(Table::GroupSetting, Key::from_slice(&[id.0])));
                let setting = setting.cloned().and_then(GroupSetting::from_row).unwrap_or_default();
                Some(pb::GroupInfo {
                    group_id: id.0,
                    name: group.name.clone(),
                    owner_id: group.owner.0,
                    member_count: group.current().count() as u32,
                    role: role as i32,
                    create_time_ms: group.created_ms,
                    announcement: setting.announcement,
                    join_mode: setting.join_mode as i32,
                    all_muted: group.is_muted,
                    is_stream: group.stream.is_some(),
                    open_history: setting.open_seq != 0,
                })
            })
            .take(limit.saturating_add(1))
            .collect();
        let more = groups.len() > limit;
        groups.truncate(limit);
        pb::GroupListResp { groups, more }
    }

    fn members_of(
        &self,
        reader: UserId,
        group: GroupId,
        after: UserId,
        limit: usize,
    ) -> Result<pb::GroupMembersResp, JobError> {
        let group = self.groups.get(&group).filter(|group| group.has(reader));
        let group = group.ok_or(NO_SUCH_GROUP)?;
        let mut members: Vec<_> = group
            .current()
            .filter(|stay| stay.member.user > after)
            .map(|stay| pb::GroupMember {
                user_id: stay.member.user.0,
                role: stay.member.role as i32,
                join_time_ms: stay.joined_ms,
                muted_until_ms: stay.member.muted_until_ms,
            })
            .collect();
        members.sort_unstable_by_key(|member| member.user_id);
        let more = members.len() > limit;
        members.truncate(limit);
        Ok(pb::GroupMembersResp { members, more })
    }
}
