//! What is asked of a server, and what came of it.

use rollcall_core::exchange::Transport;
use serde::Serialize;

/// How much an RFC insists (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Whoever does otherwise does not conform.
    Must,
    /// There may be reasons to do otherwise.
    Should,
}

impl Level {
    /// As the RFCs write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        }
    }
}

/// The transports that a requirement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// All of them.
    Any,
    /// Those that may lose a message.
    Datagrams,
    /// Those that deliver bytes, or messages, in order.
    Streams,
}

impl Over {
    /// Whether it is about this transport.
    pub const fn has(self, transport: Transport) -> bool {
        match self {
            Self::Any => true,
            Self::Datagrams => !transport.is_reliable(),
            Self::Streams => transport.is_reliable(),
        }
    }
}

/// One line of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Its name, for good: scripts and notes refer to it.
    pub id: &'static str,
    /// The RFC that asks for it.
    pub rfc: u16,
    /// The section.
    pub section: &'static str,
    /// How much it insists.
    pub level: Level,
    /// What must be so, in a sentence of our own.
    pub title: &'static str,
    /// Where it can be seen.
    pub over: Over,
}

/// What a server MUST do.
pub const fn must(
    id: &'static str,
    rfc: u16,
    section: &'static str,
    title: &'static str,
) -> Requirement {
    Requirement {
        id,
        rfc,
        section,
        level: Level::Must,
        title,
        over: Over::Any,
    }
}

/// What a server SHOULD do.
pub const fn should(
    id: &'static str,
    rfc: u16,
    section: &'static str,
    title: &'static str,
) -> Requirement {
    Requirement {
        level: Level::Should,
        ..must(id, rfc, section, title)
    }
}

impl Requirement {
    /// The same, seen only over transports that may lose a message.
    pub const fn over_datagrams(self) -> Self {
        Self {
            over: Over::Datagrams,
            ..self
        }
    }

    /// The same, seen only over streams.
    pub const fn over_streams(self) -> Self {
        Self {
            over: Over::Streams,
            ..self
        }
    }

    /// Whether a word of `--only` means it: the beginning of its id, or an RFC with or without the beginning of a section
    /// (`3903`, `3261/8.2`).
    pub fn is_meant_by(&self, word: &str) -> bool {
        let (rfc, section) = word.split_once('/').unwrap_or((word, ""));
        let within = || {
            let rest = self.section.strip_prefix(section);
            rest.is_some_and(|rest| section.is_empty() || rest.is_empty() || rest.starts_with('.'))
        };
        self.id.starts_with(word) || rfc.parse() == Ok(self.rfc) && within()
    }
}

/// What came of a requirement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// It is so.
    Pass,
    /// It is not.
    Fail {
        /// What the RFC asks for.
        expected: String,
        /// What the server did.
        came: String,
    },
    /// It does not concern this server, or this transport.
    NotApplicable {
        /// Why not.
        reason: String,
    },
    /// It could not be seen: something before it failed.
    NotTested {
        /// What.
        reason: String,
    },
}

impl Verdict {
    /// In a column.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail { .. } => "FAIL",
            Self::NotApplicable { .. } => "n/a",
            Self::NotTested { .. } => "not tested",
        }
    }
}

/// A requirement with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which.
    pub requirement: Requirement,
    /// What came of it.
    pub verdict: Verdict,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_an_rfc_a_section_with_those_below_it_or_the_beginning_of_an_id() {
        let one = must("answer-from", 3261, "8.2.6.2", "…");
        let meant = ["3261", "3261/8", "3261/8.2.6", "3261/8.2.6.2", "answer"];
        let others = [
            "3903",
            "3261/8.2.6.2.1",
            "3261/8.2.66",
            "3261/82",
            "from",
            "326",
        ];
        for word in meant {
            assert!(one.is_meant_by(word), "{word}");
        }
        for word in others {
            assert!(!one.is_meant_by(word), "{word}");
        }
    }

    #[test]
    fn streams_and_datagrams_have_requirements_of_their_own() {
        let one = must("x", 3261, "18", "…");
        for (requirement, expected) in [
            (one, [true, true]),
            (one.over_datagrams(), [true, false]),
            (one.over_streams(), [false, true]),
        ] {
            let found = [Transport::Udp, Transport::Tcp].map(|t| requirement.over.has(t));
            assert_eq!(found, expected);
        }
    }
}
