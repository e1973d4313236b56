//! What only connections can show.

use rollcall_core::exchange::Transport;

use super::super::peer::{Peer, Stop, code, shown};
use super::super::requirement::must;
use super::{Check, check};

pub(super) const CHECKS: &[Check] = &[
    check!(
        bytes,
        [
            must(
                "pipelined",
                3261,
                "18.3",
                "Two requests in one segment are both answered."
            )
            .over_streams(),
            must(
                "split",
                3261,
                "18.3",
                "A request that comes in pieces is answered when it is whole."
            )
            .over_streams(),
            must(
                "large",
                3261,
                "18.1.1",
                "A request of 20,000 bytes is served."
            )
            .over_streams(),
        ]
    ),
    check!(
        alive,
        [
            must(
                "ping",
                5626,
                "4.4.1",
                "A double line end is answered by a single one."
            )
            .over_streams(),
            must(
                "reused",
                3261,
                "18",
                "A connection serves one request after the other."
            )
            .over_streams(),
        ]
    ),
];

async fn bytes(peer: &mut Peer) -> Result<(), Stop> {
    if !peer.transport().is_reliable() {
        return Ok(());
    }
    if !peer.transport().is_byte_stream() {
        for id in ["pipelined", "split"] {
            peer.not_applicable(id, "a WebSocket message holds one SIP message");
        }
        return large(peer).await;
    }
    let (one, two) = (peer.options(), peer.options());
    peer.tell(&[one.bytes(), two.bytes()].concat()).await?;
    let first = peer.response(&one.branch(), "the first").await?;
    let second = peer.response(&two.branch(), "the second").await?;
    let usual = peer.shared.usual.get();
    let both = code(&first) == usual && code(&second) == usual;
    peer.holds(
        "pipelined",
        both,
        "two usual answers",
        format!("{}, {}", shown(&first), shown(&second)),
    );
    let options = peer.options();
    let bytes = options.bytes();
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    peer.tell(head).await?;
    // Whatever else the server does comes between the halves.
    peer.another().await?.fence().await?;
    peer.tell(tail).await?;
    let response = peer
        .response(&options.branch(), "the request in pieces")
        .await?;
    peer.holds(
        "split",
        code(&response) == usual,
        "the usual answer",
        shown(&response),
    );
    large(peer).await
}

/// Last of all: a server that finds it too large may close the connection.
async fn large(peer: &mut Peer) -> Result<(), Stop> {
    let filler = "x".repeat(1000);
    let mut large = peer.options();
    for number in 0..20 {
        large = large.and(&format!("X-Filler-{number}"), filler.clone());
    }
    let response = peer.ask_once(&large).await?;
    peer.holds(
        "large",
        code(&response) == peer.shared.usual.get(),
        "the usual answer",
        shown(&response),
    );
    Ok(())
}

async fn alive(peer: &mut Peer) -> Result<(), Stop> {
    if !peer.transport().is_reliable() {
        return Ok(());
    }
    for _ in 0..3 {
        let options = peer.options();
        let response = peer.ask_once(&options).await?;
        peer.holds(
            "reused",
            code(&response) == peer.shared.usual.get(),
            "the usual answer",
            shown(&response),
        );
    }
    if matches!(peer.transport(), Transport::Ws | Transport::Wss) {
        peer.not_applicable("ping", "WebSocket has pings of its own");
        return Ok(());
    }
    peer.tell(b"\r\n\r\n").await?;
    // The answer to what comes after it comes after the pong.
    peer.fence().await?;
    peer.holds(
        "ping",
        peer.pongs > 0,
        "a line end",
        if peer.pongs > 0 { "it" } else { "nothing" },
    );
    Ok(())
}
