//! Publications in parts (RFC 5264), where they are offered.

use rollcall_core::sip::Name;

use super::super::builders::{document, text};
use super::super::peer::{Peer, Stop, code, shown};
use super::super::requirement::must;
use super::{Check, check};

const PARTIAL: &str = "application/pidf-diff+xml";

pub(super) const CHECKS: &[Check] = &[check!(
    parts,
    [
        must(
            "part-replace",
            5264,
            "4.3.2",
            "A part that replaces something changes that and nothing else."
        ),
        must(
            "part-add",
            5264,
            "4.3.2",
            "A part that adds something adds it."
        ),
        must(
            "part-remove",
            5264,
            "4.3.2",
            "A part that removes something removes it."
        ),
        must(
            "part-atomic",
            5264,
            "4.3.2",
            "A part of which one step fails changes nothing."
        ),
        must(
            "part-initial",
            5264,
            "4.3.2",
            "A part without a publication that it is a part of is refused."
        ),
    ]
)];

/// A document of changes.
fn changes(entity: &str, steps: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><p:pidf-diff xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:p=\"urn:ietf:params:xml:ns:pidf-diff\" entity=\"{entity}\">{steps}</p:pidf-diff>"
    )
}

async fn parts(peer: &mut Peer) -> Result<(), Stop> {
    let options = peer.options();
    let response = peer.ask_once(&options).await.map_err(Stop::unready)?;
    if !response
        .values(Name::Accept)
        .any(|kind| kind.trim().eq_ignore_ascii_case(PARTIAL))
    {
        return Err(Stop::NotOffered(format!(
            "{PARTIAL} is not in the Accept of OPTIONS"
        )));
    }
    let bob = peer.presentity();
    let body = document(&bob, "a", "open", "as it was");
    let publish = peer.publish(&bob, "600").body("application/pidf+xml", body);
    let mut tag = peer.published(publish).await?;
    for (id, steps, wanted, unwanted) in [
        (
            "part-replace",
            "<p:replace sel=\"*/tuple/note/text()\">replaced</p:replace>",
            "replaced",
            "as it was",
        ),
        (
            "part-add",
            "<p:add sel=\"*\"><note>added</note></p:add>",
            "added",
            "as it was",
        ),
        (
            "part-remove",
            "<p:remove sel=\"*/tuple/note\"/>",
            "added",
            "replaced",
        ),
    ] {
        let mut part = peer
            .publish(&bob, "600")
            .and("SIP-If-Match", tag.clone())
            .body(PARTIAL, changes(&bob, steps));
        let response = peer.ask(&mut part).await?;
        let shown_state = text(&peer.fetched(&bob).await?);
        let well = code(&response) == 200
            && shown_state.contains(wanted)
            && !shown_state.contains(unwanted);
        peer.holds(
            id,
            well,
            wanted,
            format!("{}: {shown_state}", shown(&response)),
        );
        if code(&response) == 200 {
            tag = super::super::builders::tag(&response);
        }
    }
    let steps =
        "<p:add sel=\"*\"><note>half</note></p:add><p:remove sel=\"*/tuple[@id='nobody']\"/>";
    let mut part = peer
        .publish(&bob, "600")
        .and("SIP-If-Match", tag)
        .body(PARTIAL, changes(&bob, steps));
    let response = peer.ask(&mut part).await?;
    let state = text(&peer.fetched(&bob).await?);
    let well = (400..500).contains(&code(&response)) && !state.contains("half");
    peer.holds(
        "part-atomic",
        well,
        "4xx, and the state as it was",
        format!("{}: {state}", shown(&response)),
    );
    let carol = peer.presentity();
    let mut part = peer
        .publish(&carol, "600")
        .body(PARTIAL, changes(&carol, "<p:remove sel=\"*/note\"/>"));
    let response = peer.ask(&mut part).await?;
    peer.holds(
        "part-initial",
        (400..500).contains(&code(&response)),
        "4xx",
        shown(&response),
    );
    Ok(())
}
