//! What an attacker or broken equipment put on the network, by kind. Counts beside the pieces that do
//! it; knows nothing of what becomes of it.

use std::cell::Cell;
use std::fmt::{self, Display};
use std::ops::AddAssign;
use std::rc::Rc;

use aldis_netsim::{Passage, Piece, Verdict};

/// A kind of hostile datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Under a wrong source, or noise under a right one.
    Forged,
    /// A datagram seen before.
    Replayed,
    /// With flipped bits.
    Flipped,
    /// Without its end.
    Truncated,
}

/// All kinds, in the order in which they are counted.
const KINDS: [(Kind, &str); 4] = [
    (Kind::Forged, "forged"),
    (Kind::Replayed, "replayed"),
    (Kind::Flipped, "bit-flipped"),
    (Kind::Truncated, "truncated"),
];

/// How many of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hostile([u64; KINDS.len()]);

impl Hostile {
    /// Of one kind.
    pub fn count(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// Of all kinds.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl AddAssign for Hostile {
    fn add_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(own, others)| *own += others);
    }
}

impl Display for Hostile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} hostile datagrams:", self.total())?;
        KINDS.iter().try_for_each(|(kind, name)| write!(out, " {} {name}", self.count(*kind)))
    }
}

/// The count of a run, which its pieces share.
#[derive(Clone, Debug, Default)]
pub struct Tally(Rc<Cell<Hostile>>);

impl Tally {
    /// So far.
    pub fn hostile(&self) -> Hostile {
        self.0.get()
    }

    /// The piece, with what it makes or alters counted.
    pub fn counting(&self, kind: Kind, inner: impl Piece + 'static) -> Box<dyn Piece> {
        Box::new(Counting { inner, kind, tally: self.clone() })
    }
}

#[derive(Debug)]
struct Counting<P> {
    inner: P,
    kind: Kind,
    tally: Tally,
}

impl<P: Piece> Piece for Counting<P> {
    fn handle(&mut self, passage: Passage<'_>) -> Verdict {
        let Passage { now_ns, datagram, record, rng, copies } = passage;
        let (copy_count, was_altered) = (copies.len(), std::mem::take(&mut record.is_altered));
        let verdict =
            self.inner.handle(Passage { now_ns, datagram, record, rng, copies: &mut *copies });
        let mut hostile = self.tally.0.get();
        let made = (copies.len() - copy_count) as u64 + u64::from(record.is_altered);
        hostile.0[self.kind as usize] += made;
        self.tally.0.set(hostile);
        record.is_altered |= was_altered;
        verdict
    }
}
