//! Goal: pages come from a replica, and nobody can tell: whoever was told of seq n gets n, however
//! far the replica lags behind, hangs or is gone.

use std::time::{Duration, Instant};

use aldis_scenario::requests::{text_to, texts};
use aldis_scenario::{NodeOptions, RawClient, Server, wait_for};
use aldis_services::{MariaDb, Replicated};
use aldis_wire::{Command, DeviceClass, pb};

const PASSWORD: &str = "a password of a test";
/// Messages of one act.
const MESSAGES: usize = 200;
/// A reader is kept waiting once, for as long as the server trusts a replica to answer, and a
/// slow machine takes its time.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// Two users of two nodes that read from a replica.
struct Stage {
    nodes: [Server; 2],
    servers: Replicated,
    ann: RawClient,
    bob: RawClient,
    /// Bob's other device, at the other node.
    elsewhere: RawClient,
    ann_id: u64,
    bob_id: u64,
    /// Bob's head: all that was sent.
    head: u64,
}

impl Stage {
    fn start() -> Self {
        let servers = Replicated::start();
        let url = servers.primary.fresh_database();
        let database = url.rsplit('/').next().expect("a name");
        let replica_url = servers.replica.url(database);
        // Counts rows read by table.
        servers.replica.sql("SET GLOBAL userstat = 1");
        let nodes = [1, 2].map(|id| {
            let replica_urls = vec![replica_url.clone()];
            NodeOptions { replica_urls, ..NodeOptions::new(id, &url) }.start()
        });
        let [first, second] = nodes.each_ref().map(Server::address);
        let [ann_id, bob_id] =
            ["ann", "bob"].map(|name| RawClient::register(first, name, PASSWORD));
        let [ann, bob] = ["ann", "bob"]
            .map(|name| RawClient::login(first, name, PASSWORD, DeviceClass::Desktop));
        let elsewhere = RawClient::login(second, "bob", PASSWORD, DeviceClass::Web);
        Self { nodes, servers, ann, bob, elsewhere, ann_id, bob_id, head: 0 }
    }

    /// Ann says something, bob is told of it by a push and asks at once for what he was told of.
    fn say_and_read(&mut self) {
        let text = format!("message {}", self.head + 1);
        self.ann.send_message(&text_to(self.bob_id, &text));
        let push: pb::MsgPushNotify = self.bob.notification(Command::MsgPushNotify).decode();
        self.head += 1;
        assert_eq!(push.head, self.head);
        let asked_at = Instant::now();
        for client in [&mut self.bob, &mut self.elsewhere] {
            let page = client.sync_page(self.head - 1);
            assert_eq!(page.head, self.head);
            assert_eq!(texts(&page.entries), [text.as_str()], "told of it, but it is not there");
        }
        let body = pb::HistoryReq { receiver_id: self.ann_id, limit: 1, ..Default::default() };
        let newest: pb::HistoryResp = self.bob.call(Command::History, &body).ok();
        assert_eq!(texts(&newest.entries), [text.as_str()], "history lacks it");
        let waited = asked_at.elapsed();
        assert!(waited < ANSWER_MAX, "a reader waited for {waited:?}");
    }

    /// The whole mailbox, dense.
    fn read_all(&mut self) {
        let seqs: Vec<u64> = self.bob.sync_all(0).iter().map(|entry| entry.seq).collect();
        assert_eq!(seqs, (1..=self.head).collect::<Vec<_>>());
    }

    /// Rows of messages that were read from the replica.
    fn rows_from_replica(&self) -> u64 {
        let sql = "SELECT IFNULL(SUM(rows_read), 0) FROM information_schema.table_statistics
                   WHERE table_name = 'im_message_body'";
        self.servers.replica.sql(sql).parse().expect("a number")
    }

    fn assert_nothing_to_report(&self) {
        for log in self.nodes.each_ref().map(Server::log) {
            assert!(!log.contains("ERROR"), "{log}");
        }
    }

    fn wait_until_replica_is_read(&mut self) {
        let before = self.rows_from_replica();
        wait_for("pages come from the replica", || {
            self.read_all();
            self.rows_from_replica() > before
        });
    }
}

#[test]
fn whoever_is_told_of_an_entry_gets_it_however_far_the_replica_lags() {
    let mut stage = Stage::start();
    for _ in 0..MESSAGES {
        stage.say_and_read();
    }
    stage.servers.wait_until_caught_up();
    stage.wait_until_replica_is_read();

    stage.servers.stop_applying();
    let before = stage.rows_from_replica();
    for _ in 0..MESSAGES {
        stage.say_and_read();
    }
    // It is asked now and then whether it has caught up, not each time.
    let read = stage.rows_from_replica() - before;
    assert!(read < MESSAGES as u64 / 2, "{read} rows of a replica that lacks some");
    stage.read_all();

    // It comes and goes while they talk.
    for number in 0..MESSAGES {
        match number % 20 {
            0 => stage.servers.start_applying(),
            10 => stage.servers.stop_applying(),
            _ => {}
        }
        stage.say_and_read();
    }
    stage.servers.start_applying();
    stage.servers.wait_until_caught_up();
    stage.wait_until_replica_is_read();
    stage.assert_nothing_to_report();
}

#[test]
fn reads_go_on_while_the_replica_hangs_or_is_gone() {
    let mut stage = Stage::start();
    stage.say_and_read();
    stage.servers.wait_until_caught_up();
    stage.wait_until_replica_is_read();

    stage.servers.replica.pause();
    for _ in 0..MESSAGES {
        stage.say_and_read();
    }
    stage.servers.replica.resume();
    stage.servers.wait_until_caught_up();
    stage.wait_until_replica_is_read();

    stage.servers.replica.kill_9();
    for _ in 0..MESSAGES {
        stage.say_and_read();
    }
    stage.read_all();
    stage.servers.replica.restart();
    stage.servers.replica.sql("SET GLOBAL userstat = 1");
    stage.servers.wait_until_caught_up();
    stage.wait_until_replica_is_read();
    stage.assert_nothing_to_report();
}

/// A replica of something else: its rows would be nonsense.
#[test]
fn a_replica_with_other_content_is_not_read() {
    let primary = MariaDb::shared();
    let (url, other_url) = (primary.fresh_database(), primary.fresh_database());
    drop(NodeOptions::new(1, &other_url).start());
    let options = NodeOptions { replica_urls: vec![other_url], ..NodeOptions::new(1, &url) };
    let node = options.start();
    let ids = ["ann", "bob"].map(|name| RawClient::register(node.address(), name, PASSWORD));
    let mut ann = RawClient::login(node.address(), "ann", PASSWORD, DeviceClass::Desktop);
    for number in 1..=50 {
        ann.send_message(&text_to(ids[1], "hello"));
        assert_eq!(ann.sync_all(0).len(), number);
    }
}
