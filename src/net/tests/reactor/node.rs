//! A reactor on a thread with a handler that echoes and reports. Knows no single test.

use std::cell::RefCell;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aldis_net::{
    Admit, CloseReason, Config, ConnId, Counters, Handler, Io, Lane, Listeners, MailLimits,
    MailSender, Reactor, Tls, listen, mailbox,
};
use aldis_wire::{Code, Command, Frame, FrameError, HEADER_LEN, Header, OutFrame, parse_frame};
use socket2::SockRef;

/// Longer than anything in a test takes; only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the handler was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Open(ConnId),
    Frame(ConnId, u32),
    Error(ConnId, FrameError),
    HalfClosed(ConnId),
    Drained(ConnId),
    Closed(ConnId, CloseReason),
}

/// Echoes every frame with cmd + 1, unless told to wait.
pub struct Echo {
    events: Sender<Event>,
    /// Frames still taken before all others have to wait.
    pub admitted: usize,
    /// Frames are taken without an answer.
    pub silent: bool,
    /// Half-closed connections stay open.
    pub keep_half_closed: bool,
    /// Called when set.
    pub deadline: Option<Instant>,
    pub timeouts: usize,
}

type Mail = Box<dyn FnOnce(&mut Io, &mut Echo) + Send>;

impl Handler for Echo {
    type Mail = Mail;

    fn handle_open(&mut self, _: &mut Io, conn: ConnId, _: SocketAddr) {
        self.report(Event::Open(conn));
    }

    fn handle_frame(&mut self, io: &mut Io, conn: ConnId, frame: Frame<'_>) -> Admit {
        if self.admitted == 0 {
            return Admit::Wait;
        }
        self.admitted -= 1;
        if frame.header.cmd == Command::Login.id() {
            io.set_logged_in(conn);
        }
        self.report(Event::Frame(conn, frame.header.seq));
        if !self.silent {
            let header = Header { cmd: frame.header.cmd + 1, ..frame.header };
            let body = frame.body.to_vec().into();
            let _ = io.send(conn, OutFrame::new(&header.encode(), body), Lane::Reply);
        }
        Admit::Taken
    }

    fn handle_frame_error(&mut self, io: &mut Io, conn: ConnId, error: FrameError) {
        self.report(Event::Error(conn, error));
        if let Some(header) = error.header() {
            let answer = OutFrame::error(header.cmd, header.seq, Code::BadFrame, "bad", 0);
            let _ = io.send(conn, answer, Lane::Reply);
        }
    }

    fn handle_half_closed(&mut self, io: &mut Io, conn: ConnId) {
        self.report(Event::HalfClosed(conn));
        if !self.keep_half_closed {
            io.close_after_flush(conn, CloseReason::Peer);
        }
    }

    fn handle_closed(&mut self, _: &mut Io, conn: ConnId, reason: CloseReason) {
        self.report(Event::Closed(conn, reason));
    }

    fn handle_drained(&mut self, _: &mut Io, conn: ConnId) {
        self.report(Event::Drained(conn));
    }

    fn handle_mail(&mut self, io: &mut Io, mail: Mail) {
        mail(io, self);
    }

    fn handle_timeout(&mut self, _: &mut Io) {
        self.deadline = None;
        self.timeouts += 1;
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    fn handle_turn_end(&mut self, _: &mut Io) {}
}

impl Echo {
    fn report(&self, event: Event) {
        // A test that has seen enough no longer listens.
        let _ = self.events.send(event);
    }
}

/// A running reactor. It stops when dropped.
pub struct Node {
    pub address: SocketAddr,
    pub mail: MailSender<Mail>,
    events: Receiver<Event>,
    /// Events that were seen, in order.
    passed: RefCell<Vec<Event>>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    pub fn start(config: Config) -> Node {
        Node::run(config, listen("127.0.0.1:0".parse().unwrap(), 1).unwrap(), None)
    }

    /// The same with encrypted connections.
    pub fn start_tls(config: Config, tls: Arc<Tls>) -> Node {
        Node::run(config, listen("127.0.0.1:0".parse().unwrap(), 1).unwrap(), Some(tls))
    }

    /// The same with a kernel that buffers little: connections inherit the size.
    pub fn start_with_send_buffer(config: Config, bytes: usize) -> Node {
        let listeners = listen("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        SockRef::from(&listeners.sockets[0]).set_send_buffer_size(bytes).unwrap();
        Node::run(config, listeners, None)
    }

    fn run(config: Config, mut listeners: Listeners, tls: Option<Arc<Tls>>) -> Node {
        let limits = MailLimits { reserved_max: 1000, best_effort_weight_max: 1000 };
        let (mail, receiver) = mailbox(limits);
        let (events, seen) = channel();
        let echo = Echo {
            events,
            admitted: usize::MAX,
            silent: false,
            keep_half_closed: false,
            deadline: None,
            timeouts: 0,
        };
        let listener = listeners.sockets.pop().unwrap();
        let reactor = Reactor::new(config, listener, tls, receiver, echo).unwrap();
        let run = move || {
            reactor.run().unwrap();
        };
        let thread = Some(std::thread::spawn(run));
        Node { address: listeners.address, mail, events: seen, passed: RefCell::default(), thread }
    }

    /// A client, and the reactor's name for it.
    pub fn connect(&self) -> (Client, ConnId) {
        let client = Client::connect(self.address);
        let id = self.wait(|event| match event {
            Event::Open(conn) => Some(*conn),
            _ => None,
        });
        (client, id)
    }

    /// The same with a LOGIN that was answered.
    pub fn log_in(&self) -> (Client, ConnId) {
        let (mut client, id) = self.connect();
        client.send(&request(Command::Login.id(), 1, b""));
        assert_eq!(client.receive().unwrap().0.seq, 1);
        (client, id)
    }

    /// Runs `job` on the reactor and waits for what it returns.
    pub fn call<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Io, &mut Echo) -> R + Send + 'static,
    ) -> R {
        let (done, result) = channel();
        let mail: Mail = Box::new(move |io, echo| drop(done.send(job(io, echo))));
        assert!(self.mail.post(mail).is_ok(), "the mailbox has room");
        result.recv_timeout(PATIENCE).unwrap()
    }

    pub fn counters(&self) -> Counters {
        self.call(|io, _| io.counters().clone())
    }

    /// The next event for which `pick` has an answer; others are passed over.
    pub fn wait<R>(&self, mut pick: impl FnMut(&Event) -> Option<R>) -> R {
        loop {
            let event = self.events.recv_timeout(PATIENCE).unwrap();
            let result = pick(&event);
            self.passed.borrow_mut().push(event);
            if let Some(result) = result {
                return result;
            }
        }
    }

    /// Everything that the handler was told so far.
    pub fn events(&self) -> Vec<Event> {
        self.call(|_, _| ());
        self.passed.borrow_mut().extend(self.events.try_iter());
        self.passed.borrow().clone()
    }

    /// Asks the reactor until the answer is yes.
    pub fn until(&self, question: impl Fn(&mut Io, &mut Echo) -> bool + Clone + Send + 'static) {
        let begin = Instant::now();
        while !self.call(question.clone()) {
            assert!(begin.elapsed() < PATIENCE, "it does not come true");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn wait_for(&self, wanted: Event) {
        self.wait(|event| (*event == wanted).then_some(()));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.mail.post(Box::new(|io, _| io.stop()));
        let result = self.thread.take().unwrap().join();
        assert!(result.is_ok() || std::thread::panicking(), "the reactor panicked");
    }
}

/// A blocking client.
pub struct Client {
    pub stream: TcpStream,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next frame; `None` if the server closed.
    pub fn receive(&mut self) -> Option<(Header, Vec<u8>)> {
        receive_from(&mut self.stream)
    }

    /// Receives the answers to `seqs`, in this order.
    pub fn expect_seqs(&mut self, seqs: impl IntoIterator<Item = u32>) {
        for seq in seqs {
            assert_eq!(self.receive().map(|(header, _)| header.seq), Some(seq));
        }
    }

    /// Reads until the server closes; true if it did so in order, false if it reset.
    pub fn read_to_end(&mut self) -> bool {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => true,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("the connection stays open")
            }
            Err(_) => false,
        }
    }
}

/// The next frame; `None` if the server closed.
pub fn receive_from(stream: &mut impl Read) -> Option<(Header, Vec<u8>)> {
    let mut bytes = vec![0; HEADER_LEN];
    match stream.read_exact(&mut bytes) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("nothing came"),
        Err(_) => return None,
    }
    let header = Header::decode(bytes.first_chunk().unwrap(), usize::MAX).unwrap();
    bytes.resize(HEADER_LEN + header.len as usize, 0);
    stream.read_exact(&mut bytes[HEADER_LEN..]).unwrap();
    let frame = parse_frame(&bytes, usize::MAX).unwrap().unwrap();
    Some((frame.header, frame.body.to_vec()))
}

/// The bytes of a request.
pub fn request(cmd: u16, seq: u32, body: &[u8]) -> Vec<u8> {
    let header = Header { cmd, code: 0, seq, len: body.len() as u32 };
    [&header.encode()[..], body].concat()
}

/// The bytes of a HEARTBEAT with a body of this size.
pub fn heartbeat(seq: u32, body_len: usize) -> Vec<u8> {
    request(Command::Heartbeat.id(), seq, &vec![seq as u8; body_len])
}
