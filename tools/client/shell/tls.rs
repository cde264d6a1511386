//! How a client is sure of the server it talks to: what it trusts, and under which name. Knows no
//! connection.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// What a client asks of a server's certificate.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// PEM file with the certificates that are trusted; `None`: those that this machine trusts.
    pub roots: Option<PathBuf>,
    /// Whom the certificate must be for; `None`: the host of the server's address.
    pub name: Option<String>,
}

/// See the file's first line.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

impl Tls {
    /// Reads what is trusted.
    pub fn new(options: &TlsOptions) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        match &options.roots {
            Some(path) => {
                for certificate in read_certificates(path)? {
                    roots.add(certificate).map_err(invalid)?;
                }
            }
            None => {
                // One that this library cannot read leads to no server.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(io::Error::new(ErrorKind::NotFound, "no certificate is trusted"));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(invalid)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = options.name.as_deref().map(server_name).transpose()?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// The same, for connections that do not go on with the keys of earlier ones.
    pub fn without_resumption(mut self) -> Self {
        Arc::make_mut(&mut self.config).resumption = Resumption::disabled();
        self
    }

    /// A session with the server at `host:port`, whose handshake has not begun.
    pub fn session(&self, server: &str) -> io::Result<ClientConnection> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => {
                let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
                server_name(host.trim_start_matches('[').trim_end_matches(']'))?
            }
        };
        ClientConnection::new(self.config.clone(), name).map_err(invalid)
    }
}

fn read_certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(|error| {
        io::Error::new(ErrorKind::InvalidData, format!("{}: {error}", path.display()))
    })
}

fn server_name(name: &str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).map_err(invalid)
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
