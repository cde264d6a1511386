//! A node's number belongs to one life of one process, and no message id is made twice.

use std::time::Duration;

use aldis_logic::job::{JobError, WriteJob, Written};
use aldis_services::MariaDb;
use aldis_store::mysql::{ClaimOutcome, Claimant, MysqlStore, MysqlWriter, migrate};
use aldis_store::{Fenced, MSG_ID_EPOCH_MS, SeedUsers, Store, Writer};
use aldis_wire::{MsgId, UserId};

use super::harness::{message, options, request, unix_ms};

/// The lease, and what the writer reserves at a time, ms.
const LEASE_MS: u64 = 5_000;
const RESERVATION_MS: u64 = 3_000;

/// A process on another machine.
fn elsewhere() -> Claimant {
    let this = Claimant::this_process().unwrap();
    Claimant { machine: "another".to_owned(), ..this }
}

struct Node {
    store: MysqlStore,
    writer: MysqlWriter,
    users: Vec<UserId>,
}

impl Node {
    fn new(url: &str) -> Self {
        migrate::migrate(url).unwrap();
        let store = MysqlStore::open(options(url, 1)).unwrap();
        let seed = SeedUsers { prefix: "user".into(), count: 2 };
        let users = store.seed_users(&seed, unix_ms()).unwrap();
        let writer = store.writer().unwrap();
        Self { store, writer, users }
    }

    fn send(&mut self, now_ms: u64) -> Result<MsgId, JobError> {
        let job: WriteJob = message(self.users[0], self.users[1], "hello");
        match self.writer.commit(now_ms, &[request(job)]).results.remove(0) {
            Ok(Written::Appended(appended)) => Ok(appended.msg_id),
            Ok(other) => panic!("{other:?}"),
            Err(why) => Err(why),
        }
    }
}

fn id_time_ms(id: MsgId) -> u64 {
    (id.0 >> 22) + MSG_ID_EPOCH_MS
}

/// Makes the lease of the node run out, as if nothing had renewed it for long.
fn end_lease(url: &str) {
    let database = url.rsplit('/').next().unwrap();
    MariaDb::shared().sql(&format!("UPDATE {database}.im_node SET lease_end_ms = 1"));
}

#[test]
fn nothing_is_sent_without_a_claim() {
    let url = MariaDb::shared().fresh_database();
    let mut node = Node::new(&url);
    assert_eq!(node.send(unix_ms()), Err(JobError::Unavailable));
    let claimant = Claimant::this_process().unwrap();
    assert_eq!(node.store.claim_node(&claimant, unix_ms()).unwrap(), ClaimOutcome::Claimed);
    node.send(unix_ms()).unwrap();
    node.store.release_node();
    assert_eq!(node.send(unix_ms()), Err(JobError::Unavailable));
}

#[test]
fn a_live_process_keeps_its_number_until_its_lease_runs_out() {
    let url = MariaDb::shared().fresh_database();
    let (mut first, mut second) = (Node::new(&url), Node::new(&url));
    let claimant = Claimant::this_process().unwrap();
    first.store.claim_node(&claimant, unix_ms()).unwrap();
    let ClaimOutcome::HeldBy { who, remaining_ms } =
        second.store.claim_node(&elsewhere(), unix_ms()).unwrap()
    else {
        panic!("two processes are one node");
    };
    assert!(who.contains(&std::process::id().to_string()), "{who}");
    assert!(who.contains(&claimant.host), "{who}");
    assert!((1..=LEASE_MS).contains(&remaining_ms));
    let ClaimOutcome::HeldBy { .. } = second.store.claim_node(&claimant, unix_ms()).unwrap() else {
        panic!("this process is alive");
    };

    end_lease(&url);
    assert_eq!(second.store.claim_node(&elsewhere(), unix_ms()).unwrap(), ClaimOutcome::Claimed);
    second.send(unix_ms()).unwrap();
    // The first one notices as soon as it wants to go on.
    std::thread::sleep(Duration::from_millis(1_600));
    assert_eq!(first.writer.maintain(unix_ms()), Err(Fenced::NodeClaimed { node: 1 }));
    assert_eq!(first.send(unix_ms()), Err(JobError::Unavailable));
    second.writer.maintain(unix_ms()).unwrap();
}

#[test]
fn renewals_keep_the_number_beyond_the_lease() {
    let url = MariaDb::shared().fresh_database();
    let (mut first, second) = (Node::new(&url), Node::new(&url));
    first.store.claim_node(&elsewhere(), unix_ms()).unwrap();
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(LEASE_MS + 1_500) {
        first.writer.maintain(unix_ms()).unwrap();
        let outcome = second.store.claim_node(&elsewhere(), unix_ms()).unwrap();
        assert!(matches!(outcome, ClaimOutcome::HeldBy { .. }));
        std::thread::sleep(Duration::from_millis(250));
    }
    first.store.release_node();
    assert_eq!(second.store.claim_node(&elsewhere(), unix_ms()).unwrap(), ClaimOutcome::Claimed);
}

#[test]
fn a_restart_takes_the_number_of_a_dead_process_at_once_and_repeats_no_id() {
    let url = MariaDb::shared().fresh_database();
    let (mut first, mut second) = (Node::new(&url), Node::new(&url));
    let this = Claimant::this_process().unwrap();
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap();
    let process = format!("{}/{start}", child.id());
    let now_ms = unix_ms();
    first.store.claim_node(&Claimant { process, ..this.clone() }, now_ms).unwrap();
    // Its clock is ahead, so its ids are, as far as it had reserved.
    let newest = first.send(now_ms + RESERVATION_MS - 500).unwrap();

    let outcome = second.store.claim_node(&this, now_ms).unwrap();
    assert!(matches!(outcome, ClaimOutcome::HeldBy { .. }), "it is alive");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(second.store.claim_node(&this, now_ms).unwrap(), ClaimOutcome::Claimed);
    assert!(second.send(now_ms).unwrap() > newest);
}

#[test]
fn a_process_that_slept_makes_no_id_before_it_has_asked_for_its_claim() {
    let url = MariaDb::shared().fresh_database();
    let (mut sleeper, mut successor) = (Node::new(&url), Node::new(&url));
    sleeper.store.claim_node(&elsewhere(), unix_ms()).unwrap();
    let before = sleeper.send(unix_ms()).unwrap();

    // It sleeps; the lease runs out; another process becomes the node and writes.
    end_lease(&url);
    assert_eq!(successor.store.claim_node(&elsewhere(), unix_ms()).unwrap(), ClaimOutcome::Claimed);
    let taken_over = successor.send(unix_ms()).unwrap();
    assert!(taken_over > before);

    // It wakes up in the middle of a batch whose time is still the old one, or after its clock has
    // gone on: either its ids are from what it had reserved, below all of the successor's, or there
    // are none.
    if let Ok(id) = sleeper.send(id_time_ms(before)) {
        assert!(id > before && id < taken_over, "{id:?}");
    }
    let woken_ms = unix_ms() + RESERVATION_MS + 1;
    assert_eq!(sleeper.send(woken_ms), Err(JobError::Unavailable));
    let fenced = sleeper.writer.maintain(woken_ms);
    assert_eq!(fenced, Err(Fenced::NodeClaimed { node: 1 }));
    successor.send(unix_ms()).unwrap();
}

#[test]
fn ids_are_never_far_behind_the_clock_of_the_database() {
    let url = MariaDb::shared().fresh_database();
    let mut node = Node::new(&url);
    let hour_behind_ms = unix_ms() - 3_600_000;
    node.store.claim_node(&elsewhere(), hour_behind_ms).unwrap();
    let begun_ms = unix_ms();
    let id = node.send(hour_behind_ms).unwrap();
    assert!(id_time_ms(id) + 3_000 > begun_ms, "{} {begun_ms}", id_time_ms(id));
}

#[test]
fn two_claims_at_once_give_one_owner() {
    let url = MariaDb::shared().fresh_database();
    migrate::migrate(&url).unwrap();
    let stores: Vec<_> = (0..8).map(|_| MysqlStore::open(options(&url, 1)).unwrap()).collect();
    let outcomes: Vec<ClaimOutcome> = std::thread::scope(|scope| {
        let claim = |store: &MysqlStore| store.claim_node(&elsewhere(), unix_ms()).unwrap();
        let threads: Vec<_> =
            stores.iter().map(|store| scope.spawn(move || claim(store))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let claimed = outcomes.iter().filter(|outcome| **outcome == ClaimOutcome::Claimed);
    assert_eq!(claimed.count(), 1, "{outcomes:?}");
}
