//! What owner and admins of groups do: roles, removal, muting, settings, the end, and who asks to come
//! in. The rules are the same code for all backends; what is tested is what each makes of them.

use aldis_logic::job::{
    GroupChange, GroupJob, GroupLimits, GroupUpdate, HistoryRange, JobError, JoinMode, ReadJob,
    ReadResult, WriteJob, Written,
};
use aldis_wire::{Code, ConversationKey, GroupId, Message, UserId, pb};

use crate::harness::{Bench, on_every_backend};

const OWNER: usize = 0;
const ADMIN: usize = 1;
const MEMBER: usize = 2;
const STRANGER: usize = 3;

/// The seq of the entry that the change made.
fn run(bench: &mut Bench, actor: UserId, group: GroupId, change: GroupChange) -> Result<u64, Code> {
    match bench.run(WriteJob::Group(GroupJob {
        actor,
        group,
        change,
        limits: GroupLimits::default(),
    })) {
        Ok(Written::Changed { seq }) => Ok(seq.0),
        Err(why) => Err(why.code()),
        other => panic!("{other:?}"),
    }
}

fn members(bench: &mut Bench, reader: UserId, group: GroupId) -> Vec<(u64, pb::GroupRole)> {
    match bench.read(ReadJob::Members { reader, group, after: UserId(0), limit: 500 }) {
        Ok(ReadResult::Members(found)) => {
            found.members.iter().map(|member| (member.user_id, member.role())).collect()
        }
        Err(why) => panic!("{why:?}"),
        other => panic!("{other:?}"),
    }
}

fn info(bench: &mut Bench, user: UserId) -> Option<pb::GroupInfo> {
    match bench.read(ReadJob::Groups { user, after: GroupId(0), limit: 10 }) {
        Ok(ReadResult::Groups(mut page)) => page.groups.pop(),
        other => panic!("{other:?}"),
    }
}

fn requests(bench: &mut Bench, reader: UserId, group: GroupId) -> Result<Vec<u64>, Code> {
    let ask = ReadJob::GroupRequests { reader, group, after: UserId(0), limit: 10 };
    match bench.read(ask) {
        Ok(ReadResult::GroupRequests(page)) => {
            Ok(page.requests.iter().map(|request| request.user_id).collect())
        }
        Err(why) => Err(why.code()),
        other => panic!("{other:?}"),
    }
}

fn send(bench: &mut Bench, from: UserId, group: GroupId) -> Result<(), Code> {
    bench.send(ConversationKey::group(group), from, "hi").map(drop).map_err(JobError::code)
}

fn last_event(bench: &mut Bench, user: UserId) -> pb::GroupEvent {
    let entry = bench.mailbox(user).pop().unwrap();
    assert_eq!(entry.kind, pb::MsgType::SystemGroup);
    pb::GroupEvent::decode(&entry.content[..]).unwrap()
}

/// A group with an owner, an admin and a member; and a stranger.
fn stage(bench: &mut Bench) -> (Vec<UserId>, GroupId) {
    let users = bench.users(5);
    let group = bench.group(users[OWNER], &users[ADMIN..=MEMBER]);
    let change = GroupChange::SetRole { user: users[ADMIN], is_admin: true };
    assert_eq!(run(bench, users[OWNER], group, change), Ok(2));
    (users, group)
}

#[test]
fn each_role_may_do_what_it_may_to_lower_ones() {
    on_every_backend(|bench| {
        let (users, group) = stage(bench);
        let mute = |user: usize| GroupChange::Mute { user: users[user], mute_ms: 1_000 };
        let remove = |user: usize| GroupChange::Remove { users: vec![users[user]] };
        let admin = |user: usize| GroupChange::SetRole { user: users[user], is_admin: true };
        let transfer = |user: usize| GroupChange::Transfer { to: users[user] };
        let rename = || {
            let name = Some("other".into());
            GroupChange::Update(GroupUpdate { name, ..GroupUpdate::default() })
        };
        let (f, n) = (Err(Code::Forbidden), Err(Code::NotFound));
        let refused = [
            (MEMBER, mute(ADMIN), f),
            (MEMBER, remove(ADMIN), f),
            (MEMBER, admin(MEMBER), f),
            (MEMBER, transfer(MEMBER), f),
            (MEMBER, rename(), f),
            (MEMBER, GroupChange::MuteAll { is_muted: true }, f),
            (MEMBER, GroupChange::Dissolve, f),
            (ADMIN, remove(OWNER), f),
            (ADMIN, remove(ADMIN), f),
            (ADMIN, mute(OWNER), f),
            (ADMIN, admin(MEMBER), f),
            (ADMIN, transfer(ADMIN), f),
            (ADMIN, GroupChange::Dissolve, f),
            (OWNER, admin(STRANGER), n),
            (OWNER, mute(STRANGER), n),
            (OWNER, transfer(STRANGER), n),
            (STRANGER, rename(), n),
            (STRANGER, GroupChange::Dissolve, n),
            (STRANGER, remove(MEMBER), n),
        ];
        for (actor, change, want) in refused {
            assert_eq!(run(bench, users[actor], group, change.clone()), want, "{actor} {change:?}");
        }
        assert_eq!(bench.mailbox(users[MEMBER]).len(), 2, "nothing was told");
        let missing = GroupId(group.0 + 1);
        assert_eq!(run(bench, users[OWNER], missing, rename()), n);
    });
}

#[test]
fn who_is_removed_gets_that_as_the_last_entry_and_can_be_brought_back() {
    on_every_backend(|bench| {
        let (users, group) = stage(bench);
        let remove = || GroupChange::Remove { users: vec![users[MEMBER], users[STRANGER]] };
        assert_eq!(run(bench, users[ADMIN], group, remove()), Ok(3));
        let event = last_event(bench, users[MEMBER]);
        assert_eq!(event.kind(), pb::GroupEventKind::MembersRemoved);
        assert_eq!(event.user_ids, [users[MEMBER].0]);
        assert_eq!(run(bench, users[ADMIN], group, remove()), Ok(0), "a repeat");
        assert_eq!(send(bench, users[MEMBER], group), Err(Code::NotFound));
        assert_eq!(send(bench, users[OWNER], group), Ok(()));
        assert_eq!(bench.mailbox(users[MEMBER]).len(), 3);
        let key = ConversationKey::group(group);
        let page = bench.history(users[MEMBER], key, HistoryRange::Newest, 10).unwrap();
        assert_eq!(page.max_conv_seq.0, 3, "what was said until then stays readable");
        bench.restart();
        let invite = WriteJob::InviteMembers {
            actor: users[OWNER],
            group,
            members: vec![users[MEMBER]],
            limits: GroupLimits::default(),
        };
        assert!(bench.run(invite).is_ok());
        assert_eq!(send(bench, users[MEMBER], group), Ok(()));
        let page = bench.history(users[MEMBER], key, HistoryRange::Newest, 10).unwrap();
        let seqs: Vec<u64> = page.entries.iter().map(|entry| entry.conv_seq.0).collect();
        assert_eq!(seqs, [1, 2, 3, 5, 6], "4 was said in between");
    });
}

#[test]
fn an_owner_hands_the_group_over_and_an_admin_succeeds_one_who_leaves() {
    on_every_backend(|bench| {
        let (users, group) = stage(bench);
        use pb::GroupRole::{Admin, Member, Owner};
        let transfer = || GroupChange::Transfer { to: users[MEMBER] };
        assert_eq!(run(bench, users[OWNER], group, transfer()), Ok(3));
        assert_eq!(run(bench, users[OWNER], group, transfer()), Ok(0), "a repeat");
        let all = [(OWNER, Member), (ADMIN, Admin), (MEMBER, Owner)];
        let all = all.map(|(user, role)| (users[user].0, role));
        assert_eq!(members(bench, users[OWNER], group), all);
        assert_eq!(info(bench, users[OWNER]).unwrap().owner_id, users[MEMBER].0);
        let leave = WriteJob::LeaveGroup { user: users[MEMBER], group };
        assert!(bench.run(leave).is_ok());
        let all = [(users[OWNER].0, Member), (users[ADMIN].0, Owner)];
        assert_eq!(members(bench, users[OWNER], group), all);
        bench.restart();
        let change = GroupChange::Dissolve;
        assert!(run(bench, users[ADMIN], group, change).unwrap() > 0);
    });
}

#[test]
fn the_muted_do_not_speak_until_their_time_is_over() {
    on_every_backend(|bench| {
        let (users, group) = stage(bench);
        let mute = |mute_ms| GroupChange::Mute { user: users[MEMBER], mute_ms };
        assert_eq!(run(bench, users[ADMIN], group, mute(1_000)), Ok(3));
        assert_eq!(last_event(bench, users[MEMBER]).muted_until_ms, bench.now_ms + 1_000);
        assert_eq!(send(bench, users[MEMBER], group), Err(Code::Forbidden));
        bench.restart();
        assert_eq!(send(bench, users[MEMBER], group), Err(Code::Forbidden));
        bench.now_ms += 1_000;
        assert_eq!(send(bench, users[MEMBER], group), Ok(()));
        assert!(run(bench, users[ADMIN], group, mute(1_000)).unwrap() > 0);
        assert!(run(bench, users[ADMIN], group, mute(0)).unwrap() > 0);
        assert_eq!(run(bench, users[ADMIN], group, mute(0)), Ok(0), "a repeat");
        assert_eq!(send(bench, users[MEMBER], group), Ok(()));

        let all = |is_muted| GroupChange::MuteAll { is_muted };
        assert!(run(bench, users[ADMIN], group, all(true)).unwrap() > 0);
        assert_eq!(run(bench, users[ADMIN], group, all(true)), Ok(0), "a repeat");
        assert!(info(bench, users[MEMBER]).unwrap().all_muted);
        assert_eq!(send(bench, users[MEMBER], group), Err(Code::Forbidden));
        assert_eq!(send(bench, users[ADMIN], group), Ok(()));
        bench.restart();
        assert_eq!(send(bench, users[MEMBER], group), Err(Code::Forbidden));
        assert!(run(bench, users[OWNER], group, all(false)).unwrap() > 0);
        assert_eq!(send(bench, users[MEMBER], group), Ok(()));
    });
}

#[test]
fn settings_are_told_and_kept_and_what_is_left_out_stays() {
    on_every_backend(|bench| {
        let (users, group) = stage(bench);
        let update = |name: Option<&str>, news: Option<&str>, join_mode| {
            GroupChange::Update(GroupUpdate {
                name: name.map(str::to_owned),
                announcement: news.map(str::to_owned),
                join_mode,
                open_history: None,
            })
        };
        let change = update(Some("新名字"), Some("no meeting today"), None);
        assert_eq!(run(bench, users[ADMIN], group, change.clone()), Ok(3));
        assert_eq!(run(bench, users[ADMIN], group, change), Ok(0), "a repeat");
        let event = last_event(bench, users[MEMBER]);
        assert_eq!((event.name.as_str(), event.announcement()), ("新名字", "no meeting today"));
        let change = update(None, Some(""), Some(JoinMode::Open));
        assert_eq!(run(bench, users[ADMIN], group, change), Ok(4));
        bench.restart();
        let info = info(bench, users[MEMBER]).unwrap();
        assert_eq!((info.name.as_str(), info.announcement.as_str()), ("新名字", ""));
        assert_eq!(info.join_mode(), pb::JoinMode::Open);
    });
}

#[test]
fn a_dissolved_group_is_everybodys_past() {
    on_every_backend(|bench| {
        let (users, group) = stage(bench);
        assert_eq!(run(bench, users[OWNER], group, GroupChange::Dissolve), Ok(3));
        assert_eq!(run(bench, users[OWNER], group, GroupChange::Dissolve), Ok(0), "a repeat");
        for user in [OWNER, ADMIN, MEMBER] {
            assert_eq!(last_event(bench, users[user]).kind(), pb::GroupEventKind::GroupDissolved);
            assert_eq!(send(bench, users[user], group), Err(Code::NotFound));
            assert_eq!(info(bench, users[user]), None);
            let key = ConversationKey::group(group);
            let page = bench.history(users[user], key, HistoryRange::Newest, 10).unwrap();
            assert_eq!(page.entries.len(), 3);
        }
        let join = GroupChange::Join { reason: String::new() };
        assert_eq!(run(bench, users[STRANGER], group, join), Err(Code::NotFound));
    });
}

#[test]
fn who_asks_comes_in_when_an_admin_says_yes() {
    on_every_backend(|bench| {
        let (users, group) = stage(bench);
        let stranger = users[STRANGER];
        let join = |reason: &str| GroupChange::Join { reason: reason.into() };
        let answer = |accept| GroupChange::HandleJoin { user: stranger, accept };
        let mode = |mode| {
            GroupChange::Update(GroupUpdate { join_mode: Some(mode), ..GroupUpdate::default() })
        };
        assert_eq!(run(bench, stranger, group, join("me")), Err(Code::NotFound), "by invitation");
        assert!(run(bench, users[OWNER], group, mode(JoinMode::Asked)).is_ok());
        assert_eq!(run(bench, users[OWNER], group, answer(true)), Err(Code::NotFound));
        for _ in 0..2 {
            assert_eq!(run(bench, stranger, group, join("me")), Ok(0), "it waits");
        }
        assert_eq!(bench.mailbox(stranger), []);
        let told = bench.mailbox(users[ADMIN]).pop().unwrap();
        assert_eq!(told.conversation, ConversationKey::own(users[ADMIN]));
        let event = pb::SelfEvent::decode(&told.content[..]).unwrap();
        let Some(pb::self_event::What::GroupRequest(request)) = event.what else { panic!() };
        assert_eq!((request.group_id, request.user_id), (group.0, stranger.0));
        assert_eq!(request.reason, "me");
        let count = |bench: &mut Bench, user: usize| bench.mailbox(users[user]).len();
        assert_eq!((count(bench, OWNER), count(bench, ADMIN), count(bench, MEMBER)), (4, 4, 3));
        for reader in [OWNER, ADMIN] {
            assert_eq!(requests(bench, users[reader], group), Ok(vec![stranger.0]));
        }
        assert_eq!(requests(bench, users[MEMBER], group), Err(Code::Forbidden));
        assert_eq!(requests(bench, stranger, group), Err(Code::NotFound));
        assert_eq!(run(bench, users[MEMBER], group, answer(true)), Err(Code::Forbidden));

        assert_eq!(run(bench, users[ADMIN], group, answer(false)), Ok(0));
        let told = bench.mailbox(stranger).pop().unwrap();
        assert_eq!(told.kind, pb::MsgType::SystemSelf);
        assert_eq!(requests(bench, users[OWNER], group), Ok(vec![]));
        assert_eq!(run(bench, stranger, group, join("please")), Ok(0));
        assert_eq!(run(bench, users[OWNER], group, answer(true)), Ok(6));
        assert_eq!(run(bench, users[OWNER], group, answer(true)), Ok(0), "a repeat");
        assert_eq!(send(bench, stranger, group), Ok(()));
        assert_eq!(run(bench, stranger, group, join("again")), Ok(0), "one is in");

        assert!(run(bench, users[OWNER], group, mode(JoinMode::Open)).is_ok());
        assert!(run(bench, users[4], group, join("")).unwrap() > 0, "an open group");
        assert_eq!(send(bench, users[4], group), Ok(()));
    });
}
