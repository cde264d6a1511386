//! Runs what the fuzzers found, and random inputs besides, on stable Rust. Crates whose tests are
//! fuzzed include this file. `ALDIS_FUZZ_SEED=n` runs the random inputs of one seed.

use std::fs;
use std::path::Path;

/// Random inputs of each target.
const RANDOM_INPUTS: u64 = 300;
/// Bytes of the longest random input.
const RANDOM_BYTES_MAX: u64 = 600;
/// Fewer inputs than this mean that the corpus was lost.
const CORPUS_INPUTS_MIN: usize = 10;

/// Runs all inputs of a target's corpus, then random ones. The input that fails is the last one named.
pub fn replay(target: &str, run: impl Fn(&[u8])) {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut corpora = folders.map(|folder| folder.join("tests/fuzz/corpus").join(target));
    let folder = corpora.find(|folder| folder.is_dir()).expect("the corpus is in the repository");
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is a folder") {
        let path = entry.expect("a readable folder").path();
        println!("{}", path.display());
        run(&fs::read(&path).expect("a readable input"));
        count += 1;
    }
    assert!(count >= CORPUS_INPUTS_MIN, "{} holds {count} inputs", folder.display());
    let only = std::env::var("ALDIS_FUZZ_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    for seed in only.map_or(0..RANDOM_INPUTS, |seed| seed..seed + 1) {
        println!("ALDIS_FUZZ_SEED={seed}");
        let mut random = Random(seed);
        let len = random.next() % RANDOM_BYTES_MAX;
        let input: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        run(&input);
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
