//! Names of keys, the form of what stands there, and the commands on them. Knows no connection.
//!
//! | key | type | content | lives |
//! |---|---|---|---|
//! | `im:session:{user}` | hash | class -> `epoch node boot store_epoch` | 1 h |
//! | `im:node:{node}` | hash | boot, addresses, version, sessions | 5 s |
//! | `im:gateway:load` | sorted set | node -> sessions | for ever |
//! | `im:nodes` | set | nodes that have, or had, a lease | for ever |
//! | `im:sentinel:{tag}:node` | string | boot | 1 h |
//! | `im:attempts:…` | string | how many: see `attempts` | 15 min |
//!
//! The braces are part of the name: Redis Cluster hashes what is between them. Each command has one
//! key, so it has one slot.

use std::sync::LazyLock;

use aldis_logic::job::{BootId, NodeId, Registration, SessionRecord};
use aldis_wire::{DeviceClass, Epoch, UserId};
use redis::{Cmd, Script, Value, from_redis_value_ref};

use super::attempts;
use super::slots::slot_of;
use crate::traits::{LEASE_MS, NodeAnnouncement, NodeRecord};

/// How long sessions stay without being announced again. A node announces them at least every 10
/// minutes, so this is for nodes that are gone. ms
const SESSION_TTL_MS: u64 = 3_600_000;
/// Where the nodes that take clients stand.
pub const LOAD_KEY: &str = "im:gateway:load";
/// Where the nodes stand that were not taken out in order.
const NODES_KEY: &str = "im:nodes";

/// The programs that run inside Redis: loaded on each new connection and called by their hashes.
static REGISTER: LazyLock<Program> = LazyLock::new(|| Program::new(include_str!("register.lua")));
static UNREGISTER: LazyLock<Program> =
    LazyLock::new(|| Program::new(include_str!("unregister.lua")));
static ANNOUNCE: LazyLock<Program> = LazyLock::new(|| Program::new(include_str!("announce.lua")));
static WITHDRAW: LazyLock<Program> = LazyLock::new(|| Program::new(include_str!("withdraw.lua")));

/// A program that runs inside Redis.
pub(super) struct Program {
    code: &'static str,
    hash: String,
}

impl Program {
    pub(super) fn new(code: &'static str) -> Self {
        Self { code, hash: Script::new(code).get_hash().to_owned() }
    }
}

/// Makes the programs known to a server.
pub fn load_programs() -> Vec<Cmd> {
    let programs =
        [&REGISTER, &UNREGISTER, &ANNOUNCE, &WITHDRAW, &attempts::TRY, &attempts::FORGIVE];
    programs.iter().map(|program| command("SCRIPT", &["LOAD", program.code])).collect()
}

/// A command and the slot of its key.
pub struct Keyed {
    /// Decides which server gets it.
    pub slot: u16,
    /// With its key and arguments.
    pub command: Cmd,
}

fn keyed(key: &str, command: Cmd) -> Keyed {
    Keyed { slot: slot_of(key.as_bytes()), command }
}

fn command(name: &str, args: &[&str]) -> Cmd {
    let mut command = Cmd::new();
    command.arg(name).arg(args);
    command
}

pub(super) fn call(program: &Program, key: &str, args: &[&str]) -> Keyed {
    let mut command = Cmd::new();
    command.arg("EVALSHA").arg(&program.hash).arg(1).arg(key).arg(args);
    keyed(key, command)
}

fn session_key(user: UserId) -> String {
    format!("im:session:{{{}}}", user.0)
}

fn node_key(node: NodeId) -> String {
    format!("im:node:{{{}}}", node.0)
}

/// The slot of a user's sessions.
pub fn slot_of_user(user: UserId) -> u16 {
    slot_of(session_key(user).as_bytes())
}

/// Announces a session.
pub fn register(record: &SessionRecord, store_epoch: u64) -> Keyed {
    let class = record.class.number().to_string();
    let (record_text, ttl_ms) = (session_text(record, store_epoch), SESSION_TTL_MS.to_string());
    let args = [class.as_str(), &record_text, &ttl_ms];
    call(&REGISTER, &session_key(record.user), &args)
}

/// Reads the answer to `register`; nothing if it is none.
pub fn parse_registration(record: &SessionRecord, value: &Value) -> Option<Registration> {
    match value {
        Value::Int(0) => Some(Registration::Fenced),
        Value::Int(1) => Some(Registration::Live { replaced: None }),
        // What cannot be read is of no use to anybody, and gone.
        Value::BulkString(old) => {
            let replaced = parse_session(record.user, record.class, old);
            Some(Registration::Live { replaced })
        }
        _ => None,
    }
}

/// Takes a session back.
pub fn unregister(record: &SessionRecord, store_epoch: u64) -> Keyed {
    let class = record.class.number().to_string();
    let record_text = session_text(record, store_epoch);
    call(&UNREGISTER, &session_key(record.user), &[&class, &record_text])
}

/// Asks for the sessions of a user.
pub fn sessions_of(user: UserId) -> Keyed {
    let key = session_key(user);
    keyed(&key, command("HGETALL", &[&key]))
}

/// Reads the answer to `sessions_of`, by class. What another version wrote and nobody here
/// understands is left out.
pub fn parse_sessions(user: UserId, value: &Value) -> Vec<SessionRecord> {
    let fields = value.as_map_iter().into_iter().flatten();
    let mut sessions: Vec<SessionRecord> = fields
        .filter_map(|(class, record)| {
            let class = DeviceClass::from_number(from_redis_value_ref(class).ok()?)?;
            let Value::BulkString(record) = record else { return None };
            parse_session(user, class, record)
        })
        .collect();
    sessions.sort_unstable_by_key(|record| record.class);
    sessions
}

fn session_text(record: &SessionRecord, store_epoch: u64) -> String {
    let SessionRecord { epoch, node, boot, .. } = record;
    format!("{} {} {} {store_epoch}", epoch.0, node.0, boot.0)
}

fn parse_session(user: UserId, class: DeviceClass, text: &[u8]) -> Option<SessionRecord> {
    let mut parts = std::str::from_utf8(text).ok()?.split(' ');
    let epoch = Epoch(parts.next()?.parse().ok()?);
    let node = NodeId(parts.next()?.parse().ok()?);
    let boot = BootId(parts.next()?.parse().ok()?);
    Some(SessionRecord { user, class, epoch, node, boot })
}

/// Takes or renews a node's lease.
pub fn announce(record: &NodeRecord, is_first: bool) -> Keyed {
    let NodeAnnouncement { client_address, link_address, version } = &record.announcement;
    let (boot, ttl_ms) = (record.boot.0.to_string(), LEASE_MS.to_string());
    let session_count = record.session_count.to_string();
    let args = [
        boot.as_str(),
        if is_first { "1" } else { "0" },
        &ttl_ms,
        "client_address",
        client_address,
        "link_address",
        link_address,
        "version",
        version,
        "sessions",
        &session_count,
    ];
    call(&ANNOUNCE, &node_key(record.node), &args)
}

/// Gives a node's lease up.
pub fn withdraw(node: NodeId, boot: BootId) -> Keyed {
    call(&WITHDRAW, &node_key(node), &[&boot.0.to_string()])
}

/// Asks for what a node announces.
pub fn node(node: NodeId) -> Keyed {
    let key = node_key(node);
    keyed(&key, command("HGETALL", &[&key]))
}

/// Reads the answer to `node`; nothing if it has no lease.
pub fn parse_node(node: NodeId, value: &Value) -> Option<NodeRecord> {
    let mut boot = None;
    let mut session_count = 0;
    let mut announcement = NodeAnnouncement::default();
    for (name, value) in value.as_map_iter()? {
        let name: String = from_redis_value_ref(name).ok()?;
        let text: String = from_redis_value_ref(value).ok()?;
        match name.as_str() {
            "boot" => boot = text.parse().ok().map(BootId),
            "client_address" => announcement.client_address = text,
            "link_address" => announcement.link_address = text,
            "version" => announcement.version = text,
            "sessions" => session_count = text.parse().unwrap_or(0),
            _ => {}
        }
    }
    Some(NodeRecord { node, boot: boot?, announcement, session_count })
}

/// Tells the load of a node that takes clients.
pub fn enter_load(node: NodeId, session_count: u64) -> Keyed {
    let (score, member) = (session_count.to_string(), node.0.to_string());
    keyed(LOAD_KEY, command("ZADD", &[LOAD_KEY, &score, &member]))
}

/// Takes a node out of those that take clients.
pub fn leave_load(node: NodeId) -> Keyed {
    keyed(LOAD_KEY, command("ZREM", &[LOAD_KEY, &node.0.to_string()]))
}

/// Asks for the nodes that take clients.
pub fn load() -> Keyed {
    keyed(LOAD_KEY, command("ZRANGE", &[LOAD_KEY, "0", "-1"]))
}

/// Says that a node is, or was, there.
pub fn enter_nodes(node: NodeId) -> Keyed {
    keyed(NODES_KEY, command("SADD", &[NODES_KEY, &node.0.to_string()]))
}

/// A node ends in order.
pub fn leave_nodes(node: NodeId) -> Keyed {
    keyed(NODES_KEY, command("SREM", &[NODES_KEY, &node.0.to_string()]))
}

/// Asks for the nodes that are, or were, there.
pub fn nodes() -> Keyed {
    keyed(NODES_KEY, command("SMEMBERS", &[NODES_KEY]))
}

/// Reads the answer to `load` or `nodes`.
pub fn parse_numbers(value: &Value) -> Vec<NodeId> {
    let members: Vec<u16> = from_redis_value_ref(value).unwrap_or_default();
    members.into_iter().map(NodeId).collect()
}

/// Leaves a mark beside the sessions of a node on one server; answers the one that was there. The
/// tag decides on the slot.
pub fn sentinel(tag: u32, node: NodeId, boot: BootId) -> Keyed {
    let key = format!("im:sentinel:{{{tag}}}:{}", node.0);
    let (boot, ttl_ms) = (boot.0.to_string(), SESSION_TTL_MS.to_string());
    keyed(&key, command("SET", &[&key, &boot, "PX", &ttl_ms, "GET"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_reads_as_it_was_written() {
        let record = SessionRecord {
            user: UserId(10_001),
            class: DeviceClass::Web,
            epoch: Epoch(u64::MAX),
            node: NodeId(1_023),
            boot: BootId(u64::MAX),
        };
        let text = session_text(&record, 7);
        assert_eq!(text, "18446744073709551615 1023 18446744073709551615 7");
        let parsed = parse_session(record.user, record.class, text.as_bytes());
        assert_eq!(parsed, Some(record));
        assert_eq!(parse_session(record.user, record.class, b"1 2"), None);
        assert_eq!(parse_session(record.user, record.class, b"1 65536 3 4"), None);
    }

    #[test]
    fn the_braces_are_in_the_name() {
        assert_eq!(session_key(UserId(5)), "im:session:{5}");
        assert_eq!(slot_of_user(UserId(5)), slot_of(b"5"));
        assert_eq!(node(NodeId(5)).slot, slot_of(b"5"));
    }
}
