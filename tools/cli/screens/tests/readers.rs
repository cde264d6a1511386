//! Who has read one's messages: of two, and of a group.

use aldis_client::core::Told;

use super::people::lunch;
use super::*;

fn receipt(user_id: u64, read_conv_seq: u64) -> pb::Receipt {
    pb::Receipt { user_id, read_conv_seq, received_conv_seq: read_conv_seq }
}

fn asked_count(stage: &Stage) -> usize {
    let is_it =
        |request: &&Request| matches!(request, Request::Receipts(body) if body.group_id > 0);
    stage.asked.iter().filter(is_it).count()
}

/// The group, in which the newest own message is entry 9.
fn with_readers(receipts: Vec<pb::Receipt>) -> Stage {
    let mut stage = lunch();
    stage.push(entry(group(LUNCH), ME, 9, 0, "see you"));
    stage.receipts = receipts;
    // Members come and go; then it is asked anew.
    stage.type_line("/who");
    stage.press(KeyCode::Esc);
    stage
}

#[test]
fn an_own_message_in_a_group_says_how_many_have_read_it_and_who() {
    let mut stage = with_readers(vec![receipt(BEN, 9), receipt(CAT, 8), receipt(LI, 0)]);
    assert!(stage.shows("✓  you: see you (read by 1 of 3)"));
    stage.press(KeyCode::Up);
    stage.press(KeyCode::Enter);
    assert!(stage.shows("Read by: Ben") && stage.shows("Not yet by: Cat, Bruce"));
    stage.press(KeyCode::Esc);
    stage.receipts = vec![receipt(BEN, 9), receipt(CAT, 9), receipt(LI, 9)];
    stage.wait(NOW_MS + 2 * MINUTE_MS);
    assert!(stage.shows("✓✓ you: see you") && !stage.shows("read by"));
}

#[test]
fn who_answers_has_read() {
    let mut stage = with_readers(vec![receipt(BEN, 0), receipt(CAT, 0), receipt(LI, 0)]);
    assert!(!stage.shows("read by"));
    stage.push(entry(group(LUNCH), CAT, 10, 0, "yes"));
    assert!(stage.shows("you: see you (read by 1 of 3)"));
}

#[test]
fn who_came_in_later_does_not_count() {
    let mut stage = with_readers(vec![receipt(BEN, 9), receipt(CAT, 9), receipt(LI, 0)]);
    assert!(stage.shows("(read by 2 of 3)"));
    stage.members[3].join_time_ms = NOW_MS + 1;
    stage.type_line("/who");
    stage.press(KeyCode::Esc);
    assert!(stage.shows("✓✓ you: see you"));
}

#[test]
fn it_is_asked_no_more_when_all_have_read_or_nobody_looks() {
    let mut stage = with_readers(vec![receipt(BEN, 8), receipt(CAT, 9), receipt(LI, 9)]);
    let before = asked_count(&stage);
    stage.wait(NOW_MS + 2 * MINUTE_MS);
    assert_eq!(asked_count(&stage), before + 1);
    stage.model.handle_focus(NOW_MS + 2 * MINUTE_MS, false);
    stage.wait(NOW_MS + 3 * MINUTE_MS);
    assert_eq!(asked_count(&stage), before + 1);
    stage.receipts[0] = receipt(BEN, 9);
    stage.model.handle_focus(NOW_MS + 3 * MINUTE_MS, true);
    stage.serve();
    assert_eq!(asked_count(&stage), before + 2);
    stage.wait(NOW_MS + 4 * MINUTE_MS);
    assert_eq!(asked_count(&stage), before + 2);
}

#[test]
fn where_one_is_no_longer_a_member_it_is_asked_no_more_often() {
    let mut stage = with_readers(vec![receipt(BEN, 8), receipt(CAT, 9), receipt(LI, 9)]);
    let before = asked_count(&stage);
    stage.is_silent = true;
    stage.wait(NOW_MS + 2 * MINUTE_MS);
    let ticket = stage.unanswered.pop().expect("it is asked");
    let code = Code::NotFound;
    let refused = RequestError::Refused { code, message: String::new(), retry_after_ms: 0 };
    stage.model.handle_outcome(NOW_MS + 2 * MINUTE_MS, ticket, Err(refused));
    stage.serve();
    stage.wait(NOW_MS + 2 * MINUTE_MS + 1_000);
    assert_eq!(asked_count(&stage), before + 1);
}

#[test]
fn of_a_very_large_group_nobody_asks() {
    let mut stage = lunch();
    let before = asked_count(&stage);
    stage.groups[0].member_count = 501;
    stage.press(KeyCode::F(4));
    stage.model.open(user(BEN));
    stage.model.open(group(LUNCH));
    stage.serve();
    assert_eq!(asked_count(&stage), before);
}

#[test]
fn a_message_is_sent_received_and_read() {
    let mut stage = Stage::with_ben();
    stage.model.open(user(BEN));
    stage.serve();
    stage.push(entry(user(BEN), ME, 5, 0, "sure"));
    assert!(stage.shows("✓  you: sure"));
    let mut told = pb::ReceiptNotify { user_id: BEN, delivered_conv_seq: 5, ..Default::default() };
    stage.event(Event::Told(Told::Receipt(told)));
    assert!(stage.shows("✓· you: sure"));
    stage.press(KeyCode::Up);
    stage.press(KeyCode::Enter);
    assert!(stage.shows("On a device of the other's, not read yet"));
    stage.press(KeyCode::Esc);
    told.read_conv_seq = 5;
    stage.event(Event::Told(Told::Receipt(told)));
    assert!(stage.shows("✓✓ you: sure"));
}
