//! What a registry is told at birth: its domains, limits, and event packages as data.

use std::sync::Arc;
use std::time::Duration;

use super::books::Books;
use super::shares::Shares;
use crate::egress::Egress;
use crate::pidf;
use crate::sip::{UriParts, at_home, domain, host_of, user_of};
use crate::subscription::Dialog;
use crate::watcherinfo::{self, Handling};

/// How the publications of a presentity become the one document that watchers see (RFC 3903, 6; RFC 4479).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compositor {
    /// Presence: PIDF documents are composed by person, service and device.
    Presence,
    /// The body that came last is shown as it came; nothing is looked into.
    Latest,
    /// Nothing is published: the state is who watches in the package that this one's name is made of (RFC 3857).
    Watchers,
}

/// Bounds of a granted duration, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durations {
    /// Granted when none is asked for.
    pub default: u32,
    /// Less is refused with 423; 0 is always taken as the end.
    pub min: u32,
    /// More is cut down to this.
    pub max: u32,
}

impl Durations {
    /// What is granted for what was asked, or the minimum when that was too little.
    pub fn grant(self, asked: Option<u32>) -> Result<u32, u32> {
        match asked {
            None => Ok(self.default.min(self.max)),
            Some(0) => Ok(0),
            Some(asked) if asked < self.min => Err(self.min),
            Some(asked) => Ok(asked.min(self.max)),
        }
    }
}

/// An event package (RFC 6665, 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// As in the Event header.
    pub name: Arc<str>,
    /// Media types of NOTIFY, the preferred one first.
    pub body_types: Vec<Arc<str>>,
    /// Media types of published bodies, the preferred one first.
    pub publish_types: Vec<Arc<str>>,
    /// Publication life.
    pub publication: Durations,
    /// Subscription life.
    pub subscription: Durations,
    /// How publications are combined.
    pub compositor: Compositor,
}

impl Package {
    /// `presence` (RFC 3856): PIDF, published also in parts (RFC 5264), an hour.
    pub fn presence() -> Self {
        let durations = Durations {
            default: 3600,
            min: 60,
            max: 3600,
        };
        Self {
            name: "presence".into(),
            body_types: vec![pidf::CONTENT_TYPE.into()],
            publish_types: vec![pidf::CONTENT_TYPE.into(), pidf::PARTIAL_CONTENT_TYPE.into()],
            publication: durations,
            subscription: durations,
            compositor: Compositor::Presence,
        }
    }

    /// `presence.winfo` (RFC 3857, 4): watcherinfo, an hour.
    pub fn presence_winfo() -> Self {
        Self {
            name: watcherinfo::PACKAGE.into(),
            body_types: vec![watcherinfo::CONTENT_TYPE.into()],
            publish_types: Vec::new(),
            compositor: Compositor::Watchers,
            ..Self::presence()
        }
    }

    /// The name of the package that this one tells the watchers of.
    pub fn base(&self) -> Option<&str> {
        self.name.strip_suffix(".winfo")
    }

    /// Whether it has publications at all.
    pub fn is_published(&self) -> bool {
        !self.publish_types.is_empty()
    }

    /// Whether NOTIFYs may have this body type.
    pub fn tells(&self, name: &str) -> bool {
        let mut known = self.body_types.iter();
        known.any(|known| known.eq_ignore_ascii_case(name))
    }

    /// The package's own instance of a published body type, if it is one of its types.
    pub fn publish_type(&self, name: &str) -> Option<&Arc<str>> {
        let mut known = self.publish_types.iter();
        known.find(|known| known.eq_ignore_ascii_case(name))
    }
}

/// Bounds that keep one peer from taking everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Presentities of the node with publications, and as many addresses of record with contacts.
    pub presentities: usize,
    /// Publications of a presentity.
    pub publications: usize,
    /// Subscriptions to a presentity.
    pub subscriptions: usize,
    /// Contacts of an address of record.
    pub bindings: usize,
    /// Bytes of a published body.
    pub body: usize,
    /// Bytes of all published bodies of a presentity. What is composed of them goes to each watcher.
    pub state: usize,
    /// Bytes of memory that the rows of the node may take; beyond it new state is refused.
    pub memory: u64,
    /// Watchers of a presentity that wait for a decision, and as many decided about.
    pub watchers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            presentities: 4_000_000,
            publications: 32,
            subscriptions: 100_000,
            bindings: 32,
            body: 65_536,
            state: 2_097_152,
            memory: u64::MAX,
            watchers: 10_000,
        }
    }
}

/// What the registrar gives beyond bindings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registrar {
    /// Public GRUUs, to those that support them (RFC 5627, 5.2).
    pub gruu: bool,
    /// An open tuple of the lowest priority for who is registered (RFC 3856, 7.2).
    pub presence: bool,
}

/// Settings of a registry. Those of all shards of a node are the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Domains that presentities are served for; none at all: any.
    pub domains: Vec<String>,
    /// The domain of telephone numbers, and of accounts that have none of their own: the first domain, or else the realm of the
    /// accounts, which are good with every host then. `None`: any domain is served, and there are no accounts.
    pub home: Option<String>,
    /// The event packages.
    pub packages: Vec<Package>,
    /// Registration life.
    pub registration: Durations,
    /// Bounds.
    pub limits: Limits,
    /// Bounds of each account and address.
    pub shares: Shares,
    /// What the shards of a node count together.
    pub books: Books,
    /// Granted durations are cut by a random part of up to this many percent, so that a crowd that came together does
    /// not come back together. Never below the minimum.
    pub spread_percent: u32,
    /// The first change of a presentity is told at once; after it, changes are gathered for this long (RFC 3856, 6.10
    /// asks for 5 s between them). Zero: every change is told at once.
    pub pacing: Duration,
    /// So many NOTIFYs in a row may go unanswered before the subscription ends (RFC 6665, 4.2.2 makes it a SHOULD).
    pub notify_timeouts: u32,
    /// Told in Retry-After when a request can't be served for now, in seconds.
    pub retry_after: u32,
    /// Whether the store is told which presentities' watchers all know the state, so that they are not told again after a restart. Of
    /// use where the store keeps anything.
    pub remember_settled: bool,
    /// What watchers are told of a presence presentity without publications: a document with one closed tuple, or, when
    /// this is off, nothing (an empty NOTIFY).
    pub offline_document: bool,
    /// How watchers are treated about whom nobody has decided.
    pub policy: Handling,
    /// How long a watcher whose pending subscription has ended is kept waiting for a decision (RFC 3857, 4.7.1).
    pub keep_waiting: Duration,
    /// What the registrar gives beyond bindings.
    pub registrar: Registrar,
    /// Where nothing is sent, and whose addresses nobody makes up.
    pub egress: Arc<Egress>,
    /// Whether [`super::Effect::Note`] is given for each change. Off: nothing is spent on it.
    pub notes: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            home: None,
            packages: vec![Package::presence()],
            registration: Durations {
                default: 3600,
                min: 60,
                max: 86_400,
            },
            limits: Limits::default(),
            shares: Shares::default(),
            books: Books::default(),
            spread_percent: 0,
            pacing: Duration::ZERO,
            notify_timeouts: 1,
            retry_after: 5,
            remember_settled: false,
            offline_document: false,
            registrar: Registrar::default(),
            policy: Handling::Allow,
            keep_waiting: Duration::from_secs(30 * 86_400),
            egress: Arc::default(),
            notes: false,
        }
    }
}

impl Settings {
    /// Whether presentities of this host are ours.
    pub fn serves(&self, host: &str) -> bool {
        self.domains.is_empty() || self.domains.iter().any(|own| domain(own) == domain(host))
    }

    /// The name of a URI's presentity or watcher among those that are known here.
    pub fn name_of(&self, uri: &UriParts<'_>) -> String {
        at_home(uri.aor(), self.home.as_deref())
    }

    /// Who watches in a dialog.
    pub fn watcher(&self, dialog: &Dialog) -> String {
        at_home(dialog.watcher(), self.home.as_deref())
    }

    /// Whether both names may be the same person's, so that to block one must block the other: where no domain is configured,
    /// an account is good with every host, and a telephone number has none.
    pub fn may_be_same(&self, one: &str, two: &str) -> bool {
        let wide = |name: &str| {
            let host = host_of(name);
            host.is_none() || self.home.is_some() && host == self.home.as_deref()
        };
        one == two
            || self.domains.is_empty() && user_of(one) == user_of(two) && (wide(one) || wide(two))
    }

    /// The package with this name, and its place in the table. Names are compared byte by byte (RFC 6665, 8.2.1).
    pub fn package(&self, name: &str) -> Option<(usize, &Package)> {
        self.packages
            .iter()
            .enumerate()
            .find(|(_, package)| *package.name == *name)
    }

    /// The package that tells who watches in this one.
    pub fn winfo_of(&self, package: usize) -> Option<usize> {
        let base = &self.packages.get(package)?.name;
        self.packages.iter().position(|other| {
            other.compositor == Compositor::Watchers && other.base().is_some_and(|of| of == &**base)
        })
    }

    /// `Allow-Events`.
    pub fn allow_events(&self) -> String {
        let names: Vec<&str> = self.packages.iter().map(|package| &*package.name).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_granted_within_its_bounds() {
        let durations = Durations {
            default: 3600,
            min: 60,
            max: 7200,
        };
        assert_eq!(durations.grant(None), Ok(3600));
        assert_eq!(durations.grant(Some(0)), Ok(0));
        assert_eq!(durations.grant(Some(59)), Err(60));
        assert_eq!(durations.grant(Some(60)), Ok(60));
        assert_eq!(durations.grant(Some(u32::MAX)), Ok(7200));
    }

    #[test]
    fn without_domains_every_host_is_served() {
        let mut settings = Settings::default();
        assert!(settings.serves("anywhere.invalid"));
        settings.domains.push("example.com".to_owned());
        assert!(settings.serves("EXAMPLE.com"));
        assert!(!settings.serves("example.org"));
        settings.domains.push("2001:DB8::1".to_owned());
        for host in ["example.com.", "Example.Com.", "[2001:db8:0::1]"] {
            assert!(settings.serves(host), "{host}");
        }
    }

    #[test]
    fn without_domains_a_name_of_the_home_may_be_anybody_of_that_user_name() {
        let mut settings = Settings {
            home: Some("realm".to_owned()),
            ..Settings::default()
        };
        let same = |settings: &Settings, one, two| {
            assert_eq!(
                settings.may_be_same(one, two),
                settings.may_be_same(two, one)
            );
            settings.may_be_same(one, two)
        };
        assert!(same(&settings, "sip:bob@realm", "sip:bob@h"));
        assert!(same(&settings, "tel:+1", "sip:+1@h"));
        assert!(!same(&settings, "sip:bob@g", "sip:bob@h"));
        assert!(!same(&settings, "sip:bob@realm", "sip:bobby@h"));
        settings.domains.push("realm".to_owned());
        assert!(!same(&settings, "sip:bob@realm", "sip:bob@h"));
        assert!(same(&settings, "sip:bob@h", "sip:bob@h"));
    }
}
