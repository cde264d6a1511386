//! What must hold at the end of a run: the promises, compared with the store and with each other,
//! and the verdict of aldis-check on the history.

use std::collections::{BTreeMap, BTreeSet};

use aldis_check::{History, Verdict, check};
use aldis_client::recorder::conversation_of;
use aldis_wire::{ConversationKey, GroupId, Message as _, UserId, pb};

use crate::changing::is_version_of;
use crate::ledger::SendKey;
use crate::world::World;

/// A conversation by position: the entry and the mailboxes that hold it.
type Log = BTreeMap<u64, (pb::MessageData, BTreeSet<UserId>)>;

impl World {
    /// All of them.
    pub fn check_invariants(&mut self) {
        let mailboxes = self.check_mailboxes();
        let logs = self.conversations(&mailboxes);
        for (conversation, log) in &logs {
            self.check_conversation(*conversation, log);
        }
        self.check_acknowledged(&logs);
        self.check_orders();
        self.check_devices(&mailboxes);
        self.check_streams(&mailboxes);
        self.check_history();
    }

    /// Dense, and each conversation in order (I5, I13).
    fn check_mailboxes(&mut self) -> BTreeMap<UserId, Vec<pb::MessageData>> {
        let users: Vec<UserId> = self.people.iter().filter_map(|person| person.user).collect();
        let mut mailboxes = BTreeMap::new();
        for user in users {
            let (entries, head) = self.stored_mailbox(user);
            let is_dense = entries.iter().zip(1..).all(|(entry, seq)| entry.seq == seq);
            if !is_dense || entries.len() as u64 != head {
                let what = format!("mailbox {user} has {} of {head} entries", entries.len());
                self.out.violation(what);
            }
            let mut last: BTreeMap<ConversationKey, u64> = BTreeMap::new();
            for entry in &entries {
                let before = last.insert(conversation_of(entry), entry.conv_seq);
                if before.is_some_and(|before| before >= entry.conv_seq) {
                    let what = format!("mailbox {user} has {entry:?} after {before:?}");
                    self.out.violation(what);
                }
            }
            mailboxes.insert(user, entries);
        }
        mailboxes
    }

    /// One value for each place, whichever mailbox shows it (I4).
    fn conversations(
        &mut self,
        mailboxes: &BTreeMap<UserId, Vec<pb::MessageData>>,
    ) -> BTreeMap<ConversationKey, Log> {
        let mut logs: BTreeMap<ConversationKey, Log> = BTreeMap::new();
        for (user, entries) in mailboxes {
            for entry in entries {
                let log = logs.entry(conversation_of(entry)).or_default();
                let mut shared = pb::MessageData { seq: 0, ..entry.clone() };
                // In a 1:1 the receiver is the other one for both.
                shared.extra = entry.extra.clone();
                let (known, owners) =
                    log.entry(entry.conv_seq).or_insert_with(|| (shared.clone(), BTreeSet::new()));
                if *known != shared {
                    let what = format!("{shared:?} in mailbox {user} is elsewhere {known:?}");
                    self.out.violations.push(what);
                }
                owners.insert(*user);
            }
        }
        for user in mailboxes.keys() {
            for group in groups_of(mailboxes) {
                for entry in self.stored_stream(*user, group) {
                    let log = logs.entry(conversation_of(&entry)).or_default();
                    let shared = pb::MessageData { seq: 0, ..entry };
                    let (known, owners) = log
                        .entry(shared.conv_seq)
                        .or_insert_with(|| (shared.clone(), BTreeSet::new()));
                    if *known != shared || !owners.insert(*user) {
                        let what =
                            format!("{shared:?} in a stream of {user}: {known:?} {owners:?}");
                        self.out.violations.push(what);
                    }
                }
            }
        }
        logs
    }

    /// Dense, ids once, and in the mailboxes of those who were members, and no others (I1, I8, I12).
    fn check_conversation(&mut self, conversation: ConversationKey, log: &Log) {
        let mut members: BTreeSet<UserId> = BTreeSet::new();
        let mut ids = BTreeSet::new();
        let mut sent = BTreeSet::new();
        for (expected, (conv_seq, (entry, owners))) in (1..).zip(log) {
            // The places of what concerns one user alone are those of the mailbox.
            if *conv_seq != expected && !conversation.is_own() {
                return self.out.violation(format!("{conversation:?} lacks position {expected}"));
            }
            if !ids.insert(entry.msg_id) {
                self.out.violation(format!("{conversation:?} has the id of {entry:?} twice"));
            }
            let is_message = !entry.client_msg_id.is_empty();
            if is_message && !sent.insert((entry.sender_id, entry.client_msg_id.clone())) {
                self.out.violation(format!("{conversation:?} has {entry:?} twice"));
            }
            let entitled = match conversation.as_group() {
                None if conversation.is_own() => [UserId(conversation.lo)].into(),
                None => [UserId(conversation.lo), UserId(conversation.hi)].into(),
                Some(_) => entitled(&mut members, entry),
            };
            if *owners != entitled {
                self.out.violation(format!("{entry:?} is with {owners:?}, not {entitled:?}"));
            }
        }
    }

    /// Every acknowledged message is where it was said to be (I1, I2).
    fn check_acknowledged(&mut self, logs: &BTreeMap<ConversationKey, Log>) {
        for (key, record) in self.ledger.sends() {
            let Some(ack) = &record.ack else { continue };
            let place = logs.get(&key.conversation).and_then(|log| log.get(&ack.conv_seq));
            let is_there = place.is_some_and(|(entry, _)| {
                entry.msg_id == ack.msg_id
                    && entry.sender_id == key.sender.0
                    && entry.client_msg_id == key.id.0[..]
                    && (entry.flags != 0 || entry.content == record.message.content)
                    && entry.send_time_ms == ack.send_time_ms
            });
            if !is_there {
                let what = format!("{key:?} was acknowledged as {ack:?}, there is {place:?}");
                self.out.violations.push(what);
            }
        }
    }

    /// Messages of a device to a conversation keep its order (I7).
    fn check_orders(&mut self) {
        for (device, conversation, ids) in self.ledger.orders() {
            let Some(sender) = self.people[self.devices[device].person].user else { continue };
            let mut last = 0;
            for &id in ids {
                let key = SendKey { conversation, sender, id };
                if self.ledger.may_be_out_of_order(key) {
                    continue;
                }
                let record = self.ledger.record(key);
                let Some(ack) = record.and_then(|record| record.ack.as_ref()) else { continue };
                if ack.conv_seq <= last {
                    let what =
                        format!("device {device} sent {key:?} at {ack:?} after position {last}");
                    self.out.violations.push(what);
                }
                last = ack.conv_seq;
            }
        }
    }

    /// What devices applied is what the mailbox holds, all of it (I6, convergence).
    fn check_devices(&mut self, mailboxes: &BTreeMap<UserId, Vec<pb::MessageData>>) {
        for (d, device) in self.devices.iter().enumerate() {
            let Some(mailbox) = self.people[device.person].user.and_then(|u| mailboxes.get(&u))
            else {
                continue;
            };
            let applied: Vec<&pb::MessageData> = device.applied.values().collect();
            let stored: Vec<&pb::MessageData> = mailbox.iter().collect();
            let differs =
                applied.iter().zip(&stored).find(|(one, other)| !is_version_of(one, other));
            if applied.len() == stored.len() && differs.is_none() {
                continue;
            }
            let what = format!(
                "device {d} has {} entries, its mailbox {}; first difference {differs:?}",
                applied.len(),
                stored.len()
            );
            self.out.violations.push(what);
        }
    }

    /// What devices applied of streams is in them, and those that they follow to the end (I6, I8).
    fn check_streams(&mut self, mailboxes: &BTreeMap<UserId, Vec<pb::MessageData>>) {
        for d in 0..self.devices.len() {
            let Some(user) = self.user_of(d) else { continue };
            for group in groups_of(mailboxes) {
                let stored = self.stored_stream(user, group);
                let device = &self.devices[d];
                let own = device.streamed.range((group.0, 0)..=(group.0, u64::MAX));
                let strange: Vec<u64> = own
                    .filter(|((_, seq), entry)| {
                        let at = stored.binary_search_by_key(seq, |entry| entry.seq);
                        let stored = at.ok().and_then(|at| stored.get(at));
                        !stored.is_some_and(|stored| is_version_of(stored, entry))
                    })
                    .map(|((_, seq), _)| *seq)
                    .collect();
                let is_current = device
                    .core
                    .local_seq(group.0)
                    .is_none_or(|local| stored.last().is_none_or(|last| local >= last.seq));
                if !strange.is_empty() || !is_current {
                    let local = device.core.local_seq(group.0);
                    let last = stored.last().map(|entry| entry.seq);
                    self.out.violation(format!(
                        "device {d} is at {local:?} of {last:?} of {group:?}, and has {strange:?}"
                    ));
                }
            }
        }
    }

    fn check_history(&mut self) {
        let history = History::parse("sim", &self.lines.text);
        let what = match check(&history) {
            Verdict::Valid => return,
            Verdict::Invalid { violations, .. } => {
                let lines = violations.iter().map(|violation| {
                    let places: Vec<String> =
                        violation.lines.iter().map(|line| history.locate(*line)).collect();
                    format!("{}: {} ({})", violation.invariant, violation.what, places.join(", "))
                });
                lines.collect::<Vec<_>>().join("; ")
            }
            Verdict::Unknown(doubts) => format!("unknown: {}", doubts.join("; ")),
        };
        self.out.violation(format!("the history is not valid: {what}"));
    }
}

/// The groups that mailboxes tell of.
fn groups_of(mailboxes: &BTreeMap<UserId, Vec<pb::MessageData>>) -> BTreeSet<GroupId> {
    let entries = mailboxes.values().flatten().filter(|entry| entry.group_id != 0);
    entries.map(|entry| GroupId(entry.group_id)).collect()
}

/// Who gets an entry of a group, and who is a member after it.
fn entitled(members: &mut BTreeSet<UserId>, entry: &pb::MessageData) -> BTreeSet<UserId> {
    if entry.r#type != pb::MsgType::SystemGroup as i32 {
        return members.clone();
    }
    let event = pb::GroupEvent::decode(entry.content.clone()).unwrap_or_default();
    let named = event.user_ids.iter().copied().map(UserId);
    match event.kind() {
        pb::GroupEventKind::GroupDissolved => std::mem::take(members),
        pb::GroupEventKind::MemberLeft | pb::GroupEventKind::MembersRemoved => {
            let before = members.clone();
            named.for_each(|user| {
                members.remove(&user);
            });
            before
        }
        _ => {
            members.extend(named);
            members.clone()
        }
    }
}
