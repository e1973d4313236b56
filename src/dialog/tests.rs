use super::*;

fn message(lines: &[&str]) -> Message {
    let text = lines.join("\r\n") + "\r\nContent-Length: 0\r\n\r\n";
    Message::parse(text.into()).expect("a message")
}

fn subscribe(further: &[&str]) -> Message {
    let head = [
        "SUBSCRIBE sip:bob@example.com SIP/2.0",
        "Via: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK1",
        "From: \"Alice\" <sip:alice@example.com>;tag=a1",
        "To: <sip:bob@example.com>",
        "Call-ID: c1@127.0.0.1",
        "CSeq: 7 SUBSCRIBE",
    ];
    message(&[&head, further].concat())
}

fn ok(further: &[&str]) -> Message {
    let head = [
        "SIP/2.0 200 OK",
        "Via: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK1",
        "From: \"Alice\" <sip:alice@example.com>;tag=a1",
        "To: <sip:bob@example.com>;tag=b1",
        "Call-ID: c1@127.0.0.1",
        "CSeq: 7 SUBSCRIBE",
    ];
    message(&[&head, further].concat())
}

/// A request of the other end, inside the dialog that [`subscribe`] started with our tag b1.
fn refresh(cseq: u32, further: &[&str]) -> Message {
    let cseq = format!("CSeq: {cseq} SUBSCRIBE");
    let head = [
        "SUBSCRIBE sip:127.0.0.1:5060 SIP/2.0",
        "Via: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bK2",
        "From: \"Alice\" <sip:alice@example.com>;tag=a1",
        "To: <sip:bob@example.com>;tag=b1",
        "Call-ID: c1@127.0.0.1",
        &cseq,
    ];
    message(&[&head, further].concat())
}

const CONTACT: &str = "Contact: <sip:alice@127.0.0.1:5062;transport=udp>;expires=60";

fn written(dialog: &mut Dialog) -> (Target, String) {
    let mut head = Head::new();
    let target = dialog.request(&Method::Notify, &mut head);
    (
        target,
        String::from_utf8(head.finish().to_vec()).expect("text"),
    )
}

#[test]
fn the_end_that_answers_sends_to_the_contact_with_from_and_to_exchanged() {
    let mut dialog = Dialog::uas(&subscribe(&[CONTACT]), "b1", 0).expect("a dialog");
    let (target, head) = written(&mut dialog);
    assert_eq!(target.uri, "sip:alice@127.0.0.1:5062;transport=udp");
    assert_eq!(target.first_route, None);
    assert_eq!(
        head,
        "From: <sip:bob@example.com>;tag=b1\r\n\
         To: \"Alice\" <sip:alice@example.com>;tag=a1\r\n\
         Call-ID: c1@127.0.0.1\r\n\
         CSeq: 1 NOTIFY\r\n"
    );
}

#[test]
fn cseq_goes_up_by_one_with_each_request() {
    let mut dialog = Dialog::uas(&subscribe(&[CONTACT]), "b1", 3 << 20).expect("a dialog");
    written(&mut dialog);
    written(&mut dialog);
    assert_eq!(dialog.local_cseq(), (3 << 20) + 2);
}

#[test]
fn the_route_set_of_the_end_that_answers_is_record_route_in_its_order() {
    let via_proxies = subscribe(&[
        CONTACT,
        "Record-Route: <sip:p2.example.com;lr>, <sip:p1.example.com;lr>",
    ]);
    let (target, head) = written(&mut Dialog::uas(&via_proxies, "b1", 0).expect("a dialog"));
    assert_eq!(target.uri, "sip:alice@127.0.0.1:5062;transport=udp");
    assert_eq!(target.first_route.as_deref(), Some("sip:p2.example.com;lr"));
    assert!(
        head.starts_with(
            "Route: <sip:p2.example.com;lr>\r\nRoute: <sip:p1.example.com;lr>\r\nFrom: "
        ),
        "{head}"
    );
}

#[test]
fn the_route_set_of_the_end_that_asked_is_record_route_in_reverse() {
    let via_proxies = ok(&[
        "Contact: <sip:127.0.0.1:5060>",
        "Record-Route: <sip:p2.example.com;lr>",
        "Record-Route: <sip:p1.example.com;lr>",
    ]);
    let mut dialog = Dialog::uac(&via_proxies).expect("a dialog");
    assert_eq!((dialog.local_tag(), dialog.remote_tag()), ("a1", "b1"));
    let (target, head) = written(&mut dialog);
    assert_eq!(target.uri, "sip:127.0.0.1:5060");
    assert_eq!(target.first_route.as_deref(), Some("sip:p1.example.com;lr"));
    assert_eq!(
        head,
        "Route: <sip:p1.example.com;lr>\r\n\
         Route: <sip:p2.example.com;lr>\r\n\
         From: \"Alice\" <sip:alice@example.com>;tag=a1\r\n\
         To: <sip:bob@example.com>;tag=b1\r\n\
         Call-ID: c1@127.0.0.1\r\n\
         CSeq: 8 NOTIFY\r\n"
    );
}

#[test]
fn a_strict_router_gets_itself_as_request_uri_and_the_target_as_last_route() {
    let strict = subscribe(&[
        CONTACT,
        "Record-Route: <sip:p2.example.com;method=NOTIFY?Subject=x>, <sip:p1.example.com;lr>",
    ]);
    let (target, head) = written(&mut Dialog::uas(&strict, "b1", 0).expect("a dialog"));
    assert_eq!(
        target,
        Target {
            uri: "sip:p2.example.com".into(),
            first_route: None
        }
    );
    assert!(
        head.starts_with(
            "Route: <sip:p1.example.com;lr>\r\nRoute: <sip:alice@127.0.0.1:5062;transport=udp>\r\nFrom: "
        ),
        "{head}"
    );
}

#[test]
fn a_notify_before_the_2xx_starts_the_subscribers_dialog() {
    let notify = |from: &str| {
        message(&[
            "NOTIFY sip:alice@127.0.0.1:5062 SIP/2.0",
            "Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK9",
            from,
            "To: <sip:alice@example.com>;tag=a1",
            "Call-ID: c1@127.0.0.1",
            "CSeq: 41 NOTIFY",
            "Contact: <sip:127.0.0.1:5060>",
            "Record-Route: <sip:p1.example.com;lr>, <sip:p2.example.com;lr>",
        ])
    };
    let tagged = notify("From: <sip:bob@example.com>;tag=b1");
    let mut dialog = Dialog::from_notify(&tagged, 7).expect("a dialog");
    assert!(dialog.matches(&tagged));
    assert_eq!(dialog.remote_cseq(), Some(41));
    let (target, head) = written(&mut dialog);
    assert_eq!(target.first_route.as_deref(), Some("sip:p1.example.com;lr"));
    assert!(head.ends_with("CSeq: 8 NOTIFY\r\n"), "{head}");
    let untagged = Dialog::from_notify(&notify("From: <sip:bob@example.com>"), 7);
    assert_eq!(untagged, Err(DialogError::Tag(Name::From)));
}

#[test]
fn a_lower_cseq_is_refused_with_500_and_changes_nothing() {
    let mut dialog = Dialog::uas(&subscribe(&[CONTACT]), "b1", 0).expect("a dialog");
    assert_eq!(dialog.receive(&refresh(9, &[])), Ok(Sequence::Next));
    let before = dialog.clone();
    let late = dialog.receive(&refresh(8, &["Contact: <sip:mallory@127.0.0.1:6666>"]));
    assert_eq!(
        late,
        Err(DialogError::OutOfOrder {
            received: 8,
            seen: 9
        })
    );
    assert_eq!(
        late.map_err(|error| error.status()),
        Err(StatusCode::SERVER_INTERNAL_ERROR)
    );
    assert_eq!(dialog, before);
    assert_eq!(dialog.receive(&refresh(9, &[])), Ok(Sequence::Repeated));
    assert_eq!(dialog.receive(&refresh(11, &[])), Ok(Sequence::Next));
}

#[test]
fn a_contact_in_a_later_request_replaces_the_remote_target() {
    let mut dialog = Dialog::uas(&subscribe(&[CONTACT]), "b1", 0).expect("a dialog");
    dialog
        .receive(&refresh(8, &["Contact: <sip:alice@127.0.0.1:5099>"]))
        .expect("in order");
    assert_eq!(dialog.target(), "sip:alice@127.0.0.1:5099");
    dialog.receive(&refresh(9, &[])).expect("in order");
    assert_eq!(
        dialog.target(),
        "sip:alice@127.0.0.1:5099",
        "no Contact, no change"
    );
    dialog
        .refresh(&ok(&["Contact: <sip:alice@127.0.0.1:5100>"]))
        .expect("a contact");
    assert_eq!(dialog.target(), "sip:alice@127.0.0.1:5100");
}

#[test]
fn a_request_belongs_to_the_dialog_of_its_call_id_and_tags() {
    let dialog = Dialog::uas(&subscribe(&[CONTACT]), "b1", 0).expect("a dialog");
    assert!(dialog.matches(&refresh(8, &[])));
    assert!(!dialog.matches(&subscribe(&[CONTACT])), "no To tag");
    let other = Dialog::uas(&subscribe(&[CONTACT]), "b2", 0).expect("a dialog");
    assert!(!other.matches(&refresh(8, &[])));
}

#[test]
fn a_dialog_needs_exactly_one_contact() {
    for contacts in [
        &[][..],
        &["Contact: <sip:a@127.0.0.1>, <sip:b@127.0.0.1>"],
        &["Contact: *"],
    ] {
        let error = Dialog::uas(&subscribe(contacts), "b1", 0).expect_err("no dialog");
        assert_eq!(
            (error.clone(), error.status()),
            (DialogError::Contact, StatusCode::BAD_REQUEST)
        );
    }
}

#[test]
fn a_subscriber_without_tag_is_taken_as_it_is() {
    let old = message(&[
        "SUBSCRIBE sip:bob@example.com SIP/2.0",
        "Via: SIP/2.0/UDP 127.0.0.1:5062",
        "From: <sip:alice@example.com>",
        "To: <sip:bob@example.com>",
        "Call-ID: c1@127.0.0.1",
        "CSeq: 7 SUBSCRIBE",
        CONTACT,
    ]);
    let (_, head) = written(&mut Dialog::uas(&old, "b1", 0).expect("a dialog"));
    assert!(head.contains("To: <sip:alice@example.com>\r\n"), "{head}");
}
