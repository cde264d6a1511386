//! Who may be told what a user does: those who would get a message, and for the same reasons nobody.

use aldis_logic::job::{
    Audience, FriendChange, FriendJob, GroupChange, GroupJob, PresenceAudience, ReadJob,
    ReadResult, UpdateUser, WriteJob, Written,
};
use aldis_wire::limits::TYPING_MEMBERS_MAX;
use aldis_wire::{Code, ConversationKey, GroupId, UserId};

use crate::harness::{Bench, direct, on_every_backend};

type Found = Vec<Result<Vec<UserId>, Code>>;

fn audience(bench: &mut Bench, asks: &[(UserId, ConversationKey)], friends_only: bool) -> Found {
    let at_ms = bench.now_ms;
    let job = ReadJob::Audience(Audience { asks: asks.to_vec(), friends_only, at_ms });
    match bench.read(job) {
        Ok(ReadResult::Audience(found)) => {
            found.into_iter().map(|one| one.map_err(|why| why.code())).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn friend(bench: &mut Bench, actor: UserId, other: UserId, change: FriendChange) {
    bench.run(WriteJob::Friend(FriendJob { actor, other, change })).unwrap();
}

#[test]
fn the_other_of_a_pair_is_told_unless_a_message_would_be_refused() {
    on_every_backend(|bench| {
        let users = bench.users(4);
        let (ada, ben, carl) = (users[0], users[1], users[2]);
        let nobody = UserId(2_000_000);
        let asks = [
            (ada, direct(ada, ben)),
            (ben, direct(ada, ben)),
            (ada, direct(ada, ada)),
            (ada, direct(ada, nobody)),
            (carl, direct(ben, carl)),
        ];
        let before = [Ok(vec![ben]), Ok(vec![ada]), Ok(vec![]), Err(Code::NotFound), Ok(vec![ben])];
        assert_eq!(audience(bench, &asks, false), before, "strangers who never wrote");
        assert_eq!(audience(bench, &asks[..1], true), [Err(Code::Forbidden)]);
        let reason = String::new();
        friend(bench, ada, ben, FriendChange::Apply { reason });
        friend(bench, ben, ada, FriendChange::Accept);
        assert_eq!(audience(bench, &asks[..2], true), [Ok(vec![ben]), Ok(vec![ada])]);
        friend(bench, ben, ada, FriendChange::Delete);
        assert_eq!(audience(bench, &asks[..2], false), [Err(Code::Forbidden), Ok(vec![ada])]);
        friend(bench, carl, ben, FriendChange::Block);
        let blocked = [(ben, direct(ben, carl)), (carl, direct(ben, carl))];
        assert_eq!(audience(bench, &blocked, false), [Err(Code::Forbidden), Err(Code::Forbidden)]);
    });
}

#[test]
fn members_of_a_small_group_are_told_and_of_a_large_one_nobody() {
    on_every_backend(|bench| {
        let users = bench.users(TYPING_MEMBERS_MAX as u32 + 1);
        let (owner, member, stranger) = (users[0], users[1], users[TYPING_MEMBERS_MAX]);
        let id = bench.group(owner, &users[1..TYPING_MEMBERS_MAX]);
        let key = ConversationKey::group(id);
        let others: Vec<UserId> = users[..TYPING_MEMBERS_MAX].to_vec();
        let of = |user: UserId| others.iter().copied().filter(|other| *other != user).collect();
        assert_eq!(audience(bench, &[(member, key)], true), [Ok(of(member))]);
        let nowhere = ConversationKey::group(GroupId(id.0 + 1));
        let asks = [(stranger, key), (owner, nowhere)];
        assert_eq!(audience(bench, &asks, false), [Err(Code::NotFound), Err(Code::NotFound)]);

        let mute = GroupChange::Mute { user: member, mute_ms: 1_000 };
        bench.run(WriteJob::Group(GroupJob { actor: owner, group: id, change: mute })).unwrap();
        assert_eq!(audience(bench, &[(member, key)], false), [Err(Code::Forbidden)]);
        bench.now_ms += 1_000;
        assert_eq!(audience(bench, &[(member, key)], false), [Ok(of(member))]);
        let mute = GroupChange::MuteAll { is_muted: true };
        bench.run(WriteJob::Group(GroupJob { actor: owner, group: id, change: mute })).unwrap();
        let asks = [(member, key), (owner, key)];
        assert_eq!(audience(bench, &asks, false), [Err(Code::Forbidden), Ok(of(owner))]);

        let members = vec![stranger];
        bench.run(WriteJob::InviteMembers { actor: owner, group: id, members }).unwrap();
        assert_eq!(audience(bench, &[(owner, key)], false), [Ok(vec![])], "one too many");
        bench.run(WriteJob::LeaveGroup { user: stranger, group: id }).unwrap();
        assert_eq!(audience(bench, &[(stranger, key)], false), [Err(Code::NotFound)]);
    });
}

fn sight(bench: &mut Bench, pairs: &[(UserId, UserId)]) -> Vec<Option<u64>> {
    match bench.read(ReadJob::Sight { pairs: pairs.to_vec() }) {
        Ok(ReadResult::Sight(seen)) => seen,
        other => panic!("{other:?}"),
    }
}

fn show_to(bench: &mut Bench, user: UserId, audience: PresenceAudience) {
    let update = UpdateUser { user, audience: Some(audience), ..UpdateUser::default() };
    bench.run(WriteJob::UpdateUser(update)).unwrap();
}

#[test]
fn friends_both_ways_see_each_other_and_others_whom_the_user_lets() {
    on_every_backend(|bench| {
        let users = bench.users(3);
        let (ada, ben, carl) = (users[0], users[1], users[2]);
        let nobody = UserId(2_000_000);
        let pairs = [(ada, ben), (carl, ben), (ben, ben), (ada, nobody), (UserId(0), ben)];
        assert_eq!(sight(bench, &pairs), [None, None, Some(0), None, None]);
        let seen = WriteJob::NoteSeen { users: vec![(ada, 5), (ben, 77)] };
        assert_eq!(bench.run(seen), Ok(Written::Seen));
        let reason = String::new();
        friend(bench, ada, ben, FriendChange::Apply { reason });
        assert_eq!(sight(bench, &pairs[..1]), [None], "a request is no friendship");
        friend(bench, ben, ada, FriendChange::Accept);
        assert_eq!(sight(bench, &pairs), [Some(77), None, Some(77), None, None]);
        bench.run(WriteJob::NoteSeen { users: vec![(ben, 76)] }).unwrap();
        assert_eq!(sight(bench, &pairs[..1]), [Some(77)], "time does not go back");

        show_to(bench, ben, PresenceAudience::Everybody);
        bench.restart();
        assert_eq!(sight(bench, &pairs), [Some(77), Some(77), Some(77), None, None]);
        friend(bench, ben, carl, FriendChange::Block);
        assert_eq!(sight(bench, &[(carl, ben), (ben, carl)]), [None, None]);
        show_to(bench, ben, PresenceAudience::Nobody);
        assert_eq!(sight(bench, &pairs), [None, None, Some(77), None, None]);
        show_to(bench, ben, PresenceAudience::Friends);
        friend(bench, ada, ben, FriendChange::Delete);
        assert_eq!(sight(bench, &[(ada, ben), (ben, ada)]), [None, None]);
        assert_eq!(sight(bench, &[]), []);
    });
}
