//! The one file of system calls that no crate wraps safely.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::null_mut;
use std::time::Duration;

use crate::breaks::{Moment, Pacer};

/// Blocks from this size on are given back to the kernel when they are freed, bytes. Large bodies
/// and the memory of a password hash would otherwise stay with each thread that held them once:
/// the allocator raises this size by itself, up to 32 MiB, until it is set. The vectors of a batch
/// stay below it.
const MAP_BYTES_MIN: libc::c_int = 256 << 10;
/// Free memory at the end of a heap that a thread keeps for the next burst, bytes.
const KEEP_BYTES_MAX: libc::c_int = 4 << 20;

/// Lets the process give memory back after a burst. Only glibc needs to be told.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt changes two numbers of the allocator under its own lock, and is called
    // before any other thread exists. It cannot fail for these parameters; if it did, the
    // allocator would go on as before.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAP_BYTES_MIN);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEEP_BYTES_MAX);
    }
}

/// Gives back to the kernel what is free within the heaps of all threads.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes the allocator's own locks and moves nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Asks the kernel to let the calling thread run sooner, for this long at a time: its share stays what it
/// was. Linux 6.12 and later do (sched(7), EEVDF), earlier ones ignore it. Not for real-time threads, which
/// whoever made them such has placed.
pub fn set_time_slice(slice: Duration) -> io::Result<()> {
    let len = size_of::<libc::sched_attr>() as libc::c_uint;
    let (this_thread, no_flags): (libc::pid_t, libc::c_uint) = (0, 0);
    // SAFETY: a structure of integers, for which zeros are values; the kernel writes at most `len` bytes
    // of it, which lives until the call returns.
    let (mut attr, result) = unsafe {
        let mut attr: libc::sched_attr = std::mem::zeroed();
        let to = &raw mut attr;
        let result = libc::syscall(libc::SYS_sched_getattr, this_thread, to, len, no_flags);
        (attr, result)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if attr.sched_policy != libc::SCHED_OTHER as u32 {
        return Ok(());
    }
    attr.sched_runtime = u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX);
    // SAFETY: the kernel reads the structure, whose size it says itself, and which lives until the call
    // returns.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_setattr, this_thread, &raw const attr, no_flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the kernel leave out the time at which each datagram came. quinn-udp 0.6 asks for it, and
/// then its room for what goes with a datagram does not suffice for the ECN mark, which is cut off.
pub fn drop_receive_times(socket: &impl AsFd) -> io::Result<()> {
    let off: libc::c_int = 0;
    let len = size_of_val(&off) as libc::socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open as long as `socket` is borrowed, and the kernel reads `len`
    // bytes of `off`, which lives until the call returns.
    let result = unsafe {
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, (&raw const off).cast(), len)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A timer that interrupts the thread that made it while that works, so that it lets others run within
/// what cannot be cut: who computes keeps its core up to the scheduler's next tick, however little its
/// share is. Cannot leave its thread.
pub struct BreakTimer {
    timer: libc::timer_t,
}

/// What the signal's handler must know. Written by the handler or while it cannot come.
#[derive(Clone, Copy)]
struct Breaks {
    timer: libc::timer_t,
    every: libc::timespec,
    length: libc::timespec,
    pacer: Pacer,
}

thread_local! {
    // Without a destructor and without a first use, so that a signal's handler may reach it.
    static BREAKS: Cell<Option<Breaks>> = const { Cell::new(None) };
}

impl BreakTimer {
    /// The calling thread shall pause for `length` after each `every` of work, if others want its core.
    /// Of one thread not more than one.
    pub fn new(every: Duration, length: Duration) -> io::Result<Self> {
        let signal = libc::SIGRTMIN();
        let handler: extern "C" fn(libc::c_int) = take_break;
        let mut timer: libc::timer_t = null_mut();
        // SAFETY: both structures are integers, pointers that may be null and sets of signals, for which
        // zeros are values. The kernel reads them and writes `timer` until the calls return. The handler
        // calls what signal-safety(7) allows, and nothing else of this process uses the signal.
        let result = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = signal;
            event.sigev_notify_thread_id = libc::gettid();
            match libc::sigaction(signal, &raw const action, null_mut()) {
                0 => libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer),
                failed => failed,
            }
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        let (every, length) = (timespec(every), timespec(length));
        BREAKS.set(Some(Breaks { timer, every, length, pacer: Pacer::new() }));
        Ok(Self { timer })
    }

    /// Does the work, with breaks.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let every = BREAKS.get().map(|mut breaks| {
            breaks.pacer.begin(moment());
            BREAKS.set(Some(breaks));
            breaks.every
        });
        set_timer(self.timer, every.unwrap_or(NEVER));
        let done = work();
        // A signal that is on its way comes before this returns.
        set_timer(self.timer, NEVER);
        done
    }
}

impl Drop for BreakTimer {
    fn drop(&mut self) {
        BREAKS.set(None);
        // SAFETY: the timer was made by `new` and is deleted once.
        unsafe { libc::timer_delete(self.timer) };
    }
}

/// Disarms a timer.
const NEVER: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };

/// Handles the timer's signal. On a thread without such a timer, where somebody else has sent it, nothing.
extern "C" fn take_break(_signal: libc::c_int) {
    let Some(mut breaks) = BREAKS.get() else { return };
    let is_due = breaks.pacer.is_break_due(moment());
    BREAKS.set(Some(breaks));
    // SAFETY: errno is the thread's own; whoever was interrupted shall find it as it was. The kernel reads
    // `length`, which lives until the call returns; a sleep that ends early is as good.
    unsafe {
        let errno = *libc::__errno_location();
        if is_due {
            libc::nanosleep(&raw const breaks.length, null_mut());
        }
        set_timer(breaks.timer, breaks.every);
        *libc::__errno_location() = errno;
    }
}

/// Once, after so long. Cannot fail for a timer that exists.
fn set_timer(timer: libc::timer_t, after: libc::timespec) {
    let once = libc::itimerspec { it_interval: NEVER, it_value: after };
    // SAFETY: the kernel reads the structure, which lives until the call returns; a number that is no
    // timer's is an error.
    unsafe { libc::timer_settime(timer, 0, &raw const once, null_mut()) };
}

/// Of the calling thread, now.
fn moment() -> Moment {
    Moment { at: read_clock(libc::CLOCK_MONOTONIC), ran: read_clock(libc::CLOCK_THREAD_CPUTIME_ID) }
}

fn read_clock(clock: libc::clockid_t) -> Duration {
    let mut time = NEVER;
    // SAFETY: the kernel writes the structure, which lives until the call returns. It cannot fail for
    // these clocks.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: time.as_secs().cast_signed(),
        tv_nsec: libc::c_long::from(time.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    const WORK: Duration = Duration::from_millis(60);

    fn work() {
        let begin = read_clock(libc::CLOCK_THREAD_CPUTIME_ID);
        while read_clock(libc::CLOCK_THREAD_CPUTIME_ID) - begin < WORK {
            std::hint::spin_loop();
        }
    }

    /// How often the calling thread went to sleep by itself.
    fn sleeps() -> i64 {
        // SAFETY: a structure of integers, which the kernel writes until the call returns.
        unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
            usage.ru_nvcsw
        }
    }

    #[test]
    fn who_computes_where_others_want_the_core_pauses() {
        let mut cpus = rustix::thread::CpuSet::new();
        cpus.set(rustix::thread::sched_getcpu());
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    rustix::thread::sched_setaffinity(None, &cpus).unwrap();
                    while !is_done.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let worker = scope.spawn(|| {
                rustix::thread::sched_setaffinity(None, &cpus).unwrap();
                let timer =
                    BreakTimer::new(Duration::from_micros(200), Duration::from_micros(50)).unwrap();
                let before = sleeps();
                timer.during(work);
                let after = sleeps();
                work();
                (after - before, sleeps() - after)
            });
            let slept = worker.join();
            is_done.store(true, Ordering::Relaxed);
            let (with_breaks, without) = slept.unwrap();
            assert!(with_breaks > 0, "no break");
            assert_eq!(without, 0, "a break after the work");
        });
    }
}
