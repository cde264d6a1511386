//! Cases that were worth keeping, to be changed further. The same corpus gives the same mutant to the same
//! number of a run, also when it is read back from a file: so one mutant can be played again.

use std::io::{self, Write};
use std::path::Path;

use aldis_netsim::Rng;
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::mutate;

/// Cases that are kept.
const CASES_MAX: usize = 2_000;

/// A case, and since when it was there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    /// Of the case in the run.
    number: u64,
    /// The first case at random that could be made from it: recipes are played among those.
    since: u64,
    case: Case,
}

/// See the file's first line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Corpus {
    kept: Vec<Kept>,
}

impl Corpus {
    /// Keeps a case, unless there are many already.
    pub fn keep(&mut self, number: u64, since: u64, case: &Case) {
        // Mutants of what stops the store would stop it at any time.
        if self.kept.len() < CASES_MAX && !case.stops_store() {
            self.kept.push(Kept { number, since, case: case.clone() });
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// A case made from one of them, and sometimes a second one; `None` as long as there are none.
    pub fn mutant(&self, rng: &mut Rng) -> Option<Case> {
        if self.kept.is_empty() {
            return None;
        }
        let mut pick = || &self.kept[rng.below(self.kept.len() as u64) as usize].case;
        let (parent, other) = (pick(), pick());
        Some(mutate::case(rng, parent, other))
    }

    /// One case a line.
    pub fn write(&self, file: &mut impl Write) -> io::Result<()> {
        self.kept.iter().try_for_each(|kept| {
            writeln!(file, "{}", serde_json::to_string(kept).map_err(io::Error::other)?)
        })
    }

    /// As it was when the case of this number was made.
    pub fn read(path: &Path, number: u64) -> io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let all = text.lines().map(|line| serde_json::from_str(line).map_err(io::Error::other));
        let mut kept: Vec<Kept> = all.collect::<io::Result<_>>()?;
        kept.retain(|kept| kept.since <= number);
        Ok(Self { kept })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{self, rng_of};
    use crate::table::Table;

    #[test]
    fn a_mutant_is_the_same_again_from_the_file() {
        let (table, seed) = (Table::default(), 9);
        let mut corpus = Corpus::default();
        let mut made = Vec::new();
        for number in 1_000..1_100 {
            made.push((number, corpus.mutant(&mut rng_of(seed, number))));
            // Every fifth is kept, and now and then a recipe, whose number is small.
            let case = generate::case(&table, &mut rng_of(seed, number));
            if number % 5 == 0 {
                corpus.keep(number, number + 1, &case);
            }
            if number % 20 == 7 {
                corpus.keep(number - 1_000, number + 1, &case);
            }
        }
        let dir = std::env::temp_dir().join(format!("aldis-fuzz-corpus-{}", std::process::id()));
        corpus.write(&mut std::fs::File::create(&dir).unwrap()).unwrap();
        assert!(made.iter().filter(|(_, case)| case.is_some()).count() > 90);
        for (number, case) in made {
            let read = Corpus::read(&dir, number).unwrap();
            assert_eq!(read.mutant(&mut rng_of(seed, number)), case, "{number}");
        }
        std::fs::remove_file(dir).unwrap();
    }
}
