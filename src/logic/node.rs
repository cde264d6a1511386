//! What all services of a node share.

use parking_lot::Mutex;

use crate::job::NodeId;
use crate::table::SessionTable;
use crate::throttle::Throttle;
use crate::token::Keyring;

/// Settings of a node that the logic needs.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// This node.
    pub node: NodeId,
    /// Of the store; another one than last time sends clients into RESYNC.
    pub store_epoch: u64,
    /// What LOGIN_RESP asks of clients. ms
    pub heartbeat_interval_ms: u32,
    /// How long a token holds. ms
    pub token_ttl_ms: u64,
}

/// Shared by the services of all reactors of a node.
#[derive(Debug)]
pub struct Node {
    /// Settings.
    pub config: NodeConfig,
    /// Who is online here.
    pub table: SessionTable,
    /// Who tried too many passwords. Held only for a few map operations.
    pub throttle: Mutex<Throttle>,
    /// Signs and verifies tokens.
    pub keyring: Keyring,
}

impl Node {
    /// A node without sessions.
    pub fn new(config: NodeConfig, keyring: Keyring) -> Self {
        let table = SessionTable::default();
        Self { config, table, throttle: Mutex::new(Throttle::default()), keyring }
    }
}
