//! Limits of a reactor, each with its reason. Knows no socket.

use std::time::Duration;

use aldis_wire::limits::{FRAME_MS_MAX, LOGIN_MS_MAX};

/// Limits of one reactor. All hold per reactor, not per process.
#[derive(Clone, Debug)]
pub struct Config {
    /// Queued output of a connection, bytes, above which its pushes are dropped and no further
    /// request of it is read: a slow reader costs this much and no more pushes.
    pub output_soft_bytes: usize,
    /// Queued output of a connection, bytes, above which it is closed. Replies to requests that
    /// were read before the soft limit was reached must fit between the two.
    pub output_hard_bytes: usize,
    /// Bytes read from one connection in one turn, at least 1; the rest waits for the next turn,
    /// so that no connection starves the others.
    pub read_bytes_per_turn: usize,
    /// Frames of one connection per second over ten of them; who sends more is not read for a second.
    /// 0 is no limit. Whether it holds for an address, the handler says.
    pub frames_per_second: u16,
    /// The same for one that is not logged in: a frame counts, and a visit that brought none. Six times as
    /// many at once: a TLS handshake, a login and a few more.
    pub stranger_frames_per_second: u16,
    /// Bytes written to one connection in one turn, at least 1, for the same reason. It is checked
    /// between system calls, each of which ends where the kernel's buffer does.
    pub write_bytes_per_turn: usize,
    /// Connections accepted in one turn, at least 1. One, if those that were accepted before have more to
    /// say than there is time for. The kernel keeps the others meanwhile.
    pub accepts_per_turn: usize,
    /// Share of the reactor's time for those who are not logged in, percent, 1 to 100: for accepting
    /// them, agreeing on keys and their frames. So who is in is served, however many knock, and other
    /// threads of the core get their time. While nobody else wants anything all of it is theirs.
    pub strangers_percent: u8,
    /// Mails taken from each lane in one turn, at least 1.
    pub mails_per_turn: usize,
    /// Open connections; further ones are accepted and closed at once.
    pub connections_max: usize,
    /// Connections that may be agreeing on keys at the same time; further ones are accepted and closed
    /// at once. Each holds up to `login_deadline`.
    pub handshakes_max: usize,
    /// Pause of accepting after the process ran out of descriptors or memory.
    pub accept_pause: Duration,
    /// Time from connecting to `Io::set_logged_in`.
    pub login_deadline: Duration,
    /// Time to complete a frame after its first byte, however steadily bytes arrive.
    pub frame_deadline: Duration,
    /// Time without a received byte after login.
    pub idle_deadline: Duration,
    /// Time without a sent byte while output is queued.
    pub write_stall_deadline: Duration,
    /// Time to flush and to hear the peer's end after `Io::close_after_flush`.
    pub linger_deadline: Duration,
    /// Turns longer than this are logged: everybody waited that long.
    pub turn_warn: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            output_soft_bytes: 128 << 10,
            output_hard_bytes: 4 << 20,
            read_bytes_per_turn: 256 << 10,
            frames_per_second: 0,
            stranger_frames_per_second: 0,
            write_bytes_per_turn: 1 << 20,
            accepts_per_turn: 8,
            strangers_percent: 20,
            mails_per_turn: 256,
            connections_max: 200_000,
            handshakes_max: 4096,
            accept_pause: Duration::from_millis(100),
            login_deadline: Duration::from_millis(LOGIN_MS_MAX),
            frame_deadline: Duration::from_millis(FRAME_MS_MAX),
            idle_deadline: Duration::from_secs(150),
            write_stall_deadline: Duration::from_secs(30),
            linger_deadline: Duration::from_secs(5),
            turn_warn: Duration::from_millis(100),
        }
    }
}

impl Config {
    /// Asserts what the reactor relies on; called when it is built, before any peer can connect.
    pub(crate) fn assert_valid(&self) {
        assert!(self.output_soft_bytes <= self.output_hard_bytes, "soft is at most hard");
        assert!(self.read_bytes_per_turn > 0, "a turn reads something");
        assert!(self.write_bytes_per_turn > 0, "a turn writes something");
        assert!(self.accepts_per_turn > 0, "a turn accepts something");
        assert!(self.mails_per_turn > 0, "a turn takes some mail");
        assert!((1..=100).contains(&self.strangers_percent), "strangers have a share");
        assert!(self.connections_max < u32::MAX as usize - 1, "indexes fit 32 bits");
    }
}

#[cfg(test)]
mod tests {
    use aldis_wire::limits::BODY_BYTES_MAX;

    use super::*;

    #[test]
    fn by_default_two_of_the_largest_frames_fit_above_the_soft_limit() {
        let config = Config::default();
        config.assert_valid();
        assert!(config.output_hard_bytes - config.output_soft_bytes > 2 * (BODY_BYTES_MAX + 16));
    }
}
