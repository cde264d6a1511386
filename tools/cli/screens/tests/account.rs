//! Oneself, one's devices and the password on the screens: what is asked, and what nobody sees.

use super::people::lunch;
use super::*;

const HOUR_MS: u64 = 60 * MINUTE_MS;

/// Three devices, this one among them.
pub(super) fn with_devices() -> Stage {
    let mut stage = lunch();
    let device = |id: &str, class: pb::DeviceClass, name: &str, hours: u64| pb::DeviceInfo {
        device_id: id.to_owned(),
        device_class: class as i32,
        device_name: name.to_owned(),
        login_time_ms: NOW_MS - hours * HOUR_MS,
        is_online: false,
        is_this: false,
    };
    stage.devices = vec![
        pb::DeviceInfo {
            is_online: true,
            is_this: true,
            ..device("5c0ffee1-desktop", pb::DeviceClass::Desktop, "laptop", 1)
        },
        pb::DeviceInfo {
            is_online: true,
            ..device("0badcafe-phone", pb::DeviceClass::Phone, "Ada 的手机", 30)
        },
        device("0badcafe-web", pb::DeviceClass::Web, "", 9_000),
    ];
    stage
}

fn last(stage: &Stage, is_it: impl Fn(&Request) -> bool) -> Request {
    let found = stage.asked.iter().rev().find(|request| is_it(request));
    found.cloned().unwrap_or_else(|| panic!("{:?}", stage.asked))
}

#[test]
fn a_lost_device_is_logged_out_after_a_question() {
    let mut stage = with_devices();
    stage.press(KeyCode::F(6));
    stage.press(KeyCode::Tab);
    assert!(stage.shows("[Your devices 3]") && stage.shows("this one, since 14:04, online"));
    stage.press(KeyCode::Down);
    stage.press(KeyCode::Char('x'));
    assert!(stage.shows("Log out Ada 的手机? (y/n)"));
    stage.press(KeyCode::Esc);
    stage.press(KeyCode::Char('x'));
    assert!(!stage.asked.iter().any(|request| matches!(request, Request::DeviceRevoke(_))));
    stage.press(KeyCode::Char('y'));
    let asked = last(&stage, |request| matches!(request, Request::DeviceRevoke(_)));
    let device_id = "0badcafe-phone".to_owned();
    assert_eq!(asked, Request::DeviceRevoke(pb::DeviceRevokeReq { device_id }));
    assert!(stage.shows("logged out; it needs the password"));
    assert!(stage.shows("phone   since 4 Mar, logged out"));
    // It came back.
    stage.devices[1].login_time_ms += 1;
    stage.press(KeyCode::F(6));
    stage.press(KeyCode::Tab);
    assert!(stage.shows("phone   since 4 Mar, online"));
}

#[test]
fn logging_out_the_device_in_use_says_so() {
    let mut stage = with_devices();
    stage.press(KeyCode::F(6));
    stage.press(KeyCode::Tab);
    stage.press(KeyCode::Char('x'));
    assert!(stage.shows("Log out this device, the one you are using? (y/n)"));
}

#[test]
fn a_name_and_a_picture_are_changed() {
    let mut stage = lunch();
    stage.press(KeyCode::F(6));
    assert!(stage.shows("ada (id:10001) at chat.example:7700") && stage.shows("Ada"));
    stage.press(KeyCode::Enter);
    stage.users.get_mut(&ME).expect("oneself").nickname = "Ada L.".to_owned();
    stage.type_line(" L.");
    let Request::UserUpdate(body) = last(&stage, |r| matches!(r, Request::UserUpdate(_))) else {
        panic!("an update")
    };
    assert_eq!((body.nickname.as_deref(), body.avatar_url), (Some("Ada L."), None));
    assert!(stage.shows("Name for others  Ada L."));
    stage.press(KeyCode::Down);
    stage.press(KeyCode::Enter);
    stage.type_line("https://example.org/ada.png");
    let Request::UserUpdate(body) = last(&stage, |r| matches!(r, Request::UserUpdate(_))) else {
        panic!("an update")
    };
    assert_eq!(body.avatar_url.as_deref(), Some("https://example.org/ada.png"));
}

#[test]
fn who_sees_one_online_is_chosen_and_shown() {
    let mut stage = lunch();
    stage.press(KeyCode::F(6));
    stage.press(KeyCode::Down);
    stage.press(KeyCode::Down);
    stage.press(KeyCode::Enter);
    stage.type_line("everyone");
    assert!(stage.shows("type friends, everybody or nobody"));
    stage.press(KeyCode::Enter);
    stage.type_line("nobody");
    assert!(stage.shows("Seen online by   nobody"));
    // Another device changes it.
    let profile = pb::OwnProfile {
        user: stage.users.get(&ME).cloned(),
        presence_audience: pb::PresenceAudience::PresenceToEverybody as i32,
    };
    let content = pb::SelfEvent { what: Some(pb::self_event::What::Profile(profile)) };
    stage.push(event(user(ME), ME, 9, 0, pb::MsgType::SystemSelf, &content));
    assert!(stage.shows("Seen online by   everybody"));
}

/// To the question for the old password.
fn change_password(stage: &mut Stage) {
    stage.press(KeyCode::F(6));
    for _ in 0..3 {
        stage.press(KeyCode::Down);
    }
    stage.press(KeyCode::Enter);
}

#[test]
fn a_password_is_changed_and_never_shown() {
    let mut stage = lunch();
    change_password(&mut stage);
    stage.type_text("old 密码");
    assert!(stage.shows("your password now: ••••••") && !stage.shows("old"));
    stage.press(KeyCode::Enter);
    stage.type_line(" new secret ");
    stage.type_text(" new secret ");
    assert!(!stage.shows("secret"));
    stage.press(KeyCode::Enter);
    let asked = last(&stage, |request| matches!(request, Request::ChangePassword(_)));
    let (old_password, new_password) = ("old 密码".to_owned(), " new secret ".to_owned());
    let body = pb::ChangePasswordReq { old_password, new_password };
    assert_eq!(asked, Request::ChangePassword(body));
    assert!(stage.shows("the password is changed"));
    assert!(stage.other.contains(&Effect::ForgetPassword), "the old one logs in nobody");
}

#[test]
fn a_mistyped_password_changes_nothing() {
    let mut stage = lunch();
    change_password(&mut stage);
    stage.type_line("old password");
    stage.type_line("new secret");
    stage.type_line("new secrte");
    assert!(stage.shows("the two new ones differ; nothing was changed"));
    stage.press(KeyCode::Enter);
    stage.type_line("old password");
    stage.type_line("short");
    assert!(stage.shows("a password has 8 to"));
    assert!(!stage.asked.iter().any(|request| matches!(request, Request::ChangePassword(_))));
}

#[test]
fn a_wrong_password_is_told_at_once() {
    let mut stage = lunch();
    stage.refusal = Some(Code::BadCredentials);
    change_password(&mut stage);
    for _ in 0..3 {
        stage.type_line("new secret");
    }
    assert!(stage.shows("not changed: that is not your password"));
    // What may have been done is not asked again: the old password may be the wrong one by now.
    let count = |stage: &Stage| {
        stage.asked.iter().filter(|request| matches!(request, Request::ChangePassword(_))).count()
    };
    stage.refusal = Some(Code::Unavailable);
    stage.press(KeyCode::Enter);
    for _ in 0..3 {
        stage.type_line("new secret");
    }
    stage.wait(NOW_MS + HOUR_MS);
    assert_eq!(count(&stage), 2);
}
