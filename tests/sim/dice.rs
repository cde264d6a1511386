//! Every decision of a simulation, from one seed. Knows numbers, not what they decide.

use aldis_client::core::ids::Rng;

/// Seeded decisions: the same seed and the same questions give the same answers.
#[derive(Clone, Debug)]
pub struct Dice(Rng);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// An index below `len`, which is not 0.
    pub fn index(&mut self, len: usize) -> usize {
        self.0.below(len as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.below(high - low + 1)
    }

    /// True so often of a thousand times.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.0.below(1_000) < per_mille
    }

    /// One of them; there is at least one.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.0.below(choices.len() as u64) as usize]
    }
}
