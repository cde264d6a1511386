//! What happens on the day, chapter by chapter. Each change is made on another device of its user than
//! the one before.

use aldis_scenario::RawClient;
use aldis_scenario::requests::{create_body, random_16};
use aldis_wire::{Code, DeviceClass, GroupId, pb};

use crate::crowds;
use crate::device::{Device, password};
use crate::diary::Place;
use crate::town::{NAMES, Town};

/// The whole day.
pub fn tell(town: &mut Town<'_>) {
    friends(town);
    town.settle();
    let group = a_group(town);
    town.settle();
    talk(town, group);
    town.settle();
    second_thoughts(town, group);
    town.settle();
    feelings(town, Place::Group(group));
    one_for_oneself(town, Place::Group(group));
    town.settle();
    quarrels(town);
    the_end_of_a_group(town);
    town.settle();
    crowds::tell(town);
    words_aside(town);
    a_guest(town);
    the_evening(town);
}

fn apply(town: &mut Town<'_>, from: &str, to: &str) {
    let body = pb::FriendApplyReq { user_id: town.id(to), reason: format!("it is {from}") };
    town.asks(from, body);
}

fn answer(town: &mut Town<'_>, by: &str, to: &str, accept: bool) {
    let body = pb::FriendHandleReq { user_id: town.id(to), accept };
    town.asks(by, body);
}

/// Everybody finds everybody; some become friends, one is refused.
fn friends(town: &mut Town<'_>) {
    for name in NAMES {
        let query = NAMES[0].to_owned();
        let found = town.asks(name, pb::UserFindReq { query, limit: 0 });
        assert_eq!(found.users.len(), 1);
        let user_ids = NAMES.iter().map(|name| town.id(name)).collect();
        let users = town.asks(name, pb::UserGetReq { user_ids }).users;
        assert!(users.iter().map(|user| user.username.as_str()).eq(NAMES));
    }
    for name in &NAMES[1..] {
        apply(town, name, "ada");
    }
    for name in &NAMES[2..] {
        answer(town, "ada", name, true);
    }
    answer(town, "ada", "ben", false);
    apply(town, "ben", "ada");
    answer(town, "ada", "ben", true);
    let list = pb::FriendListReq { list: pb::RelationList::Friends.into(), ..Default::default() };
    assert_eq!(town.asks("ada", list).relations.len(), NAMES.len() - 1);
    let body = pb::FriendUpdateReq {
        user_id: town.id("ben"),
        remark: "本 from work".into(),
        folder: "work".into(),
    };
    town.asks("ada", body);
}

/// Ada makes a group, others come in by each of the ways; its id.
fn a_group(town: &mut Town<'_>) -> u64 {
    let first = ["ben", "cem", "dan"].map(|name| town.id(name)).to_vec();
    let group_id = town.asks("ada", create_body(first)).group_id;
    let member_ids = vec![town.id("eva")];
    town.asks("ben", pb::GroupInviteReq { group_id, member_ids });
    town.is_refused("fay", Code::NotFound, pb::GroupJoinReq { group_id, ..Default::default() });
    let update = pb::GroupUpdateReq {
        group_id,
        name: Some("the lamp 灯".into()),
        announcement: Some("no talk of work".into()),
        join_mode: Some(pb::JoinMode::Asked.into()),
        open_history: None,
    };
    town.asks("ada", update);
    for name in ["fay", "gil"] {
        town.asks(name, pb::GroupJoinReq { group_id, reason: "please".into() });
    }
    let waiting = town.asks("ada", pb::GroupRequestsReq { group_id, ..Default::default() });
    assert_eq!(waiting.requests.len(), 2);
    let user_id = town.id("ben");
    let role = pb::GroupRole::Admin.into();
    town.asks("ada", pb::GroupSetRoleReq { group_id, user_id, role });
    for (name, accept) in [("fay", true), ("gil", false)] {
        let user_id = town.id(name);
        town.asks("ben", pb::GroupHandleJoinReq { group_id, user_id, accept });
    }
    let join_mode = Some(pb::JoinMode::Open.into());
    town.asks("ben", pb::GroupUpdateReq { group_id, join_mode, ..Default::default() });
    town.asks("hua", pb::GroupJoinReq { group_id, ..Default::default() });
    let members = town.asks("hua", pb::GroupMembersReq { group_id, ..Default::default() });
    assert_eq!(members.members.len(), 7);
    group_id
}

/// Texts both ways, in pairs and in the group, with replies, mentions and marks.
fn talk(town: &mut Town<'_>, group: u64) {
    let place = Place::Group(group);
    for round in 0..5 {
        for name in ["ada", "ben", "cem", "dan", "eva", "fay", "hua"] {
            town.says(name, place, &format!("{name} says {round}: 你好 🙂"));
        }
        for name in &NAMES[1..] {
            let (to_ada, to_name) = (town.place("ada"), town.place(name));
            town.says(name, to_ada, &format!("{round}, only for you"));
            town.says("ada", to_name, &format!("{round}, from ada"));
        }
    }
    let first = town.says("cem", place, "who is in?").msg_id;
    let mention_ids = vec![town.id("cem"), town.id("ada")];
    let refs = pb::MessageRefs { reply_to_msg_id: first, mention_ids };
    town.device("ada").replies(GroupId(group), "I am", refs);
    let notes = town.place("jun");
    town.says("jun", notes, "a note to myself");
    for (name, read) in [("ben", 3), ("ben", 20), ("ben", 10), ("cem", 25)] {
        town.asks(name, mark(place, read));
    }
}

pub fn mark(place: Place, conv_seq: u64) -> pb::MarkReadReq {
    let (receiver_id, group_id) = place.fields();
    pb::MarkReadReq { receiver_id, group_id, conv_seq }
}

/// What was said is edited and recalled.
fn second_thoughts(town: &mut Town<'_>, group: u64) {
    let ben = town.place("ben");
    for (name, place) in [("ada", ben), ("dan", Place::Group(group))] {
        let sent = town.says(name, place, "what I did not mean");
        for text in ["what I nearly meant", "what I meant"] {
            town.asks(name, edit(place, sent.conv_seq, text));
        }
        let gone = town.says(name, place, "what nobody should know");
        town.asks(name, edit(place, gone.conv_seq, "nor this"));
        town.asks(name, recall(place, gone.conv_seq));
    }
    let said = town.says("eva", Place::Group(group), "what an admin does not like");
    town.is_refused("fay", Code::Forbidden, recall(Place::Group(group), said.conv_seq));
    town.asks("ben", recall(Place::Group(group), said.conv_seq));
}

pub fn edit(place: Place, conv_seq: u64, text: &str) -> pb::EditReq {
    let (receiver_id, group_id) = place.fields();
    let (request_id, content) = (random_16().to_vec().into(), text.as_bytes().to_vec().into());
    pb::EditReq { receiver_id, group_id, conv_seq, request_id, content, extra: Default::default() }
}

pub fn recall(place: Place, conv_seq: u64) -> pb::RecallReq {
    let (receiver_id, group_id) = place.fields();
    pb::RecallReq { receiver_id, group_id, conv_seq }
}

/// Reactions, which a recall takes away.
fn feelings(town: &mut Town<'_>, group: Place) {
    let said = town.says("fay", group, "look at this sunset").conv_seq;
    for (name, reaction, remove) in
        [("ada", "👍", false), ("ben", "👍", false), ("ben", "太阳", false), ("ada", "👍", true)]
    {
        town.asks(name, react(group, said, reaction, remove));
    }
    let gone = town.says("fay", group, "nobody likes this").conv_seq;
    town.asks("hua", react(group, gone, "no", false));
    town.asks("fay", recall(group, gone));
}

pub fn react(place: Place, conv_seq: u64, reaction: &str, remove: bool) -> pb::ReactReq {
    let (receiver_id, group_id) = place.fields();
    pb::ReactReq { receiver_id, group_id, conv_seq, reaction: reaction.into(), remove }
}

/// What one keeps in order, looks up and finds without telling anybody.
fn one_for_oneself(town: &mut Town<'_>, group: Place) {
    let ada = town.place("ada");
    let update = |place: Place, clear_conv_seq, pinned, muted| {
        let (receiver_id, group_id) = place.fields();
        pb::ConversationUpdateReq { receiver_id, group_id, pinned, muted, clear_conv_seq }
    };
    town.asks("cem", update(ada, 4, None, None));
    town.asks("cem", update(group, 12, Some(true), Some(true)));
    town.asks("cem", update(ada, 0, Some(true), None));
    town.asks("cem", update(ada, 0, Some(false), None));
    let (receiver_id, group_id) = group.fields();
    let receipts = pb::ReceiptsReq { receiver_id, group_id, ..Default::default() };
    let read = town.asks("ada", receipts).receipts.into_iter().map(|one| one.read_conv_seq);
    assert!(read.max() >= Some(20), "ben's mark");
    let search = |query: &str| pb::SearchReq { query: query.into(), ..Default::default() };
    assert!(!town.asks("eva", search("你好")).entries.is_empty());
    assert!(town.asks("jun", search("你好")).entries.is_empty(), "jun is not in the group");
    let found = town.asks("cem", search("says 0")).entries;
    assert!(found.iter().all(|entry| entry.conv_seq > 12), "the others are cleared: {found:?}");
}

/// Friends fall out, and some make up again.
fn quarrels(town: &mut Town<'_>) {
    town.asks("ada", pb::FriendDeleteReq { user_id: town.id("ida") });
    let text = pb::MarkReadReq { receiver_id: town.id("ada"), group_id: 0, conv_seq: 1 };
    town.asks("ida", text);
    town.asks("cem", pb::BlockReq { user_id: town.id("dan") });
    let apply_to_cem = pb::FriendApplyReq { user_id: town.id("cem"), ..Default::default() };
    town.is_refused("dan", Code::Forbidden, apply_to_cem);
    town.asks("cem", pb::BlockReq { user_id: town.id("eva") });
    town.asks("cem", pb::UnblockReq { user_id: town.id("eva") });
    let cem = town.place("cem");
    town.says("eva", cem, "better now?");
}

/// A second group is led, left, handed on and dissolved.
fn the_end_of_a_group(town: &mut Town<'_>) {
    let members = ["gil", "hua", "ida", "jun"].map(|name| town.id(name)).to_vec();
    let group_id = town.asks("dan", create_body(members)).group_id;
    let place = Place::Group(group_id);
    town.says("gil", place, "so many of us");
    let mute =
        |user_id, seconds, all_muted| pb::GroupMuteReq { group_id, user_id, seconds, all_muted };
    let gil = town.id("gil");
    town.asks("dan", mute(gil, 600, false));
    town.asks("dan", mute(gil, 0, false));
    town.asks("dan", mute(0, 0, true));
    town.asks("dan", mute(0, 0, false));
    town.asks("hua", pb::GroupLeaveReq { group_id });
    town.says("ida", place, "hua does not hear this");
    town.asks("dan", pb::GroupRemoveReq { group_id, user_ids: vec![gil] });
    town.asks("dan", pb::GroupTransferReq { group_id, user_id: town.id("jun") });
    town.asks("jun", pb::GroupInviteReq { group_id, member_ids: vec![town.id("hua")] });
    town.says("hua", place, "back again");
    town.is_refused("dan", Code::Forbidden, pb::GroupDissolveReq { group_id });
    town.asks("jun", pb::GroupDissolveReq { group_id });
    assert!(town.asks("jun", pb::GroupListReq::default()).groups.is_empty());
}

/// What is told and not stored, and what users say of themselves.
fn words_aside(town: &mut Town<'_>) {
    let receiver_id = town.id("ben");
    town.asks("ada", pb::TypingReq { receiver_id, ..Default::default() });
    let seen = town.asks("ada", pb::PresenceQueryReq { user_ids: vec![receiver_id] });
    assert_eq!(seen.users.len(), 1, "they are friends");
    assert_eq!(seen.users[0].online.len(), 3, "on all devices");
    town.asks("ada", pb::PresenceSubscribeReq { user_ids: vec![receiver_id] });
    let nickname = Some("Ada of the lamp".to_owned());
    town.asks("ada", pb::UserUpdateReq { nickname, ..Default::default() });
    let devices = town.asks("ben", pb::DeviceListReq {}).devices;
    assert_eq!(devices.iter().filter(|device| device.is_online).count(), 3);
}

/// Somebody from elsewhere puts an account in order.
fn a_guest(town: &mut Town<'_>) {
    let (name, server) = ("kim", town.device("ada").server().to_owned());
    let address = server.parse().expect("an address");
    RawClient::register(address, name, &password(name));
    let mut phone = Device::install(server.clone(), name, DeviceClass::Phone);
    let tablet = Device::install(server, name, DeviceClass::Tablet);
    let device_id = format!("{name}-{}", tablet.class.number());
    let revoke = pb::DeviceRevokeReq { device_id };
    phone.client.ask(revoke).expect("the tablet is revoked");
    let (old_password, new_password) = (password(name), password("kim from now on"));
    let change = pb::ChangePasswordReq { old_password, new_password };
    phone.client.ask(change).expect("the password is changed");
}

/// Tokens are renewed, and one user logs out of a device that nobody needs.
fn the_evening(town: &mut Town<'_>) {
    let ada = town.device("ada");
    ada.client.core_mut().0.refresh_token();
    let server = ada.server().to_owned();
    let mut tablet = Device::install(server, "ada", DeviceClass::Tablet);
    tablet.client.logout().expect("the tablet logs out");
}
