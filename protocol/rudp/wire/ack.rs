//! The acknowledgement: what arrived, newest first, as ranges (RFC 9000 19.3). Knows no timers.
//!
//! Layout: the largest packet number (4 bytes), the delay, the count of further ranges and whether
//! counters follow, the counters, the first range's length less one; then for each further range
//! its distance below the one before and its length, in half a byte each (see `put_pair`).

use super::Malformed;
use super::header::expand;
use super::varint::{self, Reader};

/// Ranges that one acknowledgement names. Where packets are overtaken by 200 there are about 35 at a
/// time, and what is named late is taken for overtaken by more than it was.
pub(crate) const RANGES_MAX: usize = 64;
/// The half byte that says that more follows.
const NIBBLE_MAX: u64 = 15;
/// Unit of the delay on the wire: one byte reaches to a millisecond.
const DELAY_UNIT_NS: u64 = 8_192;
/// Bytes of the longest acknowledgement.
#[cfg(test)]
pub(crate) const ACK_BYTES_MAX: usize = 4 + 6 + 2 + 2 * varint::LEN_MAX + RANGES_MAX * (1 + 2 * 10);

/// A run of packet numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// The smallest.
    pub first: u64,
    /// The largest.
    pub last: u64,
}

/// Counters that travel with an acknowledgement once they are not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Datagrams that arrived with the mark of congestion.
    pub congested: u64,
    /// Datagrams that did not arrive but were restored from repairs.
    pub recovered: u64,
}

/// One acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    /// Time between the arrival of the largest packet and this acknowledgement.
    pub delay_ns: u64,
    /// See there.
    pub counters: Counters,
    /// Newest first, apart by at least one number.
    ranges: [Range; RANGES_MAX],
    range_count: usize,
}

impl Ack {
    /// Of the first `RANGES_MAX` of these ranges, newest first; there is at least one.
    pub fn new(delay_ns: u64, counters: Counters, ranges: impl Iterator<Item = Range>) -> Self {
        let mut ack = Self {
            delay_ns,
            counters,
            ranges: [Range { first: 0, last: 0 }; RANGES_MAX],
            range_count: 0,
        };
        for (slot, range) in ack.ranges.iter_mut().zip(ranges) {
            *slot = range;
            ack.range_count += 1;
        }
        debug_assert!(ack.range_count > 0);
        ack
    }

    /// Newest first.
    pub fn ranges(&self) -> &[Range] {
        self.ranges.get(..self.range_count).unwrap_or_default()
    }

    /// The largest packet number that arrived.
    pub fn largest(&self) -> u64 {
        self.ranges[0].last
    }

    /// Appends it.
    pub fn put(&self, out: &mut Vec<u8>) {
        let ranges = self.ranges();
        out.extend_from_slice(&(self.largest() as u32).to_le_bytes());
        varint::put(out, self.delay_ns / DELAY_UNIT_NS);
        let has_counters = self.counters != Counters::default();
        varint::put(out, (ranges.len() as u64 - 1) << 1 | u64::from(has_counters));
        if has_counters {
            varint::put(out, self.counters.congested);
            varint::put(out, self.counters.recovered);
        }
        varint::put(out, self.ranges[0].last - self.ranges[0].first);
        for (above, below) in ranges.iter().zip(ranges.iter().skip(1)) {
            put_pair(out, above.first - below.last - 2, below.last - below.first);
        }
    }

    /// Reads one whose numbers are below `next`, the reader's own next packet number. Thirty-two
    /// bits of the largest are on the wire: an acknowledgement would have to be two thousand
    /// million packets old to be taken for another, and the replay window does not let it in.
    pub fn read(reader: &mut Reader<'_>, next: u64) -> Result<Self, Malformed> {
        let last = expand(reader.fixed(4)?, 32, next);
        let delay_ns = reader.varint()?.saturating_mul(DELAY_UNIT_NS);
        let head = reader.varint()?;
        let mut counters = Counters::default();
        if head & 1 != 0 {
            counters = Counters { congested: reader.varint()?, recovered: reader.varint()? };
        }
        let range_count = usize::try_from(head >> 1).map_err(|_| Malformed)? + 1;
        if range_count > RANGES_MAX || last >= next {
            return Err(Malformed);
        }
        let first = last.checked_sub(reader.varint()?).ok_or(Malformed)?;
        let mut ranges = [Range { first, last }; RANGES_MAX];
        let mut above = ranges[0];
        for range in ranges.iter_mut().take(range_count).skip(1) {
            let (gap, length) = read_pair(reader)?;
            let gap = gap.checked_add(2).ok_or(Malformed)?;
            let last = above.first.checked_sub(gap).ok_or(Malformed)?;
            let first = last.checked_sub(length).ok_or(Malformed)?;
            above = Range { first, last };
            *range = above;
        }
        Ok(Self { delay_ns, counters, ranges, range_count })
    }
}

/// Appends the gap below a range and the length of the next one: half a byte each, and what is
/// above that after it. Where packets overtake each other both are small and many.
fn put_pair(out: &mut Vec<u8>, gap: u64, length: u64) {
    out.push((gap.min(NIBBLE_MAX) << 4 | length.min(NIBBLE_MAX)) as u8);
    for number in [gap, length] {
        if let Some(above) = number.checked_sub(NIBBLE_MAX) {
            varint::put(out, above);
        }
    }
}

/// The reverse of `put_pair`.
fn read_pair(reader: &mut Reader<'_>) -> Result<(u64, u64), Malformed> {
    let head = u64::from(reader.byte()?);
    let mut whole = |nibble: u64| match nibble {
        NIBBLE_MAX => reader.varint()?.checked_add(NIBBLE_MAX).ok_or(Malformed),
        small => Ok(small),
    };
    Ok((whole(head >> 4)?, whole(head & NIBBLE_MAX)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_acknowledgement_without_gaps_takes_seven_bytes() {
        let range = Range { first: 1_000, last: 1_011 };
        let mut out = Vec::new();
        Ack::new(100_000, Counters::default(), [range].into_iter()).put(&mut out);
        assert_eq!(out.len(), 7);
    }

    #[test]
    fn a_short_range_behind_a_short_gap_takes_one_byte() {
        let newest_first =
            (0..RANGES_MAX as u64).map(|n| Range { first: 900 - 9 * n, last: 902 - 9 * n });
        let mut out = Vec::new();
        Ack::new(100_000, Counters::default(), newest_first).put(&mut out);
        assert_eq!(out.len(), 7 + RANGES_MAX - 1);
    }

    #[test]
    fn what_was_never_sent_cannot_be_acknowledged() {
        let mut out = Vec::new();
        let range = Range { first: 3, last: 7 };
        Ack::new(0, Counters::default(), [range].into_iter()).put(&mut out);
        assert!(Ack::read(&mut Reader::new(&out), 8).is_ok());
        assert_eq!(Ack::read(&mut Reader::new(&out), 7), Err(Malformed));
    }

    proptest! {
        #[test]
        fn acknowledgements_come_back(
            steps in proptest::collection::vec((1u64..300, 0u64..300), 1..40),
            above in 0u64..1000, delay in 0u64..1 << 40, congested in 0u64..3, recovered in 0u64..3,
        ) {
            let mut next = 1_000_000_000_000u64;
            let ranges: Vec<Range> = steps.iter().map(|(gap, len)| {
                let last = next - gap - 1;
                next = last - len;
                Range { first: next, last }
            }).collect();
            let counters = Counters { congested, recovered };
            let ack = Ack::new(delay, counters, ranges.iter().copied());
            let mut out = Vec::new();
            ack.put(&mut out);
            prop_assert!(out.len() <= ACK_BYTES_MAX);
            let mut reader = Reader::new(&out);
            let read = Ack::read(&mut reader, ack.largest() + 1 + above).unwrap();
            prop_assert!(reader.rest().is_empty());
            prop_assert_eq!(read.ranges(), ack.ranges());
            prop_assert_eq!(read.counters, counters);
            prop_assert!(read.delay_ns <= delay && delay - read.delay_ns < DELAY_UNIT_NS);
        }

        #[test]
        fn arbitrary_bytes_give_ordered_ranges_or_none(
            bytes in proptest::collection::vec(any::<u8>(), 0..80), next: u64,
        ) {
            if let Ok(ack) = Ack::read(&mut Reader::new(&bytes), next) {
                prop_assert!(ack.largest() < next);
                for range in ack.ranges() {
                    prop_assert!(range.first <= range.last);
                }
                for pair in ack.ranges().windows(2) {
                    prop_assert!(pair[1].last + 1 < pair[0].first);
                }
            }
        }
    }
}
