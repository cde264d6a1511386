//! Goal: two linked nodes on one MariaDB and one Redis are one server: what 8 writers do to the same 50
//! users and 10 groups of 200 through both is dense, in commit order and complete for whoever
//! reads, a message that is sent through both at the same moment is one message, and members who
//! come and go disturb nobody.

use std::time::Duration;

use aldis_scenario::audit::assert_consistent;
use aldis_scenario::hammer::{Crowd, Hammer, HammerOptions, Moment};
use aldis_scenario::requests::{group_text, text_to};
use aldis_scenario::{NodeOptions, RawClient, SeededUser, Server, seed};
use aldis_services::{MariaDb, Redis};
use aldis_wire::{Command, DeviceClass, pb};

/// How long the writers write.
const LOAD_TIME: Duration = Duration::from_secs(30);
/// Messages that each sender sends through both nodes at once.
const TWINS_PER_SENDER: usize = 750;
const TWIN_SENDERS: usize = 4;
/// Of them on the wire at the same time.
const TWIN_WINDOW: usize = 5;
/// Transactions that the database may end in favour of another: there should be none, but its
/// choice of a plan is its own.
const DEADLOCKS_MAX: u64 = 5;

fn deadlocks(mariadb: &MariaDb) -> u64 {
    let row = mariadb.sql("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'");
    row.split('\t').nth(1).and_then(|count| count.parse().ok()).expect("MariaDB counts them")
}

fn assert_quiet(nodes: &[Server; 2]) {
    for log in nodes.each_ref().map(Server::log) {
        assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    }
}

#[test]
fn what_is_hammered_through_two_nodes_is_dense_ordered_and_complete() {
    let (mariadb, redis) = (MariaDb::start(), Redis::start());
    let url = mariadb.fresh_database();
    let nodes =
        [1, 2].map(|id| NodeOptions::new(id, &url).with_redis(redis.url()).with_link().start());
    let addresses: Vec<_> = nodes.iter().map(Server::address).collect();
    let options = HammerOptions { churners: 4, ..HammerOptions::new(addresses.clone(), seed()) };
    let crowd = Crowd::seed(&nodes[0], "crowd", 250);
    let began = Moment::now();
    let mut hammer = Hammer::start(options, &crowd);
    hammer.run_for(LOAD_TIME);
    hammer.stop();
    let answers = hammer.answers(began, Moment::now());
    let deadlocks = deadlocks(&mariadb);
    println!("{} acks, {} twins, {deadlocks} deadlocks", hammer.acks(), hammer.twins());
    println!("{answers}");
    assert_eq!(hammer.refusals().collect::<Vec<_>>(), [], "nobody is refused");
    for (operation, at_least) in [("send", 5_000), ("sync", 500), ("group_leave", 20)] {
        assert!(answers.count(operation, "OK") >= at_least, "too few: {answers}");
    }
    assert!(hammer.twins() > 200, "too few were sent twice: {}", hammer.twins());
    assert!(deadlocks <= DEADLOCKS_MAX, "{deadlocks} deadlocks");
    hammer.final_syncs(&addresses);
    hammer.record_stored(&mariadb, &url);
    hammer.expect_valid();
    assert_consistent(&mariadb, &url);
    assert_quiet(&nodes);
}

#[test]
fn what_is_sent_through_both_nodes_at_once_is_one_message() {
    let mariadb = MariaDb::start();
    let url = mariadb.fresh_database();
    let nodes = [1, 2].map(|id| NodeOptions::new(id, &url).start());
    let [phones, tablets] = [DeviceClass::Phone, DeviceClass::Tablet]
        .map(|class| nodes[0].seed_users("twin", TWIN_SENDERS + 2, class));
    let receivers: Vec<u64> = phones[TWIN_SENDERS..].iter().map(|user| user.id).collect();
    let mut founder = RawClient::login_seeded(nodes[0].address(), &phones[TWIN_SENDERS]);
    let members = phones.iter().map(|user| user.id).filter(|id| *id != receivers[0]);
    let group_id = founder.create_group(members.collect());
    std::thread::scope(|scope| {
        for (phone, tablet) in phones[..TWIN_SENDERS].iter().zip(&tablets) {
            let (nodes, receivers) = (&nodes, &receivers);
            scope.spawn(move || send_twins(nodes, [phone, tablet], receivers, group_id));
        }
    });
    let sent = TWIN_SENDERS * TWINS_PER_SENDER;
    let database = url.rsplit('/').next().expect("a name");
    let stored = format!("SELECT COUNT(client_msg_id) FROM {database}.im_message_body");
    assert_eq!(mariadb.sql(&stored), sent.to_string(), "each once");
    println!("{sent} messages sent twice, {} deadlocks", deadlocks(&mariadb));
    assert!(deadlocks(&mariadb) <= DEADLOCKS_MAX);
    assert_consistent(&mariadb, &url);
    assert_quiet(&nodes);
}

/// One user, whose two devices send the same messages at the same moment.
fn send_twins(nodes: &[Server; 2], devices: [&SeededUser; 2], receivers: &[u64], group_id: u64) {
    let login = |number: usize| RawClient::login_seeded(nodes[number].address(), devices[number]);
    let mut clients = [login(0), login(1)];
    for round in 0..TWINS_PER_SENDER / TWIN_WINDOW {
        let bodies: Vec<pb::MsgSendReq> = (0..TWIN_WINDOW)
            .map(|number| match receivers.get(number) {
                Some(receiver) => text_to(*receiver, &format!("message {number} of round {round}")),
                None => group_text(group_id, &format!("message {number} of round {round}")),
            })
            .collect();
        let first = round % 2;
        let mut asked = [Vec::new(), Vec::new()];
        for which in [first, 1 - first] {
            let send = |body| clients[which].send(Command::MsgSend, body);
            asked[which] = bodies.iter().map(send).collect();
        }
        for (one, other) in asked[0].iter().zip(&asked[1]) {
            let answers: [pb::MsgSendResp; 2] =
                [clients[0].response(*one).ok(), clients[1].response(*other).ok()];
            assert_eq!(answers[0], answers[1], "both are told the same of one message");
        }
        // What they are told of others' messages is not needed.
        clients.iter_mut().for_each(RawClient::forget_kept);
    }
}
