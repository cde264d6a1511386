//! Receipts: the other of a 1:1 conversation is told how far one has come with it, at once and best
//! effort; what is certain is asked for by RECEIPTS. Groups are not told: each reader would tell each
//! sender.

use std::collections::{BTreeMap, VecDeque};

use aldis_wire::{Command, ConnId, ConvSeq, ConversationKey, Message, Seq, UserId, pb};
use bytes::Bytes;

use super::typing::audience;
use crate::acts::NO_CONN;
use crate::aside::Pending;
use crate::credits::Need;
use crate::job::{JobError, ReadJob, ReadResult, SyncPage, Ticket};
use crate::notice::Notice;
use crate::service::Service;

/// Receipts that wait; more are dropped.
const WAITING_MAX: usize = 4_096;
/// Receipts of one question who may be told.
const ASKED_MAX: usize = 64;
/// How long after a MARK_DELIVERED it is looked at what was delivered: a device that receives says so
/// often. ms
const DELIVERED_PAUSE_MS: u64 = 500;
/// Entries that are looked at, the newest ones: receipts of earlier messages follow from theirs.
const DELIVERED_ENTRIES_MAX: u64 = 100;
/// Questions of each kind under way.
const UNDER_WAY_MAX: usize = 1;

/// How far a user has come with a 1:1 conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Receipt {
    read: ConvSeq,
    delivered: ConvSeq,
}

type Keyed = ((UserId, ConversationKey), Receipt);

/// What is to be told.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    waiting: BTreeMap<(UserId, ConversationKey), Receipt>,
    /// Sessions with something delivered, and when it is looked at, in its order, mono ms.
    delivered: VecDeque<(u64, ConnId)>,
    /// By the number in the question's ticket.
    asked: Vec<(u32, Vec<Keyed>)>,
    looked: Vec<(u32, UserId)>,
    last_number: u32,
}

impl Receipts {
    /// When there is something to do, mono ms.
    pub fn due_at_ms(&self) -> Option<u64> {
        let told = (!self.waiting.is_empty() && self.asked.len() < UNDER_WAY_MAX).then_some(0);
        let looked = self.delivered.front().filter(|_| self.looked.len() < UNDER_WAY_MAX);
        told.or(looked.map(|&(at_ms, _)| at_ms))
    }

    fn note(&mut self, user: UserId, key: ConversationKey, receipt: Receipt) {
        if self.waiting.len() >= WAITING_MAX && !self.waiting.contains_key(&(user, key)) {
            return;
        }
        let known = self.waiting.entry((user, key)).or_default();
        known.read = known.read.max(receipt.read);
        known.delivered = known.delivered.max(receipt.delivered);
    }

    fn next_number(&mut self) -> u32 {
        self.last_number = self.last_number.wrapping_add(1);
        self.last_number
    }
}

/// A MARK_READ of a user goes to the store.
pub(super) fn note_read(service: &mut Service, conn: ConnId, request: u32, at: Mark) {
    if at.key.peer_of(at.user).is_some_and(|peer| peer != at.user)
        && let Some(session) = service.session(conn)
    {
        session.aside().pending.push((request, Pending::Read(at.key, at.conv_seq)));
    }
}

/// Where a user has read up to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub user: UserId,
    pub key: ConversationKey,
    pub conv_seq: ConvSeq,
}

/// The MARK_READ of this ticket was answered.
pub(super) fn handle_read(service: &mut Service, ticket: Ticket, is_ok: bool) {
    let Some(session) = service.session(ticket.conn) else { return };
    let Some(Pending::Read(key, read)) = session.take_pending(ticket.request) else { return };
    let Some(user) = session.online().map(|online| online.user).filter(|_| is_ok) else { return };
    service.receipts.note(user, key, Receipt { read, ..Receipt::default() });
}

/// A device says that it holds everything up to there.
pub(super) fn note_delivered(service: &mut Service, conn: ConnId, seq: Seq) {
    let at_ms = service.now.mono_ms + DELIVERED_PAUSE_MS;
    let Some(session) = service.session(conn) else { return };
    let aside = session.aside();
    let is_waiting = aside.delivered > aside.delivered_told;
    aside.delivered = aside.delivered.max(seq);
    if !is_waiting && aside.delivered > aside.delivered_told {
        service.receipts.delivered.push_back((at_ms, conn));
    }
}

/// Asks what is to be asked, as far as the store has room.
pub(crate) fn begin(service: &mut Service) {
    while let Some(at_ms) = service.receipts.due_at_ms()
        && at_ms <= service.now.mono_ms
        && service.credits.has(Need::Read)
    {
        if service.receipts.waiting.is_empty() || service.receipts.asked.len() >= UNDER_WAY_MAX {
            look(service);
        } else {
            ask(service);
        }
    }
}

/// What the next device holds that it did not before.
fn look(service: &mut Service) {
    let Some((_, conn)) = service.receipts.delivered.pop_front() else { return };
    let Some(session) = service.session(conn) else { return };
    let Some(user) = session.online().map(|online| online.user) else { return };
    let aside = session.aside();
    let (told, upto) = (aside.delivered_told, aside.delivered);
    aside.delivered_told = upto;
    let after = Seq(told.0.max(upto.0.saturating_sub(DELIVERED_ENTRIES_MAX)));
    let limit = (upto.0 - after.0) as usize;
    let request = service.receipts.next_number();
    service.receipts.looked.push((request, user));
    let ticket = Ticket { request, command: Command::MarkDelivered, ..service.own_ticket(NO_CONN) };
    service.start_read(ticket, ReadJob::Sync { user, after, limit });
}

/// Who may be told what waits.
fn ask(service: &mut Service) {
    let receipts = &mut service.receipts;
    let mut asked: Vec<Keyed> = Vec::new();
    while asked.len() < ASKED_MAX
        && let Some(next) = receipts.waiting.pop_first()
    {
        asked.push(next);
    }
    let asks = asked.iter().map(|(key, _)| *key).collect();
    let request = receipts.next_number();
    receipts.asked.push((request, asked));
    let ticket = Ticket { request, command: Command::MarkRead, ..service.own_ticket(NO_CONN) };
    let audience = audience(service, asks);
    service.start_read(ticket, ReadJob::Audience(audience));
}

/// Whether a read reply answers a question of this file.
pub(crate) fn is_ours(ticket: Ticket) -> bool {
    ticket.conn == NO_CONN && matches!(ticket.command, Command::MarkRead | Command::MarkDelivered)
}

/// The store answered. What it does not answer is not told.
pub(crate) fn handle_answer(
    service: &mut Service,
    ticket: Ticket,
    result: Result<ReadResult, JobError>,
) {
    let receipts = &mut service.receipts;
    let looked = receipts.looked.iter().position(|(number, _)| *number == ticket.request);
    let looked = looked.map(|at| receipts.looked.swap_remove(at).1);
    let asked = receipts.asked.iter().position(|(number, _)| *number == ticket.request);
    let asked = asked.map(|at| receipts.asked.swap_remove(at).1).unwrap_or_default();
    match (result, looked) {
        (Ok(ReadResult::Sync(page)), Some(user)) => handle_page(service, user, &page),
        (Ok(ReadResult::Audience(found)), None) => {
            for (receipt, users) in asked.into_iter().zip(found) {
                if let Ok(users) = users {
                    tell(service, receipt, users);
                }
            }
        }
        (Ok(_) | Err(_), _) => {}
    }
}

/// What others wrote to the user and one of the user's devices holds now.
fn handle_page(service: &mut Service, user: UserId, page: &SyncPage) {
    for (_, entry) in &page.entries {
        let is_pair = entry.conversation.as_group().is_none() && !entry.conversation.is_own();
        if is_pair && entry.sender != user && entry.kind.is_message() {
            let receipt = Receipt { delivered: entry.conv_seq, ..Receipt::default() };
            service.receipts.note(user, entry.conversation, receipt);
        }
    }
}

fn tell(service: &mut Service, receipt: Keyed, users: Vec<UserId>) {
    let ((user, _), Receipt { read, delivered }) = receipt;
    let body = pb::ReceiptNotify {
        user_id: user.0,
        read_conv_seq: read.0,
        delivered_conv_seq: delivered.0,
    };
    let body = Bytes::from(body.encode_to_vec());
    let command = Command::ReceiptNotify;
    service.notify(Notice { command, body, users: users.into_iter().collect() });
}
