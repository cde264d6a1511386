//! Groups: founded at the start, then members that leave and are invited again, and talk, read and
//! are refused all the while.

use std::time::{Duration, Instant};

use aldis_client::{Event, Target};
use aldis_wire::UserId;

use super::crowd::{FOUNDING, WRITING};
use super::dice::Dice;
use super::link::{Called, Link, LinkOptions, PATIENCE};
use super::shared::{Group, Shared};
use super::writer::message;

/// Between two steps of a member: every change of a group is an entry for each member, and all of
/// them are read at the end.
const STEP_PAUSE: Duration = Duration::from_millis(150);
/// Between two invitations of who may have left.
const INVITE_PAUSE: Duration = Duration::from_millis(400);

/// The group with this number: the hot users and some of the others, founded by a hot user.
pub(super) fn found(shared: &Shared, number: usize) -> Group {
    let options = &shared.options;
    let others = shared.crowd.len() - options.hot_users;
    let wanted = options.group_members - options.hot_users;
    let other = |index| options.hot_users + (number + index) % others;
    let members: Vec<usize> =
        (0..options.hot_users).chain((0..wanted.min(others)).map(other)).collect();
    let founder = number % options.hot_users;
    let invited = members.iter().filter(|member| **member != founder);
    let invited: Vec<UserId> = invited.map(|member| shared.crowd.id(*member)).collect();
    let mut link = founder_link(shared, founder, &format!("founder-{number}"));
    let deadline = Instant::now() + PATIENCE;
    let id = loop {
        assert!(Instant::now() < deadline, "group {number} cannot be founded");
        match link.call(|client| client.create_group("hammered", &invited, false)) {
            Called::Done(resp) => break aldis_wire::GroupId(resp.group_id),
            Called::Refused(code) => panic!("group {number} cannot be founded: {code}"),
            Called::Later => {}
        }
    };
    Group { id, founder }
}

fn founder_link(shared: &Shared, founder: usize, name: &str) -> Link {
    let file = shared.history(name);
    let user = shared.crowd.device(founder, FOUNDING);
    let hammer = &shared.options;
    Link::open(LinkOptions { hammer, node: founder, user, name, window: 1 }, &file)
}

/// The member that comes and goes in the group with this number: nobody else's device, the first
/// that are not hot, which are in all groups with such a number.
fn member(shared: &Shared, number: usize) -> usize {
    shared.options.hot_users + number
}

/// One member of the group with this number leaves again and again, until it is over.
pub(super) fn leave(shared: &Shared, number: usize) {
    let options = &shared.options;
    let group = &shared.groups[number];
    let name = format!("churner-{number}");
    let file = shared.history(&name);
    let user = shared.crowd.device(member(shared, number), WRITING);
    let mut link = Link::open(
        LinkOptions { hammer: options, node: number, user, name: &name, window: 8 },
        &file,
    );
    let mut dice = Dice::new(options.seed, 3_000 + number);
    let target = Target::Group(group.id);
    for cycle in 0.. {
        talk(shared, &mut link, target, &format!("inside, cycle {cycle}"), dice.below(4));
        // A refusal: it left before, and the answer was lost.
        link.call(|client| client.leave_group(group.id));
        talk(shared, &mut link, target, &format!("outside, cycle {cycle}"), dice.below(2));
        link.call(|client| client.history_page(target, 0, 0, 0));
        link.call(|client| client.sync_page(0, dice.below(50) as u64, 0));
        if dice.once_in(3) {
            link.go_to_next_node();
        }
        if shared.is_over() {
            return;
        }
    }
}

/// The founder of the group with this number invites that member again and again, until it is over.
pub(super) fn invite(shared: &Shared, number: usize) {
    let group = &shared.groups[number];
    let member_id = shared.crowd.id(member(shared, number));
    let mut founder = founder_link(shared, group.founder, &format!("inviter-{number}"));
    let mut dice = Dice::new(shared.options.seed, 4_000 + number);
    while !shared.is_over() {
        attend(&mut founder, INVITE_PAUSE);
        founder.call(|client| client.invite(group.id, &[member_id]));
        if dice.once_in(3) {
            founder.go_to_next_node();
        }
    }
}

/// Sends some messages and waits for what becomes of them.
pub(super) fn talk(shared: &Shared, link: &mut Link, target: Target, text: &str, count: usize) {
    attend(link, STEP_PAUSE);
    for number in 0..count {
        let message = message(target, format!("{number} {text}"));
        link.client().core_mut().0.send(message).expect("the window has room");
    }
    let deadline = Instant::now() + PATIENCE;
    while link.unanswered() > 0 && !shared.is_abandoned() {
        assert!(Instant::now() < deadline, "no answer: {text}");
        if let Some(Event::SendAcked { .. }) = link.turn(Duration::from_millis(100)) {
            shared.note_ack();
        }
    }
}

/// Lets time pass without leaving what arrives unread: how long an answer took is recorded when it
/// is read, which is also why no thread here looks after two links that wait for long.
pub(super) fn attend(link: &mut Link, pause: Duration) {
    let until = Instant::now() + pause;
    while Instant::now() < until {
        link.turn(until.saturating_duration_since(Instant::now()));
    }
}
