//! Scrolling through a long conversation: what was found in it, what follows there, and its end.

use super::*;

const MESSAGES: u64 = 400;

/// A search took the user to a message far back.
fn gone_to(conv_seq: u64, to: Target) -> Stage {
    let all = (1..=MESSAGES).map(|n| entry(to, BEN, n, 1_000 - n, &format!("message {n}.")));
    let mut stage = Stage::empty().with_history(to, all.collect());
    stage.serve();
    stage.press(KeyCode::F(5));
    stage.type_line(&format!("message {conv_seq}."));
    stage.press(KeyCode::Enter);
    assert!(stage.shows(&format!("Ben: message {conv_seq}.")));
    stage
}

/// Numbers of the messages that a screen shows, from the top.
fn shown(stage: &mut Stage) -> Vec<u64> {
    let screen = stage.screen(120, 24);
    let numbers = screen.lines().filter_map(|line| {
        // The list stands left of it.
        let (_, rest) = line.split_once("│")?;
        let (_, rest) = rest.split_once("Ben: message ")?;
        rest.split('.').next()?.parse().ok()
    });
    numbers.collect()
}

/// Presses a key until the screen stays the same; all that was seen, in the order seen.
fn walk(stage: &mut Stage, key: KeyCode) -> Vec<u64> {
    let mut seen = Vec::new();
    loop {
        let before = shown(stage);
        let new: Vec<u64> =
            before.iter().copied().filter(|number| !seen.contains(number)).collect();
        seen.extend(new);
        stage.press(key);
        if shown(stage) == before {
            return seen;
        }
    }
}

impl Stage {
    /// Scrolls until the next page is asked for, which gets no answer.
    fn scroll_down_to_a_page(&mut self) -> (Ticket, pb::HistoryReq) {
        for _ in 0..20 {
            self.press(KeyCode::PageDown);
            if let (Some(ticket), Some(Request::History(asked))) =
                (self.unanswered.last(), self.asked.last())
            {
                assert!(asked.after_conv_seq > 0);
                return (*ticket, *asked);
            }
        }
        panic!("no page is asked for: {:?}", self.asked.last())
    }
}

#[test]
fn what_follows_a_found_message_comes_page_by_page_without_a_hole() {
    for to in [user(BEN), group(LUNCH)] {
        let mut stage = gone_to(77, to);
        let first = shown(&mut stage)[0];
        let mut seen = walk(&mut stage, KeyCode::PageDown);
        seen.sort_unstable();
        assert_eq!(seen, (first..=MESSAGES).collect::<Vec<_>>());
        // At the end, what comes is shown.
        stage.push(entry(to, BEN, MESSAGES + 1, 0, "message 401."));
        assert_eq!(shown(&mut stage).last(), Some(&401));
    }
}

#[test]
fn scrolling_back_from_a_found_message_reaches_the_beginning() {
    let mut stage = gone_to(300, user(BEN));
    let last = *shown(&mut stage).last().expect("messages");
    let mut seen = walk(&mut stage, KeyCode::PageUp);
    seen.sort_unstable();
    assert_eq!(seen, (1..=last).collect::<Vec<_>>());
}

#[test]
fn the_picked_message_moves_on_over_the_edge_of_a_page() {
    let mut stage = gone_to(77, user(BEN));
    for _ in 0..200 {
        stage.press(KeyCode::Down);
    }
    assert_eq!(stage.model.log.as_ref().and_then(|log| log.picked), Some(277));
    assert!(stage.shows("Ben: message 277."));
}

#[test]
fn what_comes_while_the_last_page_is_on_its_way_is_not_left_out() {
    let mut stage = gone_to(MESSAGES - 150, user(BEN));
    stage.is_silent = true;
    let (ticket, asked) = stage.scroll_down_to_a_page();
    let page = stage.history(&asked);
    let new = entry(user(BEN), BEN, MESSAGES + 1, 0, "message 401.");
    stage.histories.get_mut(&user(BEN)).expect("a history").push(new.clone());
    stage.push(new);
    stage.is_silent = false;
    stage.model.handle_outcome(NOW_MS, ticket, Ok(Response::History(page)));
    stage.serve();
    let mut seen = walk(&mut stage, KeyCode::PageDown);
    seen.sort_unstable();
    assert_eq!(seen.last(), Some(&401));
    assert!(seen.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seen:?}");
}

#[test]
fn a_page_that_comes_too_late_leaves_no_hole() {
    let mut stage = gone_to(77, user(BEN));
    stage.is_silent = true;
    let (ticket, asked) = stage.scroll_down_to_a_page();
    let page = stage.history(&asked);
    // The user goes to the end before it comes.
    stage.is_silent = false;
    stage.ctrl('g');
    assert_eq!(shown(&mut stage).last(), Some(&MESSAGES));
    stage.model.handle_outcome(NOW_MS, ticket, Ok(Response::History(page)));
    stage.serve();
    let mut seen = walk(&mut stage, KeyCode::PageUp);
    seen.sort_unstable();
    assert_eq!(seen, (1..=MESSAGES).collect::<Vec<_>>());
}

#[test]
fn the_list_goes_on_where_somebody_scrolls() {
    let mut stage = Stage::empty();
    for id in 0..1_000 {
        let to = user(30_000 + id);
        stage = stage.with_history(to, vec![entry(to, 30_000 + id, 1, id, "hello")]);
    }
    stage.serve();
    let count = |stage: &Stage| stage.model.chats.iter().count();
    assert_eq!(count(&stage), 300, "not all at once");
    stage.screen(80, 24);
    for _ in 0..100 {
        stage.press(KeyCode::PageDown);
    }
    assert_eq!(count(&stage), 1_000);
    assert_eq!(stage.model.chats.selected, Some(user(30_999)));
    stage.press(KeyCode::Home);
    assert_eq!(stage.model.chats.selected, Some(user(30_000)));
}
