//! SUBSCRIBE (RFC 6665, 4.2.1; RFC 3856) over real sockets.

use rollcall::core::sip::Name;

use super::kit::{BOB, Dialog, Server, body, branch, code, contact, pidf, published, shown, text};

#[test]
fn a_subscription_is_refreshed_and_ended_and_told_at_once_each_time() {
    let server = Server::start();
    for mut phone in [server.by_udp(), server.by_tcp()] {
        let dialog = Dialog::open(&mut phone, BOB, 600, "");
        assert_eq!(text(&dialog.ok, Name::Expires), "600");
        assert!(dialog.ok.to_tag().is_some());
        assert_eq!(
            shown(&phone.notify()),
            ("active;expires=600".to_owned(), 1, String::new())
        );
        let ok = dialog.ask(&mut phone, 2, 300, "presence");
        assert_eq!(
            (code(&ok), text(&ok, Name::Expires)),
            (200, "300".to_owned())
        );
        assert_eq!(
            shown(&phone.notify()),
            ("active;expires=300".to_owned(), 2, String::new())
        );
        let ok = dialog.ask(&mut phone, 3, 0, "presence");
        assert_eq!((code(&ok), text(&ok, Name::Expires)), (200, "0".to_owned()));
        assert_eq!(
            shown(&phone.notify()),
            ("terminated;reason=timeout".to_owned(), 3, String::new())
        );
        // The dialog went with it.
        assert_eq!(code(&dialog.ask(&mut phone, 4, 300, "presence")), 481);
        phone.fence();
        assert_eq!(phone.rest(), [""; 0]);
    }
}

#[test]
fn notify_says_which_dialog_it_belongs_to() {
    let server = Server::start();
    let mut phone = server.by_udp();
    let dialog = Dialog::open(&mut phone, BOB, 600, "");
    let notify = phone.notify();
    assert_eq!(notify.uri_text(), contact(&phone).trim_matches(['<', '>']));
    assert_eq!(notify.to_tag(), dialog.ok.from_tag());
    assert_eq!(notify.from_tag(), dialog.ok.to_tag());
    assert_eq!(text(&notify, Name::CallId), text(&dialog.ok, Name::CallId));
    assert_eq!(text(&notify, Name::Event), "presence");
    assert!(notify.has(Name::Contact) && notify.has(Name::MaxForwards));
    assert!(branch(&notify).starts_with("z9hG4bK"));
    assert!(!notify.has(Name::ContentType), "there is no body yet");
}

#[test]
fn a_fetch_gets_the_state_once_and_leaves_nothing() {
    let server = Server::start();
    let (mut desk, mut phone) = (server.by_udp(), server.by_udp());
    let open = pidf(BOB, "t", "open", "");
    let etag = published(&mut desk, BOB, "", &open);
    let dialog = Dialog::open(&mut phone, BOB, 0, "");
    assert_eq!(text(&dialog.ok, Name::Expires), "0");
    let notify = phone.notify();
    assert_eq!(text(&notify, Name::ContentType), "application/pidf+xml");
    assert_eq!(
        shown(&notify),
        ("terminated;reason=timeout".to_owned(), 1, open)
    );
    published(
        &mut desk,
        BOB,
        &format!("SIP-If-Match: {etag}\nExpires: 0\n"),
        "",
    );
    assert_eq!(code(&dialog.ask(&mut phone, 2, 600, "presence")), 481);
    phone.fence();
    assert_eq!(phone.rest(), [""; 0]);
}

#[test]
fn the_id_of_the_event_comes_back_in_each_notify_and_tells_subscriptions_apart() {
    let server = Server::start();
    let mut phone = server.by_udp();
    let dialog = Dialog::open(&mut phone, BOB, 600, "Event: presence;id=7\n");
    assert_eq!(text(&phone.notify(), Name::Event), "presence;id=7");
    // One more in the same dialog.
    let ok = dialog.ask(&mut phone, 2, 300, "presence;id=8");
    assert_eq!(code(&ok), 200);
    let other = phone.notify();
    assert_eq!(text(&other, Name::Event), "presence;id=8");
    assert_eq!(
        shown(&other),
        ("active;expires=300".to_owned(), 2, String::new())
    );
    // Ending one leaves the other.
    dialog.ask(&mut phone, 3, 0, "presence;id=7");
    let last = phone.notify();
    assert_eq!(text(&last, Name::Event), "presence;id=7");
    assert_eq!(shown(&last).0, "terminated;reason=timeout");
    assert_eq!(code(&dialog.ask(&mut phone, 4, 60, "presence;id=8")), 200);
    assert_eq!(text(&phone.notify(), Name::Event), "presence;id=8");
    assert_eq!(code(&dialog.ask(&mut phone, 5, 0, "presence;id=9")), 481);
}

#[test]
fn the_life_granted_follows_the_bounds_that_are_configured() {
    let sections = "[subscribe]\nmin = \"10s\"\ndefault = \"1m\"\nmax = \"2m\"\n";
    let server = Server::with(1, sections);
    let mut phone = server.by_udp();
    let contact = contact(&phone);
    for (asked, granted) in [
        ("", "60"),
        ("Expires: 10\n", "10"),
        ("Expires: 1000000\n", "120"),
    ] {
        let head = format!("Event: presence\nContact: {contact}\n{asked}");
        let ok = phone.ask("SUBSCRIBE", BOB, &head, "");
        assert_eq!(
            (code(&ok), text(&ok, Name::Expires)),
            (200, granted.to_owned())
        );
        assert_eq!(
            shown(&phone.notify()).0,
            format!("active;expires={granted}")
        );
    }
    let head = format!("Event: presence\nContact: {contact}\nExpires: 9\n");
    let brief = phone.ask("SUBSCRIBE", BOB, &head, "");
    assert_eq!(
        (code(&brief), text(&brief, Name::MinExpires)),
        (423, "10".to_owned())
    );
}

#[test]
fn what_cannot_be_watched_is_refused_by_the_status_that_says_why() {
    let server = Server::start();
    let mut phone = server.by_udp();
    let contact = format!("Contact: {}\n", contact(&phone));
    let elsewhere = "sip:bob@elsewhere.example";
    for (what, uri, head, status) in [
        ("no Contact", BOB, "Event: presence\n".to_owned(), 400),
        (
            "two Contacts",
            BOB,
            format!("Event: presence\n{contact}{contact}"),
            400,
        ),
        (
            "other domain",
            elsewhere,
            format!("Event: presence\n{contact}"),
            404,
        ),
        (
            "other types",
            BOB,
            format!("Event: presence\nAccept: text/plain\n{contact}"),
            406,
        ),
        (
            "other package",
            BOB,
            format!("Event: dialog\n{contact}"),
            489,
        ),
        (
            "template",
            BOB,
            format!("Event: presence.winfo.winfo\n{contact}"),
            489,
        ),
        ("no package", BOB, contact.clone(), 489),
    ] {
        let answer = phone.ask("SUBSCRIBE", uri, &head, "");
        assert_eq!(code(&answer), status, "{what}");
        if status == 489 {
            assert_eq!(text(&answer, Name::AllowEvents), "presence, presence.winfo");
        }
    }
    phone.fence();
    assert_eq!(phone.rest(), [""; 0]);
}

#[test]
fn a_dialog_that_is_not_there_gets_481_also_when_only_a_part_of_it_is_wrong() {
    let server = Server::start();
    let mut phone = server.by_udp();
    let dialog = Dialog::open(&mut phone, BOB, 600, "");
    phone.notify();
    let tag = dialog.ok.to_tag().expect("a tag");
    let contact = contact(&phone);
    // The right tag, but Call-ID and From tag of another request.
    for tag in [&*tag, "nobodys", "00ffffffffffffffff", "ff0000000000000000"] {
        let mut request = phone.request(
            "SUBSCRIBE",
            BOB,
            &format!("Event: presence\nContact: {contact}\nExpires: 600\n"),
            "",
        );
        request = request.replace(&format!("To: <{BOB}>"), &format!("To: <{BOB}>;tag={tag}"));
        phone.send(request);
        let number = phone.count;
        let status = code(&phone.response(number, "SUBSCRIBE"));
        assert_eq!(status, 481, "{tag}");
    }
    // And the good one is as it was.
    assert_eq!(code(&dialog.ask(&mut phone, 20, 600, "presence")), 200);
    assert_eq!(shown(&phone.notify()).1, 2);
}

#[test]
fn a_request_that_is_older_than_the_last_one_of_its_dialog_gets_500() {
    let server = Server::start();
    let mut phone = server.by_udp();
    let dialog = Dialog::open(&mut phone, BOB, 600, "");
    phone.notify();
    assert_eq!(code(&dialog.ask(&mut phone, 9, 600, "presence")), 200);
    phone.notify();
    assert_eq!(code(&dialog.ask(&mut phone, 8, 0, "presence")), 500);
    // It did not end the subscription.
    let mut desk = server.by_udp();
    published(&mut desk, BOB, "", &pidf(BOB, "t", "open", ""));
    assert!(body(&phone.notify()).contains("open"));
}
