//! Requests that are wrong: each is refused, and a right one is served right after.

use super::super::peer::{Peer, Stop, code, header, shown};
use super::super::request::Request;
use super::super::requirement::{must, should};
use super::{Check, check};
use rollcall_core::sip::Name;

pub(super) const CHECKS: &[Check] = &[
    check!(
        mandatory,
        [
            must(
                "no-call-id",
                3261,
                "8.1.1",
                "A request without Call-ID is not served."
            ),
            must(
                "no-from",
                3261,
                "8.1.1",
                "A request without From is not served."
            ),
            must(
                "no-to",
                3261,
                "8.1.1",
                "A request without To is not served."
            ),
            must(
                "no-cseq",
                3261,
                "8.1.1",
                "A request without CSeq is not served."
            ),
            must(
                "cseq-method",
                3261,
                "8.1.1.5",
                "A CSeq of another method is not served."
            ),
            must(
                "cseq-huge",
                3261,
                "8.1.1.5",
                "A CSeq beyond 32 bits is not served."
            ),
            must(
                "cseq-word",
                3261,
                "25.1",
                "A CSeq that is no number is not served."
            ),
            must(
                "two-call-ids",
                3261,
                "7.3.1",
                "Two Call-IDs are not served."
            ),
        ]
    ),
    check!(
        values,
        [
            must(
                "from-open",
                3261,
                "25.1",
                "A From whose quote is never closed is not served."
            ),
            must(
                "length-negative",
                3261,
                "20.14",
                "A negative Content-Length is not served."
            ),
            must(
                "length-word",
                3261,
                "20.14",
                "A Content-Length that is no number is not served."
            ),
            should(
                "length-short",
                3261,
                "18.3",
                "A datagram shorter than its Content-Length gets 400."
            )
            .over_datagrams(),
            must(
                "max-forwards-word",
                3261,
                "20.22",
                "A Max-Forwards that is no number is not served."
            ),
            must(
                "expires-word",
                3261,
                "20.19",
                "An Expires that is no number does no harm: it is refused, or the default is taken."
            ),
        ]
    ),
    check!(
        start,
        [
            must(
                "version",
                3261,
                "21.5.6",
                "Another version of SIP gets 505."
            ),
            must(
                "scheme",
                3261,
                "8.2.2.1",
                "A scheme that nobody knows gets 416."
            ),
            must(
                "uri-brackets",
                3261,
                "7.1",
                "A Request-URI in angle brackets is not served."
            ),
            must(
                "uri-spaces",
                3261,
                "7.1",
                "A Request-URI with a blank in it is not served."
            ),
            must(
                "method-unknown",
                3261,
                "8.2.1",
                "A method that nobody knows gets 405 or 501."
            ),
            must(
                "method-allow",
                3261,
                "8.2.1",
                "405 says with Allow what is allowed."
            ),
            must(
                "method-case",
                3261,
                "7.1",
                "Methods are not the same in small letters."
            ),
        ]
    ),
    check!(
        afterwards,
        [
            must("garbage", 3261, "18.3", "Bytes that are no SIP do no harm."),
            must(
                "served-after",
                3261,
                "8.2",
                "After all that is wrong a right request is served."
            ),
        ]
    ),
];

/// Asks for what is wrong: refused with 4xx, or dropped in silence.
async fn refused(peer: &mut Peer, id: &'static str, request: &Request) -> Result<(), Stop> {
    let bytes = request.bytes();
    let branch = request.branch();
    refused_bytes(peer, id, &bytes, &branch).await
}

async fn refused_bytes(
    peer: &mut Peer,
    id: &'static str,
    bytes: &[u8],
    branch: &str,
) -> Result<(), Stop> {
    // Over a stream a server may close what it can't read on.
    let mut other = peer.another().await?;
    other.tell(bytes).await?;
    if peer.transport().is_reliable() {
        // What follows comes after it.
        let fence = other.fence().await;
        let answer = other.kept_answer(branch);
        let closed = fence.is_err() && other.is_closed;
        let came = answer.as_ref().map_or_else(
            || {
                if closed {
                    "an end".to_owned()
                } else {
                    "nothing".to_owned()
                }
            },
            shown,
        );
        let is_so = answer
            .as_ref()
            .is_none_or(|answer| (400..600).contains(&code(answer)));
        peer.holds(id, is_so, "a refusal", came);
        return Ok(());
    }
    other.fence().await?;
    let answer = other.kept_answer(branch);
    let is_so = answer
        .as_ref()
        .is_none_or(|answer| (400..600).contains(&code(answer)));
    peer.holds(
        id,
        is_so,
        "a refusal",
        answer.as_ref().map_or("nothing".to_owned(), shown),
    );
    Ok(())
}

async fn mandatory(peer: &mut Peer) -> Result<(), Stop> {
    for (id, name) in [
        ("no-call-id", "Call-ID"),
        ("no-from", "From"),
        ("no-to", "To"),
        ("no-cseq", "CSeq"),
    ] {
        let request = peer.options().without(name);
        refused(peer, id, &request).await?;
    }
    for (id, value) in [
        ("cseq-method", "5 INVITE"),
        ("cseq-huge", "99999999999999999999 OPTIONS"),
        ("cseq-word", "many OPTIONS"),
    ] {
        let request = peer.options().with("CSeq", value);
        refused(peer, id, &request).await?;
    }
    let request = peer.options().and("Call-ID", "another@selftest");
    refused(peer, "two-call-ids", &request).await
}

async fn values(peer: &mut Peer) -> Result<(), Stop> {
    let domain = peer.domain();
    let request = peer
        .options()
        .with("From", format!("\"never closed <{domain}>;tag=f"));
    refused(peer, "from-open", &request).await?;
    for (id, said) in [("length-negative", "-999"), ("length-word", "none")] {
        let request = peer.options().length(said);
        refused(peer, id, &request).await?;
    }
    if !peer.transport().is_reliable() {
        let request = peer.options().body("text/plain", "short").length("100");
        let response = peer.ask_once(&request).await?;
        peer.answered("length-short", &response, &[400]);
    }
    let request = peer.options().with("Max-Forwards", "plenty");
    refused(peer, "max-forwards-word", &request).await?;
    let presentity = peer.presentity();
    let mut request = peer.subscription(&presentity, "soon");
    let response = peer.ask(&mut request).await?;
    peer.answered("expires-word", &response, &[200, 400]);
    Ok(())
}

async fn start(peer: &mut Peer) -> Result<(), Stop> {
    let mut request = peer.options();
    request.version = "SIP/7.0".to_owned();
    peer.asked("version", &request, &[505]).await?;
    let request = peer
        .options()
        .target("nobodyknowsthisscheme:totallyopaquecontent");
    peer.asked("scheme", &request, &[416]).await?;
    let domain = peer.domain();
    let request = peer.options().target(format!("<{domain}>"));
    refused(peer, "uri-brackets", &request).await?;
    let request = peer.options().target(format!("{domain}; lr"));
    refused(peer, "uri-spaces", &request).await?;
    let request = peer.request("SELFTEST", &domain);
    let response = peer.ask_once(&request).await?;
    peer.answered("method-unknown", &response, &[405, 501]);
    if code(&response) == 405 {
        peer.holds(
            "method-allow",
            response.has(Name::Allow),
            "Allow",
            header(&response, Name::Allow),
        );
    } else {
        peer.not_applicable("method-allow", "it was 501");
    }
    let request = peer.request("options", &domain);
    peer.asked("method-case", &request, &[400, 405, 501])
        .await?;
    Ok(())
}

async fn afterwards(peer: &mut Peer) -> Result<(), Stop> {
    let mut garbage = Vec::from(*b"\x16\x03\x01 no SIP \r\n\x00\xff at all\r\n\r\n");
    garbage.extend([7; 200]);
    let mut other = peer.another().await?;
    other.tell(&garbage).await?;
    let options = peer.options();
    let response = peer.ask_once(&options).await?;
    peer.holds(
        "garbage",
        code(&response) == peer.shared.usual.get(),
        "the usual answer",
        shown(&response),
    );
    let presentity = peer.presentity();
    peer.published_state(&presentity, "open", "after").await?;
    let told = peer.fetched(&presentity).await?;
    let well = String::from_utf8_lossy(&told.body()).contains("after");
    peer.holds(
        "served-after",
        well,
        "the published state",
        String::from_utf8_lossy(&told.body()),
    );
    Ok(())
}
