//! Where markup begins and ends (XML 1.0, 2.4 to 2.8 and 3.1). What it says is looked at elsewhere.

use memchr::{memchr, memchr2, memchr3, memmem};

use super::chars::{ascii_qname, is_space_byte};
use crate::pidf::Fault;

/// A piece of a document. Positions are bytes in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// `<name …>`
    Start,
    /// `<name …/>`
    Empty,
    /// `</name>`; where the name ends.
    End(usize),
    /// Text between markup, never empty.
    Text,
    /// `&…;`
    Reference,
    /// `<![CDATA[…]]>`
    Data,
    /// `<!--…-->`
    Comment,
    /// `<?…?>`
    Instruction,
}

/// The piece that begins at `at`, which lies before the end, and where it ends.
pub(super) fn piece(text: &str, at: usize) -> Result<(Piece, usize), Fault> {
    let bytes = text.as_bytes();
    match bytes[at] {
        b'<' => match bytes.get(at + 1) {
            Some(b'/') => end_tag(bytes, at),
            Some(b'!') => declaration(bytes, at),
            Some(b'?') => {
                let length = instruction_end(&bytes[at + 2..]).ok_or(Fault::Unfinished)?;
                Ok((Piece::Instruction, at + 2 + length + 2))
            }
            Some(_) => start_tag(bytes, at),
            None => Err(Fault::Unfinished),
        },
        b'&' => {
            let length = bytes[at + 1..]
                .iter()
                .position(|byte| matches!(byte, b';' | b'<' | b'&'));
            let end = at + 1 + length.ok_or(Fault::Entity)?;
            match bytes[end] {
                b';' => Ok((Piece::Reference, end + 1)),
                _ => Err(Fault::Entity),
            }
        }
        _ => Ok(characters(bytes, at)),
    }
}

/// The end of the name, and its colon, of a start tag that begins at `at` and is nothing but a name of ASCII: most are. `None` says that
/// it may be any other piece, or a fault.
pub(super) fn bare_start(text: &str, at: usize) -> Option<(usize, Option<usize>)> {
    let name = text.as_bytes()[at..].strip_prefix(b"<")?;
    let (length, colon) = ascii_qname(name)?;
    (name.get(length) == Some(&b'>'))
        .then_some((at + 1 + length, colon.map(|colon| at + 1 + colon)))
}

/// Whether the end tag of `name`, without blanks in it, begins at `at`.
pub(super) fn is_end_of(text: &str, at: usize, name: &str) -> bool {
    let tag = &text.as_bytes()[at..];
    tag.len() > name.len() + 2
        && tag.starts_with(b"</")
        && tag[2..].starts_with(name.as_bytes())
        && tag[2 + name.len()] == b'>'
}

/// Where `?>` stands. The first question mark is mostly the one, and a searcher would take longer to make.
pub(super) fn instruction_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'?', bytes).find(|at| bytes.get(at + 1) == Some(&b'>'))
}

fn characters(bytes: &[u8], at: usize) -> (Piece, usize) {
    let length = memchr2(b'<', b'&', &bytes[at..]);
    (
        Piece::Text,
        length.map_or(bytes.len(), |length| at + length),
    )
}

/// A `>` in an attribute value does not end the tag.
fn start_tag(bytes: &[u8], at: usize) -> Result<(Piece, usize), Fault> {
    let mut from = at + 1;
    loop {
        let found = memchr3(b'>', b'"', b'\'', &bytes[from..]).ok_or(Fault::Unfinished)?;
        let found = from + found;
        let quote = bytes[found];
        if quote == b'>' {
            let empty = bytes[found - 1] == b'/' && found - 1 > at;
            let piece = if empty { Piece::Empty } else { Piece::Start };
            return Ok((piece, found + 1));
        }
        let length = memchr(quote, &bytes[found + 1..]).ok_or(Fault::Unfinished)?;
        from = found + 1 + length + 1;
    }
}

fn end_tag(bytes: &[u8], at: usize) -> Result<(Piece, usize), Fault> {
    let rest = &bytes[at + 2..];
    let length = memchr(b'>', rest).ok_or(Fault::Unfinished)?;
    let blanks = rest[..length]
        .iter()
        .rev()
        .take_while(|byte| is_space_byte(**byte))
        .count();
    let name_end = at + 2 + length - blanks;
    Ok((Piece::End(name_end), at + 2 + length + 1))
}

fn declaration(bytes: &[u8], at: usize) -> Result<(Piece, usize), Fault> {
    let rest = &bytes[at..];
    if let Some(content) = rest.strip_prefix(b"<!--") {
        let length = memmem::find(content, b"--").ok_or(Fault::Unfinished)?;
        return match content.get(length + 2) {
            Some(b'>') => Ok((Piece::Comment, at + 4 + length + 3)),
            Some(_) => Err(Fault::Comment),
            None => Err(Fault::Unfinished),
        };
    }
    if let Some(content) = rest.strip_prefix(b"<![CDATA[") {
        let length = memmem::find(content, b"]]>").ok_or(Fault::Unfinished)?;
        return Ok((Piece::Data, at + 9 + length + 3));
    }
    let is_doctype = rest
        .get(2..9)
        .is_some_and(|name| name.eq_ignore_ascii_case(b"DOCTYPE"));
    Err(if is_doctype {
        Fault::Doctype
    } else {
        Fault::Markup
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_each_other_without_a_gap() {
        let text = "<a b='>' c=\"'\"> x]<!-- - --><![CDATA[<]]]]>&amp;<?p ?><b/></a\n>";
        let mut at = 0;
        let mut pieces = Vec::new();
        while at < text.len() {
            let (piece, end) = piece(text, at).expect("a piece");
            pieces.push((piece, &text[at..end]));
            at = end;
        }
        assert_eq!(
            pieces,
            [
                (Piece::Start, "<a b='>' c=\"'\">"),
                (Piece::Text, " x]"),
                (Piece::Comment, "<!-- - -->"),
                (Piece::Data, "<![CDATA[<]]]]>"),
                (Piece::Reference, "&amp;"),
                (Piece::Instruction, "<?p ?>"),
                (Piece::Empty, "<b/>"),
                (Piece::End(text.len() - 2), "</a\n>"),
            ]
        );
    }

    #[test]
    fn a_bare_start_tag_is_a_name_and_nothing_else() {
        assert_eq!(bare_start(".<a>", 1), Some((3, None)));
        assert_eq!(bare_start("<p:a>", 0), Some((4, Some(2))));
        for text in [
            "<a >",
            "<a/>",
            "</a>",
            "<a",
            "<",
            "a>",
            "<a b=''>",
            "<:a>",
            "<a:>",
            "<a:b:c>",
            "<!a>",
            "<\u{e9}>",
            "<a\u{e9}>",
        ] {
            assert_eq!(bare_start(text, 0), None, "{text}");
        }
    }

    #[test]
    fn an_end_tag_is_known_by_its_name() {
        assert!(is_end_of("..</p:a>", 2, "p:a"));
        for text in [
            "</a>", "</p:a", "</p:ab>", "</p:a >", "<p:a>", "", "<", "</",
        ] {
            assert!(!is_end_of(text, 0, "p:a"), "{text}");
        }
    }

    #[test]
    fn what_does_not_end_is_no_piece() {
        for text in [
            "<",
            "<a",
            "<a b='>",
            "</a",
            "<!--",
            "<!-- -",
            "<!---->x".get(..6).unwrap_or(""),
            "<![CDATA[ ]]",
            "<?a ?",
        ] {
            assert_eq!(piece(text, 0), Err(Fault::Unfinished), "{text}");
        }
        assert_eq!(piece("&a", 0), Err(Fault::Entity));
        assert_eq!(piece("&a<;", 0), Err(Fault::Entity));
        assert_eq!(piece("<!-- -- -->", 0), Err(Fault::Comment));
        assert_eq!(piece("<!DocType a>", 0), Err(Fault::Doctype));
        assert_eq!(piece("<!", 0), Err(Fault::Markup));
    }
}
