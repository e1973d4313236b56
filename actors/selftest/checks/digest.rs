//! Digest (RFC 8760, 7616), where an account is given.

use rollcall_core::digest::{Answerer, Credentials};
use rollcall_core::entropy::Entropy;
use rollcall_core::sip::{Message, Name};

use super::super::peer::{Peer, Stop, code, header, shown};
use super::super::requirement::{must, should};
use super::{Check, check};

pub(super) const CHECKS: &[Check] = &[check!(
    login,
    [
        must(
            "challenge",
            3261,
            "22.2",
            "A PUBLISH without credentials gets 401 with WWW-Authenticate."
        ),
        must(
            "challenge-subscribe",
            3856,
            "6.6.1",
            "A SUBSCRIBE without credentials is challenged, too."
        ),
        must(
            "challenge-parts",
            7616,
            "3.3",
            "The challenge has realm, nonce and qop."
        ),
        must(
            "challenge-qop",
            8760,
            "2.6",
            "qop offers auth, between quotes."
        ),
        should(
            "challenge-best",
            8760,
            "2.3",
            "SHA-256 is offered, and before MD5."
        ),
        must(
            "login",
            3261,
            "22.2",
            "With the right credentials it is served."
        ),
        must(
            "wrong-password",
            3261,
            "22.2",
            "With a wrong password it is not."
        ),
        must(
            "unknown-user",
            7616,
            "5.3",
            "An unknown user is refused as a wrong password is."
        ),
        must(
            "stale-nonce",
            7616,
            "3.3",
            "A nonce that was never given is refused, and a new one offered."
        ),
        must(
            "replayed",
            7616,
            "3.4",
            "Credentials of a request are no good for another one with the same nonce count."
        ),
    ]
)];

async fn challenged(peer: &mut Peer, user: &str, password: &str) -> Result<Message, Stop> {
    let publish = own_state(peer, user);
    let challenge = peer.ask_once(&publish).await?;
    let account = Credentials {
        user: user.to_owned(),
        password: password.to_owned(),
    };
    let Some(mut answerer) = Answerer::new(&challenge, &account, None) else {
        return Ok(challenge);
    };
    let (name, value) = answerer.authorize("PUBLISH", &publish.uri, &mut Entropy::from_number(7));
    let again = peer.again(&publish).with(name.as_str(), value);
    peer.ask_once(&again).await
}

/// A PUBLISH for the user's own presentity, which is the only one that an account may publish for. It publishes nothing: its
/// body is a refresh of what is not there.
fn own_state(peer: &mut Peer, user: &str) -> super::super::request::Request {
    let own = format!(
        "sip:{}@{}",
        user.split('@').next().unwrap_or(user),
        peer.shared.domain
    );
    peer.publish(&own, "600")
        .and("SIP-If-Match", "selftest-never-given")
}

async fn login(peer: &mut Peer) -> Result<(), Stop> {
    let Some(account) = peer.shared.account.clone() else {
        return Err(Stop::NotOffered("no account was given (--user)".to_owned()));
    };
    let publish = own_state(peer, &account.user);
    let challenge = peer.ask_once(&publish).await?;
    let asks = code(&challenge) == 401 && challenge.has(Name::WwwAuthenticate);
    peer.holds(
        "challenge",
        asks,
        "401 with WWW-Authenticate",
        shown(&challenge),
    );
    if !asks {
        return Err(Stop::Unready(format!(
            "PUBLISH was answered {}",
            shown(&challenge)
        )));
    }
    let offers: Vec<String> = challenge
        .texts(Name::WwwAuthenticate)
        .map(|offer| offer.into_owned())
        .collect();
    let all = offers.iter().all(|offer| {
        ["realm=\"", "nonce=\"", "qop="]
            .iter()
            .all(|part| offer.contains(part))
    });
    peer.holds(
        "challenge-parts",
        all,
        "all three",
        header(&challenge, Name::WwwAuthenticate),
    );
    let quoted = offers.iter().all(|offer| offer.contains("qop=\"auth"));
    peer.holds(
        "challenge-qop",
        quoted,
        "qop=\"auth\"",
        header(&challenge, Name::WwwAuthenticate),
    );
    let place = |name: &str| {
        offers
            .iter()
            .position(|offer| offer.contains(&format!("algorithm={name}")))
    };
    let best = place("SHA-256").is_some_and(|sha| place("MD5").is_none_or(|md5| sha < md5));
    peer.holds(
        "challenge-best",
        best,
        "SHA-256 first",
        header(&challenge, Name::WwwAuthenticate),
    );
    let presentity = peer.presentity();
    let subscribe = peer.subscription(&presentity, "600");
    let response = peer.ask_once(&subscribe).await?;
    peer.answered("challenge-subscribe", &response, &[401, 407]);

    // Of whoever is let in, the entity-tag is refused.
    let response = challenged(peer, &account.user, &account.password).await?;
    peer.answered("login", &response, &[412]);
    let response = challenged(peer, &account.user, "selftest-wrong").await?;
    peer.answered("wrong-password", &response, &[401, 403]);
    let refusal = code(&response);
    let token = peer.token();
    let response = challenged(peer, &format!("selftest-{token}"), "selftest-wrong").await?;
    peer.answered("unknown-user", &response, &[refusal]);

    let mut answerer = Answerer::new(&challenge, &account, None)
        .ok_or_else(|| Stop::Unready("the challenge can't be answered".to_owned()))?;
    let (name, value) = answerer.authorize("PUBLISH", &publish.uri, &mut Entropy::from_number(8));
    let nonce = value
        .split("nonce=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let forged = value.replace(nonce.unwrap_or_default(), "selftest-never-given");
    let request = peer.again(&publish).with(name.as_str(), forged);
    let response = peer.ask_once(&request).await?;
    let anew = code(&response) == 401 && response.has(Name::WwwAuthenticate);
    peer.holds(
        "stale-nonce",
        anew,
        "401 with another nonce",
        shown(&response),
    );

    let first = peer.again(&request).with(name.as_str(), value.clone());
    let response = peer.ask_once(&first).await?;
    if code(&response) != 412 {
        return Err(Stop::Unready(format!(
            "credentials were answered {}",
            shown(&response)
        )));
    }
    let second = peer.again(&first);
    let response = peer.ask_once(&second).await?;
    peer.answered("replayed", &response, &[401]);
    Ok(())
}
