//! How the messages of a conversation look, each as rows of a given width. Knows no place on the
//! screen.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::theme::Theme;
use super::times;
use crate::events::event_text;
use crate::screens::model::{Body, Log, Message, Model, Unsent};
use crate::screens::text::{self, cells, fit, wrap};
use crate::terminal::{escape, escape_line, preview};

/// Columns before a text: `15:04 ✓✓ `. Further rows stand below it, so that no second line of a
/// text can pass for a message.
const INDENT: usize = 9;
/// Columns of a name.
const NAME_COLUMNS: usize = 24;
/// Characters of a text that are shown in the log; the rest is shown when it is picked.
const SHOWN_CHARS_MAX: usize = 4_000;
/// Lines of the same.
const SHOWN_LINES_MAX: usize = 40;
/// Characters of what a reply is to.
const QUOTE_CHARS: usize = 200;

/// What stands in the log.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    Message(&'a Message),
    Unsent(&'a Unsent),
}

impl<'a> Item<'a> {
    fn message(self) -> &'a Message {
        match self {
            Item::Message(message) => message,
            Item::Unsent(unsent) => &unsent.message,
        }
    }

    /// By which scrolling knows it again: the conv_seq, and behind all of them for what has none.
    pub fn key(self) -> u64 {
        match self {
            Item::Message(message) => message.conv_seq,
            Item::Unsent(_) => u64::MAX,
        }
    }
}

/// All that the log shows, from the oldest.
pub fn items<'a>(model: &'a Model, log: &'a Log) -> Vec<Item<'a>> {
    let messages = log.messages().filter(|message| message.is_shown()).map(Item::Message);
    let unsent = model.outbox.of(log.target).filter(|_| log.is_at_end).map(Item::Unsent);
    messages.chain(unsent).collect()
}

/// One item in rows of `columns`; `before` is the one that stands above it.
pub fn rows(
    model: &Model,
    log: &Log,
    before: Option<Item<'_>>,
    item: Item<'_>,
    columns: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let mut rows = separators(model, log, before, item, columns, theme);
    let message = item.message();
    if message.reply_to != 0 {
        let quote = format!("{}↪ {}", " ".repeat(INDENT), quote(model, log, message.reply_to));
        rows.push(Line::styled(fit(&quote, columns), theme.dim()));
    }
    let is_picked = log.picked == Some(message.conv_seq) && matches!(item, Item::Message(_));
    for mut row in text_rows(model, item, columns, theme) {
        if is_picked {
            row = row.patch_style(theme.selected());
        }
        rows.push(row);
    }
    let reactions = reactions_text(log, message.conv_seq);
    if !reactions.is_empty() {
        let row = format!("{}{reactions}", " ".repeat(INDENT));
        rows.push(Line::styled(fit(&row, columns), theme.dim()));
    }
    rows
}

/// Each reaction with how many have it.
fn reactions_text(log: &Log, conv_seq: u64) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for (_, reaction) in log.reactions(conv_seq) {
        match counts.iter_mut().find(|(other, _)| other == reaction) {
            Some((_, count)) => *count += 1,
            None => counts.push((reaction, 1)),
        }
    }
    let words = counts.into_iter().map(|(reaction, count)| match count {
        1 => escape_line(reaction),
        _ => format!("{} {count}", escape_line(reaction)),
    });
    words.collect::<Vec<_>>().join(" · ")
}

/// The day where a new one begins, and where what was not read begins.
fn separators(
    model: &Model,
    log: &Log,
    before: Option<Item<'_>>,
    item: Item<'_>,
    columns: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let mut rows = Vec::new();
    let zone = &model.setting.zone;
    let message = item.message();
    let is_new_day = before
        .is_none_or(|before| !times::is_same_day(before.message().time_ms, message.time_ms, zone));
    if is_new_day {
        let day = times::day(message.time_ms, zone);
        rows.push(Line::styled(rule(&day, columns), theme.dim()));
    }
    let is_above_news = |news_after| {
        let was_read = before.is_none_or(|before| before.key() <= news_after);
        message.conv_seq > news_after && was_read
    };
    if log.news_after.is_some_and(is_above_news) && message.sender_id != model.setting.me {
        rows.push(Line::styled(rule("new", columns), theme.alert()));
    }
    rows
}

/// A line with words in it.
pub fn rule(words: &str, columns: usize) -> String {
    let words = fit(words, columns.saturating_sub(6));
    let left = "─".repeat(2);
    let used = text::width(&words) + 4;
    format!("{left} {words} {}", "─".repeat(columns.saturating_sub(used)))
}

fn quote(model: &Model, log: &Log, msg_id: u64) -> String {
    match log.by_id(msg_id) {
        None => "an earlier message".to_owned(),
        Some(message) => {
            let who = name_of(model, message.sender_id);
            format!("{who}: {}", preview_of(model, message, QUOTE_CHARS))
        }
    }
}

/// How the user is shown, and the others.
pub fn name_of(model: &Model, id: u64) -> String {
    if id == model.setting.me { "you".to_owned() } else { model.names.user(id) }
}

/// A message on one line.
pub fn preview_of(model: &Model, message: &Message, chars_max: usize) -> String {
    match &message.body {
        Body::Text(text) => preview(text, chars_max),
        Body::Recalled => "taken back".to_owned(),
        Body::Data { kind, len } => format!("[{kind}, {len} bytes]"),
        Body::Event(entry) => preview(&event_text(entry, &model.names), chars_max),
    }
}

fn text_rows(model: &Model, item: Item<'_>, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let message = item.message();
    let is_own = message.sender_id == model.setting.me;
    let name = fit(&name_of(model, message.sender_id), NAME_COLUMNS);
    let time = times::clock(message.time_ms, &model.setting.zone);
    let (mark, mark_style) = mark(model, item, theme);
    if let Body::Event(entry) = &message.body {
        let said = format!("* {name} {}", event_text(entry, &model.names));
        return hang(&time, mark, mark_style, &[(said, theme.dim())], columns, theme);
    }
    let mut pieces = vec![(
        format!("{name}: "),
        if is_own { theme.bold() } else { theme.name(message.sender_id) },
    )];
    match &message.body {
        Body::Text(text) => pieces.push((shorten(text), Style::new())),
        Body::Recalled => pieces.push(("taken back".to_owned(), theme.dim())),
        Body::Data { kind, len } => pieces.push((format!("[{kind}, {len} bytes]"), theme.dim())),
        Body::Event(_) => {}
    }
    if message.is_edited && !matches!(message.body, Body::Recalled) {
        pieces.push((" (edited)".to_owned(), theme.dim()));
    }
    if let (Item::Message(_), true) = (item, is_own)
        && let Some((read_count @ 1.., count)) = model.read_count(message)
        && read_count < count
    {
        pieces.push((format!(" (read by {read_count} of {count})"), theme.dim()));
    }
    if let Item::Unsent(Unsent { refusal: Some(why), .. }) = item {
        pieces.push((format!(" (not sent: {why})"), theme.bad()));
    }
    hang(&time, mark, mark_style, &pieces, columns, theme)
}

/// Two columns: what became of an own message, or that it mentions the user.
fn mark(model: &Model, item: Item<'_>, theme: Theme) -> (&'static str, Style) {
    let message = item.message();
    match item {
        Item::Unsent(Unsent { refusal: Some(_), .. }) => ("✗ ", theme.bad()),
        Item::Unsent(_) => ("… ", theme.dim()),
        Item::Message(_) if !message.is_written() => ("  ", theme.dim()),
        Item::Message(_) if message.sender_id == model.setting.me => {
            let chat = model.current().and_then(|target| model.chats.get(target));
            let is_up_to =
                |up_to: Option<u64>| up_to.is_some_and(|up_to| up_to >= message.conv_seq);
            let is_read = is_up_to(chat.map(|chat| chat.other_read_conv_seq))
                || model
                    .read_count(message)
                    .is_some_and(|(read, count)| read == count && count > 0);
            let is_received = is_up_to(chat.map(|chat| chat.other_received_conv_seq));
            let mark = match (is_read, is_received) {
                (true, _) => "✓✓",
                (false, true) => "✓·",
                (false, false) => "✓ ",
            };
            (mark, theme.good())
        }
        Item::Message(_) if message.mention_ids.contains(&model.setting.me) => {
            ("@ ", theme.alert())
        }
        Item::Message(_) => ("  ", theme.dim()),
    }
}

/// Pieces as one text behind time and mark, with all rows below its beginning.
fn hang(
    time: &str,
    mark: &'static str,
    mark_style: Style,
    pieces: &[(String, Style)],
    columns: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let whole: String = pieces.iter().map(|(piece, _)| piece.as_str()).collect();
    let mut rows = Vec::new();
    for (index, row) in wrap(&whole, columns.saturating_sub(INDENT)).into_iter().enumerate() {
        let mut spans = match index {
            0 => vec![
                Span::styled(format!("{time:<5} "), theme.dim()),
                Span::styled(mark, mark_style),
                Span::raw(" "),
            ],
            _ => vec![Span::raw(" ".repeat(INDENT))],
        };
        let mut start = 0;
        for (piece, style) in pieces {
            let end = start + piece.len();
            let part = row.start.max(start)..row.end.min(end);
            if let Some(part) = whole.get(part).filter(|part| !part.is_empty()) {
                spans.push(Span::styled(cells(part), *style));
            }
            start = end;
        }
        rows.push(Line::from(spans));
    }
    rows
}

/// What a log shows of a text, without anything that could steer a terminal.
fn shorten(text: &str) -> String {
    let by_chars = text.char_indices().nth(SHOWN_CHARS_MAX).map(|(at, _)| at);
    let by_lines = text.match_indices('\n').nth(SHOWN_LINES_MAX).map(|(at, _)| at);
    match [by_chars, by_lines].into_iter().flatten().min() {
        None => escape(text),
        Some(end) => {
            let shown = escape(text.get(..end).unwrap_or_default());
            format!("{shown}… [{} bytes; pick it and press Enter to see all]", text.len())
        }
    }
}
