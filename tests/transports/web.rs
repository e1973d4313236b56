//! WebSocket, plain and secure: the sub-protocol, text and binary, `.invalid` Contacts, keep-alive.

use bytes::Bytes;
use rollcall::core::sip::Name;
use rollcall::transport::tls::Files;

use super::{Connection, authority, path, server};
use crate::support::sip::{body, code, pidf};

const BOB: &str = "sip:bob@example.com";
const SUBSCRIBE: &str =
    "Event: presence\nContact: <sip:w@df7jal23ls0d.invalid;transport=ws>\nExpires: 600\n";
const PUBLISH: &str = "Event: presence\nContent-Type: application/pidf+xml\n";

#[test]
fn a_browser_watches_and_publishes_over_its_own_connection() {
    let (folder, authority, ca) = authority();
    let certificate = folder.path().join("server.pem");
    authority.issue(&certificate, &["localhost"]);
    let lines = format!("[tls]\ncertificate = \"{}\"", path(&certificate));
    let server = server(folder.path(), &["ws", "wss"], &lines);
    let files = Files {
        authorities: Some(ca),
        ..Files::default()
    };
    for (kind, files) in [("ws", None), ("wss", Some(&files))] {
        let address = server.listening(kind);
        let mut watcher = Connection::web(address, files, Some("chat, SIP")).expect("a WebSocket");
        let ok = watcher.ask("SUBSCRIBE", BOB, SUBSCRIBE, "");
        assert_eq!(code(&ok), 200, "{kind}");
        let first = watcher.message();
        let via = first.texts(Name::Via).next().expect("a Via").to_string();
        assert!(
            via.starts_with(&format!("SIP/2.0/{} ", kind.to_uppercase())),
            "{via}"
        );
        assert_eq!(first.uri_text(), "sip:w@df7jal23ls0d.invalid;transport=ws");
        watcher.answer(&first);

        let mut publisher = Connection::web(address, files, Some("sip")).expect("a WebSocket");
        let document = pidf(BOB, "open", kind);
        let request = publisher.request("PUBLISH", BOB, PUBLISH, &document);
        // A WebSocket message ends by itself, so no length is needed; and binary is as good as text.
        let request = request.replace(&format!("Content-Length: {}\r\n", document.len()), "");
        publisher.send_binary(Bytes::from(request));
        let ok = publisher.message();
        assert_eq!(code(&ok), 200, "{kind}");
        let change = watcher.message();
        assert!(
            body(&change).contains(&format!("<note>{kind}</note>")),
            "{}",
            body(&change)
        );
        watcher.answer(&change);
        watcher.send("\r\n\r\n".to_owned());
        assert_eq!(&watcher.next()[..], b"\r\n", "{kind}: a keep-alive");
        let tag = ok
            .texts(Name::SipEtag)
            .next()
            .expect("an entity-tag")
            .to_string();
        let lines = format!("Event: presence\nExpires: 0\nSIP-If-Match: {tag}\n");
        assert_eq!(
            code(&publisher.ask("PUBLISH", BOB, &lines, "")),
            200,
            "{kind}"
        );
        assert!(
            body(&watcher.message()).contains("<basic>closed</basic>"),
            "{kind}"
        );
    }
}

#[test]
fn who_does_not_offer_sip_is_refused() {
    let (folder, ..) = authority();
    let server = server(folder.path(), &["ws"], "");
    let address = server.listening("ws");
    assert_eq!(Connection::web(address, None, None).err(), Some(400));
    assert_eq!(
        Connection::web(address, None, Some("chat")).err(),
        Some(400)
    );
    assert!(Connection::web(address, None, Some("sip")).is_ok());
}

#[test]
fn what_is_no_sip_costs_no_connection() {
    let (folder, ..) = authority();
    let server = server(folder.path(), &["ws"], "");
    let mut client =
        Connection::web(server.listening("ws"), None, Some("sip")).expect("a WebSocket");
    client.send("no SIP at all".to_owned());
    // Longer than it says, and shorter: each message ends by itself all the same.
    let options = client.request("OPTIONS", "sip:example.com", "", "");
    client.send(options.replace("Content-Length: 0", "Content-Length: 10"));
    assert_eq!(code(&client.message()), 400);
    let options = client.request("OPTIONS", "sip:example.com", "", "");
    client.send(options + "surplus");
    assert_eq!(code(&client.message()), 200);
}
