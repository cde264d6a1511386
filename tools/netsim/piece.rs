//! What one impairment is: the interface between a link and the pieces it is made of.

use std::fmt::Debug;

use crate::datagram::Datagram;
use crate::record::{Cause, Record};
use crate::rng::Rng;

/// What becomes of a datagram at a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It leaves the piece at this time, ns, not before now.
    Pass(u64),
    /// It ends here.
    Drop(Cause),
}

/// One datagram at one piece.
#[derive(Debug)]
pub struct Passage<'a> {
    /// The time at which it gets here, ns.
    pub now_ns: u64,
    /// The datagram, which the piece may change.
    pub datagram: &'a mut Datagram,
    /// Its story, where changes and waiting are noted.
    pub record: &'a mut Record,
    /// Random numbers of this piece alone.
    pub rng: &'a mut Rng,
    /// Datagrams that the piece makes, with the time at which each leaves it, ns.
    pub copies: &'a mut Vec<(u64, Datagram)>,
}

/// One impairment of a link; datagrams come in the order of their times.
pub trait Piece: Debug {
    /// Decides on a datagram.
    fn handle(&mut self, passage: Passage<'_>) -> Verdict;
}
