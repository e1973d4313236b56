//! What watchers see of several publishers (RFC 3903, 6; RFC 4479), and of extensions that nobody here knows.

use bytes::Bytes;
use rollcall::core::pidf::{Basic, Document, Limits, write_moment};
use rollcall::core::presence::Summary;
use rollcall::core::sip::{Message, Name};
use rollcall::core::time::Timestamp;

use super::kit::{BOB, Dialog, Peer, Server, body, pidf, published, text};

/// Long after all that these tests say.
const NOW: Timestamp = Timestamp::from_millis(1_900_000_000_000);

fn document(notify: &Message) -> Document {
    assert_eq!(text(notify, Name::ContentType), "application/pidf+xml");
    let document = Document::parse(&notify.body(), &Limits::default());
    document.unwrap_or_else(|error| panic!("{error} in {}", body(notify)))
}

fn summary(notify: &Message) -> Summary {
    Summary::of(&document(notify), NOW)
}

fn watch(server: &Server) -> Peer {
    let mut phone = server.by_udp();
    Dialog::open(&mut phone, BOB, 600, "");
    phone.notify();
    phone
}

#[test]
fn two_publishers_are_shown_together_and_apart_again() {
    let server = Server::start();
    let mut phone = watch(&server);
    let (mut desk, mut mobile) = (server.by_udp(), server.by_tcp());
    let at_desk = published(&mut desk, BOB, "", &pidf(BOB, "desk", "closed", ""));
    assert_eq!(summary(&phone.notify()).basic, Some(Basic::Closed));
    let note = "<note>on the road</note>";
    let on_road = published(&mut mobile, BOB, "", &pidf(BOB, "mobile", "open", note));
    let both = phone.notify();
    assert_eq!(document(&both).tuples().count(), 2);
    assert_eq!(document(&both).entity(), BOB);
    // Closed only when all are.
    assert_eq!(summary(&both).basic, Some(Basic::Open));
    assert!(body(&both).contains("on the road"));
    published(
        &mut mobile,
        BOB,
        &format!("SIP-If-Match: {on_road}\nExpires: 0\n"),
        "",
    );
    let one = phone.notify();
    assert_eq!(
        (document(&one).tuples().count(), summary(&one).basic),
        (1, Some(Basic::Closed))
    );
    published(
        &mut desk,
        BOB,
        &format!("SIP-If-Match: {at_desk}\nExpires: 0\n"),
        "",
    );
    assert_eq!(body(&phone.notify()), "");
}

#[test]
fn tuples_that_two_devices_name_alike_stay_two() {
    let server = Server::start();
    let mut phone = watch(&server);
    let (mut desk, mut mobile) = (server.by_udp(), server.by_udp());
    let contact = |host: &str| format!("<contact>sip:bob@{host}</contact>");
    published(
        &mut desk,
        BOB,
        "",
        &pidf(BOB, "t1", "open", &contact("desk.example.com")),
    );
    phone.notify();
    published(
        &mut mobile,
        BOB,
        "",
        &pidf(BOB, "t1", "open", &contact("mobile.example.com")),
    );
    let both = phone.notify();
    let document = document(&both);
    let mut ids: Vec<_> = document
        .tuples()
        .map(|tuple| format!("{:?}", tuple.id))
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 2, "{}", body(&both));
    assert!(body(&both).contains("sip:bob@desk.example.com"));
    assert!(body(&both).contains("sip:bob@mobile.example.com"));
}

#[test]
fn activities_and_notes_of_a_person_arrive_with_the_usual_prefixes() {
    let server = Server::start();
    let mut phone = watch(&server);
    let (mut desk, mut mobile) = (server.by_udp(), server.by_udp());
    let rich = format!(
        "<?xml version=\"1.0\"?><p:presence xmlns:p=\"urn:ietf:params:xml:ns:pidf\" xmlns:d=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"{BOB}\"><p:tuple id=\"a\"><p:status><p:basic>open</p:basic></p:status>\
         </p:tuple><d:person id=\"b\"><r:activities><r:meeting/></r:activities><d:note>until noon</d:note></d:person></p:presence>"
    );
    published(&mut desk, BOB, "", &rich);
    phone.notify();
    published(&mut mobile, BOB, "", &pidf(BOB, "c", "open", ""));
    let both = phone.notify();
    let summary = summary(&both);
    assert!(
        format!("{:?}", summary.activities)
            .to_lowercase()
            .contains("meeting")
    );
    assert!(format!("{:?}", summary.notes).contains("until noon"));
}

#[test]
fn extensions_that_nobody_knows_survive_alone_and_in_company() {
    let server = Server::start();
    let mut phone = watch(&server);
    let (mut desk, mut mobile) = (server.by_udp(), server.by_udp());
    let strange = "<x:badge xmlns:x=\"urn:example:hr\" x:grade=\"7&amp;up\"><x:door open=\"no\">3<!-- c --></x:door></x:badge>";
    published(&mut desk, BOB, "", &pidf(BOB, "desk", "open", strange));
    let alone = body(&phone.notify());
    assert!(
        alone.contains("urn:example:hr") && alone.contains("7&amp;up"),
        "{alone}"
    );
    published(&mut mobile, BOB, "", &pidf(BOB, "mobile", "open", ""));
    let together = phone.notify();
    document(&together);
    let together = body(&together);
    for part in ["urn:example:hr", "badge", "7&amp;up", "door", "open=\"no\""] {
        assert!(together.contains(part), "{part} is not in {together}");
    }
}

#[test]
fn what_is_published_for_one_is_shown_of_nobody_else() {
    let server = Server::start();
    let mut phone = watch(&server);
    let mut desk = server.by_udp();
    let carol = "sip:carol@example.com";
    published(
        &mut desk,
        carol,
        "",
        &pidf(carol, "t", "open", "<note>carol's</note>"),
    );
    published(
        &mut desk,
        BOB,
        "",
        &pidf(BOB, "t", "open", "<note>bob's</note>"),
    );
    let notify = phone.notify();
    assert!(body(&notify).contains("bob's") && !body(&notify).contains("carol"));
    // Under bob's address somebody speaks of carol: it is never shown as carol's.
    let mut carols = server.by_udp();
    Dialog::open(&mut carols, carol, 600, "");
    assert!(body(&carols.notify()).contains("carol's"));
    super::kit::publish(&mut desk, BOB, "", &pidf(carol, "t9", "closed", ""));
    carols.fence();
    assert_eq!(carols.rest(), [""; 0]);
}

#[test]
fn escapes_and_case_of_a_presentity_are_compared_as_uris_are() {
    let server = Server::start();
    let mut phone = watch(&server);
    let mut desk = server.by_udp();
    for (number, uri) in [
        "sip:bob@EXAMPLE.com",
        "sip:%62ob@example.com",
        "sip:bob@example.com;transport=tcp",
        "sips:bob@example.com",
        "pres:bob@example.com",
    ]
    .into_iter()
    .enumerate()
    {
        let note = format!("<note>word {number}</note>");
        published(
            &mut desk,
            uri,
            "",
            &pidf(BOB, &format!("t{number}"), "open", &note),
        );
        assert!(
            body(&phone.notify()).contains(&format!("word {number}")),
            "{uri}"
        );
    }
    let read = Document::parse(&Bytes::from(pidf(BOB, "t", "open", "")), &Limits::default());
    assert_eq!(read.expect("a document").entity(), BOB);
}

/// ```text
///   desk                          server                    phone
///     | -- PUBLISH, meeting from a -> | -- NOTIFY, working --> |
///     |    second on, for another     | -- NOTIFY, meeting --> |   a second later, by itself
///     |                               | -- NOTIFY, working --> |   and another one
/// ```
#[test]
fn a_meeting_begins_and_ends_by_itself_while_a_watcher_looks_on() {
    let server = Server::start();
    let mut phone = watch(&server);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now =
        u64::try_from(now.expect("after 1970").as_millis()).expect("before the year 584542046");
    let moment = |seconds: u64| write_moment(Timestamp::from_millis(now + seconds * 1000));
    let person = format!(
        "<dm:person xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" id=\"p\">\
         <rpid:activities><rpid:working/></rpid:activities>\
         <rpid:activities from=\"{}\" until=\"{}\"><rpid:meeting/></rpid:activities></dm:person></presence>",
        moment(1),
        moment(2)
    );
    let whole = pidf(BOB, "desk", "open", "").replace("</presence>", &person);
    published(&mut server.by_udp(), BOB, "", &whole);
    let told = [phone.notify(), phone.notify(), phone.notify()].map(|notify| {
        let text = body(&notify);
        (
            text.contains("<rpid:working/>"),
            text.contains("<rpid:meeting/>"),
        )
    });
    assert_eq!(told, [(true, false), (false, true), (true, false)]);
}
