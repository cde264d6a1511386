//! The keys of each part of the screens. Knows what a binding is, not how one is looked up.

use ratatui::crossterm::event::KeyCode;

use super::{Act, Chord, Table, alt, bind, ctrl, key, letter};

const UP: Chord = key(KeyCode::Up);
const DOWN: Chord = key(KeyCode::Down);
const ENTER: Chord = key(KeyCode::Enter);
const ESC: Chord = key(KeyCode::Esc);

/// Everywhere.
pub(in crate::screens) const ANYWHERE: Table = Table {
    title: "Everywhere",
    bindings: &[
        bind(&[key(KeyCode::F(1)), alt(KeyCode::Char('1'))], Act::Help, "this help"),
        bind(&[key(KeyCode::F(2)), alt(KeyCode::Char('2'))], Act::Chats, "conversations"),
        bind(&[key(KeyCode::F(3)), alt(KeyCode::Char('3'))], Act::Friends, "friends"),
        bind(&[key(KeyCode::F(4)), alt(KeyCode::Char('4'))], Act::Groups, "groups"),
        bind(&[key(KeyCode::F(5)), alt(KeyCode::Char('5'))], Act::Search, "search messages"),
        bind(
            &[key(KeyCode::F(6)), alt(KeyCode::Char('6'))],
            Act::Account,
            "yourself, your devices",
        ),
        bind(&[ctrl('t')], Act::OpenSomebody, "talk to somebody: a user name or group:NUMBER"),
        bind(&[ctrl('n'), alt(KeyCode::Down)], Act::NextChat, "next conversation"),
        bind(&[ctrl('p'), alt(KeyCode::Up)], Act::PreviousChat, "previous conversation"),
        bind(&[key(KeyCode::PageUp)], Act::PageUp, "older messages; in a list, up"),
        bind(&[key(KeyCode::PageDown)], Act::PageDown, "newer messages; in a list, down"),
        bind(&[alt(KeyCode::End), ctrl('g')], Act::ToEnd, "the newest message"),
        bind(&[ctrl('l')], Act::LogIn, "take the session back after another login took it"),
        bind(&[ctrl('q')], Act::Quit, "leave; Ctrl-C and Ctrl-D too, where nothing is typed"),
    ],
    more: &[],
};

/// While a message is typed.
pub(in crate::screens) const COMPOSE: Table = Table {
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
pub(in crate::screens) const LIST: Table = Table {
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
pub(in crate::screens) const MESSAGE: Table = Table {
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
pub(in crate::screens) const FRIENDS: Table = Table {
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
pub(in crate::screens) const GROUPS: Table = Table {
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
pub(in crate::screens) const MEMBERS: Table = Table {
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
pub(in crate::screens) const SEARCH: Table = Table {
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

/// In the view of oneself.
pub(in crate::screens) const PROFILE: Table = Table {
    title: "Yourself",
    bindings: &[
        bind(&[UP, letter('k')], Act::Up, "up"),
        bind(&[DOWN, letter('j')], Act::Down, "down"),
        bind(&[key(KeyCode::Tab)], Act::NextList, "your devices"),
        bind(&[ENTER], Act::Open, "change it; a new password logs your other devices out"),
        bind(&[ESC], Act::Back, "back"),
    ],
    more: &[],
};

/// In the view of one's devices.
pub(in crate::screens) const DEVICES: Table = Table {
    title: "Your devices",
    bindings: &[
        bind(&[UP, letter('k')], Act::Up, "up"),
        bind(&[DOWN, letter('j')], Act::Down, "down"),
        bind(&[key(KeyCode::Tab)], Act::NextList, "yourself"),
        bind(&[letter('x')], Act::Revoke, "log the device out"),
        bind(&[ESC], Act::Back, "back"),
    ],
    more: &[],
};

/// In texts that are only read.
pub(in crate::screens) const READING: Table = Table {
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

/// All of them, in the order of the help.
pub(super) const TABLES: [&Table; 11] = [
    &ANYWHERE, &COMPOSE, &LIST, &MESSAGE, &FRIENDS, &GROUPS, &MEMBERS, &SEARCH, &PROFILE, &DEVICES,
    &READING,
];
