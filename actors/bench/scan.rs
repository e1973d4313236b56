//! A scanner for the few headers that an exchange needs: a fraction of what reading a whole message costs.
//!
//! It trusts its peer to write plain messages: folded lines are not joined, of several values on one line only the first counts (except
//! that an answer repeats the line as it is), and nothing is checked that is not used. For whatever is not plain it gives None or leaves
//! the field empty; it never panics.

use memchr::{memchr, memmem};

/// How many Via lines are kept; a request that came over more proxies is no use to a load generator.
const VIAS: usize = 8;

/// What was found in one message. Header values are as they were sent, without the white space around them; empty if missing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scanned<'a> {
    /// The status of a response; 0 for a request.
    pub status: u16,
    /// The method of a request; empty for a response.
    pub method: &'a [u8],
    /// The Request-URI; empty for a response.
    pub uri: &'a [u8],
    vias: [&'a [u8]; VIAS],
    via_count: usize,
    pub from: &'a [u8],
    pub to: &'a [u8],
    pub call_id: &'a [u8],
    /// The whole value of CSeq.
    pub cseq_line: &'a [u8],
    pub contact: &'a [u8],
    pub etag: &'a [u8],
    pub subscription_state: &'a [u8],
    retry_after: &'a [u8],
    pub body: &'a [u8],
}

/// Looks through one datagram; None if it is no SIP message, or one with more than eight Via lines.
pub(super) fn scan(datagram: &[u8]) -> Option<Scanned<'_>> {
    let mut found = Scanned::default();
    let (start, mut rest) = line(datagram)?;
    if let Some(status) = start.strip_prefix(b"SIP/2.0 ") {
        found.status = u16::try_from(number(status)?).ok()?;
        // 0 would be taken for a request.
        (100..700).contains(&found.status).then_some(())?;
    } else {
        let method = memchr(b' ', start)?;
        found.method = &start[..method];
        found.uri = start[method + 1..].strip_suffix(b" SIP/2.0")?;
    }
    while let Some((header, after)) = line(rest) {
        rest = after;
        if header.is_empty() {
            found.body = rest;
            break;
        }
        if let Some(colon) = memchr(b':', header) {
            let name = header[..colon].trim_ascii_end();
            found.keep(name, header[colon + 1..].trim_ascii())?;
        }
    }
    Some(found)
}

impl<'a> Scanned<'a> {
    /// None if there are too many.
    fn keep(&mut self, name: &[u8], value: &'a [u8]) -> Option<()> {
        let is = |long: &[u8], short: &[u8]| {
            name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short)
        };
        // The first letter decides nearly all of them.
        match name.first().unwrap_or(&0).to_ascii_lowercase() {
            b'v' if is(b"Via", b"v") => {
                *self.vias.get_mut(self.via_count)? = value;
                self.via_count += 1;
            }
            b'f' if is(b"From", b"f") => self.from = value,
            b't' if is(b"To", b"t") => self.to = value,
            b'c' | b'i' if is(b"Call-ID", b"i") => self.call_id = value,
            b'c' if name.eq_ignore_ascii_case(b"CSeq") => self.cseq_line = value,
            b'c' | b'm' if is(b"Contact", b"m") => self.contact = value,
            b's' if name.eq_ignore_ascii_case(b"SIP-ETag") => self.etag = value,
            b's' if name.eq_ignore_ascii_case(b"Subscription-State") => {
                self.subscription_state = value;
            }
            b'r' if name.eq_ignore_ascii_case(b"Retry-After") => self.retry_after = value,
            _ => {}
        }
        Some(())
    }

    /// The values of the Via lines, in their order.
    pub(super) fn vias(&self) -> &[&'a [u8]] {
        &self.vias[..self.via_count]
    }

    /// The branch of the first Via.
    pub(super) fn branch(&self) -> Option<&'a [u8]> {
        parameter(self.vias().first()?, b"branch")
    }

    /// The number of CSeq.
    pub(super) fn cseq(&self) -> Option<u32> {
        number(self.cseq_line)
    }

    /// The tag of To.
    pub(super) fn tag_of_to(&self) -> Option<&'a [u8]> {
        parameter(after_uri(self.to), b"tag")
    }

    /// The URI of the first Contact.
    pub(super) fn contact_uri(&self) -> Option<&'a [u8]> {
        let value = self.contact;
        let Some(open) = memchr(b'<', value) else {
            let end = value.iter().position(|byte| matches!(byte, b';' | b','));
            return Some(&value[..end.unwrap_or(value.len())]).filter(|uri| !uri.is_empty());
        };
        let inside = &value[open + 1..];
        Some(&inside[..memchr(b'>', inside)?])
    }

    /// The seconds of Retry-After (RFC 3261, 20.33).
    pub(super) fn retry_after(&self) -> Option<u32> {
        number(self.retry_after)
    }

    /// Whether a NOTIFY says that the subscription has ended.
    pub(super) fn is_terminated(&self) -> bool {
        let state = self.subscription_state;
        state.len() >= 10 && state[..10].eq_ignore_ascii_case(b"terminated")
    }
}

/// A line without its end, and what comes after it.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', text)?;
    let line = &text[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &text[end + 1..]))
}

/// The digits at the beginning; None without any, or if they are too many.
fn number(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.count();
    if length == 0 {
        return None;
    }
    std::str::from_utf8(&text[..length]).ok()?.parse().ok()
}

/// What follows the URI of a name-addr: its own parameters are no parameters of the header.
fn after_uri(value: &[u8]) -> &[u8] {
    memchr(b'>', value).map_or(value, |end| &value[end + 1..])
}

/// The value of `;name=value`.
fn parameter<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut from = 0;
    while let Some(at) = memmem::find(&value[from..], name) {
        let start = from + at;
        let after = start + name.len();
        if start > 0 && value[start - 1] == b';' && value.get(after) == Some(&b'=') {
            let text = &value[after + 1..];
            let end = text
                .iter()
                .position(|byte| matches!(byte, b';' | b',' | b' ' | b'\t'));
            return Some(&text[..end.unwrap_or(text.len())]);
        }
        from = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_gives_status_branch_cseq_entity_tag_and_to_tag() {
        let text = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:9;rport=9;branch=z9hG4bK12;received=::1\r\nFrom: <sip:a@b;tag=no>;tag=f\r\n\
            To: \"x\" <sip:a@b;tag=no>;x=y;tag=t\r\nCall-ID: c@d\r\nCSeq: 17 PUBLISH\r\nSIP-ETag: e1\r\nExpires: 60\r\nContent-Length: 0\r\n\r\n";
        let found = scan(text).expect("a response");
        assert_eq!(found.status, 200);
        assert_eq!(found.method, b"");
        assert_eq!(found.branch(), Some(&b"z9hG4bK12"[..]));
        assert_eq!(found.cseq(), Some(17));
        assert_eq!(found.etag, b"e1");
        assert_eq!(found.tag_of_to(), Some(&b"t"[..]));
        assert_eq!(found.call_id, b"c@d");
        assert_eq!(found.body, b"");
    }

    #[test]
    fn a_notify_gives_its_vias_in_order_its_state_and_its_body() {
        let text = b"NOTIFY sip:w@127.0.0.1 SIP/2.0\nv:SIP/2.0/UDP a;branch=1\nVIA : SIP/2.0/UDP b\nt: <sip:a@b>\nI:c\n\
            subscription-state: Terminated;reason=timeout\nm: <sip:x@y;lr>;q=1\n\nbody\n";
        let found = scan(text).expect("a request");
        assert_eq!(
            (found.status, found.method, found.uri),
            (0, &b"NOTIFY"[..], &b"sip:w@127.0.0.1"[..])
        );
        assert_eq!(
            found.vias(),
            [&b"SIP/2.0/UDP a;branch=1"[..], b"SIP/2.0/UDP b"]
        );
        assert!(found.is_terminated());
        assert_eq!(found.contact_uri(), Some(&b"sip:x@y;lr"[..]));
        assert_eq!(found.tag_of_to(), None);
        assert_eq!(found.body, b"body\n");
    }

    #[test]
    fn a_contact_without_angle_brackets_ends_at_its_parameters() {
        let text = b"SIP/2.0 200 OK\r\nContact: sip:x@y;expires=3\r\n\r\n";
        assert_eq!(
            scan(text).and_then(|found| found.contact_uri()),
            Some(&b"sip:x@y"[..])
        );
    }

    #[test]
    fn a_parameter_is_not_taken_from_within_another() {
        assert_eq!(parameter(b"x;mytag=1;tag=2", b"tag"), Some(&b"2"[..]));
        assert_eq!(parameter(b"x;tags=1", b"tag"), None);
        assert_eq!(parameter(b"tag=1", b"tag"), None);
        assert_eq!(parameter(b"x;tag=", b"tag"), Some(&b""[..]));
    }

    #[test]
    fn what_is_no_message_gives_nothing() {
        for text in [
            "",
            "\r\n\r\n",
            "SIP/2.0 200 OK",
            "SIP/2.0 20 OK\r\n\r\n",
            "SIP/2.0 99999999999 OK\r\n\r\n",
            "SIP/2.0 x\r\n\r\n",
            "NOTIFY sip:a@b SIP/3.0\r\n\r\n",
            "NOTIFY\r\n\r\n",
        ] {
            assert!(scan(text.as_bytes()).is_none(), "{text:?}");
        }
        let many = format!("NOTIFY a SIP/2.0\r\n{}\r\n", "Via: x\r\n".repeat(VIAS + 1));
        assert!(scan(many.as_bytes()).is_none());
    }

    #[test]
    fn headers_that_are_missing_are_empty_and_lines_without_a_colon_are_skipped() {
        let found = scan(b"SIP/2.0 486 Busy\r\n folded\r\n: nameless\r\n").map(|found| {
            (
                found.status,
                found.branch(),
                found.cseq(),
                found.tag_of_to(),
                found.contact_uri(),
                found.is_terminated(),
            )
        });
        assert_eq!(found, Some((486, None, None, None, None, false)));
    }

    /// Every real message of the tests, cut off anywhere.
    #[test]
    fn no_message_and_no_part_of_one_is_too_much_for_it() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wires");
        let mut whole = 0;
        for entry in std::fs::read_dir(folder).expect("tests/wires") {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
            for end in 0..bytes.len() {
                if let Some(found) = scan(&bytes[..end]) {
                    let _ = (
                        found.branch(),
                        found.cseq(),
                        found.tag_of_to(),
                        found.contact_uri(),
                        found.is_terminated(),
                    );
                }
            }
            let found = scan(&bytes).expect("a message");
            assert!(
                found.cseq().is_some() && found.branch().is_some() && !found.call_id.is_empty()
            );
            whole += 1;
        }
        assert!(whole > 50, "{whole}");
    }
}
