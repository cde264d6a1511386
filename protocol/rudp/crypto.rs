//! Keys: what a cluster shares, and what each session derives from it. Knows no datagram.
//!
//! A session's secret is HKDF (RFC 5869) over the cluster key with both sides' random bytes as salt,
//! so that two sessions never share a key and a packet number may serve as nonce.

use std::fmt;

use ring::hkdf;
use ring::hmac;

use crate::config::Mode;

/// Bytes of a message authentication code: HMAC-SHA-256, cut as RFC 2104 5 allows.
pub(crate) const MAC_BYTES: usize = 16;
/// Random bytes that each side of a handshake brings along.
pub(crate) const RANDOM_BYTES: usize = 32;

/// A secret that all nodes of a cluster share.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey {
    /// Tells keys apart on the wire while they are being rotated.
    pub id: u8,
    /// At least 128 bits of entropy.
    pub secret: [u8; 32],
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ClusterKey({})", self.id)
    }
}

/// The keys that a node takes; it begins sessions with the current one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterKeys {
    /// Used for new sessions.
    pub current: ClusterKey,
    /// Taken besides: the one before or the one to come.
    pub other: Option<ClusterKey>,
}

/// Keys of the handshake, one set per cluster key.
#[derive(Debug)]
pub(crate) struct KeyRing {
    entries: Vec<Entry>,
    is_sealed: bool,
}

#[derive(Debug)]
struct Entry {
    id: u8,
    mac: hmac::Key,
    secret: [u8; 32],
}

impl KeyRing {
    /// Of the configuration. Plain mode uses a key that everybody knows: its codes find damage.
    pub fn new(mode: &Mode) -> Self {
        let entry = |id: u8, secret: &[u8; 32]| {
            let mut mac = [0; 32];
            expand(&extract(b"aldis-rudp 1 mac", secret), &[], &mut mac);
            Entry { id, mac: hmac::Key::new(hmac::HMAC_SHA256, &mac), secret: *secret }
        };
        match mode {
            Mode::Plain => Self { entries: vec![entry(0, &[0; 32])], is_sealed: false },
            Mode::Sealed(keys) => Self {
                entries: [Some(&keys.current), keys.other.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(|key| entry(key.id, &key.secret))
                    .collect(),
                is_sealed: true,
            },
        }
    }

    /// Whether datagrams are encrypted.
    pub fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// The id of the key for new sessions.
    pub fn current(&self) -> u8 {
        self.entries[0].id
    }

    /// The code of `parts` under a key, `None` if there is no such key.
    pub fn mac(&self, key: u8, parts: &[&[u8]]) -> Option<[u8; MAC_BYTES]> {
        let entry = self.entries.iter().find(|entry| entry.id == key)?;
        Some(code(&entry.mac, parts))
    }

    /// Whether `mac` is that code; compared in constant time.
    pub fn is_authentic(&self, key: u8, parts: &[&[u8]], mac: &[u8; MAC_BYTES]) -> bool {
        self.mac(key, parts).is_some_and(|expected| is_same(&expected, mac))
    }

    /// The secret of a session, `None` if there is no such key.
    pub fn session(&self, key: u8, binding: &Binding<'_>) -> Option<SessionSecret> {
        let entry = self.entries.iter().find(|entry| entry.id == key)?;
        let mut salt = [0; 2 * RANDOM_BYTES];
        salt[..RANDOM_BYTES].copy_from_slice(binding.initiator_random);
        salt[RANDOM_BYTES..].copy_from_slice(binding.responder_random);
        Some(SessionSecret(extract(&salt, &entry.secret)))
    }
}

/// What a session's secret is bound to besides the cluster key. Nodes and boot ids are covered by
/// the handshake's codes, which the random bytes stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding<'a> {
    /// From HELLO.
    pub initiator_random: &'a [u8; RANDOM_BYTES],
    /// From ACCEPT.
    pub responder_random: &'a [u8; RANDOM_BYTES],
}

/// What both ends of a session share.
pub(crate) struct SessionSecret(hkdf::Prk);

impl SessionSecret {
    /// The secret of one direction.
    pub fn direction(&self, is_from_initiator: bool) -> DirectionSecret {
        let mut out = [0; 32];
        let label: &[u8] = if is_from_initiator { b"from initiator" } else { b"from responder" };
        expand(&self.0, label, &mut out);
        DirectionSecret(hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &out))
    }
}

/// What the keys of one direction are derived from.
#[derive(Debug)]
pub(crate) struct DirectionSecret(hkdf::Prk);

impl DirectionSecret {
    /// Fills `out` with bytes for this purpose and epoch.
    pub fn derive(&self, label: &[u8], epoch: u64, out: &mut [u8]) {
        let mut info = [0; 24];
        info[..8].copy_from_slice(&epoch.to_le_bytes());
        info[8..8 + label.len()].copy_from_slice(label);
        expand(&self.0, &info, out);
    }
}

/// The code of `parts` under a key.
pub(crate) fn code(key: &hmac::Key, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    let tag = context.sign();
    *tag.as_ref().first_chunk().expect("a SHA-256 code is longer")
}

/// Whether two codes are the same, in a time that does not depend on where they differ.
pub(crate) fn is_same(one: &[u8; MAC_BYTES], other: &[u8; MAC_BYTES]) -> bool {
    let difference = one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other));
    std::hint::black_box(difference) == 0
}

/// Random bytes of a seed: HMAC-SHA-256 in counter mode (NIST SP 800-108).
#[derive(Debug)]
pub(crate) struct Random {
    key: hmac::Key,
    count: u64,
}

impl Random {
    /// From a seed that is secret where that matters.
    pub fn new(seed: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, seed), count: 0 }
    }

    /// The next 32 bytes.
    pub fn bytes(&mut self) -> [u8; RANDOM_BYTES] {
        self.count += 1;
        let tag = hmac::sign(&self.key, &self.count.to_le_bytes());
        *tag.as_ref().first_chunk().expect("a SHA-256 code has 32 bytes")
    }
}

fn extract(salt: &[u8], secret: &[u8]) -> hkdf::Prk {
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret)
}

struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(secret: &hkdf::Prk, info: &[u8], out: &mut [u8]) {
    let info = [info];
    let okm = secret.expand(&info, Len(out.len())).expect("fewer than 255 blocks");
    okm.fill(out).expect("the length was named");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(id: u8, byte: u8) -> KeyRing {
        let current = ClusterKey { id, secret: [byte; 32] };
        KeyRing::new(&Mode::Sealed(ClusterKeys { current, other: None }))
    }

    fn derived(ring: &KeyRing, random: u8, is_from_initiator: bool, epoch: u64) -> [u8; 16] {
        let (initiator_random, responder_random) = (&[random; 32], &[2; 32]);
        let binding = Binding { initiator_random, responder_random };
        let mut out = [0; 16];
        let secret = ring.session(ring.current(), &binding).unwrap();
        secret.direction(is_from_initiator).derive(b"key", epoch, &mut out);
        out
    }

    #[test]
    fn every_key_random_direction_and_epoch_gives_other_keys() {
        let keys = [
            derived(&ring(1, 1), 1, true, 0),
            derived(&ring(1, 2), 1, true, 0),
            derived(&ring(1, 1), 2, true, 0),
            derived(&ring(1, 1), 1, false, 0),
            derived(&ring(1, 1), 1, true, 1),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key));
        }
        assert_eq!(keys[0], derived(&ring(1, 1), 1, true, 0));
    }

    #[test]
    fn codes_need_the_right_key_and_every_byte() {
        let mac = ring(1, 1).mac(1, &[b"hello", b"world"]).unwrap();
        assert!(ring(1, 1).is_authentic(1, &[b"helloworld"], &mac));
        assert!(!ring(1, 1).is_authentic(1, &[b"helloworle"], &mac));
        assert!(!ring(1, 2).is_authentic(1, &[b"helloworld"], &mac));
        assert!(!ring(1, 1).is_authentic(2, &[b"helloworld"], &mac));
    }

    #[test]
    fn a_secret_is_not_printed() {
        let key = ClusterKey { id: 7, secret: [0x55; 32] };
        assert_eq!(format!("{key:?}"), "ClusterKey(7)");
    }

    #[test]
    fn random_bytes_depend_on_seed_and_count() {
        let (mut one, mut same, mut other) =
            (Random::new(&[1; 32]), Random::new(&[1; 32]), Random::new(&[2; 32]));
        let first = one.bytes();
        assert_eq!(first, same.bytes());
        assert_ne!(first, one.bytes());
        assert_ne!(first, other.bytes());
    }
}
