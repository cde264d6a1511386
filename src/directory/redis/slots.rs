//! Which server of a Redis Cluster owns which key: hash slots and the answer to CLUSTER SLOTS. Knows
//! no connection.
//!
//! Source: Redis cluster specification, "Key distribution model".

use redis::{Value, from_redis_value_ref};

/// Slots of every cluster.
pub const SLOT_COUNT: u16 = 16_384;

/// The slot of a key: of what stands between its first `{` and the next `}`, if anything does.
pub fn slot_of(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) % SLOT_COUNT
}

fn hash_tag(key: &[u8]) -> &[u8] {
    let tag = || {
        let open = key.iter().position(|byte| *byte == b'{')?;
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    };
    tag().unwrap_or(key)
}

/// CRC-16/XMODEM, as the specification has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// A server: host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name or address.
    pub host: String,
    /// See there.
    pub port: u16,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Who owns what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Servers that own slots.
    pub places: Vec<Place>,
    /// First slot, last slot, index of the place; ascending, without overlap.
    ranges: Vec<(u16, u16, usize)>,
}

impl Layout {
    /// One server that owns everything.
    pub fn single(place: Place) -> Self {
        Self { places: vec![place], ranges: vec![(0, SLOT_COUNT - 1, 0)] }
    }

    /// Reads the answer to CLUSTER SLOTS. `asked` is where it came from: a server that does not know
    /// its own name leaves it out. Nothing if it is no such answer.
    pub fn parse(value: &Value, asked: &Place) -> Option<Self> {
        let mut owned = Vec::new();
        for range in value.as_sequence()? {
            let [first, last, owner, ..] = range.as_sequence()? else { return None };
            let (first, last) = (slot_number(first)?, slot_number(last)?);
            let [host, port, ..] = owner.as_sequence()? else { return None };
            let host: Option<String> = from_redis_value_ref(host).ok()?;
            let host = host.filter(|host| !host.is_empty() && host != "?");
            let host = host.unwrap_or_else(|| asked.host.clone());
            owned.push((first, last, Place { host, port: from_redis_value_ref(port).ok()? }));
        }
        // Each member lists them in an order of its own.
        owned.sort_unstable_by_key(|(first, _, _)| *first);
        let is_good = owned.iter().all(|(first, last, _)| first <= last)
            && owned.is_sorted_by(|left, right| left.1 < right.0);
        if !is_good {
            return None;
        }
        let mut layout = Self::default();
        for (first, last, place) in owned {
            let known = layout.places.iter().position(|other| *other == place);
            let index = known.unwrap_or(layout.places.len());
            if known.is_none() {
                layout.places.push(place);
            }
            layout.ranges.push((first, last, index));
        }
        Some(layout)
    }

    /// The index of the place that owns a slot.
    pub fn owner(&self, slot: u16) -> Option<usize> {
        let after = self.ranges.partition_point(|(first, _, _)| *first <= slot);
        let (_, last, index) = self.ranges.get(after.checked_sub(1)?)?;
        (slot <= *last).then_some(*index)
    }

    /// For each place a number that hashes to one of its slots.
    pub fn tags(&self) -> Vec<u32> {
        let mut tags = vec![None; self.places.len()];
        let mut missing = tags.len();
        // A place with a single slot needs some 16,384 tries, and rarely ten times as many.
        for tag in 0..u32::from(SLOT_COUNT) * 64 {
            let Some(index) = self.owner(slot_of(tag.to_string().as_bytes())) else { continue };
            if let Some(slot @ None) = tags.get_mut(index) {
                *slot = Some(tag);
                missing -= 1;
            }
            if missing == 0 {
                break;
            }
        }
        tags.into_iter().map(Option::unwrap_or_default).collect()
    }
}

fn slot_number(value: &Value) -> Option<u16> {
    from_redis_value_ref(value).ok().filter(|slot| *slot < SLOT_COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64, host: &str, port: i64) -> Value {
        let owner = Value::Array(vec![
            Value::BulkString(host.as_bytes().to_vec()),
            Value::Int(port),
            Value::BulkString(b"id".to_vec()),
        ]);
        Value::Array(vec![Value::Int(first), Value::Int(last), owner])
    }

    fn asked() -> Place {
        Place { host: "seed".into(), port: 1 }
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"foo"), 12_182);
        assert_eq!(slot_of(b"im:session:{foo}"), 12_182);
        assert_eq!(slot_of(b"foo{}{bar}"), slot_of(b"foo{}{bar}"));
        assert_eq!(hash_tag(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(hash_tag(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(hash_tag(b"foo{bar}{zap}"), b"bar");
    }

    #[test]
    fn owners_are_found_and_gaps_have_none() {
        let value = Value::Array(vec![
            range(101, 200, "b", 2),
            range(0, 99, "", 3),
            range(201, 300, "b", 2),
        ]);
        let layout = Layout::parse(&value, &asked()).unwrap();
        let names: Vec<_> = layout.places.iter().map(Place::to_string).collect();
        assert_eq!(names, ["seed:3", "b:2"]);
        let owners = [0, 99, 100, 101, 250, 300].map(|slot| layout.owner(slot));
        assert_eq!(owners, [Some(0), Some(0), None, Some(1), Some(1), Some(1)]);
        let Value::Array(mut ranges) = value else { unreachable!() };
        ranges.reverse();
        assert_eq!(Layout::parse(&Value::Array(ranges), &asked()), Some(layout.clone()));
        assert_eq!(layout.owner(301), None);
        assert_eq!(Layout::default().owner(0), None);
    }

    #[test]
    fn what_is_no_layout_is_refused() {
        let overlap = Value::Array(vec![range(0, 100, "a", 1), range(100, 200, "b", 2)]);
        assert_eq!(Layout::parse(&overlap, &asked()), None);
        assert_eq!(Layout::parse(&Value::Okay, &asked()), None);
        let beyond = Value::Array(vec![range(0, 16_384, "a", 1)]);
        assert_eq!(Layout::parse(&beyond, &asked()), None);
    }

    #[test]
    fn every_place_has_a_tag_of_its_own() {
        let value = Value::Array(vec![range(0, 0, "a", 1), range(1, 16_383, "b", 2)]);
        let layout = Layout::parse(&value, &asked()).unwrap();
        for (index, tag) in layout.tags().into_iter().enumerate() {
            assert_eq!(layout.owner(slot_of(tag.to_string().as_bytes())), Some(index));
        }
        assert_eq!(Layout::single(asked()).tags(), [0]);
    }
}
