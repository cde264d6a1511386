//! How many requests an address may make: a bucket each, refilled with time. Knows no request.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Addresses remembered; whoever fills the table makes all others new.
const ADDRESSES_MAX: usize = 65_536;
/// A bucket holds what is refilled in so many seconds.
const BURST_S: u64 = 5;

/// See the file's first line.
pub struct Rate {
    per_second: u64,
    /// When each bucket is full again, ms.
    full_at_ms: HashMap<IpAddr, u64>,
}

impl Rate {
    /// So many requests a second in the long run; 0 is no limit.
    pub fn new(per_second: u32) -> Self {
        Self { per_second: per_second.into(), full_at_ms: HashMap::new() }
    }

    /// Counts a request, or says how long to wait, ms.
    pub fn take(&mut self, now_ms: u64, address: IpAddr) -> Result<(), u32> {
        if self.per_second == 0 {
            return Ok(());
        }
        if self.full_at_ms.len() >= ADDRESSES_MAX {
            self.full_at_ms.retain(|_, full_at_ms| *full_at_ms > now_ms);
            if self.full_at_ms.len() >= ADDRESSES_MAX {
                self.full_at_ms.clear();
            }
        }
        let full_at_ms = self.full_at_ms.entry(network_of(address)).or_insert(now_ms);
        let next_ms = (*full_at_ms).max(now_ms) + 1_000 / self.per_second.min(1_000);
        let room_ms = now_ms + BURST_S * 1_000;
        if next_ms > room_ms {
            return Err((next_ms - room_ms) as u32);
        }
        *full_at_ms = next_ms;
        Ok(())
    }
}

/// A home has a whole IPv6 network: its addresses count as one.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            match ip.to_ipv4_mapped() {
                Some(ip) => ip.into(),
                None => Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let mut rate = Rate::new(10);
        let one = ip("10.0.0.1");
        let passed = (0..100).filter(|_| rate.take(0, one).is_ok()).count();
        assert_eq!(passed, 50, "what comes in 5 s");
        let wait_ms = rate.take(0, one).unwrap_err();
        assert!(rate.take(u64::from(wait_ms) - 1, one).is_err());
        assert!(rate.take(wait_ms.into(), one).is_ok());
        assert!(rate.take(0, ip("10.0.0.2")).is_ok(), "others are not affected");
        let passed = (0..20_000).filter(|ms| rate.take(10_000 + ms, one).is_ok()).count();
        assert!((249..=251).contains(&passed), "{passed} in 20 s, the burst included");
    }

    #[test]
    fn addresses_of_one_network_count_together_and_memory_is_bounded() {
        let mut rate = Rate::new(1);
        assert!((0..5).all(|n| rate.take(0, ip(&format!("2001:db8::{n}"))).is_ok()));
        assert!(rate.take(0, ip("2001:db8::ffff")).is_err());
        assert!(rate.take(0, ip("2001:db8:0:1::1")).is_ok());
        for n in 0..2 * ADDRESSES_MAX as u32 {
            let _ = rate.take(0, IpAddr::from(n.to_be_bytes()));
        }
        assert!(rate.full_at_ms.len() <= ADDRESSES_MAX);
    }
}
