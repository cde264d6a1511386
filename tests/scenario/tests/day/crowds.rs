//! Groups of so many that they are streams: one that grows into one, and two that begin as such, one of
//! which ends. People come in with and without what was said before, and go.

use aldis_scenario::requests::create_body;
use aldis_wire::pb;

use crate::diary::Place;
use crate::story::{edit, mark, react, recall};
use crate::town::Town;

/// All of them.
pub fn tell(town: &mut Town<'_>) {
    let (group, said) = a_small_group(town);
    town.settle();
    it_grows(town, group, &said);
    town.settle();
    newcomers(town, group);
    town.settle();
    let group = a_large_group(town);
    somebody_forgets(town, group);
    let group_id = a_large_group(town);
    somebody_forgets(town, group_id);
    town.asks("gil", pb::GroupDissolveReq { group_id });
}

/// What was said while the group was small.
struct Said {
    edited: u64,
    recalled: u64,
    last: u64,
}

fn ids(town: &Town<'_>, names: &[&str]) -> Vec<u64> {
    names.iter().map(|name| town.id(name)).collect()
}

fn invite(town: &mut Town<'_>, by: &str, group_id: u64, names: &[&str]) {
    let member_ids = ids(town, names);
    let added = town.asks(by, pb::GroupInviteReq { group_id, member_ids }).added_ids;
    assert_eq!(added.len(), names.len());
}

fn set_open_history(town: &mut Town<'_>, group_id: u64, is_open: bool) {
    let open_history = Some(is_open);
    town.asks("ada", pb::GroupUpdateReq { group_id, open_history, ..Default::default() });
}

fn a_small_group(town: &mut Town<'_>) -> (u64, Said) {
    let members = ids(town, &["ben", "cem", "dan", "eva", "fay"]);
    let group = town.asks("ada", create_body(members)).group_id;
    let place = Place::Group(group);
    let edited = town.says("cem", place, "harvest at six").conv_seq;
    town.asks("cem", edit(place, edited, "harvest at seven"));
    town.asks("dan", react(place, edited, "🌾", false));
    town.asks("ben", react(place, edited, "🌧", false));
    let recalled = town.says("eva", place, "harvest of my secrets").conv_seq;
    town.asks("ben", react(place, recalled, "no", false));
    let last = town.says("fay", place, "harvest in the small group").conv_seq;
    (group, Said { edited, recalled, last })
}

/// With the eighth member it is a stream. What was said before still changes, and so does what is said
/// now; one is put out, and one leaves and comes back.
fn it_grows(town: &mut Town<'_>, group: u64, said: &Said) {
    let place = Place::Group(group);
    invite(town, "ben", group, &["gil", "hua"]);
    town.is_stream(group, said.last);
    town.settle();
    for round in 0..5 {
        for name in ["ada", "ben", "cem", "dan", "eva", "fay", "gil", "hua"] {
            town.says(name, place, &format!("{name} sings {round}: 丰收 🙂"));
        }
    }
    town.asks("cem", edit(place, said.edited, "harvest at eight"));
    town.asks("dan", react(place, said.edited, "🌾", true));
    town.asks("fay", react(place, said.edited, "太阳", false));
    town.asks("eva", recall(place, said.recalled));
    let edited = town.says("gil", place, "harvest as I nearly meant it").conv_seq;
    for text in ["harvest as I also meant it", "harvest as I meant it"] {
        town.asks("gil", edit(place, edited, text));
    }
    town.asks("hua", react(place, edited, "👍", false));
    let recalled = town.says("hua", place, "harvest of weeds").conv_seq;
    town.asks("gil", react(place, recalled, "👎", false));
    town.asks("ada", recall(place, recalled));
    town.asks("gil", mark(place, edited));
    town.settle();
    let user_ids = ids(town, &["fay"]);
    town.asks("ada", pb::GroupRemoveReq { group_id: group, user_ids });
    town.asks("hua", pb::GroupLeaveReq { group_id: group });
    town.says("ben", place, "harvest without fay and hua");
    invite(town, "ada", group, &["hua"]);
    town.says("hua", place, "harvest again");
}

/// One comes in without what was said before, one with it, and one when it is over.
fn newcomers(town: &mut Town<'_>, group: u64) {
    let place = Place::Group(group);
    invite(town, "ada", group, &["ida"]);
    town.finds("ida", "harvest", group, &[]);
    let before = town.says("dan", place, "a word before it is open").conv_seq;
    set_open_history(town, group, true);
    let told = town.says("gil", place, "a word for all who come").conv_seq;
    assert_eq!(told, before + 2, "what opens it takes a place");
    let edited = town.says("eva", place, "a word I nearly meant").conv_seq;
    town.asks("eva", edit(place, edited, "a word I meant"));
    town.asks("ida", react(place, edited, "👍", false));
    let gone = town.says("eva", place, "a word nobody should know").conv_seq;
    town.asks("eva", recall(place, gone));
    let last = town.says("ben", place, "a word to the last").conv_seq;
    invite(town, "ben", group, &["jun"]);
    town.reads_earlier("jun", place, before + 1..last + 1);
    town.asks("jun", mark(place, told));
    town.asks("jun", react(place, edited, "🎉", false));
    set_open_history(town, group, false);
    town.settle();
    invite(town, "ada", group, &["fay"]);
    town.says("fay", place, "a word from fay");
    let since =
        ["a word from fay", "a word to the last", "a word I meant", "a word for all who come"];
    town.finds("jun", "word", group, &since);
    let all: Vec<&str> = since.into_iter().chain(["a word before it is open"]).collect();
    town.finds("ida", "word", group, &all);
    town.finds("fay", "word", group, &since[..1]);
    let harvest = ["harvest as I meant it", "harvest in the small group", "harvest at eight"];
    town.finds("fay", "harvest", group, &harvest);
    town.finds("jun", "harvest", group, &[]);
    let absent = ["harvest again", "harvest as I meant it"];
    town.finds("hua", "harvest", group, &absent);
    let always: Vec<&str> =
        ["harvest again", "harvest without fay and hua"].into_iter().chain(harvest).collect();
    town.finds("ada", "harvest", group, &always);
}

/// One that is a stream from the beginning, all of which newcomers read.
fn a_large_group(town: &mut Town<'_>) -> u64 {
    let members = ids(town, &["ada", "ben", "cem", "dan", "eva", "fay", "hua"]);
    let body = pb::GroupCreateReq { open_history: true, ..create_body(members) };
    let group = town.asks("gil", body).group_id;
    let place = Place::Group(group);
    town.is_stream(group, 0);
    for round in 0..3 {
        for name in ["gil", "ada", "hua"] {
            town.says(name, place, &format!("a verse of {name}, {round}"));
        }
    }
    let last = town.says("ben", place, "a verse to forget").conv_seq;
    invite(town, "gil", group, &["ida"]);
    town.reads_earlier("ida", place, 1..last + 1);
    town.says("ada", place, "a verse to keep");
    town.asks("cem", pb::GroupLeaveReq { group_id: group });
    town.says("ida", place, "the last verse");
    town.finds("cem", "verse keep", group, &["a verse to keep"]);
    town.finds("ida", "forget", group, &["a verse to forget"]);
    town.finds("jun", "verse", group, &[]);
    town.settle();
    group
}

/// Somebody clears what was said there; others see what they saw.
fn somebody_forgets(town: &mut Town<'_>, group_id: u64) {
    let last = town.says("dan", Place::Group(group_id), "a verse of dan");
    let clear_conv_seq = last.conv_seq - 1;
    let clear = pb::ConversationUpdateReq { group_id, clear_conv_seq, ..Default::default() };
    town.asks("dan", clear);
    town.finds("dan", "verse", group_id, &["a verse of dan"]);
    town.finds("ida", "forget", group_id, &["a verse to forget"]);
}
