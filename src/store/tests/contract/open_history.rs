//! Groups that let newcomers read what was said before: by HISTORY and SEARCH, from the entry that
//! turned it on, and by nothing else.

use aldis_logic::job::{
    CreateGroup, GroupChange, GroupUpdate, HistoryRange, MessageChange, MessageJob, ReadJob,
    ReadResult, SearchMessages, ViewChange, ViewJob, WriteJob, Written,
};
use aldis_logic::search::SearchQuery;
use aldis_wire::{Code, ConvSeq, ConversationKey, GroupId, Message, RequestId, Seq, UserId, pb};

use crate::harness::{Bench, create_group, on_every_backend};
use crate::streams::{LIMITS, change, invite};

fn open(is_open: bool) -> GroupChange {
    GroupChange::Update(GroupUpdate { open_history: Some(is_open), ..GroupUpdate::default() })
}

fn read(bench: &mut Bench, reader: UserId, group: GroupId) -> Vec<u64> {
    let page = bench.history(reader, ConversationKey::group(group), HistoryRange::Newest, 50);
    page.unwrap().entries.iter().map(|entry| entry.conv_seq.0).collect()
}

/// The places of the hits for a word, all pages together.
fn found(bench: &mut Bench, user: UserId, group: Option<GroupId>, word: &str) -> Vec<u64> {
    let (mut seqs, mut cursor) = (Vec::new(), 0);
    loop {
        let job = SearchMessages {
            user,
            query: SearchQuery::parse(word).unwrap(),
            conversation: group.map(ConversationKey::group),
            cursor,
            limit: 2,
            now_ms: bench.now_ms,
        };
        let page = match bench.read(ReadJob::SearchMessages(job)) {
            Ok(ReadResult::SearchedMessages(page)) => page,
            other => panic!("{other:?}"),
        };
        seqs.extend(page.entries.iter().map(|(_, entry)| entry.conv_seq.0));
        cursor = page.cursor;
        if cursor == 0 {
            return seqs;
        }
    }
}

fn is_open(bench: &mut Bench, user: UserId) -> bool {
    match bench.read(ReadJob::Groups { user, after: GroupId(0), limit: 5 }) {
        Ok(ReadResult::Groups(page)) => page.groups[0].open_history,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_newcomer_to_a_small_group_reads_from_where_all_were_told() {
    on_every_backend(|bench| {
        let users = bench.users(3);
        let group = bench.group(users[0], &users[1..2]); // 1
        let key = ConversationKey::group(group);
        bench.send(key, users[0], "tea private").unwrap(); // 2
        assert_eq!(
            bench.run(change(users[0], group, open(false))),
            Ok(Written::Changed { seq: Seq(0) })
        );
        let told = bench.run(change(users[0], group, open(true))); // 3
        assert_eq!(told, Ok(Written::Changed { seq: Seq(3) }));
        let last = bench.mailbox(users[1]).pop().unwrap();
        let event = pb::GroupEvent::decode(&last.content[..]).unwrap();
        assert_eq!(
            (event.kind(), event.open_history),
            (pb::GroupEventKind::GroupUpdated, Some(true))
        );
        let again = bench.run(change(users[0], group, open(true)));
        assert_eq!(again, Ok(Written::Changed { seq: Seq(0) }));
        bench.send(key, users[1], "tea for all").unwrap(); // 4
        bench.restart();
        bench.run(invite(users[1], group, &users[2..])).unwrap(); // 5
        bench.send(key, users[0], "tea now").unwrap(); // 6
        let late = users[2];
        assert!(is_open(bench, late));
        assert_eq!(read(bench, late, group), [3, 4, 5, 6]);
        assert_eq!(bench.mailbox(late).iter().map(|e| e.conv_seq.0).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(found(bench, late, None, "tea"), [6, 4]);
        assert_eq!(found(bench, late, Some(group), "tea"), [4, 6]);
        assert_eq!(found(bench, users[1], Some(group), "tea"), [6, 4, 2], "in the mailbox");

        // Only what came since counts.
        let page = match bench.read(ReadJob::Conversations { user: late, before: Seq(0), limit: 5 })
        {
            Ok(ReadResult::Conversations(page)) => page.conversations,
            other => panic!("{other:?}"),
        };
        assert_eq!((page.len(), page[0].unread, page[0].max_conv_seq), (1, 1, ConvSeq(6)));

        // Earlier entries are like any to who can read them, and there for nobody else.
        let react = |conv_seq| {
            let change =
                MessageChange::React { reaction: "+1".into(), is_added: true, friends_only: false };
            WriteJob::Message(MessageJob { actor: late, conversation: key, conv_seq, change })
        };
        assert!(bench.run(react(ConvSeq(4))).is_ok()); // 7
        assert_eq!(bench.run(react(ConvSeq(2))).unwrap_err().code(), Code::NotFound);
        let mark = |conv_seq| {
            let change = ViewChange::Read(conv_seq);
            WriteJob::View(ViewJob { user: late, conversation: key, change })
        };
        assert!(bench.run(mark(ConvSeq(4))).is_ok());
        assert_eq!(bench.run(mark(ConvSeq(2))).unwrap_err().code(), Code::NotFound);
        let reactions = |bench: &mut Bench, conv_seq| {
            bench.read(ReadJob::Reactions {
                reader: late,
                conversation: key,
                conv_seq,
                after: UserId(0),
                limit: 5,
            })
        };
        assert!(reactions(bench, ConvSeq(4)).is_ok());
        assert!(reactions(bench, ConvSeq(2)).is_err());
        let recall = MessageChange::Recall { within_ms: 0 };
        let recall =
            MessageJob { actor: users[0], conversation: key, conv_seq: ConvSeq(4), change: recall };
        bench.run(WriteJob::Message(recall)).unwrap();
        assert_eq!(found(bench, late, None, "all"), [0; 0], "it says nothing any more");
    });
}

#[test]
fn it_counts_when_somebody_comes_in_and_stays_so() {
    on_every_backend(|bench| {
        let users = bench.users(5);
        let group = bench.group(users[0], &[]); // 1
        let key = ConversationKey::group(group);
        bench.run(change(users[0], group, open(true))).unwrap(); // 2
        bench.send(key, users[0], "one").unwrap(); // 3
        bench.run(invite(users[0], group, &users[1..2])).unwrap(); // 4
        bench.run(change(users[0], group, open(false))).unwrap(); // 5
        bench.send(key, users[0], "two").unwrap(); // 6
        bench.run(invite(users[0], group, &users[2..3])).unwrap(); // 7
        assert!(!is_open(bench, users[2]));
        assert_eq!(read(bench, users[1], group), [2, 3, 4, 5, 6, 7]);
        assert_eq!(read(bench, users[2], group), [7]);
        assert_eq!(found(bench, users[2], None, "one"), [0; 0]);
        // Who leaves keeps what it could read, and sees nothing of what comes then.
        bench.run(WriteJob::LeaveGroup { user: users[1], group }).unwrap(); // 8
        bench.send(key, users[0], "three").unwrap(); // 9
        assert_eq!(read(bench, users[1], group), [2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(found(bench, users[1], None, "one"), [3]);
        // Turned on again it begins there.
        bench.run(change(users[0], group, open(true))).unwrap(); // 10
        bench.send(key, users[0], "four").unwrap(); // 11
        bench.restart();
        bench.run(invite(users[0], group, &users[1..2])).unwrap(); // 12
        bench.run(invite(users[0], group, &users[3..4])).unwrap(); // 13, 14: a stream
        assert_eq!(read(bench, users[3], group), [10, 11, 12, 13, 14]);
        assert_eq!(read(bench, users[1], group), [2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14]);
        assert_eq!(found(bench, users[1], Some(group), "three"), [0; 0]);
        assert_eq!(found(bench, users[1], Some(group), "four"), [11]);
        // Strangers read nothing.
        let stranger = users[4];
        let page = bench.history(stranger, key, HistoryRange::Newest, 5);
        assert_eq!(page.unwrap_err().code(), Code::NotFound);
        assert_eq!(found(bench, stranger, Some(group), "one"), [0; 0]);
    });
}

#[test]
fn a_newcomer_to_a_large_group_reads_what_was_said_before_and_syncs_what_comes() {
    on_every_backend(|bench| {
        let users = bench.users(6);
        let id = bench.fresh_id();
        let create = match create_group(users[0], &users[1..3], RequestId(id.0)) {
            WriteJob::CreateGroup(group) => {
                CreateGroup { limits: LIMITS, open_history: true, ..group }
            }
            other => panic!("{other:?}"),
        };
        let Ok(Written::GroupCreated { group, .. }) = bench.run(WriteJob::CreateGroup(create))
        else {
            panic!("no group");
        };
        let key = ConversationKey::group(group);
        bench.send(key, users[1], "tea small").unwrap(); // 2
        bench.run(invite(users[0], group, &users[3..4])).unwrap(); // 3, 4: a stream
        bench.send(key, users[1], "tea large").unwrap(); // 5
        bench.run(invite(users[0], group, &users[4..5])).unwrap(); // 6
        bench.send(key, users[1], "tea now").unwrap(); // 7
        bench.restart();
        let late = users[4];
        assert_eq!(read(bench, late, group), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(found(bench, late, None, "tea"), [7, 5, 2]);
        assert_eq!(found(bench, users[3], None, "tea"), [7, 5, 2], "in before it was a stream");
        let job = ReadJob::Stream { reader: late, group, after: Seq(0), limit: 9 };
        let Ok(ReadResult::Sync(page)) = bench.read(job) else { panic!("no page") };
        assert_eq!((page.skipped_to, page.entries.len(), page.head), (Seq(6), 1, Seq(7)));
        let Ok(ReadResult::Conversations(page)) =
            bench.read(ReadJob::FollowedStreams { user: late, after: GroupId(0), limit: 5 })
        else {
            panic!("no list")
        };
        assert_eq!(page.conversations[0].unread, 1);
        // Between two stays, too.
        bench.run(WriteJob::LeaveGroup { user: late, group }).unwrap(); // 8
        bench.send(key, users[1], "tea missed").unwrap(); // 9
        assert_eq!(found(bench, late, None, "tea"), [7, 5, 2]);
        bench.run(invite(users[0], group, &users[4..5])).unwrap(); // 10
        assert_eq!(read(bench, late, group), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(found(bench, late, Some(group), "tea"), [9, 7, 5, 2]);
    });
}
