//! What watchers are told of changes, and how a subscription lives through them.

use rollcall_core::sip::Name;

use super::super::builders::text;
use super::super::peer::{Peer, Stop, branch_of, code, header, shown};
use super::super::requirement::{must, should};
use super::{Check, check};

pub(super) const CHECKS: &[Check] = &[
    check!(
        changes,
        [
            must(
                "change-told",
                3856,
                "6.8",
                "A publication is told to those who watch."
            ),
            must(
                "change-state",
                3856,
                "6.8",
                "With the state that was published."
            ),
            must(
                "change-cseq",
                3261,
                "12.2.1.1",
                "CSeq grows by one with each NOTIFY."
            ),
            must(
                "change-to-all",
                3856,
                "6.8",
                "Everybody who watches is told."
            ),
            must(
                "change-others",
                3856,
                "6.8",
                "Who watches somebody else is told nothing."
            ),
            must(
                "removal-told",
                3903,
                "6",
                "That a publication is removed is told as well."
            ),
        ]
    ),
    check!(
        routes,
        [
            must(
                "route-set",
                3261,
                "12.2.1.1",
                "The NOTIFY has the Record-Routes of the SUBSCRIBE as Routes."
            ),
            must(
                "target-refresh",
                3261,
                "12.2.2",
                "A refresh with another Contact moves the subscription there."
            ),
        ]
    ),
    check!(
        forgotten,
        [
            must(
                "notify-481",
                6665,
                "4.2.2",
                "481 to a NOTIFY ends the subscription: nothing more is sent."
            ),
            must(
                "notify-481-refresh",
                6665,
                "4.2.2",
                "And a refresh of it gets 481."
            ),
        ]
    ),
    check!(
        unanswered,
        [should(
            "notify-again",
            3261,
            "17.1.2.1",
            "A NOTIFY that is not answered is sent again."
        )
        .over_datagrams()]
    ),
    check!(
        apart,
        [
            must(
                "two-subscriptions",
                6665,
                "4.5.1",
                "Two subscriptions to the same presentity have dialogs of their own."
            ),
            must(
                "one-ends",
                6665,
                "4.5.1",
                "When one ends, the other goes on."
            ),
        ]
    ),
];

async fn changes(peer: &mut Peer) -> Result<(), Stop> {
    let (bob, carol) = (peer.presentity(), peer.presentity());
    let (one, first) = peer.watching(&bob).await?;
    let (two, _) = peer.watching(&bob).await?;
    let (other, _) = peer.watching(&carol).await?;
    let tag = peer.published_state(&bob, "open", "first change").await?;
    let change = peer.notify(&one).await?;
    peer.holds("change-told", true, "a NOTIFY", "it");
    peer.holds(
        "change-state",
        text(&change).contains("first change"),
        "what was published",
        text(&change),
    );
    let numbers = [&first, &change].map(|notify| notify.cseq().map_or(0, |cseq| cseq.number));
    peer.holds(
        "change-cseq",
        numbers[1] == numbers[0] + 1,
        &(numbers[0] + 1).to_string(),
        header(&change, Name::CSeq),
    );
    let second = peer.notify(&two).await?;
    peer.holds(
        "change-to-all",
        text(&second).contains("first change"),
        "what was published",
        text(&second),
    );
    peer.fence().await?;
    let told = peer.has_notify(&other);
    peer.holds(
        "change-others",
        !told,
        "nothing",
        if told { "a NOTIFY" } else { "nothing" },
    );
    let mut remove = peer.publish(&bob, "0").and("SIP-If-Match", tag);
    let response = peer.ask(&mut remove).await?;
    if code(&response) != 200 {
        return Err(Stop::Unready(format!(
            "the removal was answered {}",
            shown(&response)
        )));
    }
    let gone = peer.paced_notify(&one).await?;
    peer.holds(
        "removal-told",
        !text(&gone).contains("first change"),
        "that it is gone",
        text(&gone),
    );
    Ok(())
}

async fn routes(peer: &mut Peer) -> Result<(), Stop> {
    let bob = peer.presentity();
    let own = peer.contact_uri("proxy");
    let routes = [format!("<{own};lr;n=1>"), format!("<{own};lr;n=2>")];
    let request = peer.subscription(&bob, "600");
    let request = request
        .and("Record-Route", routes[0].clone())
        .and("Record-Route", routes[1].clone());
    let (_, notify) = peer.watching_by(request).await?;
    let set: Vec<_> = notify
        .values(Name::Route)
        .map(|value| value.trim().to_owned())
        .collect();
    peer.holds(
        "route-set",
        set == routes,
        "both, in order",
        header(&notify, Name::Route),
    );

    let (mut dialog, _) = peer.watching(&bob).await?;
    let moved = peer.contact_uri("moved");
    dialog.contact = format!("<{moved}>");
    let response = peer.ask_in(&mut dialog, "600").await?;
    if code(&response) != 200 {
        return Err(Stop::Unready(format!(
            "the refresh was answered {}",
            shown(&response)
        )));
    }
    let notify = peer.notify(&dialog).await?;
    peer.holds(
        "target-refresh",
        notify.uri_text() == moved,
        &moved,
        notify.uri_text(),
    );
    Ok(())
}

async fn forgotten(peer: &mut Peer) -> Result<(), Stop> {
    let bob = peer.presentity();
    let (mut dialog, _) = peer.watching(&bob).await?;
    let (witness, _) = peer.watching(&bob).await?;
    let tag = peer.published_state(&bob, "open", "one").await?;
    let notify = peer.unanswered(&dialog).await?;
    peer.answer(&notify, "481 Subscription does not exist")
        .await?;
    peer.notify(&witness).await?;
    let modify = peer.state(&bob, "open", "two").and("SIP-If-Match", tag);
    peer.published(modify).await?;
    // When the witness knows, the other would know as well.
    peer.paced_notify(&witness).await?;
    peer.fence().await?;
    let told = peer.has_notify(&dialog);
    peer.holds(
        "notify-481",
        !told,
        "nothing",
        if told { "a NOTIFY" } else { "nothing" },
    );
    let response = peer.ask_in(&mut dialog, "600").await?;
    peer.answered("notify-481-refresh", &response, &[481]);
    peer.subscribed.remove(&dialog.key());
    Ok(())
}

async fn unanswered(peer: &mut Peer) -> Result<(), Stop> {
    if peer.transport().is_reliable() {
        return Ok(());
    }
    let bob = peer.presentity();
    let request = peer.subscription(&bob, "600");
    let (response, dialog) = peer.subscribe(request).await?;
    if code(&response) != 200 {
        return Err(Stop::Unready(format!(
            "SUBSCRIBE was answered {}",
            shown(&response)
        )));
    }
    let first = peer.unanswered(&dialog).await?;
    let second = peer.unanswered(&dialog).await?;
    let same = branch_of(&first) == branch_of(&second);
    peer.holds(
        "notify-again",
        same,
        &header(&first, Name::Via),
        header(&second, Name::Via),
    );
    peer.answer(&second, "200 OK").await
}

async fn apart(peer: &mut Peer) -> Result<(), Stop> {
    let bob = peer.presentity();
    let (mut one, first) = peer.watching(&bob).await?;
    let (mut two, second) = peer.watching(&bob).await?;
    let differ = first.from_tag() != second.from_tag();
    peer.holds(
        "two-subscriptions",
        differ,
        "two tags",
        header(&second, Name::From),
    );
    peer.ask_in(&mut one, "0").await?;
    peer.notify(&one).await?;
    let response = peer.ask_in(&mut two, "600").await?;
    peer.answered("one-ends", &response, &[200]);
    peer.notify(&two).await.map(drop)
}
