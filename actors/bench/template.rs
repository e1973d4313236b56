//! Messages prepared once: text between the few fields that differ from one message to the next.

use rollcall_core::digits::{self, Decimal};

/// What differs between two messages of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// The number of the presentity, in its user part.
    Presentity,
    /// The number of the dialog or publication, in Call-ID and local tag.
    Call,
    /// Slot and use of the slot, in the branch.
    Branch,
    /// CSeq.
    CSeq,
    /// What the note of the body counts.
    Sequence,
    /// Our own address, as it stands in Via and Contact.
    Own,
    /// The remote target of a dialog.
    Target,
    /// The remote tag of a dialog.
    Tag,
    /// The entity-tag to match.
    EntityTag,
}

const NAMES: [(&str, Field); 9] = [
    ("presentity", Field::Presentity),
    ("call", Field::Call),
    ("branch", Field::Branch),
    ("cseq", Field::CSeq),
    ("sequence", Field::Sequence),
    ("own", Field::Own),
    ("target", Field::Target),
    ("tag", Field::Tag),
    ("etag", Field::EntityTag),
];

/// What the fields are in one message. Fields that a template does not have are not looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Values<'a> {
    pub presentity: u32,
    pub call: u32,
    pub branch: (u32, u32),
    pub cseq: u32,
    pub sequence: u32,
    pub own: &'a [u8],
    pub target: &'a [u8],
    pub tag: &'a [u8],
    pub entity_tag: &'a [u8],
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Field(Field),
}

/// A message with holes.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    /// Reads a text whose fields stand between `«` and `»`, which occur nowhere in SIP syntax or in our bodies. Line ends become CRLF.
    ///
    /// # Panics
    ///
    /// If a field has no such name: templates are part of the program.
    pub(super) fn new(text: &str) -> Self {
        let text = text.replace('\n', "\r\n");
        let mut parts = text.split('«');
        let first = parts.next().unwrap_or_default();
        let mut pieces = vec![Piece::Text(first.into())];
        for part in parts {
            let (name, after) = part.split_once('»').expect("a field has an end");
            let field = NAMES.iter().find(|(known, _)| *known == name);
            let (_, field) = field.unwrap_or_else(|| panic!("no field is called {name}"));
            pieces.push(Piece::Field(*field));
            pieces.push(Piece::Text(after.into()));
        }
        pieces.retain(|piece| *piece != Piece::Text(Vec::new()));
        Self { pieces }
    }

    /// Writes the message in place of what is in the buffer.
    pub(super) fn render(&self, values: &Values<'_>, out: &mut Vec<u8>) {
        out.clear();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Field(Field::Presentity) => hex(values.presentity, out),
                Piece::Field(Field::Call) => hex(values.call, out),
                Piece::Field(Field::Branch) => {
                    hex(values.branch.0, out);
                    hex(values.branch.1, out);
                }
                Piece::Field(Field::CSeq) => decimal(values.cseq, out),
                Piece::Field(Field::Sequence) => hex(values.sequence, out),
                Piece::Field(Field::Own) => out.extend_from_slice(values.own),
                Piece::Field(Field::Target) => out.extend_from_slice(values.target),
                Piece::Field(Field::Tag) => out.extend_from_slice(values.tag),
                Piece::Field(Field::EntityTag) => out.extend_from_slice(values.entity_tag),
            }
        }
    }
}

/// Always eight digits: Content-Length must not depend on the number.
fn hex(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&digits::hex(number.into())[8..]);
}

/// As many digits as it takes.
fn decimal(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(Decimal::of(number).as_bytes());
}

/// Eight hexadecimal digits, as templates write numbers; None if they are something else.
pub(super) fn read_hex(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits.get(..8)?).ok()?;
    // A sign is fine for the standard library, and none of our numbers has one.
    if digits.starts_with('+') {
        return None;
    }
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str, values: Values<'_>) -> String {
        let mut out = b"what was there before".to_vec();
        Template::new(text).render(&values, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn each_field_is_put_where_its_name_stands() {
        let values = Values {
            presentity: 0xab,
            call: 1,
            branch: (2, 0xffff_ffff),
            cseq: 4_294_967_295,
            sequence: 4,
            own: b"127.0.0.1:5",
            target: b"sip:a@b",
            tag: b"t",
            entity_tag: b"e",
        };
        let text = "«presentity» «call» «branch»\n«cseq» «sequence» «own» «target» «tag» «etag»";
        let expected =
            "000000ab 00000001 00000002ffffffff\r\n4294967295 00000004 127.0.0.1:5 sip:a@b t e";
        assert_eq!(render(text, values), expected);
    }

    #[test]
    fn a_text_without_fields_stays_as_it_is_but_for_its_line_ends() {
        assert_eq!(render("a\n\nb", Values::default()), "a\r\n\r\nb");
    }

    #[test]
    fn numbers_of_call_and_body_have_one_length_and_cseq_has_no_leading_zeros() {
        let values = Values::default();
        assert_eq!(render("«call»|«cseq»", values), "00000000|0");
        let values = Values {
            call: u32::MAX,
            cseq: 1_000,
            ..values
        };
        assert_eq!(render("«call»|«cseq»", values), "ffffffff|1000");
    }

    #[test]
    fn a_number_is_read_back_and_nothing_else_is() {
        for number in [0, 1, 0xdead_beef, u32::MAX] {
            let mut out = Vec::new();
            hex(number, &mut out);
            assert_eq!(read_hex(&out), Some(number));
        }
        for wrong in ["", "0000000", "0000000g", "+0000001", "-0000001", "é000000"] {
            assert_eq!(read_hex(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    #[should_panic(expected = "no field is called colour")]
    fn an_unknown_field_is_a_mistake_of_the_program() {
        Template::new("a «colour» b");
    }
}
