//! Large groups: when one becomes a stream, what is in it and for whom, who follows it.

use aldis_logic::job::{
    CreateGroup, Event, Followed, GroupChange, GroupJob, GroupLimits, GroupUpdate, HistoryRange,
    JoinMode, MessageChange, MessageJob, ReadJob, ReadResult, StoredMessage, SyncPage, ViewChange,
    ViewJob, WriteJob, Written,
};
use aldis_wire::{
    Code, ConvSeq, ConversationKey, DeviceClass, GroupId, Message, RECALLED, RequestId, Seq,
    UserId, pb,
};

use crate::harness::{Bench, append, appended, create_group, login, on_every_backend};

/// Groups of more than three are streams.
pub const LIMITS: GroupLimits = GroupLimits { fanout_max: 3, members_max: 6, per_user_max: 2_000 };
/// The entries that make a group of four a stream: GROUP_CREATED, GROUP_BECAME_STREAM.
pub const BEGIN: u64 = 2;

pub fn large_group(bench: &mut Bench, users: &[UserId]) -> GroupId {
    let id = bench.fresh_id();
    let WriteJob::CreateGroup(group) = create_group(users[0], &users[1..], RequestId(id.0)) else {
        panic!("a creation")
    };
    match bench.run(WriteJob::CreateGroup(CreateGroup { limits: LIMITS, ..group })) {
        Ok(Written::GroupCreated { group, .. }) => group,
        other => panic!("{other:?}"),
    }
}

pub fn invite(actor: UserId, group: GroupId, members: &[UserId]) -> WriteJob {
    WriteJob::InviteMembers { actor, group, members: members.to_vec(), limits: LIMITS }
}

pub fn change(actor: UserId, group: GroupId, change: GroupChange) -> WriteJob {
    WriteJob::Group(GroupJob { actor, group, change, limits: LIMITS })
}

fn page(bench: &mut Bench, reader: UserId, group: GroupId, after: u64, limit: usize) -> SyncPage {
    match bench.read(ReadJob::Stream { reader, group, after: Seq(after), limit }) {
        Ok(ReadResult::Sync(page)) => page,
        other => panic!("{other:?}"),
    }
}

/// All of a stream that the reader can see, read by pages of two as clients do; whether it is over.
fn stream(bench: &mut Bench, reader: UserId, group: GroupId) -> (Vec<u64>, bool) {
    let (mut seqs, mut local) = (Vec::new(), 0);
    loop {
        let page = page(bench, reader, group, local, 2);
        assert_eq!(page.stream, Some(group));
        local = local.max(page.skipped_to.0);
        for (seq, entry) in &page.entries {
            local += 1;
            assert_eq!((seq.0, entry.conv_seq.0), (local, local), "dense");
            seqs.push(local);
        }
        if local == page.head.0 {
            return (seqs, page.is_over);
        }
        assert!(!page.entries.is_empty() || page.skipped_to.0 == local, "it comes to an end");
    }
}

fn followed(bench: &mut Bench, user: UserId) -> Vec<Followed> {
    match bench.read(ReadJob::Heads { users: vec![user] }) {
        Ok(ReadResult::Heads(mut heads)) => heads.remove(0).streams,
        other => panic!("{other:?}"),
    }
}

fn follows(group: GroupId, start: u64, head: u64) -> Followed {
    Followed { group, start: Seq(start), head: Seq(head), cursor: Seq(0) }
}

fn kinds(entries: &[StoredMessage]) -> Vec<(pb::GroupEventKind, bool)> {
    let events = entries.iter().map(|entry| pb::GroupEvent::decode(&entry.content[..]).unwrap());
    events.map(|event| (event.kind(), event.is_stream)).collect()
}

fn member_seqs(events: &[Event]) -> Vec<Option<u64>> {
    events.iter().map(|event| event.stream.map(|stream| stream.member_seq.0)).collect()
}

#[test]
fn a_group_that_grows_too_large_becomes_a_stream_and_its_messages_are_stored_once() {
    on_every_backend(|bench| {
        let users = bench.users(4);
        let group = bench.group(users[0], &users[1..3]);
        let key = ConversationKey::group(group);
        bench.send(key, users[0], "small").unwrap();
        let grown = bench.batch(vec![invite(users[0], group, &users[3..])]);
        let Ok(Written::Invited { seq, .. }) = &grown.results[0] else { panic!("{grown:?}") };
        assert_eq!(*seq, Seq(3), "of what says who came");
        let owners: Vec<_> = grown.events.iter().map(|event| event.owners.len()).collect();
        assert_eq!(owners, [4, 4]);
        assert_eq!(member_seqs(&grown.events), [None, None]);

        let id = bench.fresh_id();
        let job = crate::harness::append(key, users[1], id, "large");
        let sent = bench.batch(vec![job.clone()]);
        let first = appended(sent.results[0].as_ref().unwrap());
        assert_eq!((first.seq, first.conv_seq), (Seq(0), ConvSeq(5)));
        assert!(sent.events[0].owners.is_empty());
        assert_eq!(member_seqs(&sent.events), [Some(4)]);
        bench.restart();
        let again = bench.batch(vec![job]);
        assert_eq!(again.results[0], Ok(Written::Appended(first)));
        assert!(again.events.is_empty());

        let last = bench.mailbox(users[3]);
        let begun = [pb::GroupEventKind::MembersJoined, pb::GroupEventKind::GroupBecameStream];
        assert_eq!(kinds(&last), [(begun[0], false), (begun[1], true)]);
        assert_eq!(bench.mailbox(users[0]).len(), 4);
        for &user in &users {
            assert_eq!(stream(bench, user, group), (vec![5], false));
            assert_eq!(followed(bench, user), [follows(group, 4, 5)]);
        }
        let ReadResult::Groups(groups) =
            bench.read(ReadJob::Groups { user: users[2], after: GroupId(0), limit: 5 }).unwrap()
        else {
            panic!("groups")
        };
        assert!(groups.groups[0].is_stream);
    });
}

#[test]
fn who_comes_late_sees_nothing_earlier_and_who_goes_nothing_later() {
    on_every_backend(|bench| {
        let users = bench.users(6);
        let group = large_group(bench, &users[..4]);
        let key = ConversationKey::group(group);
        bench.send(key, users[0], "3").unwrap();
        bench.run(invite(users[1], group, &users[4..5])).unwrap(); // 4
        bench.send(key, users[4], "5").unwrap();
        let gone = bench.batch(vec![change(
            users[0],
            group,
            GroupChange::Remove { users: vec![users[1], users[4]] },
        )]); // 6
        let owners: Vec<UserId> = gone.events[0].owners.iter().map(|owner| owner.0).collect();
        assert_eq!(owners, [users[1], users[4]]);
        assert_eq!(member_seqs(&gone.events), [Some(4)]);
        assert_eq!(gone.results[0], Ok(Written::Changed { seq: Seq(0) }));
        assert_eq!(bench.send(key, users[4], "no").unwrap_err().code(), Code::NotFound);
        bench.send(key, users[0], "7").unwrap();
        let back = bench.batch(vec![invite(users[2], group, &users[4..5])]); // 8
        assert_eq!(member_seqs(&back.events), [Some(6)]);
        bench.send(key, users[3], "9").unwrap();
        bench.restart();

        assert_eq!(stream(bench, users[0], group), ((3..=9).collect(), false));
        assert_eq!(stream(bench, users[1], group), (vec![3, 4, 5], true));
        assert_eq!(stream(bench, users[4], group), (vec![5, 9], false));
        assert_eq!(followed(bench, users[1]), []);
        assert_eq!(followed(bench, users[4]), [follows(group, 8, 9)]);
        let (joined, removed) =
            (pb::GroupEventKind::MembersJoined, pb::GroupEventKind::MembersRemoved);
        let of_late = bench.mailbox(users[4]);
        assert_eq!(kinds(&of_late), [(joined, true), (removed, true), (joined, true)]);
        let strangers = ReadJob::Stream { reader: users[5], group, after: Seq(0), limit: 9 };
        assert_eq!(bench.read(strangers).unwrap_err().code(), Code::NotFound);
        let page = page(bench, users[4], group, 5, 9);
        assert_eq!((page.skipped_to, page.head), (Seq(8), Seq(9)));
        let read = bench.history(users[4], key, HistoryRange::Newest, 9).unwrap();
        let read: Vec<u64> = read.entries.iter().map(|entry| entry.conv_seq.0).collect();
        assert_eq!(read, [4, 5, 6, 8, 9]);
    });
}

#[test]
fn the_end_of_a_large_group_is_in_its_stream() {
    on_every_backend(|bench| {
        let users = bench.users(4);
        let group = large_group(bench, &users);
        bench.run(WriteJob::LeaveGroup { user: users[3], group }).unwrap(); // 3
        let over = bench.batch(vec![change(users[0], group, GroupChange::Dissolve)]); // 4
        assert!(over.events[0].owners.is_empty());
        assert_eq!(member_seqs(&over.events), [Some(3)]);
        let again = bench.run(change(users[0], group, GroupChange::Dissolve));
        assert_eq!(again, Ok(Written::Changed { seq: Seq(0) }));
        for &user in &users[..3] {
            assert_eq!(stream(bench, user, group), (vec![3, 4], true));
            assert_eq!(followed(bench, user), []);
            assert_eq!(bench.mailbox(user).len(), 2);
        }
        assert_eq!(stream(bench, users[3], group), (vec![], true));
        assert_eq!(bench.mailbox(users[3]).len(), 3);
    });
}

#[test]
fn a_stream_ended_for_who_left_below_the_leave_and_with_the_group_for_the_others() {
    on_every_backend(|bench| {
        let users = bench.users(5);
        let group = large_group(bench, &users[..4]);
        let small = bench.group(users[0], &users[1..2]);
        let ends = |bench: &mut Bench| {
            let mut asks: Vec<_> = users.iter().map(|&user| (user, group)).collect();
            asks.push((users[0], small));
            match bench.read(ReadJob::StreamEnds { asks }) {
                Ok(ReadResult::StreamEnds(ends)) => {
                    ends.into_iter().map(|end| end.map(|end| end.0)).collect::<Vec<_>>()
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(ends(bench), [None; 6]);
        bench.send(ConversationKey::group(group), users[0], "x").unwrap(); // 3
        bench.run(WriteJob::LeaveGroup { user: users[3], group }).unwrap(); // 4
        assert_eq!(ends(bench), [None, None, None, Some(3), None, None]);
        bench.run(change(users[0], group, GroupChange::Dissolve)).unwrap(); // 5
        bench.restart();
        assert_eq!(ends(bench), [Some(5), Some(5), Some(5), Some(3), None, None]);
    });
}

#[test]
fn changed_messages_read_marks_and_joining_by_oneself_work_in_streams() {
    on_every_backend(|bench| {
        let users = bench.users(5);
        let group = large_group(bench, &users[..4]);
        let key = ConversationKey::group(group);
        bench.send(key, users[1], "secret").unwrap(); // 3
        let job = |actor, change| {
            WriteJob::Message(MessageJob { actor, conversation: key, conv_seq: ConvSeq(3), change })
        };
        let edit = MessageChange::Edit {
            request_id: RequestId([7; 16]),
            content: "milder".into(),
            extra: "".into(),
            within_ms: 1_000_000,
            friends_only: false,
        };
        let edited = bench.batch(vec![job(users[1], edit)]); // 4
        assert_eq!(edited.results[0], Ok(Written::Changed { seq: Seq(0) }));
        assert_eq!(member_seqs(&edited.events), [Some(BEGIN)]);
        let recall = MessageChange::Recall { within_ms: 0 };
        let stranger = bench.run(job(users[4], recall.clone()));
        assert_eq!(stranger.unwrap_err().code(), Code::NotFound);
        bench.run(job(users[0], recall)).unwrap(); // 5
        let read = page(bench, users[2], group, BEGIN, 9);
        assert_eq!(read.entries.len(), 3);
        assert!(read.entries[0].1.content.is_empty());
        assert_eq!(read.entries[0].1.flags & RECALLED, RECALLED);

        let update = GroupChange::Update(GroupUpdate {
            join_mode: Some(JoinMode::Open),
            ..GroupUpdate::default()
        });
        bench.run(change(users[0], group, update)).unwrap(); // 6
        let join = GroupChange::Join { reason: String::new() };
        let joined = bench.run(change(users[4], group, join)); // 7
        assert_eq!(joined, Ok(Written::Changed { seq: Seq(1) }), "in its own mailbox");
        let change = ViewChange::Read(ConvSeq(5));
        let view =
            |user| WriteJob::View(ViewJob { user, conversation: key, change: change.clone() });
        assert_eq!(bench.run(view(users[4])).unwrap_err().code(), Code::NotFound);
        bench.run(view(users[3])).unwrap();
    });
}

#[test]
fn a_device_marks_how_far_it_has_a_stream() {
    on_every_backend(|bench| {
        let users = bench.users(4);
        let group = large_group(bench, &users);
        bench.send(ConversationKey::group(group), users[0], "3").unwrap();
        bench.run(WriteJob::OpenSession(login(users[1], "phone", DeviceClass::Phone))).unwrap();
        let mark = |seq| WriteJob::MarkDelivered {
            user: users[1],
            device_id: "phone".into(),
            stream: Some(group),
            seq: Seq(seq),
        };
        bench.batch(vec![mark(3), mark(2)]);
        bench.restart();
        bench.run(mark(1)).unwrap();
        let mut cursor = |device_id: &str| {
            let ask = ReadJob::LoginState { user: users[1], device_id: device_id.into() };
            match bench.read(ask) {
                Ok(ReadResult::LoginState(state)) => state.streams[0],
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(cursor("phone"), Followed { cursor: Seq(3), ..follows(group, BEGIN, 3) });
        assert_eq!(cursor("other"), follows(group, BEGIN, 3));
    });
}

/// What is unread and last of each stream that a user follows, by pages of one.
fn listed(bench: &mut Bench, user: UserId) -> Vec<(u64, u64, Option<u64>)> {
    let (mut all, mut after) = (Vec::new(), GroupId(0));
    loop {
        let page = match bench.read(ReadJob::FollowedStreams { user, after, limit: 1 }) {
            Ok(ReadResult::Conversations(page)) => page,
            other => panic!("{other:?}"),
        };
        all.extend(page.conversations.into_iter().map(|one| {
            (one.max_conv_seq.0, one.unread, one.last.map(|message| message.conv_seq.0))
        }));
        if page.next_before == Seq(0) {
            return all;
        }
        after = GroupId(page.next_before.0);
    }
}

#[test]
fn a_stream_is_in_a_list_of_its_own_with_what_is_unread_in_it() {
    on_every_backend(|bench| {
        let users = bench.users(5);
        let group = large_group(bench, &users[..4]);
        let quiet = large_group(bench, &users[..4]);
        assert!(group < quiet, "ids are given in order");
        let text = |bench: &mut Bench, sender, group| {
            let id = bench.fresh_id();
            let send = append(ConversationKey::group(group), sender, id, "a text");
            appended(&bench.run(send).unwrap()).conv_seq.0
        };
        for sender in [users[0], users[0], users[1]] {
            text(bench, sender, group);
        }
        assert_eq!(listed(bench, users[2]), [(5, 3, Some(5)), (BEGIN, 0, None)]);
        assert_eq!(
            listed(bench, users[1]),
            [(5, 0, Some(5)), (BEGIN, 0, None)],
            "who sends has read"
        );
        assert_eq!(listed(bench, users[0]), [(5, 1, Some(5)), (BEGIN, 0, None)]);
        bench.run(invite(users[0], group, &users[4..])).unwrap();
        let last = text(bench, users[0], group);
        assert_eq!(listed(bench, users[4]), [(last, 1, Some(last))], "nothing of before");
        bench.run(WriteJob::LeaveGroup { user: users[2], group }).unwrap();
        assert_eq!(listed(bench, users[2]), [(BEGIN, 0, None)]);
    });
}
