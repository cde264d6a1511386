//! Random sequences of jobs give the same answers from every backend, before and after restarts.

use aldis_logic::job::{HistoryRange, ReadJob, WriteJob};
use aldis_wire::{ConvSeq, ConversationKey, DeviceClass, GroupId, RequestId, Seq, UserId};
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::harness::{Bench, Kind, append, client_msg_id, create_group, login, new_user};

/// Users that exist at the start; ids above them are unknown until somebody registers.
const USERS: u64 = 5;
const FIRST_ID: u64 = 10_001;
/// Takes a seed back: 32 bytes in hex.
const SEED_VARIABLE: &str = "ALDIS_STORE_SEED";

#[derive(Clone, Debug)]
enum Step {
    Batch(Vec<WriteJob>),
    Read(ReadJob),
    Clock(i64),
    Restart,
}

fn user() -> impl Strategy<Value = UserId> {
    (0..USERS + 2).prop_map(|n| UserId(FIRST_ID + n))
}

fn group() -> impl Strategy<Value = GroupId> {
    (0..4u64).prop_map(|n| GroupId(FIRST_ID + n))
}

fn conversation() -> impl Strategy<Value = ConversationKey> {
    prop_oneof![
        (user(), user()).prop_map(|(a, b)| ConversationKey::direct(a, b)),
        group().prop_map(ConversationKey::group),
    ]
}

/// Few ids and texts, so that resends and conflicts happen.
fn send() -> impl Strategy<Value = WriteJob> {
    (conversation(), user(), 0..40u64, 0..2u8).prop_map(|(key, sender, id, text)| {
        let sender = if key.as_group().is_some() || sender.0 % 5 == 0 {
            sender
        } else {
            UserId(if sender.0 % 2 == 0 { key.lo } else { key.hi })
        };
        append(
            key,
            sender,
            client_msg_id(1_700_000_000_000 + id * 700, id),
            &format!("text {text}"),
        )
    })
}

fn job() -> impl Strategy<Value = WriteJob> {
    let users = || proptest::collection::vec(user(), 0..4);
    let device = || (0..2u8).prop_map(|n| format!("device {n}"));
    prop_oneof![
        12 => send(),
        1 => (0..4u8, 0..3u8).prop_map(|(name, id)| {
            WriteJob::Register(new_user(&format!("new{name}"), id))
        }),
        1 => (user(), device(), 1..3i64).prop_map(|(user, device, class)| {
            let class = DeviceClass::from_number(class).unwrap();
            WriteJob::OpenSession(login(user, &device, class))
        }),
        1 => (user(), device()).prop_map(|(user, device_id)| {
            WriteJob::RevokeDevice { user, device_id }
        }),
        1 => (user(), device(), 0..30u64).prop_map(|(user, device_id, seq)| {
            WriteJob::MarkDelivered { user, device_id, seq: Seq(seq) }
        }),
        1 => (user(), users(), 0..5u8).prop_map(|(owner, members, id)| {
            create_group(owner, &members, RequestId([id; 16]))
        }),
        2 => (user(), group(), users()).prop_map(|(actor, group, members)| {
            WriteJob::InviteMembers { actor, group, members }
        }),
        2 => (user(), group()).prop_map(|(user, group)| WriteJob::LeaveGroup { user, group }),
    ]
}

fn question() -> impl Strategy<Value = ReadJob> {
    let limit = || 0..12usize;
    let range = prop_oneof![
        Just(HistoryRange::Newest),
        (0..20u64).prop_map(|at| HistoryRange::Before(ConvSeq(at))),
        (0..20u64).prop_map(|at| HistoryRange::After(ConvSeq(at))),
    ];
    prop_oneof![
        4 => (user(), 0..30u64, limit()).prop_map(|(user, after, limit)| {
            ReadJob::Sync { user, after: Seq(after), limit }
        }),
        4 => (user(), conversation(), range, limit()).prop_map(|asked| {
            let (reader, conversation, range, limit) = asked;
            ReadJob::History { reader, conversation, range, limit }
        }),
        1 => proptest::collection::vec(user(), 0..5).prop_map(|users| ReadJob::Heads { users }),
        1 => user().prop_map(|user| ReadJob::LoginState { user, device_id: "device 0".into() }),
        1 => (user(), group(), limit()).prop_map(|(user, after, limit)| {
            ReadJob::Groups { user, after: GroupId(after.0 - 1), limit }
        }),
        1 => (user(), group(), user(), limit()).prop_map(|(reader, group, after, limit)| {
            ReadJob::Members { reader, group, after, limit }
        }),
        1 => (0..4u8, limit()).prop_map(|(name, limit)| {
            ReadJob::FindUsers { prefix: format!("new{name}"), limit }
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => proptest::collection::vec(job(), 1..20).prop_map(Step::Batch),
        6 => question().prop_map(Step::Read),
        1 => (-50..100i64).prop_map(Step::Clock),
        1 => Just(Step::Restart),
    ]
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    match std::env::var(SEED_VARIABLE) {
        Ok(hex) => {
            assert_eq!(hex.len(), 64, "{SEED_VARIABLE} is 32 bytes in hex");
            for (byte, pair) in seed.iter_mut().zip(hex.as_bytes().chunks(2)) {
                *byte = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            }
        }
        Err(_) => getrandom::fill(&mut seed).unwrap(),
    }
    seed
}

#[test]
fn every_backend_gives_the_same_answers() {
    let seed = seed();
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{SEED_VARIABLE}={hex}");
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let steps = proptest::collection::vec(step(), 1..40);
    runner
        .run(&steps, |steps| {
            compare(steps);
            Ok(())
        })
        .unwrap();
}

fn compare(steps: Vec<Step>) {
    let (mut left, mut right) = (Bench::new(Kind::Sqlite), Bench::new(Kind::Memory));
    assert_eq!(left.users(USERS as u32), right.users(USERS as u32));
    for step in steps {
        match step {
            Step::Batch(jobs) => {
                let (ours, theirs) = (left.batch(jobs.clone()), right.batch(jobs));
                assert_eq!(ours.results, theirs.results);
                assert_eq!(format!("{:?}", ours.events), format!("{:?}", theirs.events));
            }
            Step::Read(question) => {
                let (ours, theirs) = (left.read(question.clone()), right.read(question));
                assert_eq!(ours, theirs);
            }
            Step::Clock(by_ms) => {
                left.now_ms = left.now_ms.saturating_add_signed(by_ms);
                right.now_ms = left.now_ms;
            }
            Step::Restart => {
                left.restart();
                right.restart();
            }
        }
    }
    for user in FIRST_ID..FIRST_ID + USERS + 2 {
        assert_eq!(left.mailbox(UserId(user)), right.mailbox(UserId(user)));
    }
}
