//! Goal: a day of ten users with three devices each, through the client library alone, uses every
//! command; some of their groups are so large that they are streams. At its end all devices of a user
//! have the same picture, and so has a device that begins from nothing afterwards.

mod crowds;
mod device;
mod diary;
mod story;
mod town;

use aldis_scenario::{Cluster, Server, ServerOptions};
use town::Town;

/// Heartbeats within the day; the admin page, which counts commands; groups of more than seven are
/// streams.
const TABLES: &str = "[session]\nheartbeat_s = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n\
                      [policy]\nfanout_max = 7\n";

#[test]
fn a_day_on_one_machine_leaves_one_picture() {
    let config = TABLES.to_owned();
    let server = Server::start_with(ServerOptions { config, ..ServerOptions::default() });
    live(&[&server]);
}

#[test]
fn a_day_on_two_nodes_leaves_one_picture() {
    let cluster = Cluster::start_with(2, |_, options| {
        let options = options.with_link();
        aldis_scenario::NodeOptions { tables: TABLES.to_owned(), ..options }
    });
    live(&cluster.nodes.iter().collect::<Vec<_>>());
    cluster.assert_quiet();
}

fn live(nodes: &[&Server]) {
    let mut town = Town::wake(nodes);
    story::tell(&mut town);
    town.settle();
    town.assert_agreed();
    let pictures = town.pictures();
    town.assert_history_agrees();
    town.assert_streams_agree();
    town.assert_lists_agree();
    town.assert_all_commands_used();
    // Every device is gone at once, and begins from nothing.
    town.reinstall();
    town.settle();
    town.assert_agreed();
    assert_eq!(town.pictures(), pictures, "what was seen live is what is read afterwards");
    town.assert_history_agrees();
    town.assert_streams_agree();
    town.assert_lists_agree();
    town.assert_found_again();
}
