//! A case: what is done on which connections, step by step. It can be written to a file and played
//! again. Knows no socket.

use serde::{Deserialize, Serialize};

use crate::parts::{Actor, Parts};

/// What has become of a connection when frames are sent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing was sent before.
    Fresh,
    /// A LOGIN was sent, and its answer has not come.
    LoggingIn,
    /// The LOGIN was answered OK.
    LoggedIn,
    /// Another login took its place.
    Kicked,
    /// It has logged out.
    LoggedOut,
    /// It sent what is no frame.
    AfterError,
}

impl State {
    /// All, in the order of a connection's life.
    pub const ALL: [State; 6] = [
        State::Fresh,
        State::LoggingIn,
        State::LoggedIn,
        State::Kicked,
        State::LoggedOut,
        State::AfterError,
    ];

    /// Whether the server has closed, so that nothing may be answered any more.
    pub fn is_over(self) -> bool {
        matches!(self, State::Kicked | State::LoggedOut | State::AfterError)
    }

    /// Its name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            State::Fresh => "fresh",
            State::LoggingIn => "logging-in",
            State::LoggedIn => "logged-in",
            State::Kicked => "kicked",
            State::LoggedOut => "logged-out",
            State::AfterError => "after-error",
        }
    }
}

/// How a frame's bytes are handed to TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// In one piece.
    #[default]
    Whole,
    /// In pieces of so many bytes.
    Pieces(u32),
    /// Cut in two after so many bytes.
    At(u32),
    /// Only the first so many bytes; the rest never comes.
    Stop(u32),
}

/// How the client's side ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Closed.
    Close,
    /// Reset: what is unread or unsent is lost.
    Reset,
    /// Nothing more is sent, answers are still read.
    Half,
}

/// One frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The command's id.
    pub cmd: u16,
    /// The body.
    pub body: Parts,
    /// Bytes of the header that are not what they should be, by their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub head: Vec<(u8, u8)>,
    /// How it is sent.
    #[serde(default)]
    pub cut: Cut,
    /// The number of the code that a recipe is there for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u16>,
}

impl Frame {
    /// Whether the header and the way it is sent are as they should be: then it has one answer.
    pub fn is_framed(&self) -> bool {
        self.head.is_empty() && !matches!(self.cut, Cut::Stop(_))
    }
}

/// Something that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A new connection of somebody, brought into a state.
    Open {
        /// Its number in the case.
        conn: u8,
        /// Whose.
        who: char,
        /// In which state.
        state: State,
        /// Device class, 1 to 5.
        class: u8,
    },
    /// A frame is sent.
    Send {
        /// On which connection.
        conn: u8,
        /// See there.
        frame: Frame,
    },
    /// Bytes that need not be a frame.
    Raw {
        /// On which connection.
        conn: u8,
        /// See there.
        bytes: Parts,
    },
    /// Whatever was asked on a connection is answered, or the connection is closed.
    Wait {
        /// Which connection.
        conn: u8,
    },
    /// The process that stores stops, or goes on.
    Store {
        /// Which of the two.
        goes: bool,
    },
    /// The client ends it.
    Finish {
        /// Which connection.
        conn: u8,
        /// How.
        how: End,
    },
}

impl Step {
    /// Which connection it is about; the first one, if about none.
    pub fn conn(&self) -> u8 {
        match self {
            Step::Store { .. } => 0,
            Step::Open { conn, .. }
            | Step::Send { conn, .. }
            | Step::Raw { conn, .. }
            | Step::Wait { conn }
            | Step::Finish { conn, .. } => *conn,
        }
    }
}

/// See the file's first line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Where it comes from, for people.
    pub title: String,
    /// Whether it needs users who have done nothing yet.
    #[serde(default)]
    pub fresh: bool,
    /// Whether it takes so long that only long runs play it.
    #[serde(default)]
    pub slow: bool,
    /// How many users there must be besides.
    #[serde(default)]
    pub crowd: usize,
    /// Whether it needs a token whose time is over.
    #[serde(default)]
    pub expired: bool,
    /// What is done.
    pub steps: Vec<Step>,
}

/// Connections of a case.
pub const CONNS_MAX: u8 = 18;
/// Steps of a case that is made at random. Recipes may have more.
pub const STEPS_MAX: usize = 60;

impl Case {
    /// Who acts on a connection.
    pub fn actor(who: char) -> Option<Actor> {
        Actor::from_letter(who.encode_utf8(&mut [0; 4]))
    }

    /// Whether the store has to be stopped for it.
    pub fn stops_store(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Store { .. }))
    }

    /// Frames and bytes that it sends.
    pub fn send_count(&self) -> usize {
        let sends = |step: &&Step| matches!(step, Step::Send { .. } | Step::Raw { .. });
        self.steps.iter().filter(sends).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_reads_back_from_its_file() {
        let frame = Frame {
            cmd: 0x2006,
            body: Parts::try_from("08 $v".to_owned()).unwrap(),
            head: vec![(3, 255)],
            cut: Cut::Pieces(1),
            wanted: None,
        };
        let steps = vec![
            Step::Open { conn: 0, who: 'a', state: State::LoggedIn, class: 1 },
            Step::Send { conn: 0, frame },
            Step::Wait { conn: 0 },
            Step::Finish { conn: 0, how: End::Reset },
        ];
        let case = Case { title: "a title".into(), fresh: true, steps, ..Case::default() };
        let text = serde_json::to_string(&case).unwrap();
        assert!(text.contains(r#""body":"08 $v""#) && text.contains("logged-in"), "{text}");
        assert_eq!(serde_json::from_str::<Case>(&text).unwrap(), case);
    }
}
