//! Requests to the server: what each was for, and asking again what got no answer. Knows no views.

use std::collections::BTreeMap;

use aldis_client::core::{Request, RequestError, Response, Target};
use aldis_wire::{Code, pb};

use super::pages::Page;

/// Times that a request is asked before its failure is told: those that are asked again are safe to
/// repeat.
const TRIES_MAX: u32 = 20;
/// Pause before a request is asked again when the server names none.
const PAUSE_MS: u64 = 500;

/// Number of a request of the screens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What a request was for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Purpose {
    /// A page of conversations; how many are wanted with it and after it. `None`: those that come
    /// besides, whole.
    List {
        left: Option<usize>,
    },
    History {
        target: Target,
        page: Page,
    },
    MarkRead,
    /// That the user writes something.
    Typing,
    /// Who is there.
    Watch,
    /// What the others of a conversation have read.
    Receipts {
        target: Target,
        so_far: Vec<pb::Receipt>,
    },
    Names,
    Groups {
        so_far: Vec<pb::GroupInfo>,
    },
    Members {
        group: u64,
        so_far: Vec<pb::GroupMember>,
    },
    JoinRequests {
        group: u64,
    },
    Relations {
        list: pb::RelationList,
        so_far: Vec<pb::RelationInfo>,
    },
    Search {
        query: String,
    },
    /// Which user has this name.
    Find {
        name: String,
    },
    CreateGroup {
        name: String,
    },
    /// One's own devices.
    Devices,
    /// Who may see whether one is online.
    Audience {
        audience: pb::PresenceAudience,
    },
    /// One's own device is logged out.
    Revoke {
        device_id: String,
    },
    /// Another password.
    Password,
    /// Something was changed; what to say then.
    Change {
        done: String,
        then: After,
    },
}

/// What is looked at again after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    Relations,
    Group(u64),
    Groups,
    Profile,
}

/// The outcome of a request.
pub(super) type Outcome = Result<Response, RequestError>;

#[derive(Debug)]
struct Asked {
    request: Request,
    purpose: Purpose,
    try_count: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unanswered,
    /// Until there is a connection again.
    Offline,
    /// Until this time.
    Pausing(u64),
}

/// See the file's first line.
#[derive(Debug, Default)]
pub(super) struct Asks {
    last: u64,
    asked: BTreeMap<Ticket, Asked>,
}

impl Asks {
    /// A new request; the caller hands it on.
    pub(super) fn ask(&mut self, request: Request, purpose: Purpose) -> Ticket {
        self.last += 1;
        let state = State::Unanswered;
        let asked = Asked { request, purpose, try_count: 1, state };
        self.asked.insert(Ticket(self.last), asked);
        Ticket(self.last)
    }

    /// Takes an outcome; `None` when it will be asked again.
    pub(super) fn handle_outcome(
        &mut self,
        now_ms: u64,
        ticket: Ticket,
        outcome: Outcome,
    ) -> Option<(Purpose, Outcome)> {
        let asked = self.asked.get_mut(&ticket)?;
        // What one writes now is no news later, and a password that was changed is not the old one
        // any more.
        let is_lasting = !matches!(asked.purpose, Purpose::Typing | Purpose::Password);
        if asked.try_count < TRIES_MAX && is_lasting {
            match &outcome {
                Err(RequestError::Lost) => {
                    asked.state = State::Offline;
                    return None;
                }
                Err(RequestError::Refused { code, retry_after_ms, .. }) if code.is_retryable() => {
                    let pause_ms = u64::from(*retry_after_ms).max(PAUSE_MS);
                    asked.state = State::Pausing(now_ms.saturating_add(pause_ms));
                    return None;
                }
                _ => {}
            }
        }
        self.asked.remove(&ticket).map(|asked| (asked.purpose, outcome))
    }

    /// There is a connection: what was lost with the last one can be asked again.
    pub(super) fn handle_online(&mut self) {
        for asked in self.asked.values_mut().filter(|asked| asked.state == State::Offline) {
            asked.state = State::Pausing(0);
        }
    }

    /// A request whose time to be asked again has come.
    pub(super) fn poll_again(&mut self, now_ms: u64) -> Option<(Ticket, Request)> {
        let is_due = |asked: &Asked| matches!(asked.state, State::Pausing(at) if at <= now_ms);
        let (ticket, asked) = self.asked.iter_mut().find(|(_, asked)| is_due(asked))?;
        asked.state = State::Unanswered;
        asked.try_count += 1;
        Some((*ticket, asked.request.clone()))
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        let pauses = self.asked.values().filter_map(|asked| match asked.state {
            State::Pausing(at) => Some(at),
            _ => None,
        });
        pauses.min()
    }

    /// Whether something of this kind has no answer yet.
    pub(super) fn has(&self, is_it: impl Fn(&Purpose) -> bool) -> bool {
        self.asked.values().any(|asked| is_it(&asked.purpose))
    }
}

/// Why a request failed, for people.
pub(super) fn why(error: &RequestError) -> String {
    match error {
        RequestError::Lost => "the connection ended before the answer".to_owned(),
        RequestError::Refused { code, message, .. } => {
            let said = match code {
                Code::NotFound => "there is no such thing here",
                Code::Forbidden => "you may not do that",
                Code::TooLarge => "that is too much",
                Code::BadCredentials => "that is not your password",
                Code::RateLimited | Code::Busy => "too much at once; try again a little later",
                Code::Unavailable => "the server cannot do it now",
                _ => code.name(),
            };
            match message.is_empty() {
                true => said.to_owned(),
                false => format!("{said} ({message})"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: Code, retry_after_ms: u32) -> Outcome {
        Err(RequestError::Refused { code, message: String::new(), retry_after_ms })
    }

    #[test]
    fn what_a_cut_took_is_asked_again_when_there_is_a_connection() {
        let mut asks = Asks::default();
        let request = Request::GroupList(pb::GroupListReq::default());
        let ticket = asks.ask(request.clone(), Purpose::Names);
        assert!(asks.handle_outcome(0, ticket, Err(RequestError::Lost)).is_none());
        assert!(asks.poll_again(1_000).is_none());
        asks.handle_online();
        assert_eq!(asks.poll_again(1_000), Some((ticket, request)));
        assert!(asks.poll_again(1_000).is_none());
    }

    #[test]
    fn a_busy_server_is_asked_after_its_pause_and_a_refusal_is_told() {
        let mut asks = Asks::default();
        let request = Request::GroupList(pb::GroupListReq::default());
        let ticket = asks.ask(request, Purpose::Names);
        assert!(asks.handle_outcome(0, ticket, refused(Code::Busy, 700)).is_none());
        assert_eq!(asks.poll_timeout(), Some(700));
        assert!(asks.poll_again(699).is_none() && asks.poll_again(700).is_some());
        assert!(asks.handle_outcome(0, ticket, refused(Code::NotFound, 0)).is_some());
        assert!(!asks.has(|_| true));
    }

    #[test]
    fn no_request_is_asked_for_ever() {
        let mut asks = Asks::default();
        let request = Request::GroupList(pb::GroupListReq::default());
        let ticket = asks.ask(request, Purpose::Names);
        let mut now_ms = 0;
        while asks.handle_outcome(now_ms, ticket, refused(Code::Unavailable, 0)).is_none() {
            now_ms += PAUSE_MS;
            assert!(asks.poll_again(now_ms).is_some());
        }
        assert_eq!(now_ms, PAUSE_MS * u64::from(TRIES_MAX - 1));
    }
}
