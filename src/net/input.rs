//! Reads sockets and cuts the bytes into frames. The only file that reads from a socket; knows
//! headers, not what commands mean.
//!
//! Bytes are read into one scratch buffer and frames are handled where they lie. What is left over
//! goes to the connection's tail: each byte is copied there at most once. A tail is either an
//! incomplete frame (`frame_since` is set), or it begins with a frame that waits, because the
//! handler said so or because too much output is queued.

use std::io;

use aldis_wire::{ConnId, FrameError, HEADER_LEN, parse_frame};

use crate::conn::State;
use crate::share::{FIRST_READ_BYTES, FRAMES_PER_VISIT, FrameRate};
use crate::tail::Tail;
use crate::timer::Tick;
use crate::transport::Received;
use crate::{Admit, CloseReason, Handler, Io};

/// Bytes of the scratch buffer: what one system call can bring.
pub(crate) const SCRATCH_BYTES: usize = 256 << 10;

/// Why no further frame was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// The bytes are used up but for an incomplete frame.
    More,
    /// The next frame waits, for the handler, for output to be read or for the others' turn.
    Paused,
    /// The connection is closed or closing.
    Closed,
}

/// Handles what a connection has left over, then reads until nothing is there, the budget is used
/// up, or the connection is paused.
pub(crate) fn receive<H: Handler>(io: &mut Io, handler: &mut H, scratch: &mut [u8], id: ConnId) {
    let (soft, tick, login) = (io.config.output_soft_bytes, io.tick, io.deadlines.login);
    let is_late = tick < io.late_until;
    let (of_users, of_strangers) =
        (FrameRate::of_users(&io.config), FrameRate::of_strangers(&io.config));
    let Some(conn) = io.conn(id) else { return };
    conn.in_ready = false;
    match conn.state {
        State::Open => {}
        State::Flushing | State::Lingering => return discard(io, scratch, id),
        State::Closed => return,
    }
    if conn.waiting || conn.output_paused || conn.end_seen {
        return;
    }
    // After a standstill, who has given up is not heard: its login would end a session that it has
    // elsewhere by now.
    if !conn.logged_in && conn.active_at.after(login) <= tick {
        return io.close(id, CloseReason::LoginDeadline);
    }
    if !conn.logged_in && conn.end_announced && is_late {
        return io.close(id, CloseReason::Peer);
    }
    if conn.output_len() > soft {
        // The peer is not to blame that the rest of its frame is not read.
        conn.frame_since = None;
        conn.output_paused = true;
        return;
    }
    conn.visit = FRAMES_PER_VISIT;
    let rate = if conn.logged_in { of_users } else { of_strangers };
    if conn.counts && rate.is_some() {
        if !conn.allowance.refill(rate, tick) {
            return io.throttle(id);
        }
        conn.visit = conn.allowance.visit();
    }
    let visit = conn.visit;
    if handle_leftover(io, handler, id) == Flow::More {
        read(io, handler, scratch, id);
    }
    // Who is not in and sends no frame, but bytes, shall not be visited for each of them.
    if let Some(conn) = io.conn(id)
        && !conn.logged_in
        && conn.visit == visit
    {
        conn.allowance.take();
    }
}

fn read<H: Handler>(io: &mut Io, handler: &mut H, scratch: &mut [u8], id: ConnId) {
    let mut budget = io.config.read_bytes_per_turn;
    let mut len_max = FIRST_READ_BYTES;
    loop {
        let tick = io.tick;
        let Some(conn) = io.conn(id).filter(|conn| conn.readable) else { return };
        if budget == 0 {
            io.mark_again(id);
            return;
        }
        let (len, taken, drained) = match conn.transport.read(scratch, budget.min(len_max)) {
            Ok(Received::Bytes { len, drained }) => (len, len, drained),
            Ok(Received::Internal { taken, drained }) => (0, taken, drained),
            Ok(Received::Nothing) => {
                conn.readable = false;
                io.counters.read_calls += 1;
                return;
            }
            Ok(Received::End) => {
                conn.readable = false;
                conn.end_seen = true;
                conn.tail = None;
                conn.frame_since = None;
                handler.handle_half_closed(io, id);
                return;
            }
            Err(error) => {
                io.close(id, reason_of(&error));
                return;
            }
        };
        // The end of the stream has no event of its own once it was announced.
        conn.readable = !drained || conn.end_announced;
        if conn.logged_in {
            conn.active_at = tick;
        }
        io.note_handshake(id);
        io.counters.read_calls += 1;
        io.counters.bytes_in += taken as u64;
        budget = budget.saturating_sub(taken);
        len_max = SCRATCH_BYTES;
        let fresh = scratch.get(..len).unwrap_or_default();
        if !fresh.is_empty() && feed(io, handler, id, fresh) != Flow::More {
            return;
        }
    }
}

/// Handles the frames of `fresh`, the first of which may have begun in the tail.
fn feed<H: Handler>(io: &mut Io, handler: &mut H, id: ConnId, fresh: &[u8]) -> Flow {
    let mut rest = fresh;
    if let Some(mut tail) = io.conn(id).and_then(|conn| conn.tail.take()) {
        let mut flow = Flow::More;
        while flow == Flow::More && !tail.is_empty() && !rest.is_empty() {
            let expected = tail.frame_len();
            let missing = expected.saturating_sub(tail.bytes().len());
            debug_assert!(missing > 0, "a tail that may grow is an incomplete frame");
            let (step, later) = rest.split_at(missing.min(rest.len()));
            tail.append(step, expected);
            rest = later;
            let used;
            (used, flow) = handle_frames(io, handler, id, tail.bytes());
            tail.consume(used);
        }
        let complete = tail.is_empty();
        if flow == Flow::More && !complete {
            let since = io.conn(id).and_then(|conn| conn.frame_since);
            keep(io, id, tail, Some(since.unwrap_or(io.tick)));
            return flow;
        }
        if flow == Flow::Paused {
            tail.append(rest, 0);
            keep(io, id, tail, None);
            return flow;
        }
        if let Some(conn) = io.conn(id) {
            conn.frame_since = None;
        }
        if flow == Flow::Closed {
            return flow;
        }
    }
    let (used, flow) = handle_frames(io, handler, id, rest);
    let left = rest.get(used..).unwrap_or_default();
    if !left.is_empty() && flow != Flow::Closed {
        let mut tail = Box::<Tail>::default();
        tail.append(left, 0);
        keep(io, id, tail, (flow == Flow::More).then_some(io.tick));
    }
    flow
}

/// Handles what had to wait.
fn handle_leftover<H: Handler>(io: &mut Io, handler: &mut H, id: ConnId) -> Flow {
    let Some(conn) = io.conn(id) else { return Flow::Closed };
    if conn.frame_since.is_some() {
        return Flow::More;
    }
    let Some(mut tail) = conn.tail.take() else { return Flow::More };
    let (used, flow) = handle_frames(io, handler, id, tail.bytes());
    tail.consume(used);
    if flow != Flow::Closed {
        keep(io, id, tail, (flow == Flow::More).then_some(io.tick));
    }
    flow
}

/// Leaves bytes with their connection; `frame_since` says since when they are an incomplete frame.
fn keep(io: &mut Io, id: ConnId, tail: Box<Tail>, frame_since: Option<Tick>) {
    let Some(conn) = io.conn(id) else { return };
    if tail.is_empty() {
        conn.tail = None;
        conn.frame_since = None;
    } else {
        conn.tail = Some(tail);
        conn.frame_since = frame_since;
        io.arm(id);
    }
}

/// Gives the frames of `bytes` to the handler until one is incomplete or has to wait. Returns how
/// many bytes were handled.
fn handle_frames<H: Handler>(
    io: &mut Io,
    handler: &mut H,
    id: ConnId,
    bytes: &[u8],
) -> (usize, Flow) {
    let mut used = 0;
    loop {
        let soft = io.config.output_soft_bytes;
        let Some(conn) = io.conn(id).filter(|conn| conn.state == State::Open) else {
            return (used, Flow::Closed);
        };
        if conn.output_len() > soft {
            conn.output_paused = true;
            return (used, Flow::Paused);
        }
        match parse_frame(bytes.get(used..).unwrap_or_default(), conn.body_bytes_max()) {
            Ok(Some(frame)) => {
                if conn.visit == 0 {
                    io.mark_again(id);
                    return (used, Flow::Paused);
                }
                conn.visit -= 1;
                io.counters.frames_in += 1;
                match handler.handle_frame(io, id, frame) {
                    Admit::Taken => {
                        used += HEADER_LEN + frame.body.len();
                        if let Some(conn) = io.conn(id) {
                            conn.allowance.take();
                        }
                    }
                    Admit::Wait => return (used, wait(io, id)),
                }
            }
            Ok(None) => return (used, Flow::More),
            Err(error) => {
                handler.handle_frame_error(io, id, error);
                match error {
                    FrameError::Magic(_) => io.close(id, CloseReason::BadFrame),
                    _ => io.close_after_flush(id, CloseReason::BadFrame),
                }
                return (used, Flow::Closed);
            }
        }
    }
}

fn wait(io: &mut Io, id: ConnId) -> Flow {
    match io.conn(id).filter(|conn| conn.state == State::Open) {
        Some(conn) => {
            conn.waiting = true;
            Flow::Paused
        }
        None => Flow::Closed,
    }
}

/// Why a connection ends whose transport failed.
fn reason_of(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::InvalidData => CloseReason::BadTls,
        _ => CloseReason::Reset,
    }
}

/// Reads and forgets, so that the connection can end in order.
fn discard(io: &mut Io, scratch: &mut [u8], id: ConnId) {
    let mut budget = io.config.read_bytes_per_turn;
    loop {
        let Some(conn) = io.conn(id).filter(|conn| conn.readable) else { return };
        if budget == 0 {
            io.mark_ready(id);
            return;
        }
        match conn.transport.read(scratch, budget) {
            Ok(Received::Bytes { len: taken, drained } | Received::Internal { taken, drained }) => {
                conn.readable = !drained || conn.end_announced;
                budget = budget.saturating_sub(taken);
            }
            Ok(Received::End) if conn.state == State::Flushing => {
                conn.readable = false;
                conn.end_seen = true;
            }
            Ok(Received::Nothing) => conn.readable = false,
            Ok(Received::End) | Err(_) => {
                let reason = conn.reason;
                io.close(id, reason);
                return;
            }
        }
        io.counters.read_calls += 1;
    }
}
