//! A sequence of numbers that a seed determines.

/// A linear congruential generator (Knuth's constants, upper half used): good enough to vary what a
/// test does.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Another sequence for each number.
    pub fn new(seed: u64, number: usize) -> Self {
        let mut dice = Self(seed ^ (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        dice.below(2);
        dice
    }

    /// One below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % n
    }

    /// True once in `n` cases.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}
