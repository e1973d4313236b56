//! PUBLISH (RFC 3903, 6) over real sockets.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rollcall::core::sip::{Message, Name};

use super::kit::{BOB, Dialog, Server, body, code, pidf, publish, published, shown, text};

fn bob(basic: &str) -> String {
    pidf(BOB, "t", basic, "")
}

fn status_and(answer: &Message, name: Name) -> (u16, Option<String>) {
    (
        code(answer),
        answer.text(name).map(|value| value.into_owned()),
    )
}

#[test]
fn a_publication_lives_by_its_entity_tag_which_is_new_at_every_step() {
    let server = Server::start();
    for mut desk in [server.by_udp(), server.by_tcp()] {
        let mut etags = BTreeSet::new();
        let mut etag = published(&mut desk, BOB, "Expires: 600\n", &bob("open"));
        etags.insert(etag.clone());
        for (expires, document) in [
            ("Expires: 600\n", String::new()),
            ("", bob("closed")),
            ("Expires: 0\n", String::new()),
        ] {
            let old = etag.clone();
            etag = published(
                &mut desk,
                BOB,
                &format!("SIP-If-Match: {old}\n{expires}"),
                &document,
            );
            assert!(etags.insert(etag.clone()), "{etag} twice");
            // The tag before names nothing any more.
            let stale = publish(&mut desk, BOB, &format!("SIP-If-Match: {old}\n"), "");
            assert_eq!(code(&stale), 412);
        }
        let gone = publish(&mut desk, BOB, &format!("SIP-If-Match: {etag}\n"), "");
        assert_eq!(code(&gone), 412, "what was removed has no tag");
    }
    server.assert_well();
}

#[test]
fn the_life_granted_follows_the_bounds_that_are_configured() {
    let sections = "[publish]\nmin = \"10s\"\ndefault = \"1m\"\nmax = \"2m\"\n";
    let server = Server::with(1, sections);
    let mut desk = server.by_udp();
    for (asked, granted) in [
        ("", "60"),
        ("Expires: 10\n", "10"),
        ("Expires: 90\n", "90"),
        ("Expires: 100000\n", "120"),
        ("Expires: 4294967296\n", "120"),
    ] {
        let answer = publish(&mut desk, BOB, asked, &bob("open"));
        assert_eq!(
            status_and(&answer, Name::Expires),
            (200, Some(granted.to_owned())),
            "{asked}"
        );
    }
    let brief = publish(&mut desk, BOB, "Expires: 9\n", &bob("open"));
    assert_eq!(
        status_and(&brief, Name::MinExpires),
        (423, Some("10".to_owned()))
    );
}

#[test]
fn what_cannot_be_published_is_refused_by_the_status_that_says_why() {
    let server = Server::start();
    let mut desk = server.by_udp();
    let etag = published(&mut desk, BOB, "", &bob("open"));
    let pidf_type = "Content-Type: application/pidf+xml\n";
    let presence = "Event: presence\n";
    let several = format!("{presence}SIP-If-Match: {etag}, other\n");
    let unknown = format!("{presence}SIP-If-Match: nobody-has-this\n");
    let zipped = format!("{presence}{pidf_type}Content-Encoding: gzip\n");
    let typed = format!("{presence}{pidf_type}");
    let open = bob("open");
    for (what, uri, head, document, status, header) in [
        ("no body", BOB, presence, "", 400, None),
        ("not XML", BOB, &typed, "open", 400, None),
        (
            "half a document",
            BOB,
            &typed,
            &open[..open.len() - 5],
            400,
            None,
        ),
        ("two tags", BOB, &several, "", 400, None),
        (
            "other domain",
            "sip:bob@elsewhere.example",
            &typed,
            &open,
            404,
            None,
        ),
        ("unknown tag", BOB, &unknown, "", 412, None),
        (
            "other type",
            BOB,
            "Event: presence\nContent-Type: text/plain\n",
            "open",
            415,
            Some((
                Name::Accept,
                "application/pidf+xml, application/pidf-diff+xml",
            )),
        ),
        (
            "no type",
            BOB,
            presence,
            &open,
            415,
            Some((
                Name::Accept,
                "application/pidf+xml, application/pidf-diff+xml",
            )),
        ),
        (
            "coded",
            BOB,
            &zipped,
            &open,
            415,
            Some((Name::AcceptEncoding, "identity")),
        ),
        (
            "other package",
            BOB,
            "Event: dialog\n",
            &open,
            489,
            Some((Name::AllowEvents, "presence, presence.winfo")),
        ),
        (
            "no package",
            BOB,
            pidf_type,
            &open,
            489,
            Some((Name::AllowEvents, "presence, presence.winfo")),
        ),
        (
            "bad Expires",
            BOB,
            "Event: presence\nExpires: soon\n",
            &open,
            400,
            None,
        ),
    ] {
        let answer = desk.ask("PUBLISH", uri, head, document);
        assert_eq!(code(&answer), status, "{what}");
        if let Some((name, value)) = header {
            assert_eq!(text(&answer, name), value, "{what}");
        }
        assert!(!answer.has(Name::SipEtag), "{what}");
    }
    // None of it did anything to what is there.
    assert_eq!(
        code(&publish(
            &mut desk,
            BOB,
            &format!("SIP-If-Match: {etag}\n"),
            ""
        )),
        200
    );
    server.assert_well();
}

#[test]
fn a_body_beyond_the_limit_gets_413() {
    let server = Server::with(1, "[limits]\nbody = 2048\n");
    let mut desk = server.by_udp();
    let note = format!("<note>{}</note>", "x".repeat(2048));
    let answer = publish(&mut desk, BOB, "", &pidf(BOB, "t", "open", &note));
    assert_eq!(code(&answer), 413);
}

#[test]
fn a_retransmission_gets_the_same_answer_and_makes_nothing() {
    let server = Server::start();
    let mut desk = server.by_udp();
    let head = "Event: presence\nContent-Type: application/pidf+xml\n";
    let request = desk.request("PUBLISH", BOB, head, &bob("open"));
    let mut answers = BTreeSet::new();
    for _ in 0..3 {
        desk.send(&request);
        answers.insert(desk.response(1, "PUBLISH").raw());
    }
    assert_eq!(answers.len(), 1);
    assert_eq!(server.counters().get("registry.published"), Some(&1));
}

#[test]
fn a_publication_that_is_not_refreshed_lapses_on_the_second() {
    let server = Server::start();
    let (mut desk, mut phone) = (server.by_udp(), server.by_udp());
    Dialog::open(&mut phone, BOB, 600, "");
    assert_eq!(body(&phone.notify()), "");
    let etag = published(&mut desk, BOB, "Expires: 1\n", &bob("open"));
    let begun = Instant::now();
    phone.notify();
    let (state, _, document) = shown(&phone.notify());
    let lived = begun.elapsed();
    assert_eq!((state.starts_with("active"), &*document), (true, ""));
    assert!(lived >= Duration::from_millis(900), "{lived:?}");
    let late = publish(&mut desk, BOB, &format!("SIP-If-Match: {etag}\n"), "");
    assert_eq!(code(&late), 412);
}

#[test]
fn a_refresh_in_time_keeps_a_publication_and_tells_nobody() {
    let server = Server::start();
    let (mut desk, mut phone) = (server.by_udp(), server.by_udp());
    Dialog::open(&mut phone, BOB, 600, "");
    phone.notify();
    let etag = published(&mut desk, BOB, "Expires: 2\n", &bob("open"));
    assert_eq!(shown(&phone.notify()).1, 2);
    let etag = published(
        &mut desk,
        BOB,
        &format!("SIP-If-Match: {etag}\nExpires: 600\n"),
        "",
    );
    // Another presentity comes and goes, longer than the first life.
    let carol = "sip:carol@example.com";
    Dialog::open(&mut desk, carol, 600, "");
    desk.notify();
    published(
        &mut desk,
        carol,
        "Expires: 3\n",
        &pidf(carol, "t", "open", ""),
    );
    desk.notify();
    desk.notify();
    published(
        &mut desk,
        BOB,
        &format!("SIP-If-Match: {etag}\n"),
        &bob("closed"),
    );
    let (_, cseq, document) = shown(&phone.notify());
    assert_eq!(cseq, 3, "nothing was told in between");
    assert!(document.contains("closed"));
}

#[test]
fn publications_their_tags_and_watchers_survive_a_power_cut() {
    let mut server = Server::on_disk(2, "");
    let (mut desk, mut phone) = (server.by_udp(), server.by_udp());
    let dialog = Dialog::open(&mut phone, BOB, 600, "");
    let before = shown(&phone.notify()).1;
    let etag = published(&mut desk, BOB, "Expires: 600\n", &bob("open"));
    phone.notify();
    server.cut_power();
    let (state, cseq, document) = shown(&phone.notify());
    assert!(state.starts_with("active"), "{state}");
    assert!(cseq > before, "{cseq}");
    assert_eq!(document, bob("open"));
    let modified = published(
        &mut desk,
        BOB,
        &format!("SIP-If-Match: {etag}\n"),
        &bob("closed"),
    );
    assert_ne!(modified, etag);
    assert_eq!(body(&phone.notify()), bob("closed"));
    assert_eq!(code(&dialog.ask(&mut phone, 2, 600, "presence")), 200);
    phone.notify();
}
