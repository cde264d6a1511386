//! What a Redis directory is opened with, and what may be wrong with it. Prints no password.

use aldis_logic::job::{BootId, NodeId};
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use crate::traits::NodeAnnouncement;

/// Where Redis is, and who uses it.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://user:password@host:port/`. One: a server, or a member of a Redis Cluster, which is
    /// found out. Several: members of one Redis Cluster. It should have
    /// `cluster-require-full-coverage no`, or one lost server takes all others out of service.
    pub urls: Vec<String>,
    /// This node.
    pub node: NodeId,
    /// This life of it.
    pub boot: BootId,
    /// Of the store. Session epochs of another one do not compare with its own.
    pub store_epoch: u64,
    /// What to tell about this node.
    pub announcement: NodeAnnouncement,
}

impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { urls: _, node, boot, store_epoch, announcement } = self;
        f.debug_struct("RedisOptions")
            .field("node", node)
            .field("boot", boot)
            .field("store_epoch", store_epoch)
            .field("announcement", announcement)
            .finish_non_exhaustive()
    }
}

/// Why options are of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// There must be one at least.
    #[error("no URL of a Redis server is given")]
    NoUrl,
    /// A URL cannot be used.
    #[error("URL {number} of the directory cannot be used: {why}")]
    BadUrl {
        /// Which, from 1.
        number: usize,
        /// What is wrong, without the URL.
        why: String,
    },
}

/// Reads the URLs.
pub fn parse_seeds(urls: &[String]) -> Result<Vec<ConnectionInfo>, OptionsError> {
    if urls.is_empty() {
        return Err(OptionsError::NoUrl);
    }
    let parse = |(number, url): (usize, &String)| {
        let bad = |why: String| OptionsError::BadUrl { number, why };
        let info = url.as_str().into_connection_info().map_err(|error| bad(error.to_string()))?;
        match info.addr() {
            ConnectionAddr::Tcp(..) | ConnectionAddr::TcpTls { .. } => Ok(info),
            _ => Err(bad("it names no host".into())),
        }
    };
    (1..).zip(urls).map(parse).collect()
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
        assert_eq!(parse_seeds(&[]).unwrap_err(), OptionsError::NoUrl);
        for bad in ["http://u:secret@h", "redis://u:secret@h/db", "redis://u:secret@/", "unix:///s"]
        {
            let text = error(bad);
            assert!(
                text.starts_with("URL 2 of the directory") && !text.contains("secret"),
                "{text}"
            );
        }
    }

    #[test]
    fn options_do_not_show_passwords() {
        let options = RedisOptions {
            urls: vec!["redis://u:secret@h:1/".into()],
            node: NodeId(1),
            boot: BootId(2),
            store_epoch: 3,
            announcement: NodeAnnouncement::default(),
        };
        assert!(!format!("{options:?}").contains("secret"));
    }
}
