//! Which (state, command, answer) was seen how often, and which documented ones were not: the matrix.
//! Knows no connection.

use std::collections::BTreeMap;

use aldis_wire::{Code, Command, codes_of};

use crate::case::State;
use crate::table::documented_name;

/// What a request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// A code.
    Code(Code),
    /// The connection is closed.
    Closed,
}

/// A cell of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// Of the connection when the request was sent.
    pub state: State,
    /// The request.
    pub command: Command,
    /// What came of it.
    pub answer: Answer,
}

/// See the file's first line.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    counts: BTreeMap<Cell, u64>,
}

impl Coverage {
    /// Counts a cell; whether it is new.
    pub fn add(&mut self, cell: Cell) -> bool {
        let count = self.counts.entry(cell).or_default();
        *count += 1;
        *count == 1
    }

    /// How often a cell was seen.
    pub fn count(&self, cell: &Cell) -> u64 {
        self.counts.get(cell).copied().unwrap_or(0)
    }

    /// Cells that were seen.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Whether anything was answered so behind a login. (LOGIN counts its own attempts.)
    pub fn has_code(&self, code: Code) -> bool {
        let answer = Answer::Code(code);
        self.counts.keys().any(|cell| cell.answer == answer && cell.state == State::LoggedIn)
    }

    /// Documented cells that were not seen. INTERNAL is none: it is a finding.
    pub fn missing(&self) -> Vec<Cell> {
        documented().into_iter().filter(|cell| self.count(cell) == 0).collect()
    }

    /// The documented cells that were seen, and how many there are.
    pub fn reached(&self) -> (usize, usize) {
        let all = documented();
        (all.iter().filter(|cell| self.count(cell) > 0).count(), all.len())
    }

    /// The matrix as text: a row for each command, a column for each code of each state; a dot is a
    /// documented cell that was not seen, nothing one that must not be.
    pub fn matrix(&self) -> String {
        let mut text = String::new();
        for state in State::ALL {
            let answers = answers_of(state);
            text += &format!("\n{}\n{:<21}", state.name(), "");
            for answer in &answers {
                text += &format!("{:>8}", short(*answer));
            }
            text.push('\n');
            for command in Command::REQUESTS {
                text += &format!("{:<21}", documented_name(command));
                for answer in &answers {
                    let cell = Cell { state, command, answer: *answer };
                    let mark = match self.count(&cell) {
                        0 if is_documented(&cell) => ".".to_owned(),
                        0 => String::new(),
                        count => count.to_string(),
                    };
                    text += &format!("{mark:>8}");
                }
                while text.ends_with(' ') {
                    text.pop();
                }
                text.push('\n');
            }
        }
        text
    }
}

/// All cells that PROTOCOL.md allows and a client can bring about, without INTERNAL.
pub fn documented() -> Vec<Cell> {
    let cells = State::ALL.into_iter().flat_map(|state| {
        Command::REQUESTS.into_iter().flat_map(move |command| {
            answers_of(state).into_iter().map(move |answer| Cell { state, command, answer })
        })
    });
    cells.filter(is_documented).collect()
}

fn is_documented(cell: &Cell) -> bool {
    let Answer::Code(code) = cell.answer else { return cell.state.is_over() };
    if code == Code::Internal || !codes_of(cell.command).contains(&code) {
        return false;
    }
    match cell.state {
        State::LoggedIn => match cell.command {
            // What they may say, once somebody is logged in.
            Command::Login | Command::Register => code == Code::Forbidden,
            _ => code != Code::NotLoggedIn,
        },
        State::Fresh if cell.command.allowed_before_login() => code != Code::Forbidden,
        State::Fresh => code == Code::NotLoggedIn,
        // It becomes one of the two.
        State::LoggingIn => false,
        State::Kicked | State::LoggedOut | State::AfterError => false,
    }
}

fn answers_of(state: State) -> Vec<Answer> {
    let codes = Code::ALL.into_iter().filter(|code| *code != Code::Unsupported);
    match state.is_over() {
        true => vec![Answer::Closed],
        false => codes.map(Answer::Code).collect(),
    }
}

/// Names that fit a column.
fn short(answer: Answer) -> &'static str {
    match answer {
        Answer::Closed => "closed",
        Answer::Code(code) => match code {
            Code::BadFrame => "B_FRAME",
            Code::BadRequest => "B_REQ",
            Code::NotLoggedIn => "NOT_LOG",
            Code::BadCredentials => "B_CRED",
            Code::TokenExpired => "EXPIRED",
            Code::NotFound => "NOT_FND",
            Code::Forbidden => "FORBID",
            Code::Conflict => "CONFLCT",
            Code::TooLarge => "LARGE",
            Code::RateLimited => "RATE",
            Code::Unavailable => "UNAVAIL",
            Code::Internal => "INTERNL",
            other => other.name(),
        },
    }
}

/// A cell in words.
pub fn describe(cell: &Cell) -> String {
    let answer = match cell.answer {
        Answer::Code(code) => code.name(),
        Answer::Closed => "closed",
    };
    format!("{} {} {answer}", cell.state.name(), documented_name(cell.command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_shows_what_was_seen_and_what_was_not() {
        let mut coverage = Coverage::default();
        let answer = Answer::Code(Code::Conflict);
        let cell = Cell { state: State::LoggedIn, command: Command::MsgSend, answer };
        assert!(coverage.add(cell) && !coverage.add(cell));
        let missing = coverage.missing();
        assert!(!missing.contains(&cell));
        let not_seen = Cell { command: Command::Edit, ..cell };
        assert!(missing.contains(&not_seen));
        assert_eq!(coverage.reached().0, 1);
        let matrix = coverage.matrix();
        let line = matrix.lines().filter(|line| line.starts_with("MSG_SEND ")).nth(2).unwrap();
        assert!(line.contains('2') && line.contains('.'), "{line}");
    }

    #[test]
    fn nobody_is_served_before_the_login() {
        let fresh = documented().into_iter().filter(|cell| cell.state == State::Fresh);
        let answers: Vec<_> =
            fresh.filter(|cell| cell.command == Command::History).map(|c| c.answer).collect();
        assert_eq!(answers, [Answer::Code(Code::NotLoggedIn)]);
    }
}
