//! Friends: requests and their answers, lists, deletes of one side, blocks, and what they do to
//! messages. The rules are the same code for all backends; what is tested is what each makes of them.

use aldis_logic::job::{
    Append, FriendChange, FriendJob, JobError, ReadJob, ReadResult, WriteJob, Written,
};
use aldis_wire::limits::FRIEND_REQUESTS_MAX;
use aldis_wire::{Code, ConversationKey, Message, Seq, UserId, pb};
use bytes::Bytes;

use crate::harness::{Bench, direct, on_every_backend};

fn change(actor: UserId, other: UserId, change: FriendChange) -> WriteJob {
    WriteJob::Friend(FriendJob { actor, other, change })
}

fn apply(reason: &str) -> FriendChange {
    FriendChange::Apply { reason: reason.into() }
}

/// The seq of the entry that the change made.
fn run(bench: &mut Bench, actor: UserId, other: UserId, what: FriendChange) -> Result<u64, Code> {
    match bench.run(change(actor, other, what)) {
        Ok(Written::Changed { seq }) => Ok(seq.0),
        Err(why) => Err(why.code()),
        other => panic!("{other:?}"),
    }
}

fn list(bench: &mut Bench, user: UserId, list: pb::RelationList) -> Vec<pb::RelationInfo> {
    let mut all: Vec<pb::RelationInfo> = Vec::new();
    loop {
        let after = UserId(all.last().map_or(0, |last| last.user_id));
        match bench.read(ReadJob::Relations { user, list, after, limit: 2 }) {
            Ok(ReadResult::Relations(page)) => {
                all.extend(page.relations);
                if !page.more {
                    return all;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn friends(bench: &mut Bench, user: UserId) -> Vec<u64> {
    let list = list(bench, user, pb::RelationList::Friends);
    assert!(list.iter().all(|relation| relation.is_friend && relation.since_ms > 0));
    list.iter().map(|relation| relation.user_id).collect()
}

fn befriend(bench: &mut Bench, a: UserId, b: UserId) {
    assert!(run(bench, a, b, apply("hello")).unwrap() > 0);
    assert!(run(bench, b, a, FriendChange::Accept).unwrap() > 0);
}

fn send(bench: &mut Bench, from: UserId, to: UserId, friends_only: bool) -> Result<(), Code> {
    let job = WriteJob::Append(Append {
        conversation: direct(from, to),
        sender: from,
        client_msg_id: bench.fresh_id(),
        kind: pb::MsgType::Text,
        content: Bytes::from_static(b"hi"),
        extra: Bytes::new(),
        refs: Bytes::new(),
        friends_only,
    });
    bench.run(job).map(drop).map_err(JobError::code)
}

#[test]
fn a_request_and_its_answer_are_entries_of_both() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (ada, ben) = (users[0], users[1]);
        let committed = bench.batch(vec![change(ada, ben, apply("from work"))]);
        assert_eq!(committed.results, [Ok(Written::Changed { seq: Seq(1) })]);
        let event = &committed.events[0];
        assert_eq!(event.owners[..], [(ada, Seq(1)), (ben, Seq(1))]);
        assert_eq!(event.message.conversation, direct(ada, ben));
        let requests = list(bench, ben, pb::RelationList::Requests);
        assert_eq!(requests.len(), 1);
        assert_eq!((requests[0].user_id, requests[0].reason.as_str()), (ada.0, "from work"));
        assert!(requests[0].has_asked && requests[0].asked_ms == bench.now_ms);
        assert_eq!(list(bench, ada, pb::RelationList::Requests), []);

        assert_eq!(run(bench, ben, ada, FriendChange::Accept), Ok(2));
        assert_eq!((friends(bench, ada), friends(bench, ben)), (vec![ben.0], vec![ada.0]));
        assert_eq!(list(bench, ben, pb::RelationList::Requests), []);
        let entries = bench.mailbox(ada);
        let kinds: Vec<_> = entries
            .iter()
            .map(|entry| pb::FriendEvent::decode(&entry.content[..]).unwrap().kind())
            .collect();
        use pb::FriendEventKind::{FriendAccepted, FriendApplied};
        assert_eq!(kinds, [FriendApplied, FriendAccepted]);
        assert_eq!((entries[0].sender, entries[1].sender), (ada, ben));
        assert_eq!(entries[1].msg_no.0, 0, "they are no messages");
    });
}

#[test]
fn repeats_change_nothing() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (ada, ben) = (users[0], users[1]);
        assert_eq!(run(bench, ada, ben, apply("a")), Ok(1));
        assert_eq!(run(bench, ada, ben, apply("a")), Ok(0));
        assert_eq!(run(bench, ada, ben, apply("b")), Ok(2), "another reason is told");
        assert_eq!(run(bench, ben, ada, FriendChange::Refuse), Ok(3));
        assert_eq!(run(bench, ben, ada, FriendChange::Refuse), Ok(0));
        assert_eq!(run(bench, ben, ada, FriendChange::Accept), Err(Code::NotFound));
        assert_eq!(run(bench, ada, ben, apply("b")), Ok(4), "a refusal is not for ever");
        assert_eq!(run(bench, ben, ada, FriendChange::Accept), Ok(5));
        assert_eq!(run(bench, ben, ada, FriendChange::Accept), Ok(0));
        assert_eq!(run(bench, ada, ben, apply("b")), Ok(0), "they are friends");
        for what in [FriendChange::Delete, FriendChange::Block, FriendChange::Unblock] {
            assert!(run(bench, ada, ben, what.clone()).unwrap() > 0, "{what:?}");
            assert_eq!(run(bench, ada, ben, what), Ok(0));
        }
    });
}

#[test]
fn who_asks_one_who_asked_is_a_friend_at_once() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        assert_eq!(run(bench, users[0], users[1], apply("a")), Ok(1));
        assert_eq!(run(bench, users[1], users[0], apply("b")), Ok(2));
        assert_eq!(friends(bench, users[0]), [users[1].0]);
        assert_eq!(friends(bench, users[1]), [users[0].0]);
        for user in users {
            assert_eq!(list(bench, user, pb::RelationList::Requests), []);
        }
    });
}

#[test]
fn nobody_answers_what_nobody_asked() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let nobody = UserId(users[1].0 + 1);
        for what in [FriendChange::Accept, FriendChange::Refuse, FriendChange::Delete] {
            assert_eq!(run(bench, users[0], users[1], what), Err(Code::NotFound));
        }
        assert_eq!(run(bench, users[0], nobody, apply("a")), Err(Code::NotFound));
        assert_eq!(run(bench, nobody, users[0], apply("a")), Err(Code::NotFound));
        assert_eq!(bench.mailbox(users[0]), []);
        assert_eq!(bench.mailbox(users[1]), []);
    });
}

#[test]
fn a_delete_is_of_one_side_and_silences_the_other() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (ada, ben) = (users[0], users[1]);
        befriend(bench, ada, ben);
        assert_eq!(run(bench, ada, ben, FriendChange::Delete), Ok(3));
        assert_eq!((friends(bench, ada), friends(bench, ben)), (vec![], vec![ada.0]));
        assert_eq!(bench.mailbox(ben).len(), 2, "Ben is not told");
        let told = bench.mailbox(ada).pop().unwrap();
        assert_eq!(
            (told.kind, told.conversation),
            (pb::MsgType::SystemSelf, ConversationKey::own(ada))
        );
        assert_eq!(send(bench, ben, ada, false), Err(Code::Forbidden));
        assert_eq!(send(bench, ada, ben, true), Ok(()));
        bench.restart();
        assert_eq!(send(bench, ben, ada, false), Err(Code::Forbidden), "it is stored");
        // The one who deleted takes the other back without asking.
        assert!(run(bench, ada, ben, apply("")).unwrap() > 0);
        assert_eq!(friends(bench, ada), [ben.0]);
        assert_eq!(send(bench, ben, ada, true), Ok(()));
    });
}

#[test]
fn a_block_holds_both_ways_and_ends() {
    on_every_backend(|bench| {
        let users = bench.users(3);
        let (ada, ben) = (users[0], users[1]);
        let first = bench.fresh_id();
        let sent = crate::harness::append(direct(ada, ben), ben, first, "before");
        let before = bench.run(sent.clone()).unwrap();
        assert!(run(bench, ben, ada, apply("please")).is_ok());
        assert!(run(bench, ada, ben, FriendChange::Block).is_ok());
        assert_eq!(list(bench, ada, pb::RelationList::Requests), [], "it is answered by that");
        assert_eq!(list(bench, ada, pb::RelationList::Blocked).len(), 1);
        for (from, to) in [(ada, ben), (ben, ada)] {
            assert_eq!(send(bench, from, to, false), Err(Code::Forbidden));
            assert_eq!(run(bench, from, to, apply("again")), Err(Code::Forbidden));
        }
        assert_eq!(bench.run(sent).unwrap(), before, "a resend still learns what became of it");
        assert_eq!(send(bench, users[2], ada, false), Ok(()), "others are not concerned");
        // A block and a message of one batch: their order counts.
        let after = bench.fresh_id();
        let message = crate::harness::append(direct(ada, ben), ben, after, "after");
        let batch = vec![change(ada, ben, FriendChange::Unblock), message];
        assert!(bench.batch(batch).results.iter().all(Result::is_ok));
        assert_eq!(list(bench, ada, pb::RelationList::Blocked), []);
    });
}

#[test]
fn a_user_who_takes_messages_of_friends_only_gets_no_others() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        assert_eq!(send(bench, users[0], users[1], true), Err(Code::Forbidden));
        assert_eq!(send(bench, users[0], users[0], true), Ok(()), "notes to oneself");
        befriend(bench, users[0], users[1]);
        assert_eq!(send(bench, users[0], users[1], true), Ok(()));
    });
}

#[test]
fn remarks_and_folders_are_ones_own() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (ada, ben) = (users[0], users[1]);
        let update =
            || FriendChange::Update { remark: "Bénédict".into(), folder: "工作".into() };
        assert_eq!(run(bench, ada, ben, update()), Err(Code::NotFound));
        befriend(bench, ada, ben);
        assert_eq!(run(bench, ada, ben, update()), Ok(3));
        assert_eq!(run(bench, ada, ben, update()), Ok(0));
        let mine = list(bench, ada, pb::RelationList::Friends).remove(0);
        assert_eq!((mine.remark.as_str(), mine.folder.as_str()), ("Bénédict", "工作"));
        let theirs = list(bench, ben, pb::RelationList::Friends).remove(0);
        assert_eq!((theirs.remark.as_str(), theirs.folder.as_str()), ("", ""));
    });
}

#[test]
fn requests_to_one_user_are_bounded() {
    on_every_backend(|bench| {
        let users = bench.users(FRIEND_REQUESTS_MAX as u32 + 2);
        let (ada, others) = users.split_first().unwrap();
        let jobs = others.iter().map(|&other| change(other, *ada, apply("me"))).collect();
        let mut results = bench.batch(jobs).results;
        let last = results.pop().unwrap();
        assert_eq!(last.map_err(JobError::code), Err(Code::TooLarge));
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(run(bench, *ada, others[0], FriendChange::Refuse).map(|seq| seq > 0), Ok(true));
        assert!(run(bench, *others.last().unwrap(), *ada, apply("me")).unwrap() > 0);
        let requests = list(bench, *ada, pb::RelationList::Requests);
        assert_eq!(requests.len(), FRIEND_REQUESTS_MAX);
    });
}
