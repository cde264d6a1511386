//! Nodes: what they announce, how long that holds, how they leave.

use std::time::Duration;

use aldis_directory::LEASE_MS;
use aldis_wire::DeviceClass;

use crate::harness::{announcement, on_every_backend};

#[test]
fn nodes_see_what_others_announce_and_how_much_they_have_to_do() {
    on_every_backend(|bench| {
        for user in 0..7 {
            let record = bench.record(1, user, DeviceClass::Phone, 1);
            bench.register(1, record);
        }
        bench.skip(2_000);
        bench.settle();
        let open = bench.open_nodes(0);
        let counts: Vec<_> = open.iter().map(|record| record.session_count).collect();
        assert_eq!(counts, [0, 7]);
        for (record, ours) in open.iter().zip(&bench.nodes) {
            assert_eq!((record.node, record.boot), (ours.node, ours.boot));
            assert_eq!(record.announcement, announcement(ours.node));
        }
        let asked = [bench.nodes[1].node];
        assert_eq!(bench.nodes_of(0, &asked), open[1..]);
        assert_eq!(bench.nodes_of(0, &[]), []);
    });
}

#[test]
fn a_draining_node_gets_no_clients_but_keeps_its_sessions() {
    on_every_backend(|bench| {
        let record = bench.record(0, 0, DeviceClass::Phone, 1);
        bench.register(0, record);
        let now_ms = bench.now_ms();
        bench.nodes[0].directory.drain(now_ms);
        bench.skip(2_000);
        bench.settle();
        let asked = [bench.nodes[0].node, bench.nodes[1].node];
        let open = bench.open_nodes(1);
        assert_eq!(open.iter().map(|record| record.node).collect::<Vec<_>>(), asked[1..]);
        assert_eq!(bench.nodes_of(1, &asked).len(), 2);
        assert_eq!(bench.nodes(1), bench.nodes_of(1, &asked), "all nodes, that one included");
        assert_eq!(bench.seen(0), [record]);
    });
}

#[test]
fn a_node_that_leaves_takes_its_sessions_with_it() {
    on_every_backend(|bench| {
        let record = bench.record(0, 0, DeviceClass::Phone, 1);
        bench.register(0, record);
        let user = bench.user(0);
        assert_eq!(bench.sessions_of(1, &[user]), [record]);
        let now_ms = bench.now_ms();
        bench.nodes[0].directory.leave(now_ms);
        bench.skip(1_000);
        assert_eq!(bench.sessions_of(1, &[user]), []);
        let asked = [bench.nodes[0].node];
        assert_eq!(bench.nodes_of(1, &asked), []);
        assert_eq!(bench.open_nodes(1).len(), 1);
        assert_eq!(bench.nodes(1).len(), 1);
    });
}

#[test]
fn a_node_that_falls_silent_is_gone_until_it_speaks_again() {
    on_every_backend(|bench| {
        let record = bench.record(0, 0, DeviceClass::Phone, 1);
        bench.register(0, record);
        let user = bench.user(0);
        // Redis counts real time.
        std::thread::sleep(Duration::from_millis(LEASE_MS + 500));
        let now_ms = bench.now_ms();
        bench.nodes[1].directory.maintain(now_ms);
        assert_eq!(bench.sessions_of(1, &[user]), []);
        assert_eq!(bench.open_nodes(1).len(), 1);
        bench.settle();
        bench.skip(1_000);
        assert_eq!(bench.seen(0), [record]);
        assert_eq!(bench.open_nodes(1).len(), 2);
    });
}

#[test]
fn a_life_that_slept_does_not_push_out_its_successor() {
    on_every_backend(|bench| {
        let mut slept = bench.restart(0);
        bench.skip(2_000);
        let now_ms = bench.now_ms();
        slept.directory.maintain(now_ms);
        slept.directory.leave(now_ms);
        bench.settle();
        let asked = [bench.nodes[0].node];
        let boots: Vec<_> =
            bench.nodes_of(1, &asked).into_iter().map(|record| record.boot).collect();
        assert_eq!(boots, [bench.nodes[0].boot]);
    });
}
