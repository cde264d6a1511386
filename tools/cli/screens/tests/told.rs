//! What is told and not stored, reactions and searches: on the screen, and what is asked.

use aldis_client::core::Told;

use super::*;

fn ben() -> Stage {
    let mut stage = Stage::with_ben();
    stage.model.open(user(BEN));
    stage.serve();
    stage
}

#[test]
fn who_writes_is_shown_until_a_message_comes_or_time_passes() {
    let mut stage = ben();
    let typing = pb::TypingNotify { sender_id: BEN, receiver_id: ME, ..Default::default() };
    stage.event(Event::Told(Told::Typing(typing)));
    assert!(stage.shows("Ben is writing…"));
    stage.push(entry(user(BEN), BEN, 5, 0, "well"));
    assert!(!stage.shows("is writing"));
    stage.event(Event::Told(Told::Typing(typing)));
    let until = stage.model.poll_timeout().expect("somebody writes");
    stage.model.handle_timeout(until);
    stage.serve();
    assert!(!stage.shows("is writing"));
}

#[test]
fn writing_is_told_now_and_then() {
    let mut stage = ben();
    stage.type_text("hello there");
    let told = |stage: &Stage| {
        stage.asked.iter().filter(|request| matches!(request, Request::Typing(_))).count()
    };
    assert_eq!(told(&stage), 1);
    stage.press(KeyCode::Enter);
    stage.type_text("/who");
    assert_eq!(told(&stage), 1, "a command is no message");
}

#[test]
fn own_messages_show_that_they_were_read() {
    let mut stage = ben();
    assert!(stage.shows("✓✓ you: hello Ben"));
    stage.push(entry(user(BEN), ME, 5, 0, "sure"));
    assert!(stage.shows("✓  you: sure"));
    let receipt = pb::ReceiptNotify { user_id: BEN, read_conv_seq: 5, ..Default::default() };
    stage.event(Event::Told(Told::Receipt(receipt)));
    assert!(stage.shows("✓✓ you: sure"));
}

#[test]
fn who_is_there_is_shown() {
    let mut stage = ben();
    assert!(stage.shows("Ben (ben) · online"));
    let last_seen_ms = NOW_MS - 5 * MINUTE_MS;
    let gone = pb::PresenceInfo { user_id: BEN, last_seen_ms, ..Default::default() };
    stage.event(Event::Told(Told::Presence(pb::PresenceNotify { users: vec![gone] })));
    assert!(stage.shows("Ben (ben) · last seen 14:59"));
}

#[test]
fn reactions_stand_below_their_message_and_are_taken_back() {
    let mut stage = ben();
    stage.press(KeyCode::Up);
    stage.press(KeyCode::Char('+'));
    stage.type_line("👍");
    let Some(Request::React(body)) = stage.asked.last() else { panic!("{:?}", stage.asked) };
    assert_eq!((body.conv_seq, &body.reaction[..], body.remove), (4, "👍", false));
    let reacted = pb::MessageEvent {
        kind: pb::MessageEventKind::MessageReacted as i32,
        conv_seq: 4,
        reaction: "👍".to_owned(),
        ..Default::default()
    };
    stage.push(event(user(BEN), ME, 5, 0, pb::MsgType::SystemMessage, &reacted));
    stage.push(event(user(BEN), BEN, 6, 0, pb::MsgType::SystemMessage, &reacted));
    assert!(stage.shows("👍 2"));
    stage.press(KeyCode::Char('+'));
    stage.type_line("👍");
    let Some(Request::React(body)) = stage.asked.last() else { panic!("{:?}", stage.asked) };
    assert!(body.remove);
}

#[test]
fn a_search_goes_on_over_empty_pages_until_it_is_left() {
    let mut stage = ben();
    stage.is_silent = true;
    stage.press(KeyCode::F(5));
    stage.type_line("lunch");
    let answer = |stage: &mut Stage, entries: Vec<pb::MessageData>| {
        let ticket = stage.unanswered.pop().expect("a search");
        let resp = pb::SearchResp { entries, cursor: 7, ..Default::default() };
        stage.model.handle_outcome(NOW_MS, ticket, Ok(Response::Search(resp)));
        stage.serve();
        match stage.asked.last() {
            Some(Request::Search(body)) => body.cursor,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(answer(&mut stage, Vec::new()), 7);
    assert_eq!(answer(&mut stage, vec![entry(user(BEN), BEN, 3, 2, "lunch?")]), 7);
    assert!(stage.shows("Found: lunch (1, searching…)"));
    stage.press(KeyCode::Esc);
    answer(&mut stage, Vec::new());
    assert!(stage.unanswered.is_empty(), "nobody waits for more");
}

#[test]
fn what_is_searched_is_found_and_shown_where_it_was_said() {
    let all = (1..=300).map(|n| entry(user(BEN), BEN, n, 400 - n, &format!("message {n}.")));
    let mut stage = Stage::empty().with_history(user(BEN), all.collect());
    stage.serve();
    stage.press(KeyCode::F(5));
    stage.type_line("message 77.");
    assert!(stage.shows("Found: message 77.") && stage.shows("Ben: message 77."));
    stage.press(KeyCode::Enter);
    assert!(stage.shows("Ben: message 77.") && !stage.shows("Ben: message 300."));
    stage.press(KeyCode::Char('r'));
    assert!(stage.shows("reply to Ben: message 77."));
    stage.ctrl('g');
    assert!(stage.shows("Ben: message 300."));
}
