//! Users, sessions, devices, and the questions about them.

use aldis_logic::job::{
    Credentials, Generations, JobError, LoginState, NewUser, ReadJob, ReadResult, SessionOpened,
    UpdateUser, UserHead, WriteJob, Written,
};
use aldis_wire::{Code, DeviceClass, Epoch, Seq, UserId, pb};
use smallvec::{SmallVec, smallvec};

use crate::harness::{Bench, direct, login, new_user, on_every_backend};

/// Of a mailbox without entries and a user none of whose sessions was revoked.
fn head(user: UserId, epochs: SmallVec<[(DeviceClass, Epoch); 2]>) -> UserHead {
    UserHead { user, head: Seq(0), epochs, revoked: SmallVec::new(), streams: vec![] }
}

fn open(bench: &mut Bench, job: aldis_logic::job::OpenSession) -> Result<SessionOpened, JobError> {
    match bench.run(WriteJob::OpenSession(job))? {
        Written::SessionOpened(opened) => Ok(opened),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_registration_is_repeatable_and_a_taken_name_is_a_conflict() {
    on_every_backend(|bench| {
        let first = bench.run(WriteJob::Register(new_user("ada", 1)));
        assert_eq!(first, Ok(Written::Registered(UserId(10_001))));
        assert_eq!(bench.run(WriteJob::Register(new_user("ada", 1))), first);
        let taken = bench.run(WriteJob::Register(new_user("ada", 2))).unwrap_err();
        assert_eq!(taken.code(), Code::Conflict);
        let second = bench.run(WriteJob::Register(new_user("bob", 1)));
        assert_eq!(second, Ok(Written::Registered(UserId(10_002))));
        bench.restart();
        assert_eq!(bench.run(WriteJob::Register(new_user("ada", 1))), first);
        assert_eq!(
            bench.run(WriteJob::Register(new_user("eve", 1))),
            Ok(Written::Registered(UserId(10_003)))
        );
    });
}

#[test]
fn credentials_are_found_by_name() {
    on_every_backend(|bench| {
        bench.run(WriteJob::Register(new_user("ada", 1))).unwrap();
        let mut ask = |name: &str| bench.read(ReadJob::Credentials { username: name.into() });
        let found = Credentials { user: UserId(10_001), password_phc: "$argon2id$x".into() };
        assert_eq!(ask("ada"), Ok(ReadResult::Credentials(Some(found))));
        for name in ["bob", "", "ad", "ADA", "a' OR 1=1 --", "%"] {
            assert_eq!(ask(name), Ok(ReadResult::Credentials(None)), "{name}");
        }
    });
}

#[test]
fn every_login_takes_the_next_epoch_of_its_class() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let epoch = |bench: &mut Bench, user, device, class| {
            open(bench, login(user, device, class)).unwrap().epoch
        };
        assert_eq!(epoch(bench, users[0], "a", DeviceClass::Phone), Epoch(1));
        assert_eq!(epoch(bench, users[0], "b", DeviceClass::Phone), Epoch(2));
        assert_eq!(epoch(bench, users[0], "c", DeviceClass::Web), Epoch(1));
        assert_eq!(epoch(bench, users[1], "a", DeviceClass::Phone), Epoch(1));
        bench.restart();
        assert_eq!(epoch(bench, users[0], "a", DeviceClass::Phone), Epoch(3));

        let unknown = UserId(5);
        let asked = vec![users[1], unknown, users[0], UserId(u64::MAX)];
        let Ok(ReadResult::Heads(mut heads)) = bench.read(ReadJob::Heads { users: asked }) else {
            panic!()
        };
        heads.iter_mut().for_each(|head| head.epochs.sort());
        let phone = |epoch| (DeviceClass::Phone, Epoch(epoch));
        let of_first = smallvec![phone(3), (DeviceClass::Web, Epoch(1))];
        assert_eq!(heads, [head(users[1], smallvec![phone(1)]), head(users[0], of_first),]);
    });
}

#[test]
fn tokens_hold_until_their_device_is_revoked() {
    on_every_backend(|bench| {
        let user = bench.users(1)[0];
        let token = |generations| aldis_logic::job::OpenSession {
            generations: Some(generations),
            ..login(user, "a", DeviceClass::Phone)
        };
        let first = Generations::default();
        assert_eq!(open(bench, token(first)).unwrap().generations, first, "an unknown device");
        open(bench, token(first)).unwrap();
        let revoke = WriteJob::RevokeDevice { user, device_id: "a".into() };
        assert_eq!(bench.run(revoke), Ok(Written::DeviceRevoked));
        let refused = open(bench, token(first)).unwrap_err();
        assert_eq!(refused.code(), Code::BadCredentials);
        let second = Generations { user: 0, device: 1 };
        let by_password = open(bench, login(user, "a", DeviceClass::Phone)).unwrap();
        assert_eq!((by_password.generations, by_password.epoch), (second, Epoch(3)));
        bench.restart();
        open(bench, token(second)).unwrap();
        let other_user = Generations { user: 1, device: 1 };
        assert_eq!(open(bench, token(other_user)).unwrap_err().code(), Code::BadCredentials);
        let elsewhere = WriteJob::RevokeDevice { user, device_id: "b".into() };
        assert_eq!(bench.run(elsewhere), Ok(Written::DeviceRevoked));
        open(bench, token(second)).unwrap();
    });
}

#[test]
fn an_epoch_is_given_back_only_while_it_is_the_newest() {
    on_every_backend(|bench| {
        let user = bench.users(1)[0];
        let release = |class, epoch: u64| {
            let (epoch, before) = (Epoch(epoch), Epoch(2));
            WriteJob::ReleaseSession { user, class, epoch, before }
        };
        let class = DeviceClass::Phone;
        for epoch in [1, 2, 3] {
            let opened = open(bench, login(user, "a", class)).unwrap();
            assert_eq!((opened.epoch, opened.before), (Epoch(epoch), Epoch(epoch - 1)));
        }
        // Neither an older one nor another class's.
        for job in [release(class, 2), release(DeviceClass::Web, 3), release(class, 4)] {
            assert_eq!(bench.run(job), Ok(Written::SessionReleased));
        }
        assert_eq!(bench.run(release(class, 3)), Ok(Written::SessionReleased));
        assert_eq!(bench.run(release(class, 3)), Ok(Written::SessionReleased), "only once");
        bench.restart();
        let epochs = [(class, Epoch(2))].into_iter().collect();
        let heads = ReadResult::Heads(vec![head(user, epochs)]);
        assert_eq!(bench.read(ReadJob::Heads { users: vec![user] }), Ok(heads.clone()));
        // Others may have heard of 3, so nobody gets it again; and the live one is the newest again.
        let next = open(bench, login(user, "b", class)).unwrap();
        assert_eq!((next.epoch, next.before), (Epoch(4), Epoch(2)));
        assert_eq!(bench.run(release(class, 4)), Ok(Written::SessionReleased));
        assert_eq!(bench.read(ReadJob::Heads { users: vec![user] }), Ok(heads));
    });
}

#[test]
fn nobody_unknown_logs_in() {
    on_every_backend(|bench| {
        for user in [1, 10_001, u64::MAX] {
            let refused = open(bench, login(UserId(user), "a", DeviceClass::Web)).unwrap_err();
            assert_eq!(refused.code(), Code::NotFound);
            let state = ReadJob::LoginState { user: UserId(user), device_id: "a".into() };
            assert_eq!(bench.read(state).unwrap_err().code(), Code::NotFound);
        }
    });
}

#[test]
fn a_cursor_never_goes_back_nor_past_the_head() {
    on_every_backend(|bench| {
        let users = bench.users(2);
        let (a, b) = (users[0], users[1]);
        open(bench, login(a, "phone", DeviceClass::Phone)).unwrap();
        for _ in 0..5 {
            bench.send(direct(a, b), b, "x").unwrap();
        }
        let mark = |seq| WriteJob::MarkDelivered {
            user: a,
            device_id: "phone".into(),
            stream: None,
            seq: Seq(seq),
        };
        for (seq, want) in [(3, 3), (2, 3), (0, 3), (u64::MAX, 5)] {
            assert_eq!(bench.run(mark(seq)), Ok(Written::Marked));
            let ask = ReadJob::LoginState { user: a, device_id: "phone".into() };
            let state = LoginState {
                head: Seq(5),
                cursor: Seq(want),
                generations: Generations::default(),
                username: "u-0001".into(),
                nickname: "u-0001".into(),
                streams: vec![],
            };
            assert_eq!(bench.read(ask), Ok(ReadResult::LoginState(state)), "{seq}");
            bench.restart();
        }
        let ask = ReadJob::LoginState { user: a, device_id: "other".into() };
        let Ok(ReadResult::LoginState(state)) = bench.read(ask) else { panic!() };
        assert_eq!((state.head, state.cursor), (Seq(5), Seq(0)));
        let revoke = WriteJob::RevokeDevice { user: a, device_id: "phone".into() };
        assert_eq!(bench.run(revoke), Ok(Written::DeviceRevoked));
        let ask = ReadJob::LoginState { user: a, device_id: "phone".into() };
        let Ok(ReadResult::LoginState(state)) = bench.read(ask) else { panic!() };
        assert_eq!(state.generations, Generations { user: 0, device: 1 });
        let opened = open(bench, login(a, "phone", DeviceClass::Phone)).unwrap();
        assert_eq!(opened.generations, state.generations, "as a login finds them");
        let unknown = WriteJob::MarkDelivered {
            user: b,
            device_id: "phone".into(),
            stream: None,
            seq: Seq(1),
        };
        assert_eq!(bench.run(unknown).unwrap_err().code(), Code::NotFound);
    });
}

#[test]
fn users_come_in_the_order_asked_without_unknown_ones() {
    on_every_backend(|bench| {
        let ada = bench.add_user(new_user("ada", 1)).unwrap();
        let bob = bench.add_user(new_user("bob", 1)).unwrap();
        let users = vec![bob, UserId(1), ada, UserId(u64::MAX), bob];
        let Ok(ReadResult::Users(found)) = bench.read(ReadJob::Users { users }) else { panic!() };
        let names: Vec<_> = found.iter().map(|user| user.username.as_str()).collect();
        assert_eq!(names, ["bob", "ada", "bob"]);
        let ada = pb::UserInfo {
            user_id: ada.0,
            username: "ada".into(),
            nickname: "ADA".into(),
            avatar_url: String::new(),
        };
        assert_eq!(found[1], ada);
    });
}

#[test]
fn users_are_found_by_the_beginning_of_their_name() {
    on_every_backend(|bench| {
        for name in ["ada", "adam", "ad_m", "bob", "小明", "小红"] {
            bench.add_user(new_user(name, 1)).unwrap();
        }
        let mut find = |prefix: &str, limit| {
            let ask = ReadJob::FindUsers { prefix: prefix.into(), limit };
            let Ok(ReadResult::Users(found)) = bench.read(ask) else { panic!() };
            found.into_iter().map(|user| user.username).collect::<Vec<_>>()
        };
        assert_eq!(find("ada", 10), ["ada", "adam"]);
        assert_eq!(find("ad", 10), ["ad_m", "ada", "adam"]);
        assert_eq!(find("ad", 1), ["ad_m"]);
        assert_eq!(find("小", 10), ["小明", "小红"], "nicknames say the same");
        let nick =
            |name: &str, nickname: &str| NewUser { nickname: nickname.into(), ..new_user(name, 1) };
        let (x, y) = (nick("x1", "Ädam's 😀"), nick("x2", "Ad hoc"));
        let (x, y) = (bench.add_user(x).unwrap(), bench.add_user(y).unwrap());
        let find = |bench: &mut Bench, prefix: &str, limit| {
            let ask = ReadJob::FindUsers { prefix: prefix.into(), limit };
            let Ok(ReadResult::Users(found)) = bench.read(ask) else { panic!() };
            found.into_iter().map(|user| user.username).collect::<Vec<_>>()
        };
        for prefix in ["zz", "%", "a%", "a_", "adamant", "'"] {
            assert!(find(bench, prefix, 10).is_empty(), "{prefix}");
        }
        assert_eq!(find(bench, "äd", 10), ["x1"]);
        assert_eq!(find(bench, "ädam's 😀", 10), ["x1"]);
        assert_eq!(find(bench, "ad", 10), ["ad_m", "ada", "adam", "x2"], "usernames come first");
        assert_eq!(find(bench, "ad", 3), ["ad_m", "ada", "adam"]);
        assert_eq!(find(bench, "x", 10), ["x1", "x2"]);
        let nickname = Some("Zoë".to_owned());
        let update = UpdateUser { user: y, nickname, ..UpdateUser::default() };
        bench.run(WriteJob::UpdateUser(update)).unwrap();
        bench.restart();
        assert_eq!(find(bench, "ad h", 10), [""; 0]);
        assert_eq!(find(bench, "zoë", 10), ["x2"]);
        assert!(x != y);
    });
}

#[test]
fn seeding_is_repeatable_and_takes_over_no_account() {
    on_every_backend(|bench| {
        let first = bench.seed("load", 10).unwrap();
        assert_eq!(first.len(), 10);
        let more = bench.seed("load", 1_200).unwrap();
        assert_eq!(more[..10], first);
        assert_eq!(more.len(), 1_200);
        let ask = ReadJob::Credentials { username: "load-0007".into() };
        let found = Credentials { user: first[6], password_phc: String::new() };
        assert_eq!(bench.read(ask), Ok(ReadResult::Credentials(Some(found))));
        bench.add_user(new_user("own-0002", 1)).unwrap();
        assert!(bench.seed("own", 3).is_err());
        assert!(bench.seed("not valid", 1).is_err());
        assert!(bench.seed("", 1).is_err());
    });
}

#[test]
fn the_epoch_and_the_keys_stay() {
    on_every_backend(|bench| {
        let boot = bench.store_boot();
        assert_ne!(boot.store_epoch, 0);
        assert_eq!(boot.signing_keys.len(), 1);
        assert!(boot.signing_keys[0].active && boot.signing_keys[0].secret.len() >= 32);
        assert!(!format!("{boot:?}").contains("secret"));
        bench.restart();
        assert_eq!(bench.store_boot(), boot);
    });
}
