//! The server's side: challenges, and what they are answered by.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use subtle::ConstantTimeEq;

use super::guesses::{Guessing, LoginFailures};
use super::memory::Memory;
use super::params::{Params, Writer};
use super::{Algorithm, Users, nonce, response};
use crate::entropy::Entropy;
use crate::exchange::{Account, Identity};
use crate::sip::{Head, Message, Name, Uri, account_name, plain_user};
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
    /// How guessing is slowed down.
    pub guessing: Guessing,
    /// What all shards of the node have seen; the same also when accounts are read again.
    pub memory: Arc<Memory>,
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

/// Why nobody knows who a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It does not say it, or says it wrongly; or, `stale`, by a nonce that is not good any more (RFC 7616, 3.3).
    Challenge {
        /// Whether the client may try again by itself.
        stale: bool,
    },
    /// Too many from there were wrong: it was not looked at. To be tried again after so long.
    Wait(Duration),
}

/// Challenges requests, and checks credentials.
#[derive(Debug)]
pub struct Challenger {
    how: Arc<Authentication>,
    failures: u64,
    told: Option<LoginFailures>,
}

impl Challenger {
    /// One of those that share a memory.
    pub fn new(how: Arc<Authentication>) -> Self {
        Self {
            how,
            failures: 0,
            told: None,
        }
    }

    /// How many passwords were wrong since this was asked, and what of it is to be told.
    pub fn take_failures(&mut self) -> (u64, Option<LoginFailures>) {
        (std::mem::take(&mut self.failures), self.told.take())
    }

    /// Goes on with other accounts or rules.
    pub fn renew(&mut self, how: Arc<Authentication>) {
        self.how = how;
    }

    /// Who sent a request, from this address and port. An unknown user and a wrong password take the same way and the same time.
    pub fn identify(
        &mut self,
        now: Timestamp,
        request: &Message,
        source: SocketAddr,
    ) -> Result<Identity, Denied> {
        let ip = source.ip().to_canonical();
        if self.how.trusted.iter().any(|own| own.to_canonical() == ip) {
            return Ok(Identity::Trusted);
        }
        let mut denied = Denied::Challenge { stale: false };
        for value in request.texts(Name::Authorization) {
            let credentials = Params::parse(&value);
            let ours = credentials.filter(|own| own.get("realm") == Some(&self.how.realm));
            match ours.map(|own| self.check(now, request, source, &own)) {
                Some(Ok(identity)) => return Ok(identity),
                Some(Err(Denied::Challenge { stale: false })) | None => {}
                Some(Err(error)) => denied = error,
            }
        }
        Err(denied)
    }

    fn check(
        &mut self,
        now: Timestamp,
        request: &Message,
        source: SocketAddr,
        own: &Params,
    ) -> Result<Identity, Denied> {
        let wrong = Denied::Challenge { stale: false };
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
        // Before the password: a nonce of one's own would be a way to try it unseen.
        let stale = Denied::Challenge { stale: true };
        let made = nonce::check(&how.key, given, now, source.ip(), how.nonce_life).ok_or(stale)?;
        let memory = &*how.memory;
        let used = memory.used(made, given, user);
        let from = || memory.source(source, user);
        let goes_on = memory.nonces(used).knows(used);
        if !goes_on {
            let from = from();
            let wait = memory.guesses(from).wait(now, from, how.guessing);
            if !wait.is_zero() {
                return Err(Denied::Wait(wait));
            }
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
            self.failures += 1;
            let from = from();
            let failures = memory.guesses(from).failed(now, from, how.guessing);
            if let Some(failures) = failures {
                self.told = Some(LoginFailures {
                    address: source.ip().to_canonical(),
                    user: for_log(user),
                    failures,
                });
            }
            return Err(wrong);
        }
        let oldest = now - how.nonce_life;
        if !memory.nonces(used).take(used, count, oldest) {
            return Err(stale);
        }
        if !goes_on {
            let from = from();
            memory.guesses(from).succeeded(now, from);
        }
        Ok(Identity::User(how.account(user)))
    }

    /// The challenges of a 401 to this address: one header per algorithm.
    pub fn challenge(
        &self,
        now: Timestamp,
        address: IpAddr,
        stale: bool,
        entropy: &mut Entropy,
    ) -> Head {
        let mut head = Head::with_capacity(400);
        let nonce = nonce::issue(&self.how.key, now, address, entropy);
        for &algorithm in &self.how.offered {
            let mut value = Writer::new();
            value.quoted("realm", &self.how.realm);
            value.quoted("nonce", &nonce);
            value.token("algorithm", algorithm.as_str());
            value.quoted("qop", "auth");
            if stale {
                value.token("stale", "true");
            }
            head.line(Name::WwwAuthenticate, value.finish());
        }
        head
    }
}

/// A user name that can do no harm in a log: cut, and with escapes for all but what may stand in a URI.
fn for_log(user: &str) -> String {
    let cut: String = user.chars().take(64).collect();
    let parts: Vec<String> = cut.split('@').map(plain_user).collect();
    parts.join("@")
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
