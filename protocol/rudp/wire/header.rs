//! The header of a session's datagrams: four to fourteen bytes, absent fields by flag. Knows no keys.
//!
//! Packet numbers and the first message's id travel truncated, as in RFC 9000 17.1 and A.2: the
//! receiver completes them around the largest it knows. Both complete numbers go into the check of
//! the datagram, so that a late datagram whose numbers are completed wrongly is dropped.

use super::Malformed;
use super::varint::{self, Reader};

/// First bit of a session's datagram; clear in the first byte of a handshake's.
pub(crate) const SESSION: u8 = 0x80;
const ACK: u8 = 0x40;
const AT_ONCE: u8 = 0x20;
const LONG_NUMBER: u8 = 0x10;
const MESSAGE_SHIFT: u8 = 2;
const SHAPE_MASK: u8 = 0x03;

/// Bytes of the longest header: flags, connection id, packet number, message id.
pub(crate) const HEADER_BYTES_MAX: usize = 1 + 5 + 4 + 4;

/// What follows the header and the acknowledgement. Lone messages need no frame around them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Frames.
    Frames,
    /// One unordered message, up to the end.
    Unordered,
    /// One message of a flow that waits for no other: flow, then its bytes.
    First,
    /// One message of a flow: flow, distance to its predecessor, then its bytes.
    Next,
}

impl Shape {
    /// Two bits of the flags.
    pub fn bits(self) -> u8 {
        match self {
            Shape::Frames => 0,
            Shape::Unordered => 1,
            Shape::First => 2,
            Shape::Next => 3,
        }
    }

    /// From the low two bits.
    pub fn from_bits(bits: u8) -> Self {
        match bits & SHAPE_MASK {
            0 => Shape::Frames,
            1 => Shape::Unordered,
            2 => Shape::First,
            _ => Shape::Next,
        }
    }
}

/// A header as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// What the receiver called the session.
    pub connection: u32,
    /// Packet number.
    pub number: u64,
    /// Whether the packet number needs four bytes rather than two.
    pub has_long_number: bool,
    /// Whether an acknowledgement follows.
    pub has_ack: bool,
    /// Whether the sender wants an acknowledgement at once: nothing follows for a while.
    pub is_ack_at_once: bool,
    /// Id of the first message, if there is any message inside.
    pub first_message: Option<FirstMessage>,
    /// What follows.
    pub shape: Shape,
}

/// A message id and how many bytes of it travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FirstMessage {
    /// The whole id.
    pub id: u64,
    /// Two to four.
    pub byte_count: usize,
}

impl Header {
    /// Appends the header.
    #[inline]
    pub fn put(&self, out: &mut Vec<u8>) {
        out.push(self.flags());
        varint::put(out, u64::from(self.connection));
        // Only its lowest bits: the peer knows about where it is.
        let number = self.number.to_le_bytes().into_iter();
        out.extend(number.take(if self.has_long_number { 4 } else { 2 }));
        if let Some(first) = self.first_message {
            out.extend(first.id.to_le_bytes().into_iter().take(first.byte_count));
        }
    }

    /// The first byte. What is only known once the datagram is complete changes nothing else, so a
    /// sender may write this byte again.
    #[inline]
    pub fn flags(&self) -> u8 {
        let mut flags = SESSION | self.shape.bits();
        if self.has_ack {
            flags |= ACK;
        }
        if self.is_ack_at_once {
            flags |= AT_ONCE;
        }
        if self.has_long_number {
            flags |= LONG_NUMBER;
        }
        if let Some(first) = self.first_message {
            debug_assert!((2..=4).contains(&first.byte_count));
            flags |= (first.byte_count as u8 - 1) << MESSAGE_SHIFT;
        }
        flags
    }
}

/// A received header, its numbers still truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truncated {
    /// As in `Header`.
    pub connection: u32,
    /// As in `Header`.
    pub has_ack: bool,
    /// As in `Header`.
    pub is_ack_at_once: bool,
    /// As in `Header`.
    pub shape: Shape,
    /// Bytes that the header takes.
    pub byte_count: usize,
    number: u64,
    number_bits: u32,
    message: u64,
    message_bits: u32,
}

impl Truncated {
    /// Reads the header at the front of a session's datagram.
    #[inline]
    pub fn read(datagram: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(datagram);
        let flags = reader.byte()?;
        if flags & SESSION == 0 {
            return Err(Malformed);
        }
        let connection = reader.varint32()?;
        let number_bytes = if flags & LONG_NUMBER == 0 { 2 } else { 4 };
        let number = reader.fixed(number_bytes)?;
        let message_bytes = match (flags >> MESSAGE_SHIFT) & 3 {
            0 => 0,
            bits => usize::from(bits) + 1,
        };
        let message = reader.fixed(message_bytes)?;
        let shape = Shape::from_bits(flags);
        if message_bytes == 0 && shape != Shape::Frames {
            return Err(Malformed);
        }
        Ok(Self {
            connection,
            has_ack: flags & ACK != 0,
            is_ack_at_once: flags & AT_ONCE != 0,
            shape,
            byte_count: datagram.len() - reader.rest().len(),
            number,
            number_bits: number_bytes as u32 * 8,
            message,
            message_bits: message_bytes as u32 * 8,
        })
    }

    /// The packet number next to `expected`.
    pub fn number(&self, expected: u64) -> u64 {
        expand(self.number, self.number_bits, expected)
    }

    /// The first message's id next to `expected`, if there is a message.
    pub fn first_message(&self, expected: u64) -> Option<u64> {
        (self.message_bits > 0).then(|| expand(self.message, self.message_bits, expected))
    }
}

/// The number nearest to `expected` whose low `bits` are `truncated` (RFC 9000 A.3).
#[inline]
pub(crate) fn expand(truncated: u64, bits: u32, expected: u64) -> u64 {
    debug_assert!(bits < 63);
    let (window, mask) = (1u64 << bits, (1u64 << bits) - 1);
    let candidate = (expected & !mask) | truncated;
    if candidate.saturating_add(window / 2) <= expected {
        candidate.checked_add(window).unwrap_or(candidate)
    } else if candidate > expected.saturating_add(window / 2) && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_commonest_header_takes_six_bytes() {
        let mut out = Vec::new();
        let header = Header {
            connection: 5,
            number: 0x1_2345,
            has_long_number: false,
            has_ack: false,
            is_ack_at_once: false,
            first_message: Some(FirstMessage { id: 0xabc_def0, byte_count: 2 }),
            shape: Shape::Next,
        };
        header.put(&mut out);
        assert_eq!(out, [0x87, 5, 0x45, 0x23, 0xf0, 0xde]);
    }

    #[test]
    fn a_lone_message_without_an_id_is_malformed() {
        assert_eq!(Truncated::read(&[SESSION | 1, 0, 0, 0]), Err(Malformed));
        assert_eq!(Truncated::read(&[0x7f, 0, 0, 0]), Err(Malformed));
    }

    #[test]
    fn numbers_are_completed_as_the_rfc_says() {
        assert_eq!(expand(0x9b32, 16, 0xa82f_30eb), 0xa82f_9b32);
        assert_eq!(expand(0, 16, 0xffff), 0x1_0000);
        assert_eq!(expand(0xffff, 16, 0x1_0000), 0xffff);
        assert_eq!(expand(0xffff, 16, 0), 0xffff);
    }

    proptest! {
        #[test]
        fn headers_come_back_from_anywhere_within_half_the_window(
            connection: u32, number in 0u64..1 << 60, has_long_number: bool, has_ack: bool,
            is_ack_at_once: bool, id in 0u64..1 << 60, message_bytes in 1usize..=4,
            shape_bits: u8, distance in -0x7fffi64..=0x7fff,
        ) {
            let first_message =
                (message_bytes > 1).then_some(FirstMessage { id, byte_count: message_bytes });
            let shape =
                if first_message.is_none() { Shape::Frames } else { Shape::from_bits(shape_bits) };
            let header = Header {
                connection, number, has_long_number, has_ack, is_ack_at_once, first_message, shape,
            };
            let mut out = Vec::new();
            header.put(&mut out);
            prop_assert!(out.len() <= HEADER_BYTES_MAX);
            out.push(9);
            let read = Truncated::read(&out).unwrap();
            prop_assert_eq!(read.byte_count, out.len() - 1);
            prop_assert_eq!((read.connection, read.has_ack), (connection, has_ack));
            prop_assert_eq!((read.is_ack_at_once, read.shape), (is_ack_at_once, shape));
            let near = |value: u64| value.saturating_add_signed(distance);
            prop_assert_eq!(read.number(near(number)), number);
            prop_assert_eq!(read.first_message(near(id)), first_message.map(|first| first.id));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..20), expected: u64) {
            if let Ok(read) = Truncated::read(&bytes) {
                let _ = (read.number(expected), read.first_message(expected));
            }
        }
    }
}
