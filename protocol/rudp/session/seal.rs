//! Protection of a session's datagrams: AEAD in sealed mode, CRC32C in plain mode. Knows no frames.
//!
//! As in RFC 9001 5.3 the nonce is the packet number over a secret of the direction, and the header
//! is authenticated. So are the numbers that travel truncated, whole. Keys change every
//! 2^22 packets, by the packet number alone, well below the limits of RFC 9001 6.6.

use crc32c::crc32c_append;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::crypto::DirectionSecret;
use crate::planted::{self, Bug};
use crate::wire::header::HEADER_BYTES_MAX;

/// Packets that one key protects, as a power of two.
const EPOCH_BITS: u32 = 22;
/// Bytes that protection adds in sealed mode.
const TAG_BYTES: usize = 16;
/// Bytes that protection adds in plain mode.
const CHECKSUM_BYTES: usize = 4;
/// What is checked besides the header in sealed mode: the whole id of the first message.
const AAD_BYTES_MAX: usize = HEADER_BYTES_MAX + 8;

/// The numbers that stand in a header truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// The packet number.
    pub number: u64,
    /// The first message's id, if there is one.
    pub first_message: Option<u64>,
}

/// One direction's protection; the sender's and the receiver's are the same.
#[derive(Debug)]
pub(crate) struct Protection {
    secret: DirectionSecret,
    cipher: Cipher,
}

#[derive(Debug)]
enum Cipher {
    Plain { salt: u32 },
    Sealed(Box<Keys>),
}

/// The keys of three epochs: what comes may be late, and the next epoch begins with an authentic
/// datagram and not with whatever has a number of it.
#[derive(Debug)]
struct Keys {
    before: Option<EpochKey>,
    latest: EpochKey,
    next: EpochKey,
}

#[derive(Debug)]
struct EpochKey {
    epoch: u64,
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
}

impl Protection {
    /// From a direction's secret.
    pub fn new(secret: DirectionSecret, is_sealed: bool) -> Self {
        let cipher = if is_sealed {
            let (latest, next) = (EpochKey::new(&secret, 0), EpochKey::new(&secret, 1));
            Cipher::Sealed(Box::new(Keys { before: None, latest, next }))
        } else {
            let mut salt = [0; 4];
            secret.derive(b"salt", 0, &mut salt);
            Cipher::Plain { salt: u32::from_le_bytes(salt) }
        };
        Self { secret, cipher }
    }

    /// Bytes that `seal` adds to a datagram.
    pub fn tag_bytes(&self) -> usize {
        match self.cipher {
            Cipher::Plain { .. } => CHECKSUM_BYTES,
            Cipher::Sealed(_) => TAG_BYTES,
        }
    }

    /// Bytes of memory that are held besides the struct itself.
    pub fn memory_bytes(&self) -> usize {
        match &self.cipher {
            Cipher::Plain { .. } => 0,
            Cipher::Sealed(_) => size_of::<Keys>(),
        }
    }

    /// Protects the datagram that begins at `start` of `out` and whose header ends at `body_at`.
    pub fn seal(&mut self, whole: Whole, out: &mut Vec<u8>, start: usize, body_at: usize) {
        let key = match &self.cipher {
            Cipher::Plain { salt } => {
                let sum = checksum(*salt, whole, &out[start..]);
                out.extend_from_slice(&sum.to_le_bytes());
                return;
            }
            Cipher::Sealed(_) => self.begin_epoch(whole.number).expect("numbers rise by one"),
        };
        let (header, body) = out[start..].split_at_mut(body_at - start);
        let (aad, aad_len) = aad(header, whole);
        let tag = key
            .key
            .seal_in_place_separate_tag(key.nonce(whole.number), Aad::from(&aad[..aad_len]), body)
            .expect("datagrams are shorter than the cipher's limit");
        out.extend_from_slice(tag.as_ref());
    }

    /// Checks and decrypts in place a datagram whose header takes `header_len` bytes; gives what
    /// follows the header. `None` if it is not authentic.
    pub fn open<'a>(
        &mut self,
        whole: Whole,
        datagram: &'a mut [u8],
        header_len: usize,
    ) -> Option<&'a [u8]> {
        let body_len = datagram.len().checked_sub(header_len + self.tag_bytes())?;
        let key = match &self.cipher {
            Cipher::Plain { salt } => {
                let (said, sum) = datagram.split_last_chunk::<CHECKSUM_BYTES>()?;
                let is_right = checksum(*salt, whole, said) == u32::from_le_bytes(*sum)
                    || planted::is_active(Bug::NoChecksum);
                return is_right.then(|| &said[header_len..]);
            }
            Cipher::Sealed(keys) => keys.of(whole.number)?,
        };
        let (header, body) = datagram.split_at_mut(header_len);
        let (aad, aad_len) = aad(header, whole);
        key.key.open_in_place(key.nonce(whole.number), Aad::from(&aad[..aad_len]), body).ok()?;
        self.begin_epoch(whole.number);
        Some(&body[..body_len])
    }

    /// The key for a number that we or an authentic peer used: its epoch has begun.
    fn begin_epoch(&mut self, number: u64) -> Option<&EpochKey> {
        let Cipher::Sealed(keys) = &mut self.cipher else { return None };
        if number >> EPOCH_BITS == keys.next.epoch {
            let after = EpochKey::new(&self.secret, keys.next.epoch + 1);
            let latest = std::mem::replace(&mut keys.next, after);
            keys.before = Some(std::mem::replace(&mut keys.latest, latest));
        }
        keys.of(number)
    }
}

impl Keys {
    fn of(&self, number: u64) -> Option<&EpochKey> {
        let epoch = number >> EPOCH_BITS;
        let all = [Some(&self.latest), self.before.as_ref(), Some(&self.next)];
        all.into_iter().flatten().find(|key| key.epoch == epoch)
    }
}

impl EpochKey {
    fn new(secret: &DirectionSecret, epoch: u64) -> Self {
        let (mut key, mut iv) = ([0; 16], [0; NONCE_LEN]);
        secret.derive(b"key", epoch, &mut key);
        secret.derive(b"iv", epoch, &mut iv);
        let key = UnboundKey::new(&AES_128_GCM, &key).expect("sixteen bytes");
        Self { epoch, key: LessSafeKey::new(key), iv }
    }

    fn nonce(&self, number: u64) -> Nonce {
        let mut nonce = self.iv;
        for (byte, bits) in nonce[NONCE_LEN - 8..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= bits;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

fn aad(header: &[u8], whole: Whole) -> ([u8; AAD_BYTES_MAX], usize) {
    let mut aad = [0; AAD_BYTES_MAX];
    aad[..header.len()].copy_from_slice(header);
    let id = whole.first_message.unwrap_or(u64::MAX);
    aad[header.len()..header.len() + 8].copy_from_slice(&id.to_le_bytes());
    (aad, header.len() + 8)
}

fn checksum(salt: u32, whole: Whole, datagram: &[u8]) -> u32 {
    let mut numbers = [0; 16];
    numbers[..8].copy_from_slice(&whole.number.to_le_bytes());
    numbers[8..].copy_from_slice(&whole.first_message.unwrap_or(u64::MAX).to_le_bytes());
    crc32c_append(crc32c_append(salt, &numbers), datagram)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;
    use crate::crypto::{Binding, ClusterKey, ClusterKeys, KeyRing};

    fn protection(mode: &Mode) -> Protection {
        let keys = KeyRing::new(mode);
        let (initiator_random, responder_random) = (&[1; 32], &[2; 32]);
        let binding = Binding { initiator_random, responder_random };
        let secret = keys.session(keys.current(), &binding).unwrap();
        Protection::new(secret.direction(true), keys.is_sealed())
    }

    fn modes() -> [Mode; 2] {
        let current = ClusterKey { id: 0, secret: [7; 32] };
        [Mode::Plain, Mode::Sealed(ClusterKeys { current, other: None })]
    }

    #[test]
    fn what_is_sealed_opens_and_nothing_else_does() {
        for mode in modes() {
            let (mut sender, mut receiver) = (protection(&mode), protection(&mode));
            let whole = Whole { number: 70_000, first_message: Some(9) };
            let mut sealed = b"xxheaderbody".to_vec();
            sender.seal(whole, &mut sealed, 2, 8);
            let sealed = &sealed[2..];
            assert_eq!(receiver.open(whole, &mut sealed.to_vec(), 6), Some(&b"body"[..]));
            for other in [
                Whole { number: 70_001, ..whole },
                Whole { number: 70_000 + (1 << 16), ..whole },
                Whole { first_message: None, ..whole },
                Whole { first_message: Some(10), ..whole },
            ] {
                assert_eq!(receiver.open(other, &mut sealed.to_vec(), 6), None);
            }
            for bit in 0..sealed.len() * 8 {
                let mut damaged = sealed.to_vec();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(receiver.open(whole, &mut damaged, 6), None, "bit {bit}");
            }
            for len in 0..sealed.len() {
                assert_eq!(receiver.open(whole, &mut sealed[..len].to_vec(), 6), None);
            }
        }
    }

    #[test]
    fn keys_change_with_the_epoch_and_late_packets_still_open() {
        for mode in modes() {
            let (mut sender, mut receiver) = (protection(&mode), protection(&mode));
            let sealed =
                [(1 << EPOCH_BITS) - 1, 1 << EPOCH_BITS, (1 << EPOCH_BITS) + 1].map(|number| {
                    let whole = Whole { number, first_message: None };
                    let mut out = b"hb".to_vec();
                    sender.seal(whole, &mut out, 0, 1);
                    (whole, out)
                });
            for index in [1, 0, 2] {
                let (whole, mut bytes) = sealed[index].clone();
                assert_eq!(receiver.open(whole, &mut bytes, 1), Some(&b"b"[..]));
            }
        }
    }

    #[test]
    fn forged_numbers_begin_no_epoch() {
        let (mut sender, mut receiver) = (protection(&modes()[1]), protection(&modes()[1]));
        for epoch in [1, 2, 5] {
            let whole = Whole { number: epoch << EPOCH_BITS, first_message: None };
            assert_eq!(receiver.open(whole, &mut [0; 40], 4), None);
        }
        let Cipher::Sealed(keys) = &receiver.cipher else { panic!("sealed") };
        assert!(keys.latest.epoch == 0 && keys.before.is_none());
        let (whole, mut bytes) = (Whole { number: 3, first_message: None }, b"hb".to_vec());
        sender.seal(whole, &mut bytes, 0, 1);
        assert_eq!(receiver.open(whole, &mut bytes, 1), Some(&b"b"[..]));
    }
}
