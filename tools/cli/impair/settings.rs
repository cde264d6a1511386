//! What is done to one direction, and the words in which it is said. Knows no socket and no time.

use aldis_netsim::{
    Bottleneck, Bursts, Corrupt, Delay, Duplicate, Jitter, Loss, Mtu, Order, Partition, Piece,
    Reorder, UDP_HEADERS,
};

/// Longest delay, jitter and hold-up each, ns: what is under way stays bounded, and a flow that is
/// forgotten has nothing under way any more.
const DELAY_NS_MAX: u64 = 20_000_000_000;
/// How long a datagram is held up for others to overtake it, unless said otherwise. ns
const REORDER_HELD_NS: u64 = 5_000_000;
/// How much later a duplicate comes at most, ns: together with the original, or just behind it.
const DUPLICATE_GAP_NS_MAX: u64 = 1_000_000;
/// Queue before a limited rate, as the time it takes to send it, unless said otherwise. ns
const QUEUE_NS: u64 = 100_000_000;

/// Which way traffic goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From whoever came to the relay to its target, or from a to b.
    Up,
    /// Back.
    Down,
}

/// What a relay can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Datagrams: everything but cuts of connections.
    Datagrams,
    /// Streams: they arrive whole and in order or end, so nothing is lost, doubled or changed.
    Streams,
}

/// What is done to one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    delay_ns: u64,
    jitter_ns: u64,
    loss: f64,
    burst_datagrams: f64,
    duplicate: f64,
    reorder: f64,
    reorder_held_ns: u64,
    corrupt: f64,
    bits_per_s: Option<u64>,
    queue_ns: u64,
    mtu_bytes: Option<u64>,
    /// Nothing passes.
    pub is_cut: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delay_ns: 0,
            jitter_ns: 0,
            loss: 0.0,
            burst_datagrams: 1.0,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_held_ns: REORDER_HELD_NS,
            corrupt: 0.0,
            bits_per_s: None,
            queue_ns: QUEUE_NS,
            mtu_bytes: None,
            is_cut: false,
        }
    }
}

impl Settings {
    /// The pieces of a link for datagrams.
    pub fn pieces(&self) -> Vec<Box<dyn Piece>> {
        let mut pieces: Vec<Box<dyn Piece>> = Vec::new();
        if self.is_cut {
            pieces.push(Box::new(Partition::new(std::iter::once(0..u64::MAX).collect())));
        }
        if let Some(bytes) = self.mtu_bytes {
            pieces.push(Box::new(Mtu::new(bytes)));
        }
        if self.loss >= 1.0 || (self.loss > 0.0 && self.burst_datagrams <= 1.0) {
            pieces.push(Box::new(Loss::new(self.loss)));
        } else if self.loss > 0.0 {
            pieces.push(Box::new(Bursts::averaging(self.loss, self.burst_datagrams)));
        }
        if self.corrupt > 0.0 {
            pieces.push(Box::new(Corrupt::new(self.corrupt)));
        }
        if self.duplicate > 0.0 {
            pieces.push(Box::new(Duplicate::new(self.duplicate, DUPLICATE_GAP_NS_MAX)));
        }
        if let Some(bits_per_s) = self.bits_per_s {
            pieces.push(Box::new(Bottleneck::with_queue_ns(bits_per_s, self.queue_ns)));
        }
        self.push_delays(&mut pieces);
        if self.reorder > 0.0 {
            pieces.push(Box::new(Reorder::new(self.reorder, self.reorder_held_ns)));
        }
        pieces
    }

    /// The pieces of a link for streams: nothing that drops. A cut is the relay's own affair,
    /// because what a stream holds back comes later.
    pub fn stream_pieces(&self) -> Vec<Box<dyn Piece>> {
        let mut pieces: Vec<Box<dyn Piece>> = Vec::new();
        if let Some(bits_per_s) = self.bits_per_s {
            // The queue has no end of its own: what a stream may have under way is bounded.
            let queue_ns = u64::MAX / bits_per_s.max(8);
            pieces.push(Box::new(Bottleneck::with_queue_ns(bits_per_s, queue_ns)));
        }
        self.push_delays(&mut pieces);
        pieces
    }

    fn push_delays(&self, pieces: &mut Vec<Box<dyn Piece>>) {
        if self.delay_ns > 0 {
            pieces.push(Box::new(Delay::new(self.delay_ns)));
        }
        if self.jitter_ns > 0 {
            pieces.push(Box::new(Jitter::new(self.jitter_ns, Order::Kept)));
        }
    }

    fn apply(&mut self, key: &str, value: Option<&str>, kind: Kind) -> Result<(), String> {
        let of_datagrams =
            ["loss", "burst", "duplicate", "reorder", "corrupt", "queue", "mtu"].contains(&key);
        if kind == Kind::Streams && of_datagrams {
            return Err(format!("{key}: a stream arrives whole and in order, or ends"));
        }
        match (key, value) {
            ("delay", Some(value)) => self.delay_ns = delay(value)?,
            ("jitter", Some(value)) => self.jitter_ns = delay(value)?,
            ("loss", Some(value)) => self.loss = share(value)?,
            ("burst", Some(value)) => self.burst_datagrams = burst(value)?,
            ("duplicate", Some(value)) => self.duplicate = share(value)?,
            ("reorder", Some(value)) => {
                let (part, held) =
                    value.split_once('/').map_or((value, None), |(part, held)| (part, Some(held)));
                self.reorder = share(part)?;
                self.reorder_held_ns = held.map_or(Ok(REORDER_HELD_NS), delay)?;
            }
            ("corrupt", Some(value)) => self.corrupt = share(value)?,
            ("rate", Some(value)) => self.bits_per_s = rate(value)?,
            ("queue", Some(value)) => self.queue_ns = delay(value)?,
            ("mtu", Some(value)) => self.mtu_bytes = mtu(value)?,
            ("partition", None) => self.is_cut = true,
            ("heal", None) => self.is_cut = false,
            ("clear", None) => *self = Self::default(),
            ("partition" | "heal" | "clear", Some(_)) => {
                return Err(format!("{key} takes no value"));
            }
            (_, None) => return Err(format!("{key:?} is no setting, or lacks its value")),
            (_, Some(_)) => return Err(format!("{key:?} is no setting")),
        }
        Ok(())
    }
}

/// What is done to the connections that exist at a moment; streams only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Both ends get a RST.
    Reset,
    /// Neither end hears anything again, nor that the other is gone.
    BlackHole,
}

/// Words that were checked: they can be applied to both directions' settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    text: String,
    kind: Kind,
}

impl Words {
    /// Checks words like `delay=20ms up.loss=5% down.partition`.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, String> {
        let words = Self { text: text.split_whitespace().collect::<Vec<_>>().join(" "), kind };
        words.apply_checked(&mut [Settings::default(), Settings::default()])?;
        Ok(words)
    }

    /// As they were given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Changes what they name; what they say of connections.
    pub fn apply(&self, settings: &mut [Settings; 2]) -> Vec<Cut> {
        self.apply_checked(settings).expect("words are checked before they are kept")
    }

    fn apply_checked(&self, settings: &mut [Settings; 2]) -> Result<Vec<Cut>, String> {
        let mut cuts = Vec::new();
        for word in self.text.split(' ').filter(|word| !word.is_empty()) {
            let (ways, word) = match word.split_once('.') {
                Some(("up", rest)) => (0..1, rest),
                Some(("down", rest)) => (1..2, rest),
                _ => (0..2, word),
            };
            match (word, self.kind) {
                ("reset", Kind::Streams) => cuts.push(Cut::Reset),
                ("blackhole", Kind::Streams) => cuts.push(Cut::BlackHole),
                ("reset" | "blackhole", Kind::Datagrams) => {
                    return Err(format!("{word}: datagrams have no connections"));
                }
                _ => {
                    let (key, value) = word
                        .split_once('=')
                        .map_or((word, None), |(key, value)| (key, Some(value)));
                    for settings in &mut settings[ways] {
                        settings.apply(key, value, self.kind)?;
                    }
                }
            }
        }
        Ok(cuts)
    }
}

/// A share as `5%` or `0.05`.
fn share(text: &str) -> Result<f64, String> {
    let number = |text: &str| text.parse::<f64>().ok();
    let share = match text.strip_suffix('%') {
        Some(percent) => number(percent).map(|percent| percent / 100.0),
        None => number(text),
    };
    let is_share = |share: &f64| (0.0..=1.0).contains(share);
    share.filter(is_share).ok_or_else(|| format!("{text:?} is no share: write 5% or 0.05"))
}

fn burst(text: &str) -> Result<f64, String> {
    let burst = text.parse::<f64>().ok().filter(|burst| (1.0..=10_000.0).contains(burst));
    burst.ok_or_else(|| format!("{text:?}: a burst has 1 to 10000 datagrams on average"))
}

fn mtu(text: &str) -> Result<Option<u64>, String> {
    let least = u64::from(UDP_HEADERS);
    let bytes = text.parse::<u64>().ok().filter(|bytes| *bytes == 0 || *bytes >= least);
    let bytes = bytes.ok_or_else(|| format!("{text:?}: an MTU is {least} bytes or more, or 0"))?;
    Ok(Some(bytes).filter(|bytes| *bytes > 0))
}

fn delay(text: &str) -> Result<u64, String> {
    let ns = duration_ns(text)?;
    if ns > DELAY_NS_MAX {
        return Err(format!("{text:?} is over {} s", DELAY_NS_MAX / 1_000_000_000));
    }
    Ok(ns)
}

/// A time as `20ms`, `1.5s`, `250us` or `2m`.
pub fn duration_ns(text: &str) -> Result<u64, String> {
    let units = [("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3_600e9)];
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor);
    match (number.parse::<f64>(), factor) {
        (Ok(number), Some(factor)) if (0.0..1e6).contains(&number) => Ok((number * factor) as u64),
        (Ok(0.0), None) if unit.is_empty() => Ok(0),
        _ => Err(format!("{text:?} is no time: write 20ms, 1.5s or 2m")),
    }
}

/// A rate as `10mbit`, `64kbit`; `0` is none.
fn rate(text: &str) -> Result<Option<u64>, String> {
    let units = [("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3), ("bit", 1.0)];
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor);
    match (number.parse::<f64>(), factor) {
        (Ok(0.0), _) => Ok(None),
        (Ok(number), Some(factor)) if (1_000.0..=1e12).contains(&(number * factor)) => {
            Ok(Some((number * factor) as u64))
        }
        _ => Err(format!("{text:?} is no rate: write 10mbit or 64kbit, 1kbit at least, or 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str) -> [Settings; 2] {
        let mut settings = [Settings::default(), Settings::default()];
        assert_eq!(Words::parse(text, Kind::Datagrams).unwrap().apply(&mut settings), []);
        settings
    }

    fn refused(text: &str, kind: Kind) -> String {
        Words::parse(text, kind).unwrap_err()
    }

    #[test]
    fn words_set_both_directions_or_one() {
        let [up, down] = applied("delay=20ms  up.loss=5% down.rate=10mbit up.reorder=1%/2ms");
        assert_eq!((up.delay_ns, down.delay_ns), (20_000_000, 20_000_000));
        assert_eq!((up.loss, down.loss), (0.05, 0.0));
        assert_eq!((up.bits_per_s, down.bits_per_s), (None, Some(10_000_000)));
        assert_eq!((up.reorder, up.reorder_held_ns), (0.01, 2_000_000));
        assert_eq!((up.pieces().len(), down.pieces().len()), (3, 2));
    }

    #[test]
    fn later_words_change_only_what_they_name() {
        let [up, down] =
            applied("delay=1s loss=0.5 partition up.loss=0 down.heal rate=5kbit rate=0");
        assert_eq!((up.loss, down.loss, up.delay_ns), (0.0, 0.5, 1_000_000_000));
        assert!(up.is_cut && !down.is_cut && up.bits_per_s.is_none());
        assert_eq!(applied("delay=1s mtu=1400 clear"), applied(""));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_reason() {
        for (text, part) in [
            ("loss=150%", "share"),
            ("loss=-1", "share"),
            ("loss", "lacks"),
            ("lost=1%", "no setting"),
            ("delay=20", "time"),
            ("delay=30s", "over 20 s"),
            ("delay=NaNms", "time"),
            ("rate=10", "rate"),
            ("rate=1bit", "rate"),
            ("burst=0.5", "burst"),
            ("mtu=20", "MTU"),
            ("heal=1", "no value"),
            ("side.loss=1%", "no setting"),
            ("reset", "no connections"),
        ] {
            let reason = refused(text, Kind::Datagrams);
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }

    #[test]
    fn streams_are_not_damaged_but_cut() {
        for text in ["loss=1%", "burst=2", "duplicate=1%", "reorder=1%", "corrupt=1%", "mtu=1400"] {
            assert!(refused(text, Kind::Streams).contains("stream"), "{text}");
        }
        let mut settings = [Settings::default(), Settings::default()];
        let words = Words::parse("reset rate=1mbit delay=5ms blackhole", Kind::Streams).unwrap();
        assert_eq!(words.apply(&mut settings), [Cut::Reset, Cut::BlackHole]);
        assert_eq!(settings[0].stream_pieces().len(), 2);
    }
}
