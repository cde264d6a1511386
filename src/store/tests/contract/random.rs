//! Random sequences of jobs give the same answers from every backend, before and after restarts.

use std::collections::HashMap;

use aldis_logic::job::{
    Append, CreateGroup, FriendChange, FriendJob, GroupChange, GroupJob, GroupLimits, GroupUpdate,
    HistoryRange, JobError, JoinMode, MessageChange, MessageJob, ReadJob, ReadResult,
    StoredMessage, ViewChange, ViewJob, WriteJob, Written,
};
use aldis_wire::{
    CLEARED, ConvSeq, ConversationKey, DeviceClass, Epoch, GroupId, Message, MsgId, RequestId, Seq,
    UserId, pb,
};
use bytes::Bytes;
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::conversations::check_list;
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
    (conversation(), user(), 0..40u64, 0..3u8).prop_map(|(key, sender, id, text)| {
        let sender = if key.as_group().is_some() || sender.0 % 5 == 0 {
            sender
        } else {
            UserId(if sender.0 % 2 == 0 { key.lo } else { key.hi })
        };
        let client_msg_id = client_msg_id(1_700_000_000_000 + id * 700, id);
        match append(key, sender, client_msg_id, &format!("text {}", text % 2)) {
            WriteJob::Append(job) if text == 2 => {
                WriteJob::Append(Append { refs: Bytes::from_static(b"refs"), ..job })
            }
            job => job,
        }
    })
}

/// Groups of more than two are streams.
const LIMITS: GroupLimits = GroupLimits { fanout_max: 2, members_max: 5, per_user_max: 2_000 };

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
        1 => (user(), 1..3i64, 0..6u64).prop_map(|(user, class, epoch)| {
            let class = DeviceClass::from_number(class).unwrap();
            let (epoch, before) = (Epoch(epoch), Epoch(epoch / 2));
            WriteJob::ReleaseSession { user, class, epoch, before }
        }),
        1 => (user(), device()).prop_map(|(user, device_id)| {
            WriteJob::RevokeDevice { user, device_id }
        }),
        1 => (user(), device(), 0..30u64).prop_map(|(user, device_id, seq)| {
            WriteJob::MarkDelivered { user, device_id, stream: None, seq: Seq(seq) }
        }),
        1 => (user(), device(), group(), 0..30u64).prop_map(|(user, device_id, group, seq)| {
            WriteJob::MarkDelivered { user, device_id, stream: Some(group), seq: Seq(seq) }
        }),
        1 => (user(), users(), 0..5u8, proptest::bool::ANY).prop_map(|(owner, members, id, open_history)| {
            match create_group(owner, &members, RequestId([id; 16])) {
                WriteJob::CreateGroup(group) => {
                    WriteJob::CreateGroup(CreateGroup { limits: LIMITS, open_history, ..group })
                }
                other => other,
            }
        }),
        2 => (user(), group(), users()).prop_map(|(actor, group, members)| {
            WriteJob::InviteMembers { actor, group, members, limits: LIMITS }
        }),
        2 => (user(), group()).prop_map(|(user, group)| WriteJob::LeaveGroup { user, group }),
        6 => friend(),
        6 => group_change(),
        5 => message(),
        6 => view(),
    ]
}

fn view() -> impl Strategy<Value = WriteJob> {
    let flag = || proptest::option::of(proptest::bool::ANY);
    let change = prop_oneof![
        3 => (0..14u64).prop_map(|at| ViewChange::Read(ConvSeq(at))),
        3 => (flag(), flag(), proptest::option::of(0..8u64)).prop_map(|(pinned, muted, at)| {
            ViewChange::Update { pinned, muted, cleared: at.map(ConvSeq) }
        }),
    ];
    (conversation(), user(), 0..10u8, change).prop_map(|(conversation, user, at, change)| {
        let user = match conversation.as_group() {
            None if at % 5 > 0 => {
                UserId(if at % 2 == 0 { conversation.lo } else { conversation.hi })
            }
            _ => user,
        };
        WriteJob::View(ViewJob { user, conversation, change })
    })
}

/// Few places and ids, so that messages are met and repeats happen.
fn message() -> impl Strategy<Value = WriteJob> {
    let within_ms = || 0..60u64;
    let change = prop_oneof![
        2 => within_ms().prop_map(|within_ms| MessageChange::Recall { within_ms }),
        3 => (0..12u8, 0..2u8, within_ms()).prop_map(|(id, text, within_ms)| {
            MessageChange::Edit {
                request_id: RequestId([id; 16]),
                content: Bytes::from(format!("edit {text}")),
                extra: Bytes::new(),
                within_ms,
                friends_only: false,
            }
        }),
        3 => (0..12u8, proptest::bool::ANY).prop_map(|(n, is_added)| MessageChange::React {
            reaction: format!("+{n}"),
            is_added,
            friends_only: false,
        }),
    ];
    (conversation(), user(), 0..14u64, change).prop_map(|(conversation, actor, at, change)| {
        let actor = match conversation.as_group() {
            None if at % 7 > 0 => {
                UserId(if at % 2 == 0 { conversation.lo } else { conversation.hi })
            }
            _ => actor,
        };
        WriteJob::Message(MessageJob { actor, conversation, conv_seq: ConvSeq(at), change })
    })
}

/// Few pairs, so that requests meet and answers repeat.
fn friend() -> impl Strategy<Value = WriteJob> {
    let change = prop_oneof![
        3 => (0..2u8).prop_map(|n| FriendChange::Apply { reason: format!("reason {n}") }),
        3 => Just(FriendChange::Accept),
        1 => Just(FriendChange::Refuse),
        1 => Just(FriendChange::Delete),
        1 => (0..2u8).prop_map(|n| FriendChange::Update {
            remark: format!("remark {n}"),
            folder: String::new(),
        }),
        1 => Just(FriendChange::Block),
        2 => Just(FriendChange::Unblock),
    ];
    (user(), 1..USERS, change).prop_map(|(actor, step, change)| {
        let other = UserId(FIRST_ID + (actor.0 - FIRST_ID + step) % (USERS + 2));
        WriteJob::Friend(FriendJob { actor, other, change })
    })
}

fn group_change() -> impl Strategy<Value = WriteJob> {
    let users = proptest::collection::vec(user(), 1..3);
    let flag = || proptest::bool::ANY;
    let change = prop_oneof![
        2 => users.prop_map(|users| GroupChange::Remove { users }),
        3 => (user(), flag())
            .prop_map(|(user, is_admin)| GroupChange::SetRole { user, is_admin }),
        1 => user().prop_map(|to| GroupChange::Transfer { to }),
        2 => (0..3u8, 0..3u64, flag()).prop_map(|(n, mode, is_open)| GroupChange::Update(GroupUpdate {
            name: (n > 0).then(|| format!("name {n}")),
            announcement: (n != 1).then(|| format!("news {n}")),
            join_mode: Some(JoinMode::from_number(mode)),
            open_history: (n > 0).then_some(is_open),
        })),
        2 => (user(), 0..60u64).prop_map(|(user, mute_ms)| GroupChange::Mute { user, mute_ms }),
        1 => flag().prop_map(|is_muted| GroupChange::MuteAll { is_muted }),
        1 => Just(GroupChange::Dissolve),
        3 => (0..2u8).prop_map(|n| GroupChange::Join { reason: format!("reason {n}") }),
        3 => (user(), flag())
            .prop_map(|(user, accept)| GroupChange::HandleJoin { user, accept }),
    ];
    (user(), group(), change).prop_map(|(actor, group, change)| {
        WriteJob::Group(GroupJob { actor, group, change, limits: LIMITS })
    })
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
        4 => (user(), group(), 0..30u64, limit()).prop_map(|(reader, group, after, limit)| {
            ReadJob::Stream { reader, group, after: Seq(after), limit }
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
        1 => (user(), group(), user(), limit()).prop_map(|(reader, group, after, limit)| {
            ReadJob::GroupRequests { reader, group, after: UserId(after.0 - 1), limit }
        }),
        2 => (user(), 0..3i32, user(), limit()).prop_map(|(user, list, after, limit)| {
            let list = pb::RelationList::try_from(list).unwrap();
            ReadJob::Relations { user, list, after: UserId(after.0 - 1), limit }
        }),
        6 => (user(), 0..30u64, 1..12usize).prop_map(|(user, before, limit)| {
            let before = Seq(before.saturating_sub(10));
            ReadJob::Conversations { user, before, limit }
        }),
        1 => user().prop_map(|user| ReadJob::Pinned { user }),
        2 => (user(), conversation(), user(), limit()).prop_map(|asked| {
            let (reader, conversation, after, limit) = asked;
            ReadJob::Receipts { reader, conversation, after: UserId(after.0 - 3), limit }
        }),
        3 => (user(), conversation(), 0..14u64, limit()).prop_map(|asked| {
            let (reader, conversation, at, limit) = asked;
            let (conv_seq, after) = (ConvSeq(at), UserId(FIRST_ID + at % 3 - 1));
            ReadJob::Reactions { reader, conversation, conv_seq, after, limit }
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

/// Of the variable or random; printed, so that a failure can be repeated.
pub fn seed() -> [u8; 32] {
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
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{SEED_VARIABLE}={hex}");
    seed
}

#[test]
fn every_backend_gives_the_same_answers() {
    let seed = seed();
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
    let mut sides = Kind::ALL.map(Side::new);
    let now_ms = sides[0].bench.now_ms;
    for side in &mut sides {
        side.bench.now_ms = now_ms;
    }
    same(&mut sides, |side| side.bench.users(USERS as u32));
    for step in steps {
        match step {
            Step::Batch(jobs) => same(&mut sides, |side| side.batch(jobs.clone())),
            Step::Read(question) => same(&mut sides, |side| side.read(question.clone())),
            Step::Clock(by_ms) => {
                for side in &mut sides {
                    side.bench.now_ms = side.bench.now_ms.saturating_add_signed(by_ms);
                }
            }
            Step::Restart => sides.iter_mut().for_each(|side| side.bench.restart()),
        }
    }
    for user in FIRST_ID..FIRST_ID + USERS + 2 {
        check_list(&mut sides[0].bench, UserId(user));
        same(&mut sides, |side| {
            let mut mailbox = side.bench.mailbox(UserId(user));
            mailbox.iter_mut().for_each(|entry| side.ids.rename_in(entry));
            mailbox
        });
    }
}

fn same<T: PartialEq + std::fmt::Debug>(sides: &mut [Side], mut run: impl FnMut(&mut Side) -> T) {
    let (first, others) = sides.split_first_mut().unwrap();
    let wanted = run(first);
    for other in others {
        assert_eq!(wanted, run(other), "{:?} and {:?}", first.kind, other.kind);
    }
}

/// A backend, and names for its message ids: those depend on its clock and its restarts.
struct Side {
    kind: Kind,
    bench: Bench,
    ids: Ids,
}

impl Side {
    fn new(kind: Kind) -> Self {
        Self { kind, bench: Bench::new(kind), ids: Ids::default() }
    }

    fn batch(&mut self, jobs: Vec<WriteJob>) -> (Vec<Result<Written, JobError>>, Vec<String>) {
        let mut committed = self.bench.batch(jobs);
        let mut events = Vec::new();
        for event in &committed.events {
            let mut message = (*event.message).clone();
            self.ids.rename_in(&mut message);
            events.push(format!("{:?} {message:?} {:?}", event.origin, event.owners));
        }
        for result in &mut committed.results {
            if let Ok(Written::Appended(appended)) = result {
                self.ids.rename(&mut appended.msg_id);
            }
        }
        (committed.results, events)
    }

    fn read(&mut self, question: ReadJob) -> Result<ReadResult, JobError> {
        let mut answer = self.bench.read(question);
        let (mut mailbox, mut history) = (Vec::new(), Vec::new());
        match &mut answer {
            Ok(ReadResult::Sync(page)) => mailbox.extend(page.entries.iter_mut()),
            Ok(ReadResult::History(page)) => history.extend(page.entries.iter_mut()),
            Ok(ReadResult::Conversations(page)) => {
                let lasts = page.conversations.iter_mut().map(|one| &mut one.last);
                history.extend(lasts.flatten());
            }
            _ => (),
        }
        for entry in mailbox.into_iter().map(|(_, entry)| entry).chain(history) {
            self.ids.rename_in(entry);
        }
        answer
    }
}

/// Names in the order in which ids are made, which is ascending.
#[derive(Default)]
struct Ids {
    names: HashMap<MsgId, MsgId>,
    last: MsgId,
}

impl Ids {
    /// The entry's own id, and the one in what it tells.
    fn rename_in(&mut self, entry: &mut StoredMessage) {
        if entry.kind == pb::MsgType::SystemMessage && entry.flags & CLEARED == 0 {
            let mut event = pb::MessageEvent::decode(&entry.content[..]).unwrap();
            let mut id = MsgId(event.msg_id);
            self.rename(&mut id);
            event.msg_id = id.0;
            entry.content = Bytes::from(event.encode_to_vec());
        }
        self.rename(&mut entry.msg_id);
    }

    fn rename(&mut self, id: &mut MsgId) {
        let next = MsgId(self.names.len() as u64 + 1);
        *id = *self.names.entry(*id).or_insert_with(|| {
            assert!(*id > self.last, "{id} comes after {}", self.last);
            self.last = *id;
            next
        });
    }
}
