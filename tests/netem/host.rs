//! A router on the host's kernel: a namespace with a bridge and a pair of interfaces for each node.

use std::process::Command;

use crate::lab::{interface, router_namespace};
use crate::root::{as_root, ip, run};

/// See the file's first line.
pub struct HostRouter {
    prefix: String,
}

impl HostRouter {
    /// Whether this kernel can do it: it is asked in a namespace that nobody else uses.
    pub fn has_netem() -> bool {
        let words = ["--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"];
        run(as_root("unshare", "util-linux"), &words).is_ok()
    }

    /// A bridge between so many interfaces, which their nodes have to take.
    pub fn start(prefix: &str, node_count: usize) -> Self {
        let namespace = router_namespace(prefix);
        ip(&format!("netns add {namespace}"));
        ip(&format!("-n {namespace} link add bridge type bridge"));
        ip(&format!("-n {namespace} link set bridge up"));
        let router = Self { prefix: prefix.to_owned() };
        for node in 0..node_count {
            let (near, far) = (interface(prefix, node), router.device(node));
            ip(&format!("link add {near} type veth peer name {far} netns {namespace}"));
            ip(&format!("-n {namespace} link set {far} master bridge"));
            ip(&format!("-n {namespace} link set {far} up"));
        }
        router
    }

    /// The interface towards a node.
    pub fn device(&self, node: usize) -> String {
        format!("eth{node}")
    }

    /// `tc` on the router; what it printed.
    pub fn tc(&mut self, words: &str) -> String {
        let mut command: Command = as_root("ip", "iproute2");
        command.args(["netns", "exec", &router_namespace(&self.prefix), "tc"]);
        let words: Vec<_> = words.split_whitespace().collect();
        run(command, &words).unwrap_or_else(|error| panic!("{error}"))
    }
}
