//! What the load generator sends: PUBLISH (RFC 3903), SUBSCRIBE (RFC 6665), answers to NOTIFYs, and the document in them.

use memchr::memmem;
use rollcall_core::exchange::Transport;

use super::scan::Scanned;
use super::template::{Template, Values, read_hex};

/// What stands before the number in the note of a body.
const MARK: &[u8] = b"state number ";

/// How long a body is at least, in bytes: what phones publish with PIDF and RPID is between 500 and 900.
const BODY: usize = 820;

/// The requests of one run, with all that stays the same in them.
#[derive(Debug)]
pub(super) struct Messages {
    publish_initial: Template,
    publish_modify: Template,
    subscribe: Template,
    resubscribe: Template,
}

/// Which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// A PUBLISH with a body and without an entity-tag.
    PublishInitial,
    /// A PUBLISH with a body and an entity-tag.
    PublishModify,
    /// A SUBSCRIBE without a To tag.
    Subscribe,
    /// A SUBSCRIBE in its dialog.
    Resubscribe,
}

impl Messages {
    /// Requests about presentities of a domain. `run` tells runs apart: nobody else publishes for the presentities of a run. `expires` is
    /// in seconds.
    pub(super) fn new(domain: &str, run: &str, expires: u32, transport: Transport) -> Self {
        let (transport, parameter) = match transport {
            Transport::Udp => ("UDP", ""),
            Transport::Tls => ("TLS", ";transport=tls"),
            _ => ("TCP", ";transport=tcp"),
        };
        let presentity = format!("sip:bench-{run}-«presentity»@{domain}");
        let body = body(&presentity);
        let mut rendered = Vec::new();
        Template::new(&body).render(&Values::default(), &mut rendered);
        let length = rendered.len();
        let publish = |condition: &str| {
            Template::new(&format!(
                "PUBLISH {presentity} SIP/2.0\nVia: SIP/2.0/{transport} «own»;branch=z9hG4bK«branch»;rport\nMax-Forwards: 70\n\
                 From: <{presentity}>;tag=p«call»\nTo: <{presentity}>\nCall-ID: p«call»-{run}\nCSeq: «cseq» PUBLISH\n\
                 Event: presence\nExpires: {expires}\n{condition}Content-Type: application/pidf+xml\nContent-Length: {length}\n\n{body}"
            ))
        };
        let subscribe = |uri: &str, tag: &str| {
            Template::new(&format!(
                "SUBSCRIBE {uri} SIP/2.0\nVia: SIP/2.0/{transport} «own»;branch=z9hG4bK«branch»;rport\nMax-Forwards: 70\n\
                 From: <sip:watcher-«call»@{domain}>;tag=w«call»\nTo: <{presentity}>{tag}\nCall-ID: w«call»-{run}\n\
                 CSeq: «cseq» SUBSCRIBE\nContact: <sip:watcher@«own»{parameter}>\nEvent: presence\nExpires: {expires}\n\
                 Accept: application/pidf+xml\nContent-Length: 0\n\n"
            ))
        };
        Self {
            publish_initial: publish(""),
            publish_modify: publish("SIP-If-Match: «etag»\n"),
            subscribe: subscribe(&presentity, ""),
            resubscribe: subscribe("«target»", ";tag=«tag»"),
        }
    }

    /// Writes the request in place of what is in the buffer.
    pub(super) fn render(&self, request: Request, values: &Values<'_>, out: &mut Vec<u8>) {
        let template = match request {
            Request::PublishInitial => &self.publish_initial,
            Request::PublishModify => &self.publish_modify,
            Request::Subscribe => &self.subscribe,
            Request::Resubscribe => &self.resubscribe,
        };
        template.render(values, out);
    }
}

/// PIDF with RPID, as long as [`BODY`] or a little longer, with its number in the note of the person.
fn body(presentity: &str) -> String {
    let mark = std::str::from_utf8(MARK).unwrap_or_default();
    let document = |filling: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
             xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" \
             entity=\"{presentity}\">\n <tuple id=\"desk\">\n  <status><basic>open</basic></status>\n  <rpid:class>desk</rpid:class>\n  \
             <contact priority=\"0.8\">{presentity}</contact>\n  <timestamp>2026-01-01T08:00:00Z</timestamp>\n </tuple>\n \
             <dm:person id=\"person\">\n  <rpid:activities><rpid:meeting/></rpid:activities>\n  \
             <rpid:place-is><rpid:audio><rpid:quiet/></rpid:audio></rpid:place-is>\n  \
             <dm:note xml:lang=\"en\">{mark}«sequence»{filling}</dm:note>\n  <dm:timestamp>2026-01-01T08:00:00Z</dm:timestamp>\n \
             </dm:person>\n</presence>\n"
        )
    };
    let mut bare = Vec::new();
    Template::new(&document("")).render(&Values::default(), &mut bare);
    let missing = BODY.saturating_sub(bare.len());
    document(
        &" and so on"
            .chars()
            .cycle()
            .take(missing)
            .collect::<String>(),
    )
}

/// The number in the note of a body, wherever it is: servers may write the document anew.
pub(super) fn sequence(body: &[u8]) -> Option<u32> {
    let at = memmem::find(body, MARK)?;
    read_hex(&body[at + MARK.len()..])
}

/// The status line of an answer that accepts.
pub(super) const OK: &[u8] = b"SIP/2.0 200 OK\r\n";
/// The status line of an answer to what belongs to none of our dialogs.
pub(super) const NO_DIALOG: &[u8] = b"SIP/2.0 481 Subscription does not exist\r\n";

/// The answer to a request, in place of what is in the buffer (RFC 3261, 8.2.6.2). `tag` is for a request that has none in To, `more` are
/// further header lines.
pub(super) fn answer(
    status: &[u8],
    request: &Scanned<'_>,
    tag: &[u8],
    more: &[u8],
    out: &mut Vec<u8>,
) {
    out.clear();
    out.extend_from_slice(status);
    for via in request.vias() {
        line(b"Via: ", via, out);
    }
    line(b"From: ", request.from, out);
    out.extend_from_slice(b"To: ");
    out.extend_from_slice(request.to);
    if request.tag_of_to().is_none() && !tag.is_empty() {
        out.extend_from_slice(b";tag=");
        out.extend_from_slice(tag);
    }
    out.extend_from_slice(b"\r\n");
    line(b"Call-ID: ", request.call_id, out);
    line(b"CSeq: ", request.cseq_line, out);
    out.extend_from_slice(more);
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

fn line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rollcall_core::sip::{Message, Method};

    use super::*;
    use crate::bench::scan::scan;

    fn rendered(request: Request) -> Vec<u8> {
        let values = Values {
            presentity: 7,
            call: 0xa1,
            branch: (3, 9),
            cseq: 12,
            sequence: 0x1f,
            own: b"127.0.0.1:6000",
            target: b"sip:127.0.0.1:5060",
            tag: b"theirs",
            entity_tag: b"xyz.1",
        };
        let mut out = Vec::new();
        Messages::new("example.com", "beef", 600, Transport::Udp)
            .render(request, &values, &mut out);
        out
    }

    #[test]
    fn the_full_reader_understands_each_request() {
        for (request, method) in [
            (Request::PublishInitial, Method::Publish),
            (Request::PublishModify, Method::Publish),
            (Request::Subscribe, Method::Subscribe),
            (Request::Resubscribe, Method::Subscribe),
        ] {
            let bytes = rendered(request);
            let message = Message::parse(Bytes::from(bytes.clone())).expect("a good message");
            assert_eq!(message.method(), Some(&method), "{request:?}");
            assert_eq!(message.cseq().expect("CSeq").number, 12, "{request:?}");
            let whole = message.body().len();
            let expected = if method == Method::Publish { BODY } else { 0 };
            assert_eq!(whole, expected, "{request:?}");
            let after = memmem::find(&bytes, b"\r\n\r\n").expect("an empty line") + 4;
            assert_eq!(bytes.len() - after, whole, "Content-Length of {request:?}");
        }
    }

    #[test]
    fn only_a_modification_has_an_entity_tag_and_only_a_request_in_its_dialog_a_to_tag() {
        let has = |request, text: &str| memmem::find(&rendered(request), text.as_bytes()).is_some();
        assert!(has(Request::PublishModify, "\r\nSIP-If-Match: xyz.1\r\n"));
        assert!(!has(Request::PublishInitial, "SIP-If-Match"));
        let to = "\r\nTo: <sip:bench-beef-00000007@example.com>";
        assert!(has(Request::Resubscribe, &format!("{to};tag=theirs\r\n")));
        assert!(has(
            Request::Resubscribe,
            "SUBSCRIBE sip:127.0.0.1:5060 SIP/2.0\r\n"
        ));
        assert!(has(Request::Subscribe, &format!("{to}\r\n")));
    }

    #[test]
    fn over_tcp_and_tls_via_and_contact_say_so() {
        let values = Values {
            own: b"127.0.0.1:6000",
            ..Values::default()
        };
        for (transport, via, parameter) in [
            (Transport::Tcp, "TCP", "tcp"),
            (Transport::Tls, "TLS", "tls"),
        ] {
            let messages = Messages::new("example.com", "beef", 600, transport);
            let mut out = Vec::new();
            messages.render(Request::Subscribe, &values, &mut out);
            for line in [
                format!("Via: SIP/2.0/{via} 127.0.0.1:6000;"),
                format!("Contact: <sip:watcher@127.0.0.1:6000;transport={parameter}>\r\n"),
            ] {
                assert!(memmem::find(&out, line.as_bytes()).is_some(), "{line}");
            }
        }
    }

    #[test]
    fn the_number_in_the_note_is_found_and_a_body_without_one_has_none() {
        let publish = rendered(Request::PublishInitial);
        assert_eq!(
            sequence(scan(&publish).expect("a request").body),
            Some(0x1f)
        );
        assert_eq!(sequence(b"<note>state number of things</note>"), None);
        assert_eq!(sequence(b""), None);
    }

    #[test]
    fn an_answer_repeats_what_an_answer_must_repeat() {
        let notify = b"NOTIFY sip:watcher@127.0.0.1:6000 SIP/2.0\r\nv: SIP/2.0/UDP a;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP b\r\n\
            f: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\ni: x\r\nCSeq: 4 NOTIFY\r\n\r\n";
        let mut out = Vec::new();
        answer(
            OK,
            &scan(notify).expect("a request"),
            b"unused",
            b"",
            &mut out,
        );
        let expected = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP b\r\nFrom: <sip:a@b>;tag=1\r\n\
            To: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 4 NOTIFY\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn an_answer_gets_a_tag_where_the_request_has_none() {
        let subscribe = rendered(Request::Subscribe);
        let mut out = Vec::new();
        answer(
            OK,
            &scan(&subscribe).expect("a request"),
            b"f1",
            b"Expires: 600\r\n",
            &mut out,
        );
        let text = String::from_utf8_lossy(&out);
        assert!(
            text.contains("\r\nTo: <sip:bench-beef-00000007@example.com>;tag=f1\r\n"),
            "{text}"
        );
        assert!(
            text.ends_with("\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n"),
            "{text}"
        );
    }
}
