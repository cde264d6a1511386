//! What becomes of messages after they were sent: recalls and edits, who may, what readers see then.

use aldis_logic::job::{
    Append, FriendChange, FriendJob, HistoryRange, JobError, MessageChange, MessageJob, ReadJob,
    ReadResult, StoredMessage, WriteJob, Written,
};
use aldis_wire::{
    ClientMsgId, Code, ConvSeq, ConversationKey, EDITED, Message, RECALLED, RequestId, UserId, pb,
};
use bytes::Bytes;

use crate::harness::{Bench, append, direct, on_every_backend};

const WITHIN_MS: u64 = 1_000;

fn recall(actor: UserId, conversation: ConversationKey, at: ConvSeq) -> WriteJob {
    let change = MessageChange::Recall { within_ms: WITHIN_MS };
    WriteJob::Message(MessageJob { actor, conversation, conv_seq: at, change })
}

fn edit(actor: UserId, key: ConversationKey, at: ConvSeq, id: u8, text: &str) -> WriteJob {
    let change = MessageChange::Edit {
        request_id: RequestId([id; 16]),
        content: Bytes::from(text.to_owned()),
        extra: Bytes::from_static(b"e"),
        within_ms: WITHIN_MS,
        friends_only: false,
    };
    WriteJob::Message(MessageJob { actor, conversation: key, conv_seq: at, change })
}

/// Whether an entry was made.
fn run(bench: &mut Bench, job: WriteJob) -> Result<bool, Code> {
    match bench.run(job) {
        Ok(Written::Changed { seq }) => Ok(seq.0 > 0),
        Err(why) => Err(JobError::code(why)),
        other => panic!("{other:?}"),
    }
}

fn history(bench: &mut Bench, reader: UserId, conversation: ConversationKey) -> Vec<StoredMessage> {
    let range = HistoryRange::Newest;
    match bench.read(ReadJob::History { reader, conversation, range, limit: 100 }) {
        Ok(ReadResult::History(page)) => page.entries,
        other => panic!("{other:?}"),
    }
}

fn event(entry: &StoredMessage) -> pb::MessageEvent {
    assert_eq!(entry.kind, pb::MsgType::SystemMessage);
    pb::MessageEvent::decode(&entry.content[..]).unwrap()
}

/// Whether a text is anywhere in what the user can read.
fn can_read(bench: &mut Bench, user: UserId, key: ConversationKey, text: &str) -> bool {
    let mut entries = bench.mailbox(user);
    entries.extend(history(bench, user, key));
    let text = text.as_bytes();
    entries.iter().any(|entry| entry.content.windows(text.len()).any(|part| part == text))
}

#[test]
fn a_recall_takes_the_content_from_all_readers_and_is_told() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (ada, ben) = (users[0], users[1]);
        let key = direct(ada, ben);
        let id = bench.fresh_id();
        let sent = append(key, ada, id, "a secret");
        let first = bench.run(sent.clone()).unwrap();
        let committed = bench.batch(vec![recall(ada, key, ConvSeq(1))]);
        assert_eq!(committed.results[0].as_ref().map(|_| ()), Ok(()));
        assert_eq!(committed.events[0].owners.len(), 2);
        for user in [ada, ben] {
            assert!(!can_read(bench, user, key, "a secret"));
            let mailbox = bench.mailbox(user);
            assert_eq!(mailbox.len(), 2);
            let (gone, told) = (&mailbox[0], event(&mailbox[1]));
            assert_eq!(
                (gone.flags, &gone.content[..], &gone.extra[..]),
                (RECALLED, &[][..], &[][..])
            );
            assert_eq!((gone.sender, gone.conv_seq, gone.client_msg_id), (ada, ConvSeq(1), id));
            assert_eq!(told.kind(), pb::MessageEventKind::MessageRecalled);
            assert_eq!((told.msg_id, told.conv_seq), (gone.msg_id.0, 1));
            assert_eq!(mailbox[1].msg_no.0, 1, "it is no message");
        }
        assert_eq!(bench.run(sent).unwrap(), first, "a resend still gets the first result");
        assert_eq!(run(bench, recall(ada, key, ConvSeq(1))), Ok(false), "a repeat");
        bench.restart();
        assert!(!can_read(bench, ben, key, "a secret"));
        let next = bench.send(key, ben, "next").unwrap();
        assert_eq!(next.conv_seq, ConvSeq(3));
        assert_eq!(bench.mailbox(ada)[2].msg_no.0, 2);
    });
}

#[test]
fn what_a_message_refers_to_is_kept_until_it_is_recalled() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let key = direct(users[0], users[1]);
        let id = bench.fresh_id();
        let with = |refs: &'static [u8]| match append(key, users[0], id, "text") {
            WriteJob::Append(job) => {
                WriteJob::Append(Append { refs: Bytes::from_static(refs), ..job })
            }
            other => other,
        };
        let first = bench.run(with(b"refs")).unwrap();
        assert_eq!(bench.run(with(b"refs")).unwrap(), first);
        for other in [&b""[..], b"others"] {
            assert_eq!(run(bench, with(other)), Err(Code::Conflict), "they belong to the message");
        }
        assert_eq!(run(bench, edit(users[0], key, ConvSeq(1), 1, "edited")), Ok(true));
        assert_eq!(&bench.mailbox(users[1])[0].refs[..], b"refs");
        assert_eq!(history(bench, users[1], key)[0].refs, Bytes::from_static(b"refs"));
        assert_eq!(run(bench, recall(users[0], key, ConvSeq(1))), Ok(true));
        assert_eq!(&bench.mailbox(users[1])[0].refs[..], b"");
    });
}

#[test]
fn only_the_sender_recalls_and_only_in_time() {
    on_every_backend(|bench| {
        let users = bench.users(3);
        let (ada, ben) = (users[0], users[1]);
        let key = direct(ada, ben);
        bench.send(key, ada, "one").unwrap();
        assert_eq!(run(bench, recall(ben, key, ConvSeq(1))), Err(Code::Forbidden));
        assert_eq!(run(bench, recall(users[2], key, ConvSeq(1))), Err(Code::NotFound));
        for at in [0, 2, u64::MAX] {
            assert_eq!(run(bench, recall(ada, key, ConvSeq(at))), Err(Code::NotFound));
        }
        assert_eq!(run(bench, recall(ada, direct(ada, users[2]), ConvSeq(1))), Err(Code::NotFound));
        bench.now_ms += WITHIN_MS + 1;
        assert_eq!(run(bench, recall(ada, key, ConvSeq(1))), Err(Code::Forbidden));
        bench.now_ms -= 1;
        assert_eq!(run(bench, recall(ada, key, ConvSeq(1))), Ok(true));
        assert_eq!(run(bench, recall(ada, key, ConvSeq(2))), Err(Code::NotFound), "no message");
        bench.now_ms += 1;
        assert_eq!(run(bench, recall(ada, key, ConvSeq(1))), Ok(false), "a repeat is never late");
    });
}

#[test]
fn a_groups_owner_recalls_at_any_time_and_who_left_reads_nothing_of_it() {
    on_every_backend(|bench| {
        let users = bench.users(4);
        let group = bench.group(users[0], &users[1..3]);
        let key = ConversationKey::group(group);
        bench.send(key, users[1], "hidden").unwrap();
        bench.send(key, users[0], "the owner's").unwrap();
        bench.run(WriteJob::LeaveGroup { user: users[2], group }).unwrap();
        bench.now_ms += 10 * WITHIN_MS;
        for stranger in [users[2], users[3]] {
            assert_eq!(run(bench, recall(stranger, key, ConvSeq(2))), Err(Code::NotFound));
        }
        assert_eq!(run(bench, recall(users[1], key, ConvSeq(3))), Err(Code::Forbidden));
        let committed = bench.batch(vec![recall(users[0], key, ConvSeq(2))]);
        let owners: Vec<_> = committed.events[0].owners.iter().map(|(owner, _)| *owner).collect();
        assert_eq!(owners, users[..2], "members are told");
        for &user in &users[..3] {
            assert!(!can_read(bench, user, key, "hidden"));
        }
        assert!(can_read(bench, users[1], key, "the owner's"));
        let nowhere = ConversationKey::group(aldis_wire::GroupId(group.0 + 1));
        assert_eq!(run(bench, recall(users[0], nowhere, ConvSeq(1))), Err(Code::NotFound));
    });
}

#[test]
fn an_edit_shows_the_new_text_and_a_repeat_changes_nothing() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (ada, ben) = (users[0], users[1]);
        let key = direct(ada, ben);
        let sent = append(key, ada, ClientMsgId([9; 16]), "teh");
        let first = bench.run(sent.clone()).unwrap();
        let job = edit(ada, key, ConvSeq(1), 1, "the");
        // The second one of the batch is a repeat.
        let results = bench.batch(vec![job.clone(), job.clone()]).results;
        assert!(matches!(results[..], [Ok(Written::Changed { .. }), Ok(Written::Changed { .. })]));
        assert_eq!(run(bench, job.clone()), Ok(false));
        assert_eq!(run(bench, edit(ada, key, ConvSeq(1), 1, "other")), Err(Code::Conflict));
        assert_eq!(run(bench, edit(ada, key, ConvSeq(1), 9, "taken")), Err(Code::Conflict));
        for user in [ada, ben] {
            let mailbox = bench.mailbox(user);
            assert_eq!(mailbox.len(), 2);
            assert_eq!((&mailbox[0].content[..], mailbox[0].flags), (&b"the"[..], EDITED));
            assert_eq!(&mailbox[0].extra[..], b"e");
            let told = event(&mailbox[1]);
            assert_eq!((&told.content[..], told.conv_seq), (&b"the"[..], 1));
            assert_eq!(told.kind(), pb::MessageEventKind::MessageEdited);
            assert_eq!(history(bench, user, key), mailbox);
        }
        assert_eq!(bench.run(sent).unwrap(), first, "a resend is not in conflict with an edit");
        bench.restart();
        assert_eq!(run(bench, job), Ok(false));
        bench.now_ms += 2 * WITHIN_MS;
        assert_eq!(run(bench, edit(ada, key, ConvSeq(1), 2, "late")), Err(Code::Forbidden));
        assert_eq!(run(bench, edit(ada, key, ConvSeq(1), 1, "the")), Ok(false), "never late");
    });
}

#[test]
fn a_recall_takes_all_that_an_edited_message_ever_said() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (ada, ben) = (users[0], users[1]);
        let key = direct(ada, ben);
        bench.send(key, ada, "text one").unwrap();
        let edits = vec![
            edit(ada, key, ConvSeq(1), 1, "text two"),
            edit(ada, key, ConvSeq(1), 2, "text three"),
        ];
        assert!(bench.batch(edits).results.iter().all(Result::is_ok));
        assert_eq!(run(bench, edit(ada, key, ConvSeq(1), 3, "text four")), Ok(true));
        for old in ["text one", "text two", "text three"] {
            assert!(!can_read(bench, ben, key, old), "{old}");
        }
        assert!(can_read(bench, ben, key, "text four"));
        assert_eq!(run(bench, recall(ada, key, ConvSeq(1))), Ok(true));
        for user in [ada, ben] {
            assert!(!can_read(bench, user, key, "text"));
        }
        assert_eq!(bench.mailbox(ben)[0].flags, RECALLED | EDITED);
        assert_eq!(run(bench, edit(ada, key, ConvSeq(1), 4, "again")), Err(Code::Conflict));
        assert_eq!(run(bench, edit(ada, key, ConvSeq(1), 3, "text four")), Ok(false), "a repeat");
    });
}

#[test]
fn a_message_and_its_recall_in_one_batch_leave_nothing() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let key = direct(users[0], users[1]);
        let id = bench.fresh_id();
        let batch = vec![
            append(key, users[0], id, "quick"),
            edit(users[0], key, ConvSeq(1), 1, "quicker"),
            recall(users[0], key, ConvSeq(1)),
        ];
        assert!(bench.batch(batch).results.iter().all(Result::is_ok));
        assert!(!can_read(bench, users[1], key, "quick"));
        assert_eq!(bench.mailbox(users[1]).len(), 3);
    });
}

#[test]
fn edits_are_the_senders_of_texts_and_not_of_the_blocked() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (ada, ben) = (users[0], users[1]);
        let key = direct(ada, ben);
        bench.send(key, ada, "one").unwrap();
        assert_eq!(run(bench, edit(ben, key, ConvSeq(1), 1, "two")), Err(Code::Forbidden));
        let id = bench.fresh_id();
        let WriteJob::Append(mut image) = append(key, ada, id, "image") else { unreachable!() };
        image.kind = pb::MsgType::Image;
        bench.run(WriteJob::Append(image)).unwrap();
        assert_eq!(run(bench, edit(ada, key, ConvSeq(2), 1, "two")), Err(Code::Forbidden));
        let block = FriendJob { actor: ben, other: ada, change: FriendChange::Block };
        bench.run(WriteJob::Friend(block)).unwrap();
        assert_eq!(run(bench, edit(ada, key, ConvSeq(1), 2, "two")), Err(Code::Forbidden));
        assert_eq!(run(bench, recall(ada, key, ConvSeq(1))), Ok(true), "taking back is allowed");
    });
}
