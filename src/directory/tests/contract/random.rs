//! Random sequences of calls give the same answers from every backend.

use std::collections::HashMap;
use std::fmt::Write;

use aldis_logic::job::{DirectoryJob, Registration, SessionRecord};
use aldis_wire::{DeviceClass, UserId};
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::harness::{Bench, KINDS, Kind};

/// Few users and epochs, so that they meet.
const USERS: u64 = 6;
const EPOCHS: u64 = 12;
const NODES: usize = 3;
/// Takes a seed back: 32 bytes in hex.
const SEED_VARIABLE: &str = "ALDIS_DIRECTORY_SEED";

/// A session without its life, which differs between benches.
#[derive(Clone, Copy, Debug)]
struct Login {
    user: u64,
    class: DeviceClass,
    epoch: u64,
    is_end: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Apply(usize, Vec<Login>),
    Look(usize, Vec<u64>),
    Restart(usize),
    Drain(usize),
    Leave(usize),
    Time(u64),
}

fn login() -> impl Strategy<Value = Login> {
    (0..USERS, 0..2usize, 1..EPOCHS, 0..3u8).prop_map(|(user, class, epoch, end)| Login {
        user,
        class: DeviceClass::ALL[class],
        epoch,
        is_end: end == 0,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    prop_oneof![
        12 => (node(), proptest::collection::vec(login(), 0..8))
            .prop_map(|(node, logins)| Step::Apply(node, logins)),
        8 => (node(), proptest::collection::vec(0..USERS + 1, 0..8))
            .prop_map(|(node, users)| Step::Look(node, users)),
        1 => node().prop_map(Step::Restart),
        1 => node().prop_map(Step::Drain),
        1 => node().prop_map(Step::Leave),
        2 => (0..3_000u64).prop_map(Step::Time),
        1 => Just(Step::Time(0)),
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
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, rng)
        .run(&proptest::collection::vec(step(), 1..60), |steps| {
            compare(&steps);
            Ok(())
        })
        .unwrap();
}

fn compare(steps: &[Step]) {
    let mut answers = KINDS.map(|kind| {
        let mut run = Run::new(kind);
        steps.iter().for_each(|step| run.step(step));
        run.look(0, &(0..=USERS).collect::<Vec<_>>());
        run.answers.into_iter()
    });
    let [memory, others @ ..] = &mut answers;
    for (number, expected) in memory.enumerate() {
        for other in others.iter_mut() {
            assert_eq!(other.next().as_ref(), Some(&expected), "answer {number} of {steps:#?}");
        }
    }
}

struct Run {
    bench: Bench,
    answers: Vec<String>,
    /// The newest session that each node has registered and not ended: it does not register older
    /// ones, because its own table fences them.
    own: HashMap<(usize, u64, DeviceClass), u64>,
}

impl Run {
    fn new(kind: Kind) -> Self {
        let mut bench = Bench::new(kind);
        while bench.nodes.len() < NODES {
            bench.add_node();
        }
        Self { bench, answers: Vec::new(), own: HashMap::new() }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Apply(node, logins) => self.log_in_and_out(*node, logins),
            Step::Look(node, users) => self.look(*node, users),
            Step::Restart(node) => {
                drop(self.bench.restart(*node));
                self.own.retain(|(owner, _, _), _| owner != node);
                // Whether another node's lease is there is known up to a second late.
                self.let_pass(1_000);
            }
            Step::Drain(node) => {
                let now_ms = self.bench.now_ms();
                self.bench.nodes[*node].directory.drain(now_ms);
                self.look_for_nodes(*node);
            }
            Step::Leave(node) => {
                let now_ms = self.bench.now_ms();
                self.bench.nodes[*node].directory.leave(now_ms);
                self.look_for_nodes(*node);
                // Whoever left and goes on is announced again.
                self.let_pass(2_000);
            }
            Step::Time(skip_ms) => self.let_pass(*skip_ms),
        }
    }

    fn let_pass(&mut self, skip_ms: u64) {
        self.bench.skip(skip_ms);
        self.bench.settle();
    }

    fn log_in_and_out(&mut self, node: usize, logins: &[Login]) {
        let jobs: Vec<_> = logins.iter().map(|login| self.job(node, login)).collect();
        let results = self.bench.apply(node, &jobs);
        let mut answer = String::new();
        for ((login, job), result) in logins.iter().zip(&jobs).zip(results) {
            let shown = match result {
                Some(Registration::Live { replaced }) => {
                    format!("live, was {:?}", replaced.map(|record| self.plain(&record)))
                }
                other => format!("{other:?}"),
            };
            writeln!(answer, "{login:?}: {shown}").unwrap();
            let key = (node, login.user, login.class);
            if let DirectoryJob::Register(record) = job
                && result == Some(Registration::Fenced)
                && self.own.get(&key) == Some(&record.epoch.0)
            {
                self.own.remove(&key);
            }
        }
        self.answers.push(answer);
    }

    fn job(&mut self, node: usize, login: &Login) -> DirectoryJob {
        let Login { user, class, epoch, is_end } = *login;
        // Each epoch is given to one node only, as the store does.
        let epoch = epoch * NODES as u64 + node as u64;
        let key = (node, user, class);
        let record = self.bench.record(node, user, class, epoch);
        let own = self.own.get(&key).copied();
        if is_end || own.is_some_and(|own| own > epoch) {
            self.own.retain(|other, own| *other != key || *own != epoch);
            DirectoryJob::Unregister(record)
        } else {
            self.own.insert(key, epoch);
            DirectoryJob::Register(record)
        }
    }

    fn look(&mut self, node: usize, users: &[u64]) {
        let users: Vec<UserId> = users.iter().map(|user| self.bench.user(*user)).collect();
        let found = self.bench.sessions_of(node, &users);
        let found: Vec<_> = found.iter().map(|record| self.plain(record)).collect();
        self.answers.push(format!("{users:?}: {found:?}", users = users.len()));
    }

    /// How much a node has to do is what it last told of itself, and what each knows differs.
    fn look_for_nodes(&mut self, node: usize) {
        let open = self.bench.open_nodes(node);
        let open: Vec<_> = open.iter().map(|record| self.bench.life(record.boot)).collect();
        self.answers.push(format!("open: {open:?}"));
    }

    /// Numbers of users, nodes and lives differ between benches; here they count from the first.
    fn plain(&self, record: &SessionRecord) -> (u64, DeviceClass, u64, usize) {
        let user = record.user.0 - self.bench.user(0).0;
        (user, record.class, record.epoch.0, self.bench.life(record.boot))
    }
}
