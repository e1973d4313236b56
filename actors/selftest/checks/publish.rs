//! PUBLISH (RFC 3903): entity-tags, lifetimes, and what is refused.

use rollcall_core::sip::Name;

use super::super::builders::{document, seconds, tag, text};
use super::super::peer::{Peer, Stop, code, header, shown};
use super::super::requirement::must;
use super::{Check, check};

pub(super) const CHECKS: &[Check] = &[
    check!(
        life,
        [
            must(
                "publish-initial",
                3903,
                "6",
                "An initial PUBLISH with a document gets 200."
            ),
            must("publish-tag", 3903, "6", "200 has SIP-ETag."),
            must("publish-expires", 3903, "6", "200 has Expires."),
            must(
                "publish-expires-most",
                3903,
                "6",
                "The lifetime granted is no longer than the one asked for."
            ),
            must("refresh", 3903, "6", "A refresh, without a body, gets 200."),
            must(
                "refresh-tag",
                3903,
                "6",
                "A refresh gets another entity-tag."
            ),
            must(
                "modify",
                3903,
                "6",
                "A modification, with tag and body, gets 200."
            ),
            must(
                "modify-tag",
                3903,
                "6",
                "A modification gets another entity-tag."
            ),
            must(
                "modify-old-tag",
                3903,
                "6",
                "The tag before it is good for nothing any more: 412."
            ),
            must("remove", 3903, "6", "A removal, with Expires 0, gets 200."),
            must(
                "remove-expires",
                3903,
                "6",
                "200 to a removal says Expires 0."
            ),
            must(
                "removed-tag",
                3903,
                "6",
                "The tag of what is removed is good for nothing any more: 412."
            ),
        ]
    ),
    check!(
        tags,
        [
            must(
                "tag-unknown",
                3903,
                "6",
                "A tag that was never given gets 412."
            ),
            must(
                "tag-of-other",
                3903,
                "6",
                "The tag of another presentity gets 412."
            ),
            must(
                "tags-differ",
                3903,
                "6",
                "Two publications have two entity-tags."
            ),
            must("tags-two", 3903, "6", "Two SIP-If-Match get 400."),
            must(
                "body-absent",
                3903,
                "6",
                "An initial PUBLISH without a body is refused."
            ),
            must(
                "body-malformed",
                3903,
                "6",
                "A document that is no XML is refused."
            ),
            must(
                "body-foreign",
                3863,
                "4.1",
                "A document with another root than presence is refused."
            ),
            must(
                "body-dtd",
                3863,
                "4.1",
                "A document with entities of its own does no harm: it is refused, or they are not expanded."
            ),
        ]
    ),
    check!(
        lifetimes,
        [
            must(
                "expires-absent",
                3903,
                "6",
                "Without Expires the server chooses, and says what."
            ),
            must(
                "expires-huge",
                3903,
                "6",
                "An enormous Expires is shortened or granted, not refused as malformed."
            ),
            must(
                "contact-ignored",
                3903,
                "6",
                "A Contact in PUBLISH is ignored."
            ),
            must(
                "type-params",
                3261,
                "20.15",
                "Parameters of the Content-Type are allowed."
            ),
            must(
                "type-case",
                3261,
                "7.3.1",
                "The Content-Type is the same in capitals."
            ),
            must(
                "event-params",
                6665,
                "8.2.1",
                "Parameters of Event that nobody knows are ignored."
            ),
        ]
    ),
    check!(
        again,
        [must(
            "publish-again",
            3261,
            "17.2.2",
            "A retransmitted PUBLISH makes no second publication: it gets the same tag."
        )
        .over_datagrams()]
    ),
];

async fn life(peer: &mut Peer) -> Result<(), Stop> {
    let bob = peer.presentity();
    let mut publish = peer.state(&bob, "open", "one");
    let response = peer.ask(&mut publish).await?;
    peer.answered("publish-initial", &response, &[200]);
    if code(&response) != 200 {
        return Err(Stop::Unready(format!(
            "PUBLISH was answered {}",
            shown(&response)
        )));
    }
    let first = tag(&response);
    peer.holds(
        "publish-tag",
        !first.is_empty(),
        "SIP-ETag",
        header(&response, Name::SipEtag),
    );
    let granted = seconds(&response, Name::Expires);
    peer.holds(
        "publish-expires",
        granted.is_some(),
        "Expires",
        header(&response, Name::Expires),
    );
    peer.holds(
        "publish-expires-most",
        granted.is_some_and(|granted| granted <= 600),
        "600 at most",
        header(&response, Name::Expires),
    );

    let mut refresh = peer.publish(&bob, "600").and("SIP-If-Match", first.clone());
    let response = peer.ask(&mut refresh).await?;
    peer.answered("refresh", &response, &[200]);
    let second = tag(&response);
    peer.holds(
        "refresh-tag",
        !second.is_empty() && second != first,
        "another SIP-ETag",
        header(&response, Name::SipEtag),
    );

    let mut modify = peer
        .state(&bob, "closed", "two")
        .and("SIP-If-Match", second.clone());
    let response = peer.ask(&mut modify).await?;
    peer.answered("modify", &response, &[200]);
    let third = tag(&response);
    peer.holds(
        "modify-tag",
        !third.is_empty() && third != second,
        "another SIP-ETag",
        header(&response, Name::SipEtag),
    );
    let mut old = peer.publish(&bob, "600").and("SIP-If-Match", second);
    let response = peer.ask(&mut old).await?;
    peer.answered("modify-old-tag", &response, &[412]);

    let mut remove = peer.publish(&bob, "0").and("SIP-If-Match", third.clone());
    let response = peer.ask(&mut remove).await?;
    peer.answered("remove", &response, &[200]);
    peer.holds(
        "remove-expires",
        seconds(&response, Name::Expires) == Some(0),
        "Expires: 0",
        header(&response, Name::Expires),
    );
    let mut gone = peer.publish(&bob, "600").and("SIP-If-Match", third);
    let response = peer.ask(&mut gone).await?;
    peer.answered("removed-tag", &response, &[412]);
    Ok(())
}

async fn tags(peer: &mut Peer) -> Result<(), Stop> {
    let (bob, carol) = (peer.presentity(), peer.presentity());
    let one = peer.published_state(&bob, "open", "one").await?;
    let two = peer.published_state(&bob, "open", "two").await?;
    peer.holds("tags-differ", one != two, "two", &one);
    let mut unknown = peer
        .publish(&bob, "600")
        .and("SIP-If-Match", "selftest-never-given");
    let response = peer.ask(&mut unknown).await?;
    peer.answered("tag-unknown", &response, &[412]);
    let mut other = peer.publish(&carol, "600").and("SIP-If-Match", one.clone());
    let response = peer.ask(&mut other).await?;
    peer.answered("tag-of-other", &response, &[412]);
    let mut both = peer
        .publish(&bob, "600")
        .and("SIP-If-Match", one)
        .and("SIP-If-Match", two);
    let response = peer.ask(&mut both).await?;
    peer.answered("tags-two", &response, &[400]);
    let mut bodiless = peer.publish(&bob, "600");
    let response = peer.ask(&mut bodiless).await?;
    peer.holds(
        "body-absent",
        (400..500).contains(&code(&response)),
        "4xx",
        shown(&response),
    );
    for (id, body) in [
        ("body-malformed", "<presence".to_owned()),
        ("body-foreign", "<other xmlns=\"urn:selftest\"/>".to_owned()),
    ] {
        let mut publish = peer
            .publish(&carol, "600")
            .body("application/pidf+xml", body);
        let response = peer.ask(&mut publish).await?;
        peer.holds(
            id,
            (400..500).contains(&code(&response)),
            "4xx",
            shown(&response),
        );
    }
    let hostile = document(&carol, "t", "open", "&selftest;").replacen(
        "<presence ",
        "<!DOCTYPE presence [<!ENTITY selftest \"expanded\">]><presence ",
        1,
    );
    let mut publish = peer
        .publish(&carol, "600")
        .body("application/pidf+xml", hostile);
    let response = peer.ask(&mut publish).await?;
    let refused = (400..500).contains(&code(&response));
    let harmless = refused || !text(&peer.fetched(&carol).await?).contains("expanded");
    peer.holds(
        "body-dtd",
        harmless,
        "4xx, or no expansion",
        shown(&response),
    );
    Ok(())
}

async fn lifetimes(peer: &mut Peer) -> Result<(), Stop> {
    let bob = peer.presentity();
    let mut publish = peer.state(&bob, "open", "").without("Expires");
    let response = peer.ask(&mut publish).await?;
    let said = seconds(&response, Name::Expires).is_some_and(|seconds| seconds > 0);
    peer.holds(
        "expires-absent",
        code(&response) == 200 && said,
        "200 with Expires",
        header(&response, Name::Expires),
    );
    let huge = peer.state(&bob, "open", "").with("Expires", "4294967295");
    let contact = peer
        .state(&bob, "open", "")
        .and("Contact", "<sip:elsewhere.invalid>");
    let charset = peer
        .state(&bob, "open", "")
        .with("Content-Type", "application/pidf+xml;charset=\"UTF-8\"");
    let capitals = peer
        .state(&bob, "open", "")
        .with("Content-Type", "Application/PIDF+XML");
    let event = peer
        .state(&bob, "open", "")
        .with("Event", "presence;unknown=\"a b\"");
    for (id, mut request) in [
        ("expires-huge", huge),
        ("contact-ignored", contact),
        ("type-params", charset),
        ("type-case", capitals),
        ("event-params", event),
    ] {
        let response = peer.ask(&mut request).await?;
        peer.answered(id, &response, &[200]);
    }
    Ok(())
}

async fn again(peer: &mut Peer) -> Result<(), Stop> {
    if peer.transport().is_reliable() {
        return Ok(());
    }
    let bob = peer.presentity();
    let mut publish = peer.state(&bob, "open", "");
    let first = peer.ask(&mut publish).await?;
    let second = peer.ask_once(&publish).await?;
    let same = code(&second) == 200 && tag(&first) == tag(&second);
    peer.holds(
        "publish-again",
        same,
        &header(&first, Name::SipEtag),
        header(&second, Name::SipEtag),
    );
    Ok(())
}
