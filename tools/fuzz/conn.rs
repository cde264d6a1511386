//! One connection of a case: frames out, frames in, what was asked and is not answered yet. Hands every
//! frame of the server to the judge.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use aldis_wire::limits::{BODY_BEFORE_LOGIN_BYTES_MAX, BODY_BYTES_MAX};
use aldis_wire::{Code, Command, HEADER_LEN, Header, parse_frame};

use crate::case::{Cut, End, Frame, State};
use crate::coverage::{Answer, Cell};
use crate::finding::{Kind, Problem};
use crate::judge::{Context, Judge};
use crate::stream::{Stream, Target};

/// Longest time for an answer: far above what a server under this load takes.
pub const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Where the server may understand something else than was meant, silence of this length is an answer.
const QUIET: Duration = Duration::from_millis(8);
/// Numbers of requests begin here, so that small ones in damaged headers are none of them.
const FIRST_SEQ: u32 = 0x0100_0000;

/// A frame of the server.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its header.
    pub header: Header,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Its code; INTERNAL for one that there is not.
    pub fn code(&self) -> Code {
        Code::from_u16(self.header.code).unwrap_or(Code::Internal)
    }
}

/// A request without an answer.
#[derive(Clone, Copy, Debug)]
struct Asked {
    cmd: u16,
    state: State,
    is_framed: bool,
    wanted: Option<u16>,
}

/// What connections of a case saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Answers, in their order.
    pub cells: Vec<Cell>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Codes that a recipe was there for and that did not come.
    pub missed: Vec<String>,
}

/// See the file's first line.
#[derive(Debug)]
pub struct Conn {
    stream: Stream,
    inbox: Vec<u8>,
    /// Of frames that are sent now.
    pub state: State,
    /// Who is logged in.
    pub user: Option<u64>,
    asked: BTreeMap<u32, Asked>,
    next_seq: u32,
    is_wild: bool,
    /// The client or the server has done something after which the server closes.
    may_close: bool,
    /// The server has closed, or the connection is broken.
    pub is_closed: bool,
}

impl Conn {
    /// Connects.
    pub fn connect(target: &Target, source: u16) -> io::Result<Self> {
        Ok(Self {
            stream: Stream::connect(target, source)?,
            inbox: Vec::new(),
            state: State::Fresh,
            user: None,
            asked: BTreeMap::new(),
            next_seq: FIRST_SEQ,
            is_wild: false,
            may_close: false,
            is_closed: false,
        })
    }

    /// Sends a frame with this body.
    pub fn send(&mut self, frame: &Frame, body: &[u8], seen: &mut Seen) {
        let seq = self.next_seq;
        self.next_seq += 1;
        let header = Header { cmd: frame.cmd, code: 0, seq, len: body.len() as u32 };
        let mut bytes = header.encode().to_vec();
        for (at, value) in &frame.head {
            if let Some(byte) = bytes.get_mut(usize::from(*at)) {
                *byte = *value;
            }
        }
        bytes.extend_from_slice(body);
        let is_small = body.len() <= BODY_BEFORE_LOGIN_BYTES_MAX || self.state == State::LoggedIn;
        let is_framed = frame.is_framed() && is_small && body.len() <= BODY_BYTES_MAX;
        let asked = Asked { cmd: frame.cmd, state: self.state, is_framed, wanted: frame.wanted };
        self.is_wild |= !is_framed;
        self.may_close |= !is_framed || frame.cmd == Command::Logout.id();
        if is_framed {
            self.asked.insert(seq, asked);
        }
        if frame.cmd == Command::Login.id() && self.state == State::Fresh {
            self.state = State::LoggingIn;
        }
        if !self.is_closed && self.write(&bytes, frame.cut).is_err() {
            // What it said before it closed may still be there.
            self.take(seen);
            self.is_closed = true;
        }
        // What is still to be read may hold answers.
        if self.is_closed && self.inbox.is_empty() {
            self.note_closed(seen);
        }
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8], seen: &mut Seen) {
        self.is_wild = true;
        self.may_close = true;
        if !self.is_closed && self.write(bytes, Cut::Whole).is_err() {
            self.take(seen);
            self.is_closed = true;
        }
    }

    fn write(&mut self, bytes: &[u8], cut: Cut) -> io::Result<()> {
        let Self { stream, inbox, .. } = self;
        match cut {
            Cut::Whole => stream.send(bytes, inbox),
            Cut::At(at) => {
                let (head, tail) = bytes.split_at((at as usize).min(bytes.len()));
                stream.send(head, inbox)?;
                stream.send(tail, inbox)
            }
            // The pieces of what is long are longer: this is about boundaries, not about time.
            Cut::Pieces(len) => {
                let len = (len.max(1) as usize).max(bytes.len() / 512);
                bytes.chunks(len).try_for_each(|piece| stream.send(piece, inbox))
            }
            Cut::Stop(len) => stream.send(&bytes[..(len as usize).min(bytes.len())], inbox),
        }
    }

    /// Reads what is there. Replies to what was asked are returned.
    pub fn receive(&mut self, judge: &Judge, seen: &mut Seen) -> Vec<Reply> {
        if !self.is_closed {
            self.take(seen);
        }
        let mut replies = Vec::new();
        loop {
            let frame = match parse_frame(&self.inbox, BODY_BYTES_MAX) {
                Ok(None) => break,
                Ok(Some(frame)) => Reply { header: frame.header, body: frame.body.to_vec() },
                Err(error) => {
                    let what = format!("the server sends what is no frame: {error}");
                    seen.problems.push(Problem::new(Kind::BadReply, "frame", what));
                    self.inbox.clear();
                    self.is_closed = true;
                    break;
                }
            };
            self.inbox.drain(..HEADER_LEN + frame.body.len());
            self.handle(judge, &frame, seen);
            replies.push(frame);
        }
        if self.is_closed {
            self.note_closed(seen);
        }
        replies
    }

    fn take(&mut self, seen: &mut Seen) {
        match self.stream.receive(&mut self.inbox) {
            Ok(true) => {}
            Ok(false) => {
                self.is_closed = true;
                let is_told = self.is_wild || self.may_close || self.state != State::LoggedIn;
                // What stands before the end in the stream may be the reason.
                let has_reason =
                    self.inbox.windows(2).any(|w| w == Command::KickNotify.id().to_be_bytes());
                if !is_told && !has_reason && !self.asked.is_empty() {
                    let what = "the server closed a connection that asked and gave no reason to";
                    seen.problems.push(Problem::new(Kind::ClosedWithoutReason, "", what));
                }
            }
            // A reset: what the server said last may be lost.
            Err(_) => self.is_closed = true,
        }
    }

    fn handle(&mut self, judge: &Judge, reply: &Reply, seen: &mut Seen) {
        let Header { cmd, seq, .. } = reply.header;
        let is_notification = seq == 0 && Command::NOTIFICATIONS.iter().any(|c| c.id() == cmd);
        let asked = if is_notification { None } else { self.asked.remove(&seq) };
        let is_login = |asked: &Asked| asked.cmd == Command::Login.id();
        let may_be_login = self.is_wild || self.asked.values().any(is_login);
        let context = Context {
            state: asked.map_or(self.state, |asked| asked.state),
            user: self.user,
            may_be_login,
            is_wild: self.is_wild,
            asked: asked.map(|asked| asked.cmd),
            is_framed: asked.is_some_and(|asked| asked.is_framed),
        };
        seen.problems.extend(judge.judge(&context, reply.header, &reply.body));
        let code = reply.code();
        self.may_close |= code == Code::BadFrame || is_notification && is_last(cmd);
        if cmd == Command::LoginResp.id() && code == Code::Ok {
            self.note_login(judge, &reply.body);
        } else if cmd == Command::LoginResp.id() && self.state == State::LoggingIn {
            self.state = State::Fresh;
        }
        let Some(asked) = asked else { return };
        let Some(command) = Command::request(asked.cmd) else { return };
        if asked.is_framed && !self.is_wild {
            seen.cells.push(Cell { state: asked.state, command, answer: Answer::Code(code) });
        }
        if let Some(wanted) = asked.wanted.filter(|wanted| *wanted != reply.header.code) {
            let wanted = Code::from_u16(wanted).map_or("?", Code::name);
            let said = judge.table.error(&reply.body).filter(|_| code != Code::Ok);
            let said = said.map_or(String::new(), |error| format!(" {error}"));
            seen.missed.push(format!("{command:?}: {code} instead of {wanted}{said}"));
        }
    }

    fn note_login(&mut self, judge: &Judge, body: &[u8]) {
        let message = judge.table.response(Command::Login, body);
        let id = message.and_then(|message| message.get_field_by_name("user_id")?.as_u64());
        self.user = id.or(self.user);
        if !self.state.is_over() {
            self.state = State::LoggedIn;
        }
    }

    /// What was asked on a connection that is over gets nothing.
    fn note_closed(&mut self, seen: &mut Seen) {
        for asked in std::mem::take(&mut self.asked).into_values() {
            if let Some(command) = Command::request(asked.cmd).filter(|_| asked.state.is_over()) {
                let answer = Answer::Closed;
                seen.cells.push(Cell { state: asked.state, command, answer });
            }
        }
    }

    /// Waits until whatever was asked is answered, or the connection is closed.
    pub fn wait(&mut self, judge: &Judge, seen: &mut Seen) -> Vec<Reply> {
        let deadline = Instant::now() + ANSWER_MAX;
        let mut replies = self.receive(judge, seen);
        while !self.is_closed && (!self.asked.is_empty() || self.is_wild) {
            let pause = if self.is_wild { QUIET } else { Duration::from_millis(200) };
            let _ = self.stream.wait(true, false, pause);
            let new = self.receive(judge, seen);
            let is_quiet = new.is_empty();
            replies.extend(new);
            if self.is_wild && is_quiet {
                break;
            }
            if Instant::now() >= deadline {
                self.note_silence(seen);
                break;
            }
        }
        replies
    }

    fn note_silence(&mut self, seen: &mut Seen) {
        let asked = std::mem::take(&mut self.asked).into_values().next();
        // What comes later is no surprise.
        self.is_wild = true;
        if let Some(asked) = asked {
            let command = Command::request(asked.cmd);
            let name = command.map_or(format!("{:#06x}", asked.cmd), |c| format!("{c:?}"));
            let what = format!("{name} has no answer after {ANSWER_MAX:?}");
            seen.problems.push(Problem::new(Kind::NoAnswer, name, what));
        }
    }

    /// Waits for something to arrive, or for the time to be over.
    pub fn wait_readable(&self, time: Duration) {
        let _ = self.stream.wait(true, false, time);
    }

    /// Waits until the server has closed.
    pub fn wait_closed(&mut self, judge: &Judge, seen: &mut Seen) {
        let deadline = Instant::now() + ANSWER_MAX;
        while !self.is_closed && Instant::now() < deadline {
            self.wait_readable(Duration::from_millis(200));
            self.receive(judge, seen);
        }
    }

    /// Whether nothing that was asked waits for its answer.
    pub fn is_answered(&self) -> bool {
        self.is_closed || self.asked.is_empty()
    }

    /// The server may close now without another word.
    pub fn allow_close(&mut self) {
        self.may_close = true;
    }

    /// Ends the client's side; the connection if nothing can come any more.
    pub fn finish(mut self, how: End) -> Option<Self> {
        match how {
            End::Half => {
                self.stream.half_close();
                self.may_close = true;
                Some(self)
            }
            End::Reset => {
                self.stream.reset();
                None
            }
            End::Close => None,
        }
    }
}

/// Whether the server closes after this notification, or the client may have to.
fn is_last(cmd: u16) -> bool {
    cmd == Command::KickNotify.id() || cmd == Command::GoawayNotify.id()
}
