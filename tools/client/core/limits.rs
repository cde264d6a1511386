//! Limits and times of the client core, each with its reason. Times are milliseconds.

use aldis_wire::limits;

/// How long an entry above local + 1 waits for the gap to fill before MSG_SYNC: commits of several
/// servers overtake each other by a round trip, and a sync costs more than that wait.
pub const GAP_WAIT_MS: u64 = 100;
/// Longest pause between two syncs that brought nothing.
pub const SYNC_PAUSE_MS_MAX: u64 = 5_000;
/// Entries of one stream that wait for a gap; what does not fit is fetched by the sync.
pub const WAITING_ENTRIES_MAX: usize = 1_024;
/// Bytes of the same.
pub const WAITING_BYTES_MAX: usize = 4 << 20;
/// Streams of one session: the mailbox and every group a user can be in.
pub const STREAMS_MAX: usize = 1 + limits::GROUPS_PER_USER_MAX;

/// Messages accepted by `send` and not yet answered or refused; then it says `WouldBlock`.
pub const OUTBOX_SENDS_MAX: usize = 4_096;
/// Bytes of the same.
pub const OUTBOX_BYTES_MAX: usize = 32 << 20;
/// Sends on the wire at once, if the configuration does not say.
pub const WINDOW_DEFAULT: usize = 64;
/// Largest window: the server's limit less room for syncs, heartbeats and other requests.
pub const WINDOW_MAX: usize = limits::PIPELINED_REQUESTS_MAX - 32;
/// Bytes of sends on the wire at once; one larger message still goes alone.
pub const WINDOW_BYTES_MAX: usize = 4 << 20;
/// Answers INTERNAL after which a send is given up: the server says that trying again is no use.
pub const INTERNAL_RETRIES_MAX: u32 = 3;

/// Other requests accepted and not yet answered; then `request` says `WouldBlock`.
pub const REQUESTS_MAX: usize = 256;
/// Other requests on the wire at once.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 16;
/// Encoded bytes waiting for the socket before more frames are made.
pub const OUT_BYTES_SOFT_MAX: usize = 256 << 10;
/// Events that wait to be taken before no further sync page is asked for.
pub const EVENTS_SOFT_MAX: usize = 4_096;

/// Time for a TCP connection to open.
pub const CONNECT_MS_MAX: u64 = 10_000;
/// Silence of the server while something is unanswered, after which the connection counts as dead.
pub const SILENCE_MS_MAX: u64 = 15_000;
/// Time for any answer; a server that talks but never answers this request is left as well.
pub const ANSWER_MS_MAX: u64 = 60_000;
/// First pause before a reconnect or a retry without `retry_after_ms`.
pub const BACKOFF_MS_MIN: u64 = 100;
/// Longest such pause.
pub const BACKOFF_MS_MAX: u64 = 30_000;
/// Longest pause before a send is retried: people wait for it.
pub const SEND_RETRY_MS_MAX: u64 = 2_000;
/// Longest pause that a server may ask for.
pub const RETRY_AFTER_MS_MAX: u64 = 60_000;
/// After GOAWAY: how long unanswered requests are waited for before leaving.
pub const GOAWAY_GRACE_MS: u64 = 2_000;
/// Shortest interval of heartbeats, whatever the server says.
pub const HEARTBEAT_MS_MIN: u64 = 1_000;
/// Longest interval of heartbeats, whatever the server says.
pub const HEARTBEAT_MS_MAX: u64 = 600_000;
/// Interval if the server does not say.
pub const HEARTBEAT_MS_DEFAULT: u64 = 30_000;
/// MARK_DELIVERED goes out once so many entries are unmarked ...
pub const MARK_ENTRIES: u64 = 64;
/// ... or the first of them is this old.
pub const MARK_MS: u64 = 1_000;

const _: () = assert!(BACKOFF_MS_MIN < SEND_RETRY_MS_MAX && SEND_RETRY_MS_MAX < BACKOFF_MS_MAX);
const _: () = assert!(WINDOW_DEFAULT <= WINDOW_MAX);
const _: () =
    assert!(REQUESTS_IN_FLIGHT_MAX + 8 < 32, "windows and requests fit the server's limit");
const _: () = assert!(WAITING_BYTES_MAX > limits::BODY_BYTES_MAX);
