//! What an operator says of the database: URLs, which are never shown with their password. Knows
//! no statement.

use aldis_logic::job::BootId;
use mysql::{Opts, OptsBuilder, SslOpts};

use crate::traits::StoreError;

/// Parameters of a URL that are passed on: all about TLS.
const TLS_PARAMETERS: [&str; 3] = ["root_cert_path", "cert_chain_path", "priv_key_path"];
/// Ours: TLS with the well-known authorities, or none at all.
const REQUIRE_SSL: &str = "require_ssl";

/// How to use a database. `Debug` shows no password.
#[derive(Clone)]
pub struct MysqlOptions {
    /// `mysql://user:password@host:port/database`. Parameters: `require_ssl=true` for TLS,
    /// `root_cert_path` with the authority's certificate, `cert_chain_path` and `priv_key_path` for
    /// a certificate of one's own (each of them means TLS too).
    pub url: String,
    /// Replicas of that server, from which pages are read; may be empty.
    pub replicas: Vec<String>,
    /// Number of this node in message ids, at most [`crate::NODE_MAX`].
    pub node: u16,
    /// This life of it.
    pub boot: BootId,
    /// Serve although a crash of the database may lose what was acknowledged.
    pub allow_unsafe_durability: bool,
}

impl std::fmt::Debug for MysqlOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MysqlOptions")
            .field("node", &self.node)
            .field("boot", &self.boot)
            .field("allow_unsafe_durability", &self.allow_unsafe_durability)
            .finish_non_exhaustive()
    }
}

/// A database that can be connected to. `Debug` and `Display` show no password.
#[derive(Clone)]
pub(super) struct Endpoint {
    opts: Opts,
    name: String,
}

impl Endpoint {
    /// Takes a URL apart.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let (url, must_encrypt) = take_require_ssl(url)?;
        // The crate's errors may quote parts of the URL.
        let opts = Opts::from_url(&url)
            .map_err(|_| StoreError::Url("it must be mysql://user:password@host:port/database"))?;
        if opts.get_db_name().is_none_or(str::is_empty) {
            return Err(StoreError::Url("it names no database"));
        }
        let name = format!(
            "{}:{}/{}",
            opts.get_ip_or_hostname(),
            opts.get_tcp_port(),
            opts.get_db_name().unwrap_or_default()
        );
        let opts = match must_encrypt && opts.get_ssl_opts().is_none() {
            true => OptsBuilder::from_opts(opts).ssl_opts(SslOpts::default()).into(),
            false => opts,
        };
        Ok(Self { opts, name })
    }

    /// Says what a person should know, once in the life of a process.
    pub(super) fn warn(&self) {
        if self.opts.get_ssl_opts().is_none() && !self.opts.addr_is_loopback() {
            log::warn!("{self}: messages are readable on the way to it; see require_ssl");
        }
    }

    /// For the crate, with the account.
    pub(super) fn opts(&self) -> Opts {
        self.opts.clone()
    }
}

/// Host, port and database.
impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

/// Takes our own parameter out, and refuses those that would change how connections behave.
fn take_require_ssl(url: &str) -> Result<(String, bool), StoreError> {
    let Some((base, query)) = url.split_once('?') else { return Ok((url.to_owned(), false)) };
    let mut passed_on = Vec::new();
    let mut must_encrypt = false;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some((REQUIRE_SSL, "true")) => must_encrypt = true,
            Some((REQUIRE_SSL, "false")) => must_encrypt = false,
            Some((name, _)) if TLS_PARAMETERS.contains(&name) => passed_on.push(parameter),
            // What stands there may be the rest of a password with a question mark.
            _ => {
                return Err(StoreError::Url(
                    "it has a parameter other than require_ssl=true|false, root_cert_path, \
                     cert_chain_path, priv_key_path",
                ));
            }
        }
    }
    if passed_on.is_empty() {
        return Ok((base.to_owned(), must_encrypt));
    }
    Ok((format!("{base}?{}", passed_on.join("&")), must_encrypt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let endpoint = Endpoint::parse("mysql://im:p%40ss@127.0.0.1:3307/aldis").unwrap();
        assert_eq!(endpoint.to_string(), "127.0.0.1:3307/aldis");
        assert_eq!(endpoint.opts().get_pass(), Some("p@ss"));
        assert!(endpoint.opts().get_ssl_opts().is_none());
        let encrypted = Endpoint::parse("mysql://im@db/aldis?require_ssl=true").unwrap();
        assert!(encrypted.opts().get_ssl_opts().is_some());
        let own = "mysql://im@db/aldis?root_cert_path=/etc/ca.pem&require_ssl=true";
        let opts = Endpoint::parse(own).unwrap().opts();
        let path = opts.get_ssl_opts().and_then(SslOpts::root_cert_path);
        assert_eq!(path, Some(std::path::Path::new("/etc/ca.pem")));
    }

    #[test]
    fn no_error_and_no_debug_text_shows_the_password() {
        for url in [
            "mysql:/im:hunter2@db/aldis",
            "mysql://im:hunter2@db",
            "postgres://im:hunter2@db/aldis",
            "mysql://im:hunter2?@db/aldis",
            "mysql://im:hunter2@db:port/aldis",
            "mysql://im:x@db/aldis?hunter2=1",
            "mysql://im:x@db/aldis?require_ssl=hunter2",
            "mysql://im:x@db/aldis?socket=/run/hunter2",
        ] {
            let error = Endpoint::parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let url = "mysql://im:hunter2@db/aldis".to_owned();
        let endpoint = Endpoint::parse(&url).unwrap();
        assert!(!format!("{endpoint} {endpoint:?}").contains("hunter2"));
        let options = MysqlOptions {
            replicas: vec![url.clone()],
            url,
            node: 1,
            boot: BootId(1),
            allow_unsafe_durability: false,
        };
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
