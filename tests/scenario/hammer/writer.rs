//! One user who talks all the time to the hot users and the groups, whatever happens to the
//! servers: pipelined, through one node after the other, some messages again after their answer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aldis_client::core::Outgoing;
use aldis_client::{Event, Target};
use aldis_wire::{ClientMsgId, Code, pb};
use bytes::Bytes;

use super::crowd::{ECHOING, WRITING};
use super::dice::Dice;
use super::link::{Link, LinkOptions, PATIENCE};
use super::shared::Shared;

/// Messages whose acknowledgement is remembered, to be sent again.
const REMEMBERED: usize = 64;
/// One message in so many is sent again after its acknowledgement.
const AGAIN_ONE_IN: usize = 40;
/// One turn in so many ends with a cut.
const CUT_ONE_IN: usize = 1_500;
/// Nothing to do: look again after this.
const TURN: Duration = Duration::from_millis(20);
/// The same for those who look after two connections.
const ECHO_TURN: Duration = Duration::from_millis(1);

/// Refusals for good, by code: what the others said is in the history.
pub(super) type Refusals = BTreeMap<Code, usize>;

/// Writes until it is over, then waits until everything has its answer.
pub(super) fn write(shared: &Shared, number: usize) -> Refusals {
    let name = format!("writer-{number}");
    let file = shared.history(&name);
    let mut link = Link::open(
        LinkOptions {
            hammer: &shared.options,
            node: number,
            user: shared.crowd.device(number, WRITING),
            name: &name,
            window: shared.options.window,
        },
        &file,
    );
    let mut author = Author::new(shared, number);
    let mut remembered: Vec<Outgoing> = Vec::new();
    let mut refusals = Refusals::new();
    let mut under_way: BTreeMap<ClientMsgId, Outgoing> = BTreeMap::new();
    let mut deadline = Instant::now() + PATIENCE;
    loop {
        if shared.is_over() && under_way.is_empty() || shared.is_abandoned() {
            return refusals;
        }
        while under_way.len() < shared.options.window && shared.may_send(number) {
            let again = author.dice.once_in(AGAIN_ONE_IN).then(|| remembered.pop()).flatten();
            let message = again.unwrap_or_else(|| author.message());
            link.client().core_mut().0.send(message.clone()).expect("the window has room");
            under_way.insert(message.client_msg_id, message);
        }
        match link.turn(TURN) {
            Some(Event::SendAcked { client_msg_id, .. }) => {
                shared.note_ack();
                deadline = Instant::now() + PATIENCE;
                let message = under_way.remove(&client_msg_id).expect("it was sent");
                if remembered.len() == REMEMBERED {
                    remembered.swap_remove(0);
                }
                remembered.push(message);
            }
            Some(Event::SendFailed { client_msg_id, code, .. }) => {
                under_way.remove(&client_msg_id);
                *refusals.entry(code).or_default() += 1;
            }
            _ => assert!(Instant::now() < deadline, "{name}: nothing was acknowledged for long"),
        }
        if author.dice.once_in(CUT_ONE_IN) {
            link.go_to_next_node();
        }
    }
}

/// Sends every message from two devices, through two nodes, at the same moment.
pub(super) fn write_twice(shared: &Shared, number: usize) -> Refusals {
    let user = shared.options.writers + number;
    let open = |class, which: usize| {
        let name = format!("twin-{number}-{which}");
        let file = shared.history(&name);
        let user = shared.crowd.device(user, class);
        let hammer = &shared.options;
        let window = hammer.window;
        Link::open(LinkOptions { hammer, node: number + which, user, name: &name, window }, &file)
    };
    let mut links = [open(WRITING, 0), open(ECHOING, 1)];
    let mut author = Author::new(shared, user);
    let mut refusals = Refusals::new();
    let mut deadline = Instant::now() + PATIENCE;
    loop {
        let unanswered = links.iter().map(Link::unanswered).max().unwrap_or(0);
        if shared.is_over() && unanswered == 0 || shared.is_abandoned() {
            return refusals;
        }
        for _ in unanswered..shared.options.window {
            if !shared.may_send(user) {
                break;
            }
            shared.note_twin();
            let message = author.message();
            for link in &mut links {
                link.client().core_mut().0.send(message.clone()).expect("the window has room");
            }
        }
        // Another one goes first each time.
        links.reverse();
        for link in &mut links {
            match link.turn(ECHO_TURN) {
                Some(Event::SendAcked { .. }) => {
                    shared.note_ack();
                    deadline = Instant::now() + PATIENCE;
                }
                Some(Event::SendFailed { code, .. }) => *refusals.entry(code).or_default() += 1,
                _ => assert!(Instant::now() < deadline, "twin {number}: no acknowledgement"),
            }
            if author.dice.once_in(CUT_ONE_IN) {
                link.go_to_next_node();
            }
        }
    }
}

/// Makes up messages of one user.
struct Author<'a> {
    shared: &'a Shared,
    user: usize,
    dice: Dice,
    count: u64,
}

impl<'a> Author<'a> {
    fn new(shared: &'a Shared, user: usize) -> Self {
        Self { shared, user, dice: Dice::new(shared.options.seed, user), count: 0 }
    }

    fn message(&mut self) -> Outgoing {
        self.count += 1;
        let (options, groups) = (&self.shared.options, &self.shared.groups);
        let target = if !groups.is_empty() && self.dice.below(100) < options.group_percent {
            Target::Group(groups[self.dice.below(groups.len())].id)
        } else {
            let other = 1 + self.dice.below(options.hot_users - 1);
            Target::User(self.shared.crowd.id((self.user + other) % options.hot_users))
        };
        message(target, format!("{} of {}: 你好 👋", self.count, self.user))
    }
}

/// A text under a fresh id.
pub(super) fn message(target: Target, text: String) -> Outgoing {
    Outgoing {
        target,
        client_msg_id: ClientMsgId(fresh_id()),
        kind: pb::MsgType::Text,
        content: Bytes::from(text),
        extra: Bytes::new(),
        refs: None,
    }
}

/// UUIDv7, as the specification recommends: the time in ms, then chance.
fn fresh_id() -> [u8; 16] {
    let mut id = crate::requests::random_16();
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let unix_ms = since_1970.map_or(0, |time| time.as_millis() as u64);
    id[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
    id[6] = 0x70 | (id[6] & 0x0F);
    id[8] = 0x80 | (id[8] & 0x3F);
    id
}
