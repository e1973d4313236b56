use super::*;

const REQUEST: &str = "SUBSCRIBE sip:bob@example.com SIP/2.0\r\n\
    v: SIP/2.0/UDP Alice.Example:5062 ;branch = z9hG4bKa;rport;received=1.1.1.1;x=\"a;b\", SIP/2.0/TCP b;branch=z9hG4bKb\r\n\
    Via: SIP/2.0/UDP c\r\n ;branch=z9hG4bKc\r\n\
    Record-Route: <sip:p1;lr>,\r\n <sip:p2;lr>\r\n\
    f: \"A\" <sip:alice@example.com>;tag=1\r\n\
    To: sip:bob@example.com\r\n\
    Call-ID: c1\r\n\
    CSeq: 7\r\n SUBSCRIBE\r\n\
    Max-Forwards: 70\r\n\r\n";

fn request(raw: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(raw.as_bytes())).expect("a request")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn response(
    raw: &str,
    to_tag: Option<&str>,
    patch: Option<ViaPatch>,
    record_route: bool,
) -> String {
    let mut out = Vec::new();
    write_response(
        &mut out,
        &request(raw),
        StatusCode::OK,
        None,
        to_tag,
        patch,
        record_route,
        &[],
        b"",
    );
    text(&out)
}

#[test]
fn a_head_is_its_lines_in_order() {
    let mut head = Head::with_capacity(64);
    head.line(Name::Expires, 600)
        .line(Name::Event, "presence")
        .other("X-Own", "a, b");
    assert_eq!(
        text(&head.finish()),
        "Expires: 600\r\nEvent: presence\r\nX-Own: a, b\r\n"
    );
}

#[test]
fn no_value_or_name_injects_a_header() {
    let mut head = Head::new();
    head.line(Name::Subject, "a\r\nEvil: b\nc\r")
        .other("X\r\nEvil", "b")
        .other("", "b")
        .line(Name::Other, "b");
    assert_eq!(text(head.as_bytes()), "Subject: a  Evil: b c \r\n");
    let mut out = Vec::new();
    write_request(
        &mut out,
        &Method::Other("A\r\nB: c".into()),
        "sip:a@h\r\nEvil: b",
        "v\r\nw",
        70,
        &[],
        b"",
    );
    assert_eq!(text(&out).lines().count(), 5, "{}", text(&out));
    let mut out = Vec::new();
    write_response(
        &mut out,
        &request(REQUEST),
        StatusCode::OK,
        Some("a\r\nEvil: b"),
        Some("t\r\nEvil: b"),
        None,
        false,
        &[],
        b"",
    );
    assert!(!text(&out).contains("\nEvil"));
}

#[test]
fn a_request_is_written_behind_what_is_already_in_the_buffer() {
    let mut out = b"before".to_vec();
    let mut head = Head::new();
    head.line(Name::CSeq, "1 NOTIFY");
    write_request(
        &mut out,
        &Method::Notify,
        "sip:a@h;ob",
        "SIP/2.0/UDP s;branch=z9hG4bKx",
        70,
        &[&head.finish()],
        b"<x/>",
    );
    assert_eq!(
        text(&out),
        "beforeNOTIFY sip:a@h;ob SIP/2.0\r\nVia: SIP/2.0/UDP s;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n\
         CSeq: 1 NOTIFY\r\nContent-Length: 4\r\n\r\n<x/>"
    );
}

#[test]
fn a_response_copies_what_leads_it_back() {
    assert_eq!(
        response(REQUEST, Some("t9"), None, true),
        "SIP/2.0 200 OK\r\n\
         Via: SIP/2.0/UDP Alice.Example:5062 ;branch = z9hG4bKa;rport;received=1.1.1.1;x=\"a;b\", SIP/2.0/TCP b;branch=z9hG4bKb\r\n\
         Via: SIP/2.0/UDP c ;branch=z9hG4bKc\r\n\
         Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n\
         From: \"A\" <sip:alice@example.com>;tag=1\r\n\
         To: sip:bob@example.com;tag=t9\r\n\
         Call-ID: c1\r\n\
         CSeq: 7 SUBSCRIBE\r\n\
         Content-Length: 0\r\n\r\n"
    );
}

#[test]
fn the_top_via_alone_gets_received_and_rport() {
    let patch = ViaPatch {
        received: "192.0.2.7".parse().expect("an address"),
        rport: Some(40000),
    };
    let answer = response(REQUEST, None, Some(patch), false);
    let vias: Vec<&str> = answer
        .lines()
        .filter(|line| line.starts_with("Via"))
        .collect();
    assert_eq!(
        vias,
        [
            "Via: SIP/2.0/UDP Alice.Example:5062;branch=z9hG4bKa;rport=40000;x=\"a;b\";received=192.0.2.7, SIP/2.0/TCP b;branch=z9hG4bKb",
            "Via: SIP/2.0/UDP c ;branch=z9hG4bKc"
        ]
    );
}

#[test]
fn rport_is_filled_in_only_where_it_was_asked_for() {
    let raw = REQUEST.replace(";rport", "");
    let patch = ViaPatch {
        received: "::ffff:192.0.2.7".parse().expect("an address"),
        rport: Some(40000),
    };
    let answer = response(&raw, None, Some(patch), false);
    assert!(!answer.contains("rport"));
    assert!(
        answer.contains(";received=192.0.2.7,"),
        "a mapped address is the IPv4 one"
    );
    let patch = ViaPatch {
        received: "2001:db8::1".parse().expect("an address"),
        rport: None,
    };
    let answer = response(REQUEST, None, Some(patch), false);
    assert!(answer.contains(";rport;") && answer.contains(";received=2001:db8::1,"));
}

#[test]
fn a_tag_of_the_request_stays_the_only_one() {
    let raw = REQUEST.replace(
        "To: sip:bob@example.com",
        "To: <sip:bob@example.com>;tag=theirs",
    );
    let answer = response(&raw, Some("ours"), None, false);
    assert!(answer.contains("\r\nTo: <sip:bob@example.com>;tag=theirs\r\n"));
    assert!(response(REQUEST, None, None, false).contains("\r\nTo: sip:bob@example.com\r\n"));
}

#[test]
fn what_the_request_lacks_its_answer_lacks_too() {
    let raw = "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKa\r\n\r\n";
    assert_eq!(
        response(raw, Some("t"), None, true),
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKa\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn a_response_has_its_own_phrase_head_and_body() {
    let mut out = Vec::new();
    let mut head = Head::new();
    head.line(Name::ContentType, "text/plain");
    let status = StatusCode::BAD_REQUEST;
    write_response(
        &mut out,
        &request(REQUEST),
        status,
        Some("No Such Thing"),
        None,
        None,
        false,
        &[head.as_bytes()],
        b"why",
    );
    assert!(text(&out).starts_with("SIP/2.0 400 No Such Thing\r\n"));
    assert!(text(&out).ends_with("\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nwhy"));
}

#[test]
fn an_answer_is_read_as_what_was_written() {
    let patch = ViaPatch {
        received: "::1".parse().expect("an address"),
        rport: Some(9),
    };
    let answer = request(&response(REQUEST, Some("t9"), Some(patch), true));
    let asked = request(REQUEST);
    assert_eq!(answer.status(), Some(StatusCode::OK));
    assert_eq!(answer.call_id(), asked.call_id());
    assert_eq!(answer.cseq(), asked.cseq());
    assert_eq!(answer.from(), asked.from());
    assert_eq!(answer.to_tag().as_deref(), Some("t9"));
    assert_eq!(
        answer.routes(Name::RecordRoute),
        asked.routes(Name::RecordRoute)
    );
    let vias = answer.vias().expect("Vias");
    assert_eq!(
        (vias.len(), vias[0].rport(), vias[0].received()),
        (3, Some(9), "::1".parse().ok())
    );
    assert_eq!(vias[1..], asked.vias().expect("Vias")[1..]);
}
