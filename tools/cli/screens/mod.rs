//! `aldis chat` on a terminal: conversations, messages, friends and groups on a full screen. This
//! file is the thin shell around the model: it owns the client and hands keys, events, the time and
//! effects to and fro.
//!
//! Two threads: one waits for what the terminal says (`tty`), one for the server. The model decides
//! everything and the views draw it; neither knows a terminal or a connection.

mod editor;
mod keys;
mod model;
mod steady;
#[cfg(test)]
mod tests;
mod text;
mod tty;
mod view;

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aldis_client::core::{Event, RequestError, RequestNo, SubmitError, Target};
use aldis_wire::{Code, limits};
use jiff::tz::TimeZone;

use crate::connect::Session;
use crate::exit;
use crate::terminal::{now_ms, preview};
use model::{Effect, Line, Model, Setting, Ticket};
use tty::{Input, Tty};
use view::Theme;

pub use model::help;

/// Longest wait without a look at the clock and at signals.
const TICK: Duration = Duration::from_secs(1);
/// At the end: how long what was written may take to be handed to the kernel.
const FLUSH_WAIT: Duration = Duration::from_millis(200);
/// Characters of a message that was not acknowledged, at the end.
const LOST_CHARS: usize = 200;

/// The client, the model, and which request of the one is which of the other.
struct Screens {
    session: Session,
    model: Model,
    tickets: HashMap<RequestNo, Ticket>,
    has_ended: bool,
}

/// Runs until the user leaves.
pub fn run(session: Session, place: &str, with: Option<Target>) -> anyhow::Result<ExitCode> {
    let setting = Setting {
        me: session.me.user_id,
        username: session.me.username.clone(),
        place: place.to_owned(),
        zone: TimeZone::system(),
        seed: getrandom::u64().map_err(std::io::Error::other)?,
    };
    let mut model = Model::new(setting, now_ms());
    if let Some(target) = with {
        model.open(target);
    }
    let tickets = HashMap::new();
    let mut screens = Screens { session, model, tickets, has_ended: false };
    let mut tty = Tty::open(screens.session.client.waker())?;
    let result = screens.run(&mut tty);
    drop(tty); // what follows is printed on the usual screen
    result?;
    screens.say_goodbye()
}

impl Screens {
    fn run(&mut self, tty: &mut Tty) -> anyhow::Result<()> {
        let theme = Theme::from_env();
        let (columns, rows) = tty.size()?;
        self.model.handle_resize(now_ms(), columns, rows);
        loop {
            while let Some(input) = tty.poll_input() {
                self.handle_input(input);
            }
            self.apply_effects();
            if self.has_ended || tty.wants_end() {
                return Ok(());
            }
            let size = tty.size()?;
            if size != self.model.size {
                self.model.handle_resize(now_ms(), size.0, size.1);
            }
            let model = &self.model;
            tty.draw(|frame| view::draw(model, theme, frame))?;
            if let Some(event) = self.session.client.wait_event(self.deadline())? {
                self.handle_event(event);
            }
            // What came together is drawn once.
            while let Some(event) = self.session.client.core_mut().0.poll_event() {
                self.handle_event(event);
            }
            self.model.handle_timeout(now_ms());
        }
    }

    fn deadline(&self) -> Instant {
        let until = self.model.poll_timeout().map(|at| at.saturating_sub(now_ms()));
        Instant::now() + until.map_or(TICK, |ms| Duration::from_millis(ms).min(TICK))
    }

    fn handle_input(&mut self, input: Input) {
        let now_ms = now_ms();
        match input {
            Input::Key(key) => self.model.handle_key(now_ms, key),
            Input::Paste(text) => self.model.handle_paste(now_ms, &text),
            Input::Resize(columns, rows) => self.model.handle_resize(now_ms, columns, rows),
            Input::Focus(is_looked_at) => self.model.handle_focus(now_ms, is_looked_at),
            Input::Gone => self.has_ended = true,
        }
        self.apply_effects();
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Response { request, result } => {
                if let Some(ticket) = self.tickets.remove(&request) {
                    self.model.handle_outcome(now_ms(), ticket, result);
                }
            }
            event => self.model.handle_event(now_ms(), event),
        }
        self.apply_effects();
    }

    fn apply_effects(&mut self) {
        while let Some(effect) = self.model.poll_effect() {
            self.apply(effect);
        }
    }

    fn apply(&mut self, effect: Effect) {
        let core = self.session.client.core_mut().0;
        match effect {
            Effect::Ask(ticket, request) => match core.request(request) {
                Ok(no) => {
                    self.tickets.insert(no, ticket);
                }
                Err(error) => self.model.handle_outcome(now_ms(), ticket, Err(not_taken(error))),
            },
            Effect::Send(message) => {
                let id = message.client_msg_id;
                if let Err(error) = core.send(message) {
                    self.model.handle_not_taken(id, &error.to_string());
                }
            }
            Effect::ReadFile { target, path } => {
                self.model.handle_file(target, &path, read_text(&path));
            }
            Effect::LogIn => self.session.log_in_again(),
            // Losing the token only means a prompt at the next start.
            Effect::KeepToken => drop(self.session.keep_token()),
            Effect::ForgetPassword => {
                self.session.forget_password();
                drop(self.session.keep_token());
            }
            Effect::Quit => self.has_ended = true,
        }
    }

    /// Says what is lost, if something is.
    fn say_goodbye(mut self) -> anyhow::Result<ExitCode> {
        self.session.client.flush(Instant::now() + FLUSH_WAIT)?;
        self.session.keep_token()?;
        for unsent in self.model.outbox.waiting() {
            println!("not acknowledged: {}", preview(unsent.text(), LOST_CHARS));
        }
        Ok(match (&self.model.line, self.model.outbox.waiting_count()) {
            (Line::Refused(_), _) => ExitCode::from(exit::REFUSED),
            (_, 0) => ExitCode::SUCCESS,
            (Line::Kicked(_), _) => ExitCode::from(exit::KICKED),
            _ => ExitCode::from(exit::TIMEOUT),
        })
    }
}

/// As an outcome of a request that the client has no room for.
fn not_taken(error: SubmitError) -> RequestError {
    let code = match error {
        SubmitError::WouldBlock => Code::Busy,
        SubmitError::TooLarge => Code::TooLarge,
    };
    RequestError::Refused { code, message: error.to_string(), retry_after_ms: 0 }
}

fn read_text(path: &str) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    if metadata.len() > limits::TEXT_BYTES_MAX as u64 {
        return Err(format!("a text has at most {} bytes", limits::TEXT_BYTES_MAX));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}
