//! `%`-escapes in URIs (RFC 3261, 19.1.4 and 25.1; RFC 2396, 2).

/// Characters that mean the same escaped or not: letters, digits and marks. Reserved ones do not, and what is neither
/// must be escaped.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')'
        )
}

/// Reserved characters, which may stand for themselves in a user part.
const fn is_reserved(byte: u8) -> bool {
    matches!(
        byte,
        b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',' | b'[' | b']'
    )
}

/// The byte that an escape at the beginning of `bytes` stands for.
fn decode(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = *bytes else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Whether every `%` has its two digits.
pub(super) fn are_valid(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'%', bytes).all(|at| decode(&bytes[at..]).is_some())
}

/// Appends the one spelling that all equivalent texts have: an escape only where it makes a difference, in capitals.
pub(super) fn normal(text: &str, out: &mut String) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let escaped = decode(&bytes[at..]);
        let byte = escaped.unwrap_or(bytes[at]);
        at += if escaped.is_some() { 3 } else { 1 };
        if is_unreserved(byte) || (escaped.is_none() && is_reserved(byte)) {
            out.push(char::from(byte));
        } else {
            push_escaped(byte, out);
        }
    }
}

/// Reserved characters that say nothing in a user part, so that they mean the same escaped or not (RFC 3261, 10.3, step 5). A
/// semicolon does: user parameters begin with it.
const fn is_plain_in_user(byte: u8) -> bool {
    is_unreserved(byte) || matches!(byte, b'&' | b'=' | b'+' | b'$' | b',' | b'?' | b'/')
}

/// The same of a user part, in which most reserved characters need no escape.
pub(super) fn normal_user(text: &str, out: &mut String) {
    if text.bytes().all(is_plain_in_user) {
        return out.push_str(text);
    }
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let escaped = decode(&bytes[at..]);
        let byte = escaped.unwrap_or(bytes[at]);
        at += if escaped.is_some() { 3 } else { 1 };
        if is_plain_in_user(byte) || (escaped.is_none() && byte == b';') {
            out.push(char::from(byte));
        } else {
            push_escaped(byte, out);
        }
    }
}

fn push_escaped(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// Whether both mean the same.
pub(super) fn same(one: &str, two: &str) -> bool {
    let mut normals = (
        String::with_capacity(one.len()),
        String::with_capacity(two.len()),
    );
    normal(one, &mut normals.0);
    normal(two, &mut normals.1);
    normals.0 == normals.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal_of(text: &str) -> String {
        let mut out = String::new();
        normal(text, &mut out);
        out
    }

    #[test]
    fn an_escape_stays_only_where_it_makes_a_difference() {
        assert_eq!(normal_of("%61lice%2d1"), "alice-1");
        assert_eq!(normal_of("a%00b"), "a%00b");
        assert_eq!(normal_of("a%40b%3a"), "a%40b%3A");
        assert_eq!(normal_of("a;b=c"), "a;b=c");
        assert_eq!(normal_of("zoë"), "zo%C3%AB");
    }

    #[test]
    fn what_is_decoded_once_is_not_decoded_again() {
        assert_eq!(normal_of("%2561"), "%2561");
    }

    #[test]
    fn a_normal_text_is_its_own_normal_text() {
        for text in ["%61%2F/%zz%", "a b\"<>", "%C3%ab"] {
            let once = normal_of(text);
            assert_eq!(normal_of(&once), once);
        }
    }

    #[test]
    fn an_escape_has_two_hexadecimal_digits() {
        assert!(are_valid("a%20b%fF"));
        for wrong in ["%", "%2", "%zz", "a%2", "%+1"] {
            assert!(!are_valid(wrong), "{wrong}");
        }
    }
}
