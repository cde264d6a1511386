//! The chat itself: owns the client, decides what is shown and sent. Reads no keys.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use aldis_client::core::{Event, OfflineReason, Target};
use aldis_client::{Client, ClientError};
use aldis_wire::{ClientMsgId, limits, pb};
use bytes::Bytes;

use super::Answer;
use super::command::{self, Command};
use super::input::prompt_of;
use super::output::Output;
use super::recent;
use super::view::{News, View};
use crate::connect::Session;
use crate::exit;
use crate::names::{Names, target_of};
use crate::print::{entry_text, people_of};
use crate::terminal::{Style, now_ms};

/// A message that is not acknowledged after this time is shown as waiting.
const ACK_SHOWN_AFTER: Duration = Duration::from_millis(300);
/// At the end: how long acknowledgements are waited for.
const GOODBYE_WAIT: Duration = Duration::from_secs(5);
/// Longest wait without looking at the waiting messages.
const TICK: Duration = Duration::from_secs(5);

/// An own message without acknowledgement.
struct Waiting {
    id: ClientMsgId,
    text: String,
    since: Instant,
    is_shown: bool,
}

/// See the file's first line.
pub(super) struct Engine {
    pub(super) session: Session,
    pub(super) names: Names,
    pub(super) view: View,
    pub(super) output: Output,
    pub(super) current: Option<Target>,
    /// Highest conv_seq of the open conversation that is on the screen.
    pub(super) shown: u64,
    history_count: u32,
    waiting: VecDeque<Waiting>,
    news: News,
    is_offline_shown: bool,
    is_kicked: bool,
    /// What `/recent` listed, to be picked by number.
    pub(super) offered: Vec<Target>,
}

/// Whether the chat goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Go,
    Quit,
}

impl Engine {
    pub(super) fn new(
        session: Session,
        output: Output,
        with: Option<Target>,
        history_count: u32,
    ) -> Self {
        let me = session.me.user_id;
        Self {
            session,
            names: Names::default(),
            view: View { style: Style::for_stdout(), me, long_text: None },
            output,
            current: with,
            shown: 0,
            history_count,
            waiting: VecDeque::new(),
            news: News::default(),
            is_offline_shown: false,
            is_kicked: false,
            offered: Vec::new(),
        }
    }

    /// Runs until the lines end or somebody quits.
    pub(super) fn run(
        mut self,
        lines: &Receiver<String>,
        answers: &SyncSender<Answer>,
    ) -> anyhow::Result<ExitCode> {
        let result = self.converse(lines, answers);
        // The reader of lines may be gone already.
        let _ = answers.try_send(Answer::Bye);
        result?;
        self.say_goodbye()
    }

    fn converse(
        &mut self,
        lines: &Receiver<String>,
        answers: &SyncSender<Answer>,
    ) -> Result<(), ClientError> {
        self.welcome()?;
        let _ = answers.try_send(Answer::Prompt(self.prompt()));
        loop {
            loop {
                match lines.try_recv() {
                    Ok(line) => {
                        if self.handle_line(&line)? == Next::Quit {
                            return Ok(());
                        }
                        let _ = answers.try_send(Answer::Prompt(self.prompt()));
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            let deadline = Instant::now() + self.tick();
            if let Some(event) = self.session.client.wait_event(deadline)? {
                self.handle_event(event)?;
            }
            // What came together is announced together.
            while let Some(event) = self.session.client.core_mut().0.poll_event() {
                self.handle_event(event)?;
            }
            self.announce()?;
            self.show_waiting();
        }
    }

    fn client(&mut self) -> &mut Client {
        &mut self.session.client
    }

    fn tick(&self) -> Duration {
        let next = self.waiting.iter().find(|waiting| !waiting.is_shown);
        next.map_or(TICK, |waiting| ACK_SHOWN_AFTER.saturating_sub(waiting.since.elapsed()))
    }

    fn prompt(&self) -> String {
        match self.current {
            Some(target) => prompt_of(&self.names.target(target)),
            None => "> ".to_owned(),
        }
    }

    fn welcome(&mut self) -> Result<(), ClientError> {
        let nickname = crate::terminal::escape_line(&self.session.me.nickname);
        self.notice(&format!("you are {nickname}; /help lists what can be typed"));
        if self.names.fetch_groups(&mut self.session.client).is_err() {
            return Ok(()); // the connection is gone; it comes back and so do the names
        }
        match self.current {
            Some(target) => self.open(target),
            None => self.offer_recent(),
        }
    }

    /// Makes a conversation the open one and shows its end.
    pub(super) fn open(&mut self, target: Target) -> Result<(), ClientError> {
        self.current = Some(target);
        self.shown = 0;
        if let Target::User(user) = target {
            self.names.fetch(&mut self.session.client, [user.0])?;
        }
        let name = self.names.target(target);
        self.show_history(self.history_count)?;
        self.notice(&format!("talking to {name}"));
        Ok(())
    }

    /// The last `count` messages of the open conversation.
    pub(super) fn show_history(&mut self, count: u32) -> Result<(), ClientError> {
        let Some(target) = self.current else { return Ok(()) };
        if count == 0 {
            // Only the position is wanted; what is below it is not news.
            let page = self.client().history_page(target, 0, 0, 1)?;
            self.shown = page.max_conv_seq;
            return Ok(());
        }
        let page = self.client().history_page(target, 0, 0, count)?;
        if page.more {
            self.notice("older messages: /history N");
        }
        self.show_entries(&page.entries)
    }

    fn show_entries(&mut self, entries: &[pb::MessageData]) -> Result<(), ClientError> {
        self.names.fetch_for(&mut self.session.client, entries)?;
        for entry in entries {
            self.shown = self.shown.max(entry.conv_seq);
            let line = self.view.entry(entry, &self.names, now_ms());
            self.output.show(&line);
        }
        Ok(())
    }

    fn offer_recent(&mut self) -> Result<(), ClientError> {
        let me = self.view.me;
        let recent = recent::fetch(&mut self.session.client, me)?;
        let people: Vec<u64> = recent.iter().flat_map(|(_, entry)| people_of(entry)).collect();
        self.names.fetch(&mut self.session.client, people)?;
        if recent.is_empty() {
            self.notice("no conversations yet; /to NAME begins one");
            return Ok(());
        }
        for (index, (target, entry)) in recent.iter().enumerate() {
            let name = self.names.target(*target);
            let text = crate::terminal::preview(&entry_text(entry, &self.names), 50);
            self.output.show(&format!("{:>3}  {name}: {text}", index + 1));
        }
        self.notice("type a number or /to NAME");
        self.offered = recent.into_iter().map(|(target, _)| target).collect();
        Ok(())
    }

    pub(super) fn notice(&self, text: &str) {
        self.output.show(&self.view.notice(text));
    }

    fn handle_line(&mut self, line: &str) -> Result<Next, ClientError> {
        let parsed = command::parse(line);
        if parsed == Command::Quit {
            return Ok(Next::Quit);
        }
        let result = match parsed {
            Command::Say(text) => self.say(text),
            Command::Nothing | Command::Quit => Ok(()),
            Command::Help => {
                self.output.show(command::HELP);
                Ok(())
            }
            Command::Recent => self.offer_recent().map_err(anyhow::Error::from),
            Command::Full => {
                let text = self.view.long_text.clone();
                self.output.show(text.as_deref().unwrap_or("no long message was shown"));
                Ok(())
            }
            Command::Login => self.log_in_again(),
            Command::Wrong(why) => Err(exit::usage(why)),
            other => self.handle_command(other),
        };
        if let Err(error) = result {
            // What concerns one line does not end the chat.
            self.notice(&crate::terminal::escape_line(&format!("{error:#}")));
        }
        Ok(Next::Go)
    }

    /// Takes the session back when another login took it.
    fn log_in_again(&mut self) -> anyhow::Result<()> {
        if self.is_kicked {
            self.is_kicked = false;
            self.session.log_in_again();
        }
        Ok(())
    }

    fn say(&mut self, text: String) -> anyhow::Result<()> {
        let Some(target) = self.current else {
            let picked = text.trim().parse::<usize>().ok().and_then(|n| n.checked_sub(1));
            let target = picked.and_then(|index| self.offered.get(index).copied());
            let target = target.ok_or_else(|| exit::usage("/to NAME picks whom to talk to"))?;
            return Ok(self.open(target)?);
        };
        self.send_text(target, text)
    }

    pub(super) fn send_text(&mut self, target: Target, text: String) -> anyhow::Result<()> {
        if text.len() > limits::TEXT_BYTES_MAX {
            return Err(exit::usage(format!(
                "not sent: {} bytes, a text has at most {}",
                text.len(),
                limits::TEXT_BYTES_MAX
            )));
        }
        self.log_in_again()?;
        let (core, now) = self.session.client.core_mut();
        let content = Bytes::from(text.clone());
        let id = core.send_message(now, target, pb::MsgType::Text, content, Bytes::new())?;
        self.waiting.push_back(Waiting { id, text, since: Instant::now(), is_shown: false });
        Ok(())
    }

    fn handle_event(&mut self, event: Event) -> Result<(), ClientError> {
        match event {
            Event::Entry { entry, .. } => self.handle_entry(entry)?,
            Event::SendAcked { client_msg_id, .. } => self.handle_acked(client_msg_id),
            Event::SendFailed { client_msg_id, code, message, maybe_committed } => {
                let doubt = if maybe_committed { "; it may have arrived" } else { "" };
                let why = format!("{code}: {message}{doubt}");
                if let Some(failed) = self.take_waiting(client_msg_id) {
                    self.output.show(&self.view.refused(&failed.text, &why));
                }
            }
            Event::Online(_) => {
                if std::mem::take(&mut self.is_offline_shown) {
                    self.notice("connected again");
                }
                // Losing the token only means a prompt at the next start.
                let _ = self.session.keep_token();
            }
            Event::Offline { reason, .. } => {
                if !self.is_kicked
                    && reason != OfflineReason::Asked
                    && !std::mem::replace(&mut self.is_offline_shown, true)
                {
                    self.notice("no connection; trying again, messages wait");
                }
            }
            Event::Resynced { .. } => {
                self.notice("the server's memory was replaced; showing what it has");
                self.shown = 0;
                if self.current.is_some() {
                    self.show_history(self.history_count)?;
                }
            }
            Event::Kicked { reason, device_name } => {
                self.is_kicked = true;
                let by = match reason {
                    pb::KickReason::Replaced => {
                        format!("another login took this session ({device_name})")
                    }
                    other => format!("the server ended this session ({})", other.as_str_name()),
                };
                let by = crate::terminal::escape_line(&by);
                self.notice(&format!("{by}; /login takes it back, /quit leaves"));
            }
            Event::LoginFailed { code, message } => {
                return Err(ClientError::Refused { code, message, maybe_done: false });
            }
            Event::Told(_) | Event::Response { .. } => {}
        }
        Ok(())
    }

    fn handle_entry(&mut self, entry: pb::MessageData) -> Result<(), ClientError> {
        let target = target_of(&entry, self.view.me);
        if self.session.client.core().is_online() {
            // A failure leaves the numbers as the names.
            let entries = std::slice::from_ref(&entry);
            let _ = self.names.fetch_for(&mut self.session.client, entries);
        }
        if self.current == Some(target) {
            if entry.conv_seq > self.shown {
                self.shown = entry.conv_seq;
                let line = self.view.entry(&entry, &self.names, now_ms());
                self.output.show(&line);
            }
        } else if entry.sender_id != self.view.me {
            self.news.add(target, entry_text(&entry, &self.names));
        }
        Ok(())
    }

    fn handle_acked(&mut self, id: ClientMsgId) {
        if let Some(acked) = self.take_waiting(id)
            && acked.is_shown
            && !self.session.client.core().is_current()
        {
            // Its entry comes with a sync; until then the mark says what matters.
            self.notice(&format!("✓ {}", crate::terminal::preview(&acked.text, 40)));
        }
    }

    fn take_waiting(&mut self, id: ClientMsgId) -> Option<Waiting> {
        let index = self.waiting.iter().position(|waiting| waiting.id == id)?;
        self.waiting.remove(index)
    }

    fn announce(&mut self) -> Result<(), ClientError> {
        if !self.news.is_empty() {
            let news = std::mem::take(&mut self.news);
            for line in self.view.announcements(&news, &self.names) {
                self.output.show(&line);
            }
        }
        Ok(())
    }

    fn show_waiting(&mut self) {
        for waiting in &mut self.waiting {
            if !waiting.is_shown && waiting.since.elapsed() >= ACK_SHOWN_AFTER {
                waiting.is_shown = true;
                self.output.show(&self.view.waiting(&waiting.text, now_ms()));
            }
        }
    }

    /// Waits for what was sent, says what is lost.
    fn say_goodbye(&mut self) -> anyhow::Result<ExitCode> {
        let deadline = Instant::now() + GOODBYE_WAIT;
        while !self.waiting.is_empty() && !self.is_kicked && Instant::now() < deadline {
            if let Some(event) = self.session.client.wait_event(deadline)? {
                self.handle_event(event)?;
            }
        }
        while let Some(event) = self.session.client.core_mut().0.poll_event() {
            self.handle_event(event)?;
        }
        self.session.client.flush(Instant::now() + Duration::from_millis(200))?;
        self.session.keep_token()?;
        for waiting in &self.waiting {
            self.output.show(&self.view.refused(&waiting.text, "no acknowledgement came"));
        }
        Ok(match (self.waiting.is_empty(), self.is_kicked) {
            (true, _) => ExitCode::SUCCESS,
            (false, true) => ExitCode::from(exit::KICKED),
            (false, false) => ExitCode::from(exit::TIMEOUT),
        })
    }
}
