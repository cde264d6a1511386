//! The same server as `echo`, on top of the reactor: what the reactor costs is the difference.
//!
//! `reactor_echo ADDRESS` prints the address it listens on and serves until its standard input
//! ends, then prints the counters to standard error.

use std::io::Read as _;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use aldis_net::{
    Admit, CloseReason, Config, ConnId, Handler, Io, Lane, MailLimits, Reactor, listen, mailbox,
};
use aldis_wire::{Command, Frame, FrameError, OutFrame, pb};

struct Echo;

/// The only mail: standard input has ended.
struct Stop;

impl Handler for Echo {
    type Mail = Stop;

    fn handle_open(&mut self, _: &mut Io, _: ConnId, _: SocketAddr) {}

    fn handle_frame(&mut self, io: &mut Io, conn: ConnId, frame: Frame<'_>) -> Admit {
        let seq = frame.header.seq;
        let answer = if frame.header.cmd == Command::Heartbeat.id() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let server_time_ms = now.as_millis() as u64;
            let body = pb::HeartbeatResp { head_seq: 1000, server_time_ms, heads: vec![] };
            OutFrame::response(Command::Heartbeat, seq, &body)
        } else {
            io.set_logged_in(conn);
            OutFrame::response(Command::Login, seq, &pb::LoginResp::default())
        };
        let _ = io.send(conn, answer, Lane::Reply);
        Admit::Taken
    }

    fn handle_frame_error(&mut self, _: &mut Io, _: ConnId, _: FrameError) {}

    fn handle_closed(&mut self, _: &mut Io, _: ConnId, _: CloseReason) {}

    fn handle_drained(&mut self, _: &mut Io, _: ConnId) {}

    fn handle_mail(&mut self, io: &mut Io, Stop: Stop) {
        eprintln!("{:?}", io.counters());
        io.stop();
    }

    fn handle_timeout(&mut self, _: &mut Io) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_turn_end(&mut self, _: &mut Io) {}
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: reactor_echo ADDRESS")?.parse()?;
    let mut listeners = listen(address, 1)?;
    println!("{}", listeners.address);
    let (sender, receiver) = mailbox(MailLimits { reserved_max: 1, best_effort_weight_max: 1 });
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = sender.post(Stop);
    });
    let listener = listeners.sockets.pop().ok_or("no listener")?;
    Reactor::new(Config::default(), listener, None, receiver, Echo)?.run()?;
    Ok(())
}
