//! The views of oneself and of one's devices, and the change of the password. Part of the model.

use std::collections::HashMap;

use aldis_client::core::Request;
use aldis_wire::{limits, pb};

use super::asks::{After, Purpose};
use super::prompt::{Sure, Wish};
use super::{Effect, Model, Panel};
use crate::screens::keys::Act;

/// What can be changed of oneself, in the order shown.
pub const FIELDS: [Field; 4] = [Field::Nickname, Field::Picture, Field::Audience, Field::Password];

/// See [`FIELDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Nickname,
    Picture,
    /// Who sees whether one is online.
    Audience,
    Password,
}

/// What is known of one's own account besides names.
#[derive(Debug, Default)]
pub struct Account {
    /// The last login first.
    pub devices: Vec<pb::DeviceInfo>,
    /// Those that were logged out here, with the login that was ended: the server's list does not say it.
    ended: HashMap<String, u64>,
    /// Unknown until it is changed, here or elsewhere: the server tells it at changes only.
    pub audience: Option<pb::PresenceAudience>,
}

impl Account {
    /// Whether a device was logged out here, and has not logged in since.
    pub fn is_logged_out(&self, device: &pb::DeviceInfo) -> bool {
        self.ended.get(&device.device_id) == Some(&device.login_time_ms)
    }
}

impl Model {
    pub(super) fn show_profile(&mut self) {
        self.panel = Some(Panel::Profile { selected: 0 });
        self.ask_profile();
    }

    pub(super) fn show_devices(&mut self) {
        self.panel = Some(Panel::Devices { selected: 0 });
        self.ask_devices();
    }

    pub(super) fn ask_profile(&mut self) {
        let body = pb::UserGetReq { user_ids: vec![self.setting.me] };
        self.ask(Request::UserGet(body), Purpose::Names);
    }

    pub(super) fn ask_devices(&mut self) {
        self.ask(Request::DeviceList(pb::DeviceListReq {}), Purpose::Devices);
    }

    pub(super) fn act_on_profile(&mut self, selected: usize, act: Act) {
        match (act, FIELDS.get(selected)) {
            (Act::NextList, _) => self.show_devices(),
            (Act::Open, Some(field)) => self.ask_field(*field),
            _ => {}
        }
    }

    fn ask_field(&mut self, field: Field) {
        let own = self.names.known_user(self.setting.me).cloned().unwrap_or_default();
        match field {
            Field::Nickname => self.put("your name for others:", &own.nickname, Wish::Nickname),
            Field::Picture => {
                self.put("URL of your picture (may stay empty):", &own.avatar_url, Wish::Picture);
            }
            Field::Audience => {
                self.put("who sees you online: friends, everybody, nobody?", "", Wish::Audience);
            }
            Field::Password => self.put("your password now:", "", Wish::OldPassword),
        }
    }

    pub(super) fn update_profile(&mut self, body: pb::UserUpdateReq, done: &str) {
        self.change(Request::UserUpdate(body), done, After::Profile);
    }

    /// Who is to see whether one is online, as it was typed.
    pub(super) fn set_audience(&mut self, typed: &str) {
        let typed = typed.to_lowercase();
        let audience = match typed.as_str() {
            "f" | "friends" => pb::PresenceAudience::PresenceToFriends,
            "e" | "everybody" => pb::PresenceAudience::PresenceToEverybody,
            "n" | "nobody" => pb::PresenceAudience::PresenceToNobody,
            _ => return self.say("type friends, everybody or nobody"),
        };
        let presence_audience = Some(audience.into());
        let body = pb::UserUpdateReq { presence_audience, ..Default::default() };
        self.ask(Request::UserUpdate(body), Purpose::Audience { audience });
    }

    /// The next question of a change of the password, or the change. A password is taken as it was
    /// typed, spaces included.
    pub(super) fn grant_password(&mut self, wish: Wish, typed: String) {
        if typed.is_empty() {
            return self.say("nothing was changed");
        }
        match wish {
            Wish::OldPassword => self.put("the new one:", "", Wish::NewPassword { old: typed }),
            Wish::NewPassword { old } => {
                let lengths = limits::PASSWORD_BYTES_MIN..=limits::PASSWORD_BYTES_MAX;
                if !lengths.contains(&typed.len()) {
                    let (min, max) = (lengths.start(), lengths.end());
                    return self.say(&format!("a password has {min} to {max} bytes"));
                }
                let wish = Wish::NewPasswordAgain { old, new: typed };
                self.put("the new one once more:", "", wish);
            }
            Wish::NewPasswordAgain { old, new } if new == typed => {
                let body = pb::ChangePasswordReq { old_password: old, new_password: new };
                self.ask(Request::ChangePassword(body), Purpose::Password);
            }
            _ => self.say("the two new ones differ; nothing was changed"),
        }
    }

    /// The server has taken the new password.
    pub(super) fn handle_new_password(&mut self) {
        self.effects.push_back(Effect::ForgetPassword);
        self.say("the password is changed; your other devices need it to log in");
    }

    pub(super) fn revoke(&mut self, device_id: String) {
        let body = pb::DeviceRevokeReq { device_id: device_id.clone() };
        self.ask(Request::DeviceRevoke(body), Purpose::Revoke { device_id });
    }

    pub(super) fn handle_revoked(&mut self, device_id: String) {
        let mut devices = self.account.devices.iter();
        if let Some(device) = devices.find(|device| device.device_id == device_id) {
            self.account.ended.insert(device_id, device.login_time_ms);
        }
        self.say("logged out; it needs the password to come back");
        self.ask_devices();
    }

    pub(super) fn act_on_device(&mut self, selected: usize, act: Act) {
        match act {
            Act::NextList => self.show_profile(),
            Act::Revoke => {
                let Some(device) = self.account.devices.get(selected).cloned() else { return };
                let question = match device.is_this {
                    true => "Log out this device, the one you are using?".to_owned(),
                    false => {
                        format!("Log out {}?", crate::terminal::escape_line(&name_of(&device)))
                    }
                };
                self.put_sure(&question, Sure::Revoke { device_id: device.device_id });
            }
            _ => {}
        }
    }
}

/// How a device is called: some have no name.
pub fn name_of(device: &pb::DeviceInfo) -> String {
    match device.device_name.is_empty() {
        true => device.device_id.clone(),
        false => device.device_name.clone(),
    }
}
