//! `rollcall check`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{CliError, output};
use crate::config::{
    self, AllInOne, Client, Flags, Manager, Problem, Problems, Server, Settings, Simulate,
};

/// Say what is wrong in a config file, and where
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The file to check; without it, every key of --role is shown with its default, range and reason
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Whose settings they are; without it, the role that the file's name says or its keys fit best
    #[arg(long, value_name = "ROLE")]
    role: Option<Role>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// All in one process
    Run,
    /// A Presence Server
    Server,
    /// A Presence Client
    Client,
    /// A Manager
    Manager,
    /// A simulation
    Simulate,
}

const ROLES: [Role; 5] = [
    Role::Run,
    Role::Server,
    Role::Client,
    Role::Manager,
    Role::Simulate,
];

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Run => AllInOne::ROLE,
            Self::Server => Server::ROLE,
            Self::Client => Client::ROLE,
            Self::Manager => Manager::ROLE,
            Self::Simulate => Simulate::ROLE,
        }
    }

    fn check(self, file: &Path) -> Result<Vec<Problem>, Problems> {
        fn one<S: Settings>(file: &Path) -> Result<Vec<Problem>, Problems> {
            Ok(config::load::<S>(Some(file), Flags::default())?.warnings)
        }
        match self {
            Self::Run => one::<AllInOne>(file),
            Self::Server => one::<Server>(file),
            Self::Client => one::<Client>(file),
            Self::Manager => one::<Manager>(file),
            Self::Simulate => one::<Simulate>(file),
        }
    }

    fn keys(self) -> Vec<config::Key> {
        match self {
            Self::Run => config::keys::<AllInOne>(),
            Self::Server => config::keys::<Server>(),
            Self::Client => config::keys::<Client>(),
            Self::Manager => config::keys::<Manager>(),
            Self::Simulate => config::keys::<Simulate>(),
        }
    }
}

impl Check {
    pub(super) fn run(self) -> Result<(), CliError> {
        let Some(file) = &self.config else {
            list(self.role.unwrap_or(Role::Run));
            return Ok(());
        };
        let (role, result) = match self.role {
            Some(role) => (role, role.check(file)),
            None => best(file),
        };
        let warnings = result?;
        for warning in &warnings {
            output::say(&format!("warning: {warning}"));
        }
        output::say(&format!(
            "{}: good settings for rollcall {}",
            file.display(),
            role.name()
        ));
        Ok(())
    }
}

/// The role that knows most of the file's top-level keys and sections, and of those the one with the fewest problems; of
/// equal ones the first. Counting problems alone would take a bad file for one of a role that stops reading at its first section.
fn best(file: &Path) -> (Role, Result<Vec<Problem>, Problems>) {
    // The file's name is the best hint that there is: the shipped ones are named after their roles.
    let named = file
        .file_stem()
        .and_then(|stem| stem.to_str())
        .and_then(|stem| {
            ROLES
                .into_iter()
                .find(|role| stem == role.name() || (stem, *role) == ("all-in-one", Role::Run))
        });
    if let Some(role) = named {
        return (role, role.check(file));
    }
    let table: toml::Table = std::fs::read_to_string(file)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    let mut best = (usize::MAX, usize::MAX);
    let mut chosen = (Role::Run, Ok(Vec::new()));
    for role in ROLES {
        let keys = role.keys();
        let unknown = table
            .iter()
            .filter(|(name, value)| {
                let section = format!("{name}.");
                !keys.iter().any(|key| match value.is_table() {
                    true => key.path.starts_with(&section),
                    false => key.path == **name,
                })
            })
            .count();
        let result = role.check(file);
        let problems = result.as_ref().err().map_or(0, |problems| problems.0.len());
        if (unknown, problems) < best {
            best = (unknown, problems);
            chosen = (role, result);
        }
    }
    chosen
}

/// Every key, in the order of the shipped file.
fn list(role: Role) {
    output::say(&format!(
        "Keys of rollcall {} (give --config FILE to check one):",
        role.name()
    ));
    for key in role.keys() {
        let default = match key.required {
            true => "must be given".to_owned(),
            false => format!("default {}", key.written),
        };
        output::say(&format!("\n{} ({default})\n    {}", key.path, key.help));
        output::say(&format!("    Allowed is {}.", key.allowed));
    }
}
