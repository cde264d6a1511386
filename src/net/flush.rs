//! Writes what is queued, as a rule by one system call per connection and turn, and ends
//! connections that close after it. The only file that writes to a socket; knows no frame.

use std::io::{self, IoSlice};

use aldis_wire::ConnId;

use crate::conn::{Conn, State};
use crate::io::find;
use crate::output::{OutPool, PIECES_MAX};
use crate::{CloseReason, Counters, Io};

/// Flushes every connection that has something to write or to end. What remains to be done is
/// listed for the next turn.
pub(crate) fn flush_all(io: &mut Io) {
    let count = io.dirty.len();
    for at in 0..count {
        let id = io.dirty[at];
        flush(io, id);
        if let Some(conn) = find(&mut io.conns, id) {
            conn.invariants();
        }
    }
    io.dirty.drain(..count);
}

/// Writes in the middle of a turn what went past the soft limit: only what the kernel does not take
/// says that the reader is slow. At the end of the turn the connection is flushed as any other.
pub(crate) fn flush_early(io: &mut Io, id: ConnId) {
    let Some(conn) = find(&mut io.conns, id) else { return };
    conn.stalled_since = None;
    if write_some(conn, io.config.write_bytes_per_turn, &mut io.counters, &mut io.pool).is_err() {
        io.close(id, CloseReason::Reset);
    }
}

fn flush(io: &mut Io, id: ConnId) {
    let Some(conn) = find(&mut io.conns, id) else { return };
    conn.in_dirty = false;
    if conn.state == State::Closed {
        return;
    }
    let before = conn.output_len();
    if write_some(conn, io.config.write_bytes_per_turn, &mut io.counters, &mut io.pool).is_err() {
        io.close(id, CloseReason::Reset);
        return;
    }
    let after = conn.output_len();
    if after == 0 {
        conn.stalled_since = None;
        handle_flushed(io, id);
    } else {
        if after < before || conn.stalled_since.is_none() {
            conn.stalled_since = Some(io.tick);
        }
        let again = conn.writable;
        io.arm(id);
        if again {
            io.mark_dirty(id);
        }
    }
    end_output_pause(io, id, after);
}

/// Writes until the queue is empty, the socket is full or the budget is used up.
fn write_some(
    conn: &mut Conn,
    mut budget: usize,
    counters: &mut Counters,
    pool: &mut OutPool,
) -> io::Result<()> {
    let Some(mut queue) = conn.out.take() else { return write_internal(conn, counters) };
    let mut result = Ok(());
    while conn.writable && queue.len() > 0 && budget > 0 && result.is_ok() {
        let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
        let (count, total) = queue.gather(&mut pieces);
        counters.write_calls += 1;
        result = conn.transport.write(&pieces[..count], total).map(|written| {
            conn.writable = !written.full;
            counters.bytes_out += written.len as u64;
            budget = budget.saturating_sub(written.len);
            queue.advance(written.len);
        });
    }
    if queue.len() == 0 {
        pool.put(queue);
    } else {
        conn.out = Some(queue);
    }
    result
}

/// Writes what the transport has to say by itself.
fn write_internal(conn: &mut Conn, counters: &mut Counters) -> io::Result<()> {
    if conn.writable && conn.transport.wants_write() {
        counters.write_calls += 1;
        conn.writable = !conn.transport.write(&[], 0)?.full;
    }
    Ok(())
}

/// Everything was written: the end of a connection that closes, a hint for one that was behind.
fn handle_flushed(io: &mut Io, id: ConnId) {
    let Some(conn) = find(&mut io.conns, id) else { return };
    if conn.state == State::Flushing {
        let reason = conn.reason;
        // Who has closed its side may still read, and TLS says good-bye.
        let is_broken = conn.transport.shutdown_write().is_err();
        if conn.end_seen || is_broken {
            io.close(id, reason);
        } else {
            conn.state = State::Lingering;
        }
    } else if std::mem::take(&mut conn.behind) {
        io.drained.push(id);
    }
}

/// Requests are read again when half of the soft limit is free: not at the limit itself, where
/// every answer would pause the connection again.
fn end_output_pause(io: &mut Io, id: ConnId, output_len: usize) {
    let Some(conn) = find(&mut io.conns, id) else { return };
    if conn.output_paused && output_len <= io.config.output_soft_bytes / 2 {
        conn.output_paused = false;
        io.end_pause(id);
    }
}
