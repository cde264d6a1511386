//! Ten users, their devices, and what must hold for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use aldis_client::core::{Ask, Config, SavedState, Target};
use aldis_client::{Client, ClientConfig, ClientError};
use aldis_scenario::Server;
use aldis_scenario::http::{metric, scrape};
use aldis_scenario::requests::texts;
use aldis_wire::{Code, Command, DeviceClass, GroupId, UserId, pb};

use crate::device::{Device, password};
use crate::diary::{Diary, Place, Told, told};

/// Who lives there.
pub const NAMES: [&str; 10] =
    ["ada", "ben", "cem", "dan", "eva", "fay", "gil", "hua", "ida", "jun"];
/// The devices of each.
const CLASSES: [DeviceClass; 3] = [DeviceClass::Phone, DeviceClass::Desktop, DeviceClass::Web];
/// Nothing takes so long; a failure is said after it.
const SETTLE_MAX: Duration = Duration::from_secs(240);
/// How long one device is listened to before the next one is.
const MOMENT: Duration = Duration::from_millis(2);

/// See the file's first line.
pub struct Town<'a> {
    nodes: &'a [&'a Server],
    /// Three for each user, in the order of the names.
    devices: Vec<Device>,
    next_device: usize,
    /// Groups that are streams, each with a place that all its messages in the mailboxes are up to.
    streams: BTreeMap<u64, u64>,
    /// What somebody reads in a conversation by HISTORY alone, having come in later.
    earlier: BTreeMap<(u64, Place), Range<u64>>,
    /// Who finds which texts by which word in a group.
    found: Vec<(&'static str, &'static str, u64, Vec<String>)>,
}

impl<'a> Town<'a> {
    /// Everybody registers and logs in everywhere.
    pub fn wake(nodes: &'a [&'a Server]) -> Self {
        let mut devices = Vec::new();
        for (at, name) in NAMES.iter().enumerate() {
            let server = |n: usize| nodes[n % nodes.len()].address().to_string();
            let config = Config::new("registrar", DeviceClass::Device);
            let saved = SavedState::default();
            let client = Client::new(ClientConfig::new(server(at), config), saved);
            let made = client.expect("a client").register(name, &password(name), "");
            let user = made.expect("the user registers");
            for (n, class) in CLASSES.into_iter().enumerate() {
                let device = Device::install(server(at + n), name, class);
                assert_eq!(device.user, user.0);
                devices.push(device);
            }
        }
        let (streams, earlier, found) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self { nodes, devices, next_device: 0, streams, earlier, found }
    }

    /// The id of a user.
    pub fn id(&self, name: &str) -> u64 {
        self.devices[self.first_of(name)].user
    }

    /// As a conversation of others.
    pub fn place(&self, name: &str) -> Place {
        Place::User(self.id(name))
    }

    fn first_of(&self, name: &str) -> usize {
        let at = NAMES.iter().position(|known| *known == name);
        at.expect("somebody of the town") * CLASSES.len()
    }

    /// A device of a user: another one each time.
    pub fn device(&mut self, name: &str) -> &mut Device {
        self.next_device += 1;
        let at = self.first_of(name) + self.next_device % CLASSES.len();
        &mut self.devices[at]
    }

    /// A request that is answered OK.
    pub fn asks<A: Ask>(&mut self, name: &str, body: A) -> A::Answer {
        self.device(name).client.ask(body).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A request that is refused.
    pub fn is_refused<A: Ask>(&mut self, name: &str, code: Code, body: A) {
        match self.device(name).client.ask(body).map(|_| ()) {
            Err(ClientError::Refused { code: given, .. }) => assert_eq!(given, code, "{name}"),
            other => panic!("{name} gets {other:?}, not {code}"),
        }
    }

    /// A text; its conv_seq and msg_id.
    pub fn says(&mut self, name: &str, to: Place, text: &str) -> pb::MsgSendResp {
        let target = match to {
            Place::User(user) => Target::User(UserId(user)),
            Place::Group(group) => Target::Group(GroupId(group)),
        };
        let content = text.as_bytes().to_vec().into();
        let sent = self.device(name).client.send(target, pb::MsgType::Text, content);
        sent.unwrap_or_else(|error| panic!("{name}: {error}")).1
    }

    /// From now on a group is a stream, and its messages above a place are in no mailbox.
    pub fn is_stream(&mut self, group: u64, above: u64) {
        self.streams.insert(group, above);
    }

    /// Somebody who came in later reads this, too, and only by HISTORY.
    pub fn reads_earlier(&mut self, name: &str, place: Place, conv_seqs: Range<u64>) {
        self.earlier.insert((self.id(name), place), conv_seqs);
    }

    /// What somebody finds in a group, at the end of the day as well.
    pub fn finds(&mut self, name: &'static str, word: &'static str, group: u64, texts: &[&str]) {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        self.found.push((name, word, group, texts));
        self.assert_found_again();
    }

    /// Everybody finds what was found before, newest first.
    pub fn assert_found_again(&mut self) {
        for (name, query, group_id, expected) in self.found.clone() {
            let body = pb::SearchReq { query: query.into(), group_id, ..Default::default() };
            let found = texts(&self.asks(name, body).entries);
            assert_eq!(found, expected, "{query} in {group_id}, by {name}");
        }
    }

    /// Listens to all devices until each has everything.
    pub fn settle(&mut self) {
        let deadline = Instant::now() + SETTLE_MAX;
        let mut is_settled = false;
        while !is_settled {
            assert!(Instant::now() < deadline, "a device is behind for ever");
            let streams = || self.streams.keys().copied();
            is_settled = self.devices.iter_mut().all(|device| device.is_current(streams()));
            // What the question itself brought is taken in, too.
            self.devices.iter_mut().for_each(|device| device.listen(MOMENT));
        }
    }

    /// All devices of a user have the same picture.
    pub fn assert_agreed(&self) {
        for (devices, name) in self.devices.chunks(CLASSES.len()).zip(NAMES) {
            for other in &devices[1..] {
                assert_eq!(devices[0].diary, other.diary, "{name}'s {:?}", other.class);
            }
        }
    }

    /// What each user sees.
    pub fn pictures(&self) -> Vec<Diary> {
        self.devices.iter().step_by(CLASSES.len()).map(|device| device.diary.clone()).collect()
    }

    /// HISTORY and REACTIONS say of each message what the devices say, wherever they are asked.
    pub fn assert_history_agrees(&mut self) {
        let pictures = self.pictures();
        for device in &mut self.devices {
            for (place, mut shown) in device.diary.told.clone() {
                let mut shown = shown.split_off(&(device.diary.cleared(place) + 1));
                let (receiver_id, group_id) = place.fields();
                let body =
                    pb::HistoryReq { receiver_id, group_id, limit: 500, ..Default::default() };
                let page: pb::HistoryResp = device.client.ask(body).expect("a page");
                assert!(!page.more, "the day was short");
                let is_message = |kind: pb::MsgType| kind.is_message();
                let read: BTreeMap<_, _> =
                    page.entries.iter().map(|entry| (entry.conv_seq, told(entry))).collect();
                // What is read besides is what others were told.
                let earlier = self.earlier.get(&(device.user, place)).cloned().unwrap_or_default();
                for conv_seq in earlier {
                    let others = pictures.iter().filter_map(|one| one.told.get(&place));
                    let other = others.filter_map(|told| told.get(&conv_seq)).next();
                    shown.insert(conv_seq, other.expect("somebody was told").clone());
                }
                for (conv_seq, told) in shown.iter().filter(|(_, told)| is_message(told.kind)) {
                    let reactions = reactions(&mut device.client, place, *conv_seq, told);
                    let read = read.get(conv_seq).cloned().map(|read| Told { reactions, ..read });
                    assert_eq!(read.as_ref(), Some(told), "{place:?} of {}", device.user);
                }
                assert_eq!(shown.len(), read.len(), "{place:?} of {}", device.user);
            }
        }
    }

    /// MSG_SYNC has in the streams what the devices were told, no more and no less.
    pub fn assert_streams_agree(&mut self) {
        for device in &mut self.devices {
            for (&group, &above) in &self.streams {
                let entries = device.read_stream(group);
                assert!(entries.iter().all(|entry| entry.seq == entry.conv_seq));
                let read = entries.iter().map(|entry| (entry.conv_seq, told(entry)));
                let read: BTreeMap<_, _> =
                    read.filter(|(_, told)| told.kind.is_message()).collect();
                let mut shown = device.diary.told.get(&Place::Group(group)).cloned();
                let mut shown = shown.take().unwrap_or_default().split_off(&(above + 1));
                shown.retain(|_, told| told.kind.is_message());
                shown.values_mut().for_each(|told| told.reactions.clear());
                assert_eq!(read, shown, "the stream {group} of {}", device.user);
            }
        }
    }

    /// Lists of conversations say the same on all devices of a user, and what is new is unread. Those
    /// that are streams are listed apart.
    pub fn assert_lists_agree(&mut self) {
        for devices in self.devices.chunks_mut(CLASSES.len()) {
            let mut lists = devices.iter_mut().map(|device| {
                let conversations = conversations(&mut device.client, false);
                let streams = conversations_of_streams(&mut device.client);
                conversations.into_iter().chain(streams).collect::<Vec<_>>()
            });
            let first = lists.next().expect("three devices");
            assert!(lists.all(|other| other == first));
            let (user, diary) = (devices[0].user, &devices[0].diary);
            for info in first {
                let view = info.view.unwrap_or_default();
                let place = match view.group_id {
                    0 => Place::User(view.receiver_id),
                    group => Place::Group(group),
                };
                assert_eq!(info.unread, diary.unread(user, place), "{place:?} of {user}");
            }
        }
    }

    /// The nodes have answered each command OK.
    pub fn assert_all_commands_used(&self) {
        let pages: Vec<String> =
            self.nodes.iter().map(|node| scrape(node.http_address("admin"))).collect();
        let unused: Vec<Command> = Command::REQUESTS
            .into_iter()
            .filter(|command| {
                let name = format!("aldis_requests_total{{command=\"{command:?}\",code=\"OK\"}}");
                pages.iter().all(|page| metric(page, &name).is_none())
            })
            .collect();
        assert!(unused.is_empty(), "nobody used {unused:?}");
    }

    /// Every device loses what it has.
    pub fn reinstall(&mut self) {
        self.devices =
            std::mem::take(&mut self.devices).into_iter().map(Device::reinstall).collect();
    }
}

fn conversations(client: &mut Client, streams: bool) -> Vec<pb::ConversationInfo> {
    let body = pb::ConversationListReq { limit: 100, streams, ..Default::default() };
    let page: pb::ConversationListResp = client.ask(body).expect("a page");
    assert_eq!(page.next_before_seq, 0, "the day was short");
    page.conversations
}

/// All that one is in, and no others.
fn conversations_of_streams(client: &mut Client) -> Vec<pb::ConversationInfo> {
    let listed = conversations(client, true);
    let groups = client.groups().expect("the groups");
    let streams = groups.iter().filter(|group| group.is_stream).map(|group| group.group_id);
    let group = |info: &pb::ConversationInfo| info.view.unwrap_or_default().group_id;
    assert!(listed.iter().map(group).eq(streams), "{listed:?}");
    listed
}

/// Who reacts to a message, as the server says. Of messages without reactions only some are asked.
fn reactions(
    client: &mut Client,
    place: Place,
    conv_seq: u64,
    told: &Told,
) -> BTreeSet<(u64, String)> {
    if told.reactions.is_empty() && !conv_seq.is_multiple_of(7) {
        return BTreeSet::new();
    }
    let (receiver_id, group_id) = place.fields();
    let body = pb::ReactionsReq { receiver_id, group_id, conv_seq, ..Default::default() };
    match client.ask(body) {
        Ok(page) => page
            .users
            .into_iter()
            .flat_map(|user| user.reactions.into_iter().map(move |what| (user.user_id, what)))
            .collect(),
        // Who has left the group is not told any more.
        Err(ClientError::Refused { code: Code::NotFound, .. }) => told.reactions.clone(),
        Err(error) => panic!("{error}"),
    }
}
