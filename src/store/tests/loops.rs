//! The writer and reader loops: batches, order, and that later sends cannot overtake a failed one.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

use aldis_logic::Now;
use aldis_logic::job::{
    Append, Event, FailedSend, JobError, OpenSession, ReactorId, ReadJob, ReadRequest, ReadResult,
    Ticket, WriteJob, WriteReply, WriteRequest, Written,
};
use aldis_store::memory::{Fate, MemoryStore};
use aldis_store::{
    BATCH_BYTES_MAX, BATCH_REQUESTS_MAX, MSG_ID_EPOCH_MS, SeedUsers, Store, run_reader, run_writer,
};
use aldis_wire::limits::LOGIN_MS_MAX;
use aldis_wire::{
    ClientMsgId, Command, ConnId, ConversationKey, DeviceClass, Epoch, Seq, UserId, pb,
};
use bytes::Bytes;
use crossbeam::channel::bounded;

const NOW_MS: u64 = MSG_ID_EPOCH_MS + 1_000;
/// When the loop runs, by the clock of jobs.
const MONO_MS: u64 = 100_000;
/// More than any test queues before the loop runs.
const QUEUE_LEN: usize = 4 * BATCH_REQUESTS_MAX;

fn ticket(request: u32) -> Ticket {
    let conn = ConnId { index: 0, generation: 0 };
    Ticket { reactor: ReactorId(0), conn, request, command: Command::MsgSend, bytes: 0 }
}

fn store_with_two_users() -> (MemoryStore, ConversationKey, UserId) {
    let store = MemoryStore::new(0, 1).unwrap();
    let seed = SeedUsers { prefix: "u".into(), count: 2 };
    let users = store.seed_users(&seed, NOW_MS).unwrap();
    (store, ConversationKey::direct(users[0], users[1]), users[0])
}

fn send(key: ConversationKey, sender: UserId, number: u32, bytes: usize) -> WriteJob {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    WriteJob::Append(Append {
        conversation: key,
        sender,
        client_msg_id: ClientMsgId(id),
        kind: pb::MsgType::Text,
        content: Bytes::from(vec![b'x'; bytes]),
        extra: Bytes::new(),
        refs: Bytes::new(),
        friends_only: false,
    })
}

/// Runs the loop over the requests; returns what each call of `done` got.
fn run(store: &MemoryStore, requests: Vec<WriteRequest>) -> Vec<(Vec<WriteReply>, Vec<Event>)> {
    let (queue, jobs) = bounded(QUEUE_LEN);
    requests.into_iter().for_each(|request| queue.send(request).unwrap());
    drop(queue);
    let mut calls = Vec::new();
    let writer = store.writer().unwrap();
    let now = Now { mono_ms: MONO_MS, unix_ms: NOW_MS };
    run_writer(writer, jobs, || now, |replies, events| calls.push((replies, events))).unwrap();
    calls
}

#[test]
fn what_is_queued_is_one_batch_up_to_its_limit_and_replies_keep_their_order() {
    let (store, key, sender) = store_with_two_users();
    let count = BATCH_REQUESTS_MAX as u32 + 10;
    let requests = (0..count)
        .map(|n| WriteRequest { ticket: ticket(n), fence: 0, job: send(key, sender, n, 1) })
        .collect();
    let calls = run(&store, requests);
    let sizes: Vec<_> = calls.iter().map(|(replies, _)| replies.len()).collect();
    assert_eq!(sizes, [BATCH_REQUESTS_MAX, 10]);
    assert_eq!(calls[0].1.len(), BATCH_REQUESTS_MAX);
    for (n, reply) in (0..).zip(calls.iter().flat_map(|(replies, _)| replies)) {
        assert_eq!(reply.ticket, ticket(n));
        assert_eq!((reply.fence, reply.failed_send), (0, None));
        match &reply.result {
            Ok(Written::Appended(placed)) => assert_eq!(placed.seq, Seq(u64::from(n) + 1)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_batch_ends_by_bytes() {
    let (store, key, sender) = store_with_two_users();
    let requests = (0..8)
        .map(|n| WriteRequest {
            ticket: ticket(n),
            fence: 0,
            job: send(key, sender, n, BATCH_BYTES_MAX / 4),
        })
        .collect();
    let sizes: Vec<_> = run(&store, requests).iter().map(|(replies, _)| replies.len()).collect();
    assert_eq!(sizes, [4, 4]);
}

#[test]
fn after_a_failure_requests_made_in_ignorance_of_it_fail_without_running() {
    let (store, key, sender) = store_with_two_users();
    store.plan([Fate::Fail]);
    let half = BATCH_REQUESTS_MAX as u32;
    let mut requests: Vec<_> = (0..half + 2)
        .map(|n| WriteRequest { ticket: ticket(n), fence: 0, job: send(key, sender, n, 1) })
        .collect();
    requests.push(WriteRequest {
        ticket: ticket(9_999),
        fence: 1,
        job: send(key, sender, 9_999, 1),
    });
    let calls = run(&store, requests);
    let replies: Vec<_> = calls.iter().flat_map(|(replies, _)| replies).collect();
    let (last, failed) = replies.split_last().unwrap();
    for (n, reply) in (0..).zip(failed) {
        assert_eq!((reply.ticket, &reply.result), (ticket(n), &Err(JobError::Unavailable)));
        assert_eq!(reply.fence, 1);
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let send = FailedSend { conversation: key, client_msg_id: ClientMsgId(id) };
        assert_eq!(reply.failed_send, Some(send));
    }
    assert_eq!(failed.len(), half as usize + 2);
    match &last.result {
        Ok(Written::Appended(placed)) => assert_eq!(placed.seq, Seq(1), "nothing else ran"),
        other => panic!("{other:?}"),
    }
}

/// As by a LOGIN that came when the clock said so.
fn login(user: UserId, number: u32, asked_ms: u64) -> WriteRequest {
    let open = OpenSession {
        user,
        device_id: "phone".into(),
        class: DeviceClass::Phone,
        device_name: String::new(),
        generations: None,
        asked_ms,
    };
    WriteRequest { ticket: ticket(number), fence: 0, job: WriteJob::OpenSession(open) }
}

#[test]
fn a_login_whose_client_has_given_up_takes_nobodys_place() {
    let (store, key, sender) = store_with_two_users();
    let last_ms = MONO_MS - LOGIN_MS_MAX;
    let send = WriteRequest { ticket: ticket(3), fence: 0, job: send(key, sender, 1, 1) };
    let calls = run(
        &store,
        vec![
            login(sender, 1, last_ms),
            login(sender, 2, last_ms - 1),
            send,
            login(sender, 4, last_ms),
        ],
    );
    let mut replies: Vec<_> = calls.into_iter().flat_map(|(replies, _)| replies).collect();
    replies.sort_by_key(|reply| reply.ticket.request);
    let epochs: Vec<_> = replies
        .iter()
        .filter_map(|reply| match &reply.result {
            Ok(Written::SessionOpened(opened)) => Some((reply.ticket.request, opened.epoch)),
            _ => None,
        })
        .collect();
    assert_eq!(epochs, [(1, Epoch(1)), (4, Epoch(2))], "the late one took none");
    assert_eq!(replies[1].result, Err(JobError::Unavailable));
    assert!(matches!(replies[2].result, Ok(Written::Appended(_))), "{:?}", replies[2]);
    assert!(replies.iter().all(|reply| reply.fence == 0), "the store has not failed");
}

#[test]
fn an_unknown_outcome_is_settled_by_sending_again() {
    let (store, key, sender) = store_with_two_users();
    store.plan([Fate::Unknown]);
    let request = |fence| WriteRequest { ticket: ticket(1), fence, job: send(key, sender, 1, 1) };
    let calls = run(&store, vec![request(0)]);
    assert_eq!(calls[0].0[0].result, Err(JobError::Unavailable));
    assert!(calls[0].1.is_empty());
    let calls = run(&store, vec![request(0)]);
    assert!(calls[0].0[0].result.is_ok());
    assert!(calls[0].1.is_empty(), "it was committed the first time");
}

#[test]
fn readers_share_a_queue() {
    let (store, _, sender) = store_with_two_users();
    let (queue, jobs) = bounded(QUEUE_LEN);
    for number in 0..100 {
        let job = ReadJob::Heads { users: vec![sender] };
        queue.send(ReadRequest { ticket: ticket(number), job }).unwrap();
    }
    drop(queue);
    let (done, answers) = bounded(QUEUE_LEN);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (reader, jobs, done) = (store.reader().unwrap(), jobs.clone(), done.clone());
            scope.spawn(move || run_reader(reader, jobs, |reply| done.send(reply).unwrap()));
        }
    });
    drop(done);
    let mut numbers: Vec<_> = answers
        .iter()
        .map(|reply| {
            assert!(matches!(reply.result, Ok(ReadResult::Heads(_))));
            reply.ticket.request
        })
        .collect();
    numbers.sort();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}
