//! Partial publication (RFC 5264): a publisher that sends what has changed, and what watchers see of it.

use rollcall::core::sip::Name;

use super::kit::{Dialog, Server, body, code, pidf, published, text};

const BOB: &str = "sip:bob@example.com";

/// A change of Bob's document.
fn change(operations: &str) -> String {
    format!(
        "<p:pidf-diff xmlns:p=\"urn:ietf:params:xml:ns:pidf-diff\" xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         entity=\"{BOB}\">{operations}</p:pidf-diff>"
    )
}

#[test]
fn watchers_see_a_change_in_the_whole_state_and_nothing_of_one_that_fails() {
    let server = Server::start();
    let (mut desk, mut phone) = (server.by_udp(), server.by_udp());
    let about = desk.ask("OPTIONS", "sip:example.com", "", "");
    assert_eq!(
        text(&about, Name::Accept),
        "application/pidf+xml, application/pidf-diff+xml"
    );
    Dialog::open(&mut phone, BOB, 600, "");
    assert_eq!(body(&phone.notify()), "");

    // Without a state that it is for.
    let partial = "Event: presence\nContent-Type: application/pidf-diff+xml\n";
    let close = "<p:replace sel=\"presence/tuple[@id='t']/status/basic/text()\">closed</p:replace>";
    let refused = desk.ask("PUBLISH", BOB, partial, &change(close));
    assert_eq!(code(&refused), 400, "{refused:?}");

    let etag = published(
        &mut desk,
        BOB,
        "",
        &pidf(BOB, "t", "open", "<note>in</note>"),
    );
    assert!(body(&phone.notify()).contains("<note>in</note>"));
    let modify = format!("{partial}SIP-If-Match: {etag}\n");
    let failing = format!("{close}<p:remove sel=\"presence/tuple[@id='u']\"/>");
    let refused = desk.ask("PUBLISH", BOB, &modify, &change(&failing));
    let line = String::from_utf8_lossy(&refused.raw()).into_owned();
    assert!(
        line.starts_with(
            "SIP/2.0 400 operation 2 of the change: unlocated-node: presence/tuple[@id='u'] names 0 nodes\r\n"
        ),
        "{line}"
    );

    let taken = desk.ask("PUBLISH", BOB, &modify, &change(close));
    assert_eq!(code(&taken), 200, "{taken:?}");
    let told = phone.notify();
    assert_eq!(
        told.cseq().expect("a CSeq").number,
        3,
        "the failed one was told"
    );
    assert_eq!(text(&told, Name::ContentType), "application/pidf+xml");
    let document = body(&told);
    assert!(document.contains("<basic>closed</basic>"), "{document}");
    assert!(document.contains("<note>in</note>"), "{document}");
    // The tag of before names nothing any more.
    let late = desk.ask("PUBLISH", BOB, &modify, &change(close));
    assert_eq!(code(&late), 412, "{late:?}");
    server.assert_well();
}
