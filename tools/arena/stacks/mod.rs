//! The transports: each one's name, what order it keeps, and how to make a pair of its ends. The
//! adapters, one file each, do not know each other.

mod enet;
mod framing;
mod kcp;
mod quinn;
mod rudp;
mod tcp;

use std::net::SocketAddr;

use crate::end::End;
use quinn::{Controller, Streams};

/// Both ends of a transport.
pub type Pair = (Box<dyn End>, Box<dyn End>);

/// Which messages a transport lets wait for which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// None for any.
    Nothing,
    /// Those of a flow for earlier ones of it.
    Flow,
    /// All for all earlier ones.
    Total,
}

/// A transport with its settings.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    /// As it is asked for and printed.
    pub name: &'static str,
    /// Its order.
    pub keeps: Keeps,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Quinn(Streams, Controller),
    Kcp { is_per_flow: bool },
    Enet,
    Tcp,
    Rudp(rudp::Options),
}

/// What a pair of ends is told.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Address of the client and of the server.
    pub addresses: (SocketAddr, SocketAddr),
    /// Seed of all that is random in the ends.
    pub seed: u64,
    /// Flows that are used.
    pub flow_count: u32,
}

const fn quinn(name: &'static str, streams: Streams, controller: Controller) -> Stack {
    let keeps = match streams {
        Streams::One => Keeps::Total,
        Streams::PerFlow => Keeps::Flow,
        Streams::PerMessage => Keeps::Nothing,
    };
    Stack { name, keeps, kind: Kind::Quinn(streams, controller) }
}

const fn rudp(name: &'static str, is_sealed: bool, is_ordered: bool, redundancy: bool) -> Stack {
    let keeps = if is_ordered { Keeps::Flow } else { Keeps::Nothing };
    let cubic = false;
    let options = rudp::Options { is_sealed, is_ordered, redundancy, cubic };
    Stack { name, keeps, kind: Kind::Rudp(options) }
}

/// All of them.
pub const STACKS: [Stack; 18] = [
    rudp("rudp-plain", false, false, false),
    rudp("rudp-plain-flow", false, true, false),
    rudp("rudp-sealed", true, false, false),
    rudp("rudp-sealed-flow", true, true, false),
    rudp("rudp-sealed+", true, false, true),
    rudp("rudp-sealed-flow+", true, true, true),
    rudp("rudp-plain+", false, false, true),
    Stack {
        name: "rudp-cubic",
        keeps: Keeps::Nothing,
        kind: Kind::Rudp(rudp::Options {
            is_sealed: true,
            is_ordered: false,
            redundancy: false,
            cubic: true,
        }),
    },
    quinn("quinn-bbr-message", Streams::PerMessage, Controller::Bbr),
    quinn("quinn-bbr-flow", Streams::PerFlow, Controller::Bbr),
    quinn("quinn-bbr-one", Streams::One, Controller::Bbr),
    quinn("quinn-cubic-message", Streams::PerMessage, Controller::Cubic),
    quinn("quinn-cubic-flow", Streams::PerFlow, Controller::Cubic),
    quinn("quinn-cubic-one", Streams::One, Controller::Cubic),
    Stack { name: "kcp", keeps: Keeps::Total, kind: Kind::Kcp { is_per_flow: false } },
    Stack { name: "kcp-flow", keeps: Keeps::Flow, kind: Kind::Kcp { is_per_flow: true } },
    Stack { name: "enet", keeps: Keeps::Flow, kind: Kind::Enet },
    Stack { name: "tcp-cubic", keeps: Keeps::Flow, kind: Kind::Tcp },
];

impl Stack {
    /// The one of this name.
    pub fn named(name: &str) -> Option<Stack> {
        STACKS.into_iter().find(|stack| stack.name == name)
    }

    /// It is the subject and not a rival.
    pub fn is_subject(&self) -> bool {
        matches!(self.kind, Kind::Rudp(_))
    }

    /// It takes loss for congestion, as loss-based neighbours want it: no bar is about that.
    pub fn is_loss_based(&self) -> bool {
        matches!(self.kind, Kind::Rudp(options) if options.cubic)
    }

    /// It promises an order.
    pub fn is_ordered(&self) -> bool {
        self.keeps != Keeps::Nothing
    }

    /// It encrypts and authenticates.
    pub fn is_sealed(&self) -> bool {
        match self.kind {
            Kind::Quinn(..) => true,
            Kind::Rudp(options) => options.is_sealed,
            Kind::Kcp { .. } | Kind::Enet | Kind::Tcp => false,
        }
    }

    /// It may send repairs of what was not lost yet.
    pub fn is_redundant(&self) -> bool {
        matches!(self.kind, Kind::Rudp(options) if options.redundancy)
    }

    /// New ends.
    pub fn ends(&self, setting: Setting) -> anyhow::Result<Pair> {
        match self.kind {
            Kind::Quinn(streams, controller) => quinn::ends(setting, streams, controller),
            Kind::Kcp { is_per_flow } => Ok(kcp::ends(setting, is_per_flow)),
            Kind::Enet => enet::ends(setting),
            Kind::Tcp => Ok(tcp::ends(setting)),
            Kind::Rudp(options) => Ok(rudp::ends(setting, options)),
        }
    }
}
