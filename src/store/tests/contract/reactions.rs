//! Reactions and receipts: who may react to what, what others see of it, up to where they have read and
//! received a conversation.

use aldis_logic::job::{
    FriendChange, FriendJob, GroupChange, GroupJob, JobError, MessageChange, MessageJob, ReadJob,
    ReadResult, ViewChange, ViewJob, WriteJob, Written,
};
use aldis_wire::limits::REACTIONS_PER_USER_MAX;
use aldis_wire::{Code, ConvSeq, ConversationKey, DeviceClass, Message, Seq, UserId, pb};

use crate::harness::{Bench, append, direct, login, on_every_backend};

fn react(actor: UserId, key: ConversationKey, at: u64, reaction: &str, is_added: bool) -> WriteJob {
    let change = MessageChange::React { reaction: reaction.into(), is_added, friends_only: false };
    WriteJob::Message(MessageJob { actor, conversation: key, conv_seq: ConvSeq(at), change })
}

/// Whether an entry was made.
fn run(bench: &mut Bench, job: WriteJob) -> Result<bool, Code> {
    match bench.run(job) {
        Ok(Written::Changed { seq } | Written::Left { seq } | Written::Invited { seq, .. }) => {
            Ok(seq.0 > 0)
        }
        Err(why) => Err(JobError::code(why)),
        other => panic!("{other:?}"),
    }
}

fn reactions(
    bench: &mut Bench,
    reader: UserId,
    conversation: ConversationKey,
    at: u64,
) -> Result<Vec<(UserId, String)>, Code> {
    let (conv_seq, after) = (ConvSeq(at), UserId(0));
    match bench.read(ReadJob::Reactions { reader, conversation, conv_seq, after, limit: 100 }) {
        Ok(ReadResult::Reactions(page)) => {
            let made = page.users.into_iter();
            Ok(made.map(|one| (UserId(one.user_id), one.reactions.join(" "))).collect())
        }
        Err(why) => Err(why.code()),
        other => panic!("{other:?}"),
    }
}

fn receipts(
    bench: &mut Bench,
    reader: UserId,
    conversation: ConversationKey,
) -> Result<Vec<(UserId, u64, u64)>, Code> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map_or(UserId(0), |(user, _, _)| *user);
        let page = match bench.read(ReadJob::Receipts { reader, conversation, after, limit: 2 }) {
            Ok(ReadResult::Receipts(page)) => page,
            Err(why) => return Err(why.code()),
            other => panic!("{other:?}"),
        };
        let receipt =
            |one: pb::Receipt| (UserId(one.user_id), one.read_conv_seq, one.received_conv_seq);
        all.extend(page.receipts.into_iter().map(receipt));
        if !page.more {
            return Ok(all);
        }
    }
}

fn has_received(bench: &mut Bench, user: UserId, seq: u64) {
    let device_id = "phone".to_owned();
    bench.run(WriteJob::MarkDelivered { user, device_id, seq: Seq(seq) }).unwrap();
}

#[test]
fn members_react_to_what_they_see_and_all_are_told() {
    on_every_backend(|bench| {
        let users = bench.users(4);
        let (ada, ben, late, stranger) = (users[0], users[1], users[2], users[3]);
        let group = bench.group(ada, &[ben]);
        let key = ConversationKey::group(group);
        bench.send(key, ada, "good news").unwrap();
        let committed = bench.batch(vec![react(ben, key, 2, "👍", true)]);
        let event = &committed.events[0];
        assert_eq!((event.owners.len(), event.message.msg_no.0), (2, 1), "it is no message");
        let told = pb::MessageEvent::decode(&event.message.content[..]).unwrap();
        assert_eq!((told.kind(), told.conv_seq), (pb::MessageEventKind::MessageReacted, 2));
        assert_eq!(told.reaction, "👍");
        assert_eq!(run(bench, react(ben, key, 2, "👍", true)), Ok(false), "a repeat");
        assert_eq!(run(bench, react(ben, key, 2, "🎉", false)), Ok(false), "it is not there");
        bench.restart();
        assert_eq!(run(bench, react(ada, key, 2, "+1", true)), Ok(true));
        assert_eq!(run(bench, react(ben, key, 2, "🎉", true)), Ok(true));
        let wanted = vec![(ada, "+1".to_owned()), (ben, "👍 🎉".to_owned())];
        assert_eq!(reactions(bench, ada, key, 2), Ok(wanted));
        let invite = WriteJob::InviteMembers { actor: ada, group, members: vec![late] };
        assert_eq!(run(bench, invite), Ok(true));
        for (actor, at) in [(late, 2), (stranger, 2), (ada, 1), (ada, 99)] {
            assert_eq!(run(bench, react(actor, key, at, "x", true)), Err(Code::NotFound));
            assert_eq!(reactions(bench, actor, key, at), Err(Code::NotFound));
        }
        assert_eq!(run(bench, WriteJob::LeaveGroup { user: ben, group }), Ok(true));
        assert_eq!(reactions(bench, ben, key, 2), Err(Code::NotFound), "no longer a member");
        assert_eq!(run(bench, react(ben, key, 2, "👍", false)), Err(Code::NotFound));
    });
}

#[test]
fn who_may_not_send_may_not_react_and_nobody_reacts_too_often() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (ada, ben) = (users[0], users[1]);
        let key = direct(ada, ben);
        bench.send(key, ada, "hello").unwrap();
        for number in 0..REACTIONS_PER_USER_MAX {
            assert_eq!(run(bench, react(ben, key, 1, &format!("+{number}"), true)), Ok(true));
        }
        assert_eq!(run(bench, react(ben, key, 1, "more", true)), Err(Code::TooLarge));
        assert_eq!(run(bench, react(ben, key, 1, "+0", false)), Ok(true));
        assert_eq!(run(bench, react(ben, key, 1, "more", true)), Ok(true));
        let friend = |change| WriteJob::Friend(FriendJob { actor: ada, other: ben, change });
        bench.run(friend(FriendChange::Block)).unwrap();
        assert_eq!(run(bench, react(ben, key, 1, "+9", true)), Err(Code::Forbidden));
        assert_eq!(run(bench, react(ben, key, 1, "+1", true)), Ok(false), "it was done before");
        let group = bench.group(ada, &[ben]);
        let key = ConversationKey::group(group);
        bench.send(key, ben, "hello").unwrap();
        let change = GroupChange::Mute { user: ben, mute_ms: 1_000 };
        bench.run(WriteJob::Group(GroupJob { actor: ada, group, change })).unwrap();
        assert_eq!(run(bench, react(ben, key, 2, "x", true)), Err(Code::Forbidden));
    });
}

#[test]
fn a_recall_takes_the_reactions_also_in_one_batch_with_them() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (ada, ben) = (users[0], users[1]);
        let key = direct(ada, ben);
        let change = || MessageChange::Recall { within_ms: 9_000 };
        let recall = |at| {
            let conv_seq = ConvSeq(at);
            WriteJob::Message(MessageJob {
                actor: ada,
                conversation: key,
                conv_seq,
                change: change(),
            })
        };
        bench.send(key, ada, "one").unwrap();
        bench.send(key, ada, "two").unwrap();
        assert_eq!(run(bench, react(ben, key, 1, "x", true)), Ok(true));
        assert_eq!(run(bench, react(ben, key, 2, "y", true)), Ok(true));
        let batch = vec![react(ada, key, 1, "z", true), recall(1), react(ben, key, 1, "w", true)];
        let results = bench.batch(batch).results;
        assert!(results[0].is_ok() && results[1].is_ok());
        assert_eq!(results[2].as_ref().map_err(|why| why.code()), Err(Code::Conflict));
        assert_eq!(reactions(bench, ben, key, 1), Ok(vec![]));
        assert_eq!(
            reactions(bench, ben, key, 2).unwrap().len(),
            1,
            "the other message keeps its own"
        );
        assert_eq!(run(bench, react(ben, key, 1, "x", false)), Err(Code::Conflict));
        let id = bench.fresh_id();
        let batch = vec![append(key, ada, id, "three"), react(ada, key, 7, "a", true)];
        assert!(bench.batch(batch).results.iter().all(Result::is_ok), "of one batch");
        let batch = vec![react(ada, key, 7, "a", false), react(ada, key, 7, "b", true)];
        assert!(bench.batch(batch).results.iter().all(Result::is_ok));
        assert_eq!(reactions(bench, ben, key, 7), Ok(vec![(ada, "b".to_owned())]));
    });
}

#[test]
fn receipts_are_for_members_and_never_say_too_much() {
    on_every_backend(|bench| {
        let users = bench.users(5);
        let (ada, ben, cem, dan) = (users[0], users[1], users[2], users[3]);
        let group = bench.group(ada, &[ben, cem, dan]);
        let key = ConversationKey::group(group);
        for &user in &users {
            bench.run(WriteJob::OpenSession(login(user, "phone", DeviceClass::Phone))).unwrap();
        }
        bench.send(direct(ada, ben), ada, "you").unwrap();
        for _ in 0..3 {
            bench.send(key, ada, "all").unwrap();
        }
        let nothing = vec![(ben, 0, 0), (cem, 0, 0), (dan, 0, 0)];
        assert_eq!(receipts(bench, ada, key), Ok(nothing));
        has_received(bench, ben, 2);
        has_received(bench, cem, 3);
        let mark = ViewJob { user: dan, conversation: key, change: ViewChange::Read(ConvSeq(4)) };
        bench.run(WriteJob::View(mark)).unwrap();
        bench.restart();
        let wanted = vec![(ben, 0, 1), (cem, 0, 3), (dan, 4, 4)];
        assert_eq!(receipts(bench, ada, key), Ok(wanted));
        assert_eq!(receipts(bench, ada, direct(ada, ben)), Ok(vec![(ben, 0, 1)]));
        assert_eq!(receipts(bench, ben, direct(ada, ben)), Ok(vec![(ada, 0, 0)]));
        assert_eq!(receipts(bench, ada, direct(ada, cem)), Ok(vec![]), "nothing was said");
        assert_eq!(receipts(bench, users[4], key), Err(Code::NotFound));
        assert_eq!(receipts(bench, users[4], direct(ada, ben)), Err(Code::NotFound));
        assert_eq!(run(bench, WriteJob::LeaveGroup { user: cem, group }), Ok(true));
        assert_eq!(receipts(bench, cem, key), Err(Code::NotFound));
        let left: Vec<_> = receipts(bench, ada, key).unwrap().iter().map(|one| one.0).collect();
        assert_eq!(left, [ben, dan]);
    });
}

#[test]
fn a_device_that_is_far_behind_has_received_what_is_certainly_older() {
    on_every_backend(|bench| {
        let users = bench.users(3);
        let (ada, ben, busy) = (users[0], users[1], users[2]);
        let key = direct(ada, ben);
        bench.run(WriteJob::OpenSession(login(ben, "phone", DeviceClass::Phone))).unwrap();
        for _ in 0..5 {
            bench.send(key, ada, "old").unwrap();
        }
        bench.now_ms += 100_000;
        bench.send(direct(ben, busy), busy, "held").unwrap();
        let noise = |bench: &mut Bench| {
            let id = bench.fresh_id();
            append(direct(ben, busy), busy, id, "more")
        };
        let jobs: Vec<_> = (0..300).map(|_| noise(bench)).collect();
        assert!(bench.batch(jobs).results.iter().all(Result::is_ok));
        bench.send(key, ada, "new").unwrap();
        has_received(bench, ben, 6);
        assert_eq!(receipts(bench, ada, key), Ok(vec![(ben, 0, 5)]));
        has_received(bench, ben, 300);
        assert_eq!(receipts(bench, ada, key), Ok(vec![(ben, 0, 5)]), "before the new one");
        has_received(bench, ben, 307);
        assert_eq!(receipts(bench, ada, key), Ok(vec![(ben, 0, 6)]));
    });
}
