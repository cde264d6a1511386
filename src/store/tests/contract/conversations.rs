//! CONVERSATION_LIST: what is in it and in which order, what is unread, what is shown of it. What a
//! user can see is what is in that user's mailbox, so the list is held against it.

use std::collections::{BTreeMap, HashSet};

use aldis_logic::job::{
    Append, ConversationSummary, ConversationsPage, JobError, MessageChange, MessageJob, ReadJob,
    ReadResult, StoredMessage, ViewChange, ViewJob, WriteJob, Written,
};
use aldis_wire::limits::{OWN_MARK_ENTRIES_MAX, PINNED_MAX, PREVIEW_BYTES_MAX};
use aldis_wire::{
    CLEARED, Code, ConvSeq, ConversationKey, GroupId, Message, RECALLED, SHORTENED, Seq, UserId, pb,
};
use bytes::Bytes;

use crate::harness::{Bench, append, direct, on_every_backend};

/// One page.
pub fn page(bench: &mut Bench, user: UserId, before: u64, limit: usize) -> ConversationsPage {
    match bench.read(ReadJob::Conversations { user, before: Seq(before), limit }) {
        Ok(ReadResult::Conversations(page)) => page,
        other => panic!("{other:?}"),
    }
}

/// All pages.
fn list(bench: &mut Bench, user: UserId, limit: usize) -> Vec<ConversationSummary> {
    let mut all = Vec::new();
    let mut before = 0;
    loop {
        let page = page(bench, user, before, limit);
        assert!(page.conversations.len() <= limit);
        all.extend(page.conversations);
        if page.next_before == Seq(0) {
            return all;
        }
        assert!(before == 0 || page.next_before.0 < before, "paging ends");
        before = page.next_before.0;
    }
}

fn pinned(bench: &mut Bench, user: UserId) -> Vec<ConversationKey> {
    match bench.read(ReadJob::Pinned { user }) {
        Ok(ReadResult::Conversations(page)) => {
            page.conversations.iter().map(|one| key_of(user, &one.view)).collect()
        }
        other => panic!("{other:?}"),
    }
}

pub fn key_of(user: UserId, view: &pb::ConversationView) -> ConversationKey {
    match view.group_id {
        0 => direct(user, UserId(view.receiver_id)),
        group => ConversationKey::group(GroupId(group)),
    }
}

fn update(user: UserId, conversation: ConversationKey, change: ViewChange) -> WriteJob {
    WriteJob::View(ViewJob { user, conversation, change })
}

fn read_up_to(user: UserId, conversation: ConversationKey, at: u64) -> WriteJob {
    update(user, conversation, ViewChange::Read(ConvSeq(at)))
}

fn clear(user: UserId, conversation: ConversationKey, at: u64) -> WriteJob {
    let cleared = Some(ConvSeq(at));
    update(user, conversation, ViewChange::Update { pinned: None, muted: None, cleared })
}

fn pin(user: UserId, conversation: ConversationKey, is_pinned: bool) -> WriteJob {
    let pinned = Some(is_pinned);
    update(user, conversation, ViewChange::Update { pinned, muted: None, cleared: None })
}

fn run(bench: &mut Bench, job: WriteJob) -> Result<u64, Code> {
    match bench.run(job) {
        Ok(Written::Changed { seq }) => Ok(seq.0),
        Ok(Written::Left { seq } | Written::Invited { seq, .. }) => Ok(seq.0),
        Err(why) => Err(JobError::code(why)),
        other => panic!("{other:?}"),
    }
}

/// What a mailbox says of a conversation of its owner.
#[derive(Default)]
struct Seen {
    entries: Vec<(u64, StoredMessage)>,
    view: pb::ConversationView,
}

/// Holds a user's list against the mailbox: the same conversations in the order of their newest
/// entries, and as many messages unread as there are above the marks (I10).
pub fn check_list(bench: &mut Bench, user: UserId) {
    let mut seen: BTreeMap<ConversationKey, Seen> = BTreeMap::new();
    for (seq, entry) in (1..).zip(bench.mailbox(user)) {
        if entry.kind != pb::MsgType::SystemSelf {
            seen.entry(entry.conversation).or_default().entries.push((seq, entry));
            continue;
        }
        let event = pb::SelfEvent::decode(&entry.content[..]).unwrap();
        if let Some(pb::self_event::What::View(view)) = event.what {
            let before = &mut seen.entry(key_of(user, &view)).or_default().view;
            assert!(view.read_conv_seq >= before.read_conv_seq, "marks never go back");
            assert!(view.cleared_conv_seq >= before.cleared_conv_seq);
            *before = view;
        }
    }
    // What was said in a stream is not in the mailbox that the list is held against.
    let is_stream = |key: &ConversationKey| seen[key].entries.iter().any(is_of_stream);
    let mut wanted: Vec<(u64, ConversationKey, u64, u64)> = Vec::new();
    for (key, Seen { entries, view }) in seen.iter().filter(|(key, _)| !is_stream(key)) {
        for (_, entry) in entries {
            let is_cleared = entry.conv_seq.0 <= view.cleared_conv_seq;
            assert_eq!(entry.flags & CLEARED != 0, is_cleared);
            assert!(!is_cleared || entry.content.is_empty() && entry.extra.is_empty());
        }
        let Some((seq, top)) = entries.last() else { continue };
        if top.conv_seq.0 <= view.cleared_conv_seq {
            continue;
        }
        let messages = || entries.iter().filter(|(_, entry)| entry.kind.is_message());
        let own = messages().filter(|(_, entry)| entry.sender == user);
        let own = own.map(|(_, entry)| entry.conv_seq.0).max().unwrap_or(0);
        let mark = own.max(view.read_conv_seq).max(view.cleared_conv_seq);
        let unread = messages().filter(|(_, entry)| entry.conv_seq.0 > mark).count() as u64;
        let last = messages().map(|(_, entry)| entry.conv_seq.0).max();
        let last = last.filter(|&last| last > view.cleared_conv_seq).unwrap_or(0);
        wanted.push((*seq, *key, unread, last));
    }
    wanted.sort_unstable_by_key(|one| std::cmp::Reverse(one.0));
    let wanted: Vec<_> =
        wanted.into_iter().map(|(_, key, unread, last)| (key, unread, last)).collect();
    for limit in [1, 3, 100] {
        let found: Vec<_> = list(bench, user, limit)
            .into_iter()
            .map(|one| {
                let key = key_of(user, &one.view);
                assert_eq!(one.view, shown(user, key, &seen[&key].view));
                (key, one.unread, one.last.map_or(0, |last| last.conv_seq.0))
            })
            .filter(|(key, ..)| !is_stream(key))
            .collect();
        assert_eq!(found, wanted, "{user:?}, limit {limit}");
    }
}

/// Whether an entry of a mailbox says that its group is a stream.
fn is_of_stream((_, entry): &(u64, StoredMessage)) -> bool {
    entry.kind == pb::MsgType::SystemGroup
        && pb::GroupEvent::decode(&entry.content[..]).is_ok_and(|event| {
            event.is_stream || event.kind() == pb::GroupEventKind::GroupBecameStream
        })
}

/// A view also of a conversation that no device was told anything of.
fn shown(user: UserId, key: ConversationKey, view: &pb::ConversationView) -> pb::ConversationView {
    pb::ConversationView {
        receiver_id: key.peer_of(user).map_or(0, |peer| peer.0),
        group_id: key.as_group().map_or(0, |group| group.0),
        ..*view
    }
}

#[test]
fn the_newest_conversation_comes_first_with_what_is_unread() {
    on_every_backend(|bench| {
        let users = bench.users(4);
        let me = users[0];
        for (peer, count) in [(1, 3), (2, 1), (3, 2)] {
            for _ in 0..count {
                bench.send(direct(me, users[peer]), users[peer], "hello").unwrap();
            }
        }
        bench.send(direct(me, users[1]), users[1], "again").unwrap();
        let listed: Vec<_> =
            list(bench, me, 2).iter().map(|one| (one.view.receiver_id, one.unread)).collect();
        let id = |at: usize| users[at].0;
        assert_eq!(listed, [(id(1), 4), (id(3), 2), (id(2), 1)]);
        assert_eq!(run(bench, read_up_to(me, direct(me, users[3]), 1)), Ok(8));
        bench.send(direct(me, users[1]), me, "from some device of mine").unwrap();
        let listed = list(bench, me, 2);
        assert_eq!((listed[0].unread, listed[1].unread), (0, 1), "a send is a read mark");
        assert_eq!(listed[1].view.read_conv_seq, 1);
        assert_eq!(&listed[0].last.as_ref().unwrap().content[..], b"from some device of mine");
        assert_eq!(page(bench, me, 0, 1).head, Seq(9));
        assert_eq!(page(bench, me, 1, 1).conversations.len(), 0);
        users.iter().for_each(|&user| check_list(bench, user));
    });
}

#[test]
fn who_leaves_and_comes_back_or_joins_late_counts_what_there_is_to_see() {
    on_every_backend(|bench| {
        let users = bench.users(4);
        let (owner, late, back) = (users[0], users[1], users[2]);
        let group = bench.group(owner, &[back]);
        let key = ConversationKey::group(group);
        let say = |bench: &mut Bench, count: usize| {
            (0..count).for_each(|_| assert!(bench.send(key, owner, "news").is_ok()));
        };
        say(bench, 3);
        assert!(run(bench, WriteJob::LeaveGroup { user: back, group }).is_ok());
        say(bench, 5);
        check_list(bench, back);
        assert_eq!(list(bench, back, 9)[0].unread, 3, "what was said while one was there");
        let invite = |user| WriteJob::InviteMembers {
            actor: owner,
            group,
            members: vec![user],
            limits: Default::default(),
        };
        for user in [back, late] {
            assert!(run(bench, invite(user)).is_ok());
            say(bench, 2);
        }
        assert_eq!(list(bench, back, 9)[0].unread, 3 + 2 + 2);
        assert_eq!(list(bench, late, 9)[0].unread, 2);
        assert_eq!(list(bench, users[3], 9).len(), 0);
        users.iter().for_each(|&user| check_list(bench, user));
        assert!(run(bench, read_up_to(back, key, 4)).is_ok());
        assert_eq!(list(bench, back, 9)[0].unread, 4, "the first stay is read");
        check_list(bench, back);
    });
}

#[test]
fn what_is_cleared_is_in_no_list_and_blank_in_the_mailbox() {
    on_every_backend(|bench| {
        let users = bench.users(3);
        let (me, ben) = (users[0], users[1]);
        let key = direct(me, ben);
        for text in ["one", "two", "three"] {
            bench.send(key, ben, text).unwrap();
        }
        bench.send(direct(me, users[2]), users[2], "hello").unwrap();
        assert_eq!(run(bench, clear(me, key, 4)), Err(Code::NotFound), "there is no such entry");
        assert!(run(bench, clear(me, key, 2)).unwrap() > 0);
        assert_eq!(run(bench, clear(me, key, 1)), Ok(0), "it never goes back");
        let one = list(bench, me, 9).pop().unwrap();
        assert_eq!((one.unread, one.view.cleared_conv_seq), (1, 2));
        let page = bench.history(me, key, aldis_logic::job::HistoryRange::Newest, 9).unwrap();
        assert_eq!((page.entries.len(), page.more, page.max_conv_seq), (1, false, ConvSeq(3)));
        assert!(run(bench, clear(me, key, 3)).unwrap() > 0);
        assert_eq!(list(bench, me, 9).len(), 1, "nothing of it is left");
        let range = aldis_logic::job::HistoryRange::After(ConvSeq(1));
        let page = bench.history(me, key, range, 9).unwrap();
        assert_eq!((page.entries.len(), page.more), (0, false));
        let texts = |bench: &mut Bench, user| {
            bench.mailbox(user).iter().filter(|entry| !entry.content.is_empty()).count()
        };
        assert_eq!(texts(bench, me), 1 + 2, "a hello, and two entries of one's own");
        assert_eq!(texts(bench, ben), 3, "nobody else misses anything");
        bench.restart();
        bench.send(key, ben, "four").unwrap();
        let newest = &list(bench, me, 9)[0];
        assert_eq!((newest.unread, newest.max_conv_seq), (1, ConvSeq(4)));
        users.iter().for_each(|&user| check_list(bench, user));
    });
}

#[test]
fn the_last_message_is_shown_as_far_as_there_is_room_and_blank_when_recalled() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (me, ben) = (users[0], users[1]);
        let key = direct(me, ben);
        let text = "é".repeat(PREVIEW_BYTES_MAX);
        bench.send(key, ben, &format!("x{text}")).unwrap();
        let last = list(bench, me, 9)[0].last.clone().unwrap();
        assert_eq!((last.flags, last.content.len()), (SHORTENED, PREVIEW_BYTES_MAX - 1));
        assert!(std::str::from_utf8(&last.content).is_ok());
        let id = bench.fresh_id();
        let WriteJob::Append(job) = append(key, ben, id, &text) else { unreachable!() };
        let extra = Bytes::from(vec![7; PREVIEW_BYTES_MAX + 1]);
        bench.run(WriteJob::Append(Append { kind: pb::MsgType::Image, extra, ..job })).unwrap();
        let last = list(bench, me, 9)[0].last.clone().unwrap();
        assert_eq!((last.flags, last.content.len(), last.extra.len()), (SHORTENED, 0, 0));
        let change = MessageChange::Recall { within_ms: 9_000 };
        let recall = MessageJob { actor: ben, conversation: key, conv_seq: ConvSeq(2), change };
        assert!(run(bench, WriteJob::Message(recall)).unwrap() > 0);
        let one = list(bench, me, 9).pop().unwrap();
        let last = one.last.unwrap();
        assert_eq!((last.conv_seq, last.flags, last.content.len()), (ConvSeq(2), RECALLED, 0));
        assert_eq!((one.max_conv_seq, one.unread), (ConvSeq(3), 2));
    });
}

#[test]
fn pinned_conversations_are_a_list_of_their_own_up_to_a_limit() {
    on_every_backend(|bench| {
        let users = bench.users(PINNED_MAX as u32 + 3);
        let me = users[0];
        let peers = &users[1..];
        assert_eq!(run(bench, pin(me, direct(me, peers[0]), true)), Err(Code::NotFound));
        let stranger = direct(peers[0], peers[1]);
        assert_eq!(run(bench, pin(me, stranger, true)), Err(Code::NotFound));
        for &peer in peers {
            bench.send(direct(me, peer), peer, "hello").unwrap();
        }
        for &peer in &peers[..PINNED_MAX] {
            bench.now_ms += 1;
            assert!(run(bench, pin(me, direct(me, peer), true)).unwrap() > 0);
        }
        assert_eq!(run(bench, pin(me, direct(me, peers[0]), true)), Ok(0), "it is pinned");
        let last = direct(me, peers[PINNED_MAX]);
        assert_eq!(run(bench, pin(me, last, true)), Err(Code::TooLarge));
        let wanted: Vec<_> =
            peers[..PINNED_MAX].iter().rev().map(|&peer| direct(me, peer)).collect();
        assert_eq!(pinned(bench, me), wanted, "the newest pin comes first");
        assert!(run(bench, pin(me, wanted[0], false)).unwrap() > 0);
        assert_eq!(pinned(bench, me), wanted[1..]);
        bench.restart();
        assert!(run(bench, pin(me, last, true)).unwrap() > 0, "there is room again");
        assert_eq!(pinned(bench, me)[1..], wanted[1..]);
        assert!(run(bench, clear(me, wanted[1], 1)).unwrap() > 0);
        assert_eq!(pinned(bench, me).len(), PINNED_MAX, "a pin stays without a history");
        check_list(bench, me);
    });
}

#[test]
fn a_busy_conversation_hides_others_from_a_page_but_not_from_the_list() {
    on_every_backend(|bench| {
        let users = bench.users(3);
        let me = users[0];
        bench.send(direct(me, users[1]), users[1], "hello").unwrap();
        let busy = direct(me, users[2]);
        let id = |bench: &mut Bench| bench.fresh_id();
        for _ in 0..5 {
            let jobs = (0..500).map(|_| append(busy, users[2], id(bench), "more")).collect();
            assert!(bench.batch(jobs).results.iter().all(Result::is_ok));
        }
        let first = page(bench, me, 0, 9);
        assert_eq!((first.conversations.len(), first.conversations[0].unread), (1, 2_500));
        let second = page(bench, me, first.next_before.0, 9);
        assert_eq!((second.conversations.len(), second.next_before), (1, Seq(0)));
        let all: HashSet<_> = list(bench, me, 1).iter().map(|one| one.view.receiver_id).collect();
        assert_eq!(all.len(), 2);
    });
}

#[test]
fn an_own_message_counts_as_a_mark_while_it_is_near_the_newest_entry() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (me, ben) = (users[0], users[1]);
        let key = direct(me, ben);
        bench.send(key, ben, "hello").unwrap();
        bench.send(key, me, "hello").unwrap();
        for _ in 1..OWN_MARK_ENTRIES_MAX {
            bench.send(key, ben, "more").unwrap();
        }
        let unread = |bench: &mut Bench| list(bench, me, 9)[0].unread;
        assert_eq!(unread(bench), OWN_MARK_ENTRIES_MAX as u64 - 1);
        bench.send(key, ben, "more").unwrap();
        let all = OWN_MARK_ENTRIES_MAX as u64 + 2;
        assert_eq!(unread(bench), all, "it is a message above the stored mark as any other");
    });
}
