//! Both directions of a relay: the simulated links, what they do now and what they have done.
//! Knows flows by number and the time that is handed in; no socket.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use aldis_netsim::{Cause, Datagram, Fate, Network, UDP_HEADERS};

use super::settings::{Cut, Kind, Settings, Way, Words};
use super::tally::Tally;

/// Datagrams under way, both directions together: a delay of 20 s at 3,000 a second.
const UNDER_WAY_MAX: usize = 65_536;
/// Their bytes.
const UNDER_WAY_BYTES_MAX: usize = 64 << 20;
/// Changes of settings: each leaves up to two links of some hundred bytes behind.
const CHANGES_MAX: u32 = 100_000;

/// A flow: the traffic of one client, one pair or one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowId {
    /// Used again after a flow has ended.
    pub index: u16,
    /// Unlike that of earlier flows with the same index.
    pub generation: u32,
}

/// What comes out at the end of a link.
#[derive(Debug)]
pub struct Arrival {
    /// On which side.
    pub way: Way,
    /// Of which flow.
    pub flow: FlowId,
    /// What went in, perhaps changed.
    pub bytes: Vec<u8>,
}

/// See the file's first lines.
pub struct Ways {
    kind: Kind,
    network: Network,
    settings: [Settings; 2],
    tallies: [Tally; 2],
    bytes_under_way: usize,
    change_count: u32,
}

/// The relay has to be started anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("settings were changed {CHANGES_MAX} times")]
pub struct TooManyChanges;

impl Ways {
    /// Links that do nothing yet; what they do at random follows from the seed.
    pub fn new(kind: Kind, seed: u64) -> Self {
        let mut ways = Self {
            kind,
            network: Network::forgetful(seed),
            settings: [Settings::default(), Settings::default()],
            tallies: [Tally::default(), Tally::default()],
            bytes_under_way: 0,
            change_count: 0,
        };
        [Way::Up, Way::Down].into_iter().for_each(|way| ways.build(way));
        ways
    }

    /// Changes what the links do from now on. What is under way is not affected; chains of bursts
    /// and queues of a link that changes begin anew.
    pub fn apply(&mut self, words: &Words) -> Result<Vec<Cut>, TooManyChanges> {
        if self.change_count >= CHANGES_MAX {
            return Err(TooManyChanges);
        }
        self.change_count += 1;
        let before = self.settings.clone();
        let cuts = words.apply(&mut self.settings);
        for way in [Way::Up, Way::Down] {
            if before[way as usize] != self.settings[way as usize] {
                self.build(way);
            }
        }
        Ok(cuts)
    }

    /// Whether nothing passes on this way now.
    pub fn is_cut(&self, way: Way) -> bool {
        self.settings[way as usize].is_cut
    }

    /// What happened on this way.
    pub fn tally(&mut self, way: Way) -> &mut Tally {
        &mut self.tallies[way as usize]
    }

    /// A datagram arrived.
    pub fn enter(&mut self, now_ns: u64, way: Way, flow: FlowId, bytes: Vec<u8>) {
        let tally = &mut self.tallies[way as usize];
        tally.received += 1;
        tally.received_bytes += bytes.len() as u64;
        let len = usize::from(UDP_HEADERS) + bytes.len();
        if self.network.under_way_count() >= UNDER_WAY_MAX
            || self.bytes_under_way + len > UNDER_WAY_BYTES_MAX
        {
            tally.overflowed += 1;
            return;
        }
        self.send(now_ns, way, flow, bytes, UDP_HEADERS);
    }

    /// A piece of a stream, of `len` bytes, arrived: the relay keeps the bytes, the link moves the
    /// token that stands for them. Streams bound by themselves what they have under way.
    pub fn enter_token(&mut self, now_ns: u64, way: Way, flow: FlowId, token: &[u8], len: u16) {
        let tally = &mut self.tallies[way as usize];
        tally.received += 1;
        tally.received_bytes += u64::from(len);
        self.send(now_ns, way, flow, token.to_vec(), len);
    }

    /// When something happens next.
    pub fn next_at_ns(&self) -> Option<u64> {
        self.network.next_at_ns()
    }

    /// The next that has passed its link by now.
    pub fn poll(&mut self, now_ns: u64) -> Option<Arrival> {
        let datagram = self.network.poll(now_ns);
        self.count_ended();
        let datagram = datagram?;
        let flow = flow_of(datagram.from);
        let way =
            if datagram.to.ip() == address(Way::Up, flow).1.ip() { Way::Up } else { Way::Down };
        Some(Arrival { way, flow, bytes: datagram.bytes })
    }

    fn send(&mut self, now_ns: u64, way: Way, flow: FlowId, bytes: Vec<u8>, headers: u16) {
        let (from, to) = address(way, flow);
        self.bytes_under_way += usize::from(headers) + bytes.len();
        self.network.send(now_ns, Datagram { from, to, ecn: None, headers, bytes });
        self.count_ended();
    }

    fn build(&mut self, way: Way) {
        let settings = &self.settings[way as usize];
        let pieces = match self.kind {
            Kind::Datagrams => settings.pieces(),
            Kind::Streams => settings.stream_pieces(),
        };
        let link = self.network.add_link(pieces);
        let (from, to) = address(way, FlowId { index: 0, generation: 0 });
        self.network.route(from, to, link);
    }

    fn count_ended(&mut self) {
        while let Some(record) = self.network.poll_ended() {
            let way = if record.to.ip() == side(Way::Up) { Way::Up } else { Way::Down };
            let tally = &mut self.tallies[way as usize];
            if record.is_copy {
                tally.duplicated += 1;
            } else {
                self.bytes_under_way -= record.wire_bytes as usize;
            }
            match record.fate {
                Fate::UnderWay => {}
                Fate::Arrived { .. } => {
                    tally.altered += u64::from(record.is_altered);
                    let flow = flow_of(record.from);
                    tally.note_order(usize::from(flow.index), record.sent_ns);
                }
                Fate::Dropped(Cause::Loss) => tally.lost += 1,
                Fate::Dropped(Cause::Queue) => tally.queue_dropped += 1,
                Fate::Dropped(Cause::Partition) => tally.partitioned += 1,
                Fate::Dropped(Cause::Mtu) => tally.too_large += 1,
                Fate::Dropped(Cause::NoRoute) => unreachable!("both ways have a link"),
            }
        }
    }
}

/// The simulated host that a way leads to.
fn side(way: Way) -> Ipv6Addr {
    match way {
        Way::Up => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2),
        Way::Down => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1),
    }
}

/// Source and destination in the simulator; both carry the flow.
fn address(way: Way, flow: FlowId) -> (SocketAddr, SocketAddr) {
    let host = |way| SocketAddr::V6(SocketAddrV6::new(side(way), flow.index, flow.generation, 0));
    match way {
        Way::Up => (host(Way::Down), host(Way::Up)),
        Way::Down => (host(Way::Up), host(Way::Down)),
    }
}

fn flow_of(address: SocketAddr) -> FlowId {
    let generation = match address {
        SocketAddr::V6(address) => address.flowinfo(),
        SocketAddr::V4(_) => 0,
    };
    FlowId { index: address.port(), generation }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: FlowId = FlowId { index: 7, generation: 3 };

    fn words(text: &str) -> Words {
        Words::parse(text, Kind::Datagrams).unwrap()
    }

    #[test]
    fn a_change_takes_hold_for_what_comes_after_it_and_for_its_way() {
        let mut ways = Ways::new(Kind::Datagrams, 1);
        ways.apply(&words("delay=10ms")).unwrap();
        ways.enter(0, Way::Up, FLOW, vec![1]);
        ways.apply(&words("up.partition")).unwrap();
        ways.enter(1, Way::Up, FLOW, vec![2]);
        ways.enter(1, Way::Down, FLOW, vec![3]);
        assert!(ways.poll(9_000_000).is_none());
        let arrivals: Vec<_> = std::iter::from_fn(|| ways.poll(20_000_000)).collect();
        let seen: Vec<_> = arrivals.iter().map(|one| (one.way, one.flow, one.bytes[0])).collect();
        assert_eq!(seen, [(Way::Up, FLOW, 1), (Way::Down, FLOW, 3)]);
        assert_eq!((ways.tally(Way::Up).received, ways.tally(Way::Up).partitioned), (2, 1));
        assert_eq!(ways.bytes_under_way, 0);
    }

    #[test]
    fn what_is_under_way_is_bounded() {
        let mut ways = Ways::new(Kind::Datagrams, 1);
        ways.apply(&words("delay=20s duplicate=10%")).unwrap();
        for n in 0..UNDER_WAY_MAX as u64 + 1_000 {
            ways.enter(n, Way::Up, FLOW, vec![0; 8]);
        }
        assert!(ways.network.under_way_count() <= UNDER_WAY_MAX);
        assert!(ways.tally(Way::Up).overflowed > 1_000);
        while ways.poll(u64::MAX).is_some() {}
        assert_eq!(ways.bytes_under_way, 0);
        for n in 0..2_000 {
            ways.enter(n, Way::Up, FLOW, vec![0; 60_000]);
        }
        assert!(ways.bytes_under_way <= UNDER_WAY_BYTES_MAX);
    }

    #[test]
    fn a_seed_repeats_what_happens_to_each_datagram() {
        let survivors = |seed| {
            let mut ways = Ways::new(Kind::Datagrams, seed);
            ways.apply(&words("loss=30% burst=3 reorder=10% corrupt=5%")).unwrap();
            (0..200_u64).for_each(|n| ways.enter(n * 1_000_000, Way::Up, FLOW, vec![n as u8; 9]));
            std::iter::from_fn(|| ways.poll(u64::MAX)).map(|one| one.bytes).collect::<Vec<_>>()
        };
        assert_eq!(survivors(5), survivors(5));
        assert_ne!(survivors(5), survivors(6));
    }

    #[test]
    fn changes_leave_something_behind_and_are_bounded() {
        let mut ways = Ways::new(Kind::Datagrams, 1);
        let [cut, heal] = ["partition", "heal"].map(words);
        let mut changes = [&cut, &heal].into_iter().cycle();
        assert!((0..CHANGES_MAX).all(|_| ways.apply(changes.next().unwrap()).is_ok()));
        assert_eq!(ways.apply(&cut), Err(TooManyChanges));
    }
}
