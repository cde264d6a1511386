//! Changes of large groups, of which only those members are looked at who are named, the staff where it is
//! told, and who may succeed an owner: what comes out is what it would be with all of them.

use aldis_logic::job::{
    GroupChange, GroupUpdate, JoinMode, ReadJob, ReadResult, WriteJob, Written,
};
use aldis_wire::{Code, GroupId, UserId, pb};

use crate::harness::{Bench, on_every_backend};
use crate::streams::{change, invite, large_group};

/// The owner and how many members there are, as a member is told; and all of them with their roles.
fn state(
    bench: &mut Bench,
    reader: UserId,
    group: GroupId,
) -> (u64, u32, Vec<(u64, pb::GroupRole)>) {
    let job = ReadJob::Groups { user: reader, after: GroupId(0), limit: 5 };
    let Ok(ReadResult::Groups(page)) = bench.read(job) else { panic!("no groups") };
    let job = ReadJob::Members { reader, group, after: UserId(0), limit: 50 };
    let Ok(ReadResult::Members(members)) = bench.read(job) else { panic!("no members") };
    let members = members.members.iter().map(|member| (member.user_id, member.role())).collect();
    (page.groups[0].owner_id, page.groups[0].member_count, members)
}

fn leave(user: UserId, group: GroupId) -> WriteJob {
    WriteJob::LeaveGroup { user, group }
}

#[test]
fn an_owner_is_succeeded_by_who_was_there_longest_of_those_who_are_left() {
    on_every_backend(|bench| {
        let users = bench.users(6);
        let group = large_group(bench, &users[..4]);
        bench.run(invite(users[0], group, &users[4..])).unwrap();
        // Those who would be next leave before the owner does, in one batch.
        let left = bench.batch((0..3).rev().map(|n| leave(users[n], group)).collect());
        assert!(left.results.iter().all(Result::is_ok), "{left:?}");
        let owner = users[3];
        let (is, count, members) = state(bench, users[5], group);
        assert_eq!((is, count), (owner.0, 3));
        let plain = pb::GroupRole::Member;
        let expected = [(owner.0, pb::GroupRole::Owner), (users[4].0, plain), (users[5].0, plain)];
        assert_eq!(members, expected);
        bench.restart();
        // An admin comes before who was there longer.
        bench
            .run(change(owner, group, GroupChange::SetRole { user: users[5], is_admin: true }))
            .unwrap();
        bench.run(leave(owner, group)).unwrap();
        assert_eq!(state(bench, users[4], group).0, users[5].0);
        bench.run(leave(users[5], group)).unwrap();
        assert_eq!(state(bench, users[4], group).1, 1);
        bench.run(leave(users[4], group)).unwrap();
        let join = change(users[0], group, GroupChange::Join { reason: "".into() });
        assert_eq!(bench.run(join).unwrap_err().code(), Code::NotFound, "nobody is in it");
    });
}

#[test]
fn requests_reach_all_admins_and_counts_stay_right_through_all_changes() {
    on_every_backend(|bench| {
        let users = bench.users(7);
        let (owner, admin, group) = (users[0], users[2], large_group(bench, &users[..5]));
        let ask = |actor: UserId, what| change(actor, group, what);
        let update = GroupUpdate { join_mode: Some(JoinMode::Asked), ..GroupUpdate::default() };
        let promote = GroupChange::SetRole { user: admin, is_admin: true };
        let changed = bench.batch(vec![
            ask(owner, promote),
            ask(owner, GroupChange::Update(update)),
            ask(admin, GroupChange::Mute { user: users[1], mute_ms: 60_000 }),
            ask(admin, GroupChange::MuteAll { is_muted: true }),
        ]);
        assert!(changed.results.iter().all(Result::is_ok), "{changed:?}");
        let waiting = |bench: &mut Bench| -> Vec<usize> {
            users[..5].iter().map(|&user| bench.mailbox(user).len()).collect()
        };
        let before = waiting(bench);
        bench.run(ask(users[5], GroupChange::Join { reason: "me".into() })).unwrap();
        let told: Vec<usize> =
            waiting(bench).iter().zip(before).map(|(now, before)| now - before).collect();
        assert_eq!(told, [1, 0, 1, 0, 0]);
        bench.restart();
        bench.run(ask(admin, GroupChange::HandleJoin { user: users[5], accept: true })).unwrap();
        assert_eq!(state(bench, owner, group).1, 6);
        assert_eq!(
            bench.run(invite(owner, group, &users[6..])).unwrap_err().code(),
            Code::TooLarge
        );
        let refused = bench.run(ask(users[1], GroupChange::Remove { users: vec![users[5]] }));
        assert_eq!(refused.unwrap_err().code(), Code::Forbidden);
        let nobody = bench.run(ask(admin, GroupChange::Mute { user: users[6], mute_ms: 1 }));
        assert_eq!(nobody.unwrap_err().code(), Code::NotFound);
        // Some of those who are named are members, some were never.
        let removed = bench.run(ask(admin, GroupChange::Remove { users: users[3..7].to_vec() }));
        assert!(removed.is_ok(), "{removed:?}");
        bench.run(ask(owner, GroupChange::Transfer { to: users[1] })).unwrap();
        let (is, count, members) = state(bench, owner, group);
        let roles = [pb::GroupRole::Member, pb::GroupRole::Owner, pb::GroupRole::Admin];
        let expected: Vec<_> = users.iter().map(|user| user.0).zip(roles).collect();
        assert_eq!((is, count, members), (users[1].0, 3, expected));
        let added = bench.run(invite(owner, group, &users[1..5]));
        let Ok(Written::Invited { added, .. }) = added else { panic!("{added:?}") };
        assert_eq!(added, [users[3], users[4]]);
        bench.run(ask(users[1], GroupChange::Dissolve)).unwrap();
        let job = ReadJob::Groups { user: users[4], after: GroupId(0), limit: 5 };
        assert_eq!(bench.read(job), Ok(ReadResult::Groups(pb::GroupListResp::default())));
    });
}
