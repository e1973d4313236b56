//! What several headers have in common: quoted strings, comma lists, folds, numbers (RFC 3261, 7.3.1 and 25.1).

use std::borrow::Cow;

use memchr::{memchr2, memchr2_iter};

/// Bytes that may stand in a token. A table, since every byte of every header name is looked up in it.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let others = b"-.!%*_+`'~";
        let mut at = 0;
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        while at < others.len() {
            table[byte] = table[byte] || others[at] as usize == byte;
            at += 1;
        }
        byte += 1;
    }
    table
};

/// Whether `byte` may stand in a token: a method, a header name.
#[inline]
pub(super) const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Whether `text` is a token.
pub(super) fn is_token_text(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token)
}

/// Linear white space once folds are seen as such.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Where `bytes` begin and end without the white space around them; both at the end if there is nothing else.
#[inline]
pub(super) fn trimmed(bytes: &[u8]) -> (usize, usize) {
    let mut start = 0;
    let mut end = bytes.len();
    while start < end && is_space(bytes[start]) {
        start += 1;
    }
    while end > start && is_space(bytes[end - 1]) {
        end -= 1;
    }
    (start, end)
}

/// Without white space at both ends.
#[inline]
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let (start, end) = trimmed(bytes);
    &bytes[start..end]
}

/// Trimmed as SIP trims: other white space of Unicode is text.
#[inline]
pub(super) fn trim_text(text: &str) -> &str {
    let (start, end) = trimmed(text.as_bytes());
    &text[start..end]
}

/// What stands before and after the first such byte, which is one of ASCII. Byte by byte: it is near, and the searchers of texts are
/// made for longer ways.
#[inline]
pub(super) fn cut(text: &str, at: u8) -> Option<(&str, &str)> {
    let found = text.bytes().position(|byte| byte == at)?;
    Some((&text[..found], &text[found + 1..]))
}

/// The same for the first blank.
#[inline]
pub(super) fn cut_at_blank(text: &str) -> Option<(&str, &str)> {
    let found = text.bytes().position(|byte| matches!(byte, b' ' | b'\t'))?;
    Some((&text[..found], &text[found + 1..]))
}

/// The index after the quoted string that begins at `start`; None if it does not end. A backslash takes the next byte
/// along, whatever it is.
pub(super) fn quoted_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    while let Some(found) = memchr2(b'"', b'\\', bytes.get(at..)?) {
        at += found;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
    None
}

/// Where `wanted` stands first outside quoted strings, or the length. A quoted string that does not end reaches to the end.
pub(super) fn find_unquoted(bytes: &[u8], wanted: u8) -> usize {
    let mut at = 0;
    while let Some(found) = memchr2(wanted, b'"', &bytes[at..]) {
        at += found;
        if bytes[at] == wanted {
            return at;
        }
        at = quoted_end(bytes, at).unwrap_or(bytes.len());
    }
    bytes.len()
}

/// Whether every quoted string ends.
pub(super) fn is_balanced(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'"', &bytes[at..]) {
        match quoted_end(bytes, at + found) {
            Some(end) => at = end,
            None => return false,
        }
    }
    true
}

/// Takes quotes and backslashes off a quoted string; anything else stays as it is.
pub(super) fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return Cow::Borrowed(text);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(plain)
}

/// The values of a comma list, trimmed, empty ones left out. Commas in quoted strings and angle brackets do not count.
pub(super) struct List<'a> {
    rest: &'a str,
}

impl<'a> List<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// What was not yet given out, without the comma before it.
    pub(super) const fn rest(&self) -> &'a str {
        self.rest
    }

    fn end(bytes: &[u8]) -> usize {
        // Most lists have one value.
        if memchr::memchr(b',', bytes).is_none() {
            return bytes.len();
        }
        let mut in_brackets = false;
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b',' if !in_brackets => return at,
                b'<' => in_brackets = true,
                b'>' => in_brackets = false,
                // Inside brackets there is a URI, and those have no quotes.
                b'"' if !in_brackets => match quoted_end(bytes, at) {
                    Some(end) => at = end - 1,
                    None => return bytes.len(),
                },
                _ => {}
            }
            at += 1;
        }
        at
    }
}

impl<'a> Iterator for List<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        while !self.rest.is_empty() {
            let (value, rest) = self.rest.split_at(Self::end(self.rest.as_bytes()));
            self.rest = rest.strip_prefix(',').unwrap_or(rest);
            let value = trim_text(value);
            if !value.is_empty() {
                return Some(value);
            }
        }
        None
    }
}

/// Appends a header value with every fold, and every stray line end, made one space.
pub(super) fn push_unfolded(out: &mut Vec<u8>, value: &[u8]) {
    let mut start = 0;
    for end in memchr2_iter(b'\r', b'\n', value) {
        push_piece(out, &value[start..end], start > 0);
        start = end + 1;
    }
    if start == 0 {
        out.extend_from_slice(value);
    } else {
        push_piece(out, &value[start..], true);
    }
}

fn push_piece(out: &mut Vec<u8>, piece: &[u8], follows: bool) {
    let piece = trim(piece);
    if piece.is_empty() {
        return;
    }
    if follows {
        out.push(b' ');
    }
    out.extend_from_slice(piece);
}

/// Delta-seconds: digits only; what exceeds 2^32 - 1 is as good as that (RFC 3261, 20.19).
pub(super) fn seconds(text: &str) -> Option<u32> {
    let digits = number(text)?;
    Some(u32::try_from(digits).unwrap_or(u32::MAX))
}

/// Digits only, saturating.
pub(super) fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.bytes().fold(0u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<&str> {
        List::new(text).collect()
    }

    fn unfolded(value: &str) -> String {
        let mut out = Vec::new();
        push_unfolded(&mut out, value.as_bytes());
        String::from_utf8(out).expect("text in, text out")
    }

    #[test]
    fn commas_in_quotes_and_brackets_do_not_split() {
        assert_eq!(
            list(r#""Doe, \"J, X\"" <sip:a,b@h>;q=1 , <sip:c@h?x=1,2>,,sip:d@h"#),
            [
                r#""Doe, \"J, X\"" <sip:a,b@h>;q=1"#,
                "<sip:c@h?x=1,2>",
                "sip:d@h"
            ]
        );
    }

    #[test]
    fn a_quote_that_does_not_end_makes_the_rest_one_value() {
        assert_eq!(list(r#"a, "b, c"#), ["a", r#""b, c"#]);
    }

    #[test]
    fn an_empty_list_has_no_values() {
        assert_eq!(list(" , ,"), Vec::<&str>::new());
    }

    #[test]
    fn a_fold_is_one_space() {
        assert_eq!(unfolded("a,\r\n\t  b,\n c"), "a, b, c");
        assert_eq!(unfolded("a \r\n  \r\n b"), "a b");
        assert_eq!(unfolded("\r\n a"), " a", "the reader trims before");
        assert_eq!(unfolded("a\rEvil: b"), "a Evil: b");
    }

    #[test]
    fn quotes_come_off_with_their_backslashes() {
        assert_eq!(unquote(r#""a \"b\" \\ c""#), r#"a "b" \ c"#);
        assert_eq!(unquote("plain"), "plain");
        assert_eq!(unquote("\""), "\"");
    }

    #[test]
    fn a_quote_after_a_backslash_does_not_end_a_string() {
        assert!(is_balanced(r#""a\"b""#));
        assert!(!is_balanced(r#""a\""#));
        assert!(!is_balanced("\"a\\"));
        assert_eq!(find_unquoted(br#"a"x;y";b"#, b';'), 6);
    }

    #[test]
    fn seconds_clamp_and_refuse_what_is_no_number() {
        assert_eq!(seconds("0068"), Some(68));
        assert_eq!(seconds("4294967296"), Some(u32::MAX));
        assert_eq!(seconds("99999999999999999999999999"), Some(u32::MAX));
        for wrong in ["", "-1", "+1", "1 ", "1.0", "x"] {
            assert_eq!(seconds(wrong), None, "{wrong:?}");
        }
    }
}
