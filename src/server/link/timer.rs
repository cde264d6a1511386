//! A timer that a `mio::Poll` waits for: finer than epoll's own timeout, whose resolution is 1 ms.
//! Knows nothing of what it is set for.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// See the file's first line.
pub struct Timer {
    fd: OwnedFd,
    /// When it goes off, if it is set.
    at: Option<Instant>,
}

impl Timer {
    /// A timer that is not set.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { fd, at: None })
    }

    /// Goes off at `at`, or before. Left alone if it does so already: a turn too many costs less than
    /// a system call in each.
    pub fn set(&mut self, now: Instant, at: Instant) -> io::Result<()> {
        if self.at.is_some_and(|set| set <= at && set > now) {
            return Ok(());
        }
        // Zero would disarm it.
        let rest = at.saturating_duration_since(now).max(Duration::from_nanos(1));
        let value = Timespec {
            tv_sec: i64::try_from(rest.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: rest.subsec_nanos().into(),
        };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Edge-triggered, it raises an event each time it goes off, read or not.
        let spec = Itimerspec { it_interval: zero, it_value: value };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &spec)?;
        self.at = Some(at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn it_goes_off_again_and_again_and_an_earlier_time_counts() {
        let mut poll = Poll::new().unwrap();
        let mut timer = Timer::new(poll.registry(), Token(3)).unwrap();
        let mut events = Events::with_capacity(4);
        for round in 0..3 {
            let now = Instant::now();
            timer.set(now, now + Duration::from_secs(3_600)).unwrap();
            timer.set(now, now + Duration::from_micros(300)).unwrap();
            poll.poll(&mut events, Some(Duration::from_secs(30))).unwrap();
            assert_eq!(events.iter().count(), 1, "round {round}");
            assert!(now.elapsed() < Duration::from_secs(20));
        }
    }
}
