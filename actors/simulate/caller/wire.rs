//! Requests and answers of a caller, written out.

use std::net::SocketAddr;

use bytes::Bytes;
use rollcall_core::entropy::Entropy;
use rollcall_core::sip::{Message, Name};

/// Who calls whom.
pub(super) struct Line {
    pub own: String,
    pub at: SocketAddr,
    pub server: SocketAddr,
}

impl Line {
    pub fn new(own: String, at: SocketAddr, server: SocketAddr) -> Self {
        Self { own, at, server }
    }

    /// A request and its branch: method and URI; Call-ID, our tag, theirs and CSeq; header lines and body.
    pub fn request(
        &self,
        entropy: &mut Entropy,
        (method, uri): (&str, &str),
        (call_id, own_tag, their_tag, cseq): (&str, &str, Option<&str>, u32),
        (head, body): (&str, &str),
    ) -> (String, Bytes) {
        let branch = format!("z9hG4bK{}", entropy.token());
        let (at, own, length) = (self.at, &self.own, body.len());
        let their_tag = their_tag.map_or_else(String::new, |tag| format!(";tag={tag}"));
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch={branch};rport\r\nMax-Forwards: 70\r\n\
             From: <{own}>;tag={own_tag}\r\nTo: <{uri}>{their_tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             {head}Content-Length: {length}\r\n\r\n{body}"
        );
        (branch, text.into())
    }
}

/// An answer to a NOTIFY.
pub(super) fn answer(request: &Message, status: &str) -> Bytes {
    let vias: String = request
        .texts(Name::Via)
        .map(|via| format!("Via: {via}\r\n"))
        .collect();
    let text = |name| request.text(name).unwrap_or_default();
    format!(
        "SIP/2.0 {status}\r\n{vias}From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {}\r\nContent-Length: 0\r\n\r\n",
        text(Name::From),
        text(Name::To),
        text(Name::CallId),
        text(Name::CSeq),
    )
    .into()
}

/// What a caller publishes for itself.
pub(super) fn document(own: &str, number: u64) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{own}\"><tuple id=\"t{}\">\
         <status><basic>{}</basic></status><note>n{number}</note></tuple></presence>",
        number % 3,
        if number.is_multiple_of(2) {
            "open"
        } else {
            "closed"
        }
    )
}
