//! Settings of authentication: the accounts that a server asks for, and the one that a client has.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use rollcall_core::digest::{Algorithm, Credentials, Users};

use super::PATH;
use super::address::IP;
use super::kind::{List, OneOf, Optional, Span, Text, words};
use super::section::Section;

/// How a server authenticates, when it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The file of accounts.
    pub users: Option<PathBuf>,
    /// Names and passwords said in the config itself.
    pub accounts: Vec<NameAndPassword>,
    /// The realm; the first domain when `None`.
    pub realm: Option<String>,
    /// What is offered, in this order.
    pub algorithms: Vec<Algorithm>,
    /// How long a nonce is good for.
    pub nonce_life: Duration,
    /// Accounts that may publish for anybody.
    pub publishers: Vec<String>,
    /// Addresses that need no password, and may publish for anybody.
    pub trusted: Vec<IpAddr>,
}

impl Digest {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let users: Option<PathBuf> = s.key(
            "users",
            "The accounts, as rollcall user add writes them: hashes, no passwords. Read when the server starts. Nobody but its \
             owner may write the file.",
            Optional { none: "", meaning: "no accounts", kind: PATH },
            None,
        );
        if let Some(path) = &users {
            s.check_secret("users", path);
        }
        Self {
            users,
            accounts: s.key(
                "accounts",
                "Accounts in this file itself, as NAME:PASSWORD, beside those of users: for a handful, where nobody else can read \
                 the file.",
                List { least: 0, kind: ACCOUNT },
                Vec::new(),
            ),
            realm: s.key(
                "realm",
                "The realm of the accounts. A change of it makes all hashes worthless.",
                Optional { none: "", meaning: "the first domain, or rollcall", kind: words("a realm") },
                None,
            ),
            algorithms: s.key(
                "algorithms",
                "What is offered, the best first, as RFC 8760 asks. Some old phones give up at an offer that they don't know: \
                 for them this is MD5 alone.",
                List {
                    least: 1,
                    kind: OneOf(&[
                        ("SHA-256", Algorithm::Sha256),
                        ("MD5", Algorithm::Md5),
                        ("SHA-512-256", Algorithm::Sha512Of256),
                    ]),
                },
                vec![Algorithm::Sha256, Algorithm::Md5],
            ),
            nonce_life: s.key(
                "nonce_life",
                "How long a nonce is good for; after it a client is challenged once more, and needs nobody's help for that.",
                Span::seconds(10, 86_400),
                Duration::from_secs(300),
            ),
            publishers: s.key(
                "publishers",
                "Accounts that may publish for anybody: those of Presence Clients. All others publish for themselves.",
                List { least: 0, kind: words("the name of a user") },
                Vec::new(),
            ),
            trusted: s.key(
                "trusted",
                "Addresses of peers that need no password, and may publish for anybody. Only where nobody else can send from them: \
                 over UDP a sender can make up his address.",
                List { least: 0, kind: IP },
                Vec::new(),
            ),
        }
    }
}

/// An account as the config says it. Its password is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct NameAndPassword {
    /// The user name.
    pub name: String,
    /// In plain text.
    pub password: String,
}

impl std::fmt::Debug for NameAndPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:…", self.name)
    }
}

const ACCOUNT: Text<NameAndPassword> = Text {
    allowed: "a text like \"NAME:PASSWORD\"",
    read: |text| {
        let (name, password) = text.split_once(':').ok_or("has no colon")?;
        if password.is_empty() {
            return Err("has no password".to_owned());
        }
        if !Users::default().add(name, "realm", password) {
            return Err(
                "has a name that is empty, begins with # or holds a quote or line break".to_owned(),
            );
        }
        Ok(NameAndPassword {
            name: name.to_owned(),
            password: password.to_owned(),
        })
    },
    write: |account| format!("{}:{}", account.name, account.password),
};

/// The account of a client, if it has one. The password may be given by `ROLLCALL_PASSWORD`, too.
pub(super) fn account(s: &mut Section<'_>) -> Option<Credentials> {
    let user: Option<String> = s.key(
        "user",
        "The user name for a server that asks for one.",
        Optional {
            none: "",
            meaning: "no account",
            kind: words("the name of a user"),
        },
        None,
    );
    let password: Option<String> = s.key(
        "password",
        "Its password. Better given by the environment variable ROLLCALL_PASSWORD, which other users can't read.",
        Optional { none: "", meaning: "no password", kind: words("a password") },
        None,
    );
    match (user, password) {
        (Some(user), Some(password)) => Some(Credentials { user, password }),
        (Some(_), None) => {
            let sentence = "a user needs a password: account.password or ROLLCALL_PASSWORD";
            s.problem("user", sentence.to_owned());
            None
        }
        (None, _) => None,
    }
}
