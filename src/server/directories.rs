//! The directory that the configuration names: the one place of the server that knows all kinds.

use std::net::SocketAddr;

use aldis_directory::{MemoryDirectory, NodeAnnouncement, RedisDirectory, RedisOptions};
use aldis_logic::job::{BootId, NodeId};
use anyhow::Context;

use crate::config::{Config, DirectoryKind};

/// An opened directory of some kind.
pub enum AnyDirectory {
    /// In this process.
    Memory(MemoryDirectory),
    /// Shared by all nodes.
    Redis(Box<RedisDirectory>),
}

impl AnyDirectory {
    /// Opens the configured directory for one life of this node, which listens on `client` and is reached by other
    /// nodes at `link`. Redis
    /// need not be there: it is asked for until it is.
    pub fn open(
        config: &Config,
        boot: BootId,
        store_epoch: u64,
        client: SocketAddr,
        link: Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        let node = NodeId(*config.node.id.get_ref());
        let configured = &config.node.client_address;
        let announcement = NodeAnnouncement {
            client_address: if configured.is_empty() {
                client.to_string()
            } else {
                configured.clone()
            },
            link_address: link.map_or_else(String::new, |address| address.to_string()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Ok(match config.directory.kind.get_ref() {
            DirectoryKind::Memory => Self::Memory(MemoryDirectory::new(node, boot, announcement)),
            DirectoryKind::Redis => {
                let urls = config.directory.urls.get_ref().iter().map(|url| url.0.clone());
                let urls = urls.collect();
                let attempts = config.attempts.rules();
                let options =
                    RedisOptions { urls, node, boot, store_epoch, announcement, attempts };
                Self::Redis(Box::new(RedisDirectory::new(options).context("directory.urls")?))
            }
        })
    }
}
