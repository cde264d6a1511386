//! A client that sends what a test says, well-formed or not. Blocking, one connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use aldis_wire::limits::BODY_BYTES_MAX;
use aldis_wire::{Code, Command, DeviceClass, HEADER_LEN, Header, Message, parse_frame, pb};

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
}

/// See the file's first line.
pub struct RawClient {
    stream: TcpStream,
    received: Vec<u8>,
    next_seq: u32,
}

impl RawClient {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a socket option");
        Self { stream, received: Vec::new(), next_seq: 1 }
    }

    /// Connects and logs in with a password; device id and class follow from the class.
    pub fn login(address: SocketAddr, user: &str, password: &str, class: DeviceClass) -> Self {
        let mut client = Self::connect(address);
        let reply = client.call(Command::Login, &login_body(user, password, class));
        assert_eq!(reply.code(), Code::Ok, "{user} logs in");
        client
    }

    /// Registers a user on a connection of its own; its id.
    pub fn register(address: SocketAddr, user: &str, password: &str) -> u64 {
        let mut client = Self::connect(address);
        let body = pb::RegisterReq {
            username: user.into(),
            password: password.into(),
            nickname: String::new(),
            request_id: random_16().to_vec().into(),
        };
        let reply = client.call(Command::Register, &body);
        assert_eq!(reply.code(), Code::Ok, "{user} registers");
        reply.decode::<pb::RegisterResp>().user_id
    }

    /// The socket, for what no method does.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Sends a request with any command id and body; its seq.
    pub fn send_raw(&mut self, cmd: u16, body: &[u8]) -> u32 {
        let seq = self.next_seq;
        self.next_seq += 1;
        let header = Header { cmd, code: 0, seq, len: body.len() as u32 };
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(body);
        self.send_bytes(&bytes);
        seq
    }

    /// Sends a request; its seq.
    pub fn send(&mut self, command: Command, body: &impl Message) -> u32 {
        self.send_raw(command.id(), &body.encode_to_vec())
    }

    /// Sends a request and waits for its response; notifications before it are dropped.
    pub fn call(&mut self, command: Command, body: &impl Message) -> Reply {
        let seq = self.send(command, body);
        self.response(seq)
    }

    /// As `call`, with any command id and body.
    pub fn call_raw(&mut self, cmd: u16, body: &[u8]) -> Reply {
        let seq = self.send_raw(cmd, body);
        self.response(seq)
    }

    /// Waits for the response with this seq; everything before it is dropped.
    pub fn response(&mut self, seq: u32) -> Reply {
        loop {
            let reply = self.receive().expect("the connection is open");
            if reply.header.seq == seq {
                return reply;
            }
        }
    }

    /// Waits for a notification of this kind; everything before it is dropped.
    pub fn notification(&mut self, command: Command) -> Reply {
        loop {
            let reply = self.receive().expect("the connection is open");
            if reply.header.cmd == command.id() {
                return reply;
            }
        }
    }

    /// The next frame; `None` when the server closed the connection.
    pub fn receive(&mut self) -> Option<Reply> {
        loop {
            let frame = parse_frame(&self.received, BODY_BYTES_MAX).expect("the server's frames");
            if let Some(frame) = frame {
                let reply = Reply { header: frame.header, body: frame.body.to_vec() };
                self.received.drain(..HEADER_LEN + reply.body.len());
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

    /// Whether the server closes the connection without sending anything more.
    pub fn is_closed_silently(&mut self) -> bool {
        self.receive().is_none()
    }
}

/// A LOGIN by password.
pub fn login_body(user: &str, password: &str, class: DeviceClass) -> pb::LoginReq {
    pb::LoginReq {
        username: user.into(),
        password: password.into(),
        token: String::new(),
        device_id: format!("scenario-{}", class.number()),
        device_class: class.number() as i32,
        device_name: String::new(),
    }
}

/// An id for a request.
pub fn random_16() -> [u8; 16] {
    let mut id = [0; 16];
    getrandom::fill(&mut id).expect("the kernel gives random numbers");
    id
}
