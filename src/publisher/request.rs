//! The PUBLISH request (RFC 3903, 4.1).

use bytes::Bytes;

use super::machine::Machine;
use crate::exchange::{Destination, Outgoing, Token};
use crate::sip::{Head, Method, Name};

/// The type of a presence document (RFC 3863, 5).
const PIDF: &str = "application/pidf+xml";

/// The next PUBLISH of this machine, under its entity-tag if it has one.
pub(super) fn publish(
    machine: &mut Machine,
    token: Token,
    expires: u32,
    body: Bytes,
    server: Option<&str>,
) -> Outgoing {
    // Below 2^31, and back to 1 rather than over it (RFC 3261, 8.1.1.5); each PUBLISH stands for itself, so that is harmless.
    machine.cseq = if machine.cseq >= 0x7fff_fffe {
        1
    } else {
        machine.cseq + 1
    };
    let aor = &machine.aor;
    let mut head = Head::with_capacity(256);
    head.line(Name::From, format_args!("<{aor}>;tag={}", machine.from_tag));
    head.line(Name::To, format_args!("<{aor}>"));
    head.line(Name::CallId, &machine.call_id);
    head.line(Name::CSeq, format_args!("{} PUBLISH", machine.cseq));
    head.line(Name::Event, "presence");
    head.line(Name::Expires, expires);
    if let Some(tag) = &machine.tag {
        head.line(Name::SipIfMatch, &tag.etag);
    }
    if !body.is_empty() {
        head.line(Name::ContentType, PIDF);
    }
    Outgoing {
        token,
        method: Method::Publish,
        uri: aor.clone(),
        // The server is an outbound proxy by configuration: it is where the request goes, and no Route header names it
        // (many presence servers would try to forward a request with a Route).
        first_route: server.map(str::to_owned),
        head: head.finish(),
        body,
        destination: Destination::NextHop,
    }
}
