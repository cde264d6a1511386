//! What a Redis directory is opened with, and what may be wrong with it. Prints no password.

use std::net::IpAddr;
use std::path::PathBuf;

use aldis_logic::AttemptRules;
use aldis_logic::job::{BootId, NodeId};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError, TlsCertificates,
    parse_redis_url,
};

use crate::traits::NodeAnnouncement;

/// A parameter of URLs: a file with the certificates that those of the servers must come from.
const ROOT_CERT_PATH: &str = "root_cert_path";

/// Where Redis is, and who uses it.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://user:password@host:port/`, or `rediss://` for TLS, then perhaps with
    /// `?root_cert_path=/etc/ca.pem`; otherwise the system's certificate authorities count. One: a
    /// server, or a member of a Redis Cluster, which is found out. Several: members of one Redis
    /// Cluster. It should have `cluster-require-full-coverage no`, or one lost server takes all
    /// others out of service.
    pub urls: Vec<String>,
    /// This node.
    pub node: NodeId,
    /// This life of it.
    pub boot: BootId,
    /// Of the store. Session epochs of another one do not compare with its own.
    pub store_epoch: u64,
    /// What to tell about this node.
    pub announcement: NodeAnnouncement,
    /// How attempts at passwords are slowed down.
    pub attempts: AttemptRules,
}

impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { urls: _, node, boot, store_epoch, announcement, attempts } = self;
        f.debug_struct("RedisOptions")
            .field("node", node)
            .field("boot", boot)
            .field("store_epoch", store_epoch)
            .field("announcement", announcement)
            .field("attempts", attempts)
            .finish_non_exhaustive()
    }
}

/// Why options are of no use.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// There must be one at least.
    #[error("no URL of a Redis server is given")]
    NoUrl,
    /// A URL cannot be used.
    #[error("URL {number} of the directory cannot be used: {fault}")]
    BadUrl {
        /// Which, from 1.
        number: usize,
        /// What is wrong with it.
        fault: UrlFault,
    },
}

/// What is wrong with a URL, without repeating it.
#[derive(Debug, thiserror::Error)]
pub enum UrlFault {
    /// It is something else.
    #[error("it is not redis://host:port/ or rediss://host:port/")]
    NotRedis,
    /// A parameter or fragment that has no meaning here.
    #[error("its only parameter may be {ROOT_CERT_PATH}, and that with rediss:// only")]
    Parameter,
    /// A part of it is wrong.
    #[error("{0}")]
    Part(RedisError),
    /// The certificates cannot be read.
    #[error("{path}: {source}")]
    RootCert {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Reads the URLs.
pub fn parse_seeds(urls: &[String]) -> Result<Vec<ConnectionInfo>, OptionsError> {
    if urls.is_empty() {
        return Err(OptionsError::NoUrl);
    }
    let parse = |(number, url): (usize, &String)| {
        parse_seed(url).map_err(|fault| OptionsError::BadUrl { number, fault })
    };
    (1..).zip(urls).map(parse).collect()
}

fn parse_seed(url: &str) -> Result<ConnectionInfo, UrlFault> {
    let url = parse_redis_url(url).ok_or(UrlFault::NotRedis)?;
    let parameters: Vec<_> =
        url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let root_cert_path = match parameters.as_slice() {
        [] => None,
        [(name, path)] if name == ROOT_CERT_PATH => Some(PathBuf::from(path)),
        _ => return Err(UrlFault::Parameter),
    };
    let has_fragment = url.fragment().is_some();
    let info = url.into_connection_info().map_err(UrlFault::Part)?;
    match (info.addr(), root_cert_path) {
        _ if has_fragment => Err(UrlFault::Parameter),
        (ConnectionAddr::Tcp(host, port), None) => {
            let is_here = host == "localhost"
                || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            if !is_here {
                log::warn!(
                    "Redis at {host}:{port}: what goes there can be read on the way; see rediss://"
                );
            }
            Ok(info)
        }
        (ConnectionAddr::Tcp(..), Some(_)) => Err(UrlFault::Parameter),
        (ConnectionAddr::TcpTls { .. }, None) => Ok(info),
        (ConnectionAddr::TcpTls { .. }, Some(path)) => {
            let root_cert =
                std::fs::read(&path).map_err(|source| UrlFault::RootCert { path, source })?;
            let certificates = TlsCertificates { client_tls: None, root_cert: Some(root_cert) };
            let client = Client::build_with_tls(info, certificates).map_err(UrlFault::Part)?;
            Ok(client.get_connection_info().clone())
        }
        _ => Err(UrlFault::NotRedis),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> String {
        parse_seeds(&["redis://h/".into(), url.into()]).unwrap_err().to_string()
    }

    #[test]
    fn urls_are_read_and_errors_do_not_repeat_them() {
        let good = ["redis://u:secret@h:1/2".to_owned(), "redis://[::1]".to_owned()];
        let places: Vec<_> =
            parse_seeds(&good).unwrap().iter().map(|seed| seed.addr().to_string()).collect();
        assert_eq!(places, ["h:1", "::1:6379"]);
        assert!(matches!(parse_seeds(&[]), Err(OptionsError::NoUrl)));
        for bad in [
            "http://u:secret@h",
            "redis://u:secret@h/db",
            "redis://u:secret@/",
            "redis://u:secret@h/?root_cert_path=/x",
            "rediss://u:secret@h/?root_cert_path=/no/such/file",
            "rediss://u:secret@h/?rot_cert_path=/x",
            "rediss://u:secret@h/#insecure",
            "unix:///s",
        ] {
            let text = error(bad);
            assert!(text.starts_with("URL 2 of the directory"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
        assert!(parse_seeds(&["rediss://h/".into()]).is_ok());
    }

    #[test]
    fn options_do_not_show_passwords() {
        let options = RedisOptions {
            urls: vec!["redis://u:secret@h:1/".into()],
            node: NodeId(1),
            boot: BootId(2),
            store_epoch: 3,
            announcement: NodeAnnouncement::default(),
            attempts: AttemptRules::default(),
        };
        assert!(!format!("{options:?}").contains("secret"));
    }
}
