//! What messages consist of: a number and bytes that follow from it, so that a changed message is
//! seen. Knows no transport.

use std::sync::OnceLock;

use bytes::Bytes;

use aldis_netsim::Rng;

/// Bytes of the smallest message: number and length.
pub const MESSAGE_BYTES_MIN: usize = 12;
/// Bytes of the largest one.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Places in the table where a content can begin.
const OFFSET_COUNT: usize = 1 << 15;

/// Random bytes that all contents are cut from: writing and comparing them costs a copy each.
fn table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut rng = Rng::new(0x00c0_ffee);
        let words = (MESSAGE_BYTES_MAX + OFFSET_COUNT) / 8;
        (0..words).flat_map(|_| rng.next_u64().to_le_bytes()).collect()
    })
}

/// Makes the table, so that no run pays for it.
pub fn prepare() {
    table();
}

fn filling(number: u64, bytes: usize) -> &'static [u8] {
    let offset = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 49) as usize;
    &table()[offset..offset + bytes - MESSAGE_BYTES_MIN]
}

/// The message of a number.
pub fn write(number: u64, bytes: usize) -> Bytes {
    let mut message = Vec::with_capacity(bytes);
    message.extend_from_slice(&number.to_le_bytes());
    message.extend_from_slice(&u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes());
    message.extend_from_slice(filling(number, bytes));
    let message = Bytes::from(message);
    // The first clone allocates a counter. That is the application's cost and no stack's.
    drop(message.clone());
    message
}

/// The number of a message, if not a bit of it is altered.
pub fn read(message: &[u8]) -> Option<u64> {
    let number = number_of(message)?;
    let length = u32::from_le_bytes(message[8..12].try_into().ok()?);
    let is_intact = length as usize == message.len()
        && message.len() <= MESSAGE_BYTES_MAX
        && message[12..] == *filling(number, message.len());
    is_intact.then_some(number)
}

/// The number as it stands there.
pub fn number_of(message: &[u8]) -> Option<u64> {
    let is_whole = message.len() >= MESSAGE_BYTES_MIN;
    is_whole.then(|| u64::from_le_bytes(message[..8].try_into().expect("eight bytes")))
}

#[cfg(test)]
mod tests {
    use super::{MESSAGE_BYTES_MAX, read, write};

    #[test]
    fn what_is_written_is_read() {
        for (number, bytes) in [(0, 12), (1, 64), (77, 512), (u64::MAX, MESSAGE_BYTES_MAX)] {
            assert_eq!(read(&write(number, bytes)), Some(number));
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let message = write(5, 64);
        for bit in 0..64 * 8 {
            let mut altered = message.to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            // A flip in the number makes it another number, with another content.
            assert_eq!(read(&altered), None, "bit {bit}");
        }
        assert_eq!(read(&message[..63]), None);
        assert_eq!(read(&[]), None);
    }
}
