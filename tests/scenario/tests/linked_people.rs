//! Goal: what people change about each other and about their groups is told and holds on whichever
//! node they are: requests, answers, deletes, blocks; roles, muting, removal, joining, the end.

use aldis_scenario::requests::{group_text, text_to};
use aldis_scenario::{Cluster, RawClient, SeededUser, login, next_entry};
use aldis_wire::{Code, Command, DeviceClass, Message, pb};

/// Two linked nodes; the users are on them in turn.
struct Stage {
    cluster: Cluster,
    users: Vec<SeededUser>,
    clients: Vec<RawClient>,
}

impl Stage {
    fn start(count: usize) -> Self {
        let cluster = Cluster::start(2);
        let users = cluster.nodes[0].seed_users("user", count, DeviceClass::Phone);
        let clients = users.iter().enumerate();
        let clients = clients.map(|(n, user)| login(&cluster.nodes[n % 2], user).0).collect();
        Self { cluster, users, clients }
    }

    fn id(&self, user: usize) -> u64 {
        self.users[user].id
    }

    fn code<M: Message>(&mut self, user: usize, command: Command, body: &M) -> Code {
        self.clients[user].call(command, body).code()
    }

    /// A change that must be made; the seq of its entry in the actor's mailbox.
    fn apply(&mut self, from: usize, to: usize) -> u64 {
        let body = pb::FriendApplyReq { user_id: self.id(to), reason: "why not".into() };
        self.clients[from].call(Command::FriendApply, &body).ok::<pb::FriendApplyResp>().seq
    }

    fn friend_event(&mut self, user: usize) -> pb::FriendEventKind {
        let entry = next_entry(&mut self.clients[user]);
        assert_eq!(entry.r#type(), pb::MsgType::SystemFriend);
        pb::FriendEvent::decode(entry.content).expect("a FriendEvent").kind()
    }

    fn group_event(&mut self, user: usize) -> pb::GroupEvent {
        let entry = next_entry(&mut self.clients[user]);
        assert_eq!(entry.r#type(), pb::MsgType::SystemGroup, "{entry:?}");
        pb::GroupEvent::decode(entry.content).expect("a GroupEvent")
    }
}

#[test]
fn friends_on_two_nodes_ask_answer_delete_and_block() {
    let mut stage = Stage::start(2);
    assert_eq!(stage.apply(0, 1), 1);
    assert_eq!(stage.friend_event(1), pb::FriendEventKind::FriendApplied);
    let list = pb::FriendListReq { list: pb::RelationList::Requests.into(), ..Default::default() };
    let requests: pb::FriendListResp = stage.clients[1].call(Command::FriendList, &list).ok();
    assert_eq!(requests.relations.len(), 1);
    assert_eq!(requests.relations[0].reason, "why not");
    let accept = pb::FriendHandleReq { user_id: stage.id(0), accept: true };
    assert_eq!(stage.code(1, Command::FriendHandle, &accept), Code::Ok);
    assert_eq!(stage.friend_event(0), pb::FriendEventKind::FriendAccepted);

    let other_device = stage.cluster.nodes[1].seed_users("user", 1, DeviceClass::Desktop);
    let mut desktop = login(&stage.cluster.nodes[1], &other_device[0]).0;
    // What is committed from now on is pushed there too.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let delete = pb::FriendDeleteReq { user_id: stage.id(1) };
    assert_eq!(stage.code(0, Command::FriendDelete, &delete), Code::Ok);
    let told = next_entry(&mut desktop);
    assert_eq!(told.r#type(), pb::MsgType::SystemSelf);
    assert_eq!((told.receiver_id, told.group_id), (0, 0), "it belongs to no conversation");
    let to_ada = text_to(stage.id(0), "are you there?");
    assert_eq!(stage.clients[1].send_code(&to_ada), Code::Forbidden);
    assert_eq!(stage.apply(0, 1), 4, "an entry of her own: Ben is not told");
    assert_eq!(stage.clients[1].send_code(&to_ada), Code::Ok);
    assert_eq!(next_entry(&mut stage.clients[0]).r#type(), pb::MsgType::Text);

    let block = pb::BlockReq { user_id: stage.id(0) };
    assert_eq!(stage.code(1, Command::Block, &block), Code::Ok);
    let to_ben = text_to(stage.id(1), "and you?");
    assert_eq!(stage.clients[0].send_code(&to_ben), Code::Forbidden);
    let unblock = pb::UnblockReq { user_id: stage.id(0) };
    assert_eq!(stage.code(1, Command::Unblock, &unblock), Code::Ok);
    assert_eq!(stage.clients[0].send_code(&to_ben), Code::Ok);
    assert_eq!(next_entry(&mut stage.clients[1]).r#type(), pb::MsgType::Text);
    stage.cluster.assert_quiet();
}

#[test]
fn a_group_over_two_nodes_is_run_by_owner_and_admins() {
    let mut stage = Stage::start(4);
    let (owner, admin, member, stranger) = (0, 1, 2, 3);
    let members = vec![stage.id(admin), stage.id(member)];
    let group_id = stage.clients[owner].create_group(members);
    for user in [admin, member] {
        assert_eq!(stage.group_event(user).kind(), pb::GroupEventKind::GroupCreated);
    }
    let role = pb::GroupRole::Admin.into();
    let promote = pb::GroupSetRoleReq { group_id, user_id: stage.id(admin), role };
    assert_eq!(stage.code(admin, Command::GroupSetRole, &promote), Code::Forbidden);
    assert_eq!(stage.code(owner, Command::GroupSetRole, &promote), Code::Ok);
    for user in [admin, member] {
        assert_eq!(stage.group_event(user).kind(), pb::GroupEventKind::AdminMade);
    }

    // Muted by an admin on another node, from one moment to the next.
    let mute =
        pb::GroupMuteReq { group_id, user_id: stage.id(member), seconds: 600, all_muted: false };
    assert_eq!(stage.code(admin, Command::GroupMute, &mute), Code::Ok);
    let say = group_text(group_id, "hello");
    assert_eq!(stage.clients[member].send_code(&say), Code::Forbidden);
    let unmute = pb::GroupMuteReq { seconds: 0, ..mute };
    assert_eq!(stage.code(admin, Command::GroupMute, &unmute), Code::Ok);
    assert_eq!(stage.clients[member].send_code(&say), Code::Ok);
    for _ in 0..2 {
        assert_eq!(stage.group_event(owner).kind(), pb::GroupEventKind::MemberMuted);
    }
    assert_eq!(next_entry(&mut stage.clients[owner]).r#type(), pb::MsgType::Text);

    // A stranger asks; owner and admin get it as an entry of their own, and the admin says yes.
    let join = pb::GroupJoinReq { group_id, reason: "me too".into() };
    assert_eq!(stage.code(stranger, Command::GroupJoin, &join), Code::NotFound);
    let join_mode = Some(pb::JoinMode::Asked.into());
    let open = pb::GroupUpdateReq { group_id, join_mode, ..Default::default() };
    assert_eq!(stage.code(owner, Command::GroupUpdate, &open), Code::Ok);
    assert_eq!(stage.code(stranger, Command::GroupJoin, &join), Code::Ok);
    let request = loop {
        let entry = next_entry(&mut stage.clients[admin]);
        if entry.r#type() == pb::MsgType::SystemSelf {
            break pb::SelfEvent::decode(entry.content).expect("a SelfEvent");
        }
    };
    let Some(pb::self_event::What::GroupRequest(request)) = request.what else { panic!() };
    assert_eq!((request.user_id, request.reason.as_str()), (stage.id(stranger), "me too"));
    let admit = pb::GroupHandleJoinReq { group_id, user_id: stage.id(stranger), accept: true };
    assert_eq!(stage.code(member, Command::GroupHandleJoin, &admit), Code::Forbidden);
    assert_eq!(stage.code(admin, Command::GroupHandleJoin, &admit), Code::Ok);
    assert_eq!(stage.group_event(stranger).kind(), pb::GroupEventKind::MembersJoined);

    // Who is put out hears that, and nothing after it.
    let remove = pb::GroupRemoveReq { group_id, user_ids: vec![stage.id(stranger)] };
    assert_eq!(stage.code(owner, Command::GroupRemove, &remove), Code::Ok);
    assert_eq!(stage.group_event(stranger).kind(), pb::GroupEventKind::MembersRemoved);
    assert_eq!(stage.clients[owner].send_code(&group_text(group_id, "among us")), Code::Ok);
    assert_eq!(stage.clients[stranger].send_code(&say), Code::NotFound);
    let history = stage.clients[stranger].group_history(group_id);
    assert!(history.entries.iter().all(|entry| entry.r#type() != pb::MsgType::Text));

    let dissolve = pb::GroupDissolveReq { group_id };
    assert_eq!(stage.code(admin, Command::GroupDissolve, &dissolve), Code::Forbidden);
    assert_eq!(stage.code(owner, Command::GroupDissolve, &dissolve), Code::Ok);
    let afterwards = group_text(group_id, "is anybody there?");
    assert_eq!(stage.clients[member].send_code(&afterwards), Code::NotFound);
    let last = stage.clients[stranger].sync_all(0).pop().expect("entries");
    let event = pb::GroupEvent::decode(last.content).expect("a GroupEvent");
    assert_eq!(event.kind(), pb::GroupEventKind::MembersRemoved, "it ended without the stranger");
    stage.cluster.assert_quiet();
}
