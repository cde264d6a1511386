//! User names, nicknames and group names from labels of any kind. Deterministic; asks nobody.

use aldis_wire::limits::{DISPLAY_NAME_BYTES_MAX, USERNAME_BYTES_MAX};
use aldis_wire::name::{is_display_name, normalize_username};
use unicode_normalization::UnicodeNormalization;

/// Bytes of the label that show in the user name: tag, separators and hash need the rest.
const PREFIX_BYTES_MAX: usize = 24;
/// Characters of a tag at most.
pub const TAG_CHARS_MAX: usize = 12;

const _: () = assert!(TAG_CHARS_MAX + 1 + PREFIX_BYTES_MAX + 1 + 16 <= USERNAME_BYTES_MAX);

/// Whether this can be a tag: lower-case ASCII letters and digits.
pub fn is_tag(tag: &str) -> bool {
    (1..=TAG_CHARS_MAX).contains(&tag.len())
        && tag.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// The user name for a label in the run with this tag: tag, what of the label is allowed, and a
/// hash of the whole label, because different labels may keep the same letters.
pub fn username(tag: &str, label: &str) -> String {
    let hash = aldis_client::recorder::content_hash(label.as_bytes());
    let letters: String = label.nfkc().flat_map(char::to_lowercase).nfkc().collect();
    let mut prefix = String::new();
    for c in letters.chars().filter(|c| c.is_alphanumeric()) {
        if prefix.len() + c.len_utf8() > PREFIX_BYTES_MAX {
            break;
        }
        prefix.push(c);
    }
    let readable = format!("{tag}-{prefix}-{hash}");
    // What normalisation would change again (or refuse) is left out.
    match normalize_username(&readable) {
        Some(normal) if normal == readable => readable,
        _ => format!("{tag}-{hash}"),
    }
}

/// The label as a nickname or group name: as it is where the protocol allows that.
pub fn display_name(label: &str) -> String {
    let mut name = String::new();
    for c in label.chars() {
        let c = if is_display_name(&format!("x{c}")) { c } else { '\u{FFFD}' };
        if name.len() + c.len_utf8() > DISPLAY_NAME_BYTES_MAX {
            break;
        }
        name.push(c);
    }
    if is_display_name(&name) { name } else { "?".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_gets_a_valid_name_of_its_own() {
        let long = "长".repeat(300);
        let labels = [
            "Ada Lovelace",
            "Ada-Lovelace",
            "ada lovelace",
            "小明",
            "Алиса!",
            "🙂",
            "🙃",
            " ",
            "\u{0}",
            "नमस्ते दुनिया",
            "ﷺ",
            "ŉ",
            "İstanbul",
            "ẞ",
            "\u{202e}x",
            "e\u{301}",
            "é",
            "ﬁ",
            "Ⅷ",
            &long,
        ];
        let mut names: Vec<String> = labels.iter().map(|label| username("t1", label)).collect();
        for (name, label) in names.iter().zip(labels) {
            assert_eq!(normalize_username(name).as_deref(), Some(&name[..]), "{label:?}");
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), labels.len());
        assert_eq!(username("t1", "Ada"), username("t1", "Ada"));
        assert_ne!(username("t1", "Ada"), username("t2", "Ada"));
    }

    #[test]
    fn display_names_are_allowed_and_close_to_the_label() {
        assert_eq!(display_name("Ada Lovelace 👩‍💻"), "Ada Lovelace 👩‍💻");
        for label in ["a\tb\u{202e}", " ", "\n", &"é".repeat(200)] {
            assert!(is_display_name(&display_name(label)), "{label:?}");
        }
    }
}
