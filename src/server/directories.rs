//! The directory that the configuration names: the one place of the server that knows all kinds.

use std::net::SocketAddr;

use aldis_directory::{MemoryDirectory, NodeAnnouncement};
use aldis_logic::job::{BootId, NodeId};
use anyhow::bail;

use crate::config::{Config, DirectoryKind};

/// An opened directory of some kind.
pub enum AnyDirectory {
    /// In this process.
    Memory(MemoryDirectory),
}

impl AnyDirectory {
    /// Opens the configured directory for one life of this node, which listens on `client`. Redis
    /// need not be there: it is asked for until it is.
    pub fn open(config: &Config, boot: BootId, client: SocketAddr) -> anyhow::Result<Self> {
        let node = NodeId(*config.node.id.get_ref());
        let configured = &config.node.client_address;
        let announcement = NodeAnnouncement {
            client_address: if configured.is_empty() {
                client.to_string()
            } else {
                configured.clone()
            },
            link_address: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Ok(match config.directory.kind.get_ref() {
            DirectoryKind::Memory => Self::Memory(MemoryDirectory::new(node, boot, announcement)),
            DirectoryKind::Redis => {
                bail!("directory.kind = \"redis\" is not served yet")
            }
        })
    }
}
