//! What an acknowledgement means: round trips, delivery, losses, probes. Knows no bytes.

use super::Peer;
use crate::congestion;
use crate::send::rack::{AckEnd, Verdict};
use crate::send::sent::{Packet, Settled};
use crate::time::{MILLISECOND, Time};
use crate::wire::ack::Ack;

/// How long a loss is remembered at least, so that a late acknowledgement of it is recognised.
const LOSS_MEMORY_NS_MIN: u64 = 100 * MILLISECOND;

impl Peer {
    /// Takes an acknowledgement.
    pub(super) fn handle_ack(&mut self, now: Time, ack: &Ack) {
        let in_flight_before = self.sent.in_flight();
        let mut newly = Newly::default();
        let Self { acked, sent, outbox, rack, rate, stats, mtu, policy, .. } = self;
        let base = sent.base();
        acked.handle_ack(ack, base, |number| {
            let packet = match sent.acknowledge(number) {
                Settled::Known => return,
                Settled::Acknowledged(packet) => packet,
                Settled::WasTakenForLost(packet) => {
                    stats.losses_spurious += 1;
                    policy.handle_spurious();
                    packet
                }
            };
            rack.handle_acknowledged(now, number, &packet);
            rate.handle_acknowledged(now, &packet);
            match packet.extras.mtu_probe {
                true => mtu.handle_probe_acknowledged(usize::from(packet.bytes)),
                false => mtu.handle_acknowledged(usize::from(packet.bytes)),
            }
            for chunk in sent.chunks(&packet) {
                outbox.handle_acknowledged(chunk);
            }
            newly.has_repair |= packet.extras.repair;
            newly.count += 1;
            newly.bytes += u64::from(packet.bytes);
            newly.newest = Some((number, packet));
        });
        let (largest, delay_ns) = (ack.largest(), ack.delay_ns);
        self.rack.end_ack(now, AckEnd { largest, delay_ns, has_repair: newly.has_repair });
        if let Some((number, newest)) = newly.newest {
            self.probe.handle_acknowledged();
            if number == ack.largest() {
                let rtt_ns = now.nanos_since(newest.sent);
                self.rtt.handle_sample(now, rtt_ns, ack.delay_ns);
            }
            self.report_acked(now, newly.bytes, &newest, in_flight_before);
        }
        let recovered = ack.counters.recovered.saturating_sub(self.peer_counters.recovered);
        self.peer_counters.recovered += recovered;
        self.policy.handle_settled(newly.count.saturating_sub(recovered), recovered);
        if ack.counters.congested > self.peer_counters.congested {
            self.peer_counters.congested = ack.counters.congested;
            let sent = newly.newest.map_or(now, |(_, packet)| packet.sent);
            self.controller.handle_marked(now, sent);
        }
        self.detect_losses(now);
        let memory_ns = (2 * self.rtt.smoothed()).max(LOSS_MEMORY_NS_MIN);
        self.sent.forget(Time(now.nanos().saturating_sub(memory_ns)));
    }

    /// Takes for lost what is.
    pub(super) fn detect_losses(&mut self, now: Time) {
        let mut lost: Option<congestion::Lost> = None;
        let mut lost_probe = None;
        while let Verdict::Lost(number) = self.rack.judge(now, &self.sent, &self.rtt) {
            let packet = self.sent.lose(now, number);
            self.stats.datagrams_lost += 1;
            self.policy.handle_settled(0, 1);
            self.copies.handle_lost(number);
            let rtt_ns = self.rtt.smoothed();
            for chunk in self.sent.chunks(&packet) {
                self.outbox.handle_lost(chunk);
                if self.is_redundant && self.outbox.is_lost(chunk.message) {
                    self.copies.push(now, chunk, self.data_gap_ns, rtt_ns);
                }
            }
            self.pending.window |= packet.extras.window;
            if packet.extras.mtu_probe {
                lost_probe = Some(usize::from(packet.bytes));
                continue;
            }
            self.mtu.handle_lost(now, usize::from(packet.bytes));
            let lost = lost.get_or_insert(congestion::Lost {
                now,
                bytes: 0,
                newest_sent: packet.sent,
                in_flight: 0,
            });
            lost.bytes += u64::from(packet.bytes);
            lost.newest_sent = packet.sent;
        }
        match lost_probe {
            Some(_) if lost.is_some() => {
                self.mtu.handle_probe_crowded_out(now.plus(self.rtt.smoothed()));
            }
            Some(size) => self.mtu.handle_probe_lost(size),
            None => {}
        }
        if let Some(mut lost) = lost {
            lost.in_flight = self.sent.in_flight();
            self.controller.handle_lost(&lost);
        }
    }

    fn report_acked(&mut self, now: Time, bytes: u64, newest: &Packet, in_flight_before: u64) {
        let acked = congestion::Acked {
            now,
            bytes,
            newest_sent: newest.sent,
            rtt_ns: now.nanos_since(newest.sent),
            least_rtt_ns: self.rtt.least(),
            smoothed_rtt_ns: self.rtt.smoothed(),
            rate: self.rate.sample(self.rtt.least()),
            delivered: self.rate.delivered(),
            delivered_before: newest.stamp.delivered,
            in_flight_before,
            in_flight: self.sent.in_flight(),
            is_app_limited: newest.stamp.is_app_limited,
        };
        self.controller.handle_acked(&acked);
    }
}

#[derive(Default)]
struct Newly {
    has_repair: bool,
    count: u64,
    bytes: u64,
    newest: Option<(u64, Packet)>,
}
