//! Builds SQL text: a packet of statements whose values are decimal numbers and hexadecimal
//! literals only, so nothing is ever escaped and nothing can break out. Knows no table.

/// What a buffer keeps between packets, bytes; one large message does not hold its memory.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

/// A packet of statements while it is written. What is not a value is `&'static str`: text from
/// elsewhere can only come in as a literal.
#[derive(Debug, Default)]
pub(super) struct SqlText {
    text: String,
    statement_count: usize,
}

impl SqlText {
    /// Begins the next statement.
    pub(super) fn statement(&mut self, sql: &'static str) -> &mut Self {
        if self.statement_count > 0 {
            self.text.push_str(";\n");
        }
        self.statement_count += 1;
        self.push(sql)
    }

    /// Goes on with the statement.
    pub(super) fn push(&mut self, sql: &'static str) -> &mut Self {
        self.text.push_str(sql);
        self
    }

    /// A number.
    pub(super) fn number(&mut self, mut value: u64) -> &mut Self {
        // u64::MAX has 20 digits.
        let mut digits = [0u8; 20];
        let mut begin = digits.len();
        loop {
            begin -= 1;
            digits[begin] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.text.extend(digits[begin..].iter().map(|&digit| char::from(digit)));
        self
    }

    /// A number that may be negative.
    pub(super) fn signed(&mut self, value: i64) -> &mut Self {
        if value < 0 {
            self.text.push('-');
        }
        self.number(value.unsigned_abs())
    }

    /// Bytes, for binary columns.
    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.text.reserve(2 * value.len() + 3);
        self.text.push_str("x'");
        for byte in value {
            self.text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            self.text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        self.text.push('\'');
        self
    }

    /// Text, for columns with a character set.
    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.push("_utf8mb4 ").bytes(value.as_bytes())
    }

    /// Items with commas between them.
    pub(super) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        for (number, item) in items.into_iter().enumerate() {
            if number > 0 {
                self.text.push(',');
            }
            write(self, item);
        }
        self
    }

    /// Numbers with commas between them, in parentheses.
    pub(super) fn numbers(&mut self, values: impl IntoIterator<Item = u64>) -> &mut Self {
        self.push("(").list(values, |sql, value| {
            sql.number(value);
        });
        self.push(")")
    }

    /// The packet.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Bytes of the packet so far.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// How many statements were begun.
    pub(super) fn statement_count(&self) -> usize {
        self.statement_count
    }

    /// Begins another packet.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(BUFFER_BYTES_KEPT);
        self.statement_count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal() {
        let mut sql = SqlText::default();
        sql.statement("SELECT ").number(0).push(",").number(10_001).push(",").number(u64::MAX);
        sql.push(",").signed(-1).push(",").signed(i64::MIN).push(",").signed(i64::MAX);
        let want =
            "SELECT 0,10001,18446744073709551615,-1,-9223372036854775808,9223372036854775807";
        assert_eq!(sql.as_str(), want);
    }

    #[test]
    fn whatever_comes_from_outside_is_hexadecimal() {
        let mut sql = SqlText::default();
        sql.statement("SELECT ").bytes(b"").push(",").bytes(b"'; DROP TABLE im_user; -- \\\0\xff");
        let hex = "273b2044524f50205441424c4520696d5f757365723b202d2d205c00ff";
        assert_eq!(sql.as_str(), format!("SELECT x'',x'{hex}'"));
        sql.clear();
        sql.statement("SELECT ").text("O'Neill 你");
        assert_eq!(sql.as_str(), "SELECT _utf8mb4 x'4f274e65696c6c20e4bda0'");
    }

    #[test]
    fn statements_are_counted_and_lists_have_commas_between() {
        let mut sql = SqlText::default();
        sql.statement("SELECT 1 IN ").numbers([1]);
        sql.statement("SELECT 1 IN ").numbers([1, 2, 3]);
        assert_eq!(sql.as_str(), "SELECT 1 IN (1);\nSELECT 1 IN (1,2,3)");
        assert_eq!(sql.statement_count(), 2);
        sql.clear();
        assert_eq!((sql.as_str(), sql.statement_count()), ("", 0));
    }
}
