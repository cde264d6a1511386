//! Appending: places, resends, refusals.

use aldis_logic::job::{GroupLimits, HistoryRange, JobError, WriteJob, Written};
use aldis_wire::{Code, ConvSeq, ConversationKey, GroupId, MsgNo, Seq, UserId, pb};

use crate::harness::{Bench, append, appended, direct, on_every_backend, ticket};

fn code(result: Result<impl std::fmt::Debug, JobError>) -> Code {
    result.unwrap_err().code()
}

#[test]
fn a_message_stands_in_both_mailboxes_and_in_the_conversation() {
    on_every_backend(|bench| {
        let users = bench.users(3);
        let (a, b, c) = (users[0], users[1], users[2]);
        bench.send(direct(a, c), c, "before").unwrap();
        let id = bench.fresh_id();
        let committed = bench.batch(vec![append(direct(a, b), b, id, "hello")]);
        let first = appended(committed.results[0].as_ref().unwrap());
        assert_eq!((first.seq, first.conv_seq, first.time_ms), (Seq(1), ConvSeq(1), bench.now_ms));

        assert_eq!(committed.events.len(), 1);
        let event = &committed.events[0];
        assert_eq!(event.origin, ticket(0));
        assert_eq!(event.owners[..], [(a, Seq(2)), (b, Seq(1))]);
        let message = &*event.message;
        assert_eq!((message.msg_id, message.msg_no), (first.msg_id, MsgNo(1)));
        assert_eq!((message.sender, message.client_msg_id), (b, id));
        assert_eq!((message.kind, message.flags), (pb::MsgType::Text, 0));
        assert_eq!((&message.content[..], &message.extra[..]), (&b"hello"[..], &b"extra"[..]));

        assert_eq!(bench.mailbox(a)[1], *message);
        assert_eq!(bench.mailbox(b), std::slice::from_ref(message));
        let page = bench.history(a, direct(a, b), HistoryRange::Newest, 10).unwrap();
        assert_eq!(page.entries, std::slice::from_ref(message));
    });
}

#[test]
fn seqs_are_dense_in_batch_order_and_survive_a_restart() {
    on_every_backend(|bench| {
        let users = bench.users(4);
        for round in 0..5u64 {
            let mut jobs = Vec::new();
            for n in 0..50usize {
                let (a, b) = (users[n % 4], users[(n * 7 + 1) % 4]);
                let id = bench.fresh_id();
                jobs.push(append(direct(a, b), a, id, &format!("{round}/{n}")));
            }
            let committed = bench.batch(jobs);
            assert!(committed.results.iter().all(Result::is_ok));
            assert!(committed.events.is_sorted_by_key(|event| event.message.msg_id));
            bench.now_ms += 1;
            bench.restart();
        }
        for &user in &users {
            let mailbox = bench.mailbox(user);
            assert!(mailbox.is_sorted_by_key(|entry| entry.msg_id));
            let round = |entry: &aldis_logic::job::StoredMessage| entry.content[0];
            assert!(mailbox.is_sorted_by_key(round));
        }
    });
}

#[test]
fn a_resend_gives_the_first_result_and_no_event() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (a, b) = (users[0], users[1]);
        let id = bench.fresh_id();
        let job = append(direct(a, b), a, id, "once");
        let first = bench.run(job.clone());
        bench.now_ms += 5_000;
        for _ in 0..2 {
            let again = bench.batch(vec![job.clone()]);
            assert_eq!(again.results[0], first);
            assert!(again.events.is_empty());
            bench.send(direct(a, b), b, "between").unwrap();
            bench.restart();
        }
        assert_eq!(bench.mailbox(b).len(), 3);
    });
}

#[test]
fn a_resend_within_the_batch_gives_the_first_result() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (a, b) = (users[0], users[1]);
        let (id, other) = (bench.fresh_id(), bench.fresh_id());
        let committed = bench.batch(vec![
            append(direct(a, b), a, id, "once"),
            append(direct(a, b), a, other, "more"),
            append(direct(a, b), a, id, "once"),
        ]);
        assert_eq!(committed.results[0], committed.results[2]);
        assert_ne!(committed.results[0], committed.results[1]);
        assert_eq!(committed.events.len(), 2);
        assert_eq!(bench.mailbox(a).len(), 2);
    });
}

#[test]
fn the_same_id_with_another_body_is_a_conflict() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (a, b) = (users[0], users[1]);
        let id = bench.fresh_id();
        bench.run(append(direct(a, b), a, id, "one")).unwrap();
        let mut others = vec![append(direct(a, b), a, id, "two")];
        for change in 0..2 {
            let WriteJob::Append(mut job) = append(direct(a, b), a, id, "one") else { panic!() };
            match change {
                0 => job.kind = pb::MsgType::Custom,
                _ => job.extra = "else".into(),
            }
            others.push(WriteJob::Append(job));
        }
        for other in others {
            assert_eq!(code(bench.run(other)), Code::Conflict);
        }
        assert_eq!(bench.mailbox(b).len(), 1);
    });
}

#[test]
fn the_same_id_of_another_sender_or_conversation_is_another_message() {
    on_every_backend(|bench| {
        let users = bench.users(3);
        let (a, b, c) = (users[0], users[1], users[2]);
        let id = bench.fresh_id();
        for (peer, sender) in [(b, a), (b, b), (c, a)] {
            bench.run(append(direct(a, peer), sender, id, "x")).unwrap();
        }
        assert_eq!(bench.mailbox(a).len(), 3);
    });
}

#[test]
fn ids_that_are_not_made_of_time_work_too() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (a, b) = (users[0], users[1]);
        for byte in [0x00, 0x7f, 0x80, 0xff] {
            let id = aldis_wire::ClientMsgId([byte; 16]);
            let first = bench.run(append(direct(a, b), a, id, "x"));
            assert_eq!(bench.run(append(direct(a, b), a, id, "x")), first);
        }
        assert_eq!(bench.mailbox(b).len(), 4);
    });
}

#[test]
fn a_message_to_oneself_is_one_entry() {
    on_every_backend(|bench| {
        let a = bench.users(1)[0];
        let first = bench.send(direct(a, a), a, "note").unwrap();
        assert_eq!((first.seq, first.conv_seq), (Seq(1), ConvSeq(1)));
        assert_eq!(bench.mailbox(a).len(), 1);
        let page = bench.history(a, direct(a, a), HistoryRange::Newest, 10).unwrap();
        assert_eq!(page.entries.len(), 1);
    });
}

#[test]
fn unknown_receivers_and_strangers_are_refused_without_a_trace() {
    on_every_backend(|bench| {
        let users = bench.users(3);
        let (a, b, c) = (users[0], users[1], users[2]);
        for unknown in [1, 99_999, 1 << 31, u64::MAX >> 1, u64::MAX] {
            let key = direct(a, UserId(unknown));
            assert_eq!(code(bench.send(key, a, "x")), Code::NotFound, "{unknown}");
        }
        assert_eq!(code(bench.send(direct(a, b), c, "x")), Code::NotFound);
        for unknown in [1, 10_001, u64::MAX] {
            let key = ConversationKey::group(GroupId(unknown));
            assert_eq!(code(bench.send(key, a, "x")), Code::NotFound, "{unknown}");
        }
        assert_eq!(bench.mailbox(a), []);
        assert_eq!(bench.send(direct(a, b), a, "x").unwrap().conv_seq, ConvSeq(1));
    });
}

#[test]
fn who_left_a_group_may_not_send_but_learns_of_what_was_sent() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let group = bench.group(users[0], &users[1..]);
        let id = bench.fresh_id();
        let key = ConversationKey::group(group);
        let job = append(key, users[1], id, "last words");
        let first = bench.run(job.clone());
        assert!(first.is_ok());
        bench.run(WriteJob::LeaveGroup { user: users[1], group }).unwrap();
        assert_eq!(bench.run(job), first);
        assert_eq!(code(bench.run(append(key, users[1], id, "other"))), Code::Conflict);
        assert_eq!(code(bench.send(key, users[1], "more")), Code::NotFound);
    });
}

#[test]
fn a_group_message_has_one_body_and_an_entry_for_each_member() {
    on_every_backend(|bench| {
        let users = bench.users(20);
        let group = bench.group(users[0], &users[1..]);
        let key = ConversationKey::group(group);
        let jobs = (0..300).map(|n| append(key, users[n % 20], bench.fresh_id(), &n.to_string()));
        let jobs = jobs.collect();
        let committed = bench.batch(jobs);
        for (event, result) in committed.events.iter().zip(&committed.results) {
            assert_eq!(event.owners.len(), 20);
            let sender = event.owners.iter().find(|(user, _)| *user == event.message.sender);
            assert_eq!(sender.unwrap().1, appended(result.as_ref().unwrap()).seq);
        }
        bench.restart();
        bench.send(key, users[7], "after").unwrap();
        let reference = bench.mailbox(users[0]);
        assert_eq!(reference.len(), 302);
        assert_eq!(reference[301].msg_no, MsgNo(301), "the creation is no message");
        for &user in &users {
            assert_eq!(bench.mailbox(user), reference);
        }
    });
}

#[test]
fn contents_of_every_size_come_back_as_they_were() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let key = direct(users[0], users[1]);
        let mut texts = vec![String::new(), "你好 👩‍💻".into(), "x".repeat(5_000)];
        texts.push("y".repeat(aldis_wire::limits::CONTENT_BYTES_MAX));
        for text in &texts {
            bench.send(key, users[0], text).unwrap();
        }
        let mailbox = bench.mailbox(users[1]);
        let contents: Vec<_> = mailbox.iter().map(|entry| &entry.content[..]).collect();
        assert!(contents == texts.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
    });
}

#[test]
fn a_clock_that_went_back_repeats_no_id_and_one_far_behind_is_unavailable() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let key = direct(users[0], users[1]);
        let first = bench.send(key, users[0], "x").unwrap();
        bench.restart();
        bench.now_ms -= 3_600_000;
        let second = bench.send(key, users[0], "x").unwrap();
        assert!(second.msg_id > first.msg_id);
        bench.now_ms -= aldis_store::CLOCK_BEHIND_MS_MAX;
        assert_eq!(bench.send(key, users[0], "x"), Err(JobError::Unavailable));
        bench.now_ms += aldis_store::CLOCK_BEHIND_MS_MAX;
        assert_eq!(bench.send(key, users[0], "x").unwrap().conv_seq, ConvSeq(3));
    });
}

#[test]
fn an_empty_batch_is_nothing() {
    on_every_backend(|bench: &mut Bench| {
        let committed = bench.batch(vec![]);
        assert!(committed.events.is_empty());
    });
}

#[test]
fn jobs_of_all_kinds_share_a_batch_and_see_each_other() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let id = bench.fresh_id();
        let request_id = aldis_wire::RequestId([1; 16]);
        let group = GroupId(10_001);
        let committed = bench.batch(vec![
            crate::harness::create_group(users[0], &[], request_id),
            WriteJob::InviteMembers {
                actor: users[0],
                group,
                members: vec![users[1]],
                limits: GroupLimits::default(),
            },
            append(ConversationKey::group(group), users[1], id, "hello"),
            WriteJob::LeaveGroup { user: users[1], group },
            append(ConversationKey::group(group), users[1], id, "hello"),
        ]);
        let results: Vec<_> = committed.results.into_iter().map(Result::unwrap).collect();
        assert_eq!(results[0], Written::GroupCreated { group, seq: Seq(1) });
        assert_eq!(results[1], Written::Invited { added: vec![users[1]], seq: Seq(2) });
        assert_eq!(results[3], Written::Left { seq: Seq(3) });
        assert_eq!(results[2], results[4]);
        assert_eq!(bench.mailbox(users[0]).len(), 4);
    });
}
