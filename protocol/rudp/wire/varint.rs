//! Numbers of variable length, little end first, seven bits a byte (LEB128). A byte reaches to 127,
//! where RFC 9000's form ends at 63: message distances of 64 flows fit into one.

use super::Malformed;

/// Bytes of the longest number.
pub(crate) const LEN_MAX: usize = 10;

/// Appends `value`.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that `put` appends.
#[inline]
pub(crate) fn len(value: u64) -> usize {
    (63 - (value | 1).leading_zeros() as usize) / 7 + 1
}

/// Signed numbers near zero as small unsigned ones.
#[inline]
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The reverse of `zigzag`.
#[inline]
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads fields from the front of a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Over these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// One byte.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.bytes.split_first().ok_or(Malformed)?;
        self.bytes = rest;
        Ok(*first)
    }

    /// So many bytes.
    #[inline]
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Malformed)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// An array of bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(Malformed)?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// `count` bytes as a number, little end first; `count` is at most 8.
    #[inline]
    pub fn fixed(&mut self, count: usize) -> Result<u64, Malformed> {
        let mut value = [0; 8];
        value.get_mut(..count).ok_or(Malformed)?.copy_from_slice(self.bytes(count)?);
        Ok(u64::from_le_bytes(value))
    }

    /// A number of variable length.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..LEN_MAX as u32 * 7).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// A number of variable length that must fit into 32 bits.
    #[inline]
    pub fn varint32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| Malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn limits_take_the_bytes_they_should() {
        for (value, bytes) in
            [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, LEN_MAX)]
        {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!((out.len(), len(value)), (bytes, bytes), "{value}");
        }
    }

    #[test]
    fn more_bits_than_sixty_four_are_refused() {
        let mut bytes = [0xff; LEN_MAX];
        bytes[LEN_MAX - 1] = 2;
        assert_eq!(Reader::new(&bytes).varint(), Err(Malformed));
        assert_eq!(Reader::new(&[0x80; 11]).varint(), Err(Malformed));
        assert_eq!(Reader::new(&[0x80]).varint(), Err(Malformed));
    }

    proptest! {
        #[test]
        fn what_is_put_is_read(value: u64, signed: i64) {
            let mut out = Vec::new();
            put(&mut out, value);
            prop_assert_eq!(out.len(), len(value));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert!(reader.rest().is_empty());
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }
    }
}
