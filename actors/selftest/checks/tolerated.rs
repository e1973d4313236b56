//! Valid requests of every shape: each is answered as an ordinary one.

use super::super::peer::{Peer, Stop};
use super::super::request::Request;
use super::super::requirement::must;
use super::{Check, check};

pub(super) const CHECKS: &[Check] = &[
    check!(
        names,
        [
            must(
                "compact-forms",
                3261,
                "7.3.3",
                "Compact names of headers are understood."
            ),
            must(
                "names-upper",
                3261,
                "7.3.1",
                "Names of headers are the same in capitals."
            ),
            must(
                "names-lower",
                3261,
                "7.3.1",
                "Names of headers are the same in small letters."
            ),
            must(
                "space-before-colon",
                3261,
                "7.3.1",
                "White space before the colon of a header is allowed."
            ),
            must(
                "no-space",
                3261,
                "7.3.1",
                "No white space after the colon is needed."
            ),
            must(
                "folded",
                3261,
                "7.3.1",
                "A header may go on in the next line."
            ),
        ]
    ),
    check!(
        values,
        [
            must(
                "unknown-header",
                3261,
                "8.2.2",
                "Headers that nobody knows are ignored."
            ),
            must(
                "unknown-param-via",
                3261,
                "20.42",
                "Parameters of Via that nobody knows are ignored."
            ),
            must(
                "unknown-param-to",
                3261,
                "20.39",
                "Parameters of To that nobody knows are ignored."
            ),
            must(
                "display-quoted",
                3261,
                "25.1",
                "A display name may hold quotes, brackets and commas."
            ),
            must(
                "display-utf8",
                3261,
                "25.1",
                "A display name may hold UTF-8."
            ),
            must(
                "no-brackets",
                3261,
                "20.20",
                "From needs no angle brackets."
            ),
            must("tag-long", 3261, "19.3", "A tag of 200 characters is one."),
            must(
                "call-id-odd",
                3261,
                "25.1",
                "A Call-ID may have every character of a word."
            ),
            must(
                "cseq-large",
                3261,
                "8.1.1.5",
                "CSeq may be as large as 2^31-1."
            ),
            must("cseq-zeros", 3261, "25.1", "CSeq may begin with zeros."),
            must(
                "version-case",
                3261,
                "7.1",
                "SIP-Version is the same in small letters."
            ),
            must(
                "via-spaces",
                3261,
                "25.1",
                "White space around the slashes and after the semicolons of Via is allowed."
            ),
            must(
                "max-forwards-absent",
                3261,
                "8.1.1.6",
                "A request without Max-Forwards, as RFC 2543 had it, is served."
            ),
            must(
                "max-forwards-zero-options",
                3261,
                "11",
                "OPTIONS with Max-Forwards 0 is answered by whom it reaches."
            ),
            must(
                "proxy-require",
                3261,
                "20.29",
                "Proxy-Require is for proxies and does not concern a server."
            ),
            must(
                "content-language",
                3261,
                "20.13",
                "Headers about a body may come without one."
            ),
        ]
    ),
    check!(
        uris,
        [
            must(
                "uri-params",
                3261,
                "19.1.1",
                "Parameters of the Request-URI that nobody knows are ignored."
            ),
            must(
                "uri-escapes",
                3261,
                "19.1.2",
                "Escapes in the Request-URI are understood."
            ),
            must(
                "uri-host-case",
                3261,
                "19.1.4",
                "The host of the Request-URI is the same in capitals."
            ),
            must("from-ipv6", 3261, "25.1", "From may name an IPv6 address."),
            must("from-tel", 3966, "3", "From may be a tel URI."),
            must(
                "branch-old",
                3261,
                "17.2.3",
                "A branch without the magic cookie is served by the rules of RFC 2543."
            ),
        ]
    ),
    check!(
        bodies,
        [
            must(
                "length-absent",
                3261,
                "20.14",
                "Over datagrams no Content-Length is needed."
            )
            .over_datagrams(),
            must(
                "length-surplus",
                3261,
                "18.3",
                "What comes after the body of a datagram is discarded."
            )
            .over_datagrams(),
            must(
                "leading-lines",
                3261,
                "7.5",
                "Line ends before the start line are ignored."
            ),
            must("body-binary", 3261, "7.4", "A body may hold any bytes."),
        ]
    ),
];

/// Asks, and decides by whether the answer is the usual one.
async fn usual(peer: &mut Peer, id: &'static str, request: &Request) -> Result<(), Stop> {
    let usual = peer.shared.usual.get();
    peer.asked(id, request, &[usual]).await
}

/// The same with bytes changed after they were built.
async fn usual_bytes(
    peer: &mut Peer,
    id: &'static str,
    change: impl Fn(String) -> String,
) -> Result<(), Stop> {
    let options = peer.options();
    let text = String::from_utf8(options.bytes()).unwrap_or_default();
    let (bytes, usual) = (change(text), peer.shared.usual.get());
    let answer = peer
        .ask_bytes(bytes.as_bytes(), &options.branch(), "OPTIONS")
        .await;
    peer.judged(id, answer, &[usual])
}

async fn names(peer: &mut Peer) -> Result<(), Stop> {
    let compact = |name: &str| {
        match name {
            "Via" => "v",
            "From" => "f",
            "To" => "t",
            "Call-ID" => "i",
            other => other,
        }
        .to_owned()
    };
    let options = peer.options().renamed(compact);
    usual(peer, "compact-forms", &options).await?;
    let options = peer.options().renamed(str::to_uppercase);
    usual(peer, "names-upper", &options).await?;
    let options = peer.options().renamed(str::to_lowercase);
    usual(peer, "names-lower", &options).await?;
    let options = peer.options().renamed(|name| format!("{name} \t "));
    usual(peer, "space-before-colon", &options).await?;
    usual_bytes(peer, "no-space", |text| text.replace(": ", ":")).await?;
    usual_bytes(peer, "folded", |text| {
        text.replace("\r\nFrom: ", "\r\nFrom:\r\n\t ")
            .replace(" OPTIONS\r\n", "\r\n OPTIONS\r\n")
    })
    .await
}

async fn values(peer: &mut Peer) -> Result<(), Stop> {
    let domain = peer.domain();
    let from = |display: &str| format!("{display} <{domain}>;tag=f1");
    let changes: [(&'static str, &str, String); 12] = [
        (
            "unknown-header",
            "X-Selftest",
            "a;b=\"c, d\" <e>".to_owned(),
        ),
        (
            "unknown-param-to",
            "To",
            format!("<{domain}>;unknown=\"a;b\";flag"),
        ),
        ("display-quoted", "From", from("\"A \\\"B\\\" <C>, D\"")),
        (
            "display-utf8",
            "From",
            from("\"J\u{f6}rg \u{4f60}\u{597d}\""),
        ),
        ("no-brackets", "From", format!("{domain};tag=f2")),
        (
            "tag-long",
            "From",
            format!("<{domain}>;tag={}", "t".repeat(200)),
        ),
        (
            "call-id-odd",
            "Call-ID",
            format!("{}(<w>\"{{}}?:\\/[]~%", peer.token()),
        ),
        ("cseq-large", "CSeq", "2147483647 OPTIONS".to_owned()),
        ("cseq-zeros", "CSeq", "0000000007 OPTIONS".to_owned()),
        ("max-forwards-zero-options", "Max-Forwards", "0".to_owned()),
        (
            "proxy-require",
            "Proxy-Require",
            "selftest-unknown".to_owned(),
        ),
        ("content-language", "Content-Language", "en".to_owned()),
    ];
    for (id, name, value) in changes {
        let options = peer.options().with(name, value);
        usual(peer, id, &options).await?;
    }
    let options = peer.options();
    let via = format!("{};unknown=\"a,b\";flag", options.value("Via"));
    usual(peer, "unknown-param-via", &options.with("Via", via)).await?;
    let options = peer.options();
    let via = options
        .value("Via")
        .replacen('/', " / ", 2)
        .replace(';', " ; ");
    usual(peer, "via-spaces", &options.with("Via", via)).await?;
    let options = peer.options().without("Max-Forwards");
    usual(peer, "max-forwards-absent", &options).await?;
    usual_bytes(peer, "version-case", |text| {
        text.replacen(" SIP/2.0\r\n", " sip/2.0\r\n", 1)
    })
    .await
}

async fn uris(peer: &mut Peer) -> Result<(), Stop> {
    let domain = peer.domain();
    let options = peer
        .options()
        .target(format!("{domain};unknown=a%20b;flag"));
    usual(peer, "uri-params", &options).await?;
    let upper = format!("sip:{}", peer.shared.domain.to_uppercase());
    let options = peer.options().target(upper);
    usual(peer, "uri-host-case", &options).await?;
    let options = peer
        .options()
        .with("From", "<sip:a@[2001:db8::1]:5060>;tag=f3");
    usual(peer, "from-ipv6", &options).await?;
    let options = peer.options().with("From", "<tel:+1-201-555-0123>;tag=f4");
    usual(peer, "from-tel", &options).await?;
    let options = peer.options();
    let branch = options.branch();
    let old = options
        .value("Via")
        .replace(&branch, &branch.replace("z9hG4bK", ""));
    usual(peer, "branch-old", &options.with("Via", old)).await?;
    // `%73` is `s`: the user part is the same whether it is escaped or not.
    let presentity = peer.presentity();
    let escaped = presentity.replacen("sip:selftest", "sip:%73elftest", 1);
    peer.published_state(&presentity, "open", "escaped").await?;
    let told = peer.fetched(&escaped).await?;
    let is_same = String::from_utf8_lossy(&told.body()).contains("escaped");
    peer.holds(
        "uri-escapes",
        is_same,
        "what was published without escapes",
        String::from_utf8_lossy(&told.body()),
    );
    Ok(())
}

async fn bodies(peer: &mut Peer) -> Result<(), Stop> {
    if !peer.transport().is_reliable() {
        let options = peer.options().without_length();
        usual(peer, "length-absent", &options).await?;
        usual_bytes(peer, "length-surplus", |text| text + "surplus").await?;
    }
    usual_bytes(peer, "leading-lines", |text| format!("\r\n{text}")).await?;
    let options = peer.options().body(
        "application/octet-stream",
        vec![0, 255, 13, 10, 13, 10, 128],
    );
    usual(peer, "body-binary", &options).await
}
