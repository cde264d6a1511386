//! Goal: who may do what is one table, and it holds on every store: each command, towards whatever
//! another user or a group is to the one who asks. What is refused has changed nothing.

mod bodies;
mod table;
mod world;

use aldis_scenario::{Cluster, Server};
use aldis_wire::Command;
use table::{GROUPS, Matrix, SESSIONS, USERS};
use world::World;

/// Commands without a row would be commands that nobody thought about.
#[test]
fn every_command_has_a_row() {
    let rows: Vec<Command> = [SESSIONS, USERS, GROUPS]
        .iter()
        .flat_map(|text| Matrix::parse(text).rows)
        .map(|row| row.command)
        .collect();
    for command in Command::REQUESTS {
        assert!(rows.contains(&command), "{command:?} has no row in table.rs");
    }
}

#[test]
fn the_table_holds_on_one_machine() {
    let server = Server::start();
    World::new(&server, &server).check_all();
}

/// Who asks is on another node than all others.
#[test]
fn the_table_holds_between_two_nodes() {
    let cluster = Cluster::start(2);
    World::new(&cluster.nodes[0], &cluster.nodes[1]).check_all();
    cluster.assert_quiet();
}
