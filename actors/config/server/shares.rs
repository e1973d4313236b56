//! Bounds of what one account or one address may have of a server.

use std::net::IpAddr;

use rollcall_core::registry::{Share, Shares};

use crate::config::Section;
use crate::config::address::IP;
use crate::config::kind::{List, Optional, Truth, Whole};
use crate::config::size::Size;

/// Connections of one address, of a server or a Manager.
pub(in crate::config) fn connections(s: &mut Section<'_>) -> Option<usize> {
    s.key(
        "connections",
        "Connections at a time; the next one gets the place of an idle one of the same address, or is closed.",
        Optional {
            none: "auto",
            meaning: "a quarter of limits.connections",
            kind: Whole(1..=1_000_000),
        },
        None,
    )
}

/// Reads the two sections: the shares, and how many connections an address may have.
pub(super) fn shares(s: &mut Section<'_>) -> (Shares, Option<usize>) {
    let default = Shares::default();
    let account = s.section("account", |s| share(s, default.account));
    s.section("source", |s| {
        let source = share(s, default.source);
        let connections = connections(s);
        let shares = Shares {
        account,
        source,
        loopback: s.key(
            "loopback",
            "Whether loopback addresses are bounded too. They are not, so that trying out and measuring need no settings.",
            Truth,
            default.loopback,
        ),
        exempt: s.key(
            "exempt",
            "Addresses that are not bounded: proxies, and Presence Clients that publish for many. With digest, those of \
             digest.trusted and the accounts of digest.publishers are not either.",
            List { least: 0, kind: IP },
            Vec::<IpAddr>::new(),
        ),
        accounts: default.accounts,
        };
        (shares, connections)
    })
}

fn share(s: &mut Section<'_>, default: Share) -> Share {
    Share {
        subscriptions: s.key(
            "subscriptions",
            "Subscriptions, and watchers that wait for a decision; more get 403.",
            Whole(1..=1_000_000_000),
            default.subscriptions,
        ),
        publications: s.key(
            "publications",
            "Publications; more get 403.",
            Whole(1..=1_000_000_000),
            default.publications,
        ),
        bindings: s.key(
            "bindings",
            "Contacts registered; more get 403.",
            Whole(1..=1_000_000_000),
            default.bindings,
        ),
        bytes: s.key(
            "bytes",
            "Bytes of published documents; more get 403.",
            Size(1024..=1 << 50),
            default.bytes,
        ),
        rate: s.key(
            "rate",
            "Requests in a second, in the long run; over it 503 with Retry-After, or 500 where a proxy is between.",
            Whole(1..=1_000_000),
            default.rate,
        ),
        burst: s.key(
            "burst",
            "Requests at once, as when a client starts, before the rate counts.",
            Whole(1..=1_000_000),
            default.burst,
        ),
    }
}
