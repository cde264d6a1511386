//! What is searched for, and what a text holds of it: one meaning for every store, with an index or
//! without. Knows no message, no store and no index.
//!
//! A text is a sequence of units. In scripts that put no spaces between words (Han, Kana, Thai, …)
//! and in Hangul, whose words carry endings, each character is a unit; elsewhere each word is. What is
//! neither letter, digit nor mark stands between units and is never searched for.

use aldis_wire::name::fold;
use unicode_normalization::char::is_combining_mark;
use unicode_script::{Script, UnicodeScript};

/// A text taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// In its comparable form.
    text: String,
    /// Where its units are, ascending.
    units: Vec<Unit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unit {
    start: usize,
    end: usize,
    is_word: bool,
}

impl Units {
    /// Takes a text apart.
    pub fn of(text: &str) -> Self {
        let text = fold(text);
        let mut units: Vec<Unit> = Vec::new();
        let mut is_in_word = false;
        for (start, char) in text.char_indices() {
            let end = start + char.len_utf8();
            let is_single = is_unit(char);
            let is_part = !is_single && is_in_words(char);
            match units.last_mut() {
                Some(word) if is_part && is_in_word => word.end = end,
                _ if is_single || is_part => units.push(Unit { start, end, is_word: is_part }),
                _ => {}
            }
            is_in_word = is_part;
        }
        Self { text, units }
    }

    /// Its units in order, and whether each is a word.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, bool)> + ExactSizeIterator {
        self.units.iter().map(|unit| (&self.text[unit.start..unit.end], unit.is_word))
    }

    /// Whether the units of `term` follow each other somewhere; of a word at its end the beginning
    /// is enough.
    fn holds(&self, term: &Units) -> bool {
        let Some((last, before)) = term.units.split_last() else { return true };
        let last_text = &term.text[last.start..last.end];
        self.units.windows(term.units.len()).any(|window| {
            let Some((end, start)) = window.split_last() else { return false };
            let end = &self.text[end.start..end.end];
            let ends_so = if last.is_word { end.starts_with(last_text) } else { end == last_text };
            ends_so
                && start.iter().zip(before).all(|(here, there)| {
                    self.text[here.start..here.end] == term.text[there.start..there.end]
                })
        })
    }
}

/// Whether the character is a unit by itself.
fn is_unit(char: char) -> bool {
    if char.is_ascii() {
        return false;
    }
    matches!(
        char.script(),
        Script::Han
            | Script::Hiragana
            | Script::Katakana
            | Script::Hangul
            | Script::Bopomofo
            | Script::Yi
            | Script::Thai
            | Script::Lao
            | Script::Khmer
            | Script::Myanmar
            | Script::Tibetan
            | Script::Javanese
            | Script::Balinese
            | Script::Tai_Tham
    ) && is_in_words(char)
}

fn is_in_words(char: char) -> bool {
    char.is_alphanumeric() || is_combining_mark(char)
}

/// What is searched for: all of its terms, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchQuery {
    /// None of them is empty.
    terms: Vec<Units>,
}

impl SearchQuery {
    /// Takes what a user typed: terms are parted by white space, or are what stands in double quotes.
    /// Nothing else in it has a meaning of its own. `None`: there is nothing to search for.
    pub fn parse(typed: &str) -> Option<Self> {
        let mut terms = Vec::new();
        for (number, part) in typed.split('"').enumerate() {
            match number % 2 == 1 {
                true => terms.push(Units::of(part)),
                false => terms.extend(part.split_whitespace().map(Units::of)),
            }
        }
        terms.retain(|term| !term.units.is_empty());
        (!terms.is_empty()).then_some(Self { terms })
    }

    /// Its terms.
    pub fn terms(&self) -> &[Units] {
        &self.terms
    }

    /// Whether the text holds all terms.
    pub fn matches(&self, text: &str) -> bool {
        let text = Units::of(text);
        self.terms.iter().all(|term| text.holds(term))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(query: &str, text: &str) -> bool {
        SearchQuery::parse(query).is_some_and(|query| query.matches(text))
    }

    #[test]
    fn a_word_is_found_by_its_beginning() {
        for query in ["h", "hel", "HELLO", "ｗｏｒ", "world hello", "\"hello world\""] {
            assert!(matches(query, "Hello, World!"), "{query}");
        }
        for query in ["ello", "helloo", "hello mars", "\"world hello\"", "\"hello orld\""] {
            assert!(!matches(query, "Hello, World!"), "{query}");
        }
        assert!(!matches("\"hel world\"", "hello world"), "only the last word may be a beginning");
        assert!(matches("don't", "I don't know") && !matches("don't", "t don"));
    }

    #[test]
    fn scripts_without_spaces_are_found_at_any_place() {
        for (query, text) in [
            ("京", "我在北京大学读书"),
            ("北京大学", "我在北京大学读书"),
            ("大学 我", "我在北京大学读书"),
            ("ピューター", "コンピューターを買う"),
            ("ﾋﾟｭｰ", "コンピューターを買う"),
            ("민국", "대한민국"),
            ("ไทย", "ภาษาไทยง่าย"),
            ("iphone手机", "新iPhone手机"),
            ("नमस्", "नमस्ते"),
            ("12", "第123号"),
        ] {
            assert!(matches(query, text), "{query} in {text}");
        }
        for (query, text) in [("京北", "我在北京"), ("大京", "北京大学"), ("23", "第123号")]
        {
            assert!(!matches(query, text), "{query} in {text}");
        }
    }

    #[test]
    fn signs_are_never_searched_for() {
        for query in ["", " ", "\"", "\"\"", "%", "_", "*", "+-@<>()~", "\0", "“”", "'; --", "🎉"]
        {
            assert_eq!(SearchQuery::parse(query), None, "{query:?}");
        }
        for query in ["hi*", "+hi", "hi%", "\"hi", "hi\0", "-hi", "(hi)"] {
            assert!(matches(query, "say hi"), "{query:?}");
            assert!(!matches(query, "say ho"), "{query:?}");
        }
    }
}
