//! Characters and names of XML 1.0, fifth edition (2.2, 2.3), and Namespaces in XML 1.0 (4).

/// White space (production 3).
pub const fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// The same for a byte: no other character has such a byte in UTF-8.
pub const fn is_space_byte(byte: u8) -> bool {
    is_space(byte as char)
}

/// A character that may stand in a document (production 2).
pub const fn is_char(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// The position of the first character that may not stand in a document.
pub fn find_forbidden(text: &str) -> Option<usize> {
    // Nearly every document has none: seen without a branch for each byte, so that many are looked at at once.
    let suspicious =
        |byte: u8| (byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) | (byte == 0xEF);
    if !text
        .bytes()
        .fold(false, |found, byte| found | suspicious(byte))
    {
        return None;
    }
    text.bytes().enumerate().position(|(at, byte)| match byte {
        b'\t' | b'\n' | b'\r' | 0x20..=0xEE | 0xF0.. => false,
        // U+FFFE and U+FFFF are EF BF BE and EF BF BF.
        0xEF => matches!(
            text.as_bytes().get(at + 1..at + 3),
            Some([0xBF, 0xBE | 0xBF])
        ),
        _ => true,
    })
}

const fn is_name_start(character: char) -> bool {
    matches!(character, 'A'..='Z' | 'a'..='z' | '_'
        | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}'
        | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}'
        | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

const fn is_name_part(character: char) -> bool {
    is_name_start(character)
        || matches!(character, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

/// The ASCII characters that may stand in a name, by what [`is_name_part`] says: 1, or 2 for those it may begin with.
const ASCII_NAME: [u8; 128] = {
    let mut table = [0; 128];
    let mut byte = 0;
    while byte < 128 {
        let character = byte as u8 as char;
        table[byte] = is_name_part(character) as u8 + is_name_start(character) as u8;
        byte += 1;
    }
    table
};

/// A name without a colon.
pub fn is_ncname(name: &str) -> bool {
    let class = |byte: u8| ASCII_NAME.get(usize::from(byte)).copied();
    if let Some(first) = name.bytes().next().and_then(class)
        && name
            .bytes()
            .all(|byte| class(byte).is_some_and(|class| class > 0))
    {
        return first == 2;
    }
    let mut characters = name.chars();
    characters.next().is_some_and(is_name_start) && characters.all(is_name_part)
}

/// The length of the qualified name of ASCII that bytes begin with, and where its colon is; `None` if they begin with none.
pub fn ascii_qname(bytes: &[u8]) -> Option<(usize, Option<usize>)> {
    let class = |at: usize| {
        let byte = bytes.get(at)?;
        ASCII_NAME.get(usize::from(*byte)).copied()
    };
    let part = |from: usize| {
        let mut at = from;
        while class(at).is_some_and(|class| class > 0) {
            at += 1;
        }
        (class(from) == Some(2)).then_some(at)
    };
    let end = part(0)?;
    if bytes.get(end) != Some(&b':') {
        return Some((end, None));
    }
    Some((part(end + 1)?, Some(end)))
}

/// Splits `prefix:local`; the prefix is empty when there is none. `None` if it is no qualified name.
pub fn split_qname(name: &str) -> Option<(&str, &str)> {
    let mut colon = None;
    let mut class_wanted = 2;
    for (at, byte) in name.bytes().enumerate() {
        let Some(class) = ASCII_NAME.get(usize::from(byte)) else {
            return split_any_qname(name);
        };
        if byte == b':' && colon.is_none() && class_wanted == 1 {
            colon = Some(at);
            class_wanted = 2;
        } else if *class >= class_wanted {
            class_wanted = 1;
        } else {
            return None;
        }
    }
    match colon {
        _ if class_wanted == 2 => None,
        Some(colon) => Some((&name[..colon], &name[colon + 1..])),
        None => Some(("", name)),
    }
}

/// The same for all characters of Unicode.
fn split_any_qname(name: &str) -> Option<(&str, &str)> {
    match name.split_once(':') {
        None => is_ncname(name).then_some(("", name)),
        Some((prefix, local)) => (is_ncname(prefix) && is_ncname(local)).then_some((prefix, local)),
    }
}

/// The nearest name that may be an `xs:ID`: what may not stand in one becomes `_`.
pub fn to_ncname(text: &str) -> String {
    let mut name = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if name.is_empty() && !is_name_start(character) {
            name.push('_');
        }
        if is_name_part(character) {
            name.push(character);
        } else if name != "_" {
            name.push('_');
        }
    }
    if name.is_empty() {
        name.push('_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_one_colon() {
        assert_eq!(split_qname("tuple"), Some(("", "tuple")));
        assert_eq!(
            split_qname("rpid:on-the-phone"),
            Some(("rpid", "on-the-phone"))
        );
        assert_eq!(split_qname("é:ß"), Some(("é", "ß")));
        for name in [
            "", ":", "a:", ":a", "a:b:c", "1a", "a:1", "-a", "a b", "a/", "a=", "\u{B7}a",
        ] {
            assert_eq!(split_qname(name), None, "{name}");
        }
    }

    #[test]
    fn a_name_of_ascii_is_found_at_the_begin() {
        for (text, found) in [
            ("tuple>", Some((5, None))),
            ("rpid:on-the-phone/>", Some((17, Some(4)))),
            ("a", Some((1, None))),
            ("a:b:c", Some((3, Some(1)))),
            ("a\u{e9}", Some((1, None))),
            ("\u{e9}", None),
            ("", None),
            (":a", None),
            ("a:", None),
            ("a:1", None),
            ("-a", None),
        ] {
            assert_eq!(ascii_qname(text.as_bytes()), found, "{text}");
        }
    }

    #[test]
    fn forbidden_characters_are_found() {
        assert_eq!(find_forbidden("a\tb\r\n\u{FFFD}\u{FEFF}\u{10FFFF}"), None);
        assert_eq!(find_forbidden("ab\u{0}"), Some(2));
        assert_eq!(find_forbidden("a\u{FFFF}"), Some(1));
        assert_eq!(find_forbidden("é\u{FFFE}"), Some(2));
        assert_eq!(find_forbidden("\u{1F}"), Some(0));
    }

    #[test]
    fn any_text_gives_an_id() {
        for (text, name) in [
            ("432sd", "_432sd"),
            ("urn:esn:1", "urn_esn_1"),
            ("", "_"),
            ("a b", "a_b"),
            ("@", "_"),
        ] {
            assert_eq!(to_ncname(text), name);
            assert!(is_ncname(name));
        }
    }
}
