//! The node that all tests of the logic begin with.

use std::sync::Arc;

use aldis_logic::job::{BootId, NodeId};
use aldis_logic::{Keyring, LinkUse, Node, NodeConfig, SigningKey};

/// Settings of a node that is alone and limits nobody.
pub fn config() -> NodeConfig {
    NodeConfig {
        node: NodeId(0),
        boot: BootId(1),
        store_epoch: 77,
        heartbeat_interval_ms: 60_000,
        token_ttl_ms: 3_600_000,
        head_checks: None,
        link: LinkUse::Off,
        direct_messages: Default::default(),
        message_times: Default::default(),
        group_limits: Default::default(),
        rates: Default::default(),
        attempts: Default::default(),
        shares_attempts: false,
    }
}

/// A node with these settings.
pub fn node_from(config: NodeConfig) -> Arc<Node> {
    let key = SigningKey { kid: "a".into(), secret: vec![7; 32] };
    Arc::new(Node::new(config, Keyring::new(&[key]).expect("a key of 256 bits")))
}
