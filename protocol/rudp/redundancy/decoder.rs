//! The receiver's side: what came, what is missing, and the equations between them. Knows no
//! messages.
//!
//! The equations are kept reduced (Gauss-Jordan), so that a datagram is known as soon as the
//! repairs determine it.

use std::collections::VecDeque;

use super::gf256::{add_multiple, invert, multiply, scale};
use super::symbol::{self, Content};
use super::{SPAN, coefficient};
use crate::time::{SECOND, Time};
use crate::wire::Malformed;
use crate::wire::varint::Reader;

/// Datagrams that are remembered: those of a window, those that came between its first one and the
/// repair, and room for reordering.
const SOURCES_MAX: usize = 8 * SPAN as usize;
/// Equations at a time. Their unknowns are lost datagrams of some windows.
const EQUATIONS_MAX: usize = 64;
/// Without repairs for so long nothing is remembered.
const MEMORY_NS: u64 = 2 * SECOND;

#[derive(Debug)]
struct Source {
    number: u64,
    symbol: Vec<u8>,
}

#[derive(Debug, Default)]
struct Equation {
    /// Packet numbers of missing datagrams in rising order, with their factors.
    unknowns: Vec<(u64, u8)>,
    sum: Vec<u8>,
}

/// The equations.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    sources: VecDeque<Source>,
    equations: Vec<Equation>,
    solved: VecDeque<(u64, Vec<u8>)>,
    repair_at: Option<Time>,
}

impl Decoder {
    /// Whether datagrams that come should be handed in.
    pub fn is_active(&self, now: Time) -> bool {
        self.repair_at.is_some_and(|at| now.nanos_since(at) <= MEMORY_NS)
    }

    /// A datagram came.
    pub fn handle_source(&mut self, number: u64, content: &Content<'_>) {
        let mut symbol = match self.sources.len() >= SOURCES_MAX {
            true => self.sources.pop_front().map_or_else(Vec::new, |source| source.symbol),
            false => Vec::new(),
        };
        symbol::write(&mut symbol, content);
        self.substitute(number, &symbol);
        self.sources.push_back(Source { number, symbol });
    }

    /// A repair came with this packet number. `is_seen` tells whether a datagram came.
    pub fn handle_repair(
        &mut self,
        now: Time,
        repair: u64,
        body: &[u8],
        is_seen: impl Fn(u64) -> bool,
    ) -> Result<(), Malformed> {
        self.repair_at = Some(now);
        let mut reader = Reader::new(body);
        let last = repair.checked_sub(reader.varint()?).ok_or(Malformed)?;
        let map_bytes = usize::from(reader.byte()?);
        if map_bytes > 8 {
            return Err(Malformed);
        }
        let map = reader.fixed(map_bytes)?;
        let oldest = last.saturating_sub(SOURCES_MAX as u64);
        self.equations.retain(|equation| equation.unknowns[0].0 >= oldest);
        let numbers = (0..64).filter(|bit| map & (1 << bit) != 0);
        let mut equation = Equation::default();
        let mut known = Vec::new();
        for bit in numbers.rev() {
            let number = last.checked_sub(bit).ok_or(Malformed)?;
            if let Some(index) = self.sources.iter().rposition(|source| source.number == number) {
                known.push(index);
            } else if is_seen(number) {
                // It came when nobody remembered datagrams.
                return Ok(());
            } else {
                equation.unknowns.push((number, coefficient(repair, number)));
            }
        }
        if equation.unknowns.is_empty() {
            return Ok(());
        }
        equation.sum.extend_from_slice(reader.rest());
        for index in known {
            let source = &self.sources[index];
            let factor = coefficient(repair, source.number);
            add_multiple(&mut equation.sum, &source.symbol, factor);
        }
        self.insert(equation);
        Ok(())
    }

    /// The next datagram that the equations determined.
    pub fn poll_solved(&mut self) -> Option<(u64, Vec<u8>)> {
        self.solved.pop_front()
    }

    /// Forgets everything if there were no repairs for a while.
    pub fn shrink(&mut self, now: Time) {
        if !self.is_active(now) {
            *self = Self::default();
        }
    }

    /// Bytes of memory that are held.
    pub fn memory_bytes(&self) -> usize {
        let symbols: usize = self.sources.iter().map(|source| source.symbol.capacity()).sum();
        let sums: usize = self.equations.iter().map(|equation| equation.sum.capacity()).sum();
        symbols + sums + self.sources.capacity() * size_of::<Source>()
    }

    /// Reduces a new equation by the others and the others by it.
    fn insert(&mut self, mut equation: Equation) {
        for other in &self.equations {
            let pivot = other.unknowns[0].0;
            if let Some(factor) = equation.factor(pivot) {
                equation.add(other, factor);
            }
        }
        let Some((pivot, factor)) = equation.unknowns.first().copied() else { return };
        equation.scale(invert(factor));
        for other in &mut self.equations {
            if let Some(factor) = other.factor(pivot) {
                other.add(&equation, factor);
            }
        }
        if self.equations.len() >= EQUATIONS_MAX {
            self.equations.remove(0);
        }
        self.equations.push(equation);
        self.collect();
    }

    /// A datagram that was unknown is known.
    fn substitute(&mut self, number: u64, symbol: &[u8]) {
        let mut again = Vec::new();
        self.equations.retain_mut(|equation| {
            let Some(factor) = equation.factor(number) else { return true };
            let was_pivot = equation.unknowns[0].0 == number;
            equation.unknowns.retain(|(unknown, _)| *unknown != number);
            add_multiple(&mut equation.sum, symbol, factor);
            if was_pivot && !equation.unknowns.is_empty() {
                again.push(std::mem::take(equation));
            }
            !equation.unknowns.is_empty()
        });
        again.into_iter().for_each(|equation| self.insert(equation));
        self.collect();
    }

    /// Takes out the equations that determine their unknown. As all are reduced, that unknown is
    /// in no other one.
    fn collect(&mut self) {
        let solved = &mut self.solved;
        self.equations.retain_mut(|equation| {
            let [(number, _)] = equation.unknowns[..] else { return true };
            solved.push_back((number, std::mem::take(&mut equation.sum)));
            false
        });
    }
}

/// What a solved datagram held.
pub(crate) fn content(symbol: &[u8]) -> Result<Content<'_>, Malformed> {
    symbol::read(symbol)
}

impl Equation {
    fn factor(&self, number: u64) -> Option<u8> {
        let index = self.unknowns.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(self.unknowns[index].1)
    }

    /// Adds a multiple of another equation.
    fn add(&mut self, other: &Equation, factor: u8) {
        for (number, other_factor) in &other.unknowns {
            let product = multiply(factor, *other_factor);
            match self.unknowns.binary_search_by_key(number, |(number, _)| *number) {
                Ok(index) => {
                    self.unknowns[index].1 ^= product;
                    if self.unknowns[index].1 == 0 {
                        self.unknowns.remove(index);
                    }
                }
                Err(index) => self.unknowns.insert(index, (*number, product)),
            }
        }
        add_multiple(&mut self.sum, &other.sum, factor);
    }

    fn scale(&mut self, factor: u8) {
        for (_, own) in &mut self.unknowns {
            *own = multiply(*own, factor);
        }
        scale(&mut self.sum, factor);
    }
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;
