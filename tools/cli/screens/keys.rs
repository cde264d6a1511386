//! Which key does what where: one table, from which keys are looked up and help is written. Does
//! nothing itself.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

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

const UP: Chord = key(KeyCode::Up);
const DOWN: Chord = key(KeyCode::Down);
const ENTER: Chord = key(KeyCode::Enter);
const ESC: Chord = key(KeyCode::Esc);

/// Everywhere.
pub(super) const ANYWHERE: Table = Table {
    title: "Everywhere",
    bindings: &[
        bind(&[key(KeyCode::F(1)), alt(KeyCode::Char('1'))], Act::Help, "this help"),
        bind(&[key(KeyCode::F(2)), alt(KeyCode::Char('2'))], Act::Chats, "conversations"),
        bind(&[key(KeyCode::F(3)), alt(KeyCode::Char('3'))], Act::Friends, "friends"),
        bind(&[key(KeyCode::F(4)), alt(KeyCode::Char('4'))], Act::Groups, "groups"),
        bind(&[key(KeyCode::F(5)), alt(KeyCode::Char('5'))], Act::Search, "search messages"),
        bind(&[ctrl('t')], Act::OpenSomebody, "talk to somebody: a user name or group:NUMBER"),
        bind(&[ctrl('n'), alt(KeyCode::Down)], Act::NextChat, "next conversation"),
        bind(&[ctrl('p'), alt(KeyCode::Up)], Act::PreviousChat, "previous conversation"),
        bind(&[key(KeyCode::PageUp)], Act::PageUp, "older messages"),
        bind(&[key(KeyCode::PageDown)], Act::PageDown, "newer messages"),
        bind(&[alt(KeyCode::End), ctrl('g')], Act::ToEnd, "the newest message"),
        bind(&[ctrl('l')], Act::LogIn, "take the session back after another login took it"),
        bind(&[ctrl('q')], Act::Quit, "leave; Ctrl-C and Ctrl-D too, where nothing is typed"),
    ],
    more: &[],
};

/// While a message is typed.
pub(super) const COMPOSE: Table = Table {
    title: "Typing a message",
    bindings: &[
        bind(&[ENTER], Act::Send, "send"),
        bind(&[alt(KeyCode::Enter), ctrl('j')], Act::NewLine, "a further line"),
        bind(&[key(KeyCode::Tab)], Act::Focus, "complete @name; else to the list"),
        bind(&[UP], Act::Up, "from the first row: pick a message"),
        bind(&[ESC], Act::Back, "no reply or edit; else to the list"),
    ],
    more: &EDITING,
};

/// In the list of conversations.
pub(super) const LIST: Table = Table {
    title: "List of conversations",
    bindings: &[
        bind(&[UP, letter('k')], Act::Up, "up"),
        bind(&[DOWN, letter('j')], Act::Down, "down"),
        bind(&[key(KeyCode::Home)], Act::First, "the first one"),
        bind(&[key(KeyCode::End)], Act::Last, "the last one"),
        bind(&[ENTER, key(KeyCode::Right)], Act::Open, "open"),
        bind(&[letter('i')], Act::Members, "members of the group"),
        bind(&[letter('p')], Act::Pin, "pin it to the top, or no longer"),
        bind(&[letter('m')], Act::Quiet, "quiet: its messages count as nothing new, or again"),
        bind(&[letter('x')], Act::Clear, "clear what was said, for oneself"),
        bind(&[key(KeyCode::Tab), ESC], Act::Back, "back to typing"),
    ],
    more: &[],
};

/// When a message is picked.
pub(super) const MESSAGE: Table = Table {
    title: "A picked message",
    bindings: &[
        bind(&[UP, letter('k')], Act::Up, "the one before"),
        bind(&[DOWN, letter('j')], Act::Down, "the one after; behind the last: back to typing"),
        bind(&[letter('r')], Act::Reply, "reply"),
        bind(&[letter('e')], Act::Edit, "edit one's own"),
        bind(&[letter('d')], Act::Recall, "take it back for everybody"),
        bind(&[letter('+')], Act::React, "react, or take the same reaction back"),
        bind(&[ENTER, letter('v')], Act::ViewFull, "all of it, and what is known of it"),
        bind(&[ESC], Act::Back, "back to typing"),
    ],
    more: &[],
};

/// In the view of friends.
pub(super) const FRIENDS: Table = Table {
    title: "Friends",
    bindings: &[
        bind(&[UP, letter('k')], Act::Up, "up"),
        bind(&[DOWN, letter('j')], Act::Down, "down"),
        bind(&[key(KeyCode::Tab)], Act::NextList, "friends, requests, blocked"),
        bind(&[ENTER], Act::Open, "talk"),
        bind(&[letter('a')], Act::Add, "ask somebody to be a friend"),
        bind(&[letter('y')], Act::Accept, "accept a request"),
        bind(&[letter('n')], Act::Refuse, "refuse it"),
        bind(&[letter('m')], Act::Remark, "one's own name for a friend"),
        bind(&[letter('d')], Act::Delete, "take a friend off the list"),
        bind(&[letter('b')], Act::Block, "block"),
        bind(&[letter('u')], Act::Unblock, "end a block"),
        bind(&[ESC], Act::Back, "back"),
    ],
    more: &[],
};

/// In the view of groups.
pub(super) const GROUPS: Table = Table {
    title: "Groups",
    bindings: &[
        bind(&[UP, letter('k')], Act::Up, "up"),
        bind(&[DOWN, letter('j')], Act::Down, "down"),
        bind(&[ENTER], Act::Open, "talk"),
        bind(&[letter('i'), key(KeyCode::Right)], Act::Members, "its members, and running it"),
        bind(&[letter('c')], Act::Create, "create one"),
        bind(&[letter('a')], Act::Join, "ask to come into one, by its number"),
        bind(&[letter('l')], Act::Leave, "leave it"),
        bind(&[ESC], Act::Back, "back"),
    ],
    more: &[],
};

/// In the view of one group.
pub(super) const MEMBERS: Table = Table {
    title: "Members of a group",
    bindings: &[
        bind(&[UP, letter('k')], Act::Up, "up"),
        bind(&[DOWN, letter('j')], Act::Down, "down"),
        bind(&[ENTER], Act::Open, "talk to the member alone"),
        bind(&[letter('i')], Act::Invite, "bring users in"),
        bind(&[letter('y')], Act::Accept, "take in who asked"),
        bind(&[letter('n')], Act::Refuse, "refuse who asked"),
        bind(&[letter('p')], Act::Promote, "make a member an admin"),
        bind(&[letter('m')], Act::Demote, "make an admin a plain member"),
        bind(&[letter('t')], Act::Transfer, "make a member the owner"),
        bind(&[letter('x')], Act::Delete, "put a member out"),
        bind(&[letter('s')], Act::Mute, "silence a member for an hour, or let speak again"),
        bind(&[letter('a')], Act::MuteAll, "silence all plain members, or let them speak again"),
        bind(&[letter('r')], Act::Rename, "rename the group"),
        bind(&[letter('o')], Act::Announce, "its announcement"),
        bind(&[letter('w')], Act::JoinMode, "how strangers come in: invited, asked, open"),
        bind(&[letter('l')], Act::Leave, "leave the group"),
        bind(&[letter('D')], Act::Dissolve, "end the group"),
        bind(&[ESC, key(KeyCode::Left)], Act::Back, "back"),
    ],
    more: &[],
};

/// In what a search found.
pub(super) const SEARCH: Table = Table {
    title: "What was found",
    bindings: &[
        bind(&[UP, letter('k')], Act::Up, "up"),
        bind(&[DOWN, letter('j')], Act::Down, "down"),
        bind(&[ENTER], Act::Open, "show it where it was said"),
        bind(&[letter('s')], Act::Search, "search for something else"),
        bind(&[ESC], Act::Back, "back"),
    ],
    more: &[],
};

/// In texts that are only read.
pub(super) const READING: Table = Table {
    title: "Reading",
    bindings: &[
        bind(&[UP, letter('k')], Act::Up, "up"),
        bind(&[DOWN, letter('j'), ENTER], Act::Down, "down"),
        bind(&[key(KeyCode::Home)], Act::First, "the beginning"),
        bind(&[key(KeyCode::End)], Act::Last, "the end"),
        bind(&[ESC, letter('q')], Act::Back, "back"),
    ],
    more: &[],
};

/// Keys of the line editor: see `Editor::handle_key`.
const EDITING: [(&str, &str); 6] = [
    ("← → Home End", "by characters, to the ends of the line; Ctrl-A, Ctrl-E"),
    ("Ctrl-← Ctrl-→", "by words; Alt-B, Alt-F"),
    ("Ctrl-W Alt-D", "cut the word before, behind the cursor"),
    ("Ctrl-U Ctrl-K", "cut to the beginning, to the end of the line"),
    ("Ctrl-Y", "put back what was cut"),
    ("/help", "what can be typed instead of pressed keys"),
];

const TABLES: [&Table; 9] =
    [&ANYWHERE, &COMPOSE, &LIST, &MESSAGE, &FRIENDS, &GROUPS, &MEMBERS, &SEARCH, &READING];

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
