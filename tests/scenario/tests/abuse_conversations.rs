//! Goal: nobody reads or changes what is not theirs, asks for places that cannot be, or gets past
//! the limits of groups and lists.

use aldis_scenario::requests::{create_body, group_text, login_body, text_to, texts};
use aldis_scenario::{RawClient, Scene, ServerOptions};
use aldis_wire::limits::{GROUP_FANOUT_MAX, SYNC_ENTRIES_MAX, USER_GET_MAX};
use aldis_wire::{Code, Command, DeviceClass, pb};

/// Ids that no user and no group has: the highest possible one, and impossible ones.
const IMPOSSIBLE_IDS: [u64; 6] =
    [i32::MAX as u64, 1 << 31, (1 << 32) + 1, 1 << 63, u64::MAX - 1, u64::MAX];

#[test]
fn conversations_of_others_stay_closed() {
    let scene = Scene::start();
    let (mut ada, ada_id) = scene.user("ada");
    let (mut ben, ben_id) = scene.user("ben");
    let (mut eve, _) = scene.user("eve");
    ada.send_message(&text_to(ben_id, "between us"));
    ben.send_message(&text_to(ada_id, "yes"));
    for peer in [ada_id, ben_id] {
        let body = pb::HistoryReq { receiver_id: peer, ..Default::default() };
        let page: pb::HistoryResp = eve.call(Command::History, &body).ok();
        assert!(page.entries.is_empty() && page.max_conv_seq == 0, "{page:?}");
    }
    assert_eq!(eve.sync_page(0), pb::MsgSyncResp::default());

    // A group that one is not in looks like one that does not exist.
    let group = ada.create_group(vec![ben_id]);
    ada.send_message(&group_text(group, "among us"));
    let missing = group + 1_000;
    for id in [group, missing] {
        let answers = [
            eve.call(Command::MsgSend, &group_text(id, "let me in")),
            eve.call(Command::History, &pb::HistoryReq { group_id: id, ..Default::default() }),
            eve.call(
                Command::GroupMembers,
                &pb::GroupMembersReq { group_id: id, ..Default::default() },
            ),
            eve.invite(id, vec![ben_id]),
        ];
        let first = (answers[0].header.code, answers[0].error().message);
        for reply in answers {
            assert_eq!(reply.code(), Code::NotFound, "{:?}", reply.error());
        }
        println!("group {id}: {first:?}");
    }
    let leave = |client: &mut RawClient, group_id| {
        let reply = client.call(Command::GroupLeave, &pb::GroupLeaveReq { group_id });
        (reply.header.code, reply.body)
    };
    assert_eq!(leave(&mut eve, group), leave(&mut eve, missing), "no difference to be seen");
    let list: pb::GroupListResp = eve.call(Command::GroupList, &pb::GroupListReq::default()).ok();
    assert!(list.groups.is_empty());
    // Nothing of it arrived or was changed.
    assert_eq!(eve.sync_page(0), pb::MsgSyncResp::default());
    let body = pb::GroupMembersReq { group_id: group, ..Default::default() };
    let members: pb::GroupMembersResp = ben.call(Command::GroupMembers, &body).ok();
    assert_eq!(members.members.len(), 2);
    assert_eq!(texts(&ben.group_history(group).entries), ["among us"]);
    drop((ada, ben, eve));
    scene.finish();
}

#[test]
fn a_member_reads_what_was_said_during_membership_and_nothing_else() {
    let scene = Scene::start();
    let (mut ada, _) = scene.user("ada");
    let (_ben, ben_id) = scene.user("ben");
    let (mut cat, cat_id) = scene.user("cat");
    let group = ada.create_group(vec![ben_id]);
    let say = |ada: &mut RawClient, text: &str| ada.send_message(&group_text(group, text)).conv_seq;
    say(&mut ada, "before 1");
    say(&mut ada, "before 2");
    ada.invite(group, vec![cat_id]).ok::<pb::GroupInviteResp>();
    say(&mut ada, "during 1");
    let last_during = say(&mut ada, "during 2");
    assert_eq!(texts(&cat.group_history(group).entries), ["during 1", "during 2"]);
    cat.call(Command::GroupLeave, &pb::GroupLeaveReq { group_id: group })
        .ok::<pb::GroupLeaveResp>();
    say(&mut ada, "after 1");
    let last = say(&mut ada, "after 2");

    assert_eq!(cat.send_code(&group_text(group, "still here?")), Code::NotFound);
    let body = pb::GroupMembersReq { group_id: group, ..Default::default() };
    assert_eq!(cat.call(Command::GroupMembers, &body).code(), Code::NotFound);
    assert_eq!(cat.invite(group, vec![cat_id]).code(), Code::NotFound);
    // Whatever range is asked for.
    for (before, after) in
        [(0, 0), (0, 1), (last + 1, 0), (u64::MAX, 0), (3, 0), (0, last_during + 1)]
    {
        let body = pb::HistoryReq {
            group_id: group,
            before_conv_seq: before,
            after_conv_seq: after,
            limit: u32::MAX,
            ..Default::default()
        };
        let page: pb::HistoryResp = cat.call(Command::History, &body).ok();
        for text in texts(&page.entries) {
            assert!(text.starts_with("during"), "{text} before {before} after {after}");
        }
        // The highest is the entry that says that cat left.
        assert_eq!(page.max_conv_seq, last_during + 1);
    }
    let mailbox = cat.sync_page(0);
    assert_eq!(texts(&mailbox.entries), ["during 1", "during 2"]);
    let kinds: Vec<i32> = mailbox.entries.iter().map(|entry| entry.r#type).collect();
    let (system, text) = (pb::MsgType::SystemGroup as i32, pb::MsgType::Text as i32);
    assert_eq!(kinds, [system, text, text, system], "joining first, leaving last");

    // Who comes back does not see what was said meanwhile.
    ada.invite(group, vec![cat_id]).ok::<pb::GroupInviteResp>();
    say(&mut ada, "again");
    for text in texts(&cat.group_history(group).entries) {
        assert!(!text.starts_with("after") && !text.starts_with("before"), "{text}");
    }
    drop((ada, _ben, cat));
    scene.finish();
}

#[test]
fn positions_that_cannot_be_are_refused() {
    let scene = Scene::start();
    let (mut ada, ada_id) = scene.user("ada");
    for number in 1..=3 {
        ada.send_message(&text_to(ada_id, &format!("note {number}")));
    }
    let mark = |ada: &mut RawClient, stream, seq| {
        ada.call(Command::MarkDelivered, &pb::MarkDeliveredReq { stream, seq }).code()
    };
    for seq in [4, 1 << 31, 1 << 63, u64::MAX] {
        assert_eq!(mark(&mut ada, 0, seq), Code::BadRequest, "a mark above the head: {seq}");
    }
    for seq in [3, 1, 0] {
        assert_eq!(mark(&mut ada, 0, seq), Code::Ok);
    }
    for stream in [1, u64::MAX] {
        assert_eq!(mark(&mut ada, stream, 1), Code::NotFound);
        let body = pb::MsgSyncReq { stream, ..Default::default() };
        assert_eq!(ada.call(Command::MsgSync, &body).code(), Code::NotFound);
    }
    let mut again = RawClient::connect(scene.address());
    let body = login_body("ada", "a password of a test", DeviceClass::Desktop);
    let resp: pb::LoginResp = again.call(Command::Login, &body).ok();
    assert_eq!(resp.cursor, 3, "a mark never goes back");

    for after_seq in [4, 1 << 31, 1 << 63, u64::MAX] {
        let body = pb::MsgSyncReq { stream: 0, after_seq, limit: 0 };
        assert_eq!(again.call(Command::MsgSync, &body).code(), Code::Resync);
    }
    for (before, after) in [(u64::MAX, 0), (0, u64::MAX), (1 << 63, 0), (0, 1 << 63), (1, 0)] {
        let body = pb::HistoryReq {
            receiver_id: ada_id,
            before_conv_seq: before,
            after_conv_seq: after,
            ..Default::default()
        };
        let page: pb::HistoryResp = again.call(Command::History, &body).ok();
        assert_eq!(page.entries.len(), if before > 3 { 3 } else { 0 }, "{before} {after}");
    }
    let both = pb::HistoryReq {
        receiver_id: ada_id,
        before_conv_seq: 1,
        after_conv_seq: 1,
        ..Default::default()
    };
    assert_eq!(again.call(Command::History, &both).code(), Code::BadRequest);
    drop((ada, again));
    scene.finish();
}

#[test]
fn a_group_has_as_many_members_as_is_set_and_no_more() {
    let config = format!("[policy]\ngroup_members_max = {GROUP_FANOUT_MAX}\n");
    let scene = Scene::start_with(ServerOptions { config, ..ServerOptions::default() });
    let (mut ada, ada_id) = scene.user("ada");
    let seeded = scene.server.seed_users("member", GROUP_FANOUT_MAX + 1, DeviceClass::Phone);
    let ids: Vec<u64> = seeded.iter().map(|user| user.id).collect();
    // With the creator these are 501.
    let reply = ada.call(Command::GroupCreate, &create_body(ids[..GROUP_FANOUT_MAX].to_vec()));
    assert_eq!(reply.code(), Code::TooLarge);
    let reply = ada.call(Command::GroupCreate, &create_body(ids.clone()));
    assert_eq!(reply.code(), Code::TooLarge);
    // Repeats and one's own id count once.
    let mut others = ids[..GROUP_FANOUT_MAX - 2].to_vec();
    others.extend([ids[0], ada_id]);
    let group = ada.create_group(others);
    let last_two = ids[GROUP_FANOUT_MAX - 2..GROUP_FANOUT_MAX].to_vec();
    assert_eq!(ada.invite(group, last_two).code(), Code::TooLarge, "all or none");
    let last = ids[GROUP_FANOUT_MAX - 2];
    let added: pb::GroupInviteResp = ada.invite(group, vec![last, ids[0], ada_id]).ok();
    assert_eq!(added.added_ids, [last]);
    assert_eq!(ada.invite(group, vec![ids[GROUP_FANOUT_MAX]]).code(), Code::TooLarge);
    let again: pb::GroupInviteResp = ada.invite(group, vec![last]).ok();
    assert!(again.added_ids.is_empty(), "a repeat changes nothing, in a full group too");

    let mut last = RawClient::login_seeded(scene.address(), &seeded[GROUP_FANOUT_MAX - 2]);
    ada.send_message(&group_text(group, "everybody here?"));
    let push: pb::MsgPushNotify = last.notification(Command::MsgPushNotify).decode();
    assert_eq!(texts(&push.entries), ["everybody here?"]);
    let mut members = Vec::new();
    loop {
        let after_user_id = members.last().map_or(0, |member: &pb::GroupMember| member.user_id);
        let body = pb::GroupMembersReq { group_id: group, after_user_id, limit: 300 };
        let page: pb::GroupMembersResp = last.call(Command::GroupMembers, &body).ok();
        members.extend(page.members);
        if !page.more {
            break;
        }
    }
    assert_eq!(members.len(), GROUP_FANOUT_MAX);
    assert!(members.is_sorted_by_key(|member| member.user_id));
    drop((ada, last));
    scene.finish();
}

#[test]
fn lists_and_pages_are_cut_at_their_limits() {
    let scene = Scene::start();
    let (mut ada, ada_id) = scene.user("ada");
    let get = |ada: &mut RawClient, count: usize| {
        ada.call(Command::UserGet, &pb::UserGetReq { user_ids: vec![ada_id; count] }).code()
    };
    assert_eq!(get(&mut ada, 0), Code::Ok);
    assert_eq!(get(&mut ada, USER_GET_MAX), Code::Ok);
    assert_eq!(get(&mut ada, USER_GET_MAX + 1), Code::TooLarge);

    let count = SYNC_ENTRIES_MAX + 100;
    let sent: Vec<u32> =
        (0..count).map(|_| ada.send(Command::MsgSend, &text_to(ada_id, "note"))).collect();
    for seq in sent {
        ada.response(seq).ok::<pb::MsgSendResp>();
    }
    for limit in [0, SYNC_ENTRIES_MAX as u32 + 1, u32::MAX] {
        let body = pb::MsgSyncReq { stream: 0, after_seq: 0, limit };
        let page: pb::MsgSyncResp = ada.call(Command::MsgSync, &body).ok();
        assert_eq!((page.entries.len(), page.more), (SYNC_ENTRIES_MAX, true), "{limit}");
    }
    let body = pb::HistoryReq { receiver_id: ada_id, limit: u32::MAX, ..Default::default() };
    let page: pb::HistoryResp = ada.call(Command::History, &body).ok();
    assert_eq!((page.entries.len(), page.more), (SYNC_ENTRIES_MAX, true));
    for limit in [0, 1, 501, u32::MAX] {
        let list = pb::GroupListReq { after_group_id: u64::MAX, limit };
        let page: pb::GroupListResp = ada.call(Command::GroupList, &list).ok();
        assert!(page.groups.is_empty());
    }
    drop(ada);
    scene.finish();
}

#[test]
fn ids_that_cannot_exist_do_not() {
    let scene = Scene::start();
    let (mut ada, ada_id) = scene.user("ada");
    let group = ada.create_group(vec![]);
    let user_ids = [&IMPOSSIBLE_IDS[..], &[0, ada_id]].concat();
    let users: pb::UserGetResp = ada.call(Command::UserGet, &pb::UserGetReq { user_ids }).ok();
    assert_eq!(users.users.iter().map(|user| user.user_id).collect::<Vec<_>>(), [ada_id]);
    for id in IMPOSSIBLE_IDS {
        assert_eq!(ada.send_code(&text_to(id, "anybody?")), Code::NotFound, "{id}");
        assert_eq!(ada.send_code(&group_text(id, "anybody?")), Code::NotFound, "{id}");
        let body = pb::HistoryReq { group_id: id, ..Default::default() };
        assert_eq!(ada.call(Command::History, &body).code(), Code::NotFound, "{id}");
        let body = pb::GroupMembersReq { group_id: id, ..Default::default() };
        assert_eq!(ada.call(Command::GroupMembers, &body).code(), Code::NotFound, "{id}");
        assert_eq!(ada.invite(id, vec![ada_id]).code(), Code::NotFound, "{id}");
        assert_eq!(ada.invite(group, vec![id]).code(), Code::NotFound, "{id}");
        let reply = ada.call(Command::GroupCreate, &create_body(vec![id]));
        assert_eq!(reply.code(), Code::NotFound, "{id}");
        let reply = ada.call(Command::GroupLeave, &pb::GroupLeaveReq { group_id: id });
        assert!(matches!(reply.code(), Code::NotFound | Code::Ok), "{id}");
        // An empty conversation is an empty page; a user that cannot exist may be NOT_FOUND.
        let body = pb::HistoryReq { receiver_id: id, ..Default::default() };
        let reply = ada.call(Command::History, &body);
        if reply.code() == Code::Ok {
            assert!(reply.decode::<pb::HistoryResp>().entries.is_empty());
        }
    }
    for reply in [ada.call(Command::History, &pb::HistoryReq::default()), ada.invite(group, vec![])]
    {
        assert_eq!(reply.code(), Code::BadRequest);
    }
    drop(ada);
    scene.finish();
}
