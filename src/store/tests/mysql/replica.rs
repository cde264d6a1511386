//! Pages come from a replica when it has all that the primary's heads count, and from the primary
//! otherwise.

use std::time::{Duration, Instant};

use aldis_logic::job::{CreateGroup, GroupLimits, MessageChange, MessageJob, WriteJob, Written};
use aldis_services::{MariaDb, Replicated};
use aldis_store::Writer;
use aldis_store::mysql::{MysqlOptions, migrate};
use aldis_wire::{ConvSeq, ConversationKey, RequestId};

use super::harness::{Scene, message, options, request, texts, unix_ms};

/// A replica is passed over for at most so long after it failed or lagged; far above it.
const REST_MAX: Duration = Duration::from_secs(30);

struct Cluster {
    servers: Replicated,
    scene: Scene,
}

impl Cluster {
    fn new() -> Self {
        let servers = Replicated::start();
        let url = servers.primary.fresh_database();
        migrate::migrate(&url).unwrap();
        servers.wait_until_caught_up();
        let name = url.rsplit('/').next().unwrap();
        let replicas = vec![servers.replica.url(name)];
        let scene = Scene::with(MysqlOptions { replicas, ..options(&url, 1) });
        Self { servers, scene }
    }

    /// Asks until the replica was read from.
    fn until_replica_reads(&mut self) {
        let before = page_reads(&self.servers.replica);
        let begun = Instant::now();
        while page_reads(&self.servers.replica) == before {
            assert!(begun.elapsed() < REST_MAX, "the replica is not read from");
            self.scene.writer.maintain(unix_ms()).unwrap();
            self.scene.sync(self.scene.bob, 0).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// How many transactions that only read it has run.
fn page_reads(server: &MariaDb) -> u64 {
    let status = server.sql("SHOW GLOBAL STATUS LIKE 'Com_begin'");
    status.split('\t').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_replica_that_has_everything_is_read_from() {
    let mut cluster = Cluster::new();
    for number in 0..10 {
        cluster.scene.send(&format!("message {number}")).unwrap();
    }
    cluster.servers.wait_until_caught_up();
    cluster.until_replica_reads();
    let before = page_reads(&cluster.servers.replica);
    let bob = cluster.scene.bob;
    for after in 0..10 {
        let page = cluster.scene.sync(bob, after).unwrap();
        assert_eq!((page.head.0, page.entries.len() as u64), (10, 10 - after));
    }
    let page = cluster.scene.history().unwrap();
    assert_eq!(page.entries.len(), 10);
    assert!(page_reads(&cluster.servers.replica) >= before + 11);
}

#[test]
fn a_replica_that_lags_is_passed_over_and_taken_back() {
    let mut cluster = Cluster::new();
    cluster.scene.send("old").unwrap();
    cluster.servers.wait_until_caught_up();
    cluster.until_replica_reads();

    cluster.servers.stop_applying();
    for number in 0..20 {
        let told = cluster.scene.send(&format!("new {number}")).unwrap();
        let page = cluster.scene.sync(cluster.scene.bob, 0).unwrap();
        assert_eq!(texts(&page).len() as u64, told.seq.0, "told of it, so it must be there");
        let page = cluster.scene.history().unwrap();
        assert_eq!(page.entries.len() as u64, told.conv_seq.0);
        // Longer than it is passed over.
        std::thread::sleep(Duration::from_millis(50));
    }
    // What it has is enough for who asks for no more.
    cluster.servers.start_applying();
    cluster.servers.wait_until_caught_up();
    cluster.until_replica_reads();
}

/// Runs a job that must succeed.
fn run(scene: &mut Scene, job: WriteJob) -> Written {
    scene.writer.commit(unix_ms(), &[request(job)]).results.remove(0).unwrap()
}

fn recall(scene: &mut Scene, conversation: ConversationKey, at: u64) {
    let change = MessageChange::Recall { within_ms: 600_000 };
    let job = MessageJob { actor: scene.ann, conversation, conv_seq: ConvSeq(at), change };
    run(scene, WriteJob::Message(job));
}

#[test]
fn what_was_recalled_is_not_read_from_a_replica_that_lags() {
    let mut cluster = Cluster::new();
    let told = cluster.scene.send("secret").unwrap();
    cluster.servers.wait_until_caught_up();
    cluster.until_replica_reads();
    cluster.servers.stop_applying();
    let (ann, bob) = (cluster.scene.ann, cluster.scene.bob);
    recall(&mut cluster.scene, ConversationKey::direct(ann, bob), told.conv_seq.0);
    for _ in 0..20 {
        let page = cluster.scene.sync(bob, 0).unwrap();
        assert_eq!((page.entries.len(), page.entries[0].1.content.len()), (2, 0));
        let page = cluster.scene.history().unwrap();
        assert_eq!((page.entries.len(), page.entries[0].content.len()), (2, 0));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Who has left gets no entry of the recall: the replica has all of that one's mailbox, and the text.
#[test]
fn who_left_a_group_reads_nothing_recalled_from_a_replica_that_lags() {
    let mut cluster = Cluster::new();
    let scene = &mut cluster.scene;
    let (ann, bob) = (scene.ann, scene.bob);
    let group = WriteJob::CreateGroup(CreateGroup {
        owner: ann,
        name: "group".into(),
        members: vec![bob],
        open_history: false,
        request_id: RequestId([1; 16]),
        limits: GroupLimits::default(),
    });
    let Written::GroupCreated { group, .. } = run(scene, group) else { panic!("no group") };
    let key = ConversationKey::group(group);
    let WriteJob::Append(mut secret) = message(ann, bob, "secret") else { unreachable!() };
    secret.conversation = key;
    run(scene, WriteJob::Append(secret));
    run(scene, WriteJob::LeaveGroup { user: bob, group });
    cluster.servers.wait_until_caught_up();
    cluster.until_replica_reads();
    cluster.servers.stop_applying();
    let page = cluster.scene.sync(bob, 1).unwrap();
    assert_eq!(&page.entries[0].1.content[..], b"secret");
    recall(&mut cluster.scene, key, 2);
    for _ in 0..20 {
        let page = cluster.scene.sync(bob, 1).unwrap();
        assert_eq!((page.entries.len(), page.entries[0].1.content.len()), (2, 0));
        // Longer than a replica is passed over.
        std::thread::sleep(Duration::from_millis(50));
    }
    cluster.servers.start_applying();
    cluster.servers.wait_until_caught_up();
    cluster.until_replica_reads();
}

#[test]
fn a_replica_that_is_killed_or_hangs_does_no_harm() {
    let mut cluster = Cluster::new();
    cluster.scene.send("hello").unwrap();
    cluster.servers.wait_until_caught_up();
    cluster.until_replica_reads();
    cluster.servers.replica.kill_9();
    for _ in 0..50 {
        assert_eq!(texts(&cluster.scene.sync(cluster.scene.bob, 0).unwrap()), ["hello"]);
    }
    cluster.servers.replica.restart();
    cluster.until_replica_reads();
    cluster.servers.replica.pause();
    let begun = Instant::now();
    for _ in 0..50 {
        assert_eq!(texts(&cluster.scene.sync(cluster.scene.bob, 0).unwrap()), ["hello"]);
    }
    // If each waited for the replica's timeout, it would be fifty times as much.
    assert!(begun.elapsed() < REST_MAX, "{:?}", begun.elapsed());
    cluster.servers.replica.resume();
    cluster.until_replica_reads();
}

#[test]
fn a_replica_of_another_store_is_not_read_from() {
    let server = MariaDb::shared();
    let (url, other) = (server.fresh_database(), server.fresh_database());
    let mut strange = Scene::new(&other);
    strange.send("of another store").unwrap();
    migrate::migrate(&url).unwrap();
    let mut scene = Scene::with(MysqlOptions { replicas: vec![other], ..options(&url, 1) });
    scene.send("ours").unwrap();
    for _ in 0..30 {
        assert_eq!(texts(&scene.sync(scene.bob, 0).unwrap()), ["ours"]);
        std::thread::sleep(Duration::from_millis(50));
    }
}
