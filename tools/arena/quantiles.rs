//! Exact quantiles of latencies. Knows numbers only.

/// The shares that the arena prints.
pub const SHARES: [f64; 5] = [0.5, 0.98, 0.99, 0.995, 0.999];
/// Their names.
pub const SHARE_NAMES: [&str; 5] = ["p50", "p98", "p99", "p99.5", "p99.9"];

/// Values at `SHARES`, ns.
pub type Quantiles = [u64; SHARES.len()];

/// A lower and an upper neighbour of each quantile, ns.
pub type Neighbours = [(u64, u64); SHARES.len()];

/// A quarter more of the values are above the lower neighbour of a quantile, and a quarter fewer
/// above the upper one: so far about, chance moves a quantile of some hundred rare values.
const NEIGHBOUR_PART: f64 = 0.25;

/// Of all values by nearest rank; `None` without values.
pub fn quantiles(values: Vec<u64>) -> Option<Quantiles> {
    Some(with_neighbours(values)?.0)
}

/// The same, and the neighbours of each quantile: where they are far apart it sits on a step.
pub fn with_neighbours(mut values: Vec<u64>) -> Option<(Quantiles, Neighbours)> {
    if values.is_empty() {
        return None;
    }
    values.sort_unstable();
    let at = |share: f64| {
        let rank = (share * values.len() as f64).ceil() as usize;
        values[rank.clamp(1, values.len()) - 1]
    };
    let beside = |share: f64, sign: f64| at(1.0 - (1.0 - share) * (1.0 + sign * NEIGHBOUR_PART));
    Some((SHARES.map(at), SHARES.map(|share| (beside(share, 1.0), beside(share, -1.0)))))
}

#[cfg(test)]
mod tests {
    use super::{quantiles, with_neighbours};

    #[test]
    fn quantiles_are_values_by_rank() {
        let values = (1..=1_000).rev().collect();
        assert_eq!(quantiles(values), Some([500, 980, 990, 995, 999]));
        let (_, beside) = with_neighbours((1..=1_000).collect()).unwrap();
        assert_eq!(beside[1], (975, 985));
        assert_eq!(quantiles(vec![7]), Some([7; 5]));
        assert_eq!(quantiles(Vec::new()), None);
    }
}
