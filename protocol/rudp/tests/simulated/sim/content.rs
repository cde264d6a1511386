//! What messages consist of: a number, their length, and bytes that follow from both.

use bytes::Bytes;

/// Bytes of the smallest message.
pub const BYTES_MIN: usize = 12;

/// The message of a number.
pub fn write(number: u64, bytes: usize) -> Bytes {
    let mut message = Vec::with_capacity(bytes + 8);
    message.extend_from_slice(&number.to_le_bytes());
    message.extend_from_slice(&(bytes as u32).to_le_bytes());
    let mut word = number ^ 0x5851_f42d_4c95_7f2d;
    while message.len() < bytes {
        word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        message.extend_from_slice(&word.to_le_bytes());
    }
    message.truncate(bytes);
    message.into()
}

/// The number of a message.
pub fn number(message: &[u8]) -> Option<u64> {
    (message.len() >= BYTES_MIN)
        .then(|| u64::from_le_bytes(message[..8].try_into().expect("eight bytes")))
}
