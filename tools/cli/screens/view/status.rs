//! The last row: the connection, who one is, what is unread, and what was just said.

use aldis_client::core::OfflineReason;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line as Row, Span};

use super::put;
use super::theme::Theme;
use crate::screens::model::{Line, Model};
use crate::screens::text::{fit, width};
use crate::terminal::escape_line;

/// At the right edge, where there is room.
const HELP: &str = "F1 help ";

pub(super) fn draw(model: &Model, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let columns = usize::from(area.width);
    let setting = &model.setting;
    let who = escape_line(&format!("{} at {}", setting.username, setting.place));
    let (state, style) = state(model, theme);
    let mut spans = vec![Span::styled(format!(" {state}"), style)];
    if let Some((notice, _)) = &model.notice {
        // It goes soon, and what it hides comes back then.
        let free = columns.saturating_sub(width(&state) + 3);
        spans.push(Span::styled(format!(" {}", fit(notice, free)), theme.alert()));
        return put(buffer, area, 0, &Row::from(spans));
    }
    if matches!(model.line, Line::Online | Line::Offline { .. }) {
        spans.push(Span::raw(format!(" {who}")));
        spans.extend(counts(model).into_iter().map(|text| Span::raw(format!(" · {text}"))));
    }
    let used: usize = spans.iter().map(|span| width(&span.content)).sum();
    let gap = columns.saturating_sub(used + HELP.len());
    if model.line == Line::Online && gap > 0 {
        spans.push(Span::styled(format!("{}{HELP}", " ".repeat(gap)), theme.dim()));
    }
    put(buffer, area, 0, &Row::from(spans));
}

fn counts(model: &Model) -> Vec<String> {
    let numbers = [
        (model.chats.unread_total(), "unread"),
        (model.relations.requests.len(), "asking to be friends"),
        (model.outbox.waiting_count(), "not acknowledged"),
    ];
    let some = numbers.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| format!("{count} {what}")).collect()
}

fn state(model: &Model, theme: Theme) -> (String, Style) {
    match &model.line {
        Line::Online => ("●".to_owned(), theme.good()),
        Line::Offline { reason, retry_at_ms } => {
            let wait_ms = retry_at_ms.map_or(0, |at| at.saturating_sub(model.now_ms));
            let again = match wait_ms.div_ceil(1_000) {
                0 => "connecting".to_owned(),
                seconds => format!("next try in {seconds} s"),
            };
            (format!("○ {}{again};", reason_text(*reason)), theme.alert())
        }
        // The keys first: on a narrow terminal the reason is cut.
        Line::Kicked(why) => (format!("■ Ctrl-L logs in again, Ctrl-Q leaves: {why}"), theme.bad()),
        Line::Refused(why) => {
            (format!("■ Ctrl-L tries again, Ctrl-Q leaves: login refused, {why}"), theme.bad())
        }
    }
}

fn reason_text(reason: OfflineReason) -> String {
    match reason {
        OfflineReason::ConnectFailed => "no server, ".to_owned(),
        OfflineReason::Closed => "connection lost, ".to_owned(),
        OfflineReason::Silent => "the server is silent, ".to_owned(),
        OfflineReason::BadFrame => "the server speaks nonsense, ".to_owned(),
        OfflineReason::Goaway => "the node goes away, ".to_owned(),
        OfflineReason::Refused(code) => format!("refused ({}), ", code.name()),
        OfflineReason::Asked => String::new(),
    }
}
