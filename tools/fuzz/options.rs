//! What a run is told, and which targets it refuses. Knows no argument of a command line.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use aldis_client::shell::{Tls, TlsOptions};

use crate::means::{self, Means, StoreProcess};
use crate::process::Watch;
use crate::stream::Target;
use crate::world::World;

/// Runs of this length have time for slow recipes.
const SLOW_RUN: Duration = Duration::from_secs(300);

/// What is abused.
#[derive(Clone, Debug)]
pub enum TargetKind {
    /// The listener for clients, `host:port`, with or without TLS.
    Stream(String, Option<TlsOptions>),
    /// The link between nodes, `host:port`.
    Datagrams(String),
}

/// See the file's first line.
#[derive(Clone, Debug)]
pub struct Options {
    /// One of each kind at most.
    pub targets: Vec<TargetKind>,
    /// Decides about everything that is random.
    pub seed: u64,
    /// How long cases are made; looking into findings comes on top.
    pub time: Duration,
    /// The run ends before, when every answer was seen that can be.
    pub until_reached: bool,
    /// Only this case of the run with this seed.
    pub case: Option<u64>,
    /// Only the case of this finding.
    pub replay: Option<PathBuf>,
    /// Directory of the report.
    pub report: Option<PathBuf>,
    /// The server's process.
    pub watch: Watch,
    /// Longest time for a message of the pair that behaves well.
    pub bound: Duration,
    /// Memory that the server may take more than at the beginning before it is looked into.
    pub memory_growth_bytes: u64,
    /// Different findings after which the run ends.
    pub findings_max: usize,
    /// How long a server that died may take to come back; zero: the run ends with its death.
    pub recovery: Duration,
    /// Addresses that are not of a private network are allowed.
    pub force: bool,
    /// Users that there are, as `aldisd admin seed-users` wrote them.
    pub tokens: Option<PathBuf>,
    /// The same with tokens whose time is over.
    pub expired_tokens: Option<PathBuf>,
    /// The process that stores what the server commits, which is stopped for seconds.
    pub store_pid: Option<u32>,
    /// Told what is done, line by line.
    pub say: fn(&str),
}

/// Why a run does not begin.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// See there.
    #[error("{0} has no address: {1}")]
    Address(String, std::io::Error),
    /// Abuse is for one's own servers.
    #[error(
        "{0} ({1}) is neither of this machine nor of a private network; --force if it is yours"
    )]
    Public(String, IpAddr),
    /// See there.
    #[error("cannot read what to trust: {0}")]
    Tls(std::io::Error),
    /// A file that cannot be read or is none of the fuzzer's.
    #[error("{0}: {1}")]
    File(PathBuf, String),
    /// See there.
    #[error("there is no process {0} that could be stopped")]
    NoStore(u32),
    /// Nothing to do.
    #[error("no target")]
    NoTarget,
    /// A case that cannot be made again.
    #[error("{0}")]
    Case(String),
}

impl Options {
    /// For these targets, with sensible values for everything else.
    pub fn new(targets: Vec<TargetKind>) -> Self {
        Self {
            targets,
            seed: 1,
            time: Duration::from_secs(60),
            until_reached: false,
            case: None,
            replay: None,
            report: None,
            watch: Watch::default(),
            bound: Duration::from_secs(5),
            memory_growth_bytes: 64 << 20,
            findings_max: 20,
            recovery: Duration::ZERO,
            force: false,
            tokens: None,
            expired_tokens: None,
            store_pid: None,
            say: |_| {},
        }
    }

    /// The stream target with its address, if there is one.
    pub(crate) fn stream(&self) -> Result<Option<Target>, OptionsError> {
        for target in &self.targets {
            if let TargetKind::Stream(name, tls) = target {
                let tls = tls.as_ref().map(Tls::new).transpose().map_err(OptionsError::Tls)?;
                let address = self.address(name)?;
                return Ok(Some(Target { name: name.clone(), address, tls }));
            }
        }
        Ok(None)
    }

    /// The address of the link, if it is a target.
    pub(crate) fn datagrams(&self) -> Result<Option<SocketAddr>, OptionsError> {
        for target in &self.targets {
            if let TargetKind::Datagrams(name) = target {
                return self.address(name).map(Some);
            }
        }
        Ok(None)
    }

    /// Hands what was given to a world; what can be reached with it.
    pub(crate) fn equip(&self, world: &mut World) -> Result<Means, OptionsError> {
        if let Some(path) = &self.tokens {
            world.members = means::members(path)?;
            world.crowd.extend(world.members.iter().map(|member| member.id));
        }
        if let Some(path) = &self.expired_tokens {
            world.expired = means::members(path)?.pop().map(|member| member.token);
        }
        if let Some(pid) = self.store_pid {
            let store = StoreProcess::new(pid);
            world.store = Some(store.ok_or(OptionsError::NoStore(pid))?);
        }
        Ok(Means {
            members: world.members.len(),
            has_expired_token: world.expired.is_some(),
            has_store: world.store.is_some(),
            is_long: self.time >= SLOW_RUN,
            is_local: world.target.address.ip().is_loopback(),
            is_limited: false,
        })
    }

    fn address(&self, name: &str) -> Result<SocketAddr, OptionsError> {
        let found = name.to_socket_addrs().map(|mut addresses| addresses.next());
        let address = match found {
            Ok(Some(address)) => address,
            Ok(None) => {
                let error = std::io::ErrorKind::NotFound.into();
                return Err(OptionsError::Address(name.to_owned(), error));
            }
            Err(error) => return Err(OptionsError::Address(name.to_owned(), error)),
        };
        if !self.force && !is_private(address.ip()) {
            return Err(OptionsError::Public(name.to_owned(), address.ip()));
        }
        Ok(address)
    }
}

/// Of this machine, or of a network that is not the internet (RFC 1918, 3927, 4193, 4291).
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ones_own_networks_are_abused() {
        for own in ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.9.9", "::1", "fd00::1"] {
            assert!(is_private(own.parse().unwrap()), "{own}");
        }
        for public in ["8.8.8.8", "172.32.0.1", "2001:db8::1", "0.0.0.0", "::ffff:8.8.8.8"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
        let mut options = Options::new(vec![TargetKind::Stream("8.8.8.8:7700".into(), None)]);
        assert!(matches!(options.stream(), Err(OptionsError::Public(..))));
        options.force = true;
        assert!(options.stream().unwrap().is_some());
    }
}
