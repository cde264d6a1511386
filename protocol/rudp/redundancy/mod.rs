//! Redundancy: repair datagrams that bring lost ones back without a round trip, while there is loss.
//! Knows datagrams as bytes.
//!
//! A sliding-window random linear code over GF(2^8), after RFC 8681: each repair is a combination of
//! the latest datagrams that are not acknowledged, with coefficients that follow from packet numbers.

pub(crate) mod copies;
pub(crate) mod decoder;
pub(crate) mod encoder;
mod gf256;
pub(crate) mod policy;
pub(crate) mod restored;
mod symbol;

/// How far back from the newest datagram that a repair covers its window may begin.
pub(crate) const SPAN: u64 = 64;
/// Datagrams that one repair covers, at most. It must exceed what a burst of losses and the
/// repairs for it take; each costs a multiplication of its bytes for each repair.
pub(crate) const WINDOW_MAX: usize = 24;

/// The factor of a source in a repair; never 0. Both ends know it from the two packet numbers.
fn coefficient(repair: u64, source: u64) -> u8 {
    let mut mixed = (repair << 32 ^ source).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    1 + ((mixed >> 32) % 255) as u8
}
