//! Step B of appends: places in the mailboxes of an entry's owners. Knows no conversation.
//!
//! A mailbox's counter is counted up in its row, which stays locked until the commit: nobody sees
//! n + 1 before n is there.

use aldis_wire::{ConvSeq, Seq, UserId};

use super::batch::{Batch, Entry, Mark};
use super::connection::Session;
use super::failure::{Abort, damaged};
use super::packet::{Failed, ask};
#[cfg(feature = "planted-bugs")]
use super::planted::{Bug, write_unlocked_heads};
use super::questions::LIST_MAX;
use super::rows::number;
use super::sql_text::SqlText;
use super::working_set::{Device, DeviceKey, Map};

/// A mailbox that gets entries.
#[derive(Clone, Copy, Debug)]
struct Mailbox {
    owner: UserId,
    /// Entries of the batch.
    entry_count: usize,
    /// Where its part of the index rows begins.
    row_start: usize,
    /// The newest entry that has a place.
    head: u64,
}

/// The mailboxes that a batch's entries go to.
#[derive(Debug, Default)]
pub(super) struct Mailboxes {
    /// Ascending by owner.
    boxes: Vec<Mailbox>,
    by_owner: Map<UserId, usize>,
    /// Heads of other mailboxes, whose devices move their cursors.
    other_heads: Map<UserId, u64>,
    /// Entries for im_message_index, by mailbox and then in order.
    rows: Vec<Filed>,
}

/// What a mailbox keeps of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Filed {
    msg_id: u64,
    /// Of content and extra.
    byte_count: u64,
}

/// A row of im_message_index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexRow {
    pub owner: UserId,
    pub seq: u64,
    pub msg_id: u64,
    /// Of content and extra: pages are planned by it.
    pub byte_count: u64,
}

impl Mailboxes {
    /// Counts what each owner gets.
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut counts: Map<UserId, usize> = Map::default();
        for (owner, _) in entries.iter().flat_map(|entry| &entry.owners) {
            *counts.entry(*owner).or_default() += 1;
        }
        let mut boxes: Vec<Mailbox> = counts
            .into_iter()
            .map(|(owner, entry_count)| Mailbox { owner, entry_count, row_start: 0, head: 0 })
            .collect();
        boxes.sort_unstable_by_key(|mailbox| mailbox.owner);
        let mut row_count = 0;
        for mailbox in &mut boxes {
            mailbox.row_start = row_count;
            row_count += mailbox.entry_count;
        }
        let by_owner = boxes.iter().enumerate().map(|(at, mailbox)| (mailbox.owner, at)).collect();
        Self {
            boxes,
            by_owner,
            other_heads: Map::default(),
            rows: vec![Filed::default(); row_count],
        }
    }

    /// Counts the rows of the owners up, in their order, and learns where each mailbox stood.
    pub(super) fn lock(
        &mut self,
        session: &mut Session,
        sql: &mut SqlText,
        batch: &Batch<'_, '_>,
    ) -> Result<(), Failed> {
        sql.clear();
        let marks = &batch.made.marks;
        let returns = session.server.is_mariadb;
        #[cfg(not(feature = "planted-bugs"))]
        self.write_lock(sql, returns);
        #[cfg(feature = "planted-bugs")]
        match batch.planted.has(Bug::SeqBeforeTransaction) && !self.boxes.is_empty() {
            true => write_unlocked_heads(sql, self),
            false => self.write_lock(sql, returns),
        }
        let users = marks.iter().map(|mark| mark.device.user);
        let mut others: Vec<UserId> =
            users.filter(|user| !self.by_owner.contains_key(user)).collect();
        others.sort_unstable();
        others.dedup();
        select_heads(sql, &others);
        if sql.statement_count() == 0 {
            return Ok(());
        }
        for mut row in ask(session, sql)?.into_iter().flatten() {
            self.take_head(UserId(number(&mut row, 0)?), number(&mut row, 1)?)?;
        }
        Ok(())
    }

    fn write_lock(&self, sql: &mut SqlText, returns: bool) {
        if self.boxes.is_empty() {
            return;
        }
        sql.statement("INSERT INTO im_mailbox (owner, max_seq) VALUES ")
            .list(self.counts(), |sql, (owner, count)| {
                sql.numbers([owner.0, count]);
            })
            .push(" ON DUPLICATE KEY UPDATE max_seq = max_seq + VALUES(max_seq)");
        if returns {
            sql.push(" RETURNING owner, max_seq");
        } else {
            let owners: Vec<UserId> = self.boxes.iter().map(|mailbox| mailbox.owner).collect();
            select_heads(sql, &owners);
        }
    }

    /// How many entries each owner gets, ascending by owner.
    pub(super) fn counts(&self) -> impl Iterator<Item = (UserId, u64)> {
        self.boxes.iter().map(|mailbox| (mailbox.owner, mailbox.entry_count as u64))
    }

    fn take_head(&mut self, owner: UserId, max_seq: u64) -> Result<(), Abort> {
        let Some(mailbox) = self.by_owner.get(&owner).and_then(|&at| self.boxes.get_mut(at)) else {
            self.other_heads.insert(owner, max_seq);
            return Ok(());
        };
        let before = max_seq.checked_sub(mailbox.entry_count as u64);
        mailbox.head = before.ok_or_else(|| damaged("a mailbox counts too few"))?;
        Ok(())
    }

    /// Gives the entries their seqs, in order, and moves cursors as far as the heads were when it
    /// was asked for.
    pub(super) fn place(
        &mut self,
        entries: &mut [Entry],
        marks: Vec<Mark>,
        devices: &mut std::collections::HashMap<DeviceKey, Device>,
    ) {
        let mut marks = marks.into_iter().peekable();
        for (number, entry) in entries.iter_mut().enumerate() {
            while let Some(mark) = marks.next_if(|mark| mark.entry_count <= number) {
                self.move_cursor(&mark, devices);
            }
            let message = &entry.message;
            let byte_count = (message.content.len() + message.extra.len()) as u64;
            let filed = Filed { msg_id: message.msg_id.0, byte_count };
            for (owner, seq) in &mut entry.owners {
                let Some(mailbox) = self.by_owner.get(owner).and_then(|&at| self.boxes.get_mut(at))
                else {
                    continue;
                };
                mailbox.head += 1;
                *seq = Seq(mailbox.head);
                if let Some(row) = self.rows.get_mut(mailbox.row_start) {
                    *row = filed;
                    mailbox.row_start += 1;
                }
                if *owner == entry.message.sender {
                    entry.sender_seq = *seq;
                }
                if entry.message.conversation.is_own() {
                    entry.message.conv_seq = ConvSeq(seq.0);
                }
            }
        }
        for mark in marks {
            self.move_cursor(&mark, devices);
        }
    }

    fn move_cursor(&self, mark: &Mark, devices: &mut std::collections::HashMap<DeviceKey, Device>) {
        let user = mark.device.user;
        let own = self.by_owner.get(&user).and_then(|&at| self.boxes.get(at));
        let head = match own {
            Some(mailbox) => mailbox.head,
            None => self.other_heads.get(&user).copied().unwrap_or(0),
        };
        let cursor = mark.seq.0.min(head);
        if let Some(device) = devices.get_mut(&mark.device)
            && cursor > device.cursor
        {
            device.cursor = cursor;
            device.is_changed = true;
        }
    }

    /// The owners and their heads, after [`Self::place`].
    pub(super) fn heads(&self) -> impl Iterator<Item = (UserId, u64)> {
        self.boxes.iter().map(|mailbox| (mailbox.owner, mailbox.head))
    }

    /// Index rows ascending by owner and seq, after [`Self::place`].
    pub(super) fn rows(&self) -> impl Iterator<Item = IndexRow> {
        let mut rows = self.rows.iter();
        self.boxes.iter().flat_map(move |mailbox| {
            let first = mailbox.head + 1 - mailbox.entry_count as u64;
            let rows: Vec<Filed> = rows.by_ref().take(mailbox.entry_count).copied().collect();
            (first..).zip(rows).map(|(seq, Filed { msg_id, byte_count })| IndexRow {
                owner: mailbox.owner,
                seq,
                msg_id,
                byte_count,
            })
        })
    }
}

fn select_heads(sql: &mut SqlText, owners: &[UserId]) {
    for owners in owners.chunks(LIST_MAX) {
        sql.statement(
            "SELECT owner, max_seq FROM im_mailbox FORCE INDEX (PRIMARY) WHERE owner IN ",
        )
        .numbers(owners.iter().map(|owner| owner.0));
    }
}
