//! Two who are at odds: one takes back and changes what was said, blocks the other, puts the other
//! out of their group, lets the other in again and ends the group; the other writes and reads all the
//! while, and is refused now and then. What that promises is for the checker to say.

use std::time::Duration;

use aldis_client::{Event, Target};
use aldis_wire::{GroupId, UserId, pb};

use super::churn::{attend, talk};
use super::crowd::{FOUNDING, READING, WRITING};
use super::dice::Dice;
use super::link::{Called, Link, LinkOptions};
use super::shared::Shared;
use super::writer::message;

/// Between two steps of who rules.
const STEP_PAUSE: Duration = Duration::from_millis(60);
/// Between two messages of who suffers.
const TALK_PAUSE: Duration = Duration::from_millis(25);
/// A message is changed at most so often before it is taken back.
const EDITS_MAX: usize = 3;
/// One turn in so many ends with a cut.
const CUT_ONE_IN: usize = 12;
/// Times that the other is put out before the group is ended.
const REMOVALS: usize = 2;
/// Waits for the answer to one message.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The two of a feud, as indices of the crowd: who rules, and who suffers.
fn pair(shared: &Shared, number: usize) -> (usize, usize) {
    let first = shared.options.hot_users + shared.options.churners + 2 * number;
    (first, first + 1)
}

/// The one who rules, until it is over.
pub(super) fn rule(shared: &Shared, number: usize) {
    let (user, other) = pair(shared, number);
    let name = format!("ruler-{number}");
    let file = shared.history(&name);
    let options = &shared.options;
    let ruler = shared.crowd.device(user, FOUNDING);
    let link = Link::open(
        LinkOptions { hammer: options, node: number, user: ruler, name: &name, window: 8 },
        &file,
    );
    let other = shared.crowd.id(other);
    let dice = Dice::new(options.seed, 5_000 + number);
    let mut ruler = Ruler { shared, link, other, dice };
    while !shared.is_over() {
        let Some(group) = ruler.found() else { continue };
        shared.set_feud_group(number, group);
        ruler.reign(group);
    }
}

struct Ruler<'a> {
    shared: &'a Shared,
    link: Link,
    other: UserId,
    dice: Dice,
}

impl Ruler<'_> {
    fn found(&mut self) -> Option<GroupId> {
        let members = [self.other];
        match self.link.call(|client| client.create_group("at odds", &members, false)) {
            Called::Done(resp) => Some(GroupId(resp.group_id)),
            Called::Refused(code) => panic!("no group is founded: {code}"),
            Called::Later => None,
        }
    }

    /// The life of one group.
    fn reign(&mut self, group: GroupId) {
        let (conversation, other) = (Target::User(self.other), self.other.0);
        let group_id = group.0;
        for _ in 0..REMOVALS {
            self.change_mind(conversation);
            self.link.call(|client| client.ask(pb::BlockReq { user_id: other }));
            self.pause();
            self.link.call(|client| client.ask(pb::UnblockReq { user_id: other }));
            self.change_mind(Target::Group(group));
            let user_ids = vec![other];
            self.link.call(|client| client.ask(pb::GroupRemoveReq { group_id, user_ids }));
            talk(self.shared, &mut self.link, Target::Group(group), "alone", 2);
            self.pause();
            self.link.call(|client| client.invite(group, &[UserId(other)]));
            self.pause();
            if self.shared.is_over() {
                return;
            }
        }
        // Unanswered, it is tried again: the next group comes after the end of this one.
        while !self.shared.is_over() {
            let request = pb::GroupDissolveReq { group_id };
            if !matches!(self.link.call(|client| client.ask(request)), Called::Later) {
                break;
            }
        }
        talk(self.shared, &mut self.link, Target::Group(group), "to nobody", 1);
    }

    fn pause(&mut self) {
        attend(&mut self.link, STEP_PAUSE);
        if self.dice.once_in(CUT_ONE_IN) {
            self.link.go_to_next_node();
        }
    }

    /// Says something, says it otherwise, and takes it back now and then; what the other said, too.
    fn change_mind(&mut self, conversation: Target) {
        let said = message(conversation, "the first word".to_owned());
        let id = said.client_msg_id;
        self.link.client().core_mut().0.send(said).expect("the window has room");
        let mut place = None;
        while self.link.unanswered() > 0 && !self.shared.is_abandoned() {
            if let Some(Event::SendAcked { client_msg_id, ack }) = self.link.turn(ANSWER_MAX)
                && client_msg_id == id
            {
                place = Some(ack.conv_seq);
            }
        }
        let Some(conv_seq) = place else { return };
        for number in 0..self.dice.below(EDITS_MAX + 1) {
            let text = format!("another word, {number} of {conv_seq}");
            self.link.call(|client| client.edit(conversation, conv_seq, &text));
            self.read(conversation);
        }
        if self.dice.once_in(2) {
            self.link.call(|client| client.recall(conversation, conv_seq));
            self.read(conversation);
        }
        if matches!(conversation, Target::Group(_)) && self.dice.once_in(2) {
            // Who rules a group takes back what others said: whatever stands before.
            let conv_seq = conv_seq.saturating_sub(1).max(1);
            self.link.call(|client| client.recall(conversation, conv_seq));
        }
    }

    fn read(&mut self, conversation: Target) {
        self.link.call(|client| client.history_page(conversation, 0, 0, 0));
    }
}

/// The one who suffers, until it is over.
pub(super) fn suffer(shared: &Shared, number: usize) {
    let (ruler, user) = pair(shared, number);
    let name = format!("sufferer-{number}");
    let file = shared.history(&name);
    let options = &shared.options;
    let open = |class, which: usize, name: &str| {
        let user = shared.crowd.device(user, class);
        let node = number + which;
        Link::open(LinkOptions { hammer: options, node, user, name, window: 8 }, &file)
    };
    let mut link = open(WRITING, 1, &name);
    let mut dice = Dice::new(options.seed, 6_000 + number);
    let direct = Target::User(shared.crowd.id(ruler));
    let mut after = 0;
    while !shared.is_over() {
        let group = shared.feud_group(number).map(Target::Group);
        for target in [Some(direct), group].into_iter().flatten() {
            talk_back(shared, &mut link, target);
            let before = dice.below(30) as u64;
            link.call(|client| client.history_page(target, before, 0, 0));
            link.call(|client| client.history_page(target, 0, 0, 0));
        }
        if let Called::Done(page) = link.call(|client| client.sync_page(0, after, 40)) {
            after = page.entries.last().map_or(after, |entry| entry.seq);
        }
        if dice.once_in(5) {
            // What was said may have been taken back or changed since.
            after = after.saturating_sub(30);
        }
        if dice.once_in(CUT_ONE_IN) {
            link.go_to_next_node();
        }
    }
    drop(link);
    // Another device, which knows nothing, at a moment when others still write.
    let mut fresh = open(READING, 0, &format!("{name}-fresh"));
    fresh.call(|client| client.sync_page(0, 0, 0));
}

/// Writes once; whatever becomes of it is in the history.
fn talk_back(shared: &Shared, link: &mut Link, target: Target) {
    attend(link, TALK_PAUSE);
    let said = message(target, "all the same".to_owned());
    link.client().core_mut().0.send(said).expect("the window has room");
    while link.unanswered() > 0 && !shared.is_abandoned() {
        if let Some(Event::SendAcked { .. }) = link.turn(ANSWER_MAX) {
            shared.note_ack();
        }
    }
}
