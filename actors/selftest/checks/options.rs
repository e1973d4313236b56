//! How requests are answered: what the response copies, and which way it takes.

use rollcall_core::sip::{Message, Name};

use super::super::peer::{Peer, Stop, code, header, shown};
use super::super::requirement::{must, should};
use super::{Check, check};

pub(super) const CHECKS: &[Check] = &[
    check!(
        answer,
        [
            must(
                "options-answered",
                3261,
                "11.2",
                "OPTIONS to the domain is answered 200."
            ),
            must(
                "answer-via",
                3261,
                "8.2.6.2",
                "The Via of the request comes back in the response."
            ),
            must(
                "answer-from",
                3261,
                "8.2.6.2",
                "From comes back as it was sent."
            ),
            must(
                "answer-call-id",
                3261,
                "8.2.6.2",
                "Call-ID comes back as it was sent."
            ),
            must(
                "answer-cseq",
                3261,
                "8.2.6.2",
                "CSeq comes back as it was sent."
            ),
            must(
                "answer-to",
                3261,
                "8.2.6.2",
                "To comes back, with a tag added."
            ),
            should(
                "options-allow",
                3261,
                "11.2",
                "The answer to OPTIONS has Allow."
            ),
            should(
                "options-accept",
                3261,
                "11.2",
                "The answer to OPTIONS has Accept."
            ),
            should(
                "options-supported",
                3261,
                "11.2",
                "The answer to OPTIONS has Supported."
            ),
            should(
                "options-encoding",
                3261,
                "11.2",
                "The answer to OPTIONS has Accept-Encoding."
            ),
            should(
                "options-language",
                3261,
                "11.2",
                "The answer to OPTIONS has Accept-Language."
            ),
            must("options-publish", 3903, "7", "Allow names PUBLISH."),
            must("options-subscribe", 6665, "7.2", "Allow names SUBSCRIBE."),
            should(
                "options-events",
                6665,
                "4.4.4",
                "Allow-Events names presence."
            ),
        ]
    ),
    check!(
        vias,
        [
            must(
                "vias-order",
                3261,
                "8.2.6.2",
                "Several Vias come back all, in their order."
            ),
            must(
                "vias-line",
                3261,
                "7.3.1",
                "Several Vias in one line are several Vias."
            ),
        ]
    ),
    check!(
        way,
        [
            must(
                "rport-filled",
                3581,
                "4",
                "An empty rport comes back with the port the request came from."
            )
            .over_datagrams(),
            must(
                "rport-received",
                3581,
                "4",
                "With rport, received is added as well."
            )
            .over_datagrams(),
            must(
                "received-added",
                3261,
                "18.2.1",
                "received is added when the host of the Via is not the source."
            )
            .over_datagrams(),
            must(
                "rport-from",
                3581,
                "4",
                "The response comes from the address the request was sent to."
            )
            .over_datagrams(),
            must(
                "way-stream",
                3261,
                "18.2.2",
                "The response comes over the connection of its request, whatever the Via says."
            )
            .over_streams(),
        ]
    ),
    check!(
        again,
        [
            must(
                "options-again",
                3261,
                "17.2.2",
                "A retransmitted request gets the same response again."
            )
            .over_datagrams(),
            must("to-tag-stays", 3261, "17.2.2", "With the same tag in To.").over_datagrams(),
        ]
    ),
    check!(
        tagged,
        [
            must(
                "tag-kept",
                3261,
                "8.2.6.2",
                "A tag that To has already is left as it is."
            ),
            must("ack-unanswered", 3261, "17.1.1.3", "ACK is never answered."),
            must(
                "cancel-unknown",
                3261,
                "9.2",
                "CANCEL that matches nothing gets 481."
            ),
        ]
    ),
];

fn same(message: &Message, name: Name, sent: &str) -> bool {
    message.text(name).is_some_and(|value| value == sent)
}

fn lists(message: &Message, name: Name, wanted: &str) -> bool {
    message
        .values(name)
        .any(|value| value.trim().eq_ignore_ascii_case(wanted))
}

async fn answer(peer: &mut Peer) -> Result<(), Stop> {
    let options = peer.options();
    let response = peer.ask_once(&options).await?;
    peer.answered("options-answered", &response, &[200]);
    let via = response.text(Name::Via).unwrap_or_default();
    let branch = options.branch();
    peer.holds(
        "answer-via",
        via.contains(&branch),
        options.value("Via"),
        header(&response, Name::Via),
    );
    for (id, name) in [
        ("answer-from", Name::From),
        ("answer-call-id", Name::CallId),
        ("answer-cseq", Name::CSeq),
    ] {
        let sent = options.value(name.as_str());
        peer.holds(
            id,
            same(&response, name, sent),
            sent,
            header(&response, name),
        );
    }
    let to = response.text(Name::To).unwrap_or_default();
    let tagged = to.starts_with(options.value("To")) && response.to_tag().is_some();
    peer.holds(
        "answer-to",
        tagged,
        "the same with a tag",
        header(&response, Name::To),
    );
    for (id, name) in [
        ("options-allow", Name::Allow),
        ("options-accept", Name::Accept),
        ("options-supported", Name::Supported),
        ("options-encoding", Name::AcceptEncoding),
        ("options-language", Name::AcceptLanguage),
    ] {
        peer.holds(
            id,
            response.has(name),
            name.as_str(),
            header(&response, name),
        );
    }
    for (id, method) in [
        ("options-publish", "PUBLISH"),
        ("options-subscribe", "SUBSCRIBE"),
    ] {
        peer.holds(
            id,
            lists(&response, Name::Allow, method),
            method,
            header(&response, Name::Allow),
        );
    }
    let events = lists(&response, Name::AllowEvents, "presence");
    peer.holds(
        "options-events",
        events,
        "presence",
        header(&response, Name::AllowEvents),
    );
    Ok(())
}

async fn vias(peer: &mut Peer) -> Result<(), Stop> {
    let options = peer.options();
    let own = options.value("Via").to_owned();
    let further = [
        "SIP/2.0/UDP first.invalid;branch=z9hG4bKf",
        "SIP/2.0/TCP second.invalid;branch=z9hG4bKs",
    ];
    let hosts = |message: &Message| -> Vec<String> {
        let vias = message.vias().unwrap_or_default();
        vias.iter().skip(1).map(|via| via.sent_by()).collect()
    };
    let lines = options
        .clone()
        .with("Via", own.clone())
        .and("Via", further[0])
        .and("Via", further[1]);
    let response = peer.ask_once(&lines).await?;
    let wanted = ["first.invalid", "second.invalid"];
    peer.holds(
        "vias-order",
        hosts(&response) == wanted,
        "both, in order",
        header(&response, Name::Via),
    );
    let one = peer.again(&options);
    let own = one.value("Via").to_owned();
    let one = one.with("Via", format!("{own}, {}, {}", further[0], further[1]));
    let response = peer.ask_once(&one).await?;
    peer.holds(
        "vias-line",
        hosts(&response) == wanted,
        "both, in order",
        header(&response, Name::Via),
    );
    Ok(())
}

async fn way(peer: &mut Peer) -> Result<(), Stop> {
    let local = peer.local();
    let options = peer.options();
    if peer.transport().is_reliable() {
        let via = options
            .value("Via")
            .replace(&local.to_string(), "elsewhere.invalid:9");
        let response = peer.ask_once(&options.with("Via", via)).await?;
        peer.holds(
            "way-stream",
            code(&response) > 0,
            "a response",
            shown(&response),
        );
        return Ok(());
    }
    let response = peer.ask_once(&options).await?;
    let via = response.via().ok();
    let filled = via.as_ref().and_then(|via| via.rport()) == Some(local.port());
    peer.holds(
        "rport-filled",
        filled,
        &format!("rport={}", local.port()),
        header(&response, Name::Via),
    );
    let received = via.and_then(|via| via.received()) == Some(local.ip());
    peer.holds(
        "rport-received",
        received,
        &format!("received={}", local.ip()),
        header(&response, Name::Via),
    );
    let from = peer.last_from;
    let here = from == Some(peer.target());
    peer.holds(
        "rport-from",
        here,
        &peer.target().to_string(),
        from.map_or("nowhere".to_owned(), |from| from.to_string()),
    );
    let options = peer.options();
    let via = options
        .value("Via")
        .replace(&local.to_string(), "elsewhere.invalid:9");
    let response = peer.ask_once(&options.with("Via", via)).await?;
    let received = response.via().ok().and_then(|via| via.received()) == Some(local.ip());
    peer.holds(
        "received-added",
        received,
        &format!("received={}", local.ip()),
        header(&response, Name::Via),
    );
    Ok(())
}

async fn again(peer: &mut Peer) -> Result<(), Stop> {
    if peer.transport().is_reliable() {
        return Ok(());
    }
    let options = peer.options();
    let first = peer.ask_once(&options).await?;
    let second = peer.ask_once(&options).await?;
    peer.holds(
        "options-again",
        code(&first) == code(&second),
        &shown(&first),
        shown(&second),
    );
    let same = first.to_tag() == second.to_tag();
    peer.holds(
        "to-tag-stays",
        same,
        &header(&first, Name::To),
        header(&second, Name::To),
    );
    Ok(())
}

async fn tagged(peer: &mut Peer) -> Result<(), Stop> {
    let uri = peer.domain();
    let options = peer.options().with("To", format!("<{uri}>;tag=mine"));
    let response = peer.ask_once(&options).await?;
    let kept = response.to_tag().as_deref() == Some("mine");
    peer.holds("tag-kept", kept, "tag=mine", header(&response, Name::To));

    let ack = peer.request("ACK", &uri);
    let branch = ack.branch();
    peer.tell(&ack.bytes()).await?;
    peer.fence().await?;
    let until = tokio::time::Instant::now();
    let answer = peer
        .find(until, |message| {
            super::super::peer::branch_of(message) == branch
        })
        .await?;
    let came = answer.map_or("nothing".to_owned(), |answer| shown(&answer));
    peer.holds("ack-unanswered", came == "nothing", "nothing", came);

    let cancel = peer.request("CANCEL", &uri);
    let response = peer.ask_once(&cancel).await?;
    peer.answered("cancel-unknown", &response, &[481]);
    Ok(())
}
