//! A client that sends what a test says, well-formed or not. Blocking, one connection. What it
//! receives must conform to PROTOCOL.md.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use aldis_wire::limits::BODY_BYTES_MAX;
use aldis_wire::{Code, Command, DeviceClass, HEADER_LEN, Header, Message, parse_frame, pb};
use socket2::{Domain, SockRef, Socket, Type};

use crate::SeededUser;
use crate::contract::assert_conforms;
use crate::requests::{login_body, register_body};

/// No answer after this time counts as none: far above what a loaded machine takes.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A frame from the server.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its header.
    pub header: Header,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Its code.
    pub fn code(&self) -> Code {
        Code::from_u16(self.header.code).expect("the server sends known codes")
    }

    /// Its body as a message.
    pub fn decode<M: Message + Default>(&self) -> M {
        M::decode(self.body.as_slice()).expect("the server's bodies decode")
    }

    /// The body of a response that must be OK.
    pub fn ok<M: Message + Default>(&self) -> M {
        assert_eq!(self.code(), Code::Ok, "{:?}", self.error());
        self.decode()
    }

    /// The body of a response with another code.
    pub fn error(&self) -> pb::Error {
        self.decode()
    }
}

/// See the file's first line.
pub struct RawClient {
    stream: TcpStream,
    received: Vec<u8>,
    /// Frames that arrived while another one was waited for, in their order.
    kept: VecDeque<Reply>,
    next_seq: u32,
}

impl RawClient {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("the server accepts"))
    }

    /// Connects from 127.0.x.y, so that more connections than one address has ports are possible.
    pub fn connect_from(source: [u8; 2], address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor");
        let source = SocketAddr::from(([127, 0, source[0], source[1]], 0));
        socket.bind(&source.into()).expect("all of 127/8 is this machine");
        socket.connect(&address.into()).expect("the server accepts");
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a socket option");
        Self { stream, received: Vec::new(), kept: VecDeque::new(), next_seq: 1 }
    }

    /// Connects and logs in with a password; device id and class follow from the class.
    pub fn login(address: SocketAddr, user: &str, password: &str, class: DeviceClass) -> Self {
        let mut client = Self::connect(address);
        let reply = client.call(Command::Login, &login_body(user, password, class));
        assert_eq!(reply.code(), Code::Ok, "{user} logs in: {:?}", reply.error());
        client
    }

    /// Connects and logs in with the token of a seeded user.
    pub fn login_seeded(address: SocketAddr, user: &SeededUser) -> Self {
        let mut client = Self::connect(address);
        client.login_with_token(user);
        client
    }

    /// Logs in with the token of a seeded user.
    pub fn login_with_token(&mut self, user: &SeededUser) -> pb::LoginResp {
        self.call(Command::Login, &user.login_body()).ok()
    }

    /// Registers a user on a connection of its own; its id.
    pub fn register(address: SocketAddr, user: &str, password: &str) -> u64 {
        let mut client = Self::connect(address);
        client
            .call(Command::Register, &register_body(user, password))
            .ok::<pb::RegisterResp>()
            .user_id
    }

    /// The socket, for what no method does.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Sends bytes to a server that may close the connection meanwhile; whether it took them.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a request with any command id and body; its seq.
    pub fn send_raw(&mut self, cmd: u16, body: &[u8]) -> u32 {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.send_bytes(&frame(cmd, seq, body));
        seq
    }

    /// Sends a request; its seq.
    pub fn send(&mut self, command: Command, body: &impl Message) -> u32 {
        self.send_raw(command.id(), &body.encode_to_vec())
    }

    /// Sends a request and waits for its response; what arrives before it is kept.
    pub fn call(&mut self, command: Command, body: &impl Message) -> Reply {
        let seq = self.send(command, body);
        self.response(seq)
    }

    /// As `call`, with any command id and body.
    pub fn call_raw(&mut self, cmd: u16, body: &[u8]) -> Reply {
        let seq = self.send_raw(cmd, body);
        let reply = self.response(seq);
        assert_eq!(reply.header.cmd, cmd.wrapping_add(1), "a response's cmd");
        reply
    }

    /// Waits for the response with this seq; what arrives before it is kept.
    pub fn response(&mut self, seq: u32) -> Reply {
        self.take(|reply| reply.header.seq == seq)
    }

    /// Waits for a notification of this kind; what arrives before it is kept.
    pub fn notification(&mut self, command: Command) -> Reply {
        self.take(|reply| reply.header.cmd == command.id())
    }

    fn take(&mut self, is_wanted: impl Fn(&Reply) -> bool) -> Reply {
        if let Some(index) = self.kept.iter().position(&is_wanted) {
            return self.kept.remove(index).expect("it was found there");
        }
        loop {
            let reply = self.receive_new().expect("the connection is open");
            if is_wanted(&reply) {
                return reply;
            }
            self.kept.push_back(reply);
        }
    }

    /// The next frame; `None` when the server closed the connection.
    pub fn receive(&mut self) -> Option<Reply> {
        self.kept.pop_front().or_else(|| self.receive_new())
    }

    fn receive_new(&mut self) -> Option<Reply> {
        loop {
            let frame = parse_frame(&self.received, BODY_BYTES_MAX).expect("the server's frames");
            if let Some(frame) = frame {
                let reply = Reply { header: frame.header, body: frame.body.to_vec() };
                self.received.drain(..HEADER_LEN + reply.body.len());
                assert_conforms(&reply);
                return Some(reply);
            }
            let mut chunk = [0; 64 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(len) => self.received.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer: {error}"),
            }
        }
    }

    /// What arrived while something else was waited for, one by one.
    pub fn kept(&mut self) -> Option<Reply> {
        self.kept.pop_front()
    }

    /// Drops what arrived while something else was waited for.
    pub fn forget_kept(&mut self) {
        self.kept.clear();
    }

    /// Whether the server closes the connection without sending anything more.
    pub fn is_closed_silently(&mut self) -> bool {
        self.receive().is_none()
    }

    /// Ends the sending side; answers can still be received.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("it was open");
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        let socket = SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a socket option");
    }
}

/// A well-formed frame.
pub fn frame(cmd: u16, seq: u32, body: &[u8]) -> Vec<u8> {
    let header = Header { cmd, code: 0, seq, len: body.len() as u32 };
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(body);
    bytes
}
