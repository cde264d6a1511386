//! Which threads go first where cores are few: those that carry messages, then those that answer questions,
//! then those that check passwords. Knows nice values and time slices, no thread.
//!
//! A message takes four steps: reading, committing, the flush's end, pushing. Each waited for as long as
//! the scheduler lets another run, which is up to its tick: 4 ms, and twice that with two others. So those
//! who carry messages ask for short slices, which Linux 6.12 and later give them sooner, and the others
//! offer the core between their steps; a password's hash is one long step, so a timer cuts it.

use std::io;
use std::time::{Duration, Instant};

use crate::sys::{self, BreakTimer};

/// Nice value of those who answer questions: a tenth of the share of those who carry messages, where the
/// core does not suffice for both. Not less, because syncs are questions, too.
const NICE_OF_READERS: i32 = 10;

/// Nice value of those who check passwords: with nothing to spare, a login takes a second instead of 15 ms.
const NICE_OF_HASHERS: i32 = 19;

/// Time at once that a thread asks for: the shortest that the kernel takes.
const SLICE: Duration = Duration::from_micros(100);

/// Time after which a thread with many short steps offers the core to others: what a few answers take.
const OFFER_AFTER: Duration = Duration::from_micros(200);

/// Time after which who checks a password pauses, where others want its core.
const BREAK_AFTER: Duration = Duration::from_micros(200);

/// Length of such a pause: whoever waits gets the core, and keeps it for a slice. Not an offer as those of
/// readers, after which the scheduler goes on with whoever has had the least of the core, up to its tick.
const BREAK: Duration = Duration::from_micros(50);

/// The calling thread carries messages.
pub fn carry_messages() {
    tell(sys::set_time_slice(SLICE));
}

/// The calling thread answers questions. It shall offer the core after each answer.
pub fn answer_questions() -> Offer {
    step_back(NICE_OF_READERS);
    // With long slices, each offer would cost it a long one.
    tell(sys::set_time_slice(SLICE));
    Offer { since: Instant::now() }
}

/// The calling thread checks passwords. It shall do so within [`Breaks::during`].
pub fn check_passwords() -> Breaks {
    step_back(NICE_OF_HASHERS);
    let timer = BreakTimer::new(BREAK_AFTER, BREAK);
    Breaks { timer: timer.map_err(warn).ok() }
}

/// Lets others run in the midst of long work.
pub struct Breaks {
    timer: Option<BreakTimer>,
}

impl Breaks {
    /// Does the work, with breaks.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.timer {
            Some(timer) => timer.during(work),
            None => work(),
        }
    }
}

/// Lets others run now and then.
pub struct Offer {
    since: Instant,
}

impl Offer {
    /// Between two steps.
    pub fn make(&mut self) {
        if self.since.elapsed() >= OFFER_AFTER {
            std::thread::yield_now();
            self.since = Instant::now();
        }
    }
}

fn step_back(nice: i32) {
    // On Linux the value is the calling thread's own (setpriority(2)).
    tell(rustix::process::setpriority_process(None, nice).map_err(io::Error::from));
}

/// Goes on all the same: it costs time under load, nothing else.
fn tell(result: io::Result<()>) {
    if let Err(error) = result {
        warn(error);
    }
}

fn warn(error: io::Error) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    log::warn!("{name} is not as urgent as it should be: {error}");
}
