//! Which bug the environment wants planted: ALDIS_PLANTED_BUG, and what a planted leak leaves behind. Built
//! only with the feature `planted-bugs`.

use std::sync::atomic::{AtomicU8, Ordering};

use aldis_logic::planted::{RequestBug, plant};
use anyhow::bail;

/// Names of bugs in what requests get. Those of the MySQL store are where it is opened.
const REQUEST_BUGS: [(&str, RequestBug); 4] = [
    ("panic", RequestBug::Panic),
    ("wrong-code", RequestBug::WrongCode),
    ("others-mailbox", RequestBug::OthersMailbox),
    ("unauthenticated", RequestBug::Unauthenticated),
];

/// What each frame that is none leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Leak {
    /// 256 KiB.
    Memory = 1,
    /// An open file.
    Descriptor,
    /// A thread that waits for ever.
    Thread,
}

/// Their names.
const LEAKS: [(&str, Leak); 3] =
    [("leak", Leak::Memory), ("leak-descriptor", Leak::Descriptor), ("leak-thread", Leak::Thread)];

/// 0: none.
static LEAK: AtomicU8 = AtomicU8::new(0);

/// The bug that is wanted.
pub fn name() -> Option<String> {
    std::env::var("ALDIS_PLANTED_BUG").ok()
}

/// An error unless nothing is wanted, or a bug of this file.
pub fn check(name: Option<&str>) -> anyhow::Result<()> {
    let Some(name) = name else { return Ok(()) };
    let is_known = of_name(&REQUEST_BUGS, name).is_some() || of_name(&LEAKS, name).is_some();
    if is_known { Ok(()) } else { bail!("ALDIS_PLANTED_BUG={name} is unknown") }
}

/// Makes answers to requests wrong, or frames that are none leave something behind, if that is wanted.
pub fn plant_wanted() {
    let wanted = name();
    let wanted = wanted.as_deref().unwrap_or_default();
    plant(of_name(&REQUEST_BUGS, wanted));
    LEAK.store(of_name(&LEAKS, wanted).map_or(0, |leak| leak as u8), Ordering::Relaxed);
}

/// A frame that is none has arrived.
pub fn leak() {
    let active = LEAK.load(Ordering::Relaxed);
    match LEAKS.into_iter().find(|(_, leak)| *leak as u8 == active) {
        // Not zeros: those would take no memory before they are touched. And what nobody looks at the
        // compiler does not even allocate.
        Some((_, Leak::Memory)) => {
            std::mem::forget(std::hint::black_box(vec![1_u8; 256 << 10]));
        }
        Some((_, Leak::Descriptor)) => {
            std::mem::forget(std::fs::File::open("/dev/null"));
        }
        Some((_, Leak::Thread)) => {
            let thread = std::thread::Builder::new().name("left-behind".into());
            // Where none can be had, none is left behind.
            let _ = thread.spawn(|| {
                loop {
                    std::thread::park();
                }
            });
        }
        None => {}
    }
}

fn of_name<T: Copy>(known: &[(&str, T)], name: &str) -> Option<T> {
    known.iter().find(|(known, _)| *known == name).map(|(_, bug)| *bug)
}
