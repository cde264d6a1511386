//! The terminal: raw mode, what it says, and drawing on it. Gives it back as it was. Knows no
//! model.

use std::io::{self, Stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};

use aldis_client::shell::Waker;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange,
    Event, KeyEvent, KeyEventKind,
};
use ratatui::crossterm::execute;
use ratatui::{Frame, Terminal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::steady::Steady;

/// Keys that wait to be taken; who types faster waits.
const INPUTS_MAX: usize = 256;

/// What the terminal says.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Key(KeyEvent),
    Paste(String),
    Resize(u16, u16),
    Focus(bool),
    /// There is no terminal any more.
    Gone,
}

/// See the file's first line.
pub(super) struct Tty {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    steady: Steady,
    inputs: Receiver<Input>,
    /// SIGTERM, SIGHUP or SIGINT came; Ctrl-C is a key here.
    ended: Arc<AtomicBool>,
}

impl Tty {
    /// Takes the terminal; `waker` ends the wait of who has to look at inputs.
    pub(super) fn open(waker: Waker) -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGHUP, SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&ended))?;
        }
        // It also restores the terminal if the program panics.
        let terminal = ratatui::try_init()?;
        let (sender, inputs) = mpsc::sync_channel(INPUTS_MAX);
        let tty = Self { terminal, steady: Steady::default(), inputs, ended };
        execute!(io::stdout(), EnableBracketedPaste, EnableFocusChange)?;
        std::thread::Builder::new().name("tty".to_owned()).spawn(move || read(&sender, &waker))?;
        Ok(tty)
    }

    pub(super) fn poll_input(&self) -> Option<Input> {
        self.inputs.try_recv().ok()
    }

    /// Whether somebody asked the process to end.
    pub(super) fn wants_end(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        self.terminal.size().map(|size| (size.width, size.height))
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        let steady = &mut self.steady;
        let result = self.terminal.draw(|frame| {
            draw(frame);
            steady.apply(frame.buffer_mut());
        });
        result.map(drop)
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        // A terminal that is gone cannot be put right.
        let _ = execute!(io::stdout(), DisableBracketedPaste, DisableFocusChange);
        let _ = ratatui::try_restore();
    }
}

/// Runs until the terminal or the one who takes inputs is gone.
fn read(inputs: &SyncSender<Input>, waker: &Waker) {
    loop {
        let input = match event::read() {
            Ok(Event::Key(key)) if key.kind == KeyEventKind::Release => continue,
            Ok(Event::Key(key)) => Input::Key(key),
            Ok(Event::Paste(text)) => Input::Paste(text),
            Ok(Event::Resize(columns, rows)) => Input::Resize(columns, rows),
            Ok(Event::FocusGained) => Input::Focus(true),
            Ok(Event::FocusLost) => Input::Focus(false),
            Ok(Event::Mouse(_)) => continue,
            Err(_) => Input::Gone,
        };
        let is_gone = matches!(input, Input::Gone);
        if inputs.send(input).is_err() || waker.wake().is_err() || is_gone {
            return;
        }
    }
}
