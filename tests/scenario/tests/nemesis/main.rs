//! Goal: whatever happens to nodes, database, Redis and the ways between nodes, one at a time or
//! several at once, in an order that a seed decides: no message is lost, doubled or out of order, those
//! whose node dies go on elsewhere, and when all is well again every node comes back to what it used
//! before. ALDIS_NEMESIS_SECONDS says how long, ALDIS_SEED repeats a schedule.

mod acts;
mod baseline;
mod followers;

use std::time::Duration;

use aldis_netem::alone;
use aldis_scenario::hammer::{Crowd, Hammer, HammerOptions, Moment};
use aldis_scenario::{Cluster, Server, audit, seed};
use aldis_services::MariaDb;

use acts::Nemesis;
use baseline::Baseline;
use followers::Followers;

/// How many nodes.
pub const NODES: u16 = 3;
/// Length of a schedule, unless ALDIS_NEMESIS_SECONDS says otherwise.
const SECONDS: u64 = 60;

/// A node with ports that it keeps when it is started again: in a network of the test's own all are
/// free.
fn start(mariadb: &MariaDb) -> Cluster {
    Cluster::start_on(mariadb, NODES, |id, mut options| {
        options.tables = format!(
            "[admin]\nlisten = \"127.0.0.1:{}\"\n[api]\nlisten = \"127.0.0.1:{}\"\n\
             requests_per_second = 0\n",
            acts::ADMIN_PORT + id,
            acts::API_PORT + id
        );
        options.with_cluster_keys(&format!("listen = \"127.0.0.1:{}\"", acts::LINK_PORT + id))
    })
}

#[test]
fn a_cluster_survives_whatever_a_seed_decides() {
    alone("a_cluster_survives_whatever_a_seed_decides", || {
        let seed = seed();
        let seconds = std::env::var("ALDIS_NEMESIS_SECONDS").ok();
        let seconds = seconds.map_or(SECONDS, |text| text.parse().expect("a number of seconds"));
        let mut mariadb = MariaDb::start();
        let mut cluster = start(&mariadb);
        let addresses: Vec<_> = cluster.nodes.iter().map(Server::address).collect();
        let gateways: Vec<String> =
            (1..=NODES).map(|id| format!("http://127.0.0.1:{}", acts::API_PORT + id)).collect();
        let options = HammerOptions {
            hot_users: 20,
            groups: 3,
            group_members: 30,
            group_percent: 5,
            writers: 6,
            feuds: 2,
            sends_per_s_max: if seconds > 120 { 60 } else { 200 },
            // Nodes and the database stand still.
            has_late_logins: true,
            gateways: gateways.clone(),
            ..HammerOptions::new(addresses.clone(), seed)
        };
        let crowd = Crowd::seed(&cluster.nodes[0], "crowd", options.users());
        let users = Followers::seed(&cluster.nodes[0]);
        let baseline = Baseline::take(&cluster);

        let began = Moment::now();
        let mut hammer = Hammer::start(options, &crowd);
        let followers = Followers::start(users, &gateways);
        hammer.wait_for_acks(200);
        let mut nemesis = Nemesis::new(seed, &mut cluster, &mut mariadb);
        nemesis.rage(Duration::from_secs(seconds), || {
            hammer.run_for(Duration::from_millis(50));
        });
        hammer.wait_for_acks(200);
        let answers = hammer.answers(began, Moment::now());
        println!("{} acknowledgements, {answers}", hammer.acks());
        for op in ["recall", "edit", "block", "group_remove", "group_dissolve"] {
            assert!(answers.count(op, "OK") > 0, "{op}: {answers}");
        }
        followers.finish();
        hammer.stop();
        assert_eq!(hammer.refusals().collect::<Vec<_>>(), [], "nobody is refused for good");
        hammer.final_syncs(&addresses);
        hammer.record_stored(&mariadb, &cluster.url);
        hammer.expect_valid();
        audit::assert_consistent(&mariadb, &cluster.url);
        baseline.expect_regained(&cluster);
        for node in &cluster.nodes {
            assert!(!node.log().contains("panicked"), "{}", node.log());
        }
    });
}
