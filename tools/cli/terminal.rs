//! Text of others on this terminal: escaped, dated, coloured, shortened. Knows no protocol.

use std::fmt::Write as _;
use std::io::IsTerminal;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Shows control characters and those that change the direction or vanish as `\u{..}`, so that no
/// message can steer the terminal or look like another line. Line feeds and tabs stay.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c)); // a String takes everything
        } else {
            out.push(c);
        }
    }
    out
}

/// The same on one line.
pub fn escape_line(text: &str) -> String {
    escape(text).replace('\n', "⏎").replace('\t', " ")
}

fn is_harmful(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        // Overrides and isolates of direction could reorder the names and times around a text; the
        // marks U+200E, U+200F and the joiners only act inside it, and scripts need them.
        || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
        // Line and paragraph separators break lines on some terminals only.
        || matches!(c, '\u{2028}' | '\u{2029}')
        // Tags and interlinear annotation are invisible.
        || matches!(c, '\u{E0000}'..='\u{E001F}' | '\u{FFF9}'..='\u{FFFB}' | '\u{FEFF}')
}

/// The first `chars_max` characters of the text on one line.
pub fn preview(text: &str, chars_max: usize) -> String {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(chars_max).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    escape_line(&short)
}

/// Local time of day, with the date when it is not today's.
pub fn local_time(unix_ms: u64, now_ms: u64) -> String {
    let zone = TimeZone::system();
    let at = |ms: u64| {
        let timestamp = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
        Some(timestamp.to_zoned(zone.clone()))
    };
    match (at(unix_ms), at(now_ms)) {
        (Some(then), Some(now)) if then.date() == now.date() => then.strftime("%H:%M").to_string(),
        (Some(then), _) => then.strftime("%Y-%m-%d %H:%M").to_string(),
        (None, _) => "?".to_owned(),
    }
}

/// Unix time, ms.
pub fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// Colours, or none where nobody would see them.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    is_on: bool,
}

impl Style {
    /// For standard output.
    pub fn for_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { is_on: wanted && std::io::stdout().is_terminal() }
    }

    /// Never any.
    #[cfg(test)]
    pub fn plain() -> Self {
        Self { is_on: false }
    }

    /// Of little importance.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Of importance.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// A name, always in the same colour for the same id.
    pub fn name(self, text: &str, id: u64) -> String {
        const COLORS: [&str; 6] = ["32", "33", "34", "35", "36", "91"];
        let index = usize::try_from(id % COLORS.len() as u64).unwrap_or(0);
        self.wrap(COLORS.get(index).unwrap_or(&"0"), text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.is_on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_others_steers_the_terminal() {
        assert_eq!(escape("a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(escape("a\u{9b}31m\r\0\u{7f}"), "a\\u{9b}31m\\u{d}\\u{0}\\u{7f}");
        assert_eq!(escape("\u{202e}evil\u{2066}"), "\\u{202e}evil\\u{2066}");
        assert_eq!(escape("line\n\ttab"), "line\n\ttab");
        assert_eq!(escape_line("a\nb\tc"), "a⏎b c");
    }

    #[test]
    fn scripts_and_emoji_stay_as_they_are() {
        for text in ["你好", "שלום", "می‌خواهم", "👩‍💻👍🏽", "e\u{301}", "नमस्ते"]
        {
            assert_eq!(escape(text), text);
        }
    }

    #[test]
    fn previews_are_short_and_on_one_line() {
        assert_eq!(preview("one\ntwo", 10), "one⏎two");
        assert_eq!(preview("abcdef", 3), "abc…");
    }
}
