//! Those who read: under load page by page, from a cursor, through one node after the other; and at
//! the end everything from the beginning, on devices that never read before.

use aldis_client::Target;
use aldis_client::recorder::HistoryFile;
use aldis_wire::DeviceClass;

use super::crowd::{READING, REREADING};
use super::dice::Dice;
use super::link::{Called, Link, LinkOptions};
use super::shared::Shared;

/// Rounds with one user before the next one's turn.
const ROUNDS: usize = 6;
/// Pages of one round: writers may be faster than a reader.
const PAGES_MAX: usize = 20;
/// Sizes of pages that are asked for; 0: the server's.
const LIMITS: [u32; 4] = [0, 3, 40, 200];
/// Positions that a reader goes back now and then, to see the same again.
const STEP_BACK: u64 = 50;
/// Users whose conversations are read at the end.
const HISTORIES_OF: usize = 4;
/// Conversations of each of them.
const HISTORIES: usize = 3;

/// Reads the mailboxes of the hot users in turn until it is over.
pub(super) fn read(shared: &Shared, number: usize) {
    let options = &shared.options;
    let file = shared.history(&format!("reader-{number}"));
    let mut dice = Dice::new(options.seed, 1_000 + number);
    let mut cursors = vec![0; options.hot_users];
    for visit in 0.. {
        let user = (number + visit * options.readers) % options.hot_users;
        if shared.is_over() {
            return;
        }
        let name = format!("reader-{number}-{visit}");
        let mut link = open(shared, &file, (user, READING), number + visit, &name);
        for _ in 0..ROUNDS {
            cursors[user] = read_some(shared, &mut link, cursors[user], &mut dice);
            if dice.once_in(4) {
                let conversation = conversation(shared, user, &mut dice);
                let (before, limit) = (dice.below(60) as u64, LIMITS[dice.below(LIMITS.len())]);
                // A conversation without messages is unknown, and an outage is no news.
                link.call(|client| client.history_page(conversation, before, 0, limit));
            }
            if dice.once_in(5) {
                cursors[user] = cursors[user].saturating_sub(STEP_BACK);
            }
            if shared.is_over() {
                return;
            }
            link.go_to_next_node();
        }
    }
}

fn open(
    shared: &Shared,
    file: &HistoryFile,
    (user, class): (usize, DeviceClass),
    node: usize,
    name: &str,
) -> Link {
    let hammer = &shared.options;
    let user = shared.crowd.device(user, class);
    Link::open(LinkOptions { hammer, node, user, name, window: 1 }, file)
}

/// Reads on from a cursor, up to the end if the writers let it; where it came to.
fn read_some(shared: &Shared, link: &mut Link, mut cursor: u64, dice: &mut Dice) -> u64 {
    for _ in 0..PAGES_MAX {
        let limit = LIMITS[dice.below(LIMITS.len())];
        match link.call(|client| client.sync_page(0, cursor, limit)) {
            Called::Done(page) => {
                cursor = page.entries.last().map_or(cursor, |entry| entry.seq);
                if !page.more {
                    break;
                }
            }
            Called::Later => {}
            Called::Refused(code) => panic!("sync after {cursor}: {code}"),
        }
        if shared.is_over() {
            break;
        }
    }
    cursor
}

fn conversation(shared: &Shared, user: usize, dice: &mut Dice) -> Target {
    match shared.groups.get(dice.below(shared.groups.len() + 3)) {
        Some(group) => Target::Group(group.id),
        None => {
            let other = 1 + dice.below(shared.options.hot_users - 1);
            Target::User(shared.crowd.id((user + other) % shared.options.hot_users))
        }
    }
}

/// One user's last word: everything from the beginning through each of these nodes, then
/// conversations.
pub(super) fn reread(shared: &Shared, file: &HistoryFile, user: usize, round: usize) {
    let options = &shared.options;
    let name = format!("final-{round}-{user}");
    let mut link = open(shared, file, (user, REREADING), user, &name);
    // The others have no more than messages of groups, which are the same for all.
    let nodes = if user < options.hot_users { options.addresses.len() } else { 1 };
    for node in 0..nodes {
        if node > 0 {
            link.go_to_next_node();
        }
        link.client().recorder_mut().expect("it records").set_final_sync(true);
        read_all(&mut link);
        link.client().recorder_mut().expect("it records").set_final_sync(false);
    }
    if user < HISTORIES_OF {
        let mut dice = Dice::new(options.seed, 2_000 + user);
        for _ in 0..HISTORIES {
            read_history(&mut link, conversation(shared, user, &mut dice));
        }
    }
}

fn read_all(link: &mut Link) {
    let mut after = 0;
    loop {
        match link.call(|client| client.sync_page(0, after, 0)) {
            Called::Done(page) => {
                // What a page lacks is for the checker to say, but an endless one ends here.
                let is_last = !page.more || page.entries.is_empty();
                after = page.entries.last().map_or(after, |entry| entry.seq);
                if is_last {
                    return;
                }
            }
            Called::Later => {}
            Called::Refused(code) => panic!("sync after {after}: {code}"),
        }
    }
}

fn read_history(link: &mut Link, conversation: Target) {
    let (mut after, mut end) = (0, 1);
    while after < end {
        match link.call(|client| client.history_page(conversation, 0, after, 0)) {
            Called::Done(page) => {
                end = page.max_conv_seq;
                after = page.entries.last().map_or(end, |entry| entry.conv_seq);
            }
            Called::Later => {}
            // Nobody said anything there.
            Called::Refused(_) => return,
        }
    }
}
