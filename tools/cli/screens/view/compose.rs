//! What is typed: a message below its conversation, or the answer to a question.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::messages::{name_of, preview_of, rule};
use super::put;
use super::theme::Theme;
use crate::screens::editor::Editor;
use crate::screens::model::{Answer, Focus, Model, Prompt};
use crate::screens::text::{cells, fit, width};

/// Columns before what is typed.
pub(super) const PROMPT_COLUMNS: usize = 2;
/// Characters of the message that is replied to.
const QUOTE_CHARS: usize = 60;

/// How a question is answered that takes no text.
const YES_OR_NO: &str = " (y/n) ";

/// Rows that the typed message takes.
pub(super) fn row_count(model: &Model, columns: usize) -> u16 {
    let columns = columns.saturating_sub(PROMPT_COLUMNS);
    let rows = model.draft().map_or(1, |draft| draft.editor.rows(columns).0.len());
    u16::try_from(rows).unwrap_or(u16::MAX)
}

/// Draws what is typed and the line above it; where the cursor stands.
pub(super) fn draw(
    model: &Model,
    theme: Theme,
    above: Rect,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<(u16, u16)> {
    let columns = usize::from(above.width);
    let (line, style) = match hint(model) {
        Some(hint) => (rule(&hint, columns), theme.alert()),
        None => ("─".repeat(columns), theme.dim()),
    };
    put(buffer, above, 0, &Line::styled(line, style));
    let draft = model.draft()?;
    let is_typing = model.focus == Focus::Compose;
    let style = if is_typing { theme.bold() } else { theme.dim() };
    put(buffer, area, 0, &Line::styled("> ", style));
    let inner = Rect {
        x: area.x + PROMPT_COLUMNS as u16,
        width: area.width.saturating_sub(PROMPT_COLUMNS as u16),
        ..area
    };
    let cursor = draw_editor(&draft.editor, inner, buffer);
    cursor.filter(|_| is_typing)
}

/// What the typed text is going to be, if it is not a plain message.
fn hint(model: &Model) -> Option<String> {
    if model.focus == Focus::Messages {
        return Some("r reply · + react · e edit · d take back · Enter".to_owned());
    }
    let draft = model.draft()?;
    let log = model.log.as_ref()?;
    if draft.editing.is_some() {
        return Some("editing; Esc leaves it as it was".to_owned());
    }
    let replied = draft.reply_to.and_then(|conv_seq| log.get(conv_seq));
    if let Some(message) = replied {
        let who = name_of(model, message.sender_id);
        return Some(format!("reply to {who}: {}", preview_of(model, message, QUOTE_CHARS)));
    }
    let writing: Vec<String> =
        model.typing(log.target).take(3).map(|user| name_of(model, user)).collect();
    if !writing.is_empty() {
        let verb = if writing.len() == 1 { "is" } else { "are" };
        return Some(format!("{} {verb} writing…", writing.join(", ")));
    }
    log.bottom.map(|_| "older messages; Ctrl-G shows the newest".to_owned())
}

fn draw_editor(editor: &Editor, area: Rect, buffer: &mut Buffer) -> Option<(u16, u16)> {
    let (rows, row, column) = editor.rows(usize::from(area.width));
    // The cursor's row is always on the screen.
    let first = (row + 1).saturating_sub(usize::from(area.height));
    for (place, range) in rows.into_iter().skip(first).take(usize::from(area.height)).enumerate() {
        let text = cells(editor.text().get(range).unwrap_or_default());
        put(buffer, area, u16::try_from(place).ok()?, &Line::raw(text));
    }
    let x = area.x.checked_add(u16::try_from(column).ok()?)?;
    let y = area.y.checked_add(u16::try_from(row - first).ok()?)?;
    Some((x, y))
}

/// Draws a question and what was typed so far; where the cursor stands.
pub(super) fn draw_prompt(
    prompt: &Prompt,
    theme: Theme,
    row: Rect,
    buffer: &mut Buffer,
) -> Option<(u16, u16)> {
    buffer.set_style(row, ratatui::style::Style::reset());
    put(buffer, row, 0, &Line::raw(" ".repeat(usize::from(row.width))));
    let columns = usize::from(row.width);
    let question = match &prompt.answer {
        // The question may be cut, what answers it may not.
        Answer::YesNo(_) => {
            format!(
                "{}{YES_OR_NO}",
                fit(&prompt.question, columns.saturating_sub(YES_OR_NO.len() + 1))
            )
        }
        Answer::Text { .. } => format!("{} ", fit(&prompt.question, columns * 2 / 3)),
    };
    let used = u16::try_from(width(&question)).ok()?;
    put(buffer, row, 0, &Line::from(vec![Span::styled(question, theme.alert())]));
    let rest = Rect { x: row.x + used, width: row.width.saturating_sub(used), ..row };
    match &prompt.answer {
        Answer::YesNo(_) => Some((rest.x, rest.y)),
        Answer::Text { editor, wish } if wish.is_secret() => {
            draw_editor(&editor.masked(), rest, buffer)
        }
        Answer::Text { editor, .. } => draw_editor(editor, rest, buffer),
    }
}
