//! Keeps rows whole on terminals that count the columns of some characters otherwise than we do:
//! emoji of several parts, letters with marks, scripts of India. Knows buffers and no model.
//!
//! Only cells that changed are written to a terminal. Where it took more columns for a character than
//! were counted, the rest of that character stays in cells that did not change. So a row with such a
//! character, or from which one went, is written as a whole whenever something in it changes: behind
//! the character the cursor is set anew, and what follows covers what is too much.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU16;

use ratatui::buffer::{Buffer, Cell, CellDiffOption};
use unicode_width::UnicodeWidthStr;

/// See the file's first lines.
#[derive(Debug, Default)]
pub(super) struct Steady {
    rows: Vec<Row>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    content: u64,
    is_uncertain: bool,
    /// Cells differ from others by their mark too, so a row whose mark changes is written whole.
    is_marked: bool,
}

impl Steady {
    /// Looks at what is going to be drawn, and marks the rows that must be written whole.
    pub(super) fn apply(&mut self, buffer: &mut Buffer) {
        let columns = usize::from(buffer.area.width).max(1);
        self.rows.resize(usize::from(buffer.area.height), Row::default());
        for (row, cells) in self.rows.iter_mut().zip(buffer.content.chunks_mut(columns)) {
            let mut hasher = DefaultHasher::new();
            cells.hash(&mut hasher);
            let content = hasher.finish();
            let is_uncertain = cells.iter().any(is_uncertain);
            if content != row.content && (is_uncertain || row.is_uncertain) {
                row.is_marked = !row.is_marked;
            }
            (row.content, row.is_uncertain) = (content, is_uncertain);
            for cell in cells.iter_mut().filter(|_| row.is_marked) {
                let width = u16::try_from(cell.symbol().width()).unwrap_or(1);
                let width = NonZeroU16::new(width).unwrap_or(NonZeroU16::MIN);
                cell.set_diff_option(CellDiffOption::ForcedWidth(width));
            }
        }
    }
}

/// Whether a terminal may take another number of columns for it: more than one code point.
fn is_uncertain(cell: &Cell) -> bool {
    cell.symbol().chars().nth(1).is_some()
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    const COLUMNS: usize = 10;

    /// How many cells of each row are written.
    fn written(frames: &[[&str; 2]]) -> [usize; 2] {
        let area = Rect::new(0, 0, COLUMNS as u16, 2);
        let mut steady = Steady::default();
        let (mut before, mut counts) = (Buffer::empty(area), [0; 2]);
        for frame in frames {
            let mut buffer = Buffer::empty(area);
            for (y, text) in (0..).zip(frame) {
                buffer.set_string(0, y, text, Style::new());
            }
            steady.apply(&mut buffer);
            counts = [0; 2];
            for (_, y, _) in before.diff(&buffer) {
                counts[usize::from(y)] += 1;
            }
            before = buffer;
        }
        counts
    }

    #[test]
    fn a_row_with_an_uncertain_character_is_written_whole_or_not_at_all() {
        // The thumb takes two columns and is one write.
        assert_eq!(written(&[["👍🏽 a", "b"]]), [COLUMNS - 1, 1]);
        assert_eq!(written(&[["👍🏽 a", "b"], ["👍🏽 a", "b"]]), [0, 0]);
        assert_eq!(written(&[["👍🏽 a", "b"], ["👍🏽 c", "d"]]), [COLUMNS - 1, 1]);
    }

    #[test]
    fn where_such_a_character_was_the_row_is_written_whole_once() {
        assert_eq!(written(&[["नमस्ते", ""], ["ab", ""]]), [COLUMNS, 0]);
        assert_eq!(written(&[["नमस्ते", ""], ["ab", ""], ["ac", ""]]), [1, 0]);
    }
}
