//! Signals as values on a thread: SIGTERM and SIGINT ask for a drain, a second one ends at once.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Waits for the signals that end the server.
pub struct Ending(Signals);

impl Ending {
    /// From now on the signals no longer end the process by themselves.
    pub fn register() -> std::io::Result<Self> {
        Ok(Self(Signals::new([SIGINT, SIGTERM])?))
    }

    /// Blocks until one arrives.
    pub fn wait(&mut self) {
        self.0.forever().next();
    }
}
