//! Read marks: they never go back, stay within what the reader can see, and are told to the user's own
//! devices alone, once for each conversation and batch.

use aldis_logic::job::{JobError, ViewChange, ViewJob, WriteJob, Written};
use aldis_wire::{Code, ConvSeq, ConversationKey, GroupId, Message, UserId, pb};

use crate::harness::{Bench, direct, on_every_backend};

fn mark(user: UserId, conversation: ConversationKey, at: u64) -> WriteJob {
    let change = ViewChange::Read(ConvSeq(at));
    WriteJob::View(ViewJob { user, conversation, change })
}

/// The seq of the entry that tells of it.
fn run(bench: &mut Bench, job: WriteJob) -> Result<u64, Code> {
    match bench.run(job) {
        Ok(Written::Changed { seq }) => Ok(seq.0),
        Err(why) => Err(JobError::code(why)),
        other => panic!("{other:?}"),
    }
}

/// The views that a user's own devices were told of.
fn told(bench: &mut Bench, user: UserId) -> Vec<pb::ConversationView> {
    let entries = bench.mailbox(user).into_iter();
    let own = entries.filter(|entry| entry.kind == pb::MsgType::SystemSelf);
    own.map(|entry| {
        assert_eq!(entry.conversation, ConversationKey::own(user));
        match pb::SelfEvent::decode(&entry.content[..]).unwrap().what {
            Some(pb::self_event::What::View(view)) => view,
            other => panic!("{other:?}"),
        }
    })
    .collect()
}

#[test]
fn a_mark_moves_forward_only_and_is_told_to_its_owner() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (ada, ben) = (users[0], users[1]);
        let key = direct(ada, ben);
        for text in ["a", "b", "c"] {
            bench.send(key, ada, text).unwrap();
        }
        assert_eq!(run(bench, mark(ben, key, 2)), Ok(4));
        for at in [2, 1] {
            assert_eq!(run(bench, mark(ben, key, at)), Ok(0), "it moves nothing");
        }
        bench.restart();
        assert_eq!(run(bench, mark(ben, key, 1)), Ok(0), "it is stored");
        assert_eq!(run(bench, mark(ben, key, 3)), Ok(5));
        let wanted = |at| pb::ConversationView {
            receiver_id: ada.0,
            read_conv_seq: at,
            ..Default::default()
        };
        assert_eq!(told(bench, ben), [wanted(2), wanted(3)]);
        assert_eq!(bench.mailbox(ada).len(), 3, "nobody else is told");
    });
}

#[test]
fn a_batch_tells_of_each_conversation_once() {
    on_every_backend(|bench| {
        let users = bench.users(3);
        let (ada, ben) = (users[0], users[1]);
        let (one, two) = (direct(ada, ben), direct(ada, users[2]));
        for key in [one, one, one, two] {
            bench.send(key, ada, "text").unwrap();
        }
        let batch = vec![
            mark(ada, one, 1),
            mark(ada, two, 1),
            mark(ada, one, 3),
            mark(ada, one, 2),
            mark(ben, one, 9),
        ];
        let committed = bench.batch(batch);
        let seqs: Vec<_> = committed
            .results
            .iter()
            .map(|result| match result {
                Ok(Written::Changed { seq }) => Ok(seq.0),
                Err(why) => Err(why.code()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seqs, [Ok(0), Ok(6), Ok(5), Ok(0), Err(Code::NotFound)]);
        let views: Vec<_> = told(bench, ada)
            .into_iter()
            .map(|view| (view.receiver_id, view.read_conv_seq))
            .collect();
        assert_eq!(views, [(ben.0, 3), (users[2].0, 1)]);
        let origins: Vec<_> = committed.events.iter().map(|event| event.origin.request).collect();
        assert_eq!(origins, [2, 1], "of the request that is told where the entry is");
    });
}

#[test]
fn a_mark_is_within_what_the_reader_can_see() {
    on_every_backend(|bench| {
        let users = bench.users(4);
        let group = bench.group(users[0], &users[1..2]);
        let key = ConversationKey::group(group);
        bench.send(key, users[0], "before").unwrap();
        let invite = |user| WriteJob::InviteMembers { actor: users[0], group, members: vec![user] };
        // Who joins in the same batch sees the entry that says so, and nothing before it.
        let batch = vec![invite(users[2]), mark(users[2], key, 2), mark(users[2], key, 3)];
        let results = bench.batch(batch).results;
        assert_eq!(results[1].clone().map_err(JobError::code), Err(Code::NotFound));
        assert!(results[2].is_ok());
        bench.run(WriteJob::LeaveGroup { user: users[2], group }).unwrap();
        bench.send(key, users[0], "after").unwrap();
        assert_eq!(run(bench, mark(users[2], key, 5)), Err(Code::NotFound), "after leaving");
        assert!(run(bench, mark(users[2], key, 4)).unwrap() > 0, "what it saw it may mark");
        assert!(run(bench, mark(users[1], key, 5)).unwrap() > 0);
        for at in [0, 6, u64::MAX] {
            assert_eq!(run(bench, mark(users[0], key, at)), Err(Code::NotFound));
        }
        assert_eq!(run(bench, mark(users[3], key, 2)), Err(Code::NotFound), "a stranger");
        let nowhere = ConversationKey::group(GroupId(group.0 + 1));
        assert_eq!(run(bench, mark(users[0], nowhere, 1)), Err(Code::NotFound));
        assert_eq!(run(bench, mark(users[3], direct(users[0], users[1]), 1)), Err(Code::NotFound));
        assert_eq!(
            run(bench, mark(users[0], ConversationKey::own(users[0]), 1)),
            Err(Code::NotFound)
        );
    });
}
