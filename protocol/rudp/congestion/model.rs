//! The default controller: it follows delivery rate and delay, and does not take random loss for
//! congestion. Knows no packets.
//!
//! Like BBR (draft-cardwell-iccrg-bbr-congestion-control) it keeps in flight what the path delivers
//! in a round trip, but with a small slack instead of twice as much, so that a queue stays short and
//! is never missing. Like Copa (Arun and Balakrishnan, NSDI 2018) it knows from a queue that does
//! not drain when it is made to that a loss-based flow shares it, and then competes for the buffer as
//! CUBIC does. What it sends is divided by the share that random loss lets through.

use super::cubic::{self, Cubic};
use super::rounds::{Round, Rounds, bytes_in, rate_of};
use super::{Acked, Controller, DATAGRAM_BYTES, INITIAL_WINDOW, Lost, WINDOW_MIN};
use crate::receive::ack_timing::ACK_DELAY_MAX_NS;
use crate::time::{MILLISECOND, SECOND, Time};

/// Startup doubles the rate with each round (2/ln 2), and keeps so much more in flight than is known to
/// fit: what the acknowledgements of a round can tell of.
const STARTUP_PACE: f64 = 2.77;
/// Startup ends after so many rounds in which the rate grew by less than a quarter.
const FULL_ROUNDS: u32 = 3;
/// The slack on long paths: jitter and timers do not grow with them.
const SLACK_NS_MAX: u64 = 5 * MILLISECOND;
/// Rounds at the estimated rate between probes for more.
const CRUISE_ROUNDS: u32 = 8;
/// A probe has so much more in flight.
const PROBE_GAIN: f64 = 1.25;
/// After a probe the queue is emptied, and the least round trip seen, with so much in flight.
const RELAX_GAIN: f64 = 0.95;
/// To see whether the queue is ours, so much of the latest rate is in flight for `TEST_ROUNDS`.
const TEST_GAIN: f64 = 0.75;
/// The first of them empties the queue, the second sees it empty.
const TEST_ROUNDS: u32 = 2;
/// Rounds with a long queue before that is tested.
const LONG_QUEUE_ROUNDS: u32 = 4;
/// While competing the test is not repeated before this has passed: it gives share away.
const TEST_INTERVAL_NS: u64 = 3 * SECOND;
/// See there; doubled by each test that fails.
const TEST_INTERVAL_NS_MAX: u64 = 24 * SECOND;
/// While competing a least round trip is believed for so long.
const LEAST_RTT_MEMORY_NS: u64 = 60 * SECOND;
/// A share of the best rate that is large while another flow is there.
const LARGE_SHARE: f64 = 0.6;
/// No more than such a share is taken, however weak the other flow is: one that wants less leaves
/// the queue empty, and with that competition ends.
const COMPETING_SHARE_MAX: f64 = 0.62;
/// What is kept on a loss of a window that has such a share.
const LARGE_SHARE_KEPT: f64 = 0.6;
/// Rounds with fewer acknowledgements say nothing of the queue: jitter hides it.
const ROUND_ACKS_MIN: u32 = 6;
/// A share lost in a round that cannot be chance on a path that is worth using.
const HIGH_LOSS: f64 = 0.4;
/// Rounds of fewer bytes have such a share by chance.
const HIGH_LOSS_BYTES_MIN: u64 = 50 * DATAGRAM_BYTES;
/// What is sent is divided by at least this share.
const DELIVERED_SHARE_MIN: f64 = 0.6;

#[derive(Debug)]
enum Phase {
    /// Doubling, as far as there is data.
    Startup { full_rate: u64, full_rounds: u32 },
    /// Emptying the queue that startup made.
    Drain,
    /// At the estimated rate.
    Cruise,
    /// A little more, for one round and as long as it helps.
    Probe { rate_before: u64 },
    /// A little less, for one round.
    Relax,
    /// A lot less, to see whether the queue is ours.
    Test { window_before: u64 },
    /// For the buffer, against a flow that fills it.
    Compete(Cubic),
}

/// The controller.
#[derive(Debug)]
pub(crate) struct Model {
    phase: Phase,
    /// Rounds in this phase.
    phase_rounds: u32,
    rounds: Rounds,
    /// Bytes delivered and lost of late, while the queue was short.
    delivered_of_late: f64,
    lost_of_late: f64,
    long_queue_rounds: u32,
    /// The longest queue while competing.
    queue_max_ns: u64,
    tested: Time,
    test_interval_ns: u64,
    /// The best rate for longer than a filter of rounds remembers, slowly forgotten.
    best_ever: f64,
    least_rtt_ns: u64,
    least_rtt_at: Time,
    smoothed_rtt_ns: u64,
    window: u64,
    pacing_rate: u64,
    /// Marks and losses of packets sent before this were answered.
    answered: Time,
}

impl Model {
    /// Of a new session whose handshake took so long.
    pub fn new(rtt_ns: u64) -> Self {
        let mut model = Self {
            phase: Phase::Startup { full_rate: 0, full_rounds: 0 },
            phase_rounds: 0,
            rounds: Rounds::default(),
            delivered_of_late: 0.0,
            lost_of_late: 0.0,
            long_queue_rounds: 0,
            queue_max_ns: 0,
            tested: Time::ZERO,
            test_interval_ns: TEST_INTERVAL_NS,
            best_ever: 0.0,
            least_rtt_ns: rtt_ns.max(1),
            least_rtt_at: Time::ZERO,
            smoothed_rtt_ns: rtt_ns.max(1),
            window: INITIAL_WINDOW,
            pacing_rate: 0,
            answered: Time::ZERO,
        };
        model.apply();
        model
    }

    /// The share of what is sent that arrives while there is no congestion.
    fn delivered_share(&self) -> f64 {
        let sent = self.delivered_of_late + self.lost_of_late;
        let share = if sent > 0.0 { self.delivered_of_late / sent } else { 1.0 };
        share.max(DELIVERED_SHARE_MIN)
    }

    /// What must be in flight for the best rate without any queue.
    fn pipe(&self) -> f64 {
        let delivered = bytes_in(self.rounds.best_rate(), self.least_rtt_ns);
        delivered as f64 / self.delivered_share()
    }

    /// What may be in flight besides: acknowledgements come in bunches, and an empty queue is a
    /// missed chance.
    fn slack(&self) -> f64 {
        let held_back = bytes_in(self.rounds.best_rate(), ACK_DELAY_MAX_NS);
        let bunch = held_back.min(12 * DATAGRAM_BYTES) + 4 * DATAGRAM_BYTES;
        let jitter =
            (self.pipe() / 8.0).min(bytes_in(self.rounds.best_rate(), SLACK_NS_MAX) as f64);
        jitter.max(bunch as f64)
    }

    /// How long the queue would be in time if only our slack were in it.
    fn slack_ns(&self) -> u64 {
        let rate = self.rounds.best_rate().max(1) as f64;
        (self.slack() / rate * SECOND as f64) as u64
    }

    /// Above this a queue is not of our making.
    fn long_queue_ns(&self) -> u64 {
        (2 * self.slack_ns() + 2 * MILLISECOND).max(self.least_rtt_ns / 3)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_rounds = 0;
        self.long_queue_rounds = 0;
    }

    fn handle_round(&mut self, now: Time, round: &Round) {
        self.phase_rounds += 1;
        let queue_ns = round.rtt_min_ns.saturating_sub(self.least_rtt_ns);
        let is_telling = round.acks >= ROUND_ACKS_MIN;
        let is_long = is_telling && queue_ns > self.long_queue_ns();
        // What startup lost, and what a long queue loses, is not chance.
        let is_calm = match self.phase {
            Phase::Startup { .. } => round.app_limited_acks == round.acks,
            Phase::Cruise => self.phase_rounds > 2,
            Phase::Probe { .. } | Phase::Relax => true,
            Phase::Drain | Phase::Test { .. } | Phase::Compete(_) => false,
        };
        if is_calm && !is_long {
            self.delivered_of_late = self.delivered_of_late * 0.875 + round.delivered as f64;
            self.lost_of_late = self.lost_of_late * 0.875 + round.lost as f64;
        }
        let best = self.rounds.best_rate();
        self.best_ever = (self.best_ever * 0.999).max(best as f64);
        match &mut self.phase {
            Phase::Startup { full_rate, full_rounds } => {
                // Bursts of messages may fill a queue without ever filling a round.
                if is_long {
                    return self.enter(Phase::Drain);
                }
                if round.is_app_limited() {
                    return;
                }
                if best as f64 >= *full_rate as f64 * 1.25 {
                    (*full_rate, *full_rounds) = (best, 0);
                } else {
                    *full_rounds += 1;
                }
                if *full_rounds >= FULL_ROUNDS {
                    self.enter(Phase::Drain);
                }
            }
            Phase::Drain if self.phase_rounds >= 3 => self.enter(Phase::Cruise),
            Phase::Drain => {}
            Phase::Cruise => self.cruise(now, round, is_long),
            Phase::Probe { rate_before } => {
                let rate_before = *rate_before;
                if best as f64 >= rate_before as f64 * 1.1 && !is_long {
                    self.enter(Phase::Probe { rate_before: best });
                } else {
                    self.enter(Phase::Relax);
                }
            }
            Phase::Relax => {
                self.phase = Phase::Cruise;
                self.phase_rounds = 0;
            }
            Phase::Test { window_before } => {
                let window_before = *window_before;
                if self.phase_rounds >= TEST_ROUNDS {
                    self.judge_test(now, round, queue_ns, window_before);
                }
            }
            Phase::Compete(_) => {
                self.queue_max_ns = (self.queue_max_ns - self.queue_max_ns / 64).max(queue_ns);
                let is_gone = is_telling && queue_ns < self.long_queue_ns() / 2;
                self.long_queue_rounds = if is_gone { self.long_queue_rounds + 1 } else { 0 };
                if self.long_queue_rounds >= LONG_QUEUE_ROUNDS {
                    self.enter(Phase::Cruise);
                }
            }
        }
    }

    fn cruise(&mut self, now: Time, round: &Round, is_long: bool) {
        if round.is_app_limited() {
            self.long_queue_rounds = 0;
            return;
        }
        self.long_queue_rounds = if is_long { self.long_queue_rounds + 1 } else { 0 };
        if self.long_queue_rounds >= LONG_QUEUE_ROUNDS {
            self.test(now, round.rate);
        } else if self.phase_rounds >= CRUISE_ROUNDS && self.long_queue_rounds == 0 {
            self.enter(Phase::Probe { rate_before: self.rounds.best_rate() });
        }
    }

    fn test(&mut self, now: Time, rate: u64) {
        self.tested = now;
        let window_before = self.window;
        self.enter(Phase::Test { window_before });
        let pipe = bytes_in(rate, self.least_rtt_ns) as f64 / self.delivered_share();
        self.window = ((pipe * TEST_GAIN) as u64).max(WINDOW_MIN);
    }

    /// With so little of ours in flight the queue is empty, unless another flow fills it.
    fn judge_test(&mut self, now: Time, round: &Round, queue_ns: u64, window_before: u64) {
        if queue_ns <= self.long_queue_ns() / 2 {
            self.rounds.reset_rate(round.rate.max(1));
            self.test_interval_ns = TEST_INTERVAL_NS;
            self.enter(Phase::Cruise);
            return;
        }
        // A fair share of what the path was seen to carry, in flight over a full queue.
        let half = bytes_in((self.best_ever / 2.0) as u64, round.rtt_min_ns);
        let window = window_before.max(half);
        self.queue_max_ns = queue_ns;
        self.lost_of_late = 0.0;
        self.test_interval_ns = (2 * self.test_interval_ns).min(TEST_INTERVAL_NS_MAX);
        self.answered = now;
        self.enter(Phase::Compete(Cubic::competing(self.smoothed_rtt_ns, window)));
    }

    /// While competing nobody empties the queue, so the least round trip of late has a queue in it.
    fn note_least_rtt(&mut self, acked: &Acked) {
        let least = acked.least_rtt_ns.max(1);
        let is_kept = matches!(self.phase, Phase::Compete(_) | Phase::Test { .. })
            && acked.now.nanos_since(self.least_rtt_at) < LEAST_RTT_MEMORY_NS;
        if !is_kept || least < self.least_rtt_ns {
            self.least_rtt_ns = least;
            self.least_rtt_at = acked.now;
            self.queue_max_ns = 0;
        }
    }

    /// Sets window and pace as the phase wants them.
    fn apply(&mut self) {
        let rate = self.rounds.best_rate() as f64 / self.delivered_share();
        let (pipe, slack) = (self.pipe(), self.slack());
        let (window, pace) = match &self.phase {
            Phase::Startup { .. } => {
                let rate = rate_of(self.window, self.smoothed_rtt_ns) as f64;
                (self.window as f64, rate * STARTUP_PACE)
            }
            Phase::Drain => (pipe, rate),
            Phase::Cruise => (pipe + slack, rate * 1.1),
            Phase::Probe { .. } => ((pipe + slack) * PROBE_GAIN, rate * PROBE_GAIN),
            Phase::Relax => (pipe * RELAX_GAIN, rate),
            Phase::Test { .. } => (self.window as f64, rate),
            Phase::Compete(cubic) => {
                let rate = self.best_ever * COMPETING_SHARE_MAX;
                let rtt_ns = self.rounds.rtt_min_ns().unwrap_or(self.smoothed_rtt_ns);
                let window = (cubic.window() as f64).min(bytes_in(rate as u64, rtt_ns) as f64);
                (window, cubic.pacing_rate() as f64)
            }
        };
        self.window = (window as u64).max(WINDOW_MIN);
        self.pacing_rate = (pace as u64).max(rate_of(WINDOW_MIN, self.smoothed_rtt_ns));
    }

    /// Congestion that is not a guess: give way once per round trip.
    fn give_way(&mut self, now: Time, sent: Time) {
        if sent <= self.answered {
            return;
        }
        self.answered = now;
        if let Phase::Compete(cubic) = &mut self.phase {
            cubic.reduce(now, sent, cubic::BETA);
            return self.apply();
        }
        let rate = self.rounds.best_rate();
        self.rounds.reset_rate(rate - rate / 8);
        if matches!(self.phase, Phase::Startup { .. } | Phase::Probe { .. }) {
            self.enter(Phase::Drain);
        }
        self.apply();
    }
}

impl Controller for Model {
    fn handle_acked(&mut self, acked: &Acked) {
        self.note_least_rtt(acked);
        self.smoothed_rtt_ns = acked.smoothed_rtt_ns.max(1);
        let ended = self.rounds.handle_acked(acked);
        let pipe = self.pipe() as u64;
        match &mut self.phase {
            // A window that is not used needs not grow.
            Phase::Startup { .. } if 2 * acked.in_flight_before >= self.window => {
                let most = (self.pipe() * STARTUP_PACE + self.slack()) as u64;
                self.window = (self.window + acked.bytes).min(most.max(self.window));
            }
            Phase::Drain if acked.in_flight <= pipe => self.enter(Phase::Cruise),
            Phase::Compete(cubic) => cubic.handle_acked(acked),
            _ => {}
        }
        if let Some(round) = ended {
            let is_high = round.lost as f64 > HIGH_LOSS * (round.lost + round.delivered) as f64
                && round.lost + round.delivered >= HIGH_LOSS_BYTES_MIN;
            self.handle_round(acked.now, &round);
            if is_high && !round.is_app_limited() {
                self.give_way(acked.now, acked.newest_sent);
            }
        }
        self.apply();
    }

    fn handle_lost(&mut self, lost: &Lost) {
        self.rounds.handle_lost(lost.bytes);
        let queue_ns =
            self.rounds.rtt_min_ns().map_or(0, |rtt| rtt.saturating_sub(self.least_rtt_ns));
        let Phase::Compete(cubic) = &mut self.phase else { return };
        // Loss beside a short queue is chance.
        if 2 * queue_ns < self.queue_max_ns {
            return;
        }
        let before = cubic.window();
        // Two flows of CUBIC take minutes to become equal; who has most of the path gives more.
        let most = bytes_in((self.best_ever * LARGE_SHARE) as u64, self.smoothed_rtt_ns);
        let keeps = if before > most { LARGE_SHARE_KEPT } else { cubic::BETA };
        cubic.reduce(lost.now, lost.newest_sent, keeps);
        let is_reduced = cubic.window() < before;
        self.apply();
        if is_reduced && lost.now.nanos_since(self.tested) >= self.test_interval_ns {
            let rate = rate_of(self.window, self.smoothed_rtt_ns);
            self.test(lost.now, rate);
        }
    }

    fn handle_marked(&mut self, now: Time, sent: Time) {
        self.give_way(now, sent);
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn pacing_rate(&self) -> u64 {
        self.pacing_rate
    }
}
