//! Whether a peer is there: keepalive, suspicion, loss. Knows no packets.

use crate::config::Config;
use crate::time::{Time, nanos};

/// What silence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing yet.
    Fine,
    /// It became suspect now.
    Suspect,
    /// It is taken for gone.
    Lost,
}

/// What was heard, and the limits of silence.
#[derive(Debug)]
pub(crate) struct Liveness {
    heard: Time,
    is_suspect: bool,
    keepalive_ns: u64,
    suspect_ns: u64,
    lost_ns: u64,
}

impl Liveness {
    /// Of a peer that was heard now.
    pub fn new(now: Time, config: &Config) -> Self {
        Self {
            heard: now,
            is_suspect: false,
            keepalive_ns: nanos(config.keepalive),
            suspect_ns: nanos(config.suspect_after),
            lost_ns: nanos(config.lost_after),
        }
    }

    /// Something authentic came; says whether the peer was suspect until now.
    pub fn handle_heard(&mut self, now: Time) -> bool {
        self.heard = now;
        std::mem::take(&mut self.is_suspect)
    }

    /// When a ping is due if nothing is outstanding.
    pub fn keepalive_at(&self) -> Time {
        self.heard.plus(self.keepalive_ns)
    }

    /// When silence gets a meaning, if an answer is due since `waiting_since`.
    pub fn deadline(&self, waiting_since: Time) -> Time {
        if self.is_suspect { self.lost_at(waiting_since) } else { self.suspect_at(waiting_since) }
    }

    /// What silence means by now.
    pub fn check(&mut self, now: Time, waiting_since: Time) -> Verdict {
        if self.lost_at(waiting_since) <= now {
            return Verdict::Lost;
        }
        if !self.is_suspect && self.suspect_at(waiting_since) <= now {
            self.is_suspect = true;
            return Verdict::Suspect;
        }
        Verdict::Fine
    }

    fn suspect_at(&self, waiting_since: Time) -> Time {
        self.heard.max(waiting_since).plus(self.suspect_ns)
    }

    fn lost_at(&self, waiting_since: Time) -> Time {
        self.heard.max(waiting_since).plus(self.lost_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;
    use crate::ids::{BootId, NodeId};
    use crate::time::SECOND;

    #[test]
    fn silence_is_suspect_then_loss_and_counts_from_when_an_answer_is_due() {
        let config = Config::new(NodeId(1), BootId(1), Mode::Plain);
        let mut liveness = Liveness::new(Time(0), &config);
        let waiting = Time(5 * SECOND);
        let suspect_at = waiting + config.suspect_after;
        assert_eq!(liveness.deadline(waiting), suspect_at);
        assert_eq!(liveness.check(Time(suspect_at.nanos() - 1), waiting), Verdict::Fine);
        assert_eq!(liveness.check(suspect_at, waiting), Verdict::Suspect);
        assert_eq!(liveness.check(suspect_at, waiting), Verdict::Fine);
        let lost_at = waiting + config.lost_after;
        assert_eq!(liveness.deadline(waiting), lost_at);
        assert_eq!(liveness.check(lost_at, waiting), Verdict::Lost);
        assert!(liveness.handle_heard(lost_at));
        assert!(!liveness.handle_heard(lost_at));
        assert_eq!(liveness.check(lost_at, waiting), Verdict::Fine);
    }
}
