//! Goal: on bad networks between nodes, real ones with the kernel's own impairments, nothing is lost
//! and nothing comes twice; what a bad network costs in time is printed beside what it must cost; and
//! after a cut whoever missed something has it within moments. Clients do nothing special.

use std::fmt::Write;
use std::time::{Duration, Instant};

use aldis_netem::{Lab, RouterKind, alone};
use aldis_scenario::hammer::{Crowd, Hammer, HammerOptions};
use aldis_scenario::http::{metric, metric_sum, scrape};
use aldis_scenario::{Cluster, Impair, Probe, Server, Spread, audit, login, seed};
use aldis_services::{MariaDb, Redis};
use aldis_wire::DeviceClass;

/// Messages per second of the probe.
const PROBES_PER_S: u32 = 200;
/// Of each phase; 800 messages of the probe.
const PHASE: Duration = Duration::from_secs(4);
/// Of a cut: well beyond the silence after which a session of the link counts as lost.
const CUT: Duration = Duration::from_secs(30);
/// After the end of a phase and after a cut everything is there within this, on a slow machine; 2 s
/// is what is aimed at, and printed.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(10);

/// One kind of bad network.
struct Phase {
    /// For tc-netem; what goes to each node is treated so.
    words: &'static str,
    /// What of it is known to delay messages: probability of loss, delay in ms.
    loss: f64,
    delay_ms: f64,
}

const fn phase(words: &'static str, loss: f64, delay_ms: f64) -> Phase {
    Phase { words, loss, delay_ms }
}

const PHASES: [Phase; 9] = [
    phase("", 0.0, 0.0),
    phase("loss 1%", 0.01, 0.0),
    phase("loss 5%", 0.05, 0.0),
    phase("loss 10%", 0.1, 0.0),
    phase("loss 30%", 0.3, 0.0),
    // Jitter makes datagrams overtake each other.
    phase("delay 20ms 5ms", 0.0, 20.0),
    phase("duplicate 20%", 0.0, 0.0),
    phase("corrupt 5%", 0.05, 0.0),
    phase("delay 10ms 3ms loss 5% duplicate 5% corrupt 2%", 0.07, 10.0),
];

/// The load: people who talk, groups, second devices, through all nodes.
fn options(nodes: &[Server], seed: u64) -> HammerOptions {
    HammerOptions {
        hot_users: 16,
        groups: 2,
        group_members: 24,
        group_percent: 5,
        writers: 4,
        readers: 2,
        sends_per_s_max: 60,
        ..HammerOptions::new(nodes.iter().map(Server::address).collect(), seed)
    }
}

/// A cluster under load, with a probe from its first node to its second.
struct Bench {
    hammer: Hammer,
    probe: Probe,
}

impl Bench {
    fn start(cluster: &Cluster, seed: u64) -> Self {
        let options = options(&cluster.nodes, seed);
        let crowd = Crowd::seed(&cluster.nodes[0], "crowd", options.users());
        let users = cluster.nodes[0].seed_users("probe", 2, DeviceClass::Phone);
        let hammer = Hammer::start(options, &crowd);
        let ada = login(&cluster.nodes[0], &users[0]).0;
        let ben = login(&cluster.nodes[1], &users[1]).0;
        let probe = Probe::start(ada, ben, users[1].id, PROBES_PER_S);
        // What the start of everything costs is not counted.
        hammer.run_for(Duration::from_secs(2));
        probe.take();
        Self { hammer, probe }
    }

    fn expect_caught_up(&self, what: &str) -> Duration {
        let took = self.probe.catch_up(CAUGHT_UP_MAX);
        took.unwrap_or_else(|| {
            panic!("after {what}: {} of {}", self.probe.has(), self.probe.sent())
        })
    }

    /// Nothing was lost, nothing came twice, everybody saw the same.
    fn finish(self, cluster: &Cluster, mariadb: &MariaDb) {
        let Self { mut hammer, probe } = self;
        println!("{} messages of the probe, each once", probe.stop());
        println!("{} acknowledgements of the load", hammer.acks());
        hammer.stop();
        assert_eq!(hammer.refusals().collect::<Vec<_>>(), [], "nobody is refused for good");
        hammer.final_syncs(&cluster.nodes.iter().map(Server::address).collect::<Vec<_>>());
        hammer.record_stored(mariadb, &cluster.url);
        hammer.expect_valid();
        audit::assert_consistent(mariadb, &cluster.url);
        cluster.assert_quiet();
    }
}

/// How many round trips more than none a message needs, so that fewer than this share need more.
fn rounds(loss: f64, share: f64) -> f64 {
    (0..).map(f64::from).find(|k| loss.powf(k + 1.0) <= share).expect("the loss is below 1")
}

const HEAD: &str = "what goes to each node              messages fetched p50 ms (bound) p99 ms (bound) \
                    lost spurious doubled rejected";

/// Everything of one phase, and what it must have taken: without the impairment, plus its delay, plus
/// the rounds that its losses cost.
#[derive(Default)]
struct Table {
    /// Without impairment: p50 and p99, ms.
    base: Option<[f64; 2]>,
    rtt_ms: f64,
    counted: [f64; 4],
    text: String,
}

impl Table {
    fn add(&mut self, phase: &Phase, bench: &Bench, nodes: &[Server]) {
        let seen = bench.probe.take();
        let [p50, p99] = [500, 990].map(|per_mille| seen.ms(per_mille));
        let pages: Vec<String> =
            nodes.iter().map(|node| scrape(node.http_address("admin"))).collect();
        if self.base.is_none() {
            let rtt = metric(&pages[0], "aldis_link_rtt_seconds{peer=\"2\"}").expect("a link");
            (self.base, self.rtt_ms) = (Some([p50, p99]), rtt * 1e3);
        }
        let base = self.base.unwrap_or_default();
        let round_ms = self.rtt_ms + 2.0 * phase.delay_ms;
        let bound =
            |at: usize, share| base[at] + phase.delay_ms + rounds(phase.loss, share) * round_ms;
        let totals = [
            "aldis_link_datagrams_lost_total",
            "aldis_link_spurious_losses_total",
            "aldis_link_duplicate_messages_total",
            "aldis_link_datagrams_rejected_total",
        ]
        .map(|name| pages.iter().map(|page| metric_sum(page, name)).sum::<f64>());
        let [lost, spurious, doubled, rejected] =
            [0, 1, 2, 3].map(|at| totals[at] - self.counted[at]);
        self.counted = totals;
        let words = if phase.words.is_empty() { "everything passes" } else { phase.words };
        let (messages, fetched) = (seen.took.len(), seen.fetched);
        let (b50, b99) = (bound(0, 0.5), bound(1, 0.01));
        writeln!(
            self.text,
            "{words:<48} {messages:>5} {fetched:>5} {p50:>8.1} ({b50:>5.1}) {p99:>8.1} ({b99:>5.1}) \
             {lost:>5} {spurious:>5} {doubled:>5} {rejected:>5}"
        )
        .expect("a string takes it");
        assert!(messages > 0, "{words}");
    }

    fn print(&self, what: &str) {
        println!("{what}; round trip of the link without impairment: {:.2} ms", self.rtt_ms);
        println!("{HEAD}\n{}", self.text);
    }
}

#[test]
fn under_loss_delay_duplication_and_cuts_nothing_is_lost() {
    alone("under_loss_delay_duplication_and_cuts_nothing_is_lost", || {
        let seed = seed();
        let mut spread = Spread::start(3, |_, options| options);
        let bench = Bench::start(&spread.cluster, seed);
        let mut table = Table::default();
        for phase in &PHASES {
            if !phase.words.is_empty() {
                spread.impair_all(phase.words);
            }
            bench.hammer.run_for(PHASE);
            let dropped: u64 = (0..3).map(|node| spread.lab.counts(node).dropped).sum();
            spread.heal_all();
            bench.expect_caught_up(phase.words);
            table.add(phase, &bench, &spread.cluster.nodes);
            assert!(!phase.words.starts_with("loss") || dropped > 0, "{}", phase.words);
        }
        table.print("tc netem");
        for (what, nodes) in [("both ways", 0..3), ("towards the second node only", 1..2)] {
            let links_before = spread.cluster.links_of(0, 1);
            nodes.for_each(|node| spread.lab.impair(node, "loss 100%"));
            bench.hammer.run_for(CUT);
            // One interface after the other heals, so the time is one from the first on.
            let healing_at = Instant::now();
            spread.heal_all();
            let healed = healing_at.elapsed();
            bench.expect_caught_up(what);
            let took = healing_at.elapsed();
            println!(
                "cut {what} for {CUT:?}: everything was at its reader {took:?} after healing began, \
                 which took {healed:?}"
            );
            let is_back = || spread.cluster.links_of(0, 1) > links_before;
            aldis_scenario::wait_for("the link is back", is_back);
            let took = bench.expect_caught_up(what);
            println!("with the link back, what was sent until then: {took:?} later");
            bench.probe.take();
        }
        bench.finish(&spread.cluster, &spread.mariadb);
    });
}

#[test]
fn under_a_packet_filter_that_drops_and_doubles_nothing_is_lost() {
    alone("under_a_packet_filter_that_drops_and_doubles_nothing_is_lost", || {
        let seed = seed();
        let lab = Lab::start_on(RouterKind::Host, 3);
        let spread = Spread::start_on(lab, |_, options| options);
        let bench = Bench::start(&spread.cluster, seed);
        let mut table = Table::default();
        bench.hammer.run_for(PHASE);
        table.add(&phase("", 0.0, 0.0), &bench, &spread.cluster.nodes);
        for (words, percent, loss) in
            [("nft drops 1%", 1, 0.01), ("nft drops 10%", 10, 0.1), ("nft drops 30%", 30, 0.3)]
        {
            let rule = format!("udp dport 7701 numgen random mod 100 < {percent} drop");
            (0..3).for_each(|node| spread.filter(node, "input", &rule));
            bench.hammer.run_for(PHASE);
            (0..3).for_each(|node| spread.filter(node, "input", ""));
            bench.expect_caught_up(words);
            table.add(&phase(words, loss, 0.0), &bench, &spread.cluster.nodes);
        }
        for node in 0..3 {
            // The copy goes to where the datagram goes.
            let others = spread.lab.nodes().iter().enumerate().filter(|(other, _)| *other != node);
            let rule = |address| format!("ip daddr {address} udp dport 7701 dup to {address}\n");
            let rules: String = others.map(|(_, other)| rule(other.address())).collect();
            spread.filter(node, "output", &rules);
        }
        bench.hammer.run_for(PHASE);
        (0..3).for_each(|node| spread.filter(node, "output", ""));
        bench.expect_caught_up("doubling");
        let before = table.counted[3];
        table.add(&phase("nft doubles everything", 0.0, 0.0), &bench, &spread.cluster.nodes);
        assert!(table.counted[3] > before + 100.0, "copies were made, and dropped");
        table.print("nftables");
        bench.finish(&spread.cluster, &spread.mariadb);
    });
}

#[test]
fn behind_relays_that_impair_nothing_is_lost() {
    alone("behind_relays_that_impair_nothing_is_lost", || {
        let seed = seed();
        let seed_text = seed.to_string();
        // All ports are free here. Each node tells the others the address of the relay before it.
        let mut relays: Vec<Impair> = [1, 2, 3]
            .map(|node| {
                let (listen, to) = (format!("127.0.0.1:780{node}"), format!("127.0.0.1:770{node}"));
                Impair::start(&["udp", "--listen", &listen, "--to", &to, "--seed", &seed_text])
            })
            .into();
        let mariadb = MariaDb::start();
        let cluster = Cluster::start_between(&mariadb, Redis::start(), 3, |id, mut options| {
            options.tables = "[admin]\nlisten = \"127.0.0.1:0\"\n".to_owned();
            let keys = format!("listen = \"127.0.0.1:770{id}\"\nadvertise = \"127.0.0.1:780{id}\"");
            options.with_cluster_keys(&keys)
        });
        let bench = Bench::start(&cluster, seed);
        let mut table = Table::default();
        for one in [
            phase("", 0.0, 0.0),
            // A datagram passes one relay on each way: its sessions begin at either end.
            phase("loss=10%", 0.1, 0.0),
            phase("delay=20ms jitter=5ms", 0.0, 20.0),
            phase("delay=10ms jitter=3ms loss=5% duplicate=5% corrupt=2%", 0.07, 10.0),
        ] {
            let set = |relay: &mut Impair, words: &str| relay.set(words);
            if !one.words.is_empty() {
                relays.iter_mut().for_each(|relay| set(relay, one.words));
            }
            bench.hammer.run_for(PHASE);
            relays.iter_mut().for_each(|relay| set(relay, "clear"));
            bench.expect_caught_up(one.words);
            table.add(&one, &bench, &cluster.nodes);
        }
        table.print("aldis impair");
        bench.finish(&cluster, &mariadb);
    });
}
