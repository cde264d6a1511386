//! SEARCH in large groups: what is in a stream is found by those who can read it there, with an index that
//! all of them share or without, and a search goes on from the mailbox to one stream after the other.

use aldis_logic::job::{GroupChange, ReadJob, ReadResult, ViewChange, ViewJob, WriteJob, Written};
use aldis_wire::{CLEARED, ConvSeq, ConversationKey, GroupId, Message, Seq, UserId, pb};

use crate::harness::{Bench, direct, on_every_backend};
use crate::search::{Ask, edit, fill, recall};
use crate::streams::{BEGIN, change, invite, large_group};

fn of_group(user: UserId, group: GroupId, is_old: bool) -> Ask {
    let conversation = Some(ConversationKey::group(group));
    Ask { conversation, ..Ask::aged(user, is_old) }
}

/// Up to there the user has cleared the group's history.
fn clear(user: UserId, group: GroupId, at: u64) -> WriteJob {
    let cleared = Some(ConvSeq(at));
    let change = ViewChange::Update { pinned: None, muted: None, cleared };
    WriteJob::View(ViewJob { user, conversation: ConversationKey::group(group), change })
}

/// Positions of hits that reading all of the stream finds, newest first.
fn naive(bench: &mut Bench, user: UserId, group: GroupId, word: &str) -> Vec<u64> {
    let (mut found, mut after) = (Vec::new(), Seq(0));
    loop {
        let job = ReadJob::Stream { reader: user, group, after, limit: 500 };
        let page = match bench.read(job) {
            Ok(ReadResult::Sync(page)) => page,
            other => panic!("{other:?}"),
        };
        let is_hit = |text: &[u8]| std::str::from_utf8(text).is_ok_and(|text| text.contains(word));
        let hits = page.entries.iter().filter(|(_, entry)| is_hit(&entry.content));
        found.extend(hits.map(|(seq, _)| seq.0));
        after = page.entries.last().map_or(after.max(page.skipped_to), |(seq, _)| *seq);
        if after >= page.head {
            found.reverse();
            return found;
        }
    }
}

#[test]
fn where_a_stream_begins_and_ends_is_still_said_when_it_is_cleared() {
    on_every_backend(|bench| {
        let users = bench.users(5);
        let (ada, ben, eva) = (users[0], users[1], users[4]);
        let group = large_group(bench, &users[..4]);
        bench.run(invite(ada, group, &[eva])).unwrap();
        bench.run(change(ada, group, GroupChange::Remove { users: vec![ben] })).unwrap();
        for (user, at) in [(ada, BEGIN), (eva, BEGIN + 1), (ben, BEGIN + 2)] {
            bench.run(clear(user, group, at)).unwrap();
        }
        let mut marks = |user| -> Vec<pb::GroupEvent> {
            let cleared =
                bench.mailbox(user).into_iter().filter(|entry| entry.flags & CLEARED != 0);
            let events = cleared.map(|entry| pb::GroupEvent::decode(entry.content).unwrap());
            events.filter(|event| event.is_stream).collect()
        };
        let mark = |kind: pb::GroupEventKind| pb::GroupEvent {
            kind: kind.into(),
            is_stream: true,
            ..Default::default()
        };
        assert_eq!(marks(ada), [mark(pb::GroupEventKind::GroupBecameStream)]);
        assert_eq!(marks(eva), [mark(pb::GroupEventKind::MembersJoined)]);
        let [became, removed] =
            [pb::GroupEventKind::GroupBecameStream, pb::GroupEventKind::MembersRemoved].map(mark);
        assert_eq!(marks(ben), [became, removed]);
    });
}

#[test]
fn what_is_in_a_stream_is_found_by_those_who_can_read_it() {
    on_every_backend(|bench| {
        let users = bench.users(6);
        let (ada, ben, eva, out) = (users[0], users[1], users[4], users[5]);
        let group = large_group(bench, &users[..4]);
        let key = ConversationKey::group(group);
        let say = |bench: &mut Bench, text: &str| bench.send(key, ada, text).unwrap();
        say(bench, "apple one");
        say(bench, "pear");
        bench.run(invite(ada, group, &[eva])).unwrap();
        say(bench, "apple two");
        bench.run(change(ada, group, GroupChange::Remove { users: vec![ben] })).unwrap();
        say(bench, "apple three");
        let at = |offset: u64| BEGIN + offset;
        for is_old in [false, true, true] {
            let mut hits = |user| of_group(user, group, is_old).all(bench, "apple");
            assert_eq!(hits(ada), [at(6), at(4), at(1)]);
            assert_eq!(hits(eva), [at(6), at(4)], "nothing from before");
            assert_eq!(hits(ben), [at(4), at(1)], "nothing of after");
            assert_eq!(hits(out), [0; 0], "a stranger");
            assert_eq!(hits(UserId(u64::MAX)), [0; 0]);
            assert_eq!(Ask::aged(eva, is_old).all(bench, "apple"), [at(6), at(4)], "everywhere");
            assert_eq!(Ask::aged(out, is_old).all(bench, "apple"), [0; 0]);
        }
        bench.run(edit(ada, key, ConvSeq(at(2)), 1, "apple four")).unwrap();
        bench.run(recall(ada, key, ConvSeq(at(1)))).unwrap();
        bench.run(clear(eva, group, at(4))).unwrap();
        assert_eq!(of_group(ada, group, false).all(bench, "apple"), [at(6), at(4), at(2)]);
        assert_eq!(of_group(eva, group, false).all(bench, "apple"), [at(6)], "it was cleared");
    });
}

#[test]
fn the_members_of_a_stream_share_its_index() {
    on_every_backend(|bench| {
        let users = bench.users(5);
        let (ada, ben, eva) = (users[0], users[1], users[4]);
        let group = large_group(bench, &users[..4]);
        let key = ConversationKey::group(group);
        let hay = |from: u64| (from..from + 200).map(|n| format!("hay {n}")).collect::<Vec<_>>();
        fill(bench, key, ada, &hay(0));
        bench.run(invite(ada, group, &[eva])).unwrap();
        fill(bench, key, ada, &hay(200));
        let page = of_group(eva, group, true).page(bench, "needle", 0);
        // Those of her time, the one that she came within whole.
        assert_eq!(page.blocks.len(), 3, "the newest is not full");
        let job = WriteJob::StoreIndex { user: eva, blocks: page.blocks };
        assert_eq!(bench.run(job), Ok(Written::IndexStored));
        let page = of_group(ben, group, true).page(bench, "needle", 0);
        assert_eq!(page.blocks.len(), 3, "the rest");
        for user in [eva, ben] {
            for word in ["hay 1", "hay 199", "hay 2", "hay 399", "nothing"] {
                let few = Ask { limit: 3, ..of_group(user, group, true) };
                assert_eq!(few.all(bench, &format!("\"{word}\"")), naive(bench, user, group, word));
            }
        }
        let own = WriteJob::StoreIndex { user: UserId(group.0), blocks: vec![] };
        assert_eq!(bench.run(own), Ok(Written::IndexStored));
    });
}

#[test]
fn a_search_of_everything_goes_on_from_the_mailbox_to_stream_after_stream() {
    on_every_backend(|bench| {
        let users = bench.users(4);
        let (ada, ben) = (users[0], users[1]);
        bench.send(direct(ada, ben), ben, "needle at home").unwrap();
        let groups: Vec<GroupId> = (0..40).map(|_| large_group(bench, &users)).collect();
        for (number, group) in groups.iter().enumerate() {
            let text = if number % 4 == 3 { "needle" } else { "hay" };
            bench.send(ConversationKey::group(*group), ben, text).unwrap();
        }
        let ask = Ask { limit: 3, ..Ask::of(ada) };
        let first = ask.page(bench, "needle", 0);
        assert_eq!(first.entries.len(), 3);
        let found = |entries: &[(Seq, aldis_logic::job::StoredMessage)]| {
            entries.iter().map(|(_, entry)| entry.conversation).collect::<Vec<_>>()
        };
        let want: Vec<ConversationKey> = std::iter::once(direct(ada, ben))
            .chain(groups.iter().skip(3).step_by(4).map(|group| ConversationKey::group(*group)))
            .collect();
        assert_eq!(found(&first.entries), want[..3]);
        assert_eq!(ask.all(bench, "needle").len(), want.len());
        // A request goes on to so many streams; the pages meet all the same.
        let far = Ask { limit: 100, ..Ask::of(ada) };
        let page = far.page(bench, "needle", 0);
        assert!(page.cursor != 0 && page.entries.len() < want.len());
        assert_eq!(far.all(bench, "needle").len(), want.len());
    });
}

#[test]
fn what_was_said_before_a_group_became_a_stream_is_found_after_what_came_since() {
    on_every_backend(|bench| {
        let users = bench.users(4);
        let (ada, ben) = (users[0], users[1]);
        let group = bench.group(ada, &users[1..3]);
        let key = ConversationKey::group(group);
        bench.send(key, ben, "apple in mailboxes").unwrap();
        bench.run(invite(ada, group, &users[3..])).unwrap();
        let sent = bench.send(key, ben, "apple in the stream").unwrap();
        for limit in [1, 20] {
            let ask = Ask { limit, ..of_group(ada, group, false) };
            let hits = ask.all(bench, "apple");
            assert_eq!(hits.len(), 2);
            assert_eq!(hits[0], sent.conv_seq.0, "the newest first");
        }
        assert_eq!(of_group(users[3], group, false).all(bench, "apple"), [sent.conv_seq.0]);
    });
}
