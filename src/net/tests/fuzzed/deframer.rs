//! Any bytes in any chunks into a real reactor: its handler gets the frames that are in them, each
//! once, whatever the chunks are and whichever frames had to wait, and an error where they end.
//!
//! The first byte says how many chunk sizes follow; then come the sizes, which frames have to wait at
//! first, after how many frames the login was complete, and the bytes of the connection.

use std::cell::RefCell;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use aldis_net::{
    Admit, CloseReason, Config, Handler, Io, MailLimits, MailSender, Reactor, mailbox,
};
use aldis_wire::limits::{BODY_BEFORE_LOGIN_BYTES_MAX, BODY_BYTES_MAX};
use aldis_wire::{ConnId, Frame, FrameError, HEADER_LEN, MAGIC, parse_frame};

/// Turns within which the reactor has read what was sent.
const TURNS_MAX: usize = 10_000;

/// What came of the bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Story {
    /// Command, number and body of each frame.
    frames: Vec<(u16, u32, Vec<u8>)>,
    error: Option<FrameError>,
    /// The stream ended, and all before was handled.
    is_ended: bool,
}

/// How the handler answers.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    /// Bit n % 8: frame n has to wait at first.
    waits: u8,
    /// From this frame on the limits of members hold.
    login_at: usize,
}

#[derive(Debug, Default)]
struct Record {
    story: Story,
    plan: Plan,
    conn: Option<ConnId>,
    is_waiting: bool,
    has_waited: bool,
    is_closed: bool,
    bytes_in: u64,
}

struct Recorder(Rc<RefCell<Record>>);

impl Handler for Recorder {
    type Mail = ();

    fn handle_open(&mut self, _: &mut Io, conn: ConnId, _: SocketAddr) {
        self.0.borrow_mut().conn = Some(conn);
    }

    fn handle_frame(&mut self, io: &mut Io, conn: ConnId, frame: Frame<'_>) -> Admit {
        let record = &mut *self.0.borrow_mut();
        let number = record.story.frames.len();
        if record.plan.waits >> (number % 8) & 1 == 1 && !record.has_waited {
            (record.is_waiting, record.has_waited) = (true, true);
            return Admit::Wait;
        }
        record.has_waited = false;
        if number == record.plan.login_at {
            io.set_logged_in(conn);
        }
        record.story.frames.push((frame.header.cmd, frame.header.seq, frame.body.to_vec()));
        Admit::Taken
    }

    fn handle_frame_error(&mut self, _: &mut Io, _: ConnId, error: FrameError) {
        let before = self.0.borrow_mut().story.error.replace(error);
        assert_eq!(before, None, "a connection has one end");
    }

    fn handle_half_closed(&mut self, io: &mut Io, conn: ConnId) {
        self.0.borrow_mut().story.is_ended = true;
        io.close_after_flush(conn, CloseReason::Peer);
    }

    fn handle_closed(&mut self, _: &mut Io, _: ConnId, reason: CloseReason) {
        assert_ne!(reason, CloseReason::LoginDeadline, "the reactor waits for bytes that came");
        self.0.borrow_mut().is_closed = true;
    }

    fn handle_drained(&mut self, _: &mut Io, _: ConnId) {}
    fn handle_mail(&mut self, _: &mut Io, (): ()) {}
    fn handle_timeout(&mut self, _: &mut Io) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_turn_end(&mut self, io: &mut Io) {
        let record = &mut *self.0.borrow_mut();
        if let Some(conn) = record.conn.filter(|_| std::mem::take(&mut record.is_waiting)) {
            io.resume(conn);
        }
    }

    fn handle_flushed(&mut self, io: &Io) {
        self.0.borrow_mut().bytes_in = io.counters().bytes_in;
    }
}

/// A reactor that outlives an input: a new one would cost more than the input.
struct Stage {
    reactor: Reactor<Recorder>,
    record: Rc<RefCell<Record>>,
    address: SocketAddr,
    _mail: MailSender<()>,
}

impl Stage {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("it can be set");
        let address = listener.local_addr().expect("it is bound");
        let (sender, mail) = mailbox(MailLimits { reserved_max: 1, best_effort_weight_max: 1 });
        let record = Rc::<RefCell<Record>>::default();
        let config = Config {
            linger_deadline: Duration::from_millis(200),
            // Far above what an input takes, also when the process stands still for a while.
            login_deadline: Duration::from_secs(60),
            frame_deadline: Duration::from_secs(60),
            strangers_percent: 100,
            ..Config::default()
        };
        let reactor = Reactor::new(config, listener, None, mail, Recorder(record.clone()));
        let reactor = reactor.expect("a poll and a listener");
        Self { reactor, record, address, _mail: sender }
    }

    /// Turns until it is so.
    fn turn_until(&mut self, what: &str, is_so: impl Fn(&Record) -> bool) {
        for _ in 0..TURNS_MAX {
            if is_so(&self.record.borrow()) {
                return;
            }
            self.reactor.turn().expect("the poll works");
        }
        panic!("{what} did not come: {:?}", self.record.borrow());
    }

    fn play(&mut self, plan: Plan, sizes: &[u8], bytes: &[u8]) -> Story {
        let begin = self.record.borrow().bytes_in;
        *self.record.borrow_mut() = Record { plan, bytes_in: begin, ..Record::default() };
        let mut client = TcpStream::connect(self.address).expect("the reactor listens");
        client.set_nodelay(true).expect("it can be set");
        self.turn_until("the connection", |record| record.conn.is_some());
        let mut sizes = sizes.iter().map(|size| 1 + usize::from(*size)).cycle();
        let (mut rest, mut sent) = (bytes, 0);
        while !rest.is_empty() {
            let size = sizes.next().unwrap_or(rest.len()).min(rest.len());
            let (chunk, later) = rest.split_at(size);
            rest = later;
            if client.write_all(chunk).is_err() {
                break;
            }
            sent += chunk.len() as u64;
            self.turn_until("the chunk", |record| {
                let is_read = record.bytes_in - begin >= sent && !record.is_waiting;
                is_read || record.story.error.is_some() || record.is_closed
            });
        }
        // The last frames may have waited.
        let _ = client.shutdown(Shutdown::Write);
        self.turn_until("the end", |record| {
            record.story.is_ended || record.story.error.is_some() || record.is_closed
        });
        let story = std::mem::take(&mut self.record.borrow_mut().story);
        drop(client);
        self.turn_until("the close", |record| record.is_closed);
        story
    }
}

/// What is in the bytes, read at once.
fn model(plan: Plan, bytes: &[u8]) -> Story {
    let mut story = Story::default();
    let mut rest = bytes;
    loop {
        let is_member = story.frames.len() > plan.login_at;
        let body_max = if is_member { BODY_BYTES_MAX } else { BODY_BEFORE_LOGIN_BYTES_MAX };
        match parse_frame(rest, body_max) {
            Ok(Some(Frame { header, body })) => {
                story.frames.push((header.cmd, header.seq, body.to_vec()));
                rest = &rest[HEADER_LEN + body.len()..];
            }
            Ok(None) => {
                story.is_ended = true;
                return story;
            }
            Err(error) => {
                story.error = Some(error);
                return story;
            }
        }
    }
}

thread_local! {
    static STAGE: RefCell<Stage> = RefCell::new(Stage::new());
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&count, rest)) = data.split_first() else { return };
    let (sizes, rest) = rest.split_at(usize::from(count).min(rest.len()));
    let &[waits, login_at, ref bytes @ ..] = rest else { return };
    let plan = Plan { waits, login_at: usize::from(login_at) };
    let mut story = STAGE.with_borrow_mut(|stage| stage.play(plan, sizes, bytes));
    let mut expected = model(plan, bytes);
    if expected.error.is_some() {
        // Whether the end is seen as well depends on what is left unread.
        expected.is_ended = story.is_ended;
    }
    forget_second_byte(&mut story);
    forget_second_byte(&mut expected);
    assert_eq!(story, expected);
}

/// A magic is refused from its first wrong byte on, whether the second has come or not.
fn forget_second_byte(story: &mut Story) {
    if let Some(FrameError::Magic(magic)) = &mut story.error
        && *magic >> 8 != MAGIC >> 8
    {
        *magic &= 0xff00;
    }
}
