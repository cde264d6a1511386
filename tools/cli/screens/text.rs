//! Text in the columns of a terminal: characters as people see them, widths, wrapping. Knows no
//! messages and no colours.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Columns of a tab: the same everywhere, so that a text looks alike wherever it begins.
const TAB: &str = "    ";
/// Bytes of one character with all its marks. The longest emoji have some 40; what is longer is
/// somebody's attempt to draw over neighbouring lines.
const GRAPHEME_BYTES_MAX: usize = 64;

/// Columns that a character takes.
pub(super) fn grapheme_width(grapheme: &str) -> usize {
    match grapheme {
        "\t" => TAB.len(),
        "\n" => 0,
        _ => cut_marks(grapheme).width(),
    }
}

/// Columns that a text without line feeds takes.
pub(super) fn width(text: &str) -> usize {
    text.graphemes(true).map(grapheme_width).sum()
}

/// Pieces of a text, each of which fits into `columns`, in order and without a gap. Lines end at
/// line feeds, which belong to no piece, else after a space or beside a wide character, else
/// anywhere. Spaces may hang over the edge.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<Range<usize>> {
    let columns = columns.max(2); // a wide character must fit
    let mut rows = Vec::new();
    let (mut start, mut used) = (0, 0);
    // The last place to break at, and the columns before it.
    let mut last_break = None;
    for (at, grapheme) in text.grapheme_indices(true) {
        if grapheme == "\n" {
            rows.push(start..at);
            (start, used, last_break) = (at + 1, 0, None);
            continue;
        }
        let width = grapheme_width(grapheme);
        let is_space = grapheme == " ";
        if used + width > columns && !is_space && at > start {
            let (next, before) = last_break.filter(|_| width < 2).unwrap_or((at, used));
            rows.push(start..next);
            (start, used, last_break) = (next, used - before, None);
        }
        used += width;
        if is_space || width == 2 {
            last_break = Some((at + grapheme.len(), used));
        }
    }
    rows.push(start..text.len());
    rows
}

/// A piece of a text as it can be put into cells.
pub(super) fn cells(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for grapheme in text.graphemes(true) {
        out.push_str(if grapheme == "\t" { TAB } else { cut_marks(grapheme) });
    }
    out
}

/// The beginning of a text without line feeds that fits into `columns`, with `…` where it was cut.
pub(super) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return cells(text);
    }
    let (mut out, mut used) = (String::new(), 0);
    for grapheme in text.graphemes(true) {
        used += grapheme_width(grapheme);
        if used + 1 > columns {
            break;
        }
        out.push_str(&cells(grapheme));
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// The same, filled up with spaces.
pub(super) fn pad(text: &str, columns: usize) -> String {
    let mut out = fit(text, columns);
    let missing = columns.saturating_sub(width(&out));
    out.extend(std::iter::repeat_n(' ', missing));
    out
}

fn cut_marks(grapheme: &str) -> &str {
    if grapheme.len() <= GRAPHEME_BYTES_MAX {
        return grapheme;
    }
    let mut end = GRAPHEME_BYTES_MAX;
    while !grapheme.is_char_boundary(end) {
        end -= 1;
    }
    grapheme.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str, columns: usize) -> Vec<&str> {
        wrap(text, columns).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn lines_break_after_words_where_they_can() {
        assert_eq!(rows("one two three", 7), ["one two ", "three"]);
        assert_eq!(rows("one two three", 8), ["one two ", "three"]);
        assert_eq!(rows("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(rows("a\n\nb", 5), ["a", "", "b"]);
        assert_eq!(rows("", 5), [""]);
        assert_eq!(rows("ab   cd", 2), ["ab   ", "cd"]);
    }

    #[test]
    fn wide_characters_are_never_halved() {
        assert_eq!(rows("你好你好", 5), ["你好", "你好"]);
        assert_eq!(rows("a你好", 2), ["a", "你", "好"]);
        assert_eq!(rows("hi 你好吗", 6), ["hi 你", "好吗"]);
        assert_eq!(rows("👩‍💻👩‍💻", 3), ["👩‍💻", "👩‍💻"]);
    }

    #[test]
    fn no_row_is_wider_than_asked_but_for_spaces() {
        let text =
            "Some 中文 text\twith a-very-long-word-that-cannot-fit and e\u{301}moji 👍🏽 👩‍💻 end";
        for columns in 2..40 {
            let mut shown = String::new();
            for range in wrap(text, columns) {
                let row = &text[range];
                assert!(width(row.trim_end()) <= columns.max(4), "{row:?} at {columns}");
                shown.push_str(row);
            }
            assert_eq!(shown, text);
        }
    }

    #[test]
    fn long_texts_are_cut_with_a_mark() {
        assert_eq!(fit("hello", 5), "hello");
        assert_eq!(fit("hello", 4), "hel…");
        assert_eq!(fit("你好你", 4), "你…");
        assert_eq!(pad("你", 4), "你  ");
        assert_eq!(fit("hello", 0), "");
    }

    #[test]
    fn marks_upon_marks_are_cut() {
        let tower = format!("a{}", "\u{301}".repeat(1_000));
        assert!(cells(&tower).len() <= GRAPHEME_BYTES_MAX);
        assert_eq!(width(&tower), 1);
    }
}
