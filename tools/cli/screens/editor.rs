//! The line editor: a text, a cursor between its characters, and what keys do to them. Knows no
//! terminal and no messages.

use std::ops::Range;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_segmentation::UnicodeSegmentation;

use super::text;

/// See the file's first line.
#[derive(Clone, Debug)]
pub(super) struct Editor {
    text: String,
    /// Byte position, between two characters.
    cursor: usize,
    /// What was cut last, for Ctrl-Y.
    cut: String,
    bytes_max: usize,
    is_one_line: bool,
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edited {
    Done,
    /// The text is as long as it may be.
    Full,
    /// Not a key of the editor's.
    Other,
}

impl Editor {
    /// For texts of several lines.
    pub(super) fn new(bytes_max: usize) -> Self {
        let (text, cut) = (String::new(), String::new());
        Self { text, cursor: 0, cut, bytes_max, is_one_line: false }
    }

    /// For texts of one line.
    pub(super) fn one_line(bytes_max: usize) -> Self {
        Self { is_one_line: true, ..Self::new(bytes_max) }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Replaces everything; the cursor stands at the end.
    pub(super) fn set(&mut self, text: &str) {
        self.text.clear();
        self.cursor = 0;
        self.insert(text);
    }

    /// The text, which is gone then.
    pub(super) fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Puts a text before the cursor. Control characters but tabs and line feeds are left out: none
    /// can be typed, and a paste with them was not meant to have them.
    pub(super) fn insert(&mut self, text: &str) -> Edited {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let is_one_line = self.is_one_line;
        let keep = |c: &char| !c.is_control() || (!is_one_line && (*c == '\n' || *c == '\t'));
        let text: String = text.chars().filter(keep).collect();
        if self.text.len() + text.len() > self.bytes_max {
            return Edited::Full;
        }
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
        Edited::Done
    }

    /// What a key does to the text. Arrow keys up and down move between rows of `columns`; at the
    /// first and the last row they are somebody else's.
    pub(super) fn handle_key(&mut self, key: KeyEvent, columns: usize) -> Edited {
        const NONE: KeyModifiers = KeyModifiers::NONE;
        const CTRL: KeyModifiers = KeyModifiers::CONTROL;
        const ALT: KeyModifiers = KeyModifiers::ALT;
        let modifiers = key.modifiers.difference(KeyModifiers::SHIFT);
        match (key.code, modifiers) {
            (KeyCode::Char(c), NONE) => return self.insert(c.encode_utf8(&mut [0; 4])),
            (KeyCode::Left, NONE) | (KeyCode::Char('b'), CTRL) => self.cursor = self.before(),
            (KeyCode::Right, NONE) | (KeyCode::Char('f'), CTRL) => self.cursor = self.after(),
            (KeyCode::Left, CTRL) | (KeyCode::Left | KeyCode::Char('b'), ALT) => {
                self.cursor = self.word_before();
            }
            (KeyCode::Right, CTRL) | (KeyCode::Right | KeyCode::Char('f'), ALT) => {
                self.cursor = self.word_after();
            }
            (KeyCode::Home, NONE) | (KeyCode::Char('a'), CTRL) => self.cursor = self.line_start(),
            (KeyCode::End, NONE) | (KeyCode::Char('e'), CTRL) => self.cursor = self.line_end(),
            (KeyCode::Backspace, NONE) | (KeyCode::Char('h'), CTRL) => {
                self.remove(self.before()..self.cursor);
            }
            (KeyCode::Delete, NONE) | (KeyCode::Char('d'), CTRL) => {
                self.remove(self.cursor..self.after());
            }
            (KeyCode::Char('w'), CTRL) | (KeyCode::Backspace, ALT | CTRL) => {
                self.cut(self.word_before()..self.cursor);
            }
            (KeyCode::Char('d'), ALT) => self.cut(self.cursor..self.word_after()),
            (KeyCode::Char('u'), CTRL) => self.cut(self.line_start()..self.cursor),
            (KeyCode::Char('k'), CTRL) => self.cut(self.cursor..self.line_end()),
            (KeyCode::Char('y'), CTRL) => return self.insert(&self.cut.clone()),
            (KeyCode::Up, NONE) => return self.move_row(columns, -1),
            (KeyCode::Down, NONE) => return self.move_row(columns, 1),
            _ => return Edited::Other,
        }
        Edited::Done
    }

    /// The same with a dot for each character, for what nobody may see.
    pub(super) fn masked(&self) -> Self {
        let dots = |text: &str| "•".repeat(text.graphemes(true).count());
        let before = dots(self.text.get(..self.cursor).unwrap_or_default());
        let after = dots(self.text.get(self.cursor..).unwrap_or_default());
        let (text, cursor) = (format!("{before}{after}"), before.len());
        Self { text, cursor, cut: String::new(), ..*self }
    }

    /// The rows of `columns` in which the text is shown, and the cursor's row and column.
    pub(super) fn rows(&self, columns: usize) -> (Vec<Range<usize>>, usize, usize) {
        // One column stays free for the cursor behind the last character.
        let rows = text::wrap(&self.text, columns.saturating_sub(1));
        let row = rows.iter().rposition(|row| row.start <= self.cursor).unwrap_or(0);
        let start = rows.get(row).map_or(0, |row| row.start);
        let column = text::width(self.text.get(start..self.cursor).unwrap_or_default());
        (rows, row, column.min(columns.saturating_sub(1)))
    }

    /// The word that ends at the cursor.
    pub(super) fn word(&self) -> &str {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        let start = before.rfind(char::is_whitespace).map_or(0, |at| {
            at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
        });
        before.get(start..).unwrap_or_default()
    }

    /// Puts another word in its place.
    pub(super) fn replace_word(&mut self, with: &str) -> Edited {
        let start = self.cursor - self.word().len();
        self.remove(start..self.cursor);
        self.insert(with)
    }

    fn move_row(&mut self, columns: usize, by: isize) -> Edited {
        let (rows, row, column) = self.rows(columns);
        let Some(range) = row.checked_add_signed(by).and_then(|row| rows.get(row)) else {
            return Edited::Other;
        };
        let (mut at, mut used) = (range.start, 0);
        for grapheme in self.text.get(range.clone()).unwrap_or_default().graphemes(true) {
            used += text::grapheme_width(grapheme);
            // The end of a wrapped row is the beginning of the next one.
            let is_next_row = at + grapheme.len() >= range.end && self.is_wrapped(range.end);
            if used > column || is_next_row {
                break;
            }
            at += grapheme.len();
        }
        self.cursor = at;
        Edited::Done
    }

    /// Whether a row that ends here goes on without a line feed.
    fn is_wrapped(&self, end: usize) -> bool {
        self.text.get(end..).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('\n'))
    }

    fn before(&self) -> usize {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        before.grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        let after = self.text.get(self.cursor..).unwrap_or_default();
        self.cursor + after.graphemes(true).next().map_or(0, str::len)
    }

    fn word_before(&self) -> usize {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        before.unicode_word_indices().next_back().map_or(0, |(at, _)| at)
    }

    fn word_after(&self) -> usize {
        let after = self.text.get(self.cursor..).unwrap_or_default();
        let word = after.unicode_word_indices().next();
        self.cursor + word.map_or(after.len(), |(at, word)| at + word.len())
    }

    fn line_start(&self) -> usize {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        before.rfind('\n').map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        let after = self.text.get(self.cursor..).unwrap_or_default();
        self.cursor + after.find('\n').unwrap_or(after.len())
    }

    fn remove(&mut self, range: Range<usize>) {
        self.cursor = range.start;
        self.text.drain(range);
    }

    fn cut(&mut self, range: Range<usize>) {
        if !range.is_empty() {
            self.cut = self.text.get(range.clone()).unwrap_or_default().to_owned();
            self.remove(range);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Editor {
        let mut editor = Editor::new(1_000);
        editor.insert(text);
        editor
    }

    fn press(editor: &mut Editor, code: KeyCode, modifiers: KeyModifiers) -> Edited {
        editor.handle_key(KeyEvent::new(code, modifiers), 20)
    }

    #[test]
    fn the_cursor_never_stands_inside_a_character() {
        let mut editor = typed("a👩‍💻e\u{301}");
        press(&mut editor, KeyCode::Backspace, KeyModifiers::NONE);
        assert_eq!(editor.text(), "a👩‍💻");
        press(&mut editor, KeyCode::Left, KeyModifiers::NONE);
        press(&mut editor, KeyCode::Char('x'), KeyModifiers::NONE);
        assert_eq!(editor.text(), "ax👩‍💻");
        press(&mut editor, KeyCode::Delete, KeyModifiers::NONE);
        assert_eq!(editor.text(), "ax");
    }

    #[test]
    fn what_is_cut_can_be_put_back() {
        let mut editor = typed("one two three");
        press(&mut editor, KeyCode::Char('w'), KeyModifiers::CONTROL);
        assert_eq!(editor.text(), "one two ");
        press(&mut editor, KeyCode::Char('a'), KeyModifiers::CONTROL);
        press(&mut editor, KeyCode::Char('y'), KeyModifiers::CONTROL);
        assert_eq!(editor.text(), "threeone two ");
        press(&mut editor, KeyCode::Char('k'), KeyModifiers::CONTROL);
        assert_eq!(editor.text(), "three");
    }

    #[test]
    fn arrows_move_between_rows_and_leave_at_the_edge() {
        let mut editor = typed("first\nsecond line");
        assert_eq!(press(&mut editor, KeyCode::Down, KeyModifiers::NONE), Edited::Other);
        assert_eq!(press(&mut editor, KeyCode::Up, KeyModifiers::NONE), Edited::Done);
        press(&mut editor, KeyCode::Char('!'), KeyModifiers::NONE);
        assert_eq!(editor.text(), "first!\nsecond line");
        assert_eq!(press(&mut editor, KeyCode::Up, KeyModifiers::NONE), Edited::Other);
    }

    #[test]
    fn wide_text_puts_the_cursor_where_it_is_seen() {
        let editor = typed("你好");
        assert_eq!(editor.rows(20).2, 4);
        let editor = typed("1234567890");
        let (rows, row, column) = editor.rows(6);
        assert_eq!((rows.len(), row, column), (2, 1, 5));
    }

    #[test]
    fn pastes_keep_lines_and_lose_control_characters() {
        let editor = typed("a\r\nb\x1b[2Jc\td");
        assert_eq!(editor.text(), "a\nb[2Jc\td");
        let mut short = Editor::one_line(8);
        assert_eq!(short.insert("a\nb"), Edited::Done);
        assert_eq!(short.text(), "ab");
        assert_eq!(short.insert("1234567"), Edited::Full);
    }

    #[test]
    fn the_word_before_the_cursor_can_be_replaced() {
        let mut editor = typed("hello @b");
        assert_eq!(editor.word(), "@b");
        editor.replace_word("@ben ");
        assert_eq!(editor.text(), "hello @ben ");
    }
}
