//! The impairments, one file each; none knows another.

pub mod bottleneck;
pub mod bursts;
pub mod corrupt;
pub mod delay;
pub mod duplicate;
pub mod jitter;
pub mod loss;
pub mod mtu;
pub mod partition;
pub mod reorder;
pub mod replay;
pub mod spoof;

#[cfg(test)]
pub mod bench;
