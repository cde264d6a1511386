//! Which key does what where: one table, from which keys are looked up and help is written. Does
//! nothing itself.

mod tables;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use tables::TABLES;
pub(super) use tables::{
    ANYWHERE, COMPOSE, DEVICES, FRIENDS, GROUPS, LIST, MEMBERS, MESSAGE, PROFILE, READING, SEARCH,
};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Help,
    Chats,
    Friends,
    Groups,
    Search,
    OpenSomebody,
    NextChat,
    PreviousChat,
    PageUp,
    PageDown,
    ToEnd,
    LogIn,
    Quit,
    Back,
    Up,
    Down,
    First,
    Last,
    Open,
    Focus,
    Send,
    NewLine,
    Reply,
    Edit,
    Recall,
    React,
    ViewFull,
    NextList,
    Add,
    Accept,
    Refuse,
    Delete,
    Block,
    Unblock,
    Remark,
    Members,
    Create,
    Join,
    Invite,
    Promote,
    Demote,
    Transfer,
    Mute,
    MuteAll,
    Rename,
    Announce,
    JoinMode,
    Leave,
    Dissolve,
    Pin,
    Quiet,
    Clear,
    Account,
    Revoke,
}

/// A key with its modifiers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chord {
    code: KeyCode,
    modifiers: KeyModifiers,
}

/// Keys that do the same, and what that is.
#[derive(Debug)]
pub(super) struct Binding {
    chords: &'static [Chord],
    pub(super) act: Act,
    pub(super) what: &'static str,
}

/// Where bindings hold.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) bindings: &'static [Binding],
    /// Keys that are looked up elsewhere, for the help only.
    more: &'static [(&'static str, &'static str)],
}

const fn key(code: KeyCode) -> Chord {
    Chord { code, modifiers: KeyModifiers::NONE }
}

const fn letter(c: char) -> Chord {
    key(KeyCode::Char(c))
}

const fn ctrl(c: char) -> Chord {
    Chord { code: KeyCode::Char(c), modifiers: KeyModifiers::CONTROL }
}

const fn alt(code: KeyCode) -> Chord {
    Chord { code, modifiers: KeyModifiers::ALT }
}

const fn bind(chords: &'static [Chord], act: Act, what: &'static str) -> Binding {
    Binding { chords, act, what }
}

/// Columns of the keys in the help.
const LABEL_COLUMNS: usize = 16;

impl Table {
    /// What this key asks for here.
    pub(super) fn find(&self, key: KeyEvent) -> Option<Act> {
        // A capital letter comes with Shift from some terminals and without from others.
        let modifiers = key.modifiers.difference(KeyModifiers::SHIFT);
        let is_it = |chord: &Chord| chord.code == key.code && chord.modifiers == modifiers;
        self.bindings.iter().find(|binding| binding.chords.iter().any(is_it)).map(|b| b.act)
    }
}

impl Binding {
    /// Its keys, as one reads them.
    pub(super) fn label(&self) -> String {
        let labels: Vec<String> = self.chords.iter().map(Chord::label).collect();
        labels.join(" ")
    }
}

impl Chord {
    fn label(&self) -> String {
        let name = match self.code {
            KeyCode::Char(c) if self.modifiers.is_empty() => c.to_string(),
            KeyCode::Char(c) => c.to_uppercase().to_string(),
            KeyCode::F(number) => format!("F{number}"),
            KeyCode::Up => "↑".to_owned(),
            KeyCode::Down => "↓".to_owned(),
            KeyCode::Left => "←".to_owned(),
            KeyCode::Right => "→".to_owned(),
            KeyCode::PageUp => "PgUp".to_owned(),
            KeyCode::PageDown => "PgDn".to_owned(),
            other => format!("{other:?}"),
        };
        match self.modifiers {
            KeyModifiers::CONTROL => format!("Ctrl-{name}"),
            KeyModifiers::ALT => format!("Alt-{name}"),
            _ => name,
        }
    }
}

/// All keys, for people. `typed` is what can be typed instead.
pub(super) fn help(typed: &str) -> String {
    let mut out = String::new();
    for table in TABLES {
        out.push_str(&format!("  {}\n", table.title));
        let bound = table.bindings.iter().map(|binding| (binding.label(), binding.what));
        let more = table.more.iter().map(|(keys, what)| ((*keys).to_owned(), *what));
        for (keys, what) in bound.chain(more) {
            out.push_str(&format!("  {} {what}\n", super::text::pad(&keys, LABEL_COLUMNS)));
        }
        out.push('\n');
    }
    out.push_str("  Typed as a message\n");
    out.push_str(typed);
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_place() {
        for table in TABLES {
            let mut seen = HashSet::new();
            let chords = table.bindings.iter().flat_map(|binding| binding.chords);
            for chord in chords {
                assert!(seen.insert(chord.label()), "{} in {}", chord.label(), table.title);
            }
        }
    }

    #[test]
    fn keys_are_found_with_and_without_shift() {
        let key = KeyEvent::new(KeyCode::Char('D'), KeyModifiers::SHIFT);
        assert_eq!(MEMBERS.find(key), Some(Act::Dissolve));
        assert_eq!(MEMBERS.find(KeyEvent::from(KeyCode::Char('D'))), Some(Act::Dissolve));
        let key = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::CONTROL);
        assert_eq!(ANYWHERE.find(key), Some(Act::Quit));
        assert_eq!(ANYWHERE.find(KeyEvent::from(KeyCode::Char('q'))), None);
    }

    #[test]
    fn help_names_every_key() {
        let help = help("/help");
        for binding in TABLES.iter().flat_map(|table| table.bindings) {
            assert!(help.contains(&binding.label()) && help.contains(binding.what));
        }
    }
}
