//! What a repair protects of a datagram: its messages, and what its header says of them. Knows no
//! combinations.

use crate::wire::Malformed;
use crate::wire::header::Shape;
use crate::wire::varint::Reader;

/// Bytes in front of the frames: length, shape, id of the first message.
pub(super) const PREFIX_BYTES: usize = 2 + 1 + 4;

/// A datagram as far as it is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content<'a> {
    /// As in its header.
    pub shape: Shape,
    /// The low half of the first message's id.
    pub first_message: u32,
    /// What followed the acknowledgement.
    pub frames: &'a [u8],
}

/// Writes a symbol over what `out` held.
pub(super) fn write(out: &mut Vec<u8>, content: &Content<'_>) {
    out.clear();
    let len = (content.frames.len() + PREFIX_BYTES - 2) as u16;
    out.extend_from_slice(&len.to_le_bytes());
    out.push(content.shape.bits());
    out.extend_from_slice(&content.first_message.to_le_bytes());
    out.extend_from_slice(content.frames);
}

/// Reads a symbol, which zeros may follow.
pub(super) fn read(symbol: &[u8]) -> Result<Content<'_>, Malformed> {
    let mut reader = Reader::new(symbol);
    let len = reader.fixed(2)? as usize;
    let mut reader = Reader::new(reader.bytes(len)?);
    Ok(Content {
        shape: Shape::from_bits(reader.byte()?),
        first_message: reader.fixed(4)? as u32,
        frames: reader.rest(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_come_back_from_under_their_padding() {
        let content = Content { shape: Shape::Next, first_message: 0xdead_beef, frames: b"frames" };
        let mut symbol = vec![9; 100];
        write(&mut symbol, &content);
        assert_eq!(symbol.len(), PREFIX_BYTES + 6);
        symbol.resize(50, 0);
        assert_eq!(read(&symbol), Ok(content));
        assert_eq!(read(&symbol[..12]), Err(Malformed));
        assert_eq!(read(&[0; 8]), Err(Malformed));
    }
}
