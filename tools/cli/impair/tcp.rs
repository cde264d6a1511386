//! A relay for TCP: a connection to the target for each of a client, bytes delayed and slowed down,
//! connections cut. Nothing is lost or changed: a stream arrives whole or ends. Knows no impairment.

use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use super::relay::Relay;
use super::settings::{Cut, Way};
use super::stream::{Health, Stream};
use super::ways::{Arrival, FlowId, Ways};

/// Connections at the same time, each with two descriptors, half a megabyte each way at most.
const CONNECTIONS_MAX: usize = 256;
/// Accepted before what is open has its turn.
const ACCEPTS_PER_TURN_MAX: usize = 32;
/// The listener's token; a connection has two from twice its flow's index on.
const LISTENER: Token = Token(usize::MAX - 1);

/// See the file's first lines.
pub struct TcpRelay {
    listener: TcpListener,
    can_accept: bool,
    /// A way is cut: connections wait in the kernel until it is healed.
    is_cut: bool,
    target: SocketAddr,
    streams: Vec<Option<Stream>>,
    next_generation: u32,
    /// Streams with something to do, each once.
    ready: Vec<u16>,
}

impl TcpRelay {
    /// A relay that listens.
    pub fn new(registry: &Registry, listen: SocketAddr, target: SocketAddr) -> io::Result<Self> {
        let mut listener = TcpListener::bind(listen)?;
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            listener,
            can_accept: false,
            is_cut: false,
            target,
            streams: Vec::new(),
            next_generation: 0,
            ready: Vec::new(),
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    fn accept(&mut self, registry: &Registry, ways: &mut Ways) -> io::Result<()> {
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            if !self.can_accept || self.is_cut {
                break;
            }
            match self.listener.accept() {
                Ok((client, _)) => self.open(registry, ways, client)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.can_accept = false,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                // Out of descriptors: those that wait are accepted when the next one comes.
                Err(_) => {
                    ways.tally(Way::Up).refused += 1;
                    self.can_accept = false;
                }
            }
        }
        Ok(())
    }

    fn open(
        &mut self,
        registry: &Registry,
        ways: &mut Ways,
        mut client: TcpStream,
    ) -> io::Result<()> {
        let vacant = self.streams.iter().position(Option::is_none);
        let place = vacant.unwrap_or(self.streams.len());
        let target = TcpStream::connect(self.target);
        let (Ok(mut target), true) = (target, place < CONNECTIONS_MAX) else {
            ways.tally(Way::Up).refused += 1;
            return Ok(());
        };
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut client, Token(2 * place), both)?;
        registry.register(&mut target, Token(2 * place + 1), both)?;
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let flow = FlowId { index: place as u16, generation };
        if place == self.streams.len() {
            self.streams.push(None);
        }
        self.streams[place] = Some(Stream::new(client, target, flow));
        self.mark_ready(flow.index);
        Ok(())
    }

    fn mark_ready(&mut self, index: u16) {
        if !self.ready.contains(&index) {
            self.ready.push(index);
        }
    }

    /// Lets one connection do what it can, and ends it if it has ended.
    fn work(&mut self, index: u16, ways: &mut Ways, now_ns: u64) {
        let Some(place) = self.streams.get_mut(usize::from(index)) else { return };
        let Some(stream) = place else { return };
        match stream.work(ways, now_ns) {
            Ok(Health::Idle) => {}
            Ok(Health::Busy) => self.mark_ready(index),
            Ok(Health::Over) => *place = None,
            // The other end hears of it as it would without the relay.
            Err(_) => {
                stream.reset();
                *place = None;
            }
        }
    }
}

impl Relay for TcpRelay {
    fn handle_event(&mut self, token: Token) {
        if token == LISTENER {
            self.can_accept = true;
            return;
        }
        let index = token.0 / 2;
        if let Some(stream) = self.streams.get_mut(index).and_then(Option::as_mut) {
            stream.handle_event(token.0 % 2);
            self.mark_ready(index as u16);
        }
    }

    fn receive(&mut self, registry: &Registry, ways: &mut Ways, now_ns: u64) -> io::Result<()> {
        self.accept(registry, ways)?;
        for index in std::mem::take(&mut self.ready) {
            self.work(index, ways, now_ns);
        }
        Ok(())
    }

    fn has_more(&self) -> bool {
        (self.can_accept && !self.is_cut) || !self.ready.is_empty()
    }

    fn deliver(&mut self, ways: &mut Ways, arrival: Arrival, now_ns: u64) {
        let index = arrival.flow.index;
        let stream = self.streams.get_mut(usize::from(index)).and_then(Option::as_mut);
        if let Some(stream) = stream.filter(|stream| stream.flow() == arrival.flow) {
            stream.handle_passed(arrival.way, &arrival.bytes);
            self.work(index, ways, now_ns);
        }
    }

    fn handle_change(&mut self, ways: &mut Ways, cuts: &[Cut]) {
        self.is_cut = ways.is_cut(Way::Up) || ways.is_cut(Way::Down);
        for place in &mut self.streams {
            let Some(stream) = place else { continue };
            for cut in cuts {
                match cut {
                    Cut::BlackHole => stream.is_black_hole = true,
                    Cut::Reset => stream.reset(),
                }
            }
            if cuts.contains(&Cut::Reset) {
                *place = None;
            }
        }
        // What a cut held back goes on when it is healed.
        self.ready = (0..self.streams.len() as u16).collect();
    }
}
