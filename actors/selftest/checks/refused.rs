//! Well-formed requests that a server can't fulfil: the status, and the header that says what would do.

use rollcall_core::sip::Name;

use super::super::peer::{Peer, Stop, code, header, shown};
use super::super::requirement::{must, should};
use super::{Check, check};

pub(super) const CHECKS: &[Check] = &[
    check!(
        require,
        [
            must(
                "require-options",
                3261,
                "8.2.2.3",
                "A Require that nobody knows gets 420."
            ),
            must(
                "require-unsupported",
                3261,
                "8.2.2.3",
                "420 names in Unsupported what it does not know."
            ),
            must(
                "require-publish",
                3261,
                "8.2.2.3",
                "A PUBLISH that requires what nobody knows gets 420."
            ),
            must(
                "require-subscribe",
                3261,
                "8.2.2.3",
                "A SUBSCRIBE that requires what nobody knows gets 420."
            ),
        ]
    ),
    check!(
        events,
        [
            must(
                "publish-event-unknown",
                3903,
                "6",
                "PUBLISH for an event package that is not served gets 489."
            ),
            must(
                "publish-event-absent",
                3903,
                "6",
                "PUBLISH without Event gets 489."
            ),
            must(
                "subscribe-event-unknown",
                6665,
                "4.2.1.1",
                "SUBSCRIBE to an event package that is not served gets 489."
            ),
            must(
                "subscribe-allow-events",
                6665,
                "4.2.1.1",
                "489 to SUBSCRIBE says with Allow-Events what is served."
            ),
            must(
                "subscribe-event-template",
                6665,
                "4.1.2.1",
                "A template of a package is another package: presence.unknown gets 489."
            ),
        ]
    ),
    check!(
        content,
        [
            must(
                "publish-type",
                3903,
                "6",
                "A body of a type that is not understood gets 415."
            ),
            must(
                "publish-type-accept",
                3903,
                "6",
                "415 says with Accept what is understood."
            ),
            must(
                "publish-encoding",
                3261,
                "8.2.3",
                "A body in an encoding that is not understood gets 415."
            ),
            must(
                "subscribe-accept",
                3856,
                "6.7",
                "SUBSCRIBE that accepts nothing the server has gets 406."
            ),
        ]
    ),
    check!(
        merged,
        [should(
            "merged",
            3261,
            "8.2.2.2",
            "The same request by another way, while the first is there, gets 482."
        )
        .over_datagrams()]
    ),
    check!(
        brief,
        [
            must(
                "publish-brief",
                3903,
                "6",
                "An expiry that is too brief gets 423, or is granted."
            ),
            must(
                "publish-min-expires",
                3903,
                "6",
                "423 says with Min-Expires what would do."
            ),
            must(
                "subscribe-brief",
                6665,
                "4.2.1.1",
                "A subscription that is too brief gets 423, or is granted."
            ),
            must(
                "subscribe-min-expires",
                6665,
                "4.2.1.1",
                "423 to SUBSCRIBE says with Min-Expires what would do."
            ),
        ]
    ),
];

async fn require(peer: &mut Peer) -> Result<(), Stop> {
    let options = peer.options().and("Require", "selftest-unknown");
    let response = peer.ask_once(&options).await?;
    peer.answered("require-options", &response, &[420]);
    let named = response
        .text(Name::Unsupported)
        .is_some_and(|value| value.contains("selftest-unknown"));
    peer.holds(
        "require-unsupported",
        named,
        "Unsupported: selftest-unknown",
        header(&response, Name::Unsupported),
    );
    let presentity = peer.presentity();
    let mut publish = peer
        .state(&presentity, "open", "")
        .and("Require", "selftest-unknown");
    let response = peer.ask(&mut publish).await?;
    peer.answered("require-publish", &response, &[420]);
    let mut subscribe = peer
        .subscription(&presentity, "600")
        .and("Require", "selftest-unknown");
    let response = peer.ask(&mut subscribe).await?;
    peer.answered("require-subscribe", &response, &[420]);
    Ok(())
}

async fn events(peer: &mut Peer) -> Result<(), Stop> {
    let presentity = peer.presentity();
    let mut publish = peer
        .state(&presentity, "open", "")
        .with("Event", "selftest");
    let response = peer.ask(&mut publish).await?;
    peer.answered("publish-event-unknown", &response, &[489]);
    let mut publish = peer.state(&presentity, "open", "").without("Event");
    let response = peer.ask(&mut publish).await?;
    peer.answered("publish-event-absent", &response, &[489]);
    let mut subscribe = peer
        .subscription(&presentity, "600")
        .with("Event", "selftest");
    let response = peer.ask(&mut subscribe).await?;
    peer.answered("subscribe-event-unknown", &response, &[489]);
    let named = response.has(Name::AllowEvents);
    peer.holds(
        "subscribe-allow-events",
        named,
        "Allow-Events",
        header(&response, Name::AllowEvents),
    );
    let mut subscribe = peer
        .subscription(&presentity, "600")
        .with("Event", "presence.unknown");
    let response = peer.ask(&mut subscribe).await?;
    peer.answered("subscribe-event-template", &response, &[489]);
    Ok(())
}

async fn content(peer: &mut Peer) -> Result<(), Stop> {
    let presentity = peer.presentity();
    let mut publish = peer
        .publish(&presentity, "600")
        .body("application/x-selftest", "?");
    let response = peer.ask(&mut publish).await?;
    peer.answered("publish-type", &response, &[415]);
    peer.holds(
        "publish-type-accept",
        response.has(Name::Accept),
        "Accept",
        header(&response, Name::Accept),
    );
    let mut publish = peer
        .state(&presentity, "open", "")
        .and("Content-Encoding", "x-selftest");
    let response = peer.ask(&mut publish).await?;
    peer.answered("publish-encoding", &response, &[415]);
    let mut subscribe = peer
        .subscription(&presentity, "600")
        .with("Accept", "application/x-selftest");
    let response = peer.ask(&mut subscribe).await?;
    peer.answered("subscribe-accept", &response, &[406]);
    Ok(())
}

async fn merged(peer: &mut Peer) -> Result<(), Stop> {
    if peer.transport().is_reliable() {
        return Ok(());
    }
    let presentity = peer.presentity();
    let mut publish = peer.state(&presentity, "open", "");
    let first = peer.ask(&mut publish).await.map_err(Stop::unready)?;
    if code(&first) != 200 {
        return Err(Stop::Unready(format!(
            "PUBLISH was answered {}",
            shown(&first)
        )));
    }
    let via = peer.via();
    let second = peer.ask_once(&publish.with("Via", via)).await?;
    peer.answered("merged", &second, &[482]);
    Ok(())
}

async fn brief(peer: &mut Peer) -> Result<(), Stop> {
    let presentity = peer.presentity();
    let mut publish = peer.state(&presentity, "open", "").with("Expires", "1");
    let response = peer.ask(&mut publish).await?;
    peer.answered("publish-brief", &response, &[423, 200]);
    if code(&response) == 423 {
        peer.holds(
            "publish-min-expires",
            response.has(Name::MinExpires),
            "Min-Expires",
            header(&response, Name::MinExpires),
        );
    } else {
        peer.not_applicable("publish-min-expires", "one second is granted");
    }
    let (response, _) = {
        let request = peer.subscription(&presentity, "1");
        peer.subscribe(request).await?
    };
    peer.answered("subscribe-brief", &response, &[423, 200]);
    if code(&response) == 423 {
        let named = response.has(Name::MinExpires);
        peer.holds(
            "subscribe-min-expires",
            named,
            "Min-Expires",
            header(&response, Name::MinExpires),
        );
    } else {
        peer.not_applicable("subscribe-min-expires", "one second is granted");
    }
    Ok(())
}
