//! REGISTER (RFC 3261, 10): bindings, their lifetimes, their removal.

use rollcall_core::sip::{Message, Name};

use super::super::peer::{Peer, Stop, code, header, shown};
use super::super::requirement::{must, should};
use super::{Check, check};

pub(super) const CHECKS: &[Check] = &[
    check!(
        bindings,
        [
            must("register", 3261, "10.3", "REGISTER gets 200."),
            must("register-lists", 3261, "10.3", "200 lists the bindings."),
            must("register-expires", 3261, "10.3", "Each with its lifetime."),
            should("register-date", 3261, "10.3", "200 has Date."),
            must(
                "register-query",
                3261,
                "10.2.3",
                "REGISTER without Contact lists the bindings and changes nothing."
            ),
            must(
                "register-two",
                3261,
                "10.2.1",
                "A second binding stands beside the first."
            ),
            must("register-q", 3261, "10.3", "The q of a binding is kept."),
            must(
                "register-remove",
                3261,
                "10.2.2",
                "A binding with expires 0 is removed, and no other."
            ),
            must(
                "register-star",
                3261,
                "10.2.2",
                "`*` with Expires 0 removes all."
            ),
        ]
    ),
    check!(
        refused,
        [
            must(
                "star-expires",
                3261,
                "10.3",
                "`*` without Expires 0 gets 400."
            ),
            must(
                "star-among",
                3261,
                "10.3",
                "`*` beside another Contact gets 400."
            ),
            must(
                "register-require",
                3261,
                "10.3",
                "A Require that nobody knows gets 420."
            ),
            must(
                "register-brief",
                3261,
                "10.3",
                "A lifetime that is too brief gets 423, or is granted."
            ),
            must(
                "register-min-expires",
                3261,
                "10.3",
                "423 says with Min-Expires what would do."
            ),
            must(
                "register-order",
                3261,
                "10.3",
                "A REGISTER of the same Call-ID with a lower CSeq changes nothing."
            ),
            should(
                "register-case",
                3261,
                "10.3",
                "The host of the address of record is the same in capitals."
            ),
        ]
    ),
];

fn offered(response: &Message) -> Result<(), Stop> {
    match code(response) {
        405 | 501 => Err(Stop::NotOffered("REGISTER is not served".to_owned())),
        _ => Ok(()),
    }
}

fn has(response: &Message, contact: &str) -> bool {
    let contacts = response.contacts().unwrap_or_default();
    contacts.iter().any(|own| own.uri.to_string() == contact)
}

fn count(response: &Message) -> usize {
    response.contacts().unwrap_or_default().len()
}

async fn bindings(peer: &mut Peer) -> Result<(), Stop> {
    let bob = peer.presentity();
    let (one, two) = (peer.contact_uri("one"), peer.contact_uri("two"));
    let mut register = peer
        .register(&bob)
        .and("Contact", format!("<{one}>;q=0.7"))
        .and("Expires", "600");
    let response = peer.ask(&mut register).await?;
    offered(&response)?;
    peer.answered("register", &response, &[200]);
    let contacts = header(&response, Name::Contact);
    peer.holds("register-lists", has(&response, &one), &one, &contacts);
    let lives = response.contacts().unwrap_or_default();
    let lives = lives
        .first()
        .and_then(|own| own.expires())
        .is_some_and(|left| (1..=600).contains(&left));
    peer.holds("register-expires", lives, "expires of 1 to 600", &contacts);
    peer.holds(
        "register-date",
        header(&response, Name::Date).ends_with(" GMT"),
        "Date in GMT",
        header(&response, Name::Date),
    );
    let mut second = peer.again(&register).with("Contact", format!("<{two}>"));
    let response = peer.ask(&mut second).await?;
    let both = has(&response, &one) && has(&response, &two);
    peer.holds(
        "register-two",
        both,
        "both",
        header(&response, Name::Contact),
    );
    let mut query = peer.again(&second).without("Contact").without("Expires");
    let response = peer.ask(&mut query).await?;
    let contacts = header(&response, Name::Contact);
    peer.holds("register-query", count(&response) == 2, "both", &contacts);
    let q = response.contacts().unwrap_or_default();
    let q = q
        .iter()
        .any(|own| own.uri.to_string() == one && own.q() == Some(700));
    peer.holds("register-q", q, "q=0.7", contacts);
    let mut remove = peer
        .again(&query)
        .with("Contact", format!("<{one}>;expires=0"));
    let response = peer.ask(&mut remove).await?;
    let left = !has(&response, &one) && has(&response, &two);
    peer.holds(
        "register-remove",
        left,
        &two,
        header(&response, Name::Contact),
    );
    let mut star = peer
        .again(&remove)
        .with("Contact", "*")
        .with("Expires", "0");
    let response = peer.ask(&mut star).await?;
    let none = code(&response) == 200 && count(&response) == 0;
    peer.holds(
        "register-star",
        none,
        "200 without a Contact",
        header(&response, Name::Contact),
    );
    Ok(())
}

async fn refused(peer: &mut Peer) -> Result<(), Stop> {
    let bob = peer.presentity();
    let (one, two) = (peer.contact_uri("one"), peer.contact_uri("two"));
    let mut register = peer
        .register(&bob)
        .and("Contact", format!("<{one}>"))
        .and("Expires", "600");
    offered(&peer.ask(&mut register).await?)?;
    let mut star = peer
        .again(&register)
        .with("Contact", "*")
        .with("Expires", "600");
    let response = peer.ask(&mut star).await?;
    peer.answered("star-expires", &response, &[400]);
    let mut among = peer
        .again(&star)
        .with("Contact", format!("*, <{two}>"))
        .with("Expires", "0");
    let response = peer.ask(&mut among).await?;
    peer.answered("star-among", &response, &[400]);
    let mut require = peer
        .again(&among)
        .with("Contact", format!("<{two}>"))
        .with("Expires", "600")
        .and("Require", "selftest-unknown");
    let response = peer.ask(&mut require).await?;
    peer.answered("register-require", &response, &[420]);
    let mut brief = peer.again(&require).without("Require").with("Expires", "1");
    let response = peer.ask(&mut brief).await?;
    peer.answered("register-brief", &response, &[423, 200]);
    if code(&response) == 423 {
        peer.holds(
            "register-min-expires",
            response.has(Name::MinExpires),
            "Min-Expires",
            header(&response, Name::MinExpires),
        );
    } else {
        peer.not_applicable("register-min-expires", "one second is granted");
    }
    let mut lower = peer
        .again(&brief)
        .with("Contact", format!("<{one}>;expires=0"))
        .with("CSeq", "0 REGISTER");
    let answer = peer.ask(&mut lower).await?;
    let mut query = peer.again(&brief).without("Contact").without("Expires");
    let response = peer.ask(&mut query).await?;
    let stands = has(&response, &one) && code(&answer) != 200;
    let came = format!("{}, {}", shown(&answer), header(&response, Name::Contact));
    peer.holds(
        "register-order",
        stands,
        "a refusal, and the binding as it was",
        came,
    );
    let capitals = bob.replacen(&peer.shared.domain, &peer.shared.domain.to_uppercase(), 1);
    let mut query = peer.register(&capitals);
    let response = peer.ask(&mut query).await?;
    peer.holds(
        "register-case",
        has(&response, &one),
        &one,
        header(&response, Name::Contact),
    );
    Ok(())
}
