//! Randomness and ids of a client, from a seed and the time handed in. No entropy of its own.

use aldis_wire::{ClientMsgId, RequestId};

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): small,
/// seedable, good enough for jitter and for the random bits of ids.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 for a bound of 0. The bias is below 2^-32 for the bounds of delays.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

/// Largest counter of one millisecond, 12 bits.
const COUNTER_MAX: u16 = 0x0FFF;

/// Makes UUIDv7 ids (RFC 9562, 5.7, method 1: a counter in rand_a), so that ids of one client rise.
#[derive(Clone, Debug)]
pub struct IdSource {
    rng: Rng,
    last_unix_ms: u64,
    counter: u16,
}

impl IdSource {
    /// Takes its random bits from `rng`.
    pub fn new(rng: Rng) -> Self {
        Self { rng, last_unix_ms: 0, counter: 0 }
    }

    /// An id of a message.
    pub fn client_msg_id(&mut self, unix_ms: u64) -> ClientMsgId {
        ClientMsgId(self.next_id(unix_ms))
    }

    /// An id of another mutating request.
    pub fn request_id(&mut self, unix_ms: u64) -> RequestId {
        RequestId(self.next_id(unix_ms))
    }

    fn next_id(&mut self, unix_ms: u64) -> [u8; 16] {
        if unix_ms > self.last_unix_ms {
            self.last_unix_ms = unix_ms;
            self.counter = 0;
        } else if self.counter < COUNTER_MAX {
            self.counter += 1;
        } else {
            self.last_unix_ms += 1;
            self.counter = 0;
        }
        let high = (self.last_unix_ms << 16) | 0x7000 | u64::from(self.counter);
        let low = (self.rng.next_u64() >> 2) | (1 << 63);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&high.to_be_bytes());
        id[8..].copy_from_slice(&low.to_be_bytes());
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_within_a_millisecond_and_when_the_clock_goes_back() {
        let mut source = IdSource::new(Rng::new(7));
        let mut last = source.client_msg_id(1_000);
        for n in 0..10_000u64 {
            let id = source.client_msg_id(1_000 - (n % 3));
            assert!(id > last, "{id:?} after {last:?}");
            last = id;
        }
        assert_eq!(last.0[6] >> 4, 7, "version");
        assert_eq!(last.0[8] >> 6, 2, "variant");
    }

    #[test]
    fn another_seed_gives_other_ids() {
        let one = IdSource::new(Rng::new(1)).client_msg_id(5);
        assert_eq!(one, IdSource::new(Rng::new(1)).client_msg_id(5));
        assert_ne!(one, IdSource::new(Rng::new(2)).client_msg_id(5));
    }
}
