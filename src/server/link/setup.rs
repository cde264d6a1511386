//! From the configuration to a link that can start: its socket, its protection, whom it knows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use aldis_directory::Lookup;
use aldis_logic::cluster::{HubConfig, PeerAddress};
use aldis_logic::job::{BootId, NodeId};
use aldis_logic::{LinkUse, Node};
use aldis_rudp::{ControllerKind, Endpoint, Mode};
use anyhow::Context;
use crossbeam::channel::Sender;

use super::driver::{Driver, DriverParts};
use super::post::LinkMailEnd;
use super::socket::LinkSocket;
use crate::config::{Config, ControllerName, DirectoryKind};
use crate::mail::PostOffice;
use crate::metrics::LinkCounts;
use crate::urgency;

/// Exit code of a server whose link fails: a supervisor may start it again.
const LINK_FAILED_EXIT_CODE: i32 = 75;

/// See the file's first line.
pub struct LinkSetup {
    socket: LinkSocket,
    endpoint: Endpoint,
    hub: HubConfig,
    is_plain: bool,
    advertised: SocketAddr,
}

impl LinkSetup {
    /// Of the configured cluster, if there is one, for one life of this node.
    pub fn open(config: &Config, boot: BootId) -> anyhow::Result<Option<Self>> {
        let Some(cluster) = &config.cluster else { return Ok(None) };
        let listen = *cluster.listen.get_ref();
        let socket = LinkSocket::bind(listen)
            .with_context(|| format!("cannot listen on {listen} (cluster.listen)"))?;
        let advertised = cluster.advertised().ok().flatten().unwrap_or(socket.address());
        let mode = cluster.mode()?;
        let is_plain = matches!(mode, Mode::Plain);
        let node = aldis_rudp::NodeId(*config.node.id.get_ref());
        let mut settings = aldis_rudp::Config::new(node, aldis_rudp::BootId(boot.0), mode);
        settings.controller = match cluster.controller {
            ControllerName::Model => ControllerKind::Model,
            ControllerName::Cubic => ControllerKind::Cubic,
        };
        settings.redundancy = cluster.redundancy;
        settings.segments_max = socket.segments_max();
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).context("no random numbers")?;
        let endpoint = Endpoint::new(Arc::new(settings), seed);
        let peers = cluster.peers.iter();
        let peers = peers.map(|p| PeerAddress { node: NodeId(p.node), address: p.address });
        let hub = HubConfig {
            peers: peers.collect(),
            has_directory: link_use(config) == LinkUse::Routed,
            release: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Ok(Some(Self { socket, endpoint, hub, is_plain, advertised }))
    }

    /// Where other nodes reach it.
    pub fn advertised(&self) -> SocketAddr {
        self.advertised
    }

    /// Whether the directory tells where other nodes and their users are.
    pub fn has_directory(&self) -> bool {
        self.hub.has_directory
    }

    /// Starts the thread.
    pub fn start(
        self,
        node: Arc<Node>,
        office: PostOffice,
        lookups: Sender<Lookup>,
        mail: LinkMailEnd,
        counts: LinkCounts,
    ) -> anyhow::Result<JoinHandle<()>> {
        let Self { socket, endpoint, hub, is_plain, advertised } = self;
        let how = if is_plain { "not encrypted" } else { "encrypted" };
        log::info!("the link listens on {} as {advertised}, {how}", socket.address());
        let run = move || {
            urgency::carry_messages();
            let parts =
                DriverParts { socket, endpoint, hub, node, office, lookups, is_plain, counts };
            if let Err(error) = Driver::new(parts, mail).and_then(Driver::run) {
                log::error!("the link failed: {error}");
                std::process::exit(LINK_FAILED_EXIT_CODE);
            }
        };
        Ok(Builder::new().name("link".into()).spawn(run)?)
    }
}

/// What the link of such a node is used for.
pub fn link_use(config: &Config) -> LinkUse {
    match (&config.cluster, config.directory.kind.get_ref()) {
        (None, _) => LinkUse::Off,
        (Some(_), DirectoryKind::Redis) => LinkUse::Routed,
        (Some(_), DirectoryKind::Memory) => LinkUse::Broadcast,
    }
}
