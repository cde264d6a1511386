//! A second network between the nodes of a lab and whoever started it, which no impairment reaches:
//! for what is not to be tested. Knows no program.

use std::net::Ipv4Addr;

use crate::lab::{Lab, Node};
use crate::root::ip;

/// Where who started the lab is in this network.
pub const MANAGEMENT_HOST: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 254);

impl Lab {
    /// Gives each node an interface in this network. Only for a test that is `alone`: the addresses
    /// are always the same.
    pub fn open_management(&self) {
        let bridge = format!("{}m", self.prefix());
        ip(&format!("link add {bridge} type bridge"));
        ip(&format!("addr add {MANAGEMENT_HOST}/24 dev {bridge}"));
        ip(&format!("link set {bridge} up"));
        for (index, node) in self.nodes().iter().enumerate() {
            let (near, far) = (format!("{bridge}h{index}"), format!("{bridge}n{index}"));
            let namespace = node.namespace();
            ip(&format!("link add {near} type veth peer name {far} netns {namespace}"));
            ip(&format!("link set {near} master {bridge}"));
            ip(&format!("link set {near} up"));
            ip(&format!("-n {namespace} addr add {}/24 dev {far}", node.management_address()));
            ip(&format!("-n {namespace} link set {far} up"));
        }
    }
}

impl Node {
    /// Where it is in the management's network.
    pub fn management_address(&self) -> Ipv4Addr {
        let [_, _, _, host] = self.address().octets();
        Ipv4Addr::new(10, 78, 0, host)
    }
}
