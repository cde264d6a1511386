//! Devices, passwords and profiles: what is revoked names the sessions that are over, what goes on goes on,
//! and a profile is told to its user's own devices alone.

use aldis_logic::job::{
    Account, Device, JobError, PresenceAudience, ReadJob, ReadResult, Revoked, UpdateUser,
    UserHead, WriteJob, Written,
};
use aldis_wire::{Code, DeviceClass, Epoch, Message, UserId, pb};

use crate::harness::{Bench, login, new_user, on_every_backend};

fn open(bench: &mut Bench, user: UserId, device_id: &str, class: DeviceClass) -> Epoch {
    match bench.run(WriteJob::OpenSession(login(user, device_id, class))) {
        Ok(Written::SessionOpened(opened)) => opened.epoch,
        other => panic!("{other:?}"),
    }
}

fn revoked(result: Result<Written, JobError>) -> Result<Revoked, Code> {
    match result {
        Ok(Written::Revoked(revoked)) => Ok(revoked),
        Err(why) => Err(why.code()),
        other => panic!("{other:?}"),
    }
}

fn head(bench: &mut Bench, user: UserId) -> UserHead {
    match bench.read(ReadJob::Heads { users: vec![user] }) {
        Ok(ReadResult::Heads(mut heads)) => heads.remove(0),
        other => panic!("{other:?}"),
    }
}

fn devices(bench: &mut Bench, user: UserId) -> Vec<Device> {
    match bench.read(ReadJob::Devices { user, limit: 100 }) {
        Ok(ReadResult::Devices(devices)) => devices,
        other => panic!("{other:?}"),
    }
}

fn end_device(user: UserId, device_id: &str) -> WriteJob {
    WriteJob::EndDevice { user, device_id: device_id.into() }
}

#[test]
fn a_device_that_is_ended_takes_its_newest_session_with_it() {
    on_every_backend(|bench| {
        let user = bench.users(1)[0];
        open(bench, user, "old phone", DeviceClass::Phone);
        bench.now_ms += 5;
        let phone = open(bench, user, "phone", DeviceClass::Phone);
        bench.now_ms += 5;
        let web = open(bench, user, "web", DeviceClass::Web);
        let listed = devices(bench, user);
        let shown: Vec<_> = listed.iter().map(|d| (d.device_id.as_str(), d.epoch)).collect();
        assert_eq!(shown, [("web", Some(web)), ("phone", Some(phone)), ("old phone", None)]);
        assert_eq!(listed[1].class, DeviceClass::Phone);
        assert_eq!(listed[0].login_ms, bench.now_ms);

        let ended = revoked(bench.run(end_device(user, "phone"))).unwrap();
        assert_eq!(ended.sessions, [(DeviceClass::Phone, phone)]);
        bench.restart();
        let now = head(bench, user);
        assert!(now.revoked.contains(&(DeviceClass::Phone, phone)), "{now:?}");
        assert!(!now.revoked.contains(&(DeviceClass::Web, web)), "{now:?}");
        assert_eq!(devices(bench, user)[1].epoch, None);
        let ended = revoked(bench.run(end_device(user, "old phone"))).unwrap();
        assert_eq!(ended.sessions, [], "it has no newest session");
        assert_eq!(revoked(bench.run(end_device(user, "tablet"))), Err(Code::NotFound));
        assert_eq!(revoked(bench.run(end_device(UserId(9), "phone"))), Err(Code::NotFound));

        // A login after it is a session that nobody has revoked, a token from before is none.
        let again = open(bench, user, "phone", DeviceClass::Phone);
        assert!(again > phone);
        assert_eq!(devices(bench, user)[0].epoch, Some(again));
        let stale = aldis_logic::job::Generations::default();
        let stale = aldis_logic::job::OpenSession {
            generations: Some(stale),
            ..login(user, "phone", DeviceClass::Phone)
        };
        let refused = bench.run(WriteJob::OpenSession(stale)).map_err(JobError::code);
        assert_eq!(refused, Err(Code::BadCredentials));
    });
}

#[test]
fn a_change_of_the_password_ends_all_sessions_but_one_and_is_made_once() {
    on_every_backend(|bench| {
        let user = bench.add_user(new_user("ada.of.devices", 7)).unwrap();
        let phone = open(bench, user, "phone", DeviceClass::Phone);
        let web = open(bench, user, "web", DeviceClass::Web);
        let account = |bench: &mut Bench| match bench.read(ReadJob::Account { user }) {
            Ok(ReadResult::Account(account)) => account,
            other => panic!("{other:?}"),
        };
        let before = account(bench);
        assert_eq!(before.username, "ada.of.devices");
        let change = |old_phc: &Account| WriteJob::ChangePassword {
            user,
            password_phc: "$new".into(),
            old_phc: old_phc.password_phc.clone(),
            keep: (DeviceClass::Web, web),
            device_id: "web".into(),
        };
        let ended = revoked(bench.run(change(&before))).unwrap();
        assert_eq!(ended.sessions, [(DeviceClass::Phone, phone)]);
        assert_eq!(ended.generations.user, 1);
        assert_eq!(revoked(bench.run(change(&before))), Err(Code::BadCredentials));
        bench.restart();
        assert_eq!(account(bench).password_phc, "$new");
        let resumed = aldis_logic::job::OpenSession {
            generations: Some(ended.generations),
            ..login(user, "web", DeviceClass::Web)
        };
        assert!(bench.run(WriteJob::OpenSession(resumed)).is_ok(), "the new token");
        let Err(why) = bench.read(ReadJob::Account { user: UserId(9) }) else { panic!() };
        assert_eq!(why.code(), Code::NotFound);
    });
}

#[test]
fn a_profile_is_changed_in_parts_and_told_to_its_user() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let user = users[0];
        let update = UpdateUser {
            user,
            nickname: Some("Nick ☂".into()),
            audience: Some(PresenceAudience::Nobody),
            ..UpdateUser::default()
        };
        let seq = |result| match result {
            Ok(Written::Changed { seq }) => seq.0,
            other => panic!("{other:?}"),
        };
        assert_eq!(seq(bench.run(WriteJob::UpdateUser(update.clone()))), 1);
        assert_eq!(seq(bench.run(WriteJob::UpdateUser(update))), 0, "a repeat");
        let url = UpdateUser { user, avatar_url: Some("x:y".into()), ..UpdateUser::default() };
        assert_eq!(seq(bench.run(WriteJob::UpdateUser(url))), 2);
        bench.restart();
        let Ok(ReadResult::Users(found)) = bench.read(ReadJob::Users { users: vec![user] }) else {
            panic!()
        };
        assert_eq!((found[0].nickname.as_str(), found[0].avatar_url.as_str()), ("Nick ☂", "x:y"));
        let entry = bench.mailbox(user).pop().unwrap();
        let event = pb::SelfEvent::decode(&entry.content[..]).unwrap();
        let Some(pb::self_event::What::Profile(own)) = event.what else { panic!() };
        assert_eq!(own.presence_audience(), pb::PresenceAudience::PresenceToNobody);
        assert_eq!(own.user.as_ref(), found.first());
        assert!(bench.mailbox(users[1]).is_empty());
        let nobody = UpdateUser { user: UserId(9), ..UpdateUser::default() };
        let refused = bench.run(WriteJob::UpdateUser(nobody)).map_err(JobError::code);
        assert_eq!(refused, Err(Code::NotFound));
    });
}
