//! What is wrong with a setting, and where it stands: always one sentence a line.

use std::fmt;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On the command line, by this flag.
    Flag(&'static str),
    /// In the config file; both numbers count from 1.
    File {
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// Nowhere: it is missing, or the file as a whole is meant.
    Nowhere,
}

impl Place {
    /// The place of a byte within a text.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        // A span may end inside a character if the file is not what its parser thought; then the character counts.
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self::File {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// One thing that is wrong, or only noteworthy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// The file, when there is one.
    pub file: Option<String>,
    /// The key with its sections (`publish.min`); empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong and what is allowed.
    pub sentence: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, &self.file) {
            (Place::Flag(flag), _) => return write!(f, "{flag}: {}", self.sentence),
            (Place::File { line, column }, Some(file)) => write!(f, "{file}:{line}:{column}: ")?,
            (Place::File { line, column }, None) => write!(f, "line {line}, column {column}: ")?,
            (Place::Nowhere, Some(file)) => write!(f, "{file}: ")?,
            (Place::Nowhere, None) => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.sentence)
    }
}

/// Everything that is wrong, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}
