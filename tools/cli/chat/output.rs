//! Where the chat shows things: above the line being typed, or plainly. Knows no messages.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustyline::ExternalPrinter;

/// Something was shown so recently that it may stand below the typed line.
const JUST_NOW: Duration = Duration::from_millis(50);

/// See the file's first line. Clones show at the same place.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<Place>>);

struct Place {
    /// `None`: standard output.
    printer: Option<Box<dyn ExternalPrinter + Send>>,
    last_at: Option<Instant>,
}

impl Output {
    pub(super) fn plain() -> Self {
        Self(Arc::new(Mutex::new(Place { printer: None, last_at: None })))
    }

    pub(super) fn above_editor(printer: Box<dyn ExternalPrinter + Send>) -> Self {
        Self(Arc::new(Mutex::new(Place { printer: Some(printer), last_at: None })))
    }

    /// Shows whole lines. What cannot be shown is lost with the terminal.
    pub(super) fn show(&self, text: &str) {
        let mut place = self.lock();
        place.last_at = Some(Instant::now());
        let mut lines = text.to_owned();
        lines.push('\n');
        match &mut place.printer {
            Some(printer) => {
                let _ = printer.print(lines);
            }
            None => {
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
            }
        }
    }

    /// Removes the `rows` above the cursor, unless something was shown there just now.
    pub(super) fn erase_rows(&self, rows: usize) {
        let place = self.lock();
        if place.last_at.is_none_or(|at| at.elapsed() > JUST_NOW) {
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "\x1b[{rows}A\r\x1b[J").and_then(|()| out.flush());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
