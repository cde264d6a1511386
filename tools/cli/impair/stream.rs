//! One relayed TCP connection: what each direction has read, what of it has passed its link, what
//! was written. Knows its two sockets; no impairment.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;
use socket2::SockRef;

use super::settings::Way;
use super::ways::{FlowId, Ways};

/// Bytes read at once: one token on the link. Below 64 KiB, which is what a token can stand for.
pub const PIECE_BYTES_MAX: usize = 16 << 10;
/// Bytes of a direction that are under way or wait for its reader; beyond that the sender is not
/// read, as with a full window.
const QUEUED_BYTES_MAX: usize = 512 << 10;
/// Pieces read from one direction before the others have their turn.
const READS_PER_TURN_MAX: usize = 16;

/// What was read at once; the end of a direction is a piece without bytes.
struct Piece {
    bytes: Vec<u8>,
    written: usize,
    has_passed: bool,
}

/// One direction.
#[derive(Default)]
struct Half {
    pieces: VecDeque<Piece>,
    /// Number of the first piece.
    first: u32,
    queued_bytes: usize,
    /// The source has no more.
    has_ended: bool,
    /// And its reader knows.
    is_done: bool,
}

/// See the file's first lines.
pub struct Stream {
    /// Of the client, of the target.
    pub sockets: [TcpStream; 2],
    halves: [Half; 2],
    /// Of the two sockets: since the last time that there was nothing.
    is_readable: [bool; 2],
    is_writable: [bool; 2],
    flow: FlowId,
    /// Nothing is read or written any more.
    pub is_black_hole: bool,
    /// One end broke the connection while a way was cut: the other hears of it when it is healed.
    is_broken: bool,
}

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// There may be more to read at once.
    Busy,
    /// Nothing to do before the next event.
    Idle,
    /// Both directions have ended.
    Over,
}

impl Stream {
    /// Between a client and a target, which may still be connecting.
    pub fn new(client: TcpStream, target: TcpStream, flow: FlowId) -> Self {
        let sockets = [client, target];
        // The relay adds no delay of its own; a socket that is gone says so when it is read.
        sockets.iter().for_each(|socket| drop(socket.set_nodelay(true)));
        Self {
            sockets,
            halves: [Half::default(), Half::default()],
            is_readable: [true; 2],
            is_writable: [true; 2],
            flow,
            is_black_hole: false,
            is_broken: false,
        }
    }

    /// Its flow.
    pub fn flow(&self) -> FlowId {
        self.flow
    }

    /// Something can be done with one of the sockets.
    pub fn handle_event(&mut self, socket: usize) {
        self.is_readable[socket] = true;
        self.is_writable[socket] = true;
    }

    /// A piece has passed its link.
    pub fn handle_passed(&mut self, way: Way, token: &[u8]) {
        let half = &mut self.halves[way as usize];
        let Ok(number) = token.try_into().map(u32::from_be_bytes) else { return };
        let piece = half.pieces.get_mut(number.wrapping_sub(half.first) as usize);
        piece.into_iter().for_each(|piece| piece.has_passed = true);
    }

    /// Writes what has passed and reads what there is. An error ends both directions.
    pub fn work(&mut self, ways: &mut Ways, now_ns: u64) -> io::Result<Health> {
        if self.is_black_hole {
            return Ok(Health::Idle);
        }
        let is_cut = ways.is_cut(Way::Up) || ways.is_cut(Way::Down);
        match (self.is_broken, is_cut) {
            (true, true) => return Ok(Health::Idle),
            (true, false) => return Err(io::ErrorKind::ConnectionReset.into()),
            (false, _) => {}
        }
        match self.pass(ways, now_ns) {
            Err(_) if is_cut => {
                self.is_broken = true;
                Ok(Health::Idle)
            }
            result => result,
        }
    }

    fn pass(&mut self, ways: &mut Ways, now_ns: u64) -> io::Result<Health> {
        for way in [Way::Up, Way::Down] {
            if !ways.is_cut(way) {
                self.write(ways, way)?;
            }
            self.read(ways, way, now_ns)?;
        }
        if self.halves.iter().all(|half| half.is_done) {
            return Ok(Health::Over);
        }
        let can_read = |at: usize| {
            let half = &self.halves[at];
            self.is_readable[at] && !half.has_ended && half.queued_bytes < QUEUED_BYTES_MAX
        };
        Ok(if can_read(0) || can_read(1) { Health::Busy } else { Health::Idle })
    }

    /// Makes the peers see a RST when the sockets are closed, which is next.
    pub fn reset(&self) {
        for socket in &self.sockets {
            // A socket that is gone already needs none.
            let _ = SockRef::from(socket).set_linger(Some(std::time::Duration::ZERO));
        }
    }

    fn read(&mut self, ways: &mut Ways, way: Way, now_ns: u64) -> io::Result<()> {
        let (at, half) = (way as usize, &mut self.halves[way as usize]);
        for _ in 0..READS_PER_TURN_MAX {
            let is_full = half.queued_bytes >= QUEUED_BYTES_MAX;
            if !self.is_readable[at] || half.has_ended || is_full {
                break;
            }
            let mut bytes = vec![0; PIECE_BYTES_MAX];
            match self.sockets[at].read(&mut bytes) {
                Ok(len) => bytes.truncate(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_readable[at] = false;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            half.has_ended = bytes.is_empty();
            half.queued_bytes += bytes.len();
            let number = half.first.wrapping_add(half.pieces.len() as u32);
            let len = bytes.len() as u16;
            half.pieces.push_back(Piece { bytes, written: 0, has_passed: false });
            ways.enter_token(now_ns, way, self.flow, &number.to_be_bytes(), len);
        }
        Ok(())
    }

    fn write(&mut self, ways: &mut Ways, way: Way) -> io::Result<()> {
        let (half, to) = (&mut self.halves[way as usize], 1 - way as usize);
        while self.is_writable[to] {
            let Some(piece) = half.pieces.front_mut().filter(|piece| piece.has_passed) else {
                break;
            };
            if piece.bytes.is_empty() {
                half.is_done = true;
                // A peer that is gone has no use for it.
                let _ = self.sockets[to].shutdown(Shutdown::Write);
            } else {
                match self.sockets[to].write(&piece.bytes[piece.written..]) {
                    Ok(len) => {
                        piece.written += len;
                        half.queued_bytes -= len;
                        ways.tally(way).sent_bytes += len as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.is_writable[to] = false;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            if piece.written == piece.bytes.len() {
                ways.tally(way).sent += 1;
                half.pieces.pop_front();
                half.first = half.first.wrapping_add(1);
            }
        }
        Ok(())
    }
}
