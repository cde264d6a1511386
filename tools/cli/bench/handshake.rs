//! `aldis bench handshake`: TLS connections that are opened and closed, by any server that speaks
//! TLS. A handshake counts when the server has closed too: by then it has done all of its part.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use aldis_client::shell::Tls;
use anyhow::{Context, Result};
use mio::{Events, Interest, Poll, Token};
use rustls::HandshakeKind;

use super::args::{HandshakeArgs, require, split};
use super::channel::TlsChannel;
use super::connection::connect;
use super::progress::Progress;
use super::report::Report;
use super::tally::Tally;
use super::workers::{self, Window};

/// More at a time than any server needs to be busy, and below a listener's backlog.
const WINDOW_MAX: usize = 256;
/// How often the clock is looked at without events.
const TICK: Duration = Duration::from_millis(50);
/// How long handshakes are waited for after the last was begun, ns.
const DRAIN_NS: u64 = 5_000_000_000;

/// A connection on its way.
struct Attempt {
    channel: TlsChannel,
    begun_ns: u64,
    /// The keys are agreed on; the server's end is waited for.
    is_closing: bool,
}

struct Handshakes {
    server: SocketAddr,
    tls: Tls,
    poll: Poll,
    epoch: Instant,
    window: Window,
    /// By token; `None`: nothing more is begun.
    attempts: Vec<Option<Attempt>>,
    tally: Tally,
}

impl Handshakes {
    fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    fn run(mut self, progress: &Progress) -> Result<Tally> {
        let mut events = Events::with_capacity(WINDOW_MAX);
        for slot in 0..self.attempts.len() {
            self.begin(slot)?;
        }
        let mut reported = 0;
        while self.attempts.iter().any(Option::is_some)
            && self.now_ns() < self.window.end_ns + DRAIN_NS
        {
            match self.poll.poll(&mut events, Some(TICK)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error.into());
                }
                _ => {}
            }
            for event in &events {
                self.go_on(event.token().0)?;
            }
            progress.add_messages(self.tally.acks_in_all - reported);
            reported = self.tally.acks_in_all;
        }
        let left = self.attempts.iter().flatten().count() as u64;
        self.tally.faults.add_many("handshakes without an end", left, String::new);
        Ok(self.tally)
    }

    fn begin(&mut self, slot: usize) -> Result<()> {
        let begun_ns = self.now_ns();
        self.attempts[slot] = None;
        if begun_ns >= self.window.end_ns {
            return Ok(());
        }
        let session = self.tls.session(&self.server.to_string())?;
        let mut socket =
            connect(self.server, None).with_context(|| format!("connecting to {}", self.server))?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut socket, Token(slot), both)?;
        let channel = TlsChannel { socket, session };
        self.attempts[slot] = Some(Attempt { channel, begun_ns, is_closing: false });
        Ok(())
    }

    fn go_on(&mut self, slot: usize) -> Result<()> {
        let Some(attempt) = &mut self.attempts[slot] else { return Ok(()) };
        match attempt.go_on() {
            Ok(false) => return Ok(()),
            Ok(true) => {
                let begun_ns = attempt.begun_ns;
                let kind = attempt.channel.session.handshake_kind();
                self.tally.resumed += u64::from(kind == Some(HandshakeKind::Resumed));
                let now_ns = self.now_ns();
                self.tally.acked(&self.window, begun_ns, now_ns);
            }
            Err(error) => self.tally.faults.add("handshakes failed", || error.to_string()),
        }
        self.begin(slot)
    }
}

impl Attempt {
    /// Does what can be done now; true when all is done.
    fn go_on(&mut self) -> io::Result<bool> {
        let Self { channel, is_closing, .. } = self;
        if let Some(error) = channel.socket.take_error()? {
            return Err(error);
        }
        match channel.pump() {
            // Another event of the socket comes when it is connected.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
            other => other?,
        }
        loop {
            if !channel.session.is_handshaking() && !*is_closing {
                *is_closing = true;
                channel.session.send_close_notify();
                channel.pump()?;
                channel.socket.shutdown(Shutdown::Write)?;
            }
            match channel.receive() {
                Ok(None) => return Ok(false),
                Ok(Some(0)) if *is_closing => return Ok(true),
                Ok(Some(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Some(_)) => {}
                Err(error) if *is_closing && error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

pub(super) fn run(args: &HandshakeArgs) -> Result<Report> {
    require((1..=WINDOW_MAX).contains(&args.window), || format!("--window is 1 to {WINDOW_MAX}"))?;
    let server = args.common.server_addr()?;
    let tls = args.common.tls()?;
    require(tls.is_some(), || "--tls or --ca is needed".to_owned())?;
    let tls = tls.context("checked before")?;
    let tls = if args.resume { tls } else { tls.without_resumption() };
    let course = args.common.course(args.window)?;
    let parts = split(args.window, args.common.threads);
    let measured = workers::run(course, parts, |part, gate| {
        let poll = Poll::new().context("cannot create a poll")?;
        let attempts = part.map(|_| None).collect();
        let (tls, tally) = (tls.clone(), Tally::default());
        gate.progress.add_sessions(0);
        let window = gate.wait_for_start()?;
        let epoch = gate.epoch;
        Handshakes { server, tls, poll, epoch, window, attempts, tally }.run(&gate.progress)
    })?;
    let settings = serde_json::json!({ "window": args.window, "resume": args.resume });
    Ok(Report::of_load("handshake", &args.common, settings, measured, args.window))
}
