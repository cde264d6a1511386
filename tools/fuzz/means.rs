//! What a run is given besides the server's address, and what it can reach with that: users that there
//! are, a token whose time is over, the process that stores. Knows no frame.

use std::path::Path;
use std::time::{Duration, Instant};

use aldis_wire::{Code, Command};
use rustix::process::{Pid, Signal, kill_process};

use crate::case::Case;
use crate::options::OptionsError;

/// Friends that a user may have: whoever wants one more is refused.
const FRIENDS_MAX: usize = 5_000;
/// Users whom one may block.
const BLOCKED_MAX: usize = 2_000;

/// Time for a process to stop: it has many threads, and others run on the same machine.
const STOP_MAX: Duration = Duration::from_secs(2);
/// Between two looks whether it has.
const STOP_POLL: Duration = Duration::from_millis(1);

/// A user that `aldisd admin seed-users` made.
#[derive(Clone, Debug)]
pub struct Member {
    /// See there.
    pub id: u64,
    /// Good for the device below only.
    pub token: String,
    /// Of the token.
    pub device_id: String,
    /// Of the token.
    pub class: u8,
}

/// Reads a file of `aldisd admin seed-users`.
pub fn members(path: &Path) -> Result<Vec<Member>, OptionsError> {
    let wrong = |what: String| OptionsError::File(path.to_owned(), what);
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let members: Option<Vec<Member>> = text.lines().map(member).collect();
    members.ok_or_else(|| wrong("not a file of aldisd admin seed-users".into()))
}

fn member(line: &str) -> Option<Member> {
    let [id, _, token, device_id, class] = line.split('\t').collect::<Vec<_>>()[..] else {
        return None;
    };
    let (id, class) = (id.parse().ok()?, class.parse().ok()?);
    Some(Member { id, token: token.into(), device_id: device_id.into(), class })
}

/// The process that stores what the server commits. It never stays stopped.
#[derive(Debug)]
pub struct StoreProcess {
    pid: Pid,
    is_stopped: bool,
}

impl StoreProcess {
    /// Of this number; `None`: there is none that could be stopped.
    pub fn new(pid: u32) -> Option<Self> {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        rustix::process::test_kill_process(pid).ok()?;
        Some(Self { pid, is_stopped: false })
    }

    /// It does nothing any more when this returns.
    pub fn stop(&mut self) {
        self.is_stopped = kill_process(self.pid, Signal::STOP).is_ok();
        // Each of its threads stops when it would run next.
        let deadline = Instant::now() + STOP_MAX;
        while self.is_stopped && self.is_running() && Instant::now() < deadline {
            std::thread::sleep(STOP_POLL);
        }
    }

    /// Whether one of its threads is not stopped.
    fn is_running(&self) -> bool {
        let folder = format!("/proc/{}/task", self.pid.as_raw_nonzero());
        let threads = std::fs::read_dir(folder).into_iter().flatten().flatten();
        threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok()).any(
            // The name before the state is in parentheses, and may hold some.
            |stat| {
                stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['T', 'Z', 'X']))
            },
        )
    }

    /// It goes on.
    pub fn go_on(&mut self) {
        if std::mem::take(&mut self.is_stopped) {
            // It may have ended meanwhile.
            let _ = kill_process(self.pid, Signal::CONT);
        }
    }
}

impl Drop for StoreProcess {
    fn drop(&mut self) {
        self.go_on();
    }
}

/// See the file's first line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Means {
    /// Users that there are besides.
    pub members: usize,
    /// Whether there is a token whose time is over.
    pub has_expired_token: bool,
    /// Whether the store can be stopped.
    pub has_store: bool,
    /// Whether there is time for what takes minutes.
    pub is_long: bool,
    /// Whether the server is on this machine.
    pub is_local: bool,
    /// Whether the server limits how often this address may ask.
    pub is_limited: bool,
}

impl Means {
    /// Whether a recipe can be played with these.
    pub fn allow(&self, case: &Case) -> bool {
        (self.is_long || !case.slow)
            && (self.has_expired_token || !case.expired)
            && (self.has_store || !case.stops_store())
            && case.crowd <= self.members
    }

    /// Why a documented code cannot be brought about with these; `None`: it can.
    pub fn why_out_of_reach(&self, command: Command, code: Code) -> Option<&'static str> {
        let has_crowd = |count: usize| self.is_long && self.members >= count;
        let (is_met, why) = match (command, code) {
            (Command::Login, Code::TokenExpired) => {
                (self.has_expired_token, "it takes --expired-tokens")
            }
            (Command::Login | Command::Register | Command::ChangePassword, Code::Busy) => {
                return None;
            }
            (Command::Login, Code::Unavailable | Code::RateLimited) => return None,
            (Command::Register, Code::RateLimited) => {
                (!self.is_local, "a server does not count registrations of its own machine")
            }
            (_, Code::Busy) => {
                (self.has_store, "it takes --store-pid: a store that does not keep up")
            }
            (_, Code::Unavailable) => (self.has_store, "it takes --store-pid: a store that fails"),
            (_, Code::RateLimited) => (
                self.is_limited,
                "it takes rates.on_loopback: the server does not limit this address",
            ),
            (Command::FriendHandle, Code::TooLarge) => {
                (has_crowd(FRIENDS_MAX), "it takes a run of 5 minutes and --tokens of 5,000 users")
            }
            (Command::Block, Code::TooLarge) => (
                has_crowd(BLOCKED_MAX + 1),
                "it takes a run of 5 minutes and --tokens of 2,001 users",
            ),
            (Command::GroupHandleJoin | Command::ConversationUpdate, Code::TooLarge) => {
                (self.is_long, "it takes a run of 5 minutes")
            }
            _ => return None,
        };
        (!is_met).then_some(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_user_is_read() {
        let read = member("17\tseed-1\tey.J.x\tseed\t5").unwrap();
        assert_eq!(
            (read.id, &read.token[..], &read.device_id[..], read.class),
            (17, "ey.J.x", "seed", 5)
        );
        assert!(member("17\tseed-1").is_none() && member("x\ta\tb\tc\t5").is_none());
    }

    #[test]
    fn with_all_means_nothing_is_out_of_reach() {
        let means = Means {
            members: FRIENDS_MAX,
            has_expired_token: true,
            has_store: true,
            is_long: true,
            is_local: false,
            is_limited: true,
        };
        for command in Command::REQUESTS {
            for code in aldis_wire::codes_of(command) {
                assert_eq!(means.why_out_of_reach(command, code), None, "{command:?} {code}");
            }
        }
        let none = Means::default();
        assert!(none.why_out_of_reach(Command::FriendHandle, Code::TooLarge).is_some());
        assert!(none.why_out_of_reach(Command::History, Code::NotFound).is_none());
    }

    #[test]
    fn a_store_that_was_stopped_goes_on() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let state = |id: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
            stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
        };
        let wait = |wanted: fn(char) -> bool| while !wanted(state(child.id())) {};
        let mut store = StoreProcess::new(child.id()).unwrap();
        store.stop();
        assert_eq!(state(child.id()), 'T');
        drop(store);
        wait(|state| state != 'T');
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
