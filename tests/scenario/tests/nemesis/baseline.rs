//! What nodes use when nothing happens: sockets, memory, queues. Knows names of metrics.

use aldis_scenario::http::{metric_sum, scrape};
use aldis_scenario::process::{descriptor_count, pss_bytes};
use aldis_scenario::{Cluster, Server, wait_for};

/// Descriptors more than before: a connection that is just closing, or a page that is asked for.
const DESCRIPTORS_SLACK: usize = 4;
/// Memory more than before, bytes: caches of users, routes, mailboxes and recent messages that are
/// bounded and kept, and what the allocator keeps.
const PSS_SLACK: u64 = 64 << 20;

/// What is 0 when nothing happens.
const RESTING: [&str; 9] = [
    "aldis_sessions",
    "aldis_connections",
    "aldis_queue_jobs",
    "aldis_link_parked_entries",
    "aldis_link_parked_bytes",
    "aldis_link_unacknowledged_kicks",
    "aldis_link_unacknowledged_messages",
    "aldis_link_in_flight_bytes",
    "aldis_draining",
];

/// See the file's first line. By node.
pub struct Baseline {
    descriptors: Vec<usize>,
    pss: Vec<u64>,
}

impl Baseline {
    /// Of a cluster that nobody uses.
    pub fn take(cluster: &Cluster) -> Self {
        wait_for("nodes rest", || cluster.nodes.iter().all(|node| unrest(node).is_empty()));
        let descriptors = cluster.nodes.iter().map(|node| descriptor_count(node.pid())).collect();
        let pss = cluster.nodes.iter().map(|node| pss_bytes(node.pid())).collect();
        Self { descriptors, pss }
    }

    /// Panics unless every node comes back to it in a bounded time.
    pub fn expect_regained(&self, cluster: &Cluster) {
        for (number, node) in cluster.nodes.iter().enumerate() {
            wait_for("nothing waits any more", || {
                let unrest = unrest(node);
                if !unrest.is_empty() {
                    println!("node {}: {unrest:?}", number + 1);
                    std::thread::sleep(std::time::Duration::from_millis(500));
                }
                unrest.is_empty()
            });
            let links = metric_sum(&scrape(node.http_address("admin")), "aldis_link_up");
            assert_eq!(links as usize, cluster.nodes.len() - 1, "all nodes are linked");
            let limit = self.descriptors[number] + DESCRIPTORS_SLACK;
            wait_for("descriptors are given back", || descriptor_count(node.pid()) <= limit);
            let limit = self.pss[number] + PSS_SLACK;
            wait_for("memory is given back", || pss_bytes(node.pid()) <= limit);
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            println!(
                "node {}: {} descriptors, {} before; {:.1} MiB, {:.1} before",
                number + 1,
                descriptor_count(node.pid()),
                self.descriptors[number],
                mib(pss_bytes(node.pid())),
                mib(self.pss[number]),
            );
        }
    }
}

/// What is not at rest in a node.
fn unrest(node: &Server) -> Vec<(&'static str, f64)> {
    let page = scrape(node.http_address("admin"));
    let values = RESTING.map(|name| (name, metric_sum(&page, name)));
    values.into_iter().filter(|(_, value)| *value != 0.0).collect()
}
