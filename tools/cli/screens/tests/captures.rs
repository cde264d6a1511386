//! What the main views look like, as text in `screens/captures`. After a change that was meant,
//! `ALDIS_RENEW_CAPTURES=1 cargo test -p aldis captures` writes them anew; look at the difference.

use std::path::Path;

use aldis_client::core::OfflineReason;

use super::account::with_devices;
use super::people::lunch;
use super::*;

const SIZES: [(u16, u16); 2] = [(80, 24), (200, 50)];

/// Compares the screen with its capture.
fn check(stage: &mut Stage, name: &str, (columns, rows): (u16, u16)) {
    let shown = stage.screen(columns, rows);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("screens/captures");
    let path = folder.join(format!("{name}-{columns}x{rows}.txt"));
    if std::env::var_os("ALDIS_RENEW_CAPTURES").is_some() {
        std::fs::create_dir_all(&folder).expect("the tree is writable");
        std::fs::write(&path, &shown).expect("the tree is writable");
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(shown == kept, "{} differs:\n{shown}", path.display());
}

#[test]
fn a_conversation() {
    for size in SIZES {
        let mut stage = lunch();
        stage.type_line("see you there");
        stage.type_text("and bring 雨伞, it may ra");
        check(&mut stage, "conversation", size);
    }
}

#[test]
fn a_reply_to_a_picked_message() {
    let mut stage = lunch();
    stage.press(KeyCode::Up);
    stage.press(KeyCode::Up);
    check(&mut stage, "picked", SIZES[0]);
    stage.press(KeyCode::Char('r'));
    stage.type_text("好");
    check(&mut stage, "reply", SIZES[0]);
}

#[test]
fn the_first_screen_of_a_new_user() {
    let mut stage = Stage::empty();
    stage.serve();
    check(&mut stage, "welcome", SIZES[0]);
}

#[test]
fn a_narrow_terminal_shows_one_thing_at_a_time() {
    let mut stage = lunch();
    check(&mut stage, "narrow-conversation", (40, 16));
    stage.press(KeyCode::Esc);
    check(&mut stage, "narrow-list", (40, 16));
    let mut stage = with_devices();
    for (key, name) in [(3, "friends"), (4, "groups"), (6, "profile")] {
        stage.press(KeyCode::F(key));
        check(&mut stage, &format!("narrow-{name}"), (40, 12));
    }
    stage.press(KeyCode::Tab);
    check(&mut stage, "narrow-devices", (40, 12));
    stage.press(KeyCode::F(5));
    stage.type_line("the");
    check(&mut stage, "narrow-found", (40, 12));
}

#[test]
fn friends_groups_and_members() {
    for size in SIZES {
        let mut stage = lunch();
        stage.press(KeyCode::F(3));
        check(&mut stage, "friends", size);
        stage.press(KeyCode::Tab);
        check(&mut stage, "requests", size);
        stage.press(KeyCode::F(4));
        check(&mut stage, "groups", size);
        stage.press(KeyCode::Char('i'));
        check(&mut stage, "members", size);
    }
}

#[test]
fn oneself_and_devices() {
    for size in SIZES {
        let mut stage = with_devices();
        stage.press(KeyCode::F(6));
        check(&mut stage, "profile", size);
        stage.press(KeyCode::Tab);
        stage.press(KeyCode::Down);
        check(&mut stage, "devices", size);
    }
    let mut stage = with_devices();
    stage.press(KeyCode::F(6));
    for _ in 0..3 {
        stage.press(KeyCode::Down);
    }
    stage.press(KeyCode::Enter);
    stage.type_text("correct horse");
    check(&mut stage, "password", SIZES[0]);
}

#[test]
fn a_group_of_which_some_have_read() {
    for size in SIZES {
        let mut stage = lunch();
        stage.push(entry(group(LUNCH), ME, 9, 0, "I will bring an umbrella"));
        let receipt = |user_id, read_conv_seq| pb::Receipt {
            user_id,
            read_conv_seq,
            received_conv_seq: read_conv_seq,
        };
        stage.receipts = vec![receipt(BEN, 9), receipt(CAT, 8), receipt(LI, 8)];
        stage.type_line("/who");
        stage.press(KeyCode::Esc);
        check(&mut stage, "readers", size);
    }
}

#[test]
fn help_and_a_question() {
    for size in SIZES {
        let mut stage = lunch();
        stage.press(KeyCode::F(1));
        check(&mut stage, "help", size);
    }
    let mut stage = lunch();
    stage.ctrl('t');
    stage.type_text("小");
    check(&mut stage, "question", SIZES[0]);
}

#[test]
fn a_conversation_of_two_with_all_that_is_told() {
    let mut stage = lunch();
    stage.model.open(user(BEN));
    stage.serve();
    stage.push(entry(user(BEN), ME, 2, 2, "yes, and I am hungry"));
    stage.push(entry(user(BEN), ME, 3, 1, "are you?"));
    let reacted = pb::MessageEvent {
        kind: pb::MessageEventKind::MessageReacted as i32,
        conv_seq: 2,
        reaction: "🍜".to_owned(),
        ..Default::default()
    };
    stage.push(event(user(BEN), BEN, 4, 0, pb::MsgType::SystemMessage, &reacted));
    let typing = pb::TypingNotify { sender_id: BEN, receiver_id: ME, ..Default::default() };
    stage.event(Event::Told(aldis_client::core::Told::Typing(typing)));
    for (receiver_id, pinned_ms, muted) in [(CAT, NOW_MS, false), (LI, 0, true)] {
        let view = pb::ConversationView { receiver_id, pinned_ms, muted, ..Default::default() };
        let content = pb::SelfEvent { what: Some(pb::self_event::What::View(view)) };
        let told = event(user(BEN), ME, 9, 0, pb::MsgType::SystemSelf, &content);
        stage.push(pb::MessageData { receiver_id: 0, ..told });
    }
    check(&mut stage, "direct", SIZES[0]);
}

#[test]
fn what_was_found() {
    for size in SIZES {
        let mut stage = lunch();
        stage.press(KeyCode::F(5));
        stage.type_line("the");
        check(&mut stage, "found", size);
    }
}

#[test]
fn a_lost_connection_and_a_taken_session() {
    let mut stage = lunch();
    stage.type_line("does this arrive?");
    stage.event(Event::Offline { reason: OfflineReason::ConnectFailed, retry_in_ms: Some(2_000) });
    check(&mut stage, "offline", SIZES[0]);
    let device_name = "laptop".to_owned();
    stage.event(Event::Kicked { reason: pb::KickReason::Replaced, device_name });
    check(&mut stage, "kicked", SIZES[0]);
}
