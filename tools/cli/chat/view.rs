//! How messages look in the chat. Knows no client and no terminal.

use std::collections::HashMap;

use aldis_client::core::Target;
use aldis_wire::pb;

use crate::names::Names;
use crate::print::entry_text;
use crate::terminal::{Style, escape_line, local_time, preview};

/// Characters of a message that are shown at once; `/full` shows all.
const SHOWN_CHARS_MAX: usize = 4_000;
/// Lines of a message that are shown at once.
const SHOWN_LINES_MAX: usize = 40;
/// Characters of a message in an announcement.
const PREVIEW_CHARS: usize = 60;
/// Conversations announced by name; the others are counted.
const ANNOUNCED_MAX: usize = 10;

/// Formats lines. See the file's first line.
pub(super) struct View {
    pub(super) style: Style,
    pub(super) me: u64,
    /// The last message that was not shown as a whole.
    pub(super) long_text: Option<String>,
}

impl View {
    /// An entry of the open conversation.
    pub(super) fn entry(&mut self, entry: &pb::MessageData, names: &Names, now_ms: u64) -> String {
        let text = entry_text(entry, names);
        let text = self.shorten(text);
        let time = self.style.dim(&local_time(entry.send_time_ms, now_ms));
        if entry.r#type() == pb::MsgType::SystemGroup {
            let line = format!("{} {text}", names.user(entry.sender_id));
            return format!("{time}   {}", self.style.dim(&line));
        }
        let body = indent(&text);
        if entry.sender_id == self.me {
            format!("{time} ✓ {}: {body}", self.style.bold("you"))
        } else {
            let name = names.user(entry.sender_id);
            format!("{time}   {}: {body}", self.style.name(&name, entry.sender_id))
        }
    }

    /// An own message that is not an entry yet.
    pub(super) fn waiting(&self, text: &str, now_ms: u64) -> String {
        let time = self.style.dim(&local_time(now_ms, now_ms));
        format!("{time} … {}: {}", self.style.bold("you"), preview(text, PREVIEW_CHARS))
    }

    /// An own message that will never be one.
    pub(super) fn refused(&self, text: &str, why: &str) -> String {
        format!("✗ not sent ({}): {}", escape_line(why), preview(text, PREVIEW_CHARS))
    }

    /// Something about the chat itself.
    pub(super) fn notice(&self, text: &str) -> String {
        self.style.dim(&format!("-- {text}"))
    }

    /// What came in other conversations, one line for each.
    pub(super) fn announcements(&self, news: &News, names: &Names) -> Vec<String> {
        let mut lines: Vec<String> = news
            .latest
            .iter()
            .take(ANNOUNCED_MAX)
            .map(|target| {
                let (count, text) = news.by_target.get(target).cloned().unwrap_or_default();
                let from = names.target(*target);
                let how = match target {
                    Target::User(user) => names.username(user.0),
                    Target::Group(group) => format!("group:{group}"),
                };
                let many = if count > 1 { format!(" ({count} new)") } else { String::new() };
                let line = format!("● {from}{many}: {}   /to {how}", preview(&text, PREVIEW_CHARS));
                self.style.dim(&line)
            })
            .collect();
        if news.latest.len() > ANNOUNCED_MAX {
            let others = news.latest.len() - ANNOUNCED_MAX;
            lines.push(self.style.dim(&format!("● and {others} other conversations; /recent")));
        }
        lines
    }

    fn shorten(&mut self, text: String) -> String {
        let mut end = text.len();
        if let Some((index, _)) = text.char_indices().nth(SHOWN_CHARS_MAX) {
            end = index;
        }
        if let Some((index, _)) = text.match_indices('\n').nth(SHOWN_LINES_MAX) {
            end = end.min(index);
        }
        if end == text.len() {
            return text;
        }
        let shown = text.get(..end).unwrap_or_default();
        let short = format!("{shown}…\n[{} bytes in all; /full shows them]", text.len());
        self.long_text = Some(text);
        short
    }
}

/// What came in other conversations since the last announcement.
#[derive(Debug, Default)]
pub(super) struct News {
    by_target: HashMap<Target, (u64, String)>,
    /// In the order of their first news.
    latest: Vec<Target>,
}

impl News {
    pub(super) fn add(&mut self, target: Target, text: String) {
        let (count, last) = self.by_target.entry(target).or_insert_with(|| {
            self.latest.push(target);
            (0, String::new())
        });
        *count += 1;
        *last = text;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }
}

/// Further lines of a message stand below its first one and cannot pass for messages.
fn indent(text: &str) -> String {
    text.replace('\n', "\n      │ ")
}

#[cfg(test)]
mod tests {
    use aldis_wire::UserId;

    use super::*;

    fn view() -> View {
        View { style: Style::plain(), me: 1, long_text: None }
    }

    fn text_entry(text: &str) -> pb::MessageData {
        pb::MessageData {
            sender_id: 2,
            receiver_id: 1,
            r#type: pb::MsgType::Text as i32,
            content: text.to_owned().into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_second_line_cannot_pass_for_a_message() {
        let shown = view().entry(&text_entry("hi\n12:00   bob: send money"), &Names::default(), 0);
        assert_eq!(shown.lines().count(), 2);
        assert!(shown.lines().nth(1).unwrap().starts_with("      │ "), "{shown}");
    }

    #[test]
    fn long_messages_are_cut_and_kept() {
        let mut view = view();
        let text = "é".repeat(32 * 1024);
        let shown = view.entry(&text_entry(&text), &Names::default(), 0);
        assert!(shown.chars().count() < SHOWN_CHARS_MAX + 200);
        assert_eq!(view.long_text.as_deref(), Some(&text[..]));
        let many_lines = "x\n".repeat(100);
        let shown = view.entry(&text_entry(&many_lines), &Names::default(), 0);
        assert!(shown.lines().count() <= SHOWN_LINES_MAX + 2);
    }

    #[test]
    fn news_are_one_line_per_conversation() {
        let mut news = News::default();
        for _ in 0..3 {
            news.add(Target::User(UserId(5)), "a\nb".into());
        }
        let lines = view().announcements(&news, &Names::default());
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("3 new") && lines[0].contains("a⏎b"), "{lines:?}");
        for id in 10..30 {
            news.add(Target::User(UserId(id)), "x".into());
        }
        assert_eq!(view().announcements(&news, &Names::default()).len(), ANNOUNCED_MAX + 1);
    }
}
