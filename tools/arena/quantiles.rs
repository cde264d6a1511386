//! Exact quantiles of latencies. Knows numbers only.

/// The shares that the arena prints.
pub const SHARES: [f64; 5] = [0.5, 0.98, 0.99, 0.995, 0.999];
/// Their names.
pub const SHARE_NAMES: [&str; 5] = ["p50", "p98", "p99", "p99.5", "p99.9"];

/// Values at `SHARES`, ns.
pub type Quantiles = [u64; SHARES.len()];

/// Of all values by nearest rank; `None` without values.
pub fn quantiles(mut values: Vec<u64>) -> Option<Quantiles> {
    if values.is_empty() {
        return None;
    }
    values.sort_unstable();
    let at = |share: f64| {
        let rank = (share * values.len() as f64).ceil() as usize;
        values[rank.clamp(1, values.len()) - 1]
    };
    Some(SHARES.map(at))
}

#[cfg(test)]
mod tests {
    use super::quantiles;

    #[test]
    fn quantiles_are_values_by_rank() {
        let values = (1..=1_000).rev().collect();
        assert_eq!(quantiles(values), Some([500, 980, 990, 995, 999]));
        assert_eq!(quantiles(vec![7]), Some([7; 5]));
        assert_eq!(quantiles(Vec::new()), None);
    }
}
