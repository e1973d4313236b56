//! The server's side: challenges, and what they are answered by.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use subtle::ConstantTimeEq;

use super::params::{Params, Writer};
use super::replay::Replays;
use super::{Algorithm, Users, nonce, response};
use crate::entropy::Entropy;
use crate::exchange::{Account, Identity};
use crate::sip::{Head, Message, Name, Uri, account_name};
use crate::time::Timestamp;

/// How a node authenticates requests; the same for all its shards.
#[derive(Clone)]
pub struct Authentication {
    /// The realm of the challenges, and of the users.
    pub realm: String,
    /// The accounts.
    pub users: Users,
    /// What is offered, in this order: clients take the first that they know (RFC 8760, 2.4). Any is taken.
    pub offered: Vec<Algorithm>,
    /// How long a nonce is good for, and its counts are remembered. After it, the client gets a new one with `stale`, and needs no password again.
    pub nonce_life: Duration,
    /// The domain of a user whose name has none; `None` when every domain is served: then it is the realm, and the user's name
    /// is good with every host, unless another account has that name with a host.
    pub host: Option<String>,
    /// Accounts that may publish for anybody, under any spelling of their names.
    pub publishers: Vec<String>,
    /// Addresses of peers that need no password, and may publish for anybody. Over UDP a sender can make up his address.
    pub trusted: Vec<IpAddr>,
    /// Of nonces; drawn anew with each life of the node.
    pub key: [u8; 32],
}

impl std::fmt::Debug for Authentication {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authentication")
            .field("realm", &self.realm)
            .field("trusted", &self.trusted)
            .finish_non_exhaustive()
    }
}

impl Authentication {
    /// The domain of accounts whose names have none.
    pub fn home(&self) -> &str {
        self.host.as_deref().unwrap_or(&self.realm)
    }

    fn account(&self, user: &str) -> Account {
        let home = self.home();
        let account = Account::new(user, home);
        let publishes = self
            .publishers
            .iter()
            .any(|publisher| account_name(publisher, home) == **account.name());
        let every_host = self.host.is_none()
            && !user.contains('@')
            && !self.users.has_with_host(user, &self.realm);
        account.with_every_host(every_host).for_anybody(publishes)
    }
}

/// A request that says not who it comes from, or says it wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Whether all but the nonce was right (RFC 7616, 3.3).
    pub stale: bool,
}

/// Challenges requests, and checks credentials.
#[derive(Debug)]
pub struct Challenger {
    how: Arc<Authentication>,
    replays: Replays,
}

impl Challenger {
    /// With nothing seen yet.
    pub fn new(how: Arc<Authentication>) -> Self {
        Self {
            how,
            replays: Replays::default(),
        }
    }

    /// Goes on with other accounts or rules. What was seen of nonces counts on.
    pub fn renew(&mut self, how: Arc<Authentication>) {
        self.how = how;
    }

    /// Who sent a request. An unknown user and a wrong password take the same way and the same time.
    pub fn identify(
        &mut self,
        now: Timestamp,
        request: &Message,
        source: IpAddr,
    ) -> Result<Identity, Denied> {
        let source = source.to_canonical();
        if self
            .how
            .trusted
            .iter()
            .any(|own| own.to_canonical() == source)
        {
            return Ok(Identity::Trusted);
        }
        let mut denied = Denied { stale: false };
        for value in request.texts(Name::Authorization) {
            let credentials = Params::parse(&value);
            let ours = credentials.filter(|own| own.get("realm") == Some(&self.how.realm));
            match ours.map(|own| self.check(now, request, &own)) {
                Some(Ok(identity)) => return Ok(identity),
                Some(Err(error)) => denied.stale |= error.stale,
                None => {}
            }
        }
        Err(denied)
    }

    fn check(
        &mut self,
        now: Timestamp,
        request: &Message,
        own: &Params,
    ) -> Result<Identity, Denied> {
        let wrong = Denied { stale: false };
        let how = &*self.how;
        let get = |name| own.get(name).ok_or(wrong);
        let (user, given, uri, told) = (
            get("username")?,
            get("nonce")?,
            get("uri")?,
            get("response")?,
        );
        let algorithm = Algorithm::of(own.get("algorithm")).ok_or(wrong)?;
        let counted = match own.get("qop") {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => Some((get("nc")?, get("cnonce")?)),
            Some(_) => return Err(wrong),
        };
        let count = match counted {
            Some((count, _)) if count.len() == 8 => {
                u32::from_str_radix(count, 16).map_err(|_| wrong)?
            }
            Some(_) => return Err(wrong),
            // Phones of RFC 2069 don't count: each nonce is good for one request of theirs.
            None => 0,
        };
        if !is_about(request, uri) {
            return Err(wrong);
        }
        let known = how.users.ha1(user, &how.realm, algorithm);
        // Somebody who is not there takes as long as somebody who is.
        let decoy = "0".repeat(algorithm.digits());
        let method = request.method().ok_or(wrong)?.as_str();
        let right = response(
            algorithm,
            known.unwrap_or(&decoy),
            given,
            counted,
            method,
            uri,
        );
        let told = told.to_ascii_lowercase();
        let is_right: bool = right.as_bytes().ct_eq(told.as_bytes()).into();
        if !is_right || known.is_none() {
            return Err(wrong);
        }
        let stale = Denied { stale: true };
        let made = nonce::check(&how.key, given, now, how.nonce_life).ok_or(stale)?;
        let oldest = now - how.nonce_life;
        if !self.replays.take(made, given, count, oldest) {
            return Err(stale);
        }
        Ok(Identity::User(how.account(user)))
    }

    /// Whether credentials that were found right use a nonce that was sent to this address: then it is nobody else who speaks
    /// from there.
    pub fn was_sent_to(&self, request: &Message, source: IpAddr) -> bool {
        request.texts(Name::Authorization).any(|value| {
            let own = Params::parse(&value);
            let nonce = own.as_ref().and_then(|own| own.get("nonce"));
            nonce.is_some_and(|nonce| nonce::was_sent_to(&self.how.key, nonce, source))
        })
    }

    /// The challenges of a 401 that goes to `source`: one header per algorithm.
    pub fn challenge(
        &self,
        now: Timestamp,
        denied: Denied,
        source: IpAddr,
        entropy: &mut Entropy,
    ) -> Head {
        let mut head = Head::with_capacity(400);
        let nonce = nonce::issue(&self.how.key, now, source, entropy);
        for &algorithm in &self.how.offered {
            let mut value = Writer::new();
            value.quoted("realm", &self.how.realm);
            value.quoted("nonce", &nonce);
            value.token("algorithm", algorithm.as_str());
            value.quoted("qop", "auth");
            if denied.stale {
                value.token("stale", "true");
            }
            head.line(Name::WwwAuthenticate, value.finish());
        }
        head
    }
}

/// Whether the `uri` of credentials is the request's, or names what the Request-URI or To names, as proxies write the
/// Request-URI anew; or names a server alone, as sipp and its like write there. That takes little away: each count is
/// good for one request, and an account speaks for itself whatever it asks.
fn is_about(request: &Message, uri: &str) -> bool {
    if request.uri_text() == uri {
        return true;
    }
    let Ok(uri) = Uri::parse(uri) else {
        return false;
    };
    if uri.user.is_none() && uri.opaque.is_none() {
        return true;
    }
    let to = request.to().ok().map(|to| to.uri);
    [request.request_uri().ok(), to]
        .into_iter()
        .flatten()
        .any(|own| own.aor() == uri.aor())
}
