//! Our From line in a dialog, which nearly always says what is known: the presentity's address and our tag.

use super::LocalTag;
use crate::registry::Span;

/// What of our From line is left out of a dialog's header lines, as it can be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FromLine {
    /// The whole line, which belongs there.
    Line(u16),
    /// Our tag, which belongs there.
    Tag(u16),
    /// Nothing.
    Whole,
}

const BEFORE: &[u8] = b"From: <";
const BETWEEN: &[u8] = b">;tag=";
const BEHIND: &[u8] = b"\r\n";

impl FromLine {
    /// Takes as much as possible out of header lines; `None` if they are longer than 64 KiB.
    pub fn take(head: &mut Vec<u8>, aor: &str, tag: LocalTag) -> Option<Self> {
        let digits = tag.digits();
        let line = [BEFORE, aor.as_bytes(), BETWEEN, &digits, BEHIND].concat();
        if let Some(at) = memchr::memmem::find(head, &line)
            && (at == 0 || head[..at].ends_with(BEHIND))
        {
            head.drain(at..at + line.len());
            return u16::try_from(at).ok().map(Self::Line);
        }
        let Some(at) = memchr::memmem::find(head, &digits) else {
            return Some(Self::Whole);
        };
        head.drain(at..at + digits.len());
        u16::try_from(at).ok().map(Self::Tag)
    }

    /// Appends the header lines with what was taken out.
    pub fn put(self, head: &[u8], aor: &str, tag: LocalTag, out: &mut Vec<u8>) {
        let (at, _) = self.gap(aor);
        let (before, after) = head.split_at_checked(at).unwrap_or((head, &[]));
        out.extend_from_slice(before);
        match self {
            Self::Line(_) => {
                out.extend_from_slice(BEFORE);
                out.extend_from_slice(aor.as_bytes());
                out.extend_from_slice(BETWEEN);
                out.extend_from_slice(&tag.digits());
                out.extend_from_slice(BEHIND);
            }
            Self::Tag(_) => out.extend_from_slice(&tag.digits()),
            Self::Whole => {}
        }
        out.extend_from_slice(after);
    }

    /// Where a part of the whole header lines is in those without.
    pub fn without(self, span: Span, aor: &str) -> Span {
        let (at, length) = self.gap(aor);
        if usize::from(span.start) <= at {
            return span;
        }
        Span {
            start: span.start.saturating_sub(length),
            ..span
        }
    }

    /// Where a part of the header lines without is in the whole ones.
    pub fn with(self, span: Span, aor: &str) -> Span {
        let (at, length) = self.gap(aor);
        // An empty one is nowhere.
        if usize::from(span.start) < at || span.len == 0 {
            return span;
        }
        Span {
            start: span.start.saturating_add(length),
            ..span
        }
    }

    /// Where something is left out, and how much.
    fn gap(self, aor: &str) -> (usize, u16) {
        let line = BEFORE.len() + aor.len() + BETWEEN.len() + LocalTag::LENGTH + BEHIND.len();
        match self {
            Self::Line(at) => (at.into(), u16::try_from(line).unwrap_or(u16::MAX)),
            // The length of a tag fits.
            Self::Tag(at) => (at.into(), LocalTag::LENGTH as u16),
            Self::Whole => (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: LocalTag = LocalTag {
        shard: 1,
        dialog: 0xbeef,
    };

    /// What is left of header lines, and where `part` is in them and in the whole.
    fn round_trip(text: &str, part: &str) -> (FromLine, String) {
        let whole = text.replace("TAG", &TAG.to_string());
        let at = |text: &str| {
            let start = text.rfind(part).expect("it is there");
            Span {
                start: start as u16,
                len: part.len() as u16,
            }
        };
        let mut head = whole.clone().into_bytes();
        let from = FromLine::take(&mut head, "sip:bob@h", TAG).expect("it fits");
        let left = String::from_utf8(head).expect("text");
        let mut again = Vec::new();
        from.put(left.as_bytes(), "sip:bob@h", TAG, &mut again);
        assert_eq!(String::from_utf8(again).as_deref(), Ok(&*whole));
        assert_eq!(from.without(at(&whole), "sip:bob@h"), at(&left));
        assert_eq!(from.with(at(&left), "sip:bob@h"), at(&whole));
        (from, left)
    }

    #[test]
    fn what_is_known_is_left_out_and_put_in_again() {
        let rest = "To: <sip:a@h>;tag=7\r\nCall-ID: c\r\n";
        let line = "From: <sip:bob@h>;tag=TAG\r\n";
        assert_eq!(
            round_trip(&[line, rest].concat(), "c"),
            (FromLine::Line(0), rest.to_owned())
        );
        let route = "Route: <sip:p>\r\n";
        assert_eq!(
            round_trip(&[route, line, rest].concat(), "7"),
            (FromLine::Line(16), [route, rest].concat())
        );
        let named = "From: \"Bob\" <sip:bob@h>;tag=TAG;x\r\n";
        let (from, left) = round_trip(&[named, rest].concat(), "c");
        assert_eq!(from, FromLine::Tag(28));
        assert_eq!(
            left,
            ["From: \"Bob\" <sip:bob@h>;tag=;x\r\n", rest].concat()
        );
        assert_eq!(round_trip(rest, "c"), (FromLine::Whole, rest.to_owned()));
    }
}
