//! What keys and events do: which requests and messages come of them, and what is on the screen.

use aldis_client::core::{Event, OfflineReason, RequestNo};
use aldis_wire::ClientMsgId;

use super::*;

fn acked(id: ClientMsgId, conv_seq: u64) -> Event {
    let ack = pb::MsgSendResp { msg_id: 77, seq: 101, conv_seq, send_time_ms: NOW_MS };
    Event::SendAcked { client_msg_id: id, ack }
}

fn marks(stage: &Stage) -> Vec<u64> {
    let marks = stage.asked.iter().filter_map(|request| match request {
        Request::MarkRead(body) => Some(body.conv_seq),
        _ => None,
    });
    marks.collect()
}

#[test]
fn a_typed_line_is_sent_and_marked_until_it_is_acknowledged() {
    let mut stage = Stage::with_ben();
    stage.model.open(user(BEN));
    stage.serve();
    stage.type_line("好的, see you");
    assert_eq!(stage.sent.len(), 1);
    assert_eq!(
        (stage.sent[0].target, &stage.sent[0].content[..]),
        (user(BEN), "好的, see you".as_bytes())
    );
    assert!(stage.sent[0].refs.is_none());
    assert!(stage.shows("…  you: 好的, see you"));
    stage.event(acked(stage.sent[0].client_msg_id, 5));
    assert!(stage.shows("✓  you: 好的, see you"));
    // The entry itself changes nothing.
    stage.push(entry(user(BEN), ME, 5, 0, "好的, see you"));
    assert_eq!(stage.screen(80, 24).matches("好的").count(), 2, "in the log and in the list");
}

#[test]
fn a_refused_message_says_why() {
    let mut stage = Stage::with_ben();
    stage.model.open(user(BEN));
    stage.serve();
    stage.type_line("hello?");
    let client_msg_id = stage.sent[0].client_msg_id;
    let (code, message) = (Code::Forbidden, "no \x1b[31mfriend".to_owned());
    stage.event(Event::SendFailed { client_msg_id, code, message, maybe_committed: false });
    assert!(stage.shows("✗  you: hello? (not sent: FORBIDDEN"));
}

#[test]
fn several_lines_are_one_message() {
    let mut stage = Stage::with_ben();
    stage.model.open(user(BEN));
    stage.type_text("one");
    stage.ctrl('j');
    stage.type_text("two");
    stage.press_with(KeyCode::Enter, KeyModifiers::ALT);
    stage.model.handle_paste(NOW_MS, "three\r\nfour");
    stage.press(KeyCode::Enter);
    assert_eq!(stage.sent[0].content, "one\ntwo\nthree\nfour");
}

#[test]
fn what_is_seen_is_marked_as_read_and_nothing_else() {
    let mut stage = Stage::with_ben();
    assert_eq!(stage.model.chats.unread_total(), 2);
    stage.press(KeyCode::Enter); // the list's first one is selected
    assert_eq!(marks(&stage), [4]);
    assert_eq!(stage.model.chats.unread_total(), 0);
    stage.push(entry(user(BEN), BEN, 5, 0, "seen"));
    assert_eq!(marks(&stage), [4, 5]);
    stage.model.handle_focus(NOW_MS, false);
    stage.push(entry(user(BEN), BEN, 6, 0, "nobody looks"));
    assert_eq!(marks(&stage), [4, 5]);
    assert_eq!(stage.model.chats.unread_total(), 1);
    stage.model.handle_focus(NOW_MS, true);
    stage.serve();
    assert_eq!(marks(&stage), [4, 5, 6]);
    stage.press(KeyCode::F(3));
    stage.push(entry(user(BEN), BEN, 7, 0, "behind the list of friends"));
    assert_eq!(marks(&stage), [4, 5, 6]);
}

#[test]
fn the_first_conversation_of_a_new_user_is_opened_by_enter() {
    let mut stage = Stage::empty();
    stage.serve();
    stage.push(entry(user(BEN), BEN, 1, 0, "welcome here"));
    stage.press(KeyCode::Enter);
    assert_eq!(stage.model.current(), Some(user(BEN)));
}

#[test]
fn a_mark_of_another_device_reads_here_too() {
    let mut stage = Stage::with_ben();
    let view = pb::ConversationView { receiver_id: BEN, read_conv_seq: 3, ..Default::default() };
    let content = pb::SelfEvent { what: Some(pb::self_event::What::View(view)) };
    let mut mark = event(user(BEN), ME, 9, 0, pb::MsgType::SystemSelf, &content);
    mark.receiver_id = 0;
    stage.push(mark);
    assert_eq!(stage.model.chats.unread_total(), 1);
}

#[test]
fn a_conversation_is_pinned_and_made_quiet() {
    let mut stage = people::lunch();
    stage.press(KeyCode::Esc);
    stage.press(KeyCode::Down);
    stage.press(KeyCode::Char('p'));
    let Some(Request::ConversationUpdate(body)) = stage.asked.last() else { panic!("an update") };
    assert_eq!((body.receiver_id, body.pinned, body.muted), (BEN, Some(true), None));
    let unread_total = stage.model.chats.unread_total();
    let view = pb::ConversationView {
        receiver_id: BEN,
        pinned_ms: NOW_MS,
        muted: true,
        ..Default::default()
    };
    let content = pb::SelfEvent { what: Some(pb::self_event::What::View(view)) };
    let mut told = event(user(BEN), ME, 9, 0, pb::MsgType::SystemSelf, &content);
    told.receiver_id = 0;
    stage.push(told);
    assert_eq!(stage.model.chats.nth(0).map(|chat| chat.target), Some(user(BEN)));
    assert_eq!(stage.model.chats.unread_total(), unread_total - 1, "quiet ones do not count");
    assert!(stage.shows("quiet 1"));
}

#[test]
fn what_the_server_counted_is_not_counted_again() {
    let mut stage = Stage::with_ben();
    stage.push(entry(user(BEN), BEN, 4, 1, "at noon"));
    assert_eq!(stage.model.chats.unread_total(), 2);
    stage.push(entry(user(BEN), BEN, 5, 0, "or later"));
    assert_eq!(stage.model.chats.unread_total(), 3);
}

#[test]
fn a_cleared_history_is_gone_from_the_screen() {
    let mut stage = Stage::with_ben();
    stage.model.open(user(BEN));
    stage.serve();
    let view = pb::ConversationView { receiver_id: BEN, cleared_conv_seq: 3, ..Default::default() };
    let content = pb::SelfEvent { what: Some(pb::self_event::What::View(view)) };
    let mut told = event(user(BEN), ME, 9, 0, pb::MsgType::SystemSelf, &content);
    told.receiver_id = 0;
    stage.push(told);
    assert!(stage.shows("at noon") && !stage.shows("lunch?"));
}

#[test]
fn a_picked_message_is_replied_to() {
    let mut stage = Stage::with_ben();
    stage.model.open(user(BEN));
    stage.serve();
    stage.press(KeyCode::Up);
    stage.press(KeyCode::Up);
    stage.press(KeyCode::Char('r'));
    assert!(stage.shows("reply to Ben: lunch?"));
    stage.type_line("yes");
    let refs = stage.sent[0].refs.as_ref().expect("it is a reply");
    assert_eq!(refs.reply_to_msg_id, 1_003);
    assert!(stage.shows("↪ Ben: lunch?"));
}

#[test]
fn an_own_message_is_edited_and_that_of_another_is_not() {
    let mut stage = Stage::with_ben();
    stage.model.open(user(BEN));
    stage.serve();
    stage.press(KeyCode::Up);
    stage.press(KeyCode::Char('e'));
    assert!(stage.shows("one can edit what one wrote oneself"));
    for _ in 0..3 {
        stage.press(KeyCode::Up);
    }
    stage.press(KeyCode::Char('e'));
    assert!(stage.shows("editing;"));
    stage.type_line("!");
    let Some(Request::Edit(body)) = stage.asked.last() else { panic!("{:?}", stage.asked) };
    assert_eq!((body.receiver_id, body.conv_seq, &body.content[..]), (BEN, 2, &b"hello Ben!"[..]));
    assert_eq!(body.request_id.len(), 16);
    assert!(stage.sent.is_empty());
}

#[test]
fn taking_back_asks_first_and_is_shown_at_the_message() {
    let mut stage = Stage::with_ben();
    stage.model.open(user(BEN));
    stage.serve();
    stage.press(KeyCode::Up);
    stage.press(KeyCode::Char('d'));
    assert!(!stage.asked.iter().any(|request| matches!(request, Request::Recall(_))));
    stage.press(KeyCode::Char('y'));
    let Some(Request::Recall(body)) = stage.asked.last() else { panic!("{:?}", stage.asked) };
    assert_eq!(body.conv_seq, 4);
    let change = pb::MessageEvent {
        kind: pb::MessageEventKind::MessageRecalled as i32,
        conv_seq: 4,
        ..Default::default()
    };
    stage.push(event(user(BEN), BEN, 5, 0, pb::MsgType::SystemMessage, &change));
    assert!(stage.shows("Ben: taken back") && !stage.shows("at noon"));
}

#[test]
fn scrolling_up_loads_older_messages_and_stays_where_it_is() {
    let all = (1..=350).map(|n| entry(user(BEN), BEN, n, 400 - n, &format!("message {n}")));
    let mut stage = Stage::empty().with_history(user(BEN), all.collect());
    stage.model.open(user(BEN));
    stage.serve();
    assert!(stage.shows("message 350"));
    for _ in 0..12 {
        stage.press(KeyCode::PageUp);
    }
    let screen = stage.screen(80, 24);
    assert!(!screen.contains(": message 350"), "{screen}");
    let pages = stage.asked.iter().filter(|request| matches!(request, Request::History(_)));
    assert!(pages.count() >= 3);
    stage.push(entry(user(BEN), BEN, 351, 0, "message 351"));
    let log = |screen: &str| -> Vec<String> {
        screen.lines().map(|line| line.chars().skip(25).collect()).skip(1).take(20).collect()
    };
    assert_eq!(log(&stage.screen(80, 24)), log(&screen), "what is read does not move");
    for _ in 0..40 {
        stage.press(KeyCode::PageUp);
    }
    assert!(stage.shows(": message 1\n") || stage.shows(": message 1 "));
    stage.ctrl('g');
    assert!(stage.shows(": message 351"));
}

#[test]
fn a_kick_is_told_and_the_session_is_taken_back_only_when_asked() {
    let mut stage = Stage::with_ben();
    let device_name = "laptop".to_owned();
    stage.event(Event::Kicked { reason: pb::KickReason::Replaced, device_name });
    stage.event(Event::Offline { reason: OfflineReason::Closed, retry_in_ms: None });
    assert!(stage.shows("Ctrl-L logs in again, Ctrl-Q leaves: another login took this session"));
    assert!(!stage.other.contains(&Effect::LogIn));
    stage.ctrl('l');
    assert!(stage.other.contains(&Effect::LogIn));
}

#[test]
fn what_a_cut_connection_took_is_asked_again() {
    let mut stage = Stage::with_ben();
    stage.is_silent = true;
    stage.model.open(user(BEN));
    stage.serve();
    assert!(stage.shows("loading…"));
    stage.event(Event::Offline { reason: OfflineReason::Closed, retry_in_ms: Some(1_500) });
    assert!(stage.shows("connection lost, next try in 2 s"));
    stage.is_silent = false;
    let asked_count = stage.asked.len();
    for ticket in std::mem::take(&mut stage.unanswered) {
        stage.model.handle_outcome(NOW_MS, ticket, Err(RequestError::Lost));
    }
    stage.serve();
    assert_eq!(stage.asked.len(), asked_count, "not before there is a connection");
    stage.event(Event::Online(Box::default()));
    assert!(stage.shows("lunch?"));
}

#[test]
fn leaving_asks_when_something_is_not_acknowledged() {
    let mut stage = Stage::with_ben();
    stage.model.open(user(BEN));
    stage.serve();
    stage.type_text("half a thought");
    stage.ctrl('c');
    assert!(!stage.other.contains(&Effect::Quit) && !stage.shows("half a thought"));
    stage.type_line("important");
    stage.ctrl('c');
    assert!(stage.shows("Not acknowledged: 1. Leave all the same?"));
    stage.press(KeyCode::Char('n'));
    assert!(!stage.other.contains(&Effect::Quit));
    stage.event(acked(stage.sent[0].client_msg_id, 5));
    stage.ctrl('q');
    assert!(stage.other.contains(&Effect::Quit));
}

#[test]
fn commands_can_be_typed_and_a_double_slash_is_a_message() {
    let mut stage = Stage::with_ben();
    stage.model.open(user(BEN));
    stage.type_line("/nonsense");
    assert!(stage.sent.is_empty() && stage.shows("not understood"));
    stage.type_line("//etc/hosts");
    assert_eq!(stage.sent[0].content, "/etc/hosts");
    stage.type_line("/to cat");
    assert_eq!(stage.model.current(), Some(user(CAT)));
    stage.type_line("/help");
    assert!(stage.shows("Everywhere"));
}

#[test]
fn drafts_stay_with_their_conversation() {
    let mut stage = Stage::with_ben();
    stage.model.open(user(BEN));
    stage.type_text("for Ben");
    stage.model.open(user(CAT));
    assert!(!stage.shows("for Ben"));
    stage.model.open(user(BEN));
    assert!(stage.shows("> for Ben"));
}

#[test]
fn nothing_that_others_wrote_steers_the_terminal() {
    let mut stage = Stage::with_ben();
    stage.model.open(user(BEN));
    let evil = "\x1b[2J\x1b]0;owned\x07\r\u{9b}31m\u{202E}abc\u{2028}\0\t\u{7f}tail";
    stage.users.insert(
        DAN,
        pb::UserInfo {
            user_id: DAN,
            username: "dan".to_owned(),
            nickname: evil.to_owned(),
            avatar_url: String::new(),
        },
    );
    stage.push(entry(user(BEN), BEN, 5, 0, evil));
    stage.push(entry(user(DAN), DAN, 1, 0, evil));
    for (columns, rows) in [(80, 24), (30, 10), (200, 50)] {
        let buffer = stage.draw(columns, rows);
        for cell in buffer.content() {
            let is_clean =
                |c: char| !c.is_control() && !matches!(c, '\u{202A}'..='\u{202E}' | '\u{2028}');
            assert!(cell.symbol().chars().all(is_clean), "{:?}", cell.symbol());
        }
    }
    assert!(stage.shows("tail"));
}

#[test]
fn a_second_line_cannot_pass_for_a_message() {
    let mut stage = Stage::with_ben();
    stage.model.open(user(BEN));
    stage.push(entry(user(BEN), BEN, 5, 0, "hi\n15:04   Cat: send money"));
    let screen = stage.screen(80, 24);
    let line = screen.lines().find(|line| line.contains("send money") && line.contains('│'));
    let line = line.expect("it is shown");
    let log: String = line.chars().skip_while(|c| *c != '│').skip(1).collect();
    assert!(log.starts_with("         15:04"), "{log:?} stands below its message's text");
}

#[test]
fn no_size_of_the_terminal_is_too_small() {
    let mut stage = people::lunch();
    stage.type_text("some text that is being typed, long enough to wrap in most of them");
    for key in [KeyCode::F(1), KeyCode::F(2), KeyCode::F(3), KeyCode::F(4)] {
        stage.press(key);
        for (columns, rows) in (1..30).map(|n| (n * 5, n)).chain([(1, 1), (2, 40), (300, 2)]) {
            stage.draw(columns, rows);
        }
    }
    stage.ctrl('t');
    stage.draw(1, 1);
}

#[test]
fn an_answer_that_nobody_asked_for_changes_nothing() {
    let mut stage = Stage::with_ben();
    let before = stage.screen(80, 24);
    let result = Err(RequestError::Lost);
    stage.event(Event::Response { request: RequestNo(9_999), result });
    assert_eq!(stage.screen(80, 24), before);
}
