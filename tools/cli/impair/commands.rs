//! Settings that come by standard input while the relay runs. Reads on a thread of its own; knows no
//! setting.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use mio::{Registry, Token, Waker};

/// Lines that may wait to be applied; then the reader waits.
const LINES_MAX: usize = 64;
/// Bytes of a line; the rest of a longer one is another line.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// See the file's first lines.
pub struct Commands {
    lines: Receiver<String>,
}

/// What there is to read.
pub enum Command {
    /// A line.
    Words(String),
    /// Nothing now.
    Nothing,
    /// The input has ended.
    End,
}

impl Commands {
    /// Begins to read; each line wakes the poll.
    pub fn read(registry: &Registry, token: Token) -> io::Result<Self> {
        let waker = Arc::new(Waker::new(registry, token)?);
        let (sender, lines) = sync_channel(LINES_MAX);
        let run = move || {
            let mut input = io::stdin().lock();
            loop {
                let mut line = Vec::new();
                let len = (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
                let is_over = !len.is_ok_and(|len| len > 0);
                let line = String::from_utf8_lossy(&line).trim().to_owned();
                if is_over || sender.send(line).is_err() {
                    break;
                }
                // A relay that is gone needs no waking.
                let _ = waker.wake();
            }
            drop(sender);
            let _ = waker.wake();
        };
        std::thread::Builder::new().name("commands".to_owned()).spawn(run)?;
        Ok(Self { lines })
    }

    /// The next line.
    pub fn poll(&self) -> Command {
        match self.lines.try_recv() {
            Ok(line) => Command::Words(line),
            Err(TryRecvError::Empty) => Command::Nothing,
            Err(TryRecvError::Disconnected) => Command::End,
        }
    }
}
