//! Hosts and links: moves datagrams through the pieces of their link and keeps their records. Knows
//! addresses, times and pieces' verdicts; no impairment and no protocol.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use crate::agenda::Agenda;
use crate::datagram::Datagram;
use crate::piece::{Passage, Piece, Verdict};
use crate::record::{Cause, Fate, Record};
use crate::rng::Rng;

/// One direction of a way between hosts; several routes may share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkId(usize);

#[derive(Debug)]
struct Stage {
    piece: Box<dyn Piece>,
    rng: Rng,
}

/// A datagram and the place it comes to next.
#[derive(Debug)]
struct Parcel {
    datagram: Datagram,
    record: usize,
    link: usize,
    /// The link's length means its destination.
    stage: usize,
}

/// All links and what is under way on them.
#[derive(Debug)]
pub struct Network {
    links: Vec<Vec<Stage>>,
    routes: BTreeMap<(IpAddr, IpAddr), usize>,
    agenda: Agenda<Parcel>,
    rng: Rng,
    records: Vec<Record>,
    /// `None`: all records are kept.
    ended: Option<Ended>,
    copies: Vec<(u64, Datagram)>,
}

/// Of a network that keeps no records of what has ended.
#[derive(Debug, Default)]
struct Ended {
    records: VecDeque<Record>,
    /// Places of records that have ended.
    vacant: Vec<usize>,
}

impl Network {
    /// Without links; all that is random in it follows from the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            links: Vec::new(),
            routes: BTreeMap::new(),
            agenda: Agenda::new(),
            rng: Rng::new(seed),
            records: Vec::new(),
            ended: None,
            copies: Vec::new(),
        }
    }

    /// The same for a run without an end: the story of a datagram is handed out once, by
    /// [`Network::poll_ended`], and `records` means nothing.
    pub fn forgetful(seed: u64) -> Self {
        Self { ended: Some(Ended::default()), ..Self::new(seed) }
    }

    /// The next datagram that has ended, if the network is a forgetful one. To be called after each
    /// input until there is none: they are kept until then.
    pub fn poll_ended(&mut self) -> Option<Record> {
        self.ended.as_mut()?.records.pop_front()
    }

    /// A link that consists of these pieces, in the order in which a datagram passes them.
    pub fn add_link(&mut self, pieces: Vec<Box<dyn Piece>>) -> LinkId {
        let rng = &mut self.rng;
        let stage = |piece| Stage { piece, rng: rng.fork() };
        self.links.push(pieces.into_iter().map(stage).collect());
        LinkId(self.links.len() - 1)
    }

    /// Datagrams from one host (its IP address, whatever the port) to another take this link.
    pub fn route(&mut self, from: SocketAddr, to: SocketAddr, link: LinkId) {
        self.routes.insert((from.ip(), to.ip()), link.0);
    }

    /// Puts a datagram on its way. `now_ns` is not before the time of the last poll.
    pub fn send(&mut self, now_ns: u64, datagram: Datagram) {
        let link = self.link_of(&datagram);
        self.start(now_ns, datagram, link, 0, false);
    }

    /// When something happens next, on the way or at a destination.
    pub fn next_at_ns(&self) -> Option<u64> {
        self.agenda.next_at_ns()
    }

    /// The next datagram that has arrived by now. To be called until there is none.
    pub fn poll(&mut self, now_ns: u64) -> Option<Datagram> {
        while let Some((at_ns, parcel)) = self.agenda.poll(now_ns) {
            if parcel.stage == self.links[parcel.link].len() {
                self.end(parcel.record, Fate::Arrived { at_ns });
                return Some(parcel.datagram);
            }
            self.travel(at_ns, parcel);
        }
        None
    }

    /// Datagrams under way.
    pub fn under_way_count(&self) -> usize {
        self.agenda.len()
    }

    /// The story of each datagram, in the order in which they were sent or made.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Forgets the stories so far, of a network with nothing under way.
    pub fn forget_records(&mut self) {
        assert_eq!(self.agenda.len(), 0, "records of what is under way are still needed");
        self.records.clear();
        self.ended.iter_mut().for_each(|ended| ended.vacant.clear());
    }

    /// Of its route; a datagram with a forged source takes any link to its destination.
    fn link_of(&self, datagram: &Datagram) -> Option<usize> {
        let (from, to) = (datagram.from.ip(), datagram.to.ip());
        let anyone = || self.routes.iter().find(|((_, host), _)| *host == to);
        self.routes.get(&(from, to)).or_else(|| anyone().map(|(_, link)| link)).copied()
    }

    fn start(
        &mut self,
        at_ns: u64,
        datagram: Datagram,
        link: Option<usize>,
        stage: usize,
        is_copy: bool,
    ) {
        let record = self.note(Record {
            sent_ns: at_ns,
            from: datagram.from,
            to: datagram.to,
            wire_bytes: u32::try_from(datagram.wire_bytes()).unwrap_or(u32::MAX),
            is_copy,
            is_altered: false,
            is_marked: false,
            queued_ns: 0,
            fate: Fate::UnderWay,
        });
        match link {
            None => self.end(record, Fate::Dropped(Cause::NoRoute)),
            Some(link) if is_copy => {
                self.agenda.add(at_ns, Parcel { datagram, record, link, stage })
            }
            Some(link) => self.travel(at_ns, Parcel { datagram, record, link, stage }),
        }
    }

    /// Keeps a record, and says where.
    fn note(&mut self, record: Record) -> usize {
        match self.ended.as_mut().and_then(|ended| ended.vacant.pop()) {
            Some(place) => {
                self.records[place] = record;
                place
            }
            None => {
                self.records.push(record);
                self.records.len() - 1
            }
        }
    }

    fn end(&mut self, place: usize, fate: Fate) {
        let record = &mut self.records[place];
        record.fate = fate;
        if let Some(ended) = &mut self.ended {
            ended.records.push_back(record.clone());
            ended.vacant.push(place);
        }
    }

    /// Through as many pieces as take no time.
    fn travel(&mut self, now_ns: u64, mut parcel: Parcel) {
        while let Some(Stage { piece, rng }) = self.links[parcel.link].get_mut(parcel.stage) {
            let verdict = piece.handle(Passage {
                now_ns,
                datagram: &mut parcel.datagram,
                record: &mut self.records[parcel.record],
                rng,
                copies: &mut self.copies,
            });
            parcel.stage += 1;
            // Copies are taken off one by one, because each is recorded and none makes another.
            while let Some((at_ns, datagram)) = self.copies.pop() {
                self.start(at_ns.max(now_ns), datagram, Some(parcel.link), parcel.stage, true);
            }
            match verdict {
                Verdict::Drop(cause) => {
                    return self.end(parcel.record, Fate::Dropped(cause));
                }
                Verdict::Pass(at_ns) if at_ns > now_ns => return self.agenda.add(at_ns, parcel),
                Verdict::Pass(_) => {}
            }
        }
        self.agenda.add(now_ns, parcel);
    }
}
