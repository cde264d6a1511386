//! The list of conversations, two rows for each.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::messages::{name_of, preview_of};
use super::theme::Theme;
use super::{put, times};
use crate::screens::model::{Chat, Focus, Model};
use crate::screens::text::{fit, pad, width};

/// Rows of one conversation.
const ROWS: usize = 2;
/// Characters of the last message; the list is rarely wider.
const PREVIEW_CHARS: usize = 60;
/// Unread messages that are shown as a number.
const UNREAD_SHOWN_MAX: usize = 99;

pub(super) fn draw(model: &Model, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if area.width == 0 {
        return;
    }
    let columns = usize::from(area.width);
    put(buffer, area, 0, &Line::styled(pad(" Conversations", columns), theme.bar()));
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    if model.chats.is_empty() {
        put(
            buffer,
            body,
            0,
            &Line::styled(fit(" none yet; Ctrl-T begins one", columns), theme.dim()),
        );
        return;
    }
    let selected = model.chats.selected.and_then(|target| model.chats.position(target));
    // The selected one is always on the screen.
    let shown = shown(area.height);
    let first = selected.unwrap_or(0).saturating_sub(shown - 1);
    for (place, chat) in model.chats.iter().skip(first).take(shown).enumerate() {
        let is_selected = Some(first + place) == selected;
        let [top, bottom] = rows(model, chat, columns, is_selected, theme);
        let row = u16::try_from(place * ROWS).unwrap_or(u16::MAX);
        put(buffer, body, row, &top);
        put(buffer, body, row.saturating_add(1), &bottom);
    }
}

/// How many conversations stand below the title of a list of so many rows.
pub(super) fn shown(rows: u16) -> usize {
    (usize::from(rows.saturating_sub(1)) / ROWS).max(1)
}

fn rows(
    model: &Model,
    chat: &Chat,
    columns: usize,
    is_selected: bool,
    theme: Theme,
) -> [Line<'static>; ROWS] {
    let is_open = model.current() == Some(chat.target);
    let is_cursor = is_selected && model.focus == Focus::List;
    let edge = match (is_open, chat.pinned_ms > 0) {
        (true, _) => "▌",
        (false, true) => "*",
        (false, false) => " ",
    };
    let unread_count = chat.unread_count();
    let name_style = if unread_count > 0 { theme.bold() } else { Style::new() };
    let time = match &chat.last {
        Some(last) => times::short(last.time_ms, model.now_ms, &model.setting.zone),
        None => String::new(),
    };
    let name = pad(&model.names.target(chat.target), columns.saturating_sub(width(&time) + 2));
    let top = vec![
        Span::styled(edge, theme.good()),
        Span::styled(name, name_style),
        Span::styled(format!("{time} "), theme.dim()),
    ];
    let badge = badge(chat, unread_count);
    let said = match &chat.last {
        Some(last) => said(model, chat, last),
        None => String::new(),
    };
    let said = pad(&format!(" {said}"), columns.saturating_sub(width(&badge) + 2));
    let bottom = vec![
        Span::styled(edge, theme.good()),
        Span::styled(said, theme.dim()),
        Span::styled(format!("{badge} "), if chat.is_muted { theme.dim() } else { theme.alert() }),
    ];
    let style = if is_cursor { theme.selected() } else { Style::new() };
    [Line::from(top).patch_style(style), Line::from(bottom).patch_style(style)]
}

/// How much is unread, and whether it mentions the user.
fn badge(chat: &Chat, unread_count: usize) -> String {
    let count = match unread_count {
        0 => String::new(),
        count if count > UNREAD_SHOWN_MAX => format!("{UNREAD_SHOWN_MAX}+"),
        count => count.to_string(),
    };
    match (chat.is_mentioned(), chat.is_muted) {
        (true, _) => format!("@{count}"),
        (false, true) => format!("quiet {count}").trim_end().to_owned(),
        (false, false) => count,
    }
}

fn said(model: &Model, chat: &Chat, last: &crate::screens::model::Message) -> String {
    let text = preview_of(model, last, PREVIEW_CHARS);
    let is_direct = matches!(chat.target, aldis_client::core::Target::User(_));
    match (last.is_written(), is_direct && last.sender_id != model.setting.me) {
        (false, _) => format!("{} {text}", name_of(model, last.sender_id)),
        (true, true) => text,
        (true, false) => format!("{}: {text}", name_of(model, last.sender_id)),
    }
}
