//! Rules for names: what the server accepts, and the form in which usernames and texts are compared.

use unicode_normalization::UnicodeNormalization;

use crate::limits::{DISPLAY_NAME_BYTES_MAX, USERNAME_BYTES_MAX};

/// The comparable form of a username (NFKC, lower case), or `None` if it breaks the rules: letters
/// and digits of any script and `_ - .`, 1 to 64 bytes in the comparable form.
pub fn normalize_username(name: &str) -> Option<String> {
    if name.len() > 4 * USERNAME_BYTES_MAX {
        return None;
    }
    let lower = fold(name);
    let good_char = |c: char| c.is_alphanumeric() || is_mark(c) || matches!(c, '_' | '-' | '.');
    let starts_well = lower.chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_');
    (starts_well && lower.len() <= USERNAME_BYTES_MAX && lower.chars().all(good_char))
        .then_some(lower)
}

/// The comparable form of any text: NFKC, lower case of each character, NFKC again.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

/// A nickname, group name or device name as it may be stored: no control characters, not only
/// spaces, at most 128 bytes.
pub fn is_display_name(name: &str) -> bool {
    name.len() <= DISPLAY_NAME_BYTES_MAX
        && is_plain_line(name)
        && name.chars().any(|c| !c.is_whitespace())
}

/// Free text of one line: nothing that changes how what follows is shown.
pub fn is_plain_line(text: &str) -> bool {
    !text.chars().any(is_invisible_control)
}

/// Combining marks are part of letters in many scripts (Devanagari, Thai, Arabic).
fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

/// Control characters, and those that change the direction of what follows in a log or terminal.
fn is_invisible_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_of_every_script_are_accepted_and_folded() {
        for (name, want) in [
            ("Alice", "alice"),
            ("ＡＬＩＣＥ", "alice"),
            ("小明", "小明"),
            ("Алиса", "алиса"),
            ("नमस्ते", "नमस्ते"),
            ("a.b-c_9", "a.b-c_9"),
        ] {
            assert_eq!(normalize_username(name).as_deref(), Some(want), "{name}");
        }
    }

    #[test]
    fn names_that_could_mislead_are_refused() {
        for name in ["", " ", "a b", "a\0", "a\n", "-a", ".", "a/b", "%", "a\u{202E}b", "a'b"] {
            assert_eq!(normalize_username(name), None, "{name:?}");
        }
        assert_eq!(normalize_username(&"x".repeat(64)).map(|n| n.len()), Some(64));
        assert_eq!(normalize_username(&"x".repeat(65)), None);
        assert_eq!(normalize_username(&"x".repeat(1 << 20)), None);
    }

    #[test]
    fn display_names_are_free_but_visible() {
        assert!(is_display_name("Ada Lovelace 👩‍💻"));
        assert!(!is_display_name(""));
        assert!(!is_display_name("  "));
        assert!(!is_display_name("a\tb"));
        assert!(!is_display_name("a\u{202E}b"));
        assert!(is_display_name(&"x".repeat(128)));
        assert!(!is_display_name(&"x".repeat(129)));
    }
}
