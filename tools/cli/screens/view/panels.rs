//! Friends, groups, members and long texts, each over the whole screen, with their keys below.

use aldis_wire::pb;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::account::{device_row, draw_own_name, field_row};
use super::messages::{name_of, preview_of};
use super::put;
use super::theme::Theme;
use crate::screens::keys::{Act, Table};
use crate::screens::model::{FIELDS, Hit, Model, Panel};
use crate::screens::text::{cells, fit, pad, wrap};
use crate::terminal::escape_line;

/// Columns of a name in a list, on a terminal of 70 columns and more.
const NAME_COLUMNS: usize = 28;
/// The same on the narrowest one.
const NAME_COLUMNS_MIN: usize = 10;

/// Characters of a message that was found.
const HIT_CHARS: usize = 160;

/// A row of a list, and whether it is quiet.
pub(super) type ListRow = (String, bool);

pub(super) fn draw(model: &Model, panel: &Panel, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    let title = pad(&format!(" {}", title(model, panel)), columns);
    put(buffer, area, 0, &Line::styled(title, theme.bar()));
    let mut keys = keys_rows(panel.table(), columns);
    let keys_rows_max = usize::from(area.height / 3).max(1);
    if keys.len() > keys_rows_max {
        keys.truncate(keys_rows_max - 1);
        keys.push(" F1 all keys · Esc back".to_owned());
    }
    let keys_rows = u16::try_from(keys.len()).unwrap_or(0);
    // The last row stays free for questions.
    let body_rows = area.height.saturating_sub(keys_rows + 3);
    let body = Rect { y: area.y + 1, height: body_rows, ..area };
    match panel {
        Panel::Reading { text, top, .. } => draw_text(text, *top, body, buffer),
        Panel::Friends { selected, .. }
        | Panel::Groups { selected }
        | Panel::Search { selected }
        | Panel::Profile { selected }
        | Panel::Devices { selected }
        | Panel::Members { selected, .. } => {
            let rows = rows(model, panel, columns);
            let body = draw_head(model, panel, theme, body, buffer);
            draw_list(&rows, *selected, model.is_loading(panel), theme, body, buffer);
        }
    }
    let below = Rect { y: body.bottom() + 1, height: keys_rows, ..area };
    for (row, text) in (0..).zip(keys) {
        put(buffer, below, row, &Line::styled(text, theme.dim()));
    }
}

fn title(model: &Model, panel: &Panel) -> String {
    match panel {
        Panel::Friends { list, .. } => {
            let relations = &model.relations;
            let tab = |of: pb::RelationList, name: &str| {
                let count = relations.list(of).len();
                if of == *list { format!("[{name} {count}]") } else { format!(" {name} {count} ") }
            };
            let tabs = [
                tab(pb::RelationList::Friends, "Friends"),
                tab(pb::RelationList::Requests, "Requests"),
                tab(pb::RelationList::Blocked, "Blocked"),
            ];
            tabs.join(" ")
        }
        Panel::Groups { .. } => format!("Groups {}", model.groups.len()),
        Panel::Search { .. } => {
            let more = match (model.is_loading(panel), model.has_more_hits()) {
                (true, _) => ", searching…",
                (false, true) => "+",
                (false, false) => "",
            };
            let count = model.search.hits.len();
            format!("Found: {} ({count}{more})", escape_line(&model.search.query))
        }
        Panel::Members { group, .. } => {
            format!("{} (group:{group})", model.names.group(*group))
        }
        Panel::Profile { .. } => "[Yourself]  Your devices".to_owned(),
        Panel::Devices { .. } => {
            format!(" Yourself  [Your devices {}]", model.account.devices.len())
        }
        Panel::Reading { title, .. } => escape_line(title),
    }
}

/// What is to be known of a group, above its members; the rest of the area.
fn draw_head(model: &Model, panel: &Panel, theme: Theme, area: Rect, buffer: &mut Buffer) -> Rect {
    if let Panel::Profile { .. } = panel {
        return draw_own_name(model, theme, area, buffer);
    }
    let Panel::Members { group, .. } = panel else { return area };
    let Some(info) = model.groups.get(group) else { return area };
    let joining = match info.join_mode() {
        pb::JoinMode::Invited => "only members bring others in",
        pb::JoinMode::Asked => "strangers may ask to come in",
        pb::JoinMode::Open => "strangers may come in",
    };
    let muted = if info.all_muted { ", only owner and admins may speak" } else { "" };
    let head = format!(" {} members; {joining}{muted}", info.member_count);
    let announcement = match info.announcement.is_empty() {
        true => String::new(),
        false => format!(" Announcement: {}", escape_line(&info.announcement)),
    };
    let columns = usize::from(area.width);
    let lines = [head, announcement].map(|line| fit(&line, columns));
    let shown = lines.iter().filter(|line| !line.is_empty());
    let mut row = 0;
    for line in shown {
        put(buffer, area, row, &Line::styled(line.clone(), theme.dim()));
        row += 1;
    }
    let used = row.min(area.height);
    Rect { y: area.y + used, height: area.height - used, ..area }
}

/// How wide names are in a list of so many columns.
fn name_columns(columns: usize) -> usize {
    (columns * 2 / 5).clamp(NAME_COLUMNS_MIN, NAME_COLUMNS)
}

fn rows(model: &Model, panel: &Panel, columns: usize) -> Vec<ListRow> {
    let names = name_columns(columns);
    match panel {
        Panel::Friends { list, .. } => {
            model.relations.list(*list).iter().map(|row| relation_row(model, row, names)).collect()
        }
        Panel::Groups { .. } => {
            model.groups.values().map(|group| group_row(group, names)).collect()
        }
        Panel::Search { .. } => {
            model.search.hits.iter().map(|hit| hit_row(model, hit, names)).collect()
        }
        Panel::Profile { .. } => FIELDS.iter().map(|field| field_row(model, *field)).collect(),
        Panel::Devices { .. } => {
            model.account.devices.iter().map(|device| device_row(model, device, names)).collect()
        }
        Panel::Members { group, .. } => {
            let Some(roster) = model.roster_of(*group) else { return Vec::new() };
            let requests = roster.requests.iter().map(|request| {
                let who = person(model, request.user_id, names);
                (format!("{who} asks to come in: {}", escape_line(&request.reason)), false)
            });
            let members = roster.members.iter().map(|member| member_row(model, member, names));
            requests.chain(members).collect()
        }
        Panel::Reading { .. } => Vec::new(),
    }
}

fn person(model: &Model, id: u64, names: usize) -> String {
    let (name, username) = (model.names.user(id), model.names.username(id));
    pad(&format!("{name} ({username})"), names)
}

fn relation_row(model: &Model, relation: &pb::RelationInfo, names: usize) -> ListRow {
    let who = person(model, relation.user_id, names);
    let mut notes = Vec::new();
    if model.presence(relation.user_id).is_some_and(|info| !info.online.is_empty()) {
        notes.push("online".to_owned());
    }
    if relation.is_blocked && relation.is_friend {
        notes.push("blocked".to_owned());
    }
    if !relation.folder.is_empty() {
        notes.push(format!("in {}", relation.folder));
    }
    if relation.has_asked {
        notes.push(format!("asks: {}", relation.reason));
    }
    (format!("{who} {}", escape_line(&notes.join(", "))), false)
}

fn hit_row(model: &Model, hit: &Hit, names: usize) -> ListRow {
    let message = &hit.message;
    let at = super::times::short(message.time_ms, model.now_ms, &model.setting.zone);
    let place = pad(&model.names.target(hit.target), names);
    let who = name_of(model, message.sender_id);
    (format!("{at:<6} {place} {who}: {}", preview_of(model, message, HIT_CHARS)), false)
}

fn group_row(group: &pb::GroupInfo, names: usize) -> ListRow {
    let name = pad(&escape_line(&group.name), names);
    let role = role_name(group.role());
    (format!("{name} {:>4} members  {role}  group:{}", group.member_count, group.group_id), false)
}

fn member_row(model: &Model, member: &pb::GroupMember, names: usize) -> ListRow {
    let who = person(model, member.user_id, names);
    let is_muted = member.muted_until_ms > model.now_ms;
    let muted = if is_muted {
        let until = super::times::short(member.muted_until_ms, model.now_ms, &model.setting.zone);
        format!("silenced until {until}")
    } else {
        String::new()
    };
    (format!("{who} {:<6} {muted}", role_name(member.role())), is_muted)
}

fn role_name(role: pb::GroupRole) -> &'static str {
    match role {
        pb::GroupRole::Owner => "owner",
        pb::GroupRole::Admin => "admin",
        pb::GroupRole::Member => "member",
        pb::GroupRole::Unspecified => "",
    }
}

fn draw_list(
    rows: &[ListRow],
    selected: usize,
    is_loading: bool,
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let columns = usize::from(area.width);
    if rows.is_empty() {
        let note = if is_loading { " loading…" } else { " nobody and nothing here" };
        return put(buffer, area, 0, &Line::styled(note, theme.dim()));
    }
    let shown = usize::from(area.height).max(1);
    let selected = selected.min(rows.len() - 1);
    let first = (selected + 1).saturating_sub(shown);
    for (place, (text, is_quiet)) in rows.iter().enumerate().skip(first).take(shown) {
        let style = match (place == selected, is_quiet) {
            (true, _) => theme.selected(),
            (false, true) => theme.dim(),
            (false, false) => ratatui::style::Style::new(),
        };
        let row = u16::try_from(place - first).unwrap_or(u16::MAX);
        put(buffer, area, row, &Line::styled(pad(&format!(" {text}"), columns), style));
    }
}

fn draw_text(text: &str, top: usize, area: Rect, buffer: &mut Buffer) {
    let shown = wrap(text, usize::from(area.width)).into_iter().skip(top);
    for (row, range) in (0..area.height).zip(shown) {
        put(buffer, area, row, &Line::raw(cells(text.get(range).unwrap_or_default())));
    }
}

/// See `view::reading_rows_below_top`.
pub(super) fn reading_rows_below_top(size: (u16, u16), text: &str) -> usize {
    let (columns, rows) = size;
    // The title, the keys, the free rows above and below them, the status.
    let around = 5;
    let visible = usize::from(rows.saturating_sub(around)).max(1);
    let all = wrap(text, usize::from(columns)).len();
    all.saturating_sub(visible) + 1
}

/// The keys of a view on as few rows as they take.
fn keys_rows(table: &Table, columns: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    for binding in table.bindings {
        if matches!(binding.act, Act::Up | Act::Down | Act::First | Act::Last) {
            continue;
        }
        let word = format!(" {} {} ·", binding.label(), binding.what);
        let last = rows.last_mut().expect("there is always a row");
        if !last.is_empty() && super::super::text::width(last) + word.chars().count() > columns {
            rows.push(word);
        } else {
            last.push_str(&word);
        }
    }
    rows.into_iter().map(|row| row.trim_end_matches(" ·").to_owned()).collect()
}
