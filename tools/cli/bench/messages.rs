//! The load of `chat` and `fanout`: senders, receivers, and what is checked between them. Knows
//! streams and receivers, not how they were set up.

use std::time::Duration;

use aldis_wire::{Code, Command, Frame, Message, pb};

use super::codec::{SEQ_KEEP_ALIVE, SEQ_SYNC, ack_conv_seq, request_frame, retry_after_ms};
use super::net::{ConnIndex, Handler, Net, Outbox};
use super::progress::Progress;
use super::receiver::{Expect, Receiver};
use super::stream::{Acked, Stream};
use super::tally::Tally;
use super::workers::Window;

/// Into the drain, receivers that miss something ask for the head by heartbeat, as clients do.
const ASK_AFTER: Duration = Duration::from_secs(2);

/// A sender and the connection it sends on.
pub struct Sender {
    /// Where it sends.
    pub conn: ConnIndex,
    /// What it sends.
    pub stream: Stream,
    /// How many receive each message.
    pub receivers: u64,
}

/// What one connection does.
#[derive(Default)]
pub struct Role {
    /// Index of the sender on this connection.
    pub sends: Option<usize>,
    /// What arrives on it.
    pub receives: Option<Receiver>,
}

/// When messages are sent and how long they are waited for.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Open loop: message k of all senders of this thread together is due k intervals after the
    /// start, ns. `None`: every sender keeps its window full.
    pub interval_ns: Option<f64>,
    /// How long unfinished messages are waited for after the last was sent.
    pub drain: Duration,
}

/// The load of one thread.
pub struct Messages {
    senders: Vec<Sender>,
    roles: Vec<Role>,
    expect: Expect,
    pace: Pace,
    window: Window,
    /// Messages that receivers should get, of what was answered OK.
    deliveries_owed: u64,
    /// Senders that wait to repeat refused messages.
    stalled: Vec<usize>,
    /// Messages of the open loop so far.
    paced: u64,
    tally: Tally,
    reported: u64,
}

impl Messages {
    /// `roles` by connection.
    pub fn new(
        senders: Vec<Sender>,
        roles: Vec<Role>,
        expect: Expect,
        pace: Pace,
        window: Window,
    ) -> Self {
        Self {
            senders,
            roles,
            expect,
            pace,
            window,
            deliveries_owed: 0,
            stalled: Vec::new(),
            paced: 0,
            tally: Tally::default(),
            reported: 0,
        }
    }

    /// Runs the load to its end and returns what was counted.
    pub fn run(mut self, net: &mut Net, progress: &Progress) -> anyhow::Result<Tally> {
        let Window { start_ns, end_ns, .. } = self.window;
        let mut ask_at_ns = end_ns + ASK_AFTER.as_nanos() as u64;
        let give_up_ns = end_ns + self.pace.drain.as_nanos() as u64;
        while net.now_ns() < start_ns {
            net.turn(&mut self, start_ns)?;
        }
        if self.pace.interval_ns.is_none() {
            for sender in 0..self.senders.len() {
                self.fill(net.outbox(), sender, start_ns);
            }
        }
        loop {
            let now_ns = net.now_ns();
            let mut wake_ns = give_up_ns;
            if now_ns < end_ns {
                wake_ns = self.feed(net.outbox(), now_ns).min(end_ns);
            } else if self.is_done() || now_ns >= give_up_ns {
                break;
            } else if now_ns >= ask_at_ns {
                self.ask_for_heads(net.outbox());
                ask_at_ns = now_ns + ASK_AFTER.as_nanos() as u64;
            }
            wake_ns = wake_ns.min(ask_at_ns).min(self.retry_stalled(net.outbox(), now_ns));
            net.turn(&mut self, wake_ns)?;
            let arrived = self.tally.deliveries_in_all;
            progress.add_messages(arrived - self.reported);
            self.reported = arrived;
        }
        self.count_losses();
        Ok(self.tally)
    }

    fn is_done(&self) -> bool {
        self.tally.deliveries_in_all >= self.deliveries_owed
            && self
                .senders
                .iter()
                .all(|sender| sender.stream.unfinished() == 0 && !sender.stream.has_postponed())
    }

    /// Keeps a sender's window full.
    fn fill(&mut self, out: &mut Outbox, sender: usize, due_ns: u64) {
        let Sender { conn, stream, .. } = &mut self.senders[sender];
        if !stream.has_room() {
            return;
        }
        let Some(frames) = out.frames_for(*conn) else { return };
        if self.pace.interval_ns.is_some() {
            stream.send_postponed(frames);
        } else if due_ns < self.window.end_ns {
            while stream.has_room() {
                stream.send(due_ns, frames);
            }
        }
    }

    /// Sends what the open loop has due. Returns when the next is due.
    fn feed(&mut self, out: &mut Outbox, now_ns: u64) -> u64 {
        let Some(interval_ns) = self.pace.interval_ns else { return u64::MAX };
        loop {
            let due_ns = self.window.start_ns + (self.paced as f64 * interval_ns) as u64;
            if due_ns > now_ns {
                return due_ns;
            }
            let index = (self.paced % self.senders.len() as u64) as usize;
            self.paced += 1;
            let Sender { conn, stream, .. } = &mut self.senders[index];
            match out.frames_for(*conn) {
                Some(frames) if stream.has_room() && !stream.has_postponed() => {
                    stream.send(due_ns, frames);
                }
                _ => {
                    if !stream.postpone(due_ns) {
                        self.tally.faults.add("messages not sent: no room", || {
                            format!("message {} of the open loop", self.paced)
                        });
                    }
                }
            }
        }
    }

    fn retry_stalled(&mut self, out: &mut Outbox, now_ns: u64) -> u64 {
        let mut wake_ns = u64::MAX;
        for index in std::mem::take(&mut self.stalled) {
            let Sender { conn, stream, .. } = &mut self.senders[index];
            match stream.retry_at_ns() {
                Some(at_ns) if at_ns <= now_ns => {
                    if let Some(frames) = out.frames_for(*conn) {
                        self.tally.retries += stream.retry(frames);
                    }
                }
                Some(at_ns) => {
                    wake_ns = wake_ns.min(at_ns);
                    self.stalled.push(index);
                }
                // Others of the conversation are still unanswered; the last answer comes back here.
                None => {}
            }
        }
        wake_ns
    }

    fn ask_for_heads(&mut self, out: &mut Outbox) {
        let request = pb::HeartbeatReq { local_seq: 0 };
        let frame = request_frame(Command::Heartbeat, SEQ_KEEP_ALIVE, &request);
        for (conn, role) in self.roles.iter().enumerate() {
            if role.receives.is_some() {
                out.send(conn, &frame);
            }
        }
    }

    fn handle_send_resp(
        &mut self,
        out: &mut Outbox,
        conn: ConnIndex,
        frame: Frame<'_>,
        now_ns: u64,
    ) {
        let Some(index) = self.roles[conn].sends else {
            return self
                .tally
                .faults
                .add("answers to no question", || format!("seq {}", frame.header.seq));
        };
        let seq = frame.header.seq;
        let Sender { stream, receivers, .. } = &mut self.senders[index];
        let faults = &mut self.tally.faults;
        match Code::from_u16(frame.header.code) {
            Some(Code::Ok) => match stream.handle_ack(seq, ack_conv_seq(frame.body).unwrap_or(0)) {
                Acked::Now { due_ns } => {
                    self.deliveries_owed += *receivers;
                    self.tally.acked(&self.window, due_ns, now_ns);
                }
                Acked::Unknown => faults.add("answers to no question", || format!("seq {seq}")),
                Acked::OutOfOrder => {
                    self.deliveries_owed += *receivers;
                    faults.add("sends stored in another order", || format!("message {seq}"));
                }
            },
            Some(code) if code.is_retryable() => {
                let wait_ms = retry_after_ms(frame.body);
                if !stream.handle_refused(seq, now_ns, wait_ms) {
                    faults.add("answers to no question", || format!("seq {seq}"));
                }
            }
            code => {
                stream.handle_failed(seq);
                faults.add("refused sends", || describe(code, frame));
            }
        }
        if stream.retry_at_ns().is_some() {
            self.stalled.push(index);
        }
        self.fill(out, index, now_ns);
    }

    /// Runs `input` on the receiver of a connection and does what follows from it.
    fn receive(
        &mut self,
        out: &mut Outbox,
        conn: ConnIndex,
        frame: Frame<'_>,
        now_ns: u64,
        is_push: bool,
    ) {
        let Some(receiver) = self.roles[conn].receives.as_mut() else { return };
        let Self { senders, tally, window, expect, .. } = self;
        let index = receiver.stream;
        let stream = &mut senders[index].stream;
        let deliver = |stamp: super::codec::Stamp, tally: &mut Tally| {
            tally.delivered(window, stamp.due_ns, now_ns);
            stream.handle_delivered(stamp.no);
        };
        if is_push {
            receiver.handle_push(frame.body, expect, tally, deliver);
        } else if frame.header.code == Code::Ok.as_u16() {
            receiver.handle_sync_page(frame.body, expect, tally, deliver);
        } else {
            receiver.handle_sync_failed();
            let code = Code::from_u16(frame.header.code);
            tally.faults.add("refused syncs", || describe(code, frame));
        }
        self.sync_if_needed(out, conn);
        self.fill(out, index, now_ns);
    }

    fn sync_if_needed(&mut self, out: &mut Outbox, conn: ConnIndex) {
        let receiver = self.roles[conn].receives.as_mut();
        if let Some(after_seq) = receiver.and_then(Receiver::poll_sync) {
            self.tally.syncs += 1;
            let request = pb::MsgSyncReq { stream: 0, after_seq, limit: 0 };
            out.send(conn, &request_frame(Command::MsgSync, SEQ_SYNC, &request));
        }
    }

    /// What never came is a fault.
    fn count_losses(&mut self) {
        let unanswered: usize = self.senders.iter().map(|sender| sender.stream.unanswered()).sum();
        let faults = &mut self.tally.faults;
        faults.add_many("sends without an answer", unanswered as u64, || {
            format!("{} s after the last send", self.pace.drain.as_secs_f64())
        });
        let lost = self.deliveries_owed.saturating_sub(self.tally.deliveries_in_all);
        faults.add_many("acknowledged messages not delivered", lost, || {
            format!("of {} deliveries owed", self.deliveries_owed)
        });
    }
}

fn describe(code: Option<Code>, frame: Frame<'_>) -> String {
    let error = pb::Error::decode(frame.body).unwrap_or_default();
    let name = code.map_or("unknown code", Code::name);
    format!("seq {}: {name}: {}", frame.header.seq, error.message)
}

impl Handler for Messages {
    fn handle_frame(&mut self, out: &mut Outbox, conn: ConnIndex, frame: Frame<'_>, now_ns: u64) {
        const SEND_RESP: u16 = Command::MsgSendResp.id();
        const PUSH: u16 = Command::MsgPushNotify.id();
        const SYNC_RESP: u16 = Command::MsgSyncResp.id();
        const HEARTBEAT_RESP: u16 = Command::HeartbeatResp.id();
        match frame.header.cmd {
            SEND_RESP => self.handle_send_resp(out, conn, frame, now_ns),
            PUSH => self.receive(out, conn, frame, now_ns, true),
            SYNC_RESP => self.receive(out, conn, frame, now_ns, false),
            HEARTBEAT_RESP => {
                let answer = pb::HeartbeatResp::decode(frame.body).unwrap_or_default();
                if let Some(receiver) = self.roles[conn].receives.as_mut() {
                    receiver.handle_head(answer.head_seq);
                }
                self.sync_if_needed(out, conn);
            }
            other => self.tally.faults.add("unexpected frames", || {
                format!("{:?} ({other:#06x})", Command::from_server(other))
            }),
        }
    }

    fn handle_closed(&mut self, _: &mut Outbox, conn: ConnIndex, why: &str) {
        self.tally.faults.add("connections lost", || format!("connection {conn}: {why}"));
        if let Some(sender) = self.roles[conn].sends {
            self.senders[sender].stream.close();
        }
    }
}
