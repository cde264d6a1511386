//! `aldis bench heartbeat`: requests that a server answers at once, on many connections.

use std::ops::Range;

use aldis_wire::{Code, Command, Frame, HEADER_LEN, pb};
use anyhow::{Context, Result};

use super::args::{HeartbeatArgs, check_window, split};
use super::codec::{SEQ_KEEP_ALIVE, request_frame};
use super::login::log_in;
use super::net::{ConnIndex, Handler, Net, Outbox};
use super::progress::Progress;
use super::report::Report;
use super::tally::Tally;
use super::workers;
use super::workers::Window;

/// How long answers are waited for after the last request, ns.
const DRAIN_NS: u64 = 5_000_000_000;

/// One connection's unanswered requests; its seqs count from 1.
#[derive(Clone)]
struct Line {
    /// When each was sent, ns, by seq; 0: answered.
    sent_ns: Vec<u64>,
    next_seq: u32,
    unanswered: usize,
}

struct Heartbeats {
    lines: Vec<Line>,
    template: Vec<u8>,
    window: Window,
    tally: Tally,
    unanswered: usize,
    reported: u64,
}

impl Heartbeats {
    fn new(connections: usize, outstanding: usize, window: Window) -> Self {
        let slots = outstanding.next_power_of_two();
        let line = Line { sent_ns: vec![0; slots], next_seq: 1, unanswered: 0 };
        Self {
            lines: vec![line; connections],
            template: request_frame(Command::Heartbeat, 0, &pb::HeartbeatReq { local_seq: 0 }),
            window,
            tally: Tally::default(),
            unanswered: 0,
            reported: 0,
        }
    }

    /// Sends one more if its slot is free: an answer that is missing holds up what shares its slot.
    fn send(&mut self, out: &mut Outbox, conn: ConnIndex, now_ns: u64) -> bool {
        let line = &mut self.lines[conn];
        let slot = line.next_seq as usize & (line.sent_ns.len() - 1);
        if line.sent_ns[slot] != 0 || now_ns >= self.window.end_ns {
            return false;
        }
        let Some(frames) = out.frames_for(conn) else { return false };
        let start = frames.len();
        frames.extend_from_slice(&self.template);
        frames[start + 8..start + 12].copy_from_slice(&line.next_seq.to_be_bytes());
        line.sent_ns[slot] = now_ns;
        // Numbers stay below those that have a meaning of their own.
        line.next_seq = if line.next_seq == u32::MAX - 16 { 1 } else { line.next_seq + 1 };
        line.unanswered += 1;
        self.unanswered += 1;
        true
    }

    fn run(mut self, net: &mut Net, outstanding: usize, progress: &Progress) -> Result<Tally> {
        let start_ns = self.window.start_ns;
        while net.now_ns() < start_ns {
            net.turn(&mut self, start_ns)?;
        }
        let now_ns = net.now_ns();
        for conn in 0..self.lines.len() {
            for _ in 0..outstanding {
                self.send(net.outbox(), conn, now_ns);
            }
        }
        let give_up_ns = self.window.end_ns + DRAIN_NS;
        loop {
            let now_ns = net.now_ns();
            let drained = now_ns >= self.window.end_ns && self.unanswered == 0;
            if drained || now_ns >= give_up_ns {
                break;
            }
            let until = if now_ns < self.window.end_ns { self.window.end_ns } else { give_up_ns };
            net.turn(&mut self, until)?;
            progress.add_messages(self.tally.acks_in_all - self.reported);
            self.reported = self.tally.acks_in_all;
        }
        let unanswered = self.unanswered as u64;
        self.tally.faults.add_many("requests without an answer", unanswered, String::new);
        Ok(self.tally)
    }
}

impl Handler for Heartbeats {
    fn handle_frame(&mut self, out: &mut Outbox, conn: ConnIndex, frame: Frame<'_>, now_ns: u64) {
        let header = frame.header;
        if header.cmd != Command::HeartbeatResp.id() || header.code != Code::Ok.as_u16() {
            // A hint of what happened before is no fault.
            if header.cmd != Command::MsgPushNotify.id() {
                self.tally.faults.add("unexpected frames", || format!("{header:?}"));
            }
            return;
        }
        if header.seq == SEQ_KEEP_ALIVE {
            return;
        }
        let line = &mut self.lines[conn];
        let slot = header.seq as usize & (line.sent_ns.len() - 1);
        let sent_ns = std::mem::take(&mut line.sent_ns[slot]);
        if sent_ns == 0 || header.seq >= line.next_seq {
            line.sent_ns[slot] = sent_ns;
            return self.tally.faults.add("answers to no question", || format!("{header:?}"));
        }
        line.unanswered -= 1;
        self.unanswered -= 1;
        self.tally.acked(&self.window, sent_ns, now_ns);
        self.send(out, conn, now_ns);
    }

    fn handle_closed(&mut self, _: &mut Outbox, conn: ConnIndex, why: &str) {
        self.tally.faults.add("connections lost", || format!("connection {conn}: {why}"));
        self.unanswered -= std::mem::take(&mut self.lines[conn].unanswered);
    }
}

pub(super) fn run(args: &HeartbeatArgs) -> Result<Report> {
    check_window(args.window)?;
    let server = args.common.server_addr()?;
    let course = args.common.course(args.connections)?;
    let users = args.common.users(args.connections)?;
    let tls = args.common.tls()?;
    let parts = split(args.connections, args.common.threads);
    let measured = workers::run(course, parts, |range: Range<usize>, gate| {
        let mut net = Net::new(gate.epoch, tls.clone())?;
        let first = range.start;
        let users = users.get(range).context("a user per connection")?;
        let sessions = log_in(&mut net, &[server], users, first, &gate.progress)?;
        let window = gate.wait_for_start()?;
        let load = Heartbeats::new(sessions.len(), args.window, window);
        load.run(&mut net, args.window, &gate.progress)
    })?;
    let settings = serde_json::json!({
        "connections": args.connections, "window": args.window, "request_bytes": HEADER_LEN,
    });
    Ok(Report::of_load("heartbeat", &args.common, settings, measured, args.connections))
}
