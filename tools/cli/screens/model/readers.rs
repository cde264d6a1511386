//! Who has read what of the open conversation. Of a group nobody tells it, so it is asked now and
//! then while it can change. Part of the model.

use std::collections::HashMap;

use aldis_client::core::{Request, Target};
use aldis_wire::pb;

use super::asks::Purpose;
use super::{Line, Message, Model, target_ids};

/// Members of the largest group of which it is asked: five pages, and nobody reads more names.
const MEMBERS_MAX: usize = 500;
/// How often it is asked while somebody has not read the newest own message, ms.
const AGAIN_MS: u64 = 10_000;

/// See the file's first line.
#[derive(Debug)]
pub(super) struct Readers {
    group: u64,
    /// Each other member.
    list: Vec<Reader>,
    asked_at_ms: u64,
}

#[derive(Debug)]
struct Reader {
    user: u64,
    /// Everything up to this conv_seq is read.
    read_conv_seq: u64,
    /// Before it nothing is there for the member; 0: that is not known.
    join_time_ms: u64,
}

impl Reader {
    fn can_see(&self, message: &Message) -> bool {
        self.join_time_ms <= message.time_ms
    }

    fn has_read(&self, message: &Message) -> bool {
        self.read_conv_seq >= message.conv_seq
    }
}

impl Model {
    /// Asks how far the others are. There is nothing to know of oneself.
    pub(super) fn ask_receipts(&mut self, target: Target) {
        let is_wanted = match target {
            Target::User(user) => user.0 != self.setting.me,
            Target::Group(group) => {
                let info = self.groups.get(&group.0);
                info.is_none_or(|info| info.member_count as usize <= MEMBERS_MAX)
            }
        };
        if is_wanted {
            self.ask_receipts_after(target, Vec::new());
        }
    }

    fn ask_receipts_after(&mut self, target: Target, so_far: Vec<pb::Receipt>) {
        let (receiver_id, group_id) = target_ids(target);
        let after_user_id = so_far.last().map_or(0, |receipt| receipt.user_id);
        let body = pb::ReceiptsReq { receiver_id, group_id, after_user_id, limit: 0 };
        self.ask(Request::Receipts(body), Purpose::Receipts { target, so_far });
    }

    pub(super) fn handle_receipts(
        &mut self,
        target: Target,
        mut so_far: Vec<pb::Receipt>,
        page: pb::ReceiptsResp,
    ) {
        let more = page.more && !page.receipts.is_empty();
        so_far.extend(page.receipts);
        match target {
            Target::User(_) => {
                for receipt in so_far {
                    let (read, received) = (receipt.read_conv_seq, receipt.received_conv_seq);
                    self.chats.note_receipt(target, read, received);
                }
            }
            Target::Group(_) if more && so_far.len() < MEMBERS_MAX => {
                self.ask_receipts_after(target, so_far);
            }
            Target::Group(group) => {
                let list = so_far.into_iter().map(|receipt| Reader {
                    user: receipt.user_id,
                    read_conv_seq: receipt.read_conv_seq,
                    join_time_ms: 0,
                });
                let list: Vec<Reader> = list.collect();
                self.wanted_names.extend(list.iter().map(|reader| reader.user));
                let asked_at_ms = self.now_ms;
                // Of more members it is not known.
                self.readers = (!more).then_some(Readers { group: group.0, list, asked_at_ms });
                self.note_joins();
            }
        }
    }

    /// The members of a group are known, or known anew.
    pub(super) fn handle_roster(&mut self) {
        self.note_joins();
        let (Some(readers), Some(roster)) = (&self.readers, &self.roster) else { return };
        let is_open = self.current_group() == Some(roster.group) && readers.group == roster.group;
        // Oneself is a member too.
        if is_open && readers.list.len() + 1 != roster.members.len() {
            self.ask_receipts(super::target_of_ids(0, roster.group));
        }
    }

    /// Since when the members are in the group may be known now.
    fn note_joins(&mut self) {
        let Some(readers) = &mut self.readers else { return };
        let Some(roster) = self.roster.as_ref().filter(|roster| roster.group == readers.group)
        else {
            return;
        };
        let members = roster.members.iter().map(|member| (member.user_id, member.join_time_ms));
        let since: HashMap<u64, u64> = members.collect();
        for reader in &mut readers.list {
            reader.join_time_ms = since.get(&reader.user).copied().unwrap_or(0);
        }
    }

    /// Who writes in a group has read what was said before.
    pub(super) fn note_reader(&mut self, target: Target, user: u64, conv_seq: u64) {
        let (_, group) = target_ids(target);
        let readers = self.readers.as_mut().filter(|readers| readers.group == group);
        let reader = readers.and_then(|r| r.list.iter_mut().find(|reader| reader.user == user));
        if let Some(reader) = reader {
            reader.read_conv_seq = reader.read_conv_seq.max(conv_seq);
        }
    }

    /// The others who can see an own message of the open group; `None`: that is not known.
    fn readers_of(&self, message: &Message) -> Option<impl Iterator<Item = &Reader>> {
        let group = self.current_group()?;
        let readers = self.readers.as_ref().filter(|readers| readers.group == group)?;
        Some(readers.list.iter().filter(|reader| reader.can_see(message)))
    }

    /// How many have read it, and how many can see it.
    pub fn read_count(&self, message: &Message) -> Option<(usize, usize)> {
        let counts = self.readers_of(message)?.fold((0, 0), |(read_count, count), reader| {
            (read_count + usize::from(reader.has_read(message)), count + 1)
        });
        Some(counts)
    }

    /// Who has read it, and who has not.
    pub fn read_by(&self, message: &Message) -> Option<(Vec<u64>, Vec<u64>)> {
        let (read, unread): (Vec<&Reader>, Vec<&Reader>) =
            self.readers_of(message)?.partition(|reader| reader.has_read(message));
        let users = |readers: Vec<&Reader>| readers.iter().map(|reader| reader.user).collect();
        Some((users(read), users(unread)))
    }

    /// Asks again if it can have changed and somebody looks.
    pub(super) fn refresh_readers(&mut self) {
        let Some(target) = self.current().filter(|_| self.current_group().is_some()) else {
            return;
        };
        let Some(readers) = &self.readers else { return };
        let is_due = self.now_ms >= readers.asked_at_ms.saturating_add(AGAIN_MS);
        if !is_due || self.line != Line::Online || !self.is_looked_at {
            return;
        }
        let me = self.setting.me;
        let is_own = |message: &&Message| message.sender_id == me && message.is_written();
        let newest = self.log.as_ref().and_then(|log| log.messages().rev().find(is_own));
        let counts = newest.and_then(|own| self.read_count(own));
        let can_change = counts.is_some_and(|(read_count, count)| read_count < count);
        let is_asked = self.asks.has(|purpose| matches!(purpose, Purpose::Receipts { .. }));
        if can_change && !is_asked {
            // Also of a group that one is no longer in, where the answer is a refusal.
            if let Some(readers) = &mut self.readers {
                readers.asked_at_ms = self.now_ms;
            }
            self.ask_receipts(target);
        }
    }
}
