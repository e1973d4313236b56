//! Who sent a request, and which names that gives it a right to (docs/adr/0009).

use std::sync::Arc;

use crate::sip::{HeaderError, Message, Name, NameAddr, account_name, at_home, user_of};

/// Who sent a request, as far as its endpoint has found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// Nobody asks: authentication is off.
    #[default]
    Unchecked,
    /// A peer that speaks for anybody, by configuration.
    Trusted,
    /// An account.
    User(Account),
}

/// An account that a request was authenticated as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    name: Arc<str>,
    every_host: bool,
    anybody: bool,
}

impl Account {
    /// An account with its user name, which is one of `home` unless it brings a host.
    pub fn new(user: &str, home: &str) -> Self {
        Self {
            name: account_name(user, home).into(),
            every_host: false,
            anybody: false,
        }
    }

    /// Its user's name is good with every host, as no domain is configured.
    pub const fn with_every_host(mut self, every_host: bool) -> Self {
        self.every_host = every_host;
        self
    }

    /// It may publish and register for anybody.
    pub const fn for_anybody(mut self, anybody: bool) -> Self {
        self.anybody = anybody;
        self
    }

    /// Whether it may publish and register for anybody.
    pub const fn is_for_anybody(&self) -> bool {
        self.anybody
    }

    /// Its one name: see [`crate::sip::Uri::aor`].
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether this is a name of its own.
    pub fn is(&self, aor: &str) -> bool {
        *self.name == *aor
            || self.every_host
                && aor.starts_with("sip:")
                && aor.contains('@')
                && user_of(&self.name) == user_of(aor)
    }
}

impl Identity {
    /// Whether it may publish and register for this address of record (RFC 3903, 6, step 3; RFC 3261, 10.3, step 4).
    pub fn speaks_for(&self, aor: &str) -> bool {
        match self {
            Self::User(account) => account.anybody || account.is(aor),
            Self::Unchecked | Self::Trusted => true,
        }
    }

    /// Whether it is a peer's of ours: a trusted one, or an account that publishes for anybody.
    pub const fn is_for_anybody(&self) -> bool {
        match self {
            Self::Trusted => true,
            Self::User(account) => account.is_for_anybody(),
            Self::Unchecked => false,
        }
    }

    /// Whether it may go on with what this watcher has begun.
    pub fn may_be(&self, watcher: &str) -> bool {
        match self {
            Self::User(account) => account.is(watcher),
            Self::Unchecked | Self::Trusted => true,
        }
    }

    /// The name of whoever watches a presentity by this request, where From does not say it. An account is itself, whatever
    /// From says, and is the presentity where that is a name of its own; a trusted peer says by P-Asserted-Identity whom it
    /// has asked for a password (RFC 3325, 5), and where it does not, by From.
    pub fn watcher(
        &self,
        request: &Message,
        presentity: &str,
        home: Option<&str>,
    ) -> Result<Option<Arc<str>>, HeaderError> {
        let name: Arc<str> = match self {
            Self::Unchecked => return Ok(None),
            Self::Trusted => match asserted(request)? {
                Some(name) => at_home(name, home).into(),
                None => return Ok(None),
            },
            Self::User(account) if account.is(presentity) => presentity.into(),
            Self::User(account) => account.name.clone(),
        };
        let from = at_home(request.from()?.uri.aor(), home);
        Ok((from != *name).then_some(name))
    }
}

/// Whom P-Asserted-Identity names: a SIP URI before a number, where it has both (RFC 3325, 9.1).
fn asserted(request: &Message) -> Result<Option<String>, HeaderError> {
    let mut number = None;
    for value in request.values(Name::PAssertedIdentity) {
        let uri = NameAddr::parse(&value)
            .map_err(|reason| HeaderError::new(Name::PAssertedIdentity, reason))?
            .uri;
        let name = uri.aor();
        match name.strip_prefix("tel:") {
            None => return Ok(Some(name)),
            Some(_) => number = number.or(Some(name)),
        }
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(lines: &str) -> Message {
        let text = format!(
            "SUBSCRIBE sip:alice@example.com SIP/2.0\r\nFrom: <sip:bob@OTHER.example.>;tag=a\r\n{lines}\r\n"
        );
        Message::parse(text.into()).expect("a request")
    }

    fn watcher(identity: &Identity, lines: &str) -> Option<String> {
        let name = identity.watcher(
            &request(lines),
            "sip:alice@example.com",
            Some("example.com"),
        );
        name.expect("it is read").map(|name| name.to_string())
    }

    #[test]
    fn an_account_is_its_own_name_under_any_spelling_and_no_other() {
        let account = Account::new("bob", "Example.COM");
        assert_eq!(&**account.name(), "sip:bob@example.com");
        let everywhere = account.clone().with_every_host(true);
        for (aor, here, anywhere) in [
            ("sip:bob@example.com", true, true),
            ("sip:bob@192.0.2.1", false, true),
            ("sip:Bob@example.com", false, false),
            ("sip:bobby@example.com", false, false),
            ("sip:bob", false, false),
            ("sip:bob%40example.com@x", false, false),
            ("tel:bob", false, false),
        ] {
            assert_eq!(account.is(aor), here, "{aor}");
            assert_eq!(everywhere.is(aor), anywhere, "{aor}");
        }
        let client = Identity::User(account.for_anybody(true));
        assert!(client.speaks_for("sip:eve@example.com") && !client.may_be("sip:eve@example.com"));
        assert!(
            Identity::Trusted.speaks_for("sip:a@b") && Identity::Unchecked.speaks_for("sip:a@b")
        );
    }

    #[test]
    fn the_account_is_the_watcher_whatever_from_says() {
        let user = |user: &str| Identity::User(Account::new(user, "example.com"));
        assert_eq!(
            watcher(&user("bob"), "").as_deref(),
            Some("sip:bob@example.com")
        );
        // From says it.
        assert_eq!(watcher(&user("bob@other.EXAMPLE"), ""), None);
        // Whom a stranger asserts to be is nothing to us.
        let asserted = "P-Asserted-Identity: <sip:eve@example.com>\r\n";
        assert_eq!(
            watcher(&user("bob"), asserted).as_deref(),
            Some("sip:bob@example.com")
        );
        assert_eq!(watcher(&Identity::Unchecked, asserted), None);
        // Himself.
        let alice = Account::new("alice", "realm").with_every_host(true);
        assert_eq!(
            watcher(&Identity::User(alice), "").as_deref(),
            Some("sip:alice@example.com")
        );
    }

    #[test]
    fn a_trusted_peer_says_who_watches() {
        for (lines, name) in [
            ("", None),
            (
                "P-Asserted-Identity: \"E\" <sips:eve@EXAMPLE.com:5061>\r\n",
                Some("sip:eve@example.com"),
            ),
            (
                "P-Asserted-Identity: <tel:+1-555>, <sip:eve@x>\r\n",
                Some("sip:eve@x"),
            ),
            (
                "P-Asserted-Identity: tel:+1-555\r\n",
                Some("sip:+1555@example.com"),
            ),
            ("P-Asserted-Identity: <sip:bob@other.example>\r\n", None),
        ] {
            assert_eq!(
                watcher(&Identity::Trusted, lines).as_deref(),
                name,
                "{lines}"
            );
        }
        let wrong = request("P-Asserted-Identity: <sip:\r\n");
        assert!(Identity::Trusted.watcher(&wrong, "sip:a@b", None).is_err());
    }
}
