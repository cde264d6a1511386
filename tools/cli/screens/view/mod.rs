//! Draws the model: where everything stands, and the parts that are not worth a file. Changes
//! nothing and asks nobody.

mod account;
mod chats;
mod compose;
mod messages;
mod panels;
mod status;
mod theme;
mod times;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;

use super::model::{Focus, Model};

pub use theme::Theme;
pub use times::date_and_time;

/// Terminals with fewer columns show the list or a conversation, not both.
const SIDE_BY_SIDE_COLUMNS: u16 = 60;
/// Columns of the list beside a conversation.
const LIST_COLUMNS: std::ops::RangeInclusive<u16> = 22..=40;
/// Rows in which a message is typed, at most.
const COMPOSE_ROWS_MAX: u16 = 6;

/// Where everything stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Areas {
    list: Rect,
    title: Rect,
    log: Rect,
    /// The line above what is typed.
    above: Rect,
    compose: Rect,
    status: Rect,
    /// All but the status, for panels.
    whole: Rect,
}

impl Areas {
    fn of(model: &Model) -> Self {
        let (columns, rows) = model.size;
        let body_rows = rows.saturating_sub(1);
        let whole = Rect::new(0, 0, columns, body_rows);
        let status = Rect::new(0, body_rows, columns, rows.min(1));
        let (list, right) = split(model.size, model.focus == Focus::List);
        let compose_rows = compose::row_count(model, usize::from(right.width));
        let compose_rows = compose_rows.min(COMPOSE_ROWS_MAX).min((body_rows / 3).max(1));
        let title = Rect { height: right.height.min(1), ..right };
        let log_rows = right.height.saturating_sub(compose_rows + 2);
        let log = Rect { y: right.y + title.height, height: log_rows, ..right };
        let above = Rect { y: log.bottom(), height: right.height.min(1), ..right };
        let compose = Rect { y: above.bottom(), height: compose_rows, ..right };
        Self { list, title, log, above, compose, status, whole }
    }
}

/// The list and what stands right of it.
fn split(size: (u16, u16), is_list_wanted: bool) -> (Rect, Rect) {
    let (columns, rows) = size;
    let rows = rows.saturating_sub(1);
    let all = Rect::new(0, 0, columns, rows);
    let none = Rect::new(0, 0, 0, 0);
    if columns < SIDE_BY_SIDE_COLUMNS {
        return if is_list_wanted { (all, none) } else { (none, all) };
    }
    let list_columns = (columns * 3 / 10).clamp(*LIST_COLUMNS.start(), *LIST_COLUMNS.end());
    let list = Rect { width: list_columns, ..all };
    let right = Rect { x: list_columns + 1, width: columns - list_columns - 1, ..all };
    (list, right)
}

/// Columns in which a message is typed.
pub fn compose_columns(size: (u16, u16)) -> usize {
    usize::from(split(size, false).1.width).saturating_sub(compose::PROMPT_COLUMNS)
}

/// Conversations that the list shows at once.
pub fn chats_shown(size: (u16, u16)) -> usize {
    let list = split(size, true).0;
    chats::shown(list.height)
}

/// Columns and rows of the log.
pub fn log_size(model: &Model) -> (usize, usize) {
    let log = Areas::of(model).log;
    (usize::from(log.width), usize::from(log.height))
}

/// What the log holds and how many rows each takes, from the oldest.
pub fn log_heights(model: &Model, columns: usize) -> impl Iterator<Item = (u64, usize)> {
    let items = model.log.as_ref().map_or(Vec::new(), |log| messages::items(model, log));
    let theme = Theme::plain();
    (0..items.len()).filter_map(move |index| {
        let log = model.log.as_ref()?;
        let before = index.checked_sub(1).and_then(|index| items.get(index)).copied();
        let item = *items.get(index)?;
        Some((item.key(), messages::rows(model, log, before, item, columns, theme).len()))
    })
}

/// How many rows of a text can stand at the top.
pub fn reading_rows_below_top(size: (u16, u16), text: &str) -> usize {
    panels::reading_rows_below_top(size, text)
}

/// Draws everything.
pub fn draw(model: &Model, theme: Theme, frame: &mut Frame<'_>) {
    let areas = Areas::of(model);
    let buffer = frame.buffer_mut();
    let mut cursor = None;
    match &model.panel {
        Some(panel) => panels::draw(model, panel, theme, areas.whole, buffer),
        None => {
            chats::draw(model, theme, areas.list, buffer);
            draw_edge(areas.list, theme, buffer);
            if areas.log.width > 0 {
                draw_title(model, theme, areas.title, buffer);
                draw_log(model, theme, areas.log, buffer);
                cursor = compose::draw(model, theme, areas.above, areas.compose, buffer);
            }
        }
    }
    if let Some(prompt) = &model.prompt {
        let row = Rect { y: areas.whole.bottom().saturating_sub(1), height: 1, ..areas.whole };
        cursor = compose::draw_prompt(prompt, theme, row, buffer);
    }
    status::draw(model, theme, areas.status, buffer);
    if let Some((x, y)) = cursor {
        frame.set_cursor_position(Position::new(x, y));
    }
}

/// One row, cut at the area's edge.
fn put(buffer: &mut Buffer, area: Rect, row: u16, line: &Line<'_>) {
    let row_area = Rect { y: area.y.saturating_add(row), height: 1, ..area };
    let seen = row_area.intersection(buffer.area);
    if row < area.height && !seen.is_empty() {
        buffer.set_line(seen.x, seen.y, line, seen.width);
    }
}

fn draw_edge(list: Rect, theme: Theme, buffer: &mut Buffer) {
    let edge = Rect { x: list.right(), width: 1, ..list };
    if list.width == 0 || buffer.area.right() <= edge.x {
        return;
    }
    for row in 0..edge.height {
        put(buffer, edge, row, &Line::styled("│", theme.dim()));
    }
}

fn draw_title(model: &Model, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let title = match model.current() {
        None => String::new(),
        Some(target) => {
            let name = model.names.target(target);
            match target {
                aldis_client::core::Target::User(user) if user.0 == model.setting.me => {
                    format!("{name} (notes to yourself)")
                }
                aldis_client::core::Target::User(user) => {
                    let there = presence_text(model, user.0);
                    format!("{name} ({}){there}", model.names.username(user.0))
                }
                aldis_client::core::Target::Group(group) => {
                    let count = model.groups.get(&group.0).map(|info| info.member_count);
                    match count {
                        Some(count) => format!("{name} (group:{group}, {count} members)"),
                        None => format!("{name} (group:{group}, you are not a member)"),
                    }
                }
            }
        }
    };
    let title = super::text::pad(&format!(" {title}"), usize::from(area.width));
    put(buffer, area, 0, &Line::styled(title, theme.bar()));
}

/// Whether somebody is there, where one may know.
fn presence_text(model: &Model, user: u64) -> String {
    match model.presence(user) {
        Some(info) if info.is_unknown => String::new(),
        Some(info) if !info.online.is_empty() => " · online".to_owned(),
        Some(info) if info.last_seen_ms > 0 => {
            let at = times::short(info.last_seen_ms, model.now_ms, &model.setting.zone);
            format!(" · last seen {at}")
        }
        Some(_) => " · offline".to_owned(),
        None => String::new(),
    }
}

fn draw_log(model: &Model, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(log) = &model.log else { return draw_welcome(model, theme, area, buffer) };
    let items = messages::items(model, log);
    let anchored = log.bottom.and_then(|anchor| {
        let index = items.iter().position(|item| item.key() == anchor.conv_seq)?;
        Some((index + 1, anchor.hidden))
    });
    let (end, mut hidden) = anchored.unwrap_or((items.len(), 0));
    // From the bottom row up.
    let mut free = area.height;
    for index in (0..end).rev() {
        let Some(item) = items.get(index) else { break };
        let before = index.checked_sub(1).and_then(|index| items.get(index)).copied();
        let columns = usize::from(area.width);
        let rows = messages::rows(model, log, before, *item, columns, theme);
        for row in rows.iter().rev().skip(hidden) {
            let Some(at) = free.checked_sub(1) else { return };
            free = at;
            put(buffer, area, at, row);
        }
        hidden = 0;
    }
    let note = match (log.is_fresh, log.is_loading, items.is_empty()) {
        (true, ..) => "loading…",
        (false, true, _) => "loading older messages…",
        (false, false, true) => "nothing was said here yet",
        _ => "",
    };
    if let Some(at) = free.checked_sub(1).filter(|_| !note.is_empty()) {
        put(buffer, area, at, &Line::styled(format!(" {note}"), theme.dim()));
    }
}

fn draw_welcome(model: &Model, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let rows = [
        String::new(),
        format!(" Welcome, {}", model.names.user(model.setting.me)),
        String::new(),
        " ↑ ↓ Enter  open a conversation from the list".to_owned(),
        " Ctrl-T     talk to somebody by name".to_owned(),
        " F1         help with all keys".to_owned(),
    ];
    for (row, text) in rows.iter().enumerate() {
        let text = super::text::fit(text, usize::from(area.width));
        put(buffer, area, u16::try_from(row).unwrap_or(u16::MAX), &Line::styled(text, theme.dim()));
    }
}
