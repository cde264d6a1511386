//! What nodes agree on: one message for each client id, members, users, names, ids.

use std::sync::Barrier;

use aldis_logic::job::{Appended, NewUser, OpenSession, WriteJob, WriteRequest, Written};
use aldis_store::mysql::{MysqlStore, MysqlWriter};
use aldis_store::{Committed, Store, Writer};
use aldis_wire::{Code, ConversationKey, DeviceClass, Epoch, GroupId, RequestId, Seq, UserId};

use crate::harness::{
    appended, commit, create_group, fresh_database, history, invite, leave, open, request, seed,
    send, unix_ms,
};

#[test]
fn the_same_message_through_two_nodes_at_once_is_one_message() {
    const ROUNDS: u64 = 120;
    const BATCH: u64 = 25;
    let url = fresh_database();
    let stores = [open(&url, 1), open(&url, 2)];
    let users = seed(&stores[0], 6);
    let group = create_group(&mut stores[0].writer().unwrap(), &users, 1);
    let batches: Vec<Vec<WriteRequest>> = (0..ROUNDS)
        .map(|round| {
            (0..BATCH)
                .map(|n| {
                    let number = round * BATCH + n;
                    let (a, b) = (users[number as usize % 6], users[number as usize * 5 % 6]);
                    match number % 3 {
                        0 => send(ConversationKey::group(group), a, number),
                        _ => send(ConversationKey::direct(a, b), a, number),
                    }
                })
                .collect()
        })
        .collect();
    let barrier = Barrier::new(2);
    let mut outcomes: Vec<(Vec<Vec<Appended>>, u64)> = std::thread::scope(|scope| {
        let threads = stores.each_ref().map(|store| {
            let (batches, barrier) = (&batches, &barrier);
            scope.spawn(move || {
                let mut writer = store.writer().unwrap();
                let outcomes = batches.iter().map(|batch| {
                    barrier.wait();
                    appended(&writer.commit(unix_ms(), batch))
                });
                (outcomes.collect(), writer.retry_count())
            })
        });
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (second, second_retries) = outcomes.pop().unwrap();
    let (first, first_retries) = outcomes.pop().unwrap();
    println!("{} transactions tried again", first_retries + second_retries);
    assert_eq!(first, second, "both nodes give the same answers");
    let mut reader = stores[0].reader().unwrap();
    let mut all = history(&mut reader, users[0], ConversationKey::group(group));
    let sent_to_group = all.len() as u64 - 1;
    assert_eq!(sent_to_group, ROUNDS * BATCH / 3, "each is there once");
    all.dedup_by_key(|entry| entry.client_msg_id);
    assert_eq!(all.len() as u64, sent_to_group + 1);
}

#[test]
fn nodes_see_each_others_members_and_users_at_once() {
    let url = fresh_database();
    let stores = [open(&url, 1), open(&url, 2)];
    let mut writers = stores.each_ref().map(|store| store.writer().unwrap());
    let users = seed(&stores[0], 4);
    let group = create_group(&mut writers[0], &users[..3], 1);
    let key = ConversationKey::group(group);
    let owners = |committed: &Committed| -> Vec<UserId> {
        committed.events[0].owners.iter().map(|(user, _)| *user).collect()
    };
    let mut number = 0;
    let mut send_through = |writer: &mut MysqlWriter, sender| {
        number += 1;
        writer.commit(unix_ms(), &[send(key, sender, number)])
    };
    let [one, two] = &mut writers;
    assert_eq!(owners(&send_through(two, users[0])), users[..3]);
    one.commit(unix_ms(), &[leave(users[1], group)]);
    assert_eq!(owners(&send_through(two, users[0])), [users[0], users[2]]);
    let refused = send_through(two, users[1]);
    assert_eq!(refused.results[0].as_ref().unwrap_err().code(), Code::NotFound);
    two.commit(unix_ms(), &[invite(users[2], group, users[3])]);
    assert_eq!(owners(&send_through(one, users[3])), [users[0], users[2], users[3]]);

    let newcomer = NewUser {
        username: "newcomer".into(),
        nickname: "newcomer".into(),
        password_phc: String::new(),
        request_id: RequestId([9; 16]),
    };
    let Written::Registered(user) = commit(one, WriteJob::Register(newcomer)) else { panic!() };
    let committed =
        two.commit(unix_ms(), &[send(ConversationKey::direct(user, users[0]), user, 0)]);
    assert_eq!(appended(&committed)[0].seq, Seq(1));
}

#[test]
fn two_nodes_take_different_names_and_ids() {
    const USERS_EACH: usize = 100;
    let url = fresh_database();
    let stores = [open(&url, 1), open(&url, 2)];
    let barrier = Barrier::new(2);
    let results: Vec<Vec<Result<Written, Code>>> = std::thread::scope(|scope| {
        let threads = [(0, 0), (1, USERS_EACH / 2)].map(|(node, first)| {
            let (store, barrier): (&MysqlStore, _) = (&stores[node], &barrier);
            scope.spawn(move || {
                let mut writer = store.writer().unwrap();
                barrier.wait();
                let register = |n: usize| {
                    let name = format!("user{n}");
                    let request_id = RequestId([node as u8 + 1; 16]);
                    let (nickname, password_phc) = (name.clone(), String::new());
                    let user = NewUser { username: name, nickname, password_phc, request_id };
                    let batch = [request(WriteJob::Register(user))];
                    let result = writer.commit(unix_ms(), &batch).results.pop().unwrap();
                    result.map_err(|why| why.code())
                };
                (first..first + USERS_EACH).map(register).collect()
            })
        });
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut ids = Vec::new();
    let mut taken_count = 0;
    for result in results.concat() {
        match result {
            Ok(Written::Registered(user)) => ids.push(user.0),
            Err(Code::Conflict) => taken_count += 1,
            other => panic!("{other:?}"),
        }
    }
    ids.sort_unstable();
    assert_eq!(taken_count, USERS_EACH / 2, "names that both wanted");
    assert!(ids.into_iter().eq(10_001..10_001 + 150), "dense, none twice");
}

#[test]
fn sessions_and_groups_made_through_both_nodes_at_once_are_told_apart() {
    const ROUNDS: u8 = 60;
    let url = fresh_database();
    let stores = [open(&url, 1), open(&url, 2)];
    let users = seed(&stores[0], 3);
    let barrier = Barrier::new(2);
    let outcomes: Vec<(Vec<Epoch>, Vec<GroupId>)> = std::thread::scope(|scope| {
        let threads = stores.each_ref().map(|store| {
            let (users, barrier) = (&users, &barrier);
            scope.spawn(move || {
                let mut writer = store.writer().unwrap();
                let mut epochs = Vec::new();
                let mut groups = Vec::new();
                for round in 0..ROUNDS {
                    barrier.wait();
                    let login = WriteJob::OpenSession(OpenSession {
                        user: users[usize::from(round) % 3],
                        device_id: "phone".into(),
                        class: DeviceClass::Phone,
                        device_name: "phone".into(),
                        generations: None,
                        asked_ms: 0,
                    });
                    match commit(&mut writer, login) {
                        Written::SessionOpened(opened) => epochs.push(opened.epoch),
                        other => panic!("{other:?}"),
                    }
                    groups.push(create_group(&mut writer, users, round));
                }
                (epochs, groups)
            })
        });
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut epochs: Vec<u64> =
        outcomes.iter().flat_map(|(epochs, _)| epochs).map(|epoch| epoch.0).collect();
    epochs.sort_unstable();
    let wanted = (1..=u64::from(2 * ROUNDS / 3)).flat_map(|epoch| [epoch; 3]);
    assert!(epochs.into_iter().eq(wanted), "each login of a user has an epoch of its own");
    assert_eq!(outcomes[0].1, outcomes[1].1, "the same request made one group");
    let ids = outcomes[0].1.iter().map(|group| group.0);
    assert!(ids.eq(10_001..10_001 + u64::from(ROUNDS)), "no number was wasted");
}
