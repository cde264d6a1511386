//! Which node a new client is sent to: the nodes that the directory says are open, and a choice
//! among the least loaded. Knows no HTTP.

use std::time::{Duration, Instant};

use aldis_directory::{
    ANNOUNCE_INTERVAL_MS, Away, Conflict, Directory, LEASE_MS, NodeRecord, Sessions,
};
use aldis_logic::job::{AttemptJob, DirectoryJob, NodeId, Registration, Verdict};
use aldis_wire::UserId;
use parking_lot::Mutex;

/// What the directory said, and when.
pub struct Gateways {
    /// Where clients reach this node.
    own: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Least loaded first.
    nodes: Vec<Open>,
    heard_at: Option<Instant>,
    is_away: bool,
    outage_count: u64,
}

struct Open {
    address: String,
    /// Sessions, and clients sent there since they were counted.
    load: u64,
}

impl Gateways {
    /// Nothing was heard yet.
    pub fn new(own: String) -> Self {
        Self { own, state: Mutex::default() }
    }

    /// The directory answered, or did not.
    pub fn publish(&self, nodes: Result<Vec<NodeRecord>, Away>) {
        let mut state = self.state.lock();
        let Ok(nodes) = nodes else {
            state.outage_count += u64::from(!state.is_away);
            state.is_away = true;
            return;
        };
        let mut nodes: Vec<_> = nodes
            .into_iter()
            .map(|node| Open {
                address: node.announcement.client_address,
                load: node.session_count,
            })
            .collect();
        nodes.sort_by_key(|node| node.load);
        *state = State { nodes, heard_at: Some(Instant::now()), is_away: false, ..*state };
    }

    /// Where the next client shall go: the better of two random ones among the less loaded half,
    /// because what is known of loads is old, and all who ask at the same moment must not go to the
    /// same node. Without news of the others for longer than a lease: to this node, if it is open.
    pub fn choose(&self, is_open: bool, random: u64) -> Option<String> {
        let mut state = self.state.lock();
        let is_fresh = state
            .heard_at
            .is_some_and(|heard_at| heard_at.elapsed() < Duration::from_millis(LEASE_MS));
        if !is_fresh {
            return is_open.then(|| self.own.clone());
        }
        let nodes = &mut state.nodes;
        // The directory learns of a drain a little later than this node itself.
        let is_candidate = |node: &Open| is_open || node.address != self.own;
        let candidates: Vec<_> =
            (0..nodes.len()).filter(|index| is_candidate(&nodes[*index])).collect();
        let half = candidates.len().div_ceil(2).max(2).min(candidates.len());
        if half == 0 {
            return None;
        }
        let first = (random % half as u64) as usize;
        // Another one than the first, where there is one.
        let second = (first + 1 + (random >> 32) as usize % (half - 1).max(1)) % half;
        let (first, second) = (candidates[first], candidates[second]);
        let chosen = if nodes[second].load < nodes[first].load { second } else { first };
        nodes[chosen].load += 1;
        Some(nodes[chosen].address.clone())
    }

    /// Whether the directory answered when it was last asked.
    pub fn is_up(&self) -> bool {
        !self.state.lock().is_away
    }

    /// How often it stopped to answer.
    pub fn outage_count(&self) -> u64 {
        self.state.lock().outage_count
    }

    /// Nodes that take clients.
    pub fn open_count(&self) -> usize {
        self.state.lock().nodes.len()
    }
}

/// A directory that says regularly which nodes are open.
pub struct WatchedDirectory<D> {
    directory: D,
    gateways: std::sync::Arc<Gateways>,
    ask_at_ms: u64,
}

impl<D> WatchedDirectory<D> {
    /// Watches a directory.
    pub fn new(directory: D, gateways: std::sync::Arc<Gateways>) -> Self {
        Self { directory, gateways, ask_at_ms: 0 }
    }
}

impl<D: Directory> Directory for WatchedDirectory<D> {
    fn apply(&mut self, now_ms: u64, jobs: &[DirectoryJob]) -> Vec<Option<Registration>> {
        self.directory.apply(now_ms, jobs)
    }

    fn count_attempts(&mut self, now_ms: u64, jobs: &[AttemptJob]) -> Vec<Verdict> {
        self.directory.count_attempts(now_ms, jobs)
    }

    fn sessions_of(&mut self, now_ms: u64, users: &[UserId]) -> Sessions {
        self.directory.sessions_of(now_ms, users)
    }

    fn open_nodes(&mut self, now_ms: u64) -> Result<Vec<NodeRecord>, Away> {
        self.directory.open_nodes(now_ms)
    }

    fn nodes(&mut self, now_ms: u64) -> Result<Vec<NodeRecord>, Away> {
        self.directory.nodes(now_ms)
    }

    fn nodes_of(&mut self, now_ms: u64, nodes: &[NodeId]) -> Result<Vec<NodeRecord>, Away> {
        self.directory.nodes_of(now_ms, nodes)
    }

    /// Loads are as old as announcements anyway, so asking more often tells nothing new.
    fn maintain(&mut self, now_ms: u64) {
        self.directory.maintain(now_ms);
        if now_ms >= self.ask_at_ms {
            self.ask_at_ms = now_ms + ANNOUNCE_INTERVAL_MS;
            self.gateways.publish(self.directory.open_nodes(now_ms));
        }
    }

    fn poll_timeout(&self) -> u64 {
        self.directory.poll_timeout().min(self.ask_at_ms)
    }

    fn poll_conflict(&mut self) -> Option<Conflict> {
        self.directory.poll_conflict()
    }

    fn poll_recovered(&mut self, now_ms: u64) -> bool {
        self.directory.poll_recovered(now_ms)
    }

    fn drain(&mut self, now_ms: u64) {
        self.directory.drain(now_ms);
        self.ask_at_ms = now_ms;
    }

    fn leave(&mut self, now_ms: u64) {
        self.directory.leave(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aldis_directory::NodeAnnouncement;
    use aldis_logic::job::BootId;

    use super::*;

    fn node(number: u16, session_count: u64) -> NodeRecord {
        let client_address = format!("node-{number}:7700");
        let announcement = NodeAnnouncement { client_address, ..NodeAnnouncement::default() };
        NodeRecord { node: NodeId(number), boot: BootId(1), announcement, session_count }
    }

    /// How many of a thousand clients go where.
    fn spread(gateways: &Gateways, is_open: bool) -> HashMap<String, u32> {
        let mut counts = HashMap::new();
        for n in 0_u64..1_000 {
            let random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let chosen = gateways.choose(is_open, random ^ (random >> 29)).unwrap();
            *counts.entry(chosen).or_default() += 1;
        }
        counts
    }

    #[test]
    fn clients_go_where_there_are_few_and_spread_over_equals() {
        let gateways = Gateways::new("node-1:7700".into());
        gateways.publish(Ok(vec![node(1, 5_000), node(2, 10), node(3, 6_000), node(4, 20)]));
        let counts = spread(&gateways, true);
        assert_eq!(counts.values().sum::<u32>(), 1_000);
        let of = |name: &str| counts.get(name).copied().unwrap_or(0);
        assert_eq!((of("node-1:7700"), of("node-3:7700")), (0, 0), "{counts:?}");
        assert!(of("node-2:7700").abs_diff(of("node-4:7700")) <= 50, "{counts:?}");
    }

    #[test]
    fn two_nodes_even_out() {
        let gateways = Gateways::new("node-1:7700".into());
        gateways.publish(Ok(vec![node(1, 400), node(2, 0)]));
        let counts = spread(&gateways, true);
        assert!(counts["node-2:7700"].abs_diff(700) <= 10, "{counts:?}");
    }

    #[test]
    fn a_node_that_leaves_sends_clients_to_others_only() {
        let gateways = Gateways::new("node-1:7700".into());
        gateways.publish(Ok(vec![node(1, 0), node(2, 900)]));
        assert_eq!(spread(&gateways, false), HashMap::from([("node-2:7700".to_owned(), 1_000)]));
        gateways.publish(Ok(vec![node(1, 0)]));
        assert_eq!(gateways.choose(false, 7), None);
    }

    #[test]
    fn without_news_of_others_there_is_this_node() {
        let gateways = Gateways::new("node-1:7700".into());
        assert_eq!(gateways.choose(true, 7).as_deref(), Some("node-1:7700"));
        assert_eq!(gateways.choose(false, 7), None);
        gateways.publish(Ok(vec![node(2, 3)]));
        assert_eq!(gateways.choose(true, 7).as_deref(), Some("node-2:7700"));
        gateways.publish(Err(Away));
        gateways.publish(Err(Away));
        assert!(!gateways.is_up() && gateways.outage_count() == 1);
        // What is known holds as long as a lease would.
        assert_eq!(gateways.choose(true, 7).as_deref(), Some("node-2:7700"));
        gateways.publish(Ok(Vec::new()));
        assert!(gateways.is_up() && gateways.choose(true, 7).is_none());
    }
}
