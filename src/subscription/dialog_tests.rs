use bytes::Bytes;

use super::*;
use crate::exchange::{ConnectionId, TransactionId, Transport};
use crate::subscription::State;

fn incoming(text: &str) -> Incoming {
    Incoming {
        transaction: TransactionId {
            shard: 0,
            number: 1,
        },
        flow: Flow {
            shard: 0,
            transport: Transport::Udp,
            local: "[::1]:5060".parse().expect("an address"),
            remote: "[::1]:5070".parse().expect("an address"),
            connection: ConnectionId(0),
        },
        identity: Default::default(),
        source: Default::default(),
        message: Message::parse(text.to_owned().into()).expect("a request"),
    }
}

fn subscribe(from: &str, call_id: &str) -> Incoming {
    incoming(&format!(
        "SUBSCRIBE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP [::1]:5070;branch=z9hG4bK1\r\n\
         From: {from}\r\nTo: \"Bob\" <sip:bob@example.com>\r\nCall-ID: {call_id}\r\nCSeq: 8 SUBSCRIBE\r\n\
         Contact: <sip:alice@[::1]:5070;ob>\r\nEvent: presence\r\nContent-Length: 0\r\n\r\n"
    ))
}

const TAG: LocalTag = LocalTag {
    shard: 0xab,
    dialog: 0x12,
};

fn open(from: &str, call_id: &str) -> Dialog {
    Dialog::open(
        &subscribe(from, call_id),
        "sip:bob@example.com",
        None,
        TAG,
        1,
    )
    .expect("a dialog")
}

fn send(dialog: &mut Dialog, epoch: u64) -> Outgoing {
    let notify = Notify {
        presentity: "sip:bob@example.com",
        package: "presence",
        event_id: Some("x7"),
        state: State::Active(Timestamp::from_millis(60_000)),
        content_type: "application/pidf+xml",
        body: &Bytes::from_static(b"<presence/>"),
    };
    dialog.notify(Timestamp::from_millis(500), epoch, 9, &notify)
}

fn text(notify: &Outgoing) -> &str {
    std::str::from_utf8(&notify.head).expect("text")
}

#[test]
fn a_local_tag_is_read_back_and_nothing_else_is_one() {
    assert_eq!(TAG.to_string(), "ab0000000000000012");
    assert_eq!(LocalTag::parse("ab0000000000000012"), Some(TAG));
    let others = [
        "",
        "ab",
        "AB0000000000000012",
        "ab000000000000001",
        "+b0000000000000012",
        "äb000000000000012",
    ];
    for other in others {
        assert_eq!(LocalTag::parse(other), None, "{other}");
    }
}

#[test]
fn a_notify_has_every_header_of_the_dialog() {
    let mut dialog = open("<sip:alice@example.com>;tag=77", "c@x");
    let notify = send(&mut dialog, 1);
    assert_eq!(
        text(&notify),
        "From: \"Bob\" <sip:bob@example.com>;tag=ab0000000000000012\r\n\
         To: <sip:alice@example.com>;tag=77\r\n\
         Call-ID: c@x\r\n\
         Contact: <sip:[::1]:5060;transport=udp>\r\n\
         CSeq: 1 NOTIFY\r\n\
         Event: presence;id=x7\r\n\
         Subscription-State: active;expires=60\r\n\
         Content-Type: application/pidf+xml\r\n"
    );
    assert_eq!(notify.uri, "sip:alice@[::1]:5070;ob");
    assert_eq!(notify.body, "<presence/>");
}

#[test]
fn it_is_found_by_call_id_and_the_peers_tag_also_when_the_tag_stands_elsewhere_too() {
    for (from, call_id) in [
        ("<sip:alice@example.com>;tag=77", "c1"),
        ("<sip:alice77@example.com>;tag=77", "77"),
        ("<sip:alice@example.com>;tag=Tag;x=y", "Tag"),
        ("sip:alice@example.com", "c1"),
    ] {
        let dialog = open(from, call_id);
        assert!(
            dialog.matches(&subscribe(from, call_id).message),
            "{from} {call_id}"
        );
        let other = subscribe("<sip:alice@example.com>;tag=78", call_id);
        assert!(!dialog.matches(&other.message), "{from} {call_id}");
        assert!(
            !dialog.matches(&subscribe(from, "c2").message),
            "{from} {call_id}"
        );
        assert_eq!(dialog.call_id(), call_id);
    }
}

#[test]
fn an_empty_tag_in_to_gives_way_to_ours() {
    let request = "SUBSCRIBE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP [::1]:5070;branch=z9hG4bK1\r\n\
         From: <sip:alice@example.com>;tag=7\r\nTo: <sip:bob@example.com>;tag=\r\nCall-ID: c\r\n\
         CSeq: 8 SUBSCRIBE\r\nContact: <sip:a@h>\r\nContent-Length: 0\r\n\r\n";
    let dialog = Dialog::open(&incoming(request), "sip:bob@example.com", None, TAG, 1);
    let notify = send(&mut dialog.expect("a dialog"), 1);
    let from = "From: <sip:bob@example.com>;tag=ab0000000000000012\r\nTo: ";
    assert!(text(&notify).starts_with(from), "{}", text(&notify));
}

#[test]
fn it_is_the_same_after_the_store() {
    let mut dialog = open("<sip:alice@example.com>;tag=77", "c1");
    let record = dialog.record(
        "sip:bob@example.com".into(),
        "presence".into(),
        None,
        Timestamp::default(),
        None,
    );
    let mut again = Dialog::of(&record).expect("a dialog");
    assert_eq!(send(&mut again, 1), send(&mut dialog, 1));
}

#[test]
fn cseq_grows_over_restarts_and_stays_below_two_to_the_31() {
    let mut dialog = open("<sip:alice@example.com>;tag=77", "c1");
    dialog.sent = (1 << 20) - 4;
    assert!(!dialog.is_exhausted(1));
    send(&mut dialog, 1);
    send(&mut dialog, 1);
    assert!(dialog.is_exhausted(1));
    let last = send(&mut dialog, 2047);
    assert!(text(&last).contains("\r\nCSeq: 2146435071 NOTIFY\r\n"));
    let record = dialog.record("a".into(), "p".into(), None, Timestamp::default(), None);
    assert!(!Dialog::of(&record).expect("a dialog").is_exhausted(2047));
    assert!(dialog.is_exhausted(2048));
}
