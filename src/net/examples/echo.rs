//! The bar for the reactor: the least that a mio server of the same frames can do. Answers LOGIN
//! and HEARTBEAT, one read and one write per event; no sessions, no deadlines, no queues.
//!
//! `echo ADDRESS` prints the address it listens on and serves until its standard input ends.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use aldis_wire::{Code, Command, HEADER_LEN, Header, parse_frame, pb};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);
const BUFFER_BYTES: usize = 64 << 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: SocketAddr = std::env::args().nth(1).ok_or("usage: echo ADDRESS")?.parse()?;
    let mut listener = TcpListener::bind(address)?;
    println!("{}", listener.local_addr()?);
    exit_with_stdin();
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    // Slots are not used again: a measurement opens its connections once.
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut input = vec![0; BUFFER_BYTES];
    let mut output = Vec::with_capacity(BUFFER_BYTES);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let token = Token(streams.len());
                    poll.registry().register(&mut stream, token, Interest::READABLE)?;
                    streams.push(Some(stream));
                }
                continue;
            }
            let slot = &mut streams[event.token().0];
            let Some(stream) = slot else { continue };
            if answer(stream, &mut input, &mut output).is_err() {
                *slot = None;
            }
        }
    }
}

/// Frames that are cut by a read are an error here: the load generator sends small ones.
fn answer(stream: &mut TcpStream, input: &mut [u8], output: &mut Vec<u8>) -> Result<(), ()> {
    let len = stream.read(input).map_err(|_| ())?;
    if len == 0 {
        return Err(());
    }
    let mut rest = &input[..len];
    output.clear();
    while let Ok(Some(frame)) = parse_frame(rest, BUFFER_BYTES) {
        rest = &rest[HEADER_LEN + frame.body.len()..];
        let seq = frame.header.seq;
        if frame.header.cmd == Command::Heartbeat.id() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| ())?;
            let server_time_ms = now.as_millis() as u64;
            let body = pb::HeartbeatResp { head_seq: 1000, server_time_ms, heads: vec![] };
            push(output, Command::HeartbeatResp, seq, &body);
        } else {
            push(output, Command::LoginResp, seq, &pb::LoginResp::default());
        }
    }
    let written = stream.write(output).map_err(|_| ())?;
    if written == output.len() && rest.is_empty() { Ok(()) } else { Err(()) }
}

fn push(output: &mut Vec<u8>, command: Command, seq: u32, body: &impl aldis_wire::Message) {
    let len = body.encoded_len() as u32;
    let header = Header { cmd: command.id(), code: Code::Ok.as_u16(), seq, len };
    output.extend_from_slice(&header.encode());
    body.encode(output).expect("a Vec grows");
}

fn exit_with_stdin() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}
