//! When to connect, when to give up, how long to wait in between. Knows no frames.

use std::collections::VecDeque;

use super::event::LinkAction;
use super::ids::Rng;
use super::limits::{BACKOFF_MS_MAX, BACKOFF_MS_MIN, CONNECT_MS_MAX};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No connection and none wanted.
    Stopped,
    /// The driver is opening one.
    Connecting { deadline: u64 },
    /// It is open.
    Open,
    /// The next try comes at `until`.
    Waiting { until: u64 },
}

/// The connection's life.
#[derive(Debug)]
pub(super) struct Link {
    phase: Phase,
    actions: VecDeque<LinkAction>,
    /// Tries in a row that led to no session.
    failure_count: u32,
    /// Where the server told us to go, once.
    redirect: Option<String>,
}

impl Link {
    pub(super) fn new() -> Self {
        Self { phase: Phase::Stopped, actions: VecDeque::new(), failure_count: 0, redirect: None }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    pub(super) fn poll_action(&mut self) -> Option<LinkAction> {
        self.actions.pop_front()
    }

    /// Connect now unless a connection is open or opening.
    pub(super) fn start(&mut self, now: u64) {
        if matches!(self.phase, Phase::Stopped | Phase::Waiting { .. }) {
            self.actions.push_back(LinkAction::Connect { to: self.redirect.take() });
            self.phase = Phase::Connecting { deadline: now.saturating_add(CONNECT_MS_MAX) };
        }
    }

    pub(super) fn handle_connected(&mut self) -> bool {
        let expected = matches!(self.phase, Phase::Connecting { .. });
        if expected {
            self.phase = Phase::Open;
        }
        expected
    }

    /// A session came of it: the next failure starts with a short pause again.
    pub(super) fn handle_session(&mut self) {
        self.failure_count = 0;
    }

    pub(super) fn set_redirect(&mut self, to: String) {
        self.redirect = Some(to);
    }

    /// The driver's socket is to be closed, if it has one.
    pub(super) fn close(&mut self) {
        if matches!(self.phase, Phase::Open | Phase::Connecting { .. }) {
            self.actions.push_back(LinkAction::Close);
        }
    }

    /// No further tries.
    pub(super) fn stop(&mut self) {
        self.phase = Phase::Stopped;
        self.failure_count = 0;
    }

    /// Another try after a jittered pause of at least `at_least_ms`; returns the pause.
    pub(super) fn wait(&mut self, now: u64, at_least_ms: u64, rng: &mut Rng) -> u64 {
        let most_ms = (BACKOFF_MS_MIN << self.failure_count.min(16)).min(BACKOFF_MS_MAX);
        self.failure_count = self.failure_count.saturating_add(1);
        let backoff_ms = most_ms / 2 + rng.below(most_ms / 2 + 1);
        // Those who were told the same pause must not come back at the same moment either.
        let asked_ms = at_least_ms + rng.below(at_least_ms / 4 + 1);
        let pause_ms = backoff_ms.max(asked_ms);
        self.phase = Phase::Waiting { until: now.saturating_add(pause_ms) };
        pause_ms
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        match self.phase {
            Phase::Connecting { deadline } => Some(deadline),
            Phase::Waiting { until } => Some(until),
            Phase::Open | Phase::Stopped => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_jitter_and_are_bounded() {
        let mut link = Link::new();
        let mut rng = Rng::new(1);
        let mut pauses = Vec::new();
        for _ in 0..20 {
            pauses.push(link.wait(0, 0, &mut rng));
        }
        assert!(pauses[0] >= BACKOFF_MS_MIN / 2 && pauses[0] <= BACKOFF_MS_MIN);
        assert!(pauses.iter().all(|pause| *pause <= BACKOFF_MS_MAX));
        assert!(pauses[19] >= BACKOFF_MS_MAX / 2);
        link.handle_session();
        assert!(link.wait(0, 0, &mut rng) <= BACKOFF_MS_MIN);
    }

    #[test]
    fn a_redirect_is_followed_once() {
        let mut link = Link::new();
        link.set_redirect("b:1".into());
        link.start(0);
        assert_eq!(link.poll_action(), Some(LinkAction::Connect { to: Some("b:1".into()) }));
        link.wait(0, 0, &mut Rng::new(1));
        link.start(1);
        assert_eq!(link.poll_action(), Some(LinkAction::Connect { to: None }));
    }
}
