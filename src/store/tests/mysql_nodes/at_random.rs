//! Random batches through several nodes, while readers look on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aldis_logic::job::{Appended, ReadJob, ReadResult, StoredMessage, WriteJob, Written};
use aldis_store::mysql::{MysqlReader, MysqlStore};
use aldis_store::{Reader, Store, Writer};
use aldis_wire::{Code, ConversationKey, GroupId, Seq, UserId};

use crate::harness::{
    create_group, fresh_database, history, invite, leave, open, seed, send, unix_ms,
};

/// Takes a seed back.
const SEED_VARIABLE: &str = "ALDIS_STORE_SEED";

fn head(reader: &mut MysqlReader, user: UserId) -> u64 {
    match reader.read(&ReadJob::Heads { users: vec![user] }) {
        Ok(ReadResult::Heads(heads)) => heads[0].head.0,
        other => panic!("{other:?}"),
    }
}

/// Reads on to the head; every entry is there, and each conversation's in its order.
fn read_on(reader: &mut MysqlReader, user: UserId, mailbox: &mut Vec<StoredMessage>) {
    let promised = head(reader, user);
    while (mailbox.len() as u64) < promised {
        let job = ReadJob::Sync { user, after: Seq(mailbox.len() as u64), limit: 500 };
        let Ok(ReadResult::Sync(page)) = reader.read(&job) else { panic!("no page") };
        assert!(!page.entries.is_empty(), "{promised} was promised, {} is the end", mailbox.len());
        for (seq, entry) in page.entries {
            mailbox.push(entry);
            assert_eq!(seq.0, mailbox.len() as u64, "dense");
        }
        assert!(page.head.0 >= mailbox.len() as u64);
    }
}

fn assert_conversations_in_order(mailbox: &[StoredMessage]) {
    let mut last: HashMap<ConversationKey, u64> = HashMap::new();
    for entry in mailbox {
        let before = last.insert(entry.conversation, entry.conv_seq.0).unwrap_or(0);
        assert!(entry.conv_seq.0 > before, "{:?} in {:?}", entry.conv_seq, entry.conversation);
    }
}

fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn random_seed() -> u64 {
    let given = std::env::var(SEED_VARIABLE).ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| getrandom::u64().unwrap());
    println!("{SEED_VARIABLE}={seed}");
    seed
}

/// What one node did.
#[derive(Default)]
struct Tally {
    /// Acknowledged messages: what was sent and where it came to stand.
    placed: Vec<(ConversationKey, UserId, Appended)>,
    retry_count: u64,
}

/// Random batches of messages to hot users and groups, of people joining and leaving.
fn write_at_random(
    store: &MysqlStore,
    users: &[UserId],
    groups: &[GroupId],
    batch_count: u64,
    mut random: u64,
) -> Tally {
    let mut writer = store.writer().unwrap();
    let mut tally = Tally::default();
    for _ in 0..batch_count {
        let mut pick = |count: usize| next_random(&mut random) as usize % count;
        let len = 1 + pick(60);
        let batch: Vec<_> = (0..len)
            .map(|_| {
                let (a, b) = (users[pick(users.len())], users[pick(users.len())]);
                let group = groups[pick(groups.len())];
                let number = pick(usize::MAX) as u64;
                match pick(20) {
                    0 => invite(a, group, b),
                    1 => leave(a, group),
                    2..=7 => send(ConversationKey::group(group), a, number),
                    _ => send(ConversationKey::direct(a, b), a, number),
                }
            })
            .collect();
        let committed = writer.commit(unix_ms(), &batch);
        for (request, result) in batch.iter().zip(&committed.results) {
            match (&request.job, result) {
                (WriteJob::Append(job), Ok(Written::Appended(appended))) => {
                    tally.placed.push((job.conversation, job.sender, *appended));
                }
                (_, Ok(_)) => (),
                (_, Err(why)) => assert_eq!(why.code(), Code::NotFound, "no member any more"),
            }
        }
        writer.maintain(unix_ms()).unwrap();
    }
    tally.retry_count = writer.retry_count();
    tally
}

#[test]
fn mailboxes_are_dense_and_complete_while_nodes_write() {
    const NODES: u16 = 3;
    let url = fresh_database();
    let stores: Vec<_> = (1..=NODES).map(|node| open(&url, node)).collect();
    let users = seed(&stores[0], 24);
    let mut writer = stores[0].writer().unwrap();
    let groups: Vec<_> =
        (0..3).map(|n| create_group(&mut writer, &users[n * 4..], n as u8)).collect();
    let random = random_seed();
    let (is_over, passes) = (AtomicBool::new(false), AtomicU64::new(0));
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        for (start, store) in stores.iter().enumerate().take(2) {
            let (users, is_over, passes) = (&users, &is_over, &passes);
            let mut reader = store.reader().unwrap();
            scope.spawn(move || {
                let mut mailboxes = vec![Vec::new(); users.len()];
                let mut was_over = false;
                while !was_over {
                    was_over = is_over.load(Ordering::SeqCst);
                    for n in 0..users.len() {
                        let at = (start * 7 + n) % users.len();
                        read_on(&mut reader, users[at], &mut mailboxes[at]);
                    }
                    passes.fetch_add(1, Ordering::SeqCst);
                }
                mailboxes.iter().for_each(|mailbox| assert_conversations_in_order(mailbox));
            });
        }
        let (users, groups) = (&users, &groups);
        let threads: Vec<_> = stores
            .iter()
            .zip(1..)
            .map(|(store, number)| {
                scope.spawn(move || write_at_random(store, users, groups, 80, random + number))
            })
            .collect();
        let tallies = threads.into_iter().map(|thread| thread.join());
        let tallies = tallies.collect::<Result<_, _>>();
        is_over.store(true, Ordering::SeqCst);
        tallies.unwrap()
    });
    assert!(passes.into_inner() >= 2);
    let retry_count: u64 = tallies.iter().map(|tally| tally.retry_count).sum();
    let message_count: usize = tallies.iter().map(|tally| tally.placed.len()).sum();
    println!("{message_count} messages, {retry_count} transactions tried again");
    assert!(retry_count < 10, "the lock order leaves hardly a reason for deadlocks");

    let mut reader = stores[1].reader().unwrap();
    let mut mailboxes = HashMap::new();
    for &user in &users {
        let mut mailbox = Vec::new();
        read_on(&mut reader, user, &mut mailbox);
        assert_is_what_history_shows(&mut reader, user, &mailbox, &groups);
        mailboxes.insert(user, mailbox);
    }
    for (conversation, sender, appended) in tallies.iter().flat_map(|tally| &tally.placed) {
        let entry = &mailboxes[sender][appended.seq.0 as usize - 1];
        assert_eq!(entry.msg_id, appended.msg_id, "where it was acknowledged");
        assert_eq!((entry.conversation, entry.conv_seq), (*conversation, appended.conv_seq));
    }
}

/// A mailbox holds of each group what its owner's stays let it see, neither more nor less, and of
/// 1:1 conversations everything.
fn assert_is_what_history_shows(
    reader: &mut MysqlReader,
    user: UserId,
    mailbox: &[StoredMessage],
    groups: &[GroupId],
) {
    let mut seen: HashMap<ConversationKey, Vec<StoredMessage>> = HashMap::new();
    for group in groups {
        seen.insert(ConversationKey::group(*group), Vec::new());
    }
    for entry in mailbox {
        seen.entry(entry.conversation).or_default().push(entry.clone());
    }
    for (conversation, entries) in seen {
        assert_eq!(entries, history(reader, user, conversation), "{user} in {conversation:?}");
        if conversation.as_group().is_none() {
            let seqs = entries.iter().map(|entry| entry.conv_seq.0);
            assert!(seqs.eq(1..=entries.len() as u64), "dense");
        }
    }
}
