//! Groups: creation, invitation, leaving, what stays let a reader see, limits.

use aldis_logic::job::{HistoryRange, ReadJob, ReadResult, WriteJob, Written};
use aldis_wire::limits::{GROUP_FANOUT_MAX, GROUPS_PER_USER_MAX};
use aldis_wire::{
    ClientMsgId, Code, ConvSeq, ConversationKey, GroupId, Message, MsgNo, RequestId, Seq, UserId,
    pb,
};

use crate::harness::{Bench, LIMITS, create_group, on_every_backend};

fn invite(actor: UserId, group: GroupId, members: &[UserId]) -> WriteJob {
    WriteJob::InviteMembers { actor, group, members: members.to_vec(), limits: LIMITS }
}

fn leave(user: UserId, group: GroupId) -> WriteJob {
    WriteJob::LeaveGroup { user, group }
}

fn groups_of(bench: &mut Bench, user: UserId, after: u64, limit: usize) -> pb::GroupListResp {
    match bench.read(ReadJob::Groups { user, after: GroupId(after), limit }) {
        Ok(ReadResult::Groups(groups)) => groups,
        other => panic!("{other:?}"),
    }
}

fn members_of(bench: &mut Bench, reader: UserId, group: GroupId) -> Vec<(u64, pb::GroupRole)> {
    let ask = ReadJob::Members { reader, group, after: UserId(0), limit: 500 };
    match bench.read(ask) {
        Ok(ReadResult::Members(found)) => {
            assert!(!found.more);
            found.members.iter().map(|member| (member.user_id, member.role())).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn conv_seqs(bench: &mut Bench, reader: UserId, group: GroupId) -> Vec<u64> {
    let key = ConversationKey::group(group);
    let page = bench.history(reader, key, HistoryRange::Newest, 500).unwrap();
    assert_eq!(page.max_conv_seq, page.entries.last().unwrap().conv_seq);
    page.entries.iter().map(|entry| entry.conv_seq.0).collect()
}

#[test]
fn a_new_group_is_an_entry_for_each_member() {
    on_every_backend(|bench| {
        let users = bench.users(3);
        let job =
            create_group(users[1], &[users[2], users[0], users[2], users[1]], RequestId([7; 16]));
        let committed = bench.batch(vec![job.clone()]);
        let group = GroupId(10_001);
        let want = Written::GroupCreated { group, seq: Seq(1) };
        assert_eq!(committed.results, [Ok(want)]);
        let event = &committed.events[0];
        assert_eq!(event.owners[..], [0, 1, 2].map(|n| (users[n], Seq(1))));
        let entry = &event.message;
        assert_eq!((entry.kind, entry.sender), (pb::MsgType::SystemGroup, users[1]));
        assert_eq!((entry.conv_seq, entry.msg_no), (ConvSeq(1), MsgNo(0)));
        assert_eq!(entry.client_msg_id, ClientMsgId([0; 16]));
        let content = pb::GroupEvent::decode(&entry.content[..]).unwrap();
        let mut told = content.user_ids.clone();
        told.sort();
        assert_eq!(told, [0, 1, 2].map(|n| users[n].0));
        assert_eq!(content.kind(), pb::GroupEventKind::GroupCreated);
        assert_eq!((content.owner_id, content.name.as_str()), (users[1].0, "the group"));

        let again = bench.batch(vec![job]);
        assert_eq!(again.results, [Ok(Written::GroupCreated { group, seq: Seq(0) })]);
        assert!(again.events.is_empty());
        use pb::GroupRole::{Member, Owner};
        let roles = [(users[0].0, Member), (users[1].0, Owner), (users[2].0, Member)];
        assert_eq!(members_of(bench, users[2], group), roles);
        let listed = groups_of(bench, users[0], 0, 10);
        let info = pb::GroupInfo {
            group_id: group.0,
            name: "the group".into(),
            owner_id: users[1].0,
            member_count: 3,
            role: Member.into(),
            create_time_ms: bench.now_ms,
            ..Default::default()
        };
        assert_eq!(listed, pb::GroupListResp { groups: vec![info], more: false });
    });
}

#[test]
fn creating_with_unknown_members_or_too_many_does_nothing() {
    on_every_backend(|bench| {
        let users = bench.users(GROUP_FANOUT_MAX as u32 + 1);
        let id = RequestId([1; 16]);
        let unknown = create_group(users[0], &[users[1], UserId(5)], id);
        assert_eq!(bench.run(unknown).unwrap_err().code(), Code::NotFound);
        let nobody = create_group(UserId(u64::MAX), &[], id);
        assert_eq!(bench.run(nobody).unwrap_err().code(), Code::NotFound);
        let too_many = create_group(users[0], &users[1..], id);
        assert_eq!(bench.run(too_many).unwrap_err().code(), Code::TooLarge);
        assert!(groups_of(bench, users[1], 0, 10).groups.is_empty());
        assert!(bench.mailbox(users[1]).is_empty());
        let full = create_group(users[0], &users[1..GROUP_FANOUT_MAX], id);
        let Ok(Written::GroupCreated { group, .. }) = bench.run(full) else { panic!() };
        let one_more = invite(users[0], group, &users[GROUP_FANOUT_MAX..]);
        assert_eq!(bench.run(one_more).unwrap_err().code(), Code::TooLarge);
        bench.run(leave(users[1], group)).unwrap();
        bench.run(invite(users[0], group, &users[GROUP_FANOUT_MAX..])).unwrap();
        assert_eq!(members_of(bench, users[0], group).len(), GROUP_FANOUT_MAX);
    });
}

#[test]
fn nobody_gets_into_more_groups_than_allowed() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let jobs = (0..GROUPS_PER_USER_MAX as u64)
            .map(|n| {
                let mut id = [0; 16];
                id[..8].copy_from_slice(&n.to_be_bytes());
                create_group(users[0], &[], RequestId(id))
            })
            .collect();
        assert!(bench.batch(jobs).results.iter().all(Result::is_ok));
        let one_more = create_group(users[0], &[], RequestId([9; 16]));
        assert_eq!(bench.run(one_more.clone()).unwrap_err().code(), Code::TooLarge);
        let of_other = bench.group(users[1], &[]);
        let invited = bench.run(invite(users[1], of_other, &users[..1]));
        assert_eq!(invited.unwrap_err().code(), Code::TooLarge);
        bench.run(leave(users[0], GroupId(10_001))).unwrap();
        bench.run(one_more).unwrap();

        let page = groups_of(bench, users[0], 10_000, 10);
        assert_eq!((page.groups.len(), page.more), (10, true));
        assert_eq!(page.groups[0].group_id, 10_002);
        let last = page.groups[9].group_id;
        assert_eq!(groups_of(bench, users[0], last, 1).groups[0].group_id, last + 1);
        assert!(groups_of(bench, users[0], u64::MAX, 10).groups.is_empty());
    });
}

#[test]
fn any_member_invites_and_members_already_are_skipped() {
    on_every_backend(|bench| {
        let users = bench.users(5);
        let group = bench.group(users[0], &users[1..2]);
        let job = invite(users[1], group, &[users[3], users[0], users[2], users[3]]);
        let committed = bench.batch(vec![job.clone()]);
        let added = vec![users[3], users[2]];
        let want = Written::Invited { added, seq: Seq(2) };
        assert_eq!(committed.results, [Ok(want)]);
        let owners: Vec<_> = committed.events[0].owners.iter().map(|owner| owner.0).collect();
        assert_eq!(owners, users[..4]);
        let content = pb::GroupEvent::decode(&committed.events[0].message.content[..]).unwrap();
        assert_eq!(content.kind(), pb::GroupEventKind::MembersJoined);
        assert_eq!(content.user_ids, [users[3].0, users[2].0]);

        let again = bench.batch(vec![job]);
        assert_eq!(again.results, [Ok(Written::Invited { added: vec![], seq: Seq(0) })]);
        assert!(again.events.is_empty());
        for (actor, invited, code) in [
            (users[4], users[3], Code::NotFound),
            (users[0], UserId(5), Code::NotFound),
            (users[0], UserId(u64::MAX), Code::NotFound),
        ] {
            assert_eq!(bench.run(invite(actor, group, &[invited])).unwrap_err().code(), code);
        }
        let nowhere = invite(users[0], GroupId(u64::MAX), &[users[4]]);
        assert_eq!(bench.run(nowhere).unwrap_err().code(), Code::NotFound);
    });
}

#[test]
fn the_owner_is_succeeded_by_the_longest_standing_member() {
    on_every_backend(|bench| {
        let users = bench.users(4);
        let group = bench.group(users[3], &users[2..3]);
        bench.run(invite(users[3], group, &[users[1], users[0]])).unwrap();
        let committed = bench.batch(vec![leave(users[3], group)]);
        assert_eq!(committed.results, [Ok(Written::Left { seq: Seq(3) })]);
        assert_eq!(committed.events[0].owners.len(), 4, "the leaver gets it too");
        let content = pb::GroupEvent::decode(&committed.events[0].message.content[..]).unwrap();
        assert_eq!(content.kind(), pb::GroupEventKind::MemberLeft);
        assert_eq!((content.user_ids, content.owner_id), (vec![users[3].0], users[2].0));
        bench.run(leave(users[2], group)).unwrap();
        use pb::GroupRole::{Member, Owner};
        assert_eq!(members_of(bench, users[0], group), [(users[0].0, Owner), (users[1].0, Member)]);
        assert_eq!(groups_of(bench, users[1], 0, 1).groups[0].owner_id, users[0].0);

        bench.run(leave(users[1], group)).unwrap();
        let committed = bench.batch(vec![leave(users[0], group)]);
        let content = pb::GroupEvent::decode(&committed.events[0].message.content[..]).unwrap();
        assert_eq!(content.owner_id, 0, "nobody is left");
        assert!(groups_of(bench, users[0], 0, 1).groups.is_empty());
    });
}

#[test]
fn leaving_twice_is_answered_and_leaving_from_outside_is_not_found() {
    on_every_backend(|bench| {
        let users = bench.users(3);
        let group = bench.group(users[0], &users[1..2]);
        bench.run(leave(users[1], group)).unwrap();
        bench.restart();
        let again = bench.batch(vec![leave(users[1], group)]);
        assert_eq!(again.results, [Ok(Written::Left { seq: Seq(0) })]);
        assert!(again.events.is_empty());
        for job in
            [leave(users[2], group), leave(users[0], GroupId(1)), leave(UserId(u64::MAX), group)]
        {
            assert_eq!(bench.run(job).unwrap_err().code(), Code::NotFound);
        }
    });
}

#[test]
fn a_reader_sees_the_history_of_its_stays_only() {
    on_every_backend(|bench| {
        let users = bench.users(3);
        let (a, b, c) = (users[0], users[1], users[2]);
        let group = bench.group(a, &[]);
        let key = ConversationKey::group(group);
        bench.send(key, a, "2").unwrap();
        bench.run(invite(a, group, &[b])).unwrap();
        bench.send(key, a, "4").unwrap();
        bench.run(leave(b, group)).unwrap();
        bench.send(key, a, "6").unwrap();
        assert_eq!(conv_seqs(bench, a, group), [1, 2, 3, 4, 5, 6]);
        assert_eq!(conv_seqs(bench, b, group), [3, 4, 5]);
        bench.restart();
        bench.run(invite(a, group, &[b])).unwrap();
        bench.send(key, b, "8").unwrap();
        assert_eq!(conv_seqs(bench, b, group), [3, 4, 5, 7, 8]);
        let seen = bench.mailbox(b);
        let seen: Vec<_> = seen.iter().map(|entry| entry.conv_seq.0).collect();
        assert_eq!(seen, [3, 4, 5, 7, 8], "the mailbox and the history agree");

        let page = bench.history(b, key, HistoryRange::Before(ConvSeq(7)), 2).unwrap();
        assert_eq!((page.entries[0].conv_seq, page.more), (ConvSeq(4), true));
        let page = bench.history(b, key, HistoryRange::After(ConvSeq(4)), 2).unwrap();
        let found: Vec<_> = page.entries.iter().map(|entry| entry.conv_seq.0).collect();
        assert_eq!((found, page.more), (vec![5, 7], true));

        let newest = HistoryRange::Newest;
        for (reader, key) in [(c, key), (a, ConversationKey::group(GroupId(1)))] {
            assert_eq!(bench.history(reader, key, newest, 5).unwrap_err().code(), Code::NotFound);
        }
        bench.run(leave(b, group)).unwrap();
        for reader in [b, c] {
            let ask = ReadJob::Members { reader, group, after: UserId(0), limit: 5 };
            assert_eq!(bench.read(ask).unwrap_err().code(), Code::NotFound);
        }
    });
}

#[test]
fn member_lists_come_in_pages() {
    on_every_backend(|bench| {
        let users = bench.users(5);
        let group = bench.group(users[0], &users[1..]);
        let mut page = |after| {
            let ask = ReadJob::Members { reader: users[0], group, after, limit: 2 };
            let Ok(ReadResult::Members(found)) = bench.read(ask) else { panic!() };
            (found.members.iter().map(|member| member.user_id).collect::<Vec<_>>(), found.more)
        };
        assert_eq!(page(UserId(0)), (vec![users[0].0, users[1].0], true));
        assert_eq!(page(users[2]), (vec![users[3].0, users[4].0], false));
        assert_eq!(page(UserId(u64::MAX)), (vec![], false));
    });
}
