//! The lab: namespaces of nodes and the router between them, made and cleared away. Knows no kernel.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use aldis_services::{find, run_after_exit};

use crate::host::HostRouter;
use crate::root::{as_root, ip, run, sudo};
use crate::vm::VmRouter;

/// Nodes of a lab: what tests of clusters need, and the addresses of `10.77.0.0/24` by far.
const NODES_MAX: usize = 8;

/// Where the impairments happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouterKind {
    /// In a namespace of this machine.
    Host,
    /// In a virtual machine.
    Vm,
}

enum Router {
    Host(HostRouter),
    Vm(Box<VmRouter>),
}

/// One end: a network namespace with one interface besides loopback.
#[derive(Clone, Debug)]
pub struct Node {
    namespace: String,
    address: Ipv4Addr,
}

impl Node {
    /// Its address towards the others.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its namespace.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The words before a program and its arguments that put it into this namespace, by exec(2) only.
    /// For root.
    pub fn wrapper(&self) -> Vec<String> {
        let setpriv = ["setpriv", "--pdeathsig", "KILL", "--"];
        let words = ["ip", "netns", "exec", &self.namespace].into_iter().chain(setpriv);
        words.map(str::to_owned).collect()
    }

    /// Runs a program in this namespace to its end, which must be a good one; what it printed.
    pub fn run(&self, program: &str, package: &str, args: &[&str]) -> String {
        let command = self.command(&find(program, package));
        run(command, args).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A program in this namespace, ready for arguments.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = as_root("ip", "iproute2");
        command.args(["netns", "exec", &self.namespace]);
        // With the test's process it ends too.
        command.arg(find("setpriv", "util-linux")).args(["--pdeathsig", "KILL", "--"]);
        command.arg(program);
        command
    }
}

/// What a router did to what goes to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Packets passed on.
    pub sent: u64,
    /// Packets dropped.
    pub dropped: u64,
}

/// See the file's first line. Dropping it clears everything away.
pub struct Lab {
    prefix: String,
    nodes: Vec<Node>,
    router: Router,
}

impl Lab {
    /// A lab with so many nodes and nothing impaired, on the router that this machine can have.
    pub fn start(node_count: usize) -> Self {
        let kind = if HostRouter::has_netem() { RouterKind::Host } else { RouterKind::Vm };
        Self::start_on(kind, node_count)
    }

    /// The same on a router of this kind. On a host whose kernel lacks sch_netem nothing can be
    /// impaired.
    pub fn start_on(kind: RouterKind, node_count: usize) -> Self {
        assert!((2..=NODES_MAX).contains(&node_count), "two to {NODES_MAX} nodes");
        static LABS: AtomicU32 = AtomicU32::new(0);
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        // Names of interfaces have at most 15 bytes.
        let prefix = format!("an{:x}x{number}", std::process::id());
        clear_after_exit(&prefix);
        let nodes: Vec<_> = (0..node_count)
            .map(|index| {
                let namespace = format!("{prefix}n{index}");
                ip(&format!("netns add {namespace}"));
                ip(&format!("-n {namespace} link set lo up"));
                Node { namespace, address: Ipv4Addr::new(10, 77, 0, index as u8 + 1) }
            })
            .collect();
        // A virtual machine opens its interfaces before they move to the nodes' namespaces.
        let router = match kind {
            RouterKind::Host => Router::Host(HostRouter::start(&prefix, node_count)),
            RouterKind::Vm => Router::Vm(Box::new(VmRouter::start(&prefix, node_count))),
        };
        for (index, node) in nodes.iter().enumerate() {
            let (namespace, interface) = (&node.namespace, interface(&prefix, index));
            ip(&format!("link set {interface} netns {namespace}"));
            ip(&format!("-n {namespace} addr add {}/24 dev {interface}", node.address));
            // Packets of several segments would be impaired as one.
            ip(&format!("-n {namespace} link set {interface} gso_max_segs 1"));
            ip(&format!("-n {namespace} link set {interface} up"));
        }
        Self { prefix, nodes, router }
    }

    /// What all names of this lab begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where the impairments happen.
    pub fn kind(&self) -> RouterKind {
        match self.router {
            Router::Host(_) => RouterKind::Host,
            Router::Vm(_) => RouterKind::Vm,
        }
    }

    /// The nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Impairs what goes to this node from now on: words of tc-netem(8), as
    /// `delay 20ms 5ms loss 10%`. They replace the ones before.
    pub fn impair(&mut self, node: usize, words: &str) {
        let device = self.device(node);
        self.tc(&format!("qdisc replace dev {device} root netem limit 10000 {words}"));
    }

    /// Lets everything pass to this node.
    pub fn heal(&mut self, node: usize) {
        let device = self.device(node);
        self.tc(&format!("qdisc replace dev {device} root pfifo limit 10000"));
    }

    /// What happened to what goes to this node since the last change.
    pub fn counts(&mut self, node: usize) -> Counts {
        let device = self.device(node);
        let text = self.tc(&format!("-s qdisc show dev {device} root"));
        parse_counts(&text).unwrap_or_else(|| panic!("no counts in {text:?}"))
    }

    /// The router's interface towards a node.
    fn device(&self, node: usize) -> String {
        assert!(node < self.nodes.len(), "there are {} nodes", self.nodes.len());
        match &self.router {
            Router::Host(router) => router.device(node),
            Router::Vm(router) => router.device(node),
        }
    }

    fn tc(&mut self, words: &str) -> String {
        match &mut self.router {
            Router::Host(router) => router.tc(words),
            Router::Vm(router) => router.tc(words),
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // What runs in a namespace keeps it alive a little longer; its name is gone at once.
        for node in &self.nodes {
            let _ = run(as_root("ip", "iproute2"), &["netns", "del", &node.namespace]);
        }
        let _ = run(as_root("ip", "iproute2"), &["netns", "del", &router_namespace(&self.prefix)]);
    }
}

/// A node's interface, in its own namespace.
pub fn interface(prefix: &str, node: usize) -> String {
    format!("{prefix}i{node}")
}

/// Where the host's router is.
pub fn router_namespace(prefix: &str) -> String {
    format!("{prefix}r")
}

/// A test that is killed clears nothing away itself.
fn clear_after_exit(prefix: &str) {
    let sudo = sudo();
    let script = format!(
        "for name in $(ip netns list | cut -d' ' -f1 | grep \"^$0\"); do \
         {sudo}ip netns del $name; done; \
         for name in $(ls /sys/class/net | grep \"^$0\"); do {sudo}ip link del $name; done"
    );
    run_after_exit(&script, OsStr::new(prefix));
}

/// From a line like ` Sent 420 bytes 5 pkt (dropped 1, overlimits 0 requeues 0)`.
fn parse_counts(text: &str) -> Option<Counts> {
    let line = text.lines().find(|line| line.trim_start().starts_with("Sent "))?;
    let sent = line.split_whitespace().nth(3)?.parse().ok()?;
    let dropped = line.split("dropped ").nth(1)?.split(',').next()?.parse().ok()?;
    Some(Counts { sent, dropped })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_what_tc_prints() {
        let text = "qdisc netem 8001: root refcnt 2 limit 1000 delay 20ms loss 10%\n \
                    Sent 42000 bytes 512 pkt (dropped 57, overlimits 0 requeues 0)\n \
                    backlog 0b 0p requeues 0\n";
        assert_eq!(parse_counts(text), Some(Counts { sent: 512, dropped: 57 }));
        assert_eq!(parse_counts("qdisc noqueue 0: root\n"), None);
    }

    #[test]
    fn names_fit_into_the_kernels_limit() {
        let prefix = format!("an{:x}x{}", 4_194_304, 99);
        assert!(interface(&prefix, NODES_MAX - 1).len() <= 15);
    }
}
