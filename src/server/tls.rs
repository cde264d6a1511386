//! The certificate of the client listener: read at the start, read again on SIGHUP, made on request.
//! Knows files, no connection.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aldis_net::Tls;
use anyhow::Context;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ProducesTickets;

use crate::config::TlsTable;

/// The certificate that is made on request, and its key.
const CERTIFICATE_FILE: &str = "certificate.pem";
const KEY_FILE: &str = "key.pem";

/// Where the certificate comes from, and what is made of it.
pub struct TlsFiles {
    table: TlsTable,
    /// For the reactors.
    pub tls: Arc<Tls>,
    /// Sessions are resumed across a new certificate too.
    tickets: Arc<dyn ProducesTickets>,
}

impl TlsFiles {
    /// Reads the files.
    pub fn open(table: &TlsTable) -> anyhow::Result<Self> {
        let tickets = ring::Ticketer::new().context("no keys for resumed TLS sessions")?;
        let tls = Arc::new(Tls::new(load(table, tickets.clone())?));
        Ok(Self { table: table.clone(), tls, tickets })
    }

    /// Reads them again. Connections that are open keep what they have; if the files are bad, so do
    /// new ones.
    pub fn reload(&self) {
        match load(&self.table, self.tickets.clone()) {
            Ok(config) => {
                self.tls.replace(config);
                log::info!("the certificate was read again");
            }
            Err(error) => log::error!("the certificate stays as it was: {error:#}"),
        }
    }
}

fn load(table: &TlsTable, tickets: Arc<dyn ProducesTickets>) -> anyhow::Result<Arc<ServerConfig>> {
    let (certificate, key) = (&table.certificate, &table.key);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| format!("cannot read certificates from {}", certificate.display()))?;
    let secret = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read a private key from {}", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS 1.2 and 1.3")?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .with_context(|| format!("{} and {} do not fit", certificate.display(), key.display()))?;
    config.ticketer = tickets;
    Ok(Arc::new(config))
}

/// Makes a certificate that signs itself, for tests and trials: clients must be told to trust it.
pub fn make_certificate(names: &[String], dir: &Path) -> anyhow::Result<()> {
    let made = rcgen::generate_simple_self_signed(names.to_vec()).context("no certificate")?;
    let certificate = write_new(&dir.join(CERTIFICATE_FILE), 0o644, &made.cert.pem())?;
    let key = write_new(&dir.join(KEY_FILE), 0o600, &made.signing_key.serialize_pem())?;
    println!("[listen.tls]");
    println!("certificate = {certificate:?}");
    println!("key = {key:?}");
    Ok(())
}

/// A file that was there before stays as it is.
fn write_new(path: &Path, mode: u32, text: &str) -> anyhow::Result<PathBuf> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.to_owned())
}
