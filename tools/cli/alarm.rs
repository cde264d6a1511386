//! A timer for a poll: finer than the milliseconds of the poll's own timeout. Knows no clock.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// A timer that makes a poll return.
pub struct Alarm {
    timer: OwnedFd,
    set_for: Option<u64>,
}

impl Alarm {
    /// A timer that is not set, whose events have this token.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let raw = timer.as_raw_fd();
        registry.register(&mut SourceFd(&raw), token, Interest::READABLE)?;
        Ok(Self { timer, set_for: None })
    }

    /// Sets it; what the poll's own timeout has to be.
    pub fn set(&mut self, now_ns: u64, wake_ns: u64) -> io::Result<Option<Duration>> {
        if wake_ns <= now_ns {
            return Ok(Some(Duration::ZERO));
        }
        if self.set_for == Some(wake_ns) {
            return Ok(None);
        }
        let wait = Duration::from_nanos(wake_ns - now_ns);
        let spec = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: wait.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: wait.subsec_nanos().into(),
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        self.set_for = Some(wake_ns);
        Ok(None)
    }

    /// Its event arrived.
    pub fn handle_event(&mut self) {
        self.set_for = None;
    }
}
