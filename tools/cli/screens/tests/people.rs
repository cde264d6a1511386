//! Friends and groups on the screens: which requests come of keys.

use super::*;

/// A group in which the user is the owner, with everything that a message can be.
pub(super) fn lunch() -> Stage {
    let to = group(LUNCH);
    let created = pb::GroupEvent {
        kind: pb::GroupEventKind::GroupCreated as i32,
        user_ids: vec![ME, BEN, CAT],
        name: "Lunch 🍜".to_owned(),
        ..Default::default()
    };
    let joined = pb::GroupEvent {
        kind: pb::GroupEventKind::MembersJoined as i32,
        user_ids: vec![LI],
        ..Default::default()
    };
    let reply = pb::MessageData {
        reply_to_msg_id: 1_002,
        mention_ids: vec![ME],
        ..entry(to, CAT, 4, 40, "@ada only if it is close to the office, I have a meeting at one")
    };
    let edited = pb::MessageData { flags: 2, ..entry(to, ME, 5, 38, "the one around the corner") };
    let recalled = pb::MessageData { flags: 1, ..entry(to, BEN, 6, 37, "") };
    let entries = vec![
        event(to, ME, 1, 1_500, pb::MsgType::SystemGroup, &created),
        entry(to, BEN, 2, 1_400, "shall we try the new noodle place tomorrow?"),
        event(to, BEN, 3, 50, pb::MsgType::SystemGroup, &joined),
        reply,
        edited,
        recalled,
        entry(to, LI, 7, 20, "我也来！十二点在门口见，好吗？👍🏽 我们可以一起走过去，大概五分钟。"),
        entry(to, BEN, 8, 3, "two lines\nof text"),
    ];
    let mut stage = Stage::empty()
        .with_history(to, entries)
        .with_history(user(BEN), vec![entry(user(BEN), BEN, 1, 10, "did you see the menu?")])
        .with_history(user(LI), vec![entry(user(LI), LI, 1, 3_000, "你好")])
        .with_history(user(CAT), vec![entry(user(CAT), ME, 1, 600_000, "a year ago")]);
    people(&mut stage);
    stage.serve();
    stage.model.open(to);
    stage.serve();
    stage
}

/// The group, its members, who asked to become one, and friends.
fn people(stage: &mut Stage) {
    stage.groups = vec![pb::GroupInfo {
        group_id: LUNCH,
        name: "Lunch 🍜".to_owned(),
        owner_id: ME,
        member_count: 4,
        role: pb::GroupRole::Owner as i32,
        announcement: "Every Thursday".to_owned(),
        join_mode: pb::JoinMode::Asked as i32,
        ..Default::default()
    }];
    let member = |user_id, role: pb::GroupRole| pb::GroupMember {
        user_id,
        role: role as i32,
        ..Default::default()
    };
    stage.members = vec![
        member(ME, pb::GroupRole::Owner),
        member(BEN, pb::GroupRole::Admin),
        member(CAT, pb::GroupRole::Member),
        member(LI, pb::GroupRole::Member),
    ];
    stage.join_requests = vec![pb::GroupRequestInfo {
        group_id: LUNCH,
        user_id: DAN,
        reason: "I am hungry".to_owned(),
        ..Default::default()
    }];
    let friend = |user_id, remark: &str| pb::RelationInfo {
        user_id,
        is_friend: true,
        remark: remark.to_owned(),
        ..Default::default()
    };
    let asks = pb::RelationInfo {
        user_id: DAN,
        has_asked: true,
        reason: "we met at the fair".to_owned(),
        ..Default::default()
    };
    stage.relations.insert(0, vec![friend(BEN, ""), friend(LI, "Bruce")]);
    stage.relations.insert(1, vec![asks]);
    stage.relations.insert(2, Vec::new());
}

fn last(stage: &Stage, is_it: impl Fn(&Request) -> bool) -> Request {
    let found = stage.asked.iter().rev().find(|request| is_it(request));
    found.cloned().unwrap_or_else(|| panic!("{:?}", stage.asked))
}

#[test]
fn a_friend_request_is_accepted() {
    let mut stage = lunch();
    assert!(stage.shows("1 asking to be friends"));
    stage.press(KeyCode::F(3));
    stage.press(KeyCode::Tab);
    assert!(stage.shows("Dan (dan)") && stage.shows("we met at the fair"));
    stage.press(KeyCode::Char('y'));
    let asked = last(&stage, |request| matches!(request, Request::FriendHandle(_)));
    assert_eq!(asked, Request::FriendHandle(pb::FriendHandleReq { user_id: DAN, accept: true }));
    assert!(stage.shows("accepted"));
}

#[test]
fn somebody_is_asked_to_be_a_friend_by_name() {
    let mut stage = lunch();
    stage.press(KeyCode::F(3));
    stage.press(KeyCode::Char('a'));
    stage.type_line("dan");
    stage.type_line("hello");
    let asked = last(&stage, |request| matches!(request, Request::FriendApply(_)));
    let body = pb::FriendApplyReq { user_id: DAN, reason: "hello".to_owned() };
    assert_eq!(asked, Request::FriendApply(body));
    stage.press(KeyCode::Char('a'));
    stage.type_line("nobody");
    stage.type_line("");
    assert!(stage.shows("there is no user nobody"));
}

#[test]
fn a_friend_is_blocked_after_a_question() {
    let mut stage = lunch();
    stage.press(KeyCode::F(3));
    stage.press(KeyCode::Char('b'));
    assert!(stage.shows("Block Ben? (y/n)"));
    stage.press(KeyCode::Char('y'));
    assert_eq!(
        last(&stage, |request| matches!(request, Request::Block(_))),
        Request::Block(pb::BlockReq { user_id: BEN })
    );
}

#[test]
fn a_friend_is_shown_by_the_name_one_gave() {
    let mut stage = lunch();
    assert!(stage.shows("Bruce") && !stage.shows("李小龙"));
}

#[test]
fn a_group_is_made_of_names() {
    let mut stage = lunch();
    stage.press(KeyCode::F(4));
    stage.press(KeyCode::Char('c'));
    stage.type_line("Dinner");
    stage.type_line("ben id:10003");
    let Request::GroupCreate(body) =
        last(&stage, |request| matches!(request, Request::GroupCreate(_)))
    else {
        panic!("it was looked for")
    };
    assert_eq!((&body.name[..], &body.member_ids[..]), ("Dinner", &[BEN, CAT][..]));
    assert_eq!(stage.model.current(), Some(group(LUNCH)));
}

#[test]
fn an_owner_runs_the_group() {
    let mut stage = lunch();
    stage.type_line("/who");
    assert!(stage.shows("Dan (dan)") && stage.shows("asks to come in: I am hungry"));
    stage.press(KeyCode::Char('y'));
    let body = pb::GroupHandleJoinReq { group_id: LUNCH, user_id: DAN, accept: true };
    assert_eq!(stage.asked_change(), Request::GroupHandleJoin(body));
    for _ in 0..3 {
        stage.press(KeyCode::Down);
    }
    stage.press(KeyCode::Char('p'));
    let role = pb::GroupRole::Admin as i32;
    let body = pb::GroupSetRoleReq { group_id: LUNCH, user_id: CAT, role };
    assert_eq!(stage.asked_change(), Request::GroupSetRole(body));
    stage.press(KeyCode::Char('s'));
    let Request::GroupMute(body) = stage.asked_change() else { panic!("a mute") };
    assert_eq!((body.user_id, body.seconds), (CAT, 3_600));
    stage.press(KeyCode::Char('x'));
    stage.press(KeyCode::Char('y'));
    let body = pb::GroupRemoveReq { group_id: LUNCH, user_ids: vec![CAT] };
    assert_eq!(stage.asked_change(), Request::GroupRemove(body));
    stage.press(KeyCode::Char('w'));
    let Request::GroupUpdate(body) = stage.asked_change() else { panic!("an update") };
    assert_eq!(body.join_mode, Some(pb::JoinMode::Open as i32));
}

#[test]
fn a_refused_change_says_so() {
    let mut stage = lunch();
    stage.type_line("/who");
    stage.refusal = Some(Code::Forbidden);
    stage.press(KeyCode::Char('a'));
    assert!(stage.shows("not all are silenced: you may not do that"));
}

#[test]
fn a_name_is_completed_and_mentioned() {
    let mut stage = lunch();
    stage.type_text("hi @b");
    stage.press(KeyCode::Tab);
    stage.type_line("and @cat, lunch?");
    assert_eq!(stage.sent[0].content, "hi @ben and @cat, lunch?");
    assert_eq!(stage.sent[0].refs.as_ref().expect("mentions").mention_ids, [BEN, CAT]);
}

#[test]
fn leaving_a_group_asks_first() {
    let mut stage = lunch();
    stage.type_line("/group leave");
    stage.press(KeyCode::Esc);
    assert!(!stage.asked.iter().any(|request| matches!(request, Request::GroupLeave(_))));
    stage.type_line("/group leave");
    stage.press(KeyCode::Char('y'));
    assert_eq!(stage.asked_change(), Request::GroupLeave(pb::GroupLeaveReq { group_id: LUNCH }));
}

impl Stage {
    /// The last request that is not a look.
    fn asked_change(&self) -> Request {
        last(self, |request| !is_look(request))
    }
}
