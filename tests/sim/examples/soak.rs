//! Runs any number of seeds: `cargo run --release -p aldis-sim --example soak -- --seeds N --start S`.
//! Exits with 1 at the end if any of them failed.

use std::time::Instant;

use aldis_sim::{Coverage, Options, run};

fn main() {
    let mut args = std::env::args().skip(1);
    let (mut seeds, mut start) = (1_000, 0);
    while let Some(name) = args.next() {
        let value = args.next().and_then(|value| value.parse::<u64>().ok());
        match (name.as_str(), value) {
            ("--seeds", Some(value)) => seeds = value,
            ("--start", Some(value)) => start = value,
            _ => {
                eprintln!("usage: soak [--seeds N] [--start S]");
                std::process::exit(2);
            }
        }
    }
    let is_traced = std::env::var_os("ALDIS_SIM_TRACE").is_some();
    let options = Options { is_traced, ..Options::default() };
    let begun = Instant::now();
    let mut coverage = Coverage::default();
    let (mut failed, mut virtual_ms) = (0, 0);
    for seed in start..start + seeds {
        let outcome = run(seed, options);
        coverage.add(&outcome.coverage);
        virtual_ms += outcome.virtual_ms;
        if !outcome.violations.is_empty() {
            failed += 1;
            println!("seed {seed}: {}", outcome.violations.join("\n  "));
            if is_traced {
                println!("{}", outcome.history);
            }
        }
    }
    print!("{coverage}");
    println!("not covered: {:?}", coverage.missing());
    println!(
        "{seeds} seeds from {start}: {failed} failed, {} s of virtual time in {:.1} s",
        virtual_ms / 1_000,
        begun.elapsed().as_secs_f64()
    );
    std::process::exit(i32::from(failed > 0));
}
