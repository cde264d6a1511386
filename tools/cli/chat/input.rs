//! Typed lines: from a line editor on a terminal, else from standard input. Knows no messages.

use std::io::BufRead;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use rustyline::config::{Behavior, Configurer};
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor};
use unicode_width::UnicodeWidthChar;

use super::output::Output;
use super::{ANSWER_WAIT, Answer};
use crate::terminal::escape_line;

/// Lines that the arrow keys bring back.
const HISTORY_LINES_MAX: usize = 200;

/// See the file's first line.
pub(super) enum Input {
    /// On a terminal.
    Editor(Box<DefaultEditor>),
    /// From a pipe or file, one message per line.
    Plain,
}

impl Input {
    /// The editor and the output above it.
    pub(super) fn editor() -> anyhow::Result<(Self, Output)> {
        let config = Config::builder().behavior(Behavior::Stdio).auto_add_history(true).build();
        let mut editor = DefaultEditor::with_config(config)?;
        editor.set_max_history_size(HISTORY_LINES_MAX)?;
        let printer = editor.create_external_printer()?;
        Ok((Input::Editor(Box::new(editor)), Output::above_editor(Box::new(printer))))
    }

    /// Hands each line to `take` until the input or the engine ends.
    pub(super) fn run(
        self,
        output: &Output,
        answers: &Receiver<Answer>,
        take: impl FnMut(String),
    ) -> anyhow::Result<()> {
        match self {
            Input::Editor(editor) => run_editor(*editor, output, answers, take),
            Input::Plain => run_plain(answers, take),
        }
    }
}

fn run_editor(
    mut editor: DefaultEditor,
    output: &Output,
    answers: &Receiver<Answer>,
    mut take: impl FnMut(String),
) -> anyhow::Result<()> {
    let mut prompt = "> ".to_owned();
    loop {
        if wait_answer(answers, &mut prompt) {
            return Ok(());
        }
        match editor.readline(&prompt) {
            Ok(line) => {
                erase_typed(&mut editor, output, &prompt, &line);
                take(line);
            }
            Err(ReadlineError::Interrupted) => {
                output.show("/quit or Ctrl-D leaves");
                continue;
            }
            Err(ReadlineError::Eof) => return Ok(()),
            // The window changed; the line was drawn anew.
            Err(ReadlineError::Signal(_)) => continue,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes the engine's newest answer; `true` when it has ended.
fn wait_answer(answers: &Receiver<Answer>, prompt: &mut String) -> bool {
    let mut next = answers.recv_timeout(ANSWER_WAIT);
    loop {
        match next {
            Ok(Answer::Prompt(text)) => *prompt = text,
            Ok(Answer::Bye) | Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
        next = answers.try_recv().map_err(|error| match error {
            std::sync::mpsc::TryRecvError::Empty => RecvTimeoutError::Timeout,
            std::sync::mpsc::TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
        });
    }
}

/// The message comes back with its time and mark: the typed line makes room for it.
fn erase_typed(editor: &mut DefaultEditor, output: &Output, prompt: &str, line: &str) {
    let Some((columns, rows_max)) = editor.dimensions() else { return };
    let rows = typed_rows(prompt, line, usize::from(columns));
    if rows < usize::from(rows_max) {
        output.erase_rows(rows);
    }
}

/// Rows of the terminal that prompt and line take.
fn typed_rows(prompt: &str, line: &str, columns: usize) -> usize {
    let mut rows = 1;
    let mut column = 0;
    for c in prompt.chars().chain(line.chars()) {
        let width = if c == '\t' { 8 - column % 8 } else { c.width().unwrap_or(0) };
        if c == '\n' {
            rows += 1;
            column = 0;
        } else if column + width > columns {
            rows += 1;
            column = width;
        } else {
            column += width;
        }
    }
    rows
}

fn run_plain(answers: &Receiver<Answer>, mut take: impl FnMut(String)) -> anyhow::Result<()> {
    let mut ignored = String::new();
    let mut is_first = true;
    for line in std::io::stdin().lock().lines() {
        // The engine's first answer says that it is ready; later ones are not waited for.
        if std::mem::take(&mut is_first) && wait_answer(answers, &mut ignored) {
            return Ok(());
        }
        take(line?);
    }
    Ok(())
}

/// A prompt that names the conversation.
pub(super) fn prompt_of(name: &str) -> String {
    format!("{}> ", escape_line(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_width_and_line_feeds() {
        assert_eq!(typed_rows("a> ", "hello", 80), 1);
        assert_eq!(typed_rows("a> ", "1234567", 10), 1);
        assert_eq!(typed_rows("a> ", "12345678", 10), 2);
        assert_eq!(typed_rows("a> ", "one\ntwo\n", 80), 3);
        assert_eq!(typed_rows("a> ", "你好你好", 10), 2, "a wide character does not fit half");
    }
}
