//! The table `cluster` of the configuration file: its keys, its rules, and the secrets it names. Knows
//! nothing of how the link works.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aldis_rudp::{ClusterKey, ClusterKeys, Mode};
use anyhow::{Context, bail};
use serde::Deserialize;
use toml::Spanned;

/// Overrides `cluster.key`.
pub const CLUSTER_KEY_VARIABLE: &str = "ALDIS_CLUSTER_KEY";
/// Bytes of a cluster key.
const KEY_BYTES: usize = 32;
/// Permission of a key file that it must not have: others may read it.
const READABLE_BY_OTHERS: u32 = 0o004;

/// The link to the other nodes of a cluster.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterTable {
    /// UDP address and port of the link.
    pub listen: Spanned<SocketAddr>,
    /// Where other nodes reach it, address:port; empty: where it listens.
    pub advertise: Spanned<String>,
    /// The secret that all nodes share, 64 hexadecimal digits; or, better, a file that holds them. Not
    /// needed if everything is on loopback.
    pub key: SecretText,
    /// See there.
    pub key_file: Option<PathBuf>,
    /// While keys are changed: the one before or the one to come, which is taken besides.
    pub other_key: SecretText,
    /// See there.
    pub other_key_file: Option<PathBuf>,
    /// Nodes that are there whatever the directory says; needed only without a shared directory.
    pub peers: Vec<PeerTable>,
    /// How the link finds out what the network carries.
    pub controller: ControllerName,
    /// Send repair datagrams while datagrams are being lost.
    pub redundancy: bool,
}

/// Another node.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerTable {
    /// Its `node.id`.
    pub node: u16,
    /// Of its link.
    pub address: SocketAddr,
}

/// The congestion controllers there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControllerName {
    /// Follows delivery rate and delay, and does not take random loss for congestion.
    #[default]
    Model,
    /// For links that are shared with loss-based flows.
    Cubic,
}

/// A secret: it is never shown.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretText(pub String);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "SecretText()" } else { "SecretText(...)" })
    }
}

impl Default for ClusterTable {
    fn default() -> Self {
        Self {
            listen: Spanned::new(0..0, SocketAddr::from(([127, 0, 0, 1], 7701))),
            advertise: Spanned::new(0..0, String::new()),
            key: SecretText::default(),
            key_file: None,
            other_key: SecretText::default(),
            other_key_file: None,
            peers: Vec::new(),
            controller: ControllerName::default(),
            redundancy: false,
        }
    }
}

impl ClusterTable {
    /// The address to advertise, as configured. An error is the rule that it breaks.
    pub fn advertised(&self) -> Result<Option<SocketAddr>, String> {
        let text = self.advertise.get_ref();
        if text.is_empty() {
            let listen = self.listen.get_ref();
            let rule = "where other nodes reach this one must be said when it listens everywhere";
            return if listen.ip().is_unspecified() { Err(rule.into()) } else { Ok(None) };
        }
        text.parse().map(Some).map_err(|_| format!("{text:?} is no address:port"))
    }

    /// Whether no datagram of the link leaves the machine, as far as is configured.
    pub fn is_on_loopback(&self) -> bool {
        let advertised = self.advertised().ok().flatten();
        let peers = self.peers.iter().map(|peer| peer.address);
        let mut all = peers.chain(advertised).chain([*self.listen.get_ref()]);
        all.all(|address| address.ip().is_loopback())
    }

    /// Whether a key is configured.
    pub fn has_key(&self) -> bool {
        !self.key.0.is_empty() || self.key_file.is_some()
    }

    /// How datagrams are protected. Reads key files.
    pub fn mode(&self) -> anyhow::Result<Mode> {
        let key = secret("cluster.key", &self.key, self.key_file.as_deref())?;
        let other = secret("cluster.other_key", &self.other_key, self.other_key_file.as_deref())?;
        let Some(current) = key else { return Ok(Mode::Plain) };
        if other.as_ref().is_some_and(|other| other.id == current.id) {
            bail!("cluster.other_key cannot be told apart from cluster.key: make another one");
        }
        Ok(Mode::Sealed(ClusterKeys { current, other }))
    }
}

fn secret(
    name: &str,
    text: &SecretText,
    file: Option<&Path>,
) -> anyhow::Result<Option<ClusterKey>> {
    let text = match file {
        Some(_) if !text.0.is_empty() => bail!("either {name} or {name}_file"),
        Some(file) => read(file).with_context(|| format!("{name}_file = {}", file.display()))?,
        None if text.0.is_empty() => return Ok(None),
        None => text.0.clone(),
    };
    let secret = parse(text.trim());
    let secret = secret.with_context(|| {
        format!("{name} is not 64 hexadecimal digits; make some with: openssl rand -hex 32")
    })?;
    // Nodes name keys on the wire by a byte; one that is derived needs nobody to number them.
    let digest = ring::digest::digest(&ring::digest::SHA256, &secret);
    Ok(Some(ClusterKey { id: digest.as_ref()[0], secret }))
}

fn read(path: &Path) -> anyhow::Result<String> {
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & READABLE_BY_OTHERS != 0 {
        bail!("everybody on this machine may read it: chmod o-r");
    }
    Ok(std::fs::read_to_string(path)?)
}

fn parse(text: &str) -> Option<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    if text.len() != 2 * KEY_BYTES || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> ClusterTable {
        toml::from_str(text).unwrap()
    }

    fn error(table: &ClusterTable) -> String {
        format!("{:#}", table.mode().unwrap_err())
    }

    #[test]
    fn keys_come_from_the_file_or_another_file_and_are_not_shown() {
        let hex = "0f".repeat(32);
        let table = table(&format!("key = \"{hex}\""));
        assert!(matches!(table.mode().unwrap(), Mode::Sealed(keys) if keys.other.is_none()));
        assert!(!format!("{table:?}").contains(&hex));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, format!("{hex}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let other = format!("key = \"{}\"\nother_key_file = {path:?}", "ab".repeat(32));
        assert!(error(&self::table(&other)).contains("chmod"));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let Mode::Sealed(keys) = self::table(&other).mode().unwrap() else { panic!("sealed") };
        assert_eq!(keys.current.secret, [0xab; 32]);
        assert_eq!(keys.other.map(|key| key.secret), Some([0x0f; 32]));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for key in ["abc", &"0g".repeat(32), &"+1".repeat(32), &"0f".repeat(31), &"é".repeat(32)] {
            assert!(error(&table(&format!("key = {key:?}"))).contains("openssl"), "{key}");
        }
        let hex = "0f".repeat(32);
        let both = format!("key = \"{hex}\"\nkey_file = \"/x\"");
        assert!(error(&table(&both)).contains("either"));
        let same = format!("key = \"{hex}\"\nother_key = \"{hex}\"");
        assert!(error(&table(&same)).contains("another one"));
        assert!(matches!(table("").mode(), Ok(Mode::Plain)));
    }

    #[test]
    fn what_can_leave_the_machine_is_noticed() {
        assert!(table("").is_on_loopback());
        assert!(!table("listen = \"0.0.0.0:1\"").is_on_loopback());
        assert!(!table("advertise = \"10.0.0.1:1\"").is_on_loopback());
        let peer = "peers = [{ node = 2, address = \"10.0.0.2:1\" }]";
        assert!(!table(peer).is_on_loopback());
        assert!(table("listen = \"0.0.0.0:1\"").advertised().is_err());
        assert!(table("advertise = \"here\"").advertised().is_err());
    }
}
