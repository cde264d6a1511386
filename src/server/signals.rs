//! Signals as values on a thread: SIGTERM and SIGINT ask for a drain, a second one ends at once; SIGHUP
//! asks for what can be read again.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Waits for the signals that end the server.
pub struct Ending(Signals);

impl Ending {
    /// From now on the signals no longer end the process by themselves.
    pub fn register() -> std::io::Result<Self> {
        Ok(Self(Signals::new([SIGHUP, SIGINT, SIGTERM])?))
    }

    /// Blocks until one arrives; calls `reload` at each SIGHUP before.
    pub fn wait(&mut self, reload: impl Fn()) {
        for signal in self.0.forever() {
            if signal != SIGHUP {
                return;
            }
            reload();
        }
    }
}
