//! Accounts: a file of HA1 hashes, a line per user and algorithm, `user:realm:ALGORITHM:hash`.

use std::collections::BTreeMap;
use std::fmt;

use super::Algorithm;

/// The accounts of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// By user and realm.
    accounts: BTreeMap<(String, String), BTreeMap<Algorithm, String>>,
}

/// Why a file of accounts can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line}: {fault}; a line is user:realm:ALGORITHM:hash, and `rollcall user add` writes it"
)]
pub struct UsersError {
    /// From 1.
    pub line: usize,
    fault: &'static str,
}

impl Users {
    /// Reads a file; empty lines and those with `#` in front mean nothing.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        let mut users = Self::default();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let wrong = |fault| UsersError { line, fault };
            let fields: Vec<&str> = text.split(':').collect();
            let [user, realm, name, hash] = *fields else {
                return Err(wrong("it has not four fields"));
            };
            let algorithm = Algorithm::of(Some(name)).ok_or(wrong("the algorithm is not known"))?;
            let is_hash = hash.len() == algorithm.digits()
                && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
            if user.is_empty() || realm.is_empty() || !is_hash {
                return Err(wrong(
                    "a field is empty, or the hash is none of the algorithm",
                ));
            }
            let account = users.accounts.entry((user.to_owned(), realm.to_owned()));
            let hashes = account.or_default();
            if hashes
                .insert(algorithm, hash.to_ascii_lowercase())
                .is_some()
            {
                return Err(wrong("the user has this hash already"));
            }
        }
        Ok(users)
    }

    /// Adds a user, or gives one another password. False if a name has a colon, a line break or nothing in it.
    pub fn add(&mut self, user: &str, realm: &str, password: &str) -> bool {
        let fits = |name: &str| !name.is_empty() && !name.contains([':', '\n', '\r', '"', '\\']);
        if !fits(user) || !fits(realm) || user.starts_with('#') {
            return false;
        }
        let hashes = Algorithm::ALL
            .into_iter()
            .map(|algorithm| (algorithm, algorithm.ha1(user, realm, password)))
            .collect();
        self.accounts
            .insert((user.to_owned(), realm.to_owned()), hashes);
        true
    }

    /// Removes a user; false if there is none.
    pub fn remove(&mut self, user: &str, realm: &str) -> bool {
        let key = (user.to_owned(), realm.to_owned());
        self.accounts.remove(&key).is_some()
    }

    /// User and realm of all accounts, in order.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        let keys = self.accounts.keys();
        keys.map(|(user, realm)| (&**user, &**realm))
    }

    /// How many accounts a realm has.
    pub fn count(&self, realm: &str) -> usize {
        self.names().filter(|(_, own)| *own == realm).count()
    }

    /// Whether there is an account with this name and some host behind it.
    pub(super) fn has_with_host(&self, user: &str, realm: &str) -> bool {
        let from = ([user, "@"].concat(), String::new());
        self.accounts
            .range(from.clone()..)
            .take_while(|((own, _), _)| own.starts_with(&from.0))
            .any(|((_, own), _)| own == realm)
    }

    pub(super) fn ha1(&self, user: &str, realm: &str, algorithm: Algorithm) -> Option<&str> {
        let key = (user.to_owned(), realm.to_owned());
        let hash = self.accounts.get(&key)?.get(&algorithm)?;
        Some(hash)
    }
}

impl fmt::Display for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((user, realm), hashes) in &self.accounts {
            for (algorithm, hash) in hashes.iter().rev() {
                writeln!(f, "{user}:{realm}:{}:{hash}", algorithm.as_str())?;
            }
        }
        Ok(())
    }
}
