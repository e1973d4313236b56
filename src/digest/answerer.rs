//! The client's side: answers challenges, and sends credentials along with what follows.

use super::params::{Params, Writer};
use super::{Algorithm, response};
use crate::entropy::Entropy;
use crate::sip::{Message, Name};

/// An account of ours.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What we know of a server that has challenged us.
#[derive(Clone, Debug)]
pub struct Answerer {
    /// The header that carries the answer.
    header: Name,
    user: String,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// Whether the algorithm was named; an old server may not know the parameter.
    names_algorithm: bool,
    counts: bool,
    ha1: String,
    count: u32,
}

impl Answerer {
    /// Reads the challenges of a 401 or 407, and takes the best one that can be answered. `before` is what we answered with
    /// last: a server that refuses the same again, and does not call it stale, is not asked a third time.
    pub fn new(challenge: &Message, account: &Credentials, before: Option<&Self>) -> Option<Self> {
        let (from, header) = match challenge.status()?.code() {
            401 => (Name::WwwAuthenticate, Name::Authorization),
            407 => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
            _ => return None,
        };
        let readable = challenge
            .texts(from)
            .filter_map(|value| Self::read(&Params::parse(&value)?, header, account));
        // The first of the best: servers put first what they like best.
        let (best, is_stale) = readable.reduce(|best, next| {
            if next.0.algorithm > best.0.algorithm {
                next
            } else {
                best
            }
        })?;
        let was_refused = before.is_some_and(|before| before.realm == best.realm);
        (is_stale || !was_refused).then_some(best)
    }

    fn read(params: &Params, header: Name, account: &Credentials) -> Option<(Self, bool)> {
        let (realm, nonce) = (params.get("realm")?, params.get("nonce")?);
        let algorithm = Algorithm::of(params.get("algorithm"))?;
        let counts = match params.get("qop") {
            None => false,
            Some(qops) => {
                let mut offered = qops.split(',').map(str::trim);
                // Integrity protection alone is more than we give.
                offered.find(|qop| qop.eq_ignore_ascii_case("auth"))?;
                true
            }
        };
        let is_stale = params
            .get("stale")
            .is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
        let answerer = Self {
            header,
            user: account.user.clone(),
            realm: realm.to_owned(),
            nonce: nonce.to_owned(),
            opaque: params.get("opaque").map(str::to_owned),
            algorithm,
            names_algorithm: params.get("algorithm").is_some(),
            counts,
            ha1: algorithm.ha1(&account.user, realm, &account.password),
            count: 0,
        };
        Some((answerer, is_stale))
    }

    /// The header for the next request, under the next count.
    pub fn authorize(&mut self, method: &str, uri: &str, entropy: &mut Entropy) -> (Name, String) {
        self.count += 1;
        let (count, cnonce) = (format!("{:08x}", self.count), entropy.token());
        let counted = self.counts.then_some((&*count, &*cnonce));
        let answer = response(self.algorithm, &self.ha1, &self.nonce, counted, method, uri);
        let mut value = Writer::new();
        value.quoted("username", &self.user);
        value.quoted("realm", &self.realm);
        value.quoted("nonce", &self.nonce);
        value.quoted("uri", uri);
        value.quoted("response", &answer);
        if self.names_algorithm {
            value.token("algorithm", self.algorithm.as_str());
        }
        if self.counts {
            value.token("qop", "auth");
            value.token("nc", &count);
            value.quoted("cnonce", &cnonce);
        }
        if let Some(opaque) = &self.opaque {
            value.quoted("opaque", opaque);
        }
        (self.header, value.finish())
    }

    /// Takes the nonce for what comes next, if a response names one (RFC 7616, 3.5).
    pub fn follow(&mut self, response: &Message) {
        let Some(info) = response.text(Name::AuthenticationInfo) else {
            return;
        };
        // The header has the parameters without a scheme in front.
        let next = Params::parse(&["Digest ", &*info].concat());
        if let Some(next) = next.as_ref().and_then(|info| info.get("nextnonce")) {
            next.clone_into(&mut self.nonce);
            self.count = 0;
        }
    }
}
