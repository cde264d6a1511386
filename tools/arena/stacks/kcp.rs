//! KCP in its fastest setting (turbo: no delay, shortest interval, fast resend after two, no
//! congestion control), flushed after every send and every arrival. One conversation for all flows,
//! or one for each.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::Write;
use std::rc::Rc;

use aldis_netsim::{Datagram, UDP_HEADERS};
use bytes::Bytes;
use kcp::Kcp;

use super::{Pair, Setting};
use crate::end::{Deliver, End, Outgoing};

const NS_PER_MS: u64 = 1_000_000;
/// Segments of a window: 1 Gbit/s at 30 ms needs 2,700.
const WINDOW_SEGMENTS: u16 = 8_192;
/// Segments that may wait beyond the window before a send is refused.
const WAITING_SEGMENTS_MAX: usize = 2 * WINDOW_SEGMENTS as usize;
/// KCP takes fewer than 128 segments at once; larger messages are sent in parts with a byte that
/// says whether more follow.
const PART_BYTES: usize = 64 * 1_024;
/// The shortest that this implementation allows, ms.
const INTERVAL_MS: i32 = 10;

/// Where KCP writes datagrams to.
#[derive(Clone, Default)]
struct Output(Rc<RefCell<VecDeque<Vec<u8>>>>);

impl Write for Output {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().push_back(data.to_vec());
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Conversation {
    kcp: Kcp<Output>,
    /// Parts of a message that is not complete.
    parts: Vec<u8>,
    timeout_ns: u64,
}

struct KcpEnd {
    conversations: Vec<Conversation>,
    output: Output,
    buffer: Vec<u8>,
    delivered: VecDeque<Bytes>,
    fault: Option<String>,
}

/// Both ends.
pub fn ends(setting: Setting, is_per_flow: bool) -> Pair {
    let count = if is_per_flow { setting.flow_count } else { 1 };
    (Box::new(KcpEnd::new(count)), Box::new(KcpEnd::new(count)))
}

impl KcpEnd {
    fn new(count: u32) -> Self {
        let output = Output::default();
        let conversation = |number| {
            let mut kcp = Kcp::new(number, output.clone());
            kcp.set_nodelay(true, INTERVAL_MS, 2, true);
            kcp.set_wndsize(WINDOW_SEGMENTS, WINDOW_SEGMENTS);
            Conversation { kcp, parts: Vec::new(), timeout_ns: 0 }
        };
        Self {
            conversations: (0..count).map(conversation).collect(),
            output: output.clone(),
            buffer: vec![0; PART_BYTES + 1],
            delivered: VecDeque::new(),
            fault: None,
        }
    }

    fn fail(&mut self, what: &str, error: &kcp::Error) {
        self.fault = Some(format!("{what}: {error}"));
    }

    /// Takes out what has arrived, sends what is waiting, and asks for the next deadline.
    fn turn(&mut self, now_ns: u64, index: usize) {
        let now_ms = (now_ns / NS_PER_MS) as u32;
        let conversation = &mut self.conversations[index];
        while let Ok(count) = conversation.kcp.recv(&mut self.buffer) {
            match self.buffer[..count].split_first() {
                Some((0, last)) if conversation.parts.is_empty() => {
                    self.delivered.push_back(Bytes::copy_from_slice(last));
                }
                Some((more, part)) => {
                    conversation.parts.extend_from_slice(part);
                    if *more == 0 {
                        self.delivered.push_back(std::mem::take(&mut conversation.parts).into());
                    }
                }
                None => {}
            }
        }
        let result = conversation.kcp.update(now_ms).and_then(|()| conversation.kcp.flush());
        let wait_ms = conversation.kcp.check(now_ms).max(1);
        conversation.timeout_ns = (u64::from(now_ms) + u64::from(wait_ms)) * NS_PER_MS;
        if conversation.kcp.is_dead_link() {
            self.fault = Some("dead link: a segment was sent 20 times".into());
        }
        if let Err(error) = result {
            self.fail("flush", &error);
        }
    }
}

impl End for KcpEnd {
    fn connect(&mut self, _now_ns: u64) {}

    fn is_ready(&self) -> bool {
        true
    }

    fn send(&mut self, now_ns: u64, flow: u32, message: &Bytes) -> bool {
        let index = flow as usize % self.conversations.len();
        let kcp = &mut self.conversations[index].kcp;
        if kcp.wait_snd() > WAITING_SEGMENTS_MAX {
            return false;
        }
        let mut parts = message.chunks(PART_BYTES).peekable();
        while let Some(part) = parts.next() {
            let more = u8::from(parts.peek().is_some());
            let mut framed = Vec::with_capacity(part.len() + 1);
            framed.push(more);
            framed.extend_from_slice(part);
            if let Err(error) = kcp.send(&framed) {
                self.fail("send", &error);
                return false;
            }
        }
        self.turn(now_ns, index);
        true
    }

    fn handle_datagram(&mut self, now_ns: u64, datagram: Datagram) {
        if datagram.bytes.len() < kcp::KCP_OVERHEAD {
            return;
        }
        let index = kcp::get_conv(&datagram.bytes) as usize;
        if let Some(conversation) = self.conversations.get_mut(index) {
            // Input takes round trips from the time of the last update.
            let _ = conversation.kcp.update((now_ns / NS_PER_MS) as u32);
            // What it cannot parse it refuses and forgets, as it does in applications.
            let _ = conversation.kcp.input(&datagram.bytes);
            self.turn(now_ns, index);
        }
    }

    fn handle_timeout(&mut self, now_ns: u64) {
        for index in 0..self.conversations.len() {
            if self.conversations[index].timeout_ns <= now_ns {
                self.turn(now_ns, index);
            }
        }
    }

    fn poll_timeout(&mut self, _now_ns: u64) -> Option<u64> {
        self.conversations.iter().map(|conversation| conversation.timeout_ns).min()
    }

    fn poll_transmit(&mut self, _now_ns: u64) -> Option<Outgoing> {
        let bytes = self.output.0.borrow_mut().pop_front()?;
        Some(Outgoing { bytes, ecn: None, headers: UDP_HEADERS })
    }

    fn poll_messages(&mut self, _now_ns: u64, deliver: Deliver<'_>) {
        self.delivered.drain(..).for_each(|message| deliver(&message));
    }

    fn fault(&self) -> Option<String> {
        self.fault.clone()
    }
}
