//! The planted bugs break what they say, so that it means something when the checker finds them.

use aldis_store::mysql::Bug;
use aldis_store::{Store, Writer};
use aldis_wire::ConversationKey;

use crate::harness::{appended, fresh_database, history, open, seed, send, unix_ms};

#[test]
fn an_answered_batch_is_lost_now_and_then() {
    let store = open(&fresh_database(), 1);
    let users = seed(&store, 2);
    let key = ConversationKey::direct(users[0], users[1]);
    store.plant(Some(Bug::AckBeforeCommit));
    let mut writer = store.writer().unwrap();
    for number in 0..200 {
        appended(&writer.commit(unix_ms(), &[send(key, users[0], number)]));
    }
    let found = history(&mut store.reader().unwrap(), users[0], key);
    assert_eq!(found.len(), 196);
}

#[test]
fn a_resend_is_another_message() {
    let store = open(&fresh_database(), 1);
    let users = seed(&store, 2);
    let key = ConversationKey::direct(users[0], users[1]);
    let mut writer = store.writer().unwrap();
    let batch = [send(key, users[0], 1)];
    let first = appended(&writer.commit(unix_ms(), &batch));
    assert_eq!(appended(&writer.commit(unix_ms(), &batch)), first);
    store.plant(Some(Bug::NoDedupe));
    assert_ne!(appended(&writer.commit(unix_ms(), &batch)), first);
    store.plant(None);
    assert_eq!(appended(&writer.commit(unix_ms(), &batch)), first);
}

#[test]
fn two_nodes_give_the_same_place_to_different_messages() {
    const ROUNDS: u64 = 200;
    let url = fresh_database();
    let stores = [open(&url, 1), open(&url, 2)];
    let users = seed(&stores[0], 3);
    // Different conversations, one mailbox in common.
    let keys = [1, 2].map(|other| ConversationKey::direct(users[0], users[other]));
    for store in &stores {
        store.plant(Some(Bug::SeqBeforeTransaction));
    }
    let places: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = stores
            .iter()
            .zip(keys)
            .map(|(store, key)| {
                let sender = users[0];
                scope.spawn(move || {
                    let mut writer = store.writer().unwrap();
                    let mut send = |number| {
                        appended(&writer.commit(unix_ms(), &[send(key, sender, number)]))[0].seq.0
                    };
                    (0..ROUNDS).map(&mut send).collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let both = places[0].iter().filter(|seq| places[1].contains(seq)).count();
    assert!(both > 0, "no place was given twice");
}
