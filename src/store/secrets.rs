//! What a store makes at random once: its epoch, its signing key, its hash key. Knows no backend.

use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of a signing key: 256 bits, as many as HS256 uses.
pub(crate) const SECRET_BYTES: usize = 32;

/// A store epoch: positive, so that it is the same number in every database, and never 0, which
/// means none.
pub(crate) fn random_epoch() -> Result<u64, getrandom::Error> {
    Ok((getrandom::u64()? >> 1).max(1))
}

/// The name of a signing key.
pub(crate) fn random_kid() -> Result<String, getrandom::Error> {
    Ok(format!("{:016x}", getrandom::u64()?))
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Now; 0 for a clock before 1970.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
