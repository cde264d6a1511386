//! Which threads go first where cores are few: those that carry messages. Knows nice values, no thread.

/// Nice value of the others: what many ask for, as lists and checks of passwords, does not keep the
/// threads waiting that read a message, commit it and push it; on one core they had half of the time
/// otherwise. Not more, because logins shall end in time beside a busy database, too.
const NICE: i32 = 5;

/// The calling thread goes behind those that carry messages.
pub fn step_back() {
    // On Linux the value is the calling thread's own (setpriority(2)).
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default().to_owned();
        log::warn!("{name} runs beside the reactors as their equal: {error}");
    }
}
