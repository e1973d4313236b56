//! SUBSCRIBE (RFC 6665): the dialog, its lifetime, its end.

use rollcall_core::sip::{Name, SubscriptionStateValue};

use super::super::builders::seconds;
use super::super::dialog::{is_terminated, state_of};
use super::super::peer::{Peer, Stop, code, header, shown};
use super::super::requirement::{must, should};
use super::{Check, check};

pub(super) const CHECKS: &[Check] = &[
    check!(
        begin,
        [
            must("subscribe-200", 6665, "4.2.1.1", "SUBSCRIBE gets 200."),
            must("subscribe-expires", 6665, "4.2.1.1", "200 has Expires."),
            must(
                "subscribe-expires-most",
                6665,
                "4.2.1.1",
                "The lifetime granted is no longer than the one asked for."
            ),
            must("subscribe-contact", 6665, "4.2.1.1", "200 has a Contact."),
            must(
                "notify-at-once",
                6665,
                "4.2.1.2",
                "A NOTIFY follows at once."
            ),
            must(
                "notify-tags",
                6665,
                "4.2.2",
                "The NOTIFY is in the dialog of the SUBSCRIBE: its tags are those of the 200."
            ),
            must(
                "notify-event",
                6665,
                "4.2.2",
                "The NOTIFY has the Event of the SUBSCRIBE."
            ),
            must(
                "notify-state",
                6665,
                "4.2.2",
                "The NOTIFY has Subscription-State."
            ),
            must(
                "notify-state-expires",
                6665,
                "4.2.2",
                "While active or pending, it has expires."
            ),
            must("notify-contact", 6665, "4.2.2", "The NOTIFY has a Contact."),
            must(
                "notify-uri",
                3261,
                "12.2.1.1",
                "Its Request-URI is the Contact of the SUBSCRIBE."
            ),
            must(
                "notify-max-forwards",
                3261,
                "8.1.1.6",
                "It has Max-Forwards."
            ),
            must(
                "notify-branch",
                3261,
                "8.1.1.7",
                "Its branch begins with the magic cookie."
            ),
            must("notify-cseq", 3261, "8.1.1.5", "Its CSeq names NOTIFY."),
        ]
    ),
    check!(
        refreshed,
        [
            must(
                "refresh-200",
                6665,
                "4.2.1.1",
                "A refresh within the dialog gets 200."
            ),
            must("refresh-expires", 6665, "4.2.1.1", "With Expires."),
            must(
                "refresh-notify",
                6665,
                "4.2.1.2",
                "A NOTIFY follows a refresh."
            ),
            must(
                "refresh-cseq",
                3261,
                "12.2.1.1",
                "Its CSeq is one more than the one before."
            ),
            must(
                "cseq-lower",
                3261,
                "12.2.2",
                "A request with a lower CSeq gets 500."
            ),
            must("unsubscribe-200", 6665, "4.2.1.1", "Expires 0 gets 200."),
            must(
                "unsubscribe-notify",
                6665,
                "4.2.1.2",
                "A last NOTIFY follows."
            ),
            must(
                "unsubscribe-terminated",
                6665,
                "4.2.2",
                "It says terminated."
            ),
            should(
                "unsubscribe-reason",
                6665,
                "4.1.3",
                "With the reason timeout."
            ),
            must(
                "unsubscribe-cseq",
                3261,
                "12.2.1.1",
                "Its CSeq is one more, too."
            ),
            must(
                "after-end",
                6665,
                "4.2.1.1",
                "SUBSCRIBE in a dialog that has ended gets 481."
            ),
        ]
    ),
    check!(
        fetch,
        [
            must(
                "fetch-200",
                6665,
                "4.4.3",
                "SUBSCRIBE with Expires 0 outside of a dialog gets 200."
            ),
            must("fetch-notify", 6665, "4.4.3", "One NOTIFY follows."),
            must("fetch-terminated", 6665, "4.4.3", "It says terminated."),
            must(
                "unknown-dialog",
                6665,
                "4.2.1.1",
                "SUBSCRIBE with a tag that was never given gets 481."
            ),
        ]
    ),
    check!(
        odd,
        [
            must(
                "event-id",
                6665,
                "8.2.1",
                "The id of Event comes back in the NOTIFY."
            ),
            must(
                "contact-absent",
                3261,
                "8.1.1.8",
                "SUBSCRIBE without Contact gets 400."
            ),
            must(
                "accept-absent",
                3856,
                "6.7",
                "Without Accept the body is application/pidf+xml."
            ),
            must(
                "accept-ranges",
                3261,
                "20.1",
                "Ranges and qualities in Accept are understood."
            ),
            must(
                "subscribe-expires-absent",
                6665,
                "3.1.1",
                "Without Expires the server chooses, and says what."
            ),
            must(
                "subscribe-expires-huge",
                6665,
                "3.1.1",
                "An enormous Expires is shortened, or granted."
            ),
            must(
                "record-route",
                3261,
                "12.1.1",
                "Record-Route comes back in the 200, in order."
            ),
        ]
    ),
];

async fn begin(peer: &mut Peer) -> Result<(), Stop> {
    let bob = peer.presentity();
    let request = peer.subscription(&bob, "600");
    let (response, dialog) = peer.subscribe(request).await?;
    peer.answered("subscribe-200", &response, &[200]);
    if code(&response) / 100 != 2 {
        return Err(Stop::Unready(format!(
            "SUBSCRIBE was answered {}",
            shown(&response)
        )));
    }
    let granted = seconds(&response, Name::Expires);
    peer.holds(
        "subscribe-expires",
        granted.is_some(),
        "Expires",
        header(&response, Name::Expires),
    );
    let most = granted.is_some_and(|granted| granted <= 600);
    peer.holds(
        "subscribe-expires-most",
        most,
        "600 at most",
        header(&response, Name::Expires),
    );
    peer.holds(
        "subscribe-contact",
        response.has(Name::Contact),
        "Contact",
        header(&response, Name::Contact),
    );

    let notify = peer.notify(&dialog).await?;
    peer.holds("notify-at-once", true, "a NOTIFY", "it");
    let tags = notify.from_tag().is_some() && notify.from_tag() == response.to_tag();
    peer.holds(
        "notify-tags",
        tags,
        &header(&response, Name::To),
        header(&notify, Name::From),
    );
    let event = notify
        .event()
        .ok()
        .flatten()
        .is_some_and(|event| event.package == "presence");
    peer.holds(
        "notify-event",
        event,
        "presence",
        header(&notify, Name::Event),
    );
    let state = state_of(&notify);
    peer.holds(
        "notify-state",
        state.is_some(),
        "Subscription-State",
        header(&notify, Name::SubscriptionState),
    );
    let lives = state.is_some_and(|state| {
        state.value == SubscriptionStateValue::Terminated || state.expires.is_some()
    });
    peer.holds(
        "notify-state-expires",
        lives,
        "expires",
        header(&notify, Name::SubscriptionState),
    );
    peer.holds(
        "notify-contact",
        notify.has(Name::Contact),
        "Contact",
        header(&notify, Name::Contact),
    );
    let contact = dialog.contact.trim_matches(['<', '>']).to_owned();
    peer.holds(
        "notify-uri",
        notify.uri_text() == contact,
        &contact,
        notify.uri_text(),
    );
    peer.holds(
        "notify-max-forwards",
        notify.has(Name::MaxForwards),
        "Max-Forwards",
        header(&notify, Name::MaxForwards),
    );
    let cookie = super::super::peer::branch_of(&notify).starts_with("z9hG4bK");
    peer.holds(
        "notify-branch",
        cookie,
        "z9hG4bK…",
        header(&notify, Name::Via),
    );
    let method = notify
        .cseq()
        .is_ok_and(|cseq| cseq.method.as_str() == "NOTIFY");
    peer.holds("notify-cseq", method, "NOTIFY", header(&notify, Name::CSeq));
    Ok(())
}

async fn refreshed(peer: &mut Peer) -> Result<(), Stop> {
    let bob = peer.presentity();
    let (mut dialog, first) = peer.watching(&bob).await?;
    let number = |notify: &rollcall_core::sip::Message| notify.cseq().map_or(0, |cseq| cseq.number);
    let response = peer.ask_in(&mut dialog, "600").await?;
    peer.answered("refresh-200", &response, &[200]);
    peer.holds(
        "refresh-expires",
        response.has(Name::Expires),
        "Expires",
        header(&response, Name::Expires),
    );
    let second = peer.notify(&dialog).await?;
    peer.holds("refresh-notify", true, "a NOTIFY", "it");
    let expected = (number(&first) + 1).to_string();
    peer.holds(
        "refresh-cseq",
        number(&second) == number(&first) + 1,
        &expected,
        header(&second, Name::CSeq),
    );

    let mut lower = peer
        .within(&mut dialog.clone(), "600")
        .with("CSeq", "0 SUBSCRIBE");
    let response = peer.ask(&mut lower).await?;
    peer.answered("cseq-lower", &response, &[500]);

    let response = peer.ask_in(&mut dialog, "0").await?;
    peer.answered("unsubscribe-200", &response, &[200]);
    let last = peer.notify(&dialog).await?;
    peer.holds("unsubscribe-notify", true, "a NOTIFY", "it");
    peer.holds(
        "unsubscribe-terminated",
        is_terminated(&last),
        "terminated",
        header(&last, Name::SubscriptionState),
    );
    let reason = state_of(&last).and_then(|state| state.reason);
    let timeout = reason.as_deref() == Some("timeout");
    peer.holds(
        "unsubscribe-reason",
        timeout,
        "reason=timeout",
        header(&last, Name::SubscriptionState),
    );
    let expected = (number(&second) + 1).to_string();
    peer.holds(
        "unsubscribe-cseq",
        number(&last) == number(&second) + 1,
        &expected,
        header(&last, Name::CSeq),
    );
    let response = peer.ask_in(&mut dialog, "600").await?;
    peer.answered("after-end", &response, &[481]);
    Ok(())
}

async fn fetch(peer: &mut Peer) -> Result<(), Stop> {
    let bob = peer.presentity();
    let request = peer.subscription(&bob, "0");
    let (response, dialog) = peer.subscribe(request).await?;
    peer.answered("fetch-200", &response, &[200]);
    let notify = peer.notify(&dialog).await?;
    peer.holds("fetch-notify", true, "a NOTIFY", "it");
    peer.holds(
        "fetch-terminated",
        is_terminated(&notify),
        "terminated",
        header(&notify, Name::SubscriptionState),
    );
    let mut unknown = peer
        .subscription(&bob, "600")
        .with("To", format!("<{bob}>;tag=selftest-never-given"));
    let response = peer.ask(&mut unknown).await?;
    peer.answered("unknown-dialog", &response, &[481]);
    Ok(())
}

async fn odd(peer: &mut Peer) -> Result<(), Stop> {
    let bob = peer.presentity();
    let mut request = peer.subscription(&bob, "600").without("Contact");
    let response = peer.ask(&mut request).await?;
    peer.answered("contact-absent", &response, &[400]);

    peer.published_state(&bob, "open", "").await?;
    for (id, request) in [
        (
            "accept-absent",
            peer.subscription(&bob, "600").without("Accept"),
        ),
        (
            "accept-ranges",
            peer.subscription(&bob, "600")
                .with("Accept", "text/plain;q=0.1, application/*;q=0.8, */*;q=0.2"),
        ),
    ] {
        let (_, notify) = peer.watching_by(request).await?;
        let kind = notify.content_type().unwrap_or_default();
        peer.holds(
            id,
            kind.starts_with("application/pidf+xml"),
            "application/pidf+xml",
            kind,
        );
    }
    for (id, request) in [
        (
            "subscribe-expires-absent",
            peer.subscription(&bob, "600").without("Expires"),
        ),
        (
            "subscribe-expires-huge",
            peer.subscription(&bob, "4294967295"),
        ),
    ] {
        let (response, dialog) = peer.subscribe(request).await?;
        let said = seconds(&response, Name::Expires).is_some_and(|seconds| seconds > 0);
        peer.holds(
            id,
            code(&response) == 200 && said,
            "200 with Expires",
            shown(&response),
        );
        peer.notify(&dialog).await?;
    }
    // Loose routers that lead back here.
    let own = peer.contact_uri("proxy");
    let routes = [format!("<{own};lr;n=1>"), format!("<{own};lr;n=2>")];
    let request = peer.subscription(&bob, "600");
    let request = request
        .and("Record-Route", routes[0].clone())
        .and("Record-Route", routes[1].clone());
    let (response, _) = peer.subscribe(request).await?;
    let copied: Vec<_> = response
        .values(Name::RecordRoute)
        .map(|value| value.trim().to_owned())
        .collect();
    peer.holds(
        "record-route",
        copied == routes,
        "both, in order",
        header(&response, Name::RecordRoute),
    );
    let request = peer
        .subscription(&bob, "600")
        .with("Event", "presence;id=own7");
    let (_, notify) = peer.watching_by(request).await?;
    let id = notify
        .text(Name::Event)
        .is_some_and(|event| event.contains("id=own7"));
    peer.holds("event-id", id, "id=own7", header(&notify, Name::Event));
    Ok(())
}
