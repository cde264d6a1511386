//! What all services of a node share.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use aldis_wire::Code;
use parking_lot::Mutex;

use crate::addresses::Addresses;
use crate::check_times::HeadCheckTimes;
use crate::job::{BootId, GroupLimits, NodeId};
use crate::memory::Memory;
use crate::now::Now;
use crate::rates::{RateLimits, Rates};
use crate::request::Refusal;
use crate::streams::StreamTable;
use crate::table::SessionTable;
use crate::throttle::{AttemptRules, Throttle};
use crate::token::{Claims, Keyring};

/// Settings of a node that the logic needs.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// This node.
    pub node: NodeId,
    /// This life of it.
    pub boot: BootId,
    /// Of the store; another one than last time sends clients into RESYNC.
    pub store_epoch: u64,
    /// What LOGIN_RESP asks of clients. ms
    pub heartbeat_interval_ms: u32,
    /// How long a token holds. ms
    pub token_ttl_ms: u64,
    /// When sessions are compared with the store unasked. `None`: nobody but this node writes to
    /// it, so that this node knows of every commit and every login.
    pub head_checks: Option<HeadCheckTimes>,
    /// See there.
    pub link: LinkUse,
    /// See there.
    pub direct_messages: DirectMessages,
    /// See there.
    pub message_times: MessageTimes,
    /// How often one user may ask.
    pub rates: Rates,
    /// See there.
    pub group_limits: GroupLimits,
    /// How attempts at passwords are slowed down.
    pub attempts: AttemptRules,
    /// The directory counts them for all nodes together. What this node counts holds besides, and alone
    /// while the directory is away.
    pub shares_attempts: bool,
}

/// How long after sending a message its sender may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageTimes {
    /// Take it back. ms
    pub recall_ms: u64,
    /// Say something else. ms
    pub edit_ms: u64,
}

impl Default for MessageTimes {
    fn default() -> Self {
        Self { recall_ms: 120_000, edit_ms: 86_400_000 }
    }
}

/// Whose messages a user gets, if nothing else is said between the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DirectMessages {
    /// Those of everybody.
    #[default]
    Anyone,
    /// Those of friends.
    Friends,
}

/// What the link to other nodes is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkUse {
    /// There is none.
    #[default]
    Off,
    /// The nodes have a directory in common, which knows whom to tell what.
    Routed,
    /// All nodes are told everything: there is no such directory.
    Broadcast,
}

/// Shared by the services of all reactors of a node.
#[derive(Debug)]
pub struct Node {
    /// Settings.
    pub config: NodeConfig,
    /// Who is online here.
    pub table: SessionTable,
    /// Which streams they follow.
    pub streams: StreamTable,
    /// Who tried too many passwords. Held only for a few map operations.
    pub throttle: Mutex<Throttle>,
    /// Signs and verifies tokens.
    pub keyring: Keyring,
    /// How the store's failures end.
    pub outages: Outages,
    /// See there.
    pub alarms: Alarms,
    /// Nodes that ended or died, as occasions to look where their users are.
    pub departures: Alarms,
    /// Whom sessions here watch, of all of them together.
    pub(crate) watch_count: AtomicUsize,
    /// What is left of the rates.
    pub(crate) rate_limits: RateLimits,
    /// Whether there is memory left.
    pub memory: Memory,
    /// What each address has here.
    pub(crate) addresses: Addresses,
}

/// Occasions on which every session of the node may have missed something: the link to another node
/// came up, or other nodes dropped deliveries. Services compare the count with what they have seen.
#[derive(Debug, Default)]
pub struct Alarms {
    count: AtomicU32,
}

impl Alarms {
    /// There is one. Services notice at the end of their next turn.
    pub fn raise(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }
}

/// Failures of the writer, as the services hear of them. A batch whose outcome was unknown may be
/// stored, and nobody was told: when the store works again, all sessions are checked.
#[derive(Debug, Default)]
pub struct Outages {
    has_failed: AtomicBool,
    ended_count: AtomicU32,
}

impl Outages {
    /// A write was answered.
    pub(crate) fn note(&self, is_unavailable: bool) {
        if is_unavailable {
            self.has_failed.store(true, Ordering::Relaxed);
        } else if self.has_failed.load(Ordering::Relaxed)
            && self.has_failed.swap(false, Ordering::Relaxed)
        {
            self.ended_count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the last write that was answered failed for want of the store.
    pub fn is_failing(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// How many have ended.
    pub fn ended_count(&self) -> u32 {
        self.ended_count.load(Ordering::Relaxed)
    }
}

impl Node {
    /// A token that holds from now on, and until when (Unix ms).
    pub(crate) fn mint(&self, claims: &Claims, now: Now) -> Result<(String, u64), Refusal> {
        let expires_ms = now.unix_ms + self.config.token_ttl_ms;
        match self.keyring.mint(claims, now.unix_ms, expires_ms) {
            Ok(token) => Ok((token, expires_ms / 1000 * 1000)),
            Err(error) => {
                log::error!("tokens cannot be signed: {error}");
                Err(Refusal::new(Code::Internal, "tokens cannot be signed"))
            }
        }
    }

    /// Forgets what is only there to be quick: memory is short.
    pub fn drop_caches(&self) {
        self.rate_limits.shrink();
    }

    /// A node without sessions.
    pub fn new(config: NodeConfig, keyring: Keyring) -> Self {
        let (table, streams) = (SessionTable::default(), StreamTable::default());
        let (throttle, outages) = (Mutex::new(Throttle::new(config.attempts)), Outages::default());
        let (alarms, departures) = (Alarms::default(), Alarms::default());
        let rate_limits = RateLimits::default();
        let addresses = Addresses::new(config.rates.addresses, config.rates.on_loopback);
        let watch_count = AtomicUsize::new(0);
        Self {
            config,
            table,
            streams,
            throttle,
            keyring,
            outages,
            alarms,
            departures,
            watch_count,
            rate_limits,
            memory: Memory::default(),
            addresses,
        }
    }
}
