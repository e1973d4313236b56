//! The module table: who has claimed which requests and which Manager messages.
//!
//! Claims are data. They are given once, checked for conflicts then, and looked up afterwards; no module is ever asked
//! whether a message is for it. What nobody has claimed, the endpoint answers from this table: 405 with Allow, 489 with
//! Allow-Events (RFC 3261, 8.2.1; RFC 6665, 7.2).

use std::collections::BTreeMap;

use super::ModuleId;
use crate::exchange::Shard;
use crate::sip::{Message, Method};

/// Something a module can claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// SIP requests of a method: of one event package, or all of them. A claim of one package goes before a claim of
    /// the whole method.
    Sip(Method, Option<String>),
    /// Manager messages of a type, without regard to case.
    Manager(String),
}

impl Route {
    /// Requests of a method that belong to an event package.
    pub fn package(method: Method, package: &str) -> Self {
        Self::Sip(method, Some(package.to_owned()))
    }

    /// All requests of a method.
    pub const fn method(method: Method) -> Self {
        Self::Sip(method, None)
    }

    /// Manager messages of a type.
    pub fn manager(kind: &str) -> Self {
        Self::Manager(kind.trim().to_ascii_uppercase())
    }
}

/// How a module's work is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharding {
    /// One instance, known as shard 0.
    One,
    /// One instance per shard. A request within a dialog goes to the shard that our tag in To names, any other to the
    /// shard of its presentity: the Request-URI, or To for REGISTER. PUBLISH and REGISTER are never within a dialog,
    /// whatever tag a client has copied into them.
    ByPresentity,
}

/// Why a table can't be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimConflict {
    /// Two modules want the same.
    #[error("{claimant} claims {route:?}, which {holder} has claimed")]
    Route {
        /// What both want.
        route: Route,
        /// The module that was first.
        holder: String,
        /// The module that was second.
        claimant: String,
    },
    /// One id, two modules.
    #[error("{claimant} has the id of {holder}")]
    Id {
        /// The module that was first.
        holder: String,
        /// The module that was second.
        claimant: String,
    },
}

/// Who gets a request, or why nobody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// This module, whose work is divided so.
    By(ModuleId, Sharding),
    /// Nobody has claimed the method.
    NoMethod,
    /// The method is claimed, but not for this event package (or for a request without one).
    NoPackage,
}

/// Claims of all modules, and what follows from them.
#[derive(Clone, Debug, Default)]
pub struct ModuleTable {
    /// Few enough that walking them is the fastest way.
    sip: Vec<(Method, Option<String>, ModuleId, Sharding)>,
    manager: BTreeMap<String, ModuleId>,
    names: BTreeMap<ModuleId, String>,
    observers: Vec<ModuleId>,
    supported: Vec<String>,
    allow: String,
    allow_events: String,
    accept: String,
}

impl ModuleTable {
    /// A table in the making.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Who has claimed a request of this method and event package.
    pub fn find(&self, method: &Method, package: Option<&str>) -> Claimed {
        let mut found = Claimed::NoMethod;
        for (claimed, of, module, sharding) in &self.sip {
            if claimed != method {
                continue;
            }
            match of {
                Some(of) if Some(of.as_str()) == package => return Claimed::By(*module, *sharding),
                Some(_) if found == Claimed::NoMethod => found = Claimed::NoPackage,
                Some(_) => {}
                None => found = Claimed::By(*module, *sharding),
            }
        }
        found
    }

    /// Whether anybody has claimed requests of this method.
    pub fn has_method(&self, method: &Method) -> bool {
        self.sip.iter().any(|(claimed, ..)| claimed == method)
    }

    /// Who has claimed Manager messages of this type; case and white space around it do not matter.
    pub fn manager(&self, kind: &str) -> Option<ModuleId> {
        self.manager.get(&kind.trim().to_ascii_uppercase()).copied()
    }

    /// Modules that see every request that passed the checks, and own none of them.
    pub fn observers(&self) -> &[ModuleId] {
        &self.observers
    }

    /// The name a module registered under.
    pub fn name(&self, module: ModuleId) -> Option<&str> {
        self.names.get(&module).map(String::as_str)
    }

    /// Every module and its name.
    pub fn modules(&self) -> impl Iterator<Item = (ModuleId, &str)> {
        self.names.iter().map(|(&id, name)| (id, name.as_str()))
    }

    /// Value of Allow: every claimed method, and OPTIONS, which the endpoint answers.
    pub fn allow(&self) -> &str {
        &self.allow
    }

    /// Value of Allow-Events: every claimed event package. Empty if there is none.
    pub fn allow_events(&self) -> &str {
        &self.allow_events
    }

    /// Value of Accept: every body type that modules read.
    pub fn accept(&self) -> &str {
        &self.accept
    }

    /// Option tags that modules understand.
    pub fn supported(&self) -> &[String] {
        &self.supported
    }
}

/// Collects claims for a [`ModuleTable`].
#[derive(Clone, Debug, Default)]
pub struct Builder {
    table: ModuleTable,
    accept: Vec<String>,
    conflict: Option<ClaimConflict>,
}

impl Builder {
    /// Adds a module with what it claims.
    pub fn module(
        mut self,
        id: ModuleId,
        name: &str,
        routes: &[Route],
        sharding: Sharding,
    ) -> Self {
        self.register(id, name);
        for route in routes {
            if let Err(holder) = self.claim(id, route, sharding) {
                let holder = self.table.names.get(&holder).cloned().unwrap_or_default();
                self.conflict.get_or_insert(ClaimConflict::Route {
                    route: route.clone(),
                    holder,
                    claimant: name.to_owned(),
                });
            }
        }
        self
    }

    /// Adds a module that sees requests and claims none.
    pub fn observer(mut self, id: ModuleId, name: &str) -> Self {
        self.register(id, name);
        self.table.observers.push(id);
        self
    }

    /// Body types that a module reads, for Accept in the answer to OPTIONS.
    pub fn accepts(mut self, types: &[&str]) -> Self {
        self.accept
            .extend(types.iter().map(|&text| text.to_owned()));
        self
    }

    /// Option tags that a module understands, for Require and Supported.
    pub fn supports(mut self, options: &[&str]) -> Self {
        self.table
            .supported
            .extend(options.iter().map(|&text| text.to_owned()));
        self
    }

    /// The table, unless two modules want the same.
    pub fn build(mut self) -> Result<ModuleTable, ClaimConflict> {
        if let Some(conflict) = self.conflict {
            return Err(conflict);
        }
        let methods = self
            .table
            .sip
            .iter()
            .map(|(method, ..)| method.as_str().to_owned());
        self.table.allow = list(
            methods
                .chain([Method::Options.as_str().to_owned()])
                .collect(),
        );
        let packages = self
            .table
            .sip
            .iter()
            .filter_map(|(_, package, ..)| package.clone());
        self.table.allow_events = list(packages.collect());
        self.table.accept = list(self.accept);
        self.table.supported.sort();
        self.table.supported.dedup();
        Ok(self.table)
    }

    fn register(&mut self, id: ModuleId, name: &str) {
        if let Some(holder) = self.table.names.insert(id, name.to_owned()) {
            self.conflict.get_or_insert(ClaimConflict::Id {
                holder,
                claimant: name.to_owned(),
            });
        }
    }

    fn claim(&mut self, id: ModuleId, route: &Route, sharding: Sharding) -> Result<(), ModuleId> {
        match route {
            Route::Sip(method, package) => {
                let same = |(claimed, of, ..): &&(Method, Option<String>, ModuleId, Sharding)| {
                    claimed == method && of == package
                };
                if let Some((_, _, holder, _)) = self.table.sip.iter().find(same) {
                    return Err(*holder);
                }
                self.table
                    .sip
                    .push((method.clone(), package.clone(), id, sharding));
            }
            Route::Manager(kind) => {
                let kind = kind.trim().to_ascii_uppercase();
                if let Some(holder) = self.table.manager.get(&kind) {
                    return Err(*holder);
                }
                self.table.manager.insert(kind, id);
            }
        }
        Ok(())
    }
}

/// A header value of distinct words, in alphabetical order.
fn list(mut words: Vec<String>) -> String {
    words.sort();
    words.dedup();
    words.join(", ")
}

/// The shard that owns a presentity, from its canonical address ([`crate::sip::Uri::aor`]).
///
/// FNV-1a, written out here because stores and peers' tags outlive a build: the same address must be of the same shard
/// in every version.
pub fn shard_of(aor: &str, shards: Shard) -> Shard {
    if shards <= 1 {
        return 0;
    }
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = aor.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step);
    // The low bits of FNV-1a are its weak ones.
    let shard = (hash ^ (hash >> 32)) % u64::from(shards);
    u8::try_from(shard).expect("less than the number of shards")
}

/// The shard that two leading hexadecimal digits of a tag or branch name, if there is such a shard.
pub fn shard_in(tag: &str, shards: Shard) -> Option<Shard> {
    let digits = tag
        .get(..2)
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    Shard::from_str_radix(digits, 16)
        .ok()
        .filter(|&shard| shard < shards)
}

impl Sharding {
    /// The instance of a module that gets a request.
    pub(super) fn shard(self, message: &Message, to_tag: Option<&str>, shards: Shard) -> Shard {
        match self {
            Self::One => 0,
            Self::ByPresentity if shards <= 1 => 0,
            Self::ByPresentity => {
                let method = message.method();
                let in_dialog = !matches!(method, Some(Method::Register | Method::Publish));
                let by_tag = to_tag
                    .filter(|_| in_dialog)
                    .and_then(|tag| shard_in(tag, shards));
                by_tag.unwrap_or_else(|| {
                    let aor = match method {
                        Some(Method::Register) => message.to().map(|to| to.uri.aor()),
                        _ => message.request_uri_parts().map(|uri| uri.aor()),
                    };
                    aor.map_or(0, |aor| shard_of(&aor, shards))
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
