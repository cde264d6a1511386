//! Writes what a batch made and changed, in as few packets as possible; the last one commits. Knows
//! tables, no rules.

use aldis_logic::job::NewUser;
use aldis_wire::{ConversationKey, RECALLED};

use super::batch::{Batch, Entry, Made, NewAccount, NewGroup, StayRow, StreamMark};
use super::connection::Session;
use super::durable::Barrier;
use super::mailboxes::Mailboxes;
use super::packet::{Failed, ask, commit};
#[cfg(feature = "planted-bugs")]
use super::planted::Bug;
use super::records;
use super::sql_text::SqlText;
use super::working_set::{WorkingSet, sorted_keys};
use crate::found::nick_key;
use crate::group::Stay;

/// Bytes at which a packet is sent: with the largest message it stays below 4 MiB, a quarter of
/// what the server must take.
const PACKET_BYTES: usize = 1 << 20;

/// Records of one statement: the largest have some 5 KiB.
const RECORDS_MAX: usize = 100;

/// Packets while they are written.
struct Packets<'a> {
    session: &'a mut Session,
    sql: &'a mut SqlText,
    is_any_sent: bool,
}

/// Writes everything and commits. When the transaction has changed nothing but answers from what is
/// stored, `barrier` makes sure that this is on disk.
pub(super) fn write_back(
    session: &mut Session,
    sql: &mut SqlText,
    batch: &Batch<'_, '_>,
    mailboxes: &Mailboxes,
    barrier: Option<Barrier>,
) -> Result<(), Failed> {
    sql.clear();
    let mut packets = Packets { session, sql, is_any_sent: false };
    packets.bodies(&batch.made.entries)?;
    packets.changed_bodies(&batch.made)?;
    #[cfg(not(feature = "planted-bugs"))]
    packets.index_rows(mailboxes, "")?;
    #[cfg(feature = "planted-bugs")]
    match batch.planted.has(Bug::SeqBeforeTransaction) {
        true => packets.index_rows_anywhere(mailboxes)?,
        false => packets.index_rows(mailboxes, "")?,
    }
    packets.conversations(&batch.set)?;
    packets.accounts(&batch.made.accounts, batch.now_ms)?;
    packets.profiles(&batch.set);
    packets.devices(&batch.set)?;
    packets.stream_cursors(&batch.made.stream_marks)?;
    packets.groups(&batch.made, &batch.set, batch.now_ms)?;
    packets.records(&batch.made, &batch.set)?;
    packets.sequences(&batch.set);
    packets.search_blocks(&batch.made)?;
    packets.redactions(&batch.made);
    let Packets { session, sql, is_any_sent } = packets;
    if let Some(barrier) = barrier
        && !is_any_sent
        && sql.statement_count() == 0
    {
        barrier.write(sql);
    }
    #[cfg(feature = "planted-bugs")]
    let end = batch.planted.end();
    #[cfg(not(feature = "planted-bugs"))]
    let end = "COMMIT";
    sql.statement(end);
    commit(session, sql)
}

impl Packets<'_> {
    /// A multi-row statement for the items, or none if there are none.
    fn rows<T>(
        &mut self,
        head: &'static str,
        items: impl IntoIterator<Item = T>,
        tail: &'static str,
        mut write: impl FnMut(&mut SqlText, T),
    ) -> Result<(), Failed> {
        let mut is_open = false;
        for item in items {
            if is_open {
                self.sql.push(",(");
            } else {
                self.sql.statement(head).push("(");
                is_open = true;
            }
            write(self.sql, item);
            self.sql.push(")");
            if self.sql.len() >= PACKET_BYTES {
                self.sql.push(tail);
                is_open = false;
                ask(self.session, self.sql)?;
                self.sql.clear();
                self.is_any_sent = true;
            }
        }
        if is_open {
            self.sql.push(tail);
        }
        Ok(())
    }

    fn bodies(&mut self, entries: &[Entry]) -> Result<(), Failed> {
        self.rows(
            "INSERT INTO im_message_body (msg_id, lo, hi, conv_seq, msg_no, sender, sender_seq, \
             time_ms, client_msg_id, body_hash, kind, content, extra, refs) VALUES ",
            entries,
            "",
            |sql, entry| {
                let message = &entry.message;
                let numbers = [
                    message.msg_id.0,
                    message.conversation.lo,
                    message.conversation.hi,
                    message.conv_seq.0,
                    message.msg_no.0,
                    message.sender.0,
                    entry.sender_seq.0,
                    message.time_ms,
                ];
                sql.list(numbers, |sql, value| {
                    sql.number(value);
                });
                match entry.has_client_msg_id {
                    true => sql.push(",").bytes(&message.client_msg_id.0),
                    false => sql.push(",NULL"),
                };
                sql.push(",").signed(entry.body_hash);
                sql.push(",").signed(i32::from(message.kind).into());
                sql.push(",").bytes(&message.content).push(",").bytes(&message.extra);
                sql.push(",").bytes(&message.refs);
            },
        )
    }

    /// What entries say from now on. Only who holds the conversation's row changes them.
    fn changed_bodies(&mut self, made: &Made<'_>) -> Result<(), Failed> {
        for ((key, conv_seq), change) in &made.bodies {
            self.sql.statement("UPDATE im_message_body SET content = ").bytes(&change.content);
            self.sql.push(", extra = ").bytes(&change.extra);
            self.sql.push(", flags = ").number(change.flags.into());
            self.sql.push(", edit_seq = ").number(change.edit_seq);
            if change.flags & RECALLED != 0 {
                self.sql.push(", refs = ''");
            }
            self.sql.push(" WHERE lo = ").number(key.lo).push(" AND hi = ").number(key.hi);
            self.sql.push(" AND conv_seq = ").number(conv_seq.0);
            if self.sql.len() >= PACKET_BYTES {
                ask(self.session, self.sql)?;
                self.sql.clear();
                self.is_any_sent = true;
            }
        }
        Ok(())
    }

    /// Ascending; nothing else locks these rows.
    fn search_blocks(&mut self, made: &Made<'_>) -> Result<(), Failed> {
        self.rows(
            "INSERT INTO im_search_block (owner, block, data) VALUES ",
            &made.search_blocks,
            " ON DUPLICATE KEY UPDATE data = VALUES(data)",
            |sql, ((owner, number), data)| {
                sql.number(*owner).push(",").number(*number).push(",").bytes(data);
            },
        )
    }

    /// See im_redaction. The last lock of all, held for the commit alone.
    fn redactions(&mut self, made: &Made<'_>) {
        if made.bodies.keys().any(|(key, _)| key.as_group().is_some()) {
            self.sql.statement(
                "INSERT INTO im_redaction (id, count) VALUES (1, 1) \
                 ON DUPLICATE KEY UPDATE count = count + 1",
            );
        }
    }

    /// Places and counters, of which somebody else may have been given the same.
    #[cfg(feature = "planted-bugs")]
    fn index_rows_anywhere(&mut self, mailboxes: &Mailboxes) -> Result<(), Failed> {
        let tail = " ON DUPLICATE KEY UPDATE msg_id = VALUES(msg_id), bytes = VALUES(bytes)";
        self.index_rows(mailboxes, tail)?;
        self.rows(
            "INSERT INTO im_mailbox (owner, max_seq) VALUES ",
            mailboxes.heads(),
            " ON DUPLICATE KEY UPDATE max_seq = GREATEST(max_seq, VALUES(max_seq))",
            |sql, (owner, head)| {
                sql.number(owner.0).push(",").number(head);
            },
        )
    }

    fn index_rows(&mut self, mailboxes: &Mailboxes, tail: &'static str) -> Result<(), Failed> {
        self.rows(
            "INSERT INTO im_message_index (owner, seq, msg_id, bytes) VALUES ",
            mailboxes.rows(),
            tail,
            |sql, row| {
                sql.number(row.owner.0).push(",").number(row.seq).push(",").number(row.msg_id);
                sql.push(",").number(row.byte_count);
            },
        )
    }

    /// Counters that differ from what the rows say: of groups, and of 1:1 conversations with
    /// resends.
    fn conversations(&mut self, set: &WorkingSet) -> Result<(), Failed> {
        let changed =
            sorted_keys(&set.conversations, |conversation| conversation.now != conversation.stored);
        self.rows(
            "INSERT INTO im_conversation (lo, hi, max_seq, msg_count, change_seq, \
             member_version, ties) VALUES ",
            changed,
            " ON DUPLICATE KEY UPDATE max_seq = VALUES(max_seq), msg_count = VALUES(msg_count), \
             change_seq = VALUES(change_seq), member_version = VALUES(member_version), \
             ties = VALUES(ties)",
            |sql, key: ConversationKey| {
                let now = set.conversations[&key].now;
                let counters =
                    [now.max_seq, now.msg_count, now.change_seq, now.member_version, now.ties];
                sql.number(key.lo).push(",").number(key.hi).push(",");
                sql.list(counters, |sql, value| {
                    sql.number(value);
                });
            },
        )
    }

    fn accounts(&mut self, accounts: &[NewAccount<'_>], now_ms: u64) -> Result<(), Failed> {
        self.rows(
            "INSERT INTO im_user (user_id, username, nickname, nick_key, password_phc, \
             request_id, created_ms) VALUES ",
            accounts,
            "",
            |sql, NewAccount { user, account }| {
                let NewUser { username, nickname, password_phc, request_id } = account;
                sql.number(user.0);
                for value in [username, nickname, &nick_key(nickname), password_phc] {
                    sql.push(",").text(value);
                }
                sql.push(",").bytes(&request_id.0).push(",").number(now_ms);
            },
        )?;
        self.rows(
            "INSERT INTO im_username (name, user_id) VALUES ",
            accounts,
            "",
            |sql, NewAccount { user, account }| {
                sql.text(&account.username).push(",").number(user.0);
            },
        )
    }

    fn profiles(&mut self, set: &WorkingSet) {
        for user in sorted_keys(&set.profiles, |(_, is_changed)| *is_changed) {
            let (profile, _) = &set.profiles[&user];
            self.sql.statement("UPDATE im_user SET nickname = ").text(&profile.nickname);
            self.sql.push(", nick_key = ").text(&nick_key(&profile.nickname));
            self.sql.push(", avatar_url = ").text(&profile.avatar_url);
            self.sql.push(", password_phc = ").text(&profile.password_phc);
            self.sql.push(", token_generation = ").number(profile.token_generation.into());
            self.sql.push(" WHERE user_id = ").number(user.0);
        }
    }

    fn devices(&mut self, set: &WorkingSet) -> Result<(), Failed> {
        self.rows(
            "INSERT INTO im_device (user_id, device_id, class, name, token_generation, \
             cursor_seq, login_ms) VALUES ",
            sorted_keys(&set.devices, |device| device.is_changed),
            " ON DUPLICATE KEY UPDATE class = VALUES(class), name = VALUES(name), \
             token_generation = VALUES(token_generation), cursor_seq = VALUES(cursor_seq), \
             login_ms = VALUES(login_ms)",
            |sql, key| {
                let device = &set.devices[&key];
                sql.number(key.user.0).push(",").bytes(key.device_id.as_bytes());
                sql.push(",").number(device.class.into()).push(",").text(&device.name);
                sql.push(",").number(device.token_generation.into());
                sql.push(",").number(device.cursor).push(",").number(device.login_ms);
            },
        )?;
        self.rows(
            "INSERT INTO im_session (user_id, class, epoch, issued, revoked, device_id) VALUES ",
            sorted_keys(&set.sessions, |session| session.is_changed),
            " ON DUPLICATE KEY UPDATE epoch = VALUES(epoch), issued = VALUES(issued), \
             revoked = VALUES(revoked), device_id = VALUES(device_id)",
            |sql, (user, class)| {
                let session = &set.sessions[&(user, class)];
                sql.number(user.0).push(",").signed(class.number());
                sql.push(",").number(session.epoch).push(",").number(session.issued);
                sql.push(",").number(session.revoked);
                sql.push(",").bytes(session.device_id.as_bytes());
            },
        )
    }

    fn stream_cursors(&mut self, marks: &[StreamMark<'_>]) -> Result<(), Failed> {
        self.rows(
            "INSERT INTO im_stream_cursor (user_id, device_id, group_id, seq) VALUES ",
            marks,
            " ON DUPLICATE KEY UPDATE seq = GREATEST(seq, VALUES(seq))",
            |sql, mark| {
                sql.number(mark.user.0).push(",").bytes(mark.device_id.as_bytes());
                sql.push(",").number(mark.group.0).push(",").number(mark.seq.0);
            },
        )
    }

    fn groups(&mut self, made: &Made<'_>, set: &WorkingSet, now_ms: u64) -> Result<(), Failed> {
        self.rows(
            "INSERT INTO im_group (group_id, creator_id, request_id, created_ms, owner_id, \
             member_count, muted, begin_seq, end_seq, member_seq, name) VALUES ",
            &made.groups,
            "",
            |sql, NewGroup { group, creator, request_id }| {
                let state = &set.groups[group].group;
                sql.number(group.0).push(",").number(creator.0);
                sql.push(",").bytes(&request_id.0).push(",").number(now_ms);
                sql.push(",").number(state.owner.0).push(",").number(state.member_count as u64);
                sql.push(",").number(state.is_muted.into());
                let stream = state.stream.unwrap_or_default();
                for value in [stream.begin_seq, stream.end_seq, stream.member_seq] {
                    sql.push(",").number(value);
                }
                sql.push(",").text(&state.name);
            },
        )?;
        let is_new = |group| made.groups.iter().any(|new| new.group == group);
        for &group in made.changed_groups.iter().filter(|&&group| !is_new(group)) {
            let state = &set.groups[&group].group;
            self.sql.statement("UPDATE im_group SET owner_id = ").number(state.owner.0);
            self.sql.push(", member_count = ").number(state.member_count as u64);
            self.sql.push(", muted = ").number(state.is_muted.into());
            let stream = state.stream.unwrap_or_default();
            self.sql.push(", begin_seq = ").number(stream.begin_seq);
            self.sql.push(", end_seq = ").number(stream.end_seq);
            self.sql.push(", member_seq = ").number(stream.member_seq);
            self.sql.push(", name = ").text(&state.name);
            self.sql.push(" WHERE group_id = ").number(group.0);
        }
        self.rows(
            "INSERT INTO im_group_member (group_id, user_id, join_seq, leave_seq, role, \
             joined_ms, muted_until_ms, from_seq) VALUES ",
            &made.stays,
            " ON DUPLICATE KEY UPDATE leave_seq = VALUES(leave_seq), role = VALUES(role), \
             muted_until_ms = VALUES(muted_until_ms)",
            |sql, StayRow { group, stay: Stay { member, leave_seq, from_seq } }| {
                let numbers = [
                    group.0,
                    member.user.0,
                    member.join_seq,
                    *leave_seq,
                    member.role as u64,
                    now_ms,
                    member.muted_until_ms,
                    *from_seq,
                ];
                sql.list(numbers, |sql, value| {
                    sql.number(value);
                });
            },
        )
    }

    fn records(&mut self, made: &Made<'_>, set: &WorkingSet) -> Result<(), Failed> {
        for (table, prefix) in &made.dropped {
            records::write_drop(self.sql, *table, prefix);
        }
        let keys = sorted_keys(&set.records, |stored| stored.is_changed);
        let row_of = |key| set.records.get(key).and_then(|stored| stored.row.as_ref());
        let rows: Vec<_> =
            keys.iter().filter_map(|key| Some((key.0, (&key.1, row_of(key)?)))).collect();
        for of_table in rows.chunk_by(|a, b| a.0 == b.0).flat_map(|rows| rows.chunks(RECORDS_MAX)) {
            let Some(&(table, _)) = of_table.first() else { continue };
            let rows: Vec<_> = of_table.iter().map(|&(_, row)| row).collect();
            records::write(self.sql, table, &rows);
            if self.sql.len() >= PACKET_BYTES {
                ask(self.session, self.sql)?;
                self.sql.clear();
                self.is_any_sent = true;
            }
        }
        Ok(())
    }

    fn sequences(&mut self, set: &WorkingSet) {
        if let Some(next) = set.user_ids.changed() {
            self.sql.statement("UPDATE im_sequence SET next_id = ").number(next);
            self.sql.push(" WHERE name = 'user'");
        }
        if let Some(next) = set.group_ids.changed() {
            self.sql.statement("UPDATE im_sequence SET next_id = ").number(next);
            self.sql.push(" WHERE name = 'group'");
        }
    }
}
