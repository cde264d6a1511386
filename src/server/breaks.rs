//! When a thread that computes for long lets others run. Knows no clock and no thread.

use std::time::Duration;

/// Time for which a thread's share of its core is judged: longer than the scheduler lets one run at once.
const WINDOW: Duration = Duration::from_millis(10);

/// A point in a thread's life.
#[derive(Clone, Copy, Default)]
pub struct Moment {
    /// Time of a clock that never goes back.
    pub at: Duration,
    /// Time for which the thread has run.
    pub ran: Duration,
}

/// Tells whether others want the thread's core. A break on a core that nobody wants is wasted time, much
/// of it in a virtual machine, which gives the core back to its host.
#[derive(Clone, Copy)]
pub struct Pacer {
    window: Moment,
    is_crowded: bool,
}

impl Pacer {
    /// Of a thread that has its core for itself.
    pub const fn new() -> Self {
        let window = Moment { at: Duration::ZERO, ran: Duration::ZERO };
        Self { window, is_crowded: false }
    }

    /// Work begins: the time before, in which there was none, says nothing about others.
    pub fn begin(&mut self, now: Moment) {
        self.window = now;
    }

    /// Whether a break is due: where others have had more than half of the core lately.
    pub fn is_break_due(&mut self, now: Moment) -> bool {
        let passed = now.at.saturating_sub(self.window.at);
        if passed >= WINDOW {
            let ran = now.ran.saturating_sub(self.window.ran);
            self.is_crowded = ran < passed / 2;
            self.window = now;
        }
        self.is_crowded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(at_ms: u64, ran_ms: u64) -> Moment {
        Moment { at: Duration::from_millis(at_ms), ran: Duration::from_millis(ran_ms) }
    }

    #[test]
    fn breaks_are_due_while_others_have_most_of_the_core() {
        let mut pacer = Pacer::new();
        pacer.begin(moment(1_000, 500));
        assert!(!pacer.is_break_due(moment(1_009, 501)), "not judged yet");
        assert!(pacer.is_break_due(moment(1_010, 501)));
        assert!(pacer.is_break_due(moment(1_015, 506)), "until judged anew");
        assert!(!pacer.is_break_due(moment(1_020, 511)), "it had the core for itself");
    }

    #[test]
    fn time_without_work_is_not_taken_for_a_crowd() {
        let mut pacer = Pacer::new();
        pacer.begin(moment(1_000, 500));
        assert!(!pacer.is_break_due(moment(1_010, 510)));
        pacer.begin(moment(9_000, 510));
        assert!(!pacer.is_break_due(moment(9_010, 520)));
    }
}
