//! A simulated device: the real client core, driven over the simulated network, and what its owner
//! keeps. What the owner does next is in `app`.

use std::collections::{BTreeMap, BTreeSet};

use aldis_client::core::{
    Config, Core, Event as ClientEvent, LinkAction, Observation, OfflineReason, Request, RequestNo,
    SavedState, Start, Via,
};
use aldis_wire::{ClientMsgId, ConversationKey, DeviceClass, HEADER_LEN, UserId, pb};

use crate::agenda::Event;
use crate::app::Asked;
use crate::changing::is_version_of;
use crate::network::{LinkId, Owner, Side};
use crate::recorder::Recorder;
use crate::world::World;

/// Pages of the clients' own syncs: small, so that catching up takes several.
const SYNC_LIMIT: u32 = 8;

/// Why a device is not connected and does not try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It is at work.
    None,
    /// Its user is not registered yet, or it was not switched on.
    Unborn,
    /// Another session took its place.
    Kicked,
    /// Its owner said so.
    LoggedOut,
}

/// See the file's first line.
#[derive(Debug)]
pub struct Device {
    pub person: usize,
    pub device_id: String,
    pub class: DeviceClass,
    pub core: Core,
    /// Cores that this device has had.
    pub process_count: u32,
    pub recorder: Recorder,
    pub link: Option<LinkId>,
    /// The node that it went to last.
    pub last_node: Option<usize>,
    /// The node that it goes to next; `None`: any.
    pub next_node: Option<usize>,
    /// Of its session.
    pub epoch: Option<u64>,
    /// Entries that it got by push.
    pub pushed: BTreeSet<u64>,
    pub timer_at_ms: Option<u64>,
    pub slow_until_us: u64,
    pub rest: Rest,
    /// What it applied of its mailbox, by any of its cores.
    pub applied: BTreeMap<u64, pb::MessageData>,
    /// The same of streams, by group and seq.
    pub streamed: BTreeMap<(u64, u64), pb::MessageData>,
    /// The last seq of a stream applied by this core.
    pub last_streamed: BTreeMap<u64, u64>,
    /// The last seq applied by this core; `None`: the next one may be any.
    pub last_seq: Option<u64>,
    pub asked: BTreeMap<RequestNo, Asked>,
    /// Not answered yet, in order.
    pub unanswered: BTreeMap<ConversationKey, Vec<ClientMsgId>>,
    /// Of these the ones that were on the wire.
    pub was_on_wire: BTreeSet<ClientMsgId>,
    /// Where the received bytes stand between two frames.
    pub boundary: Boundary,
    /// Ids that it sent with another content than the first.
    pub conflicts: BTreeSet<ClientMsgId>,
    pub is_timer_turn: bool,
    /// The full sync at the end is done.
    pub final_sync_done: bool,
    /// Streams that its mailbox names and that are still to be read then.
    pub final_streams: BTreeSet<u64>,
}

impl Device {
    /// A device that was never used.
    pub fn new(world_seed: u64, index: usize, person: usize, class: DeviceClass) -> Self {
        let device_id = format!("d{index}");
        let config = config(&device_id, class, Start::Zero);
        Self {
            person,
            class,
            core: Core::new(config, SavedState::default(), world_seed ^ index as u64, 0, 0),
            device_id,
            process_count: 0,
            recorder: Recorder::new(format!("d{index}.0"), class.number(), 0),
            link: None,
            last_node: None,
            next_node: None,
            epoch: None,
            pushed: BTreeSet::new(),
            timer_at_ms: None,
            slow_until_us: 0,
            rest: Rest::Unborn,
            applied: BTreeMap::new(),
            streamed: BTreeMap::new(),
            last_streamed: BTreeMap::new(),
            last_seq: Some(0),
            asked: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            was_on_wire: BTreeSet::new(),
            boundary: Boundary::default(),
            conflicts: BTreeSet::new(),
            is_timer_turn: false,
            final_sync_done: false,
            final_streams: BTreeSet::new(),
        }
    }
}

/// Configuration of a device's core.
pub fn config(device_id: &str, class: DeviceClass, start: Start) -> Config {
    let mut config = Config::new(device_id, class);
    config.start = start;
    config.observe = true;
    config.sync_limit = SYNC_LIMIT;
    config
}

/// Whether a stream of bytes stands between two frames.
#[derive(Debug, Default)]
pub struct Boundary {
    head: Vec<u8>,
    body_left: usize,
}

impl Boundary {
    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let step = self.body_left.min(bytes.len());
            self.body_left -= step;
            bytes = &bytes[step..];
            let step = bytes.len().min(HEADER_LEN - self.head.len());
            self.head.extend_from_slice(&bytes[..step]);
            bytes = &bytes[step..];
            if self.head.len() == HEADER_LEN {
                let len = [self.head[12], self.head[13], self.head[14], self.head[15]];
                self.body_left = u32::from_be_bytes(len) as usize;
                self.head.clear();
            }
        }
    }

    fn is_inside(&self) -> bool {
        !self.head.is_empty() || self.body_left > 0
    }
}

impl World {
    /// Does everything that a device's core wants now.
    pub fn pump(&mut self, d: usize) {
        loop {
            let mut is_done = true;
            while let Some(action) = self.devices[d].core.poll_link() {
                is_done = false;
                self.do_link_action(d, action);
            }
            self.take_observations(d);
            while let Some(event) = self.devices[d].core.poll_event() {
                is_done = false;
                self.handle_client_event(d, event);
            }
            is_done &= !self.transmit(d);
            if is_done {
                break;
            }
        }
        self.devices[d].is_timer_turn = false;
        let device = &mut self.devices[d];
        if let Some(at_ms) = device.core.poll_timeout()
            && device.timer_at_ms.is_none_or(|planned_ms| at_ms < planned_ms)
        {
            device.timer_at_ms = Some(at_ms);
            self.out.agenda.at(at_ms * 1_000, Event::DeviceTimer(d));
        }
    }

    fn do_link_action(&mut self, d: usize, action: LinkAction) {
        match action {
            LinkAction::Connect { .. } => {
                let wanted = self.devices[d].next_node.take();
                let address = self.pick_address(wanted);
                self.note_node(d, address.node);
                let link = self.out.net.open(Owner::Device(d), address);
                self.devices[d].link = Some(link);
                self.out.trace(|| format!("device {d} connects by link {}", link.0));
                self.devices[d].boundary = Boundary::default();
                let latency_us = self.out.net.latency_us(&mut self.out.dice);
                self.out.agenda.after(latency_us, Event::Accept(link));
            }
            LinkAction::Close => {
                if let Some(link) = self.devices[d].link.take() {
                    let abort = self.out.dice.chance(300);
                    if abort {
                        self.out.coverage.hit("link: reset by the client");
                    }
                    let (agenda, dice) = (&mut self.out.agenda, &mut self.out.dice);
                    self.out.net.close(agenda, dice, link, Side::Client, abort);
                }
            }
        }
    }

    fn take_observations(&mut self, d: usize) {
        while let Some(observation) = self.devices[d].core.poll_observation() {
            let now_us = self.out.agenda.now_us();
            let device = &mut self.devices[d];
            device.recorder.record(&mut self.lines, now_us, &observation);
            match &observation {
                Observation::LoginSent { .. } => {
                    let by_password = device.core.export_state().token.is_empty();
                    self.out.coverage.hit(if by_password {
                        "client: logged in by password"
                    } else {
                        "client: logged in by token"
                    });
                }
                Observation::SendSent(message) => {
                    device.was_on_wire.insert(message.client_msg_id);
                }
                Observation::RequestSent(no, Request::MsgSync(_))
                    if !device.asked.contains_key(no) =>
                {
                    self.out.coverage.hit("client: sync after a gap or hint");
                    if device.is_timer_turn {
                        self.out.coverage.hit("client: gap timer ran out");
                    }
                }
                Observation::Push(push) => {
                    let local = device.core.local_seq(0).unwrap_or(0);
                    if push.entries.first().is_some_and(|entry| entry.seq > local + 1) {
                        self.out.coverage.hit("push: out of order");
                    }
                }
                _ => {}
            }
        }
    }

    /// Hands bytes to the network; whether any went.
    fn transmit(&mut self, d: usize) -> bool {
        let now_ms = self.out.agenda.now_ms();
        let room = self.plan.net.pipe_bytes_max;
        let bytes = self.devices[d].core.poll_transmit(now_ms);
        let bytes = bytes[..bytes.len().min(room)].to_vec();
        self.take_observations(d);
        let Some(link) = self.devices[d].link.filter(|_| !bytes.is_empty()) else { return false };
        let (agenda, dice) = (&mut self.out.agenda, &mut self.out.dice);
        let written = self.out.net.write(agenda, dice, link, Side::Client, &bytes);
        self.devices[d].core.handle_transmitted(written);
        written > 0
    }

    /// Bytes or the end may be there for a device.
    pub fn client_reads(&mut self, d: usize, link: LinkId) {
        let now_us = self.out.agenda.now_us();
        if self.devices[d].link != Some(link) {
            return;
        }
        if self.devices[d].slow_until_us > now_us {
            self.out.agenda.at(self.devices[d].slow_until_us, Event::ClientReads(link));
            return;
        }
        let mut has_read = false;
        while self.devices[d].link == Some(link) {
            let max = self.out.dice.range(1, 20_000) as usize;
            let Some(bytes) = self.out.net.read(link, Side::Client, max) else { break };
            let now_ms = self.out.agenda.now_ms();
            let device = &mut self.devices[d];
            if bytes.is_empty() {
                device.link = None;
                device.core.handle_disconnected(now_ms);
                let (agenda, dice) = (&mut self.out.agenda, &mut self.out.dice);
                self.out.net.close(agenda, dice, link, Side::Client, false);
                break;
            }
            has_read = true;
            device.boundary.feed(&bytes);
            device.core.handle_bytes(now_ms, &bytes);
            self.pump(d);
        }
        if has_read {
            // The server has room again.
            let latency_us = self.out.net.latency_us(&mut self.out.dice);
            let room = Event::Arrive { link, to: Side::Server, len: 0, end: false };
            self.out.agenda.after(latency_us, room);
        }
        self.pump(d);
    }

    /// The connection broke.
    pub fn client_reset(&mut self, d: usize, link: LinkId) {
        if self.devices[d].link == Some(link) {
            if self.devices[d].boundary.is_inside() {
                self.out.coverage.hit("link: cut in the middle of a frame to the client");
            }
            self.devices[d].link = None;
            self.devices[d].core.handle_disconnected(self.out.agenda.now_ms());
        }
        self.out.net.forget(link, Side::Client);
        self.pump(d);
    }

    /// The device's deadline has come.
    pub fn device_timer(&mut self, d: usize) {
        let now_ms = self.out.agenda.now_ms();
        let device = &mut self.devices[d];
        if device.timer_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            device.timer_at_ms = None;
        }
        device.is_timer_turn = true;
        device.core.handle_timeout(now_ms);
        self.pump(d);
    }

    fn handle_client_event(&mut self, d: usize, event: ClientEvent) {
        let person = self.devices[d].person;
        self.out.trace(|| format!("device {d} (person {person}): {}", brief(&event)));
        match event {
            ClientEvent::Online(resp) => {
                self.devices[d].epoch = Some(resp.session_id);
                self.note_repeats(d);
                self.handle_online(d, &resp);
            }
            ClientEvent::LoginFailed { code, .. } => self.handle_login_failed(d, code),
            ClientEvent::Offline { reason, .. } => match reason {
                OfflineReason::Silent => {
                    self.out.coverage.hit("client: silence ended a connection")
                }
                OfflineReason::Goaway => self.out.coverage.hit("client: goaway"),
                OfflineReason::ConnectFailed => self.out.coverage.hit("link: connect failed"),
                OfflineReason::BadFrame => {
                    self.out.violation(format!("device {d} was sent what is no frame"));
                }
                _ => {}
            },
            ClientEvent::Kicked { .. } => {
                self.out.coverage.hit("client: kicked");
                self.check_kick(d);
                self.devices[d].rest = Rest::Kicked;
                let pause_us = self.out.dice.range(300, 4_000) * 1_000;
                self.out.agenda.after(pause_us, Event::OwnerLooks(d));
            }
            ClientEvent::Entry { stream, entry, via } => self.handle_entry(d, stream, entry, via),
            ClientEvent::Resynced { local, head, .. } => {
                self.out.violation(format!(
                    "device {d} was at {local} and the mailbox ends at {head}: entries were lost"
                ));
            }
            ClientEvent::SendAcked { client_msg_id, ack } => {
                self.handle_send_acked(d, client_msg_id, ack);
            }
            ClientEvent::SendFailed { client_msg_id, code, maybe_committed, .. } => {
                self.handle_send_failed(d, client_msg_id, code, maybe_committed);
            }
            ClientEvent::Told(_) => {}
            ClientEvent::Response { request, result } => self.handle_response(d, request, result),
        }
    }

    fn handle_entry(&mut self, d: usize, stream: u64, entry: pb::MessageData, via: Via) {
        if stream != 0 {
            return self.handle_streamed(d, stream, entry, via);
        }
        let device = &mut self.devices[d];
        let seq = entry.seq;
        if via == Via::Push {
            device.pushed.insert(seq);
        }
        let last = device.last_seq.replace(seq);
        let known = device.applied.insert(seq, entry.clone());
        if last.is_some_and(|last| seq != last + 1) {
            let what = format!("device {d} applied {seq} after {last:?}");
            self.out.violation(what);
        }
        if let Some(known) = known.filter(|known| !is_version_of(known, &entry)) {
            let what =
                format!("device {d} had {known:?} at {seq}, and by {via:?} it has {entry:?}");
            self.out.violation(what);
        }
    }

    /// An entry of a stream; what is between two may be nobody's, or another stay's.
    fn handle_streamed(&mut self, d: usize, stream: u64, entry: pb::MessageData, via: Via) {
        self.out.coverage.hit(match via {
            Via::Push => "client: an entry of a stream by push",
            _ => "client: an entry of a stream by sync",
        });
        let device = &mut self.devices[d];
        let seq = entry.seq;
        let last = device.last_streamed.insert(stream, seq);
        let known = device.streamed.insert((stream, seq), entry.clone());
        let is_known = known.as_ref().is_none_or(|known| is_version_of(known, &entry));
        if last.is_some_and(|last| seq <= last) || !is_known || entry.conv_seq != seq {
            let what =
                format!("device {d} applied {entry:?} of {stream} after {last:?}: {known:?}");
            self.out.violation(what);
        }
    }

    /// The user of a device, once registered.
    pub fn user_of(&self, d: usize) -> Option<UserId> {
        self.people[self.devices[d].person].user
    }
}

impl Device {
    /// Whether the owner waits for an answer to this message.
    pub fn is_unanswered(&self, id: ClientMsgId) -> bool {
        self.unanswered.values().any(|ids| ids.contains(&id))
    }

    /// The owner has the answer; where the message went.
    pub fn settle(&mut self, id: ClientMsgId) -> Option<ConversationKey> {
        self.was_on_wire.remove(&id);
        let (&conversation, ids) = self.unanswered.iter_mut().find(|(_, ids)| ids.contains(&id))?;
        ids.retain(|other| *other != id);
        Some(conversation)
    }
}

fn brief(event: &ClientEvent) -> String {
    match event {
        ClientEvent::Entry { entry, via, .. } => format!(
            "entry {} by {via:?}: conv {} / {} seq {}",
            entry.seq, entry.group_id, entry.sender_id, entry.conv_seq
        ),
        ClientEvent::Online(resp) => {
            format!("online, session {} heads {:?}", resp.session_id, resp.heads)
        }
        other => {
            let mut text = format!("{other:?}");
            text.truncate(text.char_indices().nth(160).map_or(text.len(), |(at, _)| at));
            text
        }
    }
}
