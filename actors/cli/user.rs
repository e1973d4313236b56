//! `rollcall user`: the accounts of a Presence Server.

use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use rollcall_core::digest::Users;

use super::{CliError, output};
use crate::files;

/// Add, remove and list the accounts of a Presence Server
#[derive(Debug, Args)]
pub(super) struct User {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Add a user, or give one another password: asked for, read from standard input, or taken from ROLLCALL_PASSWORD
    Add {
        /// The user name: alice for sip:alice@REALM, or a whole address for another domain
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        place: Place,
        /// The password; on a command line it could be read by others
        #[arg(long, env = "ROLLCALL_PASSWORD", hide_env_values = true, hide = true)]
        password: Option<String>,
    },
    /// Remove a user
    Remove {
        /// The user name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// List the users of all realms, one NAME REALM a line
    List {
        /// The file of accounts
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
}

/// Where an account is.
#[derive(Debug, Args)]
struct Place {
    /// The file of accounts: digest.users of the server's config
    #[arg(long, value_name = "FILE")]
    file: PathBuf,

    /// The realm: the server's first domain, or its digest.realm
    #[arg(long, value_name = "REALM")]
    realm: String,
}

impl User {
    pub(super) fn run(self) -> Result<(), CliError> {
        match self.what {
            What::Add {
                name,
                place,
                password,
            } => {
                let mut users = read(&place.file)?;
                let password = password.map_or_else(ask, Ok)?;
                if password.is_empty() {
                    return Err(wrong("password", "is empty".to_owned()));
                }
                if !users.add(&name, &place.realm, &password) {
                    let sentence = "neither name nor realm may be empty, begin with # or hold a colon, quote or line break";
                    return Err(wrong("user add", sentence.to_owned()));
                }
                write(&place.file, &users)?;
                output::say(&format!("{name} of {} can log in", place.realm));
            }
            What::Remove { name, place } => {
                let mut users = read(&place.file)?;
                if !users.remove(&name, &place.realm) {
                    let sentence = format!("{} has no user {name}", place.realm);
                    return Err(wrong("user remove", sentence));
                }
                write(&place.file, &users)?;
                output::say(&format!("{name} of {} is removed", place.realm));
            }
            What::List { file } => {
                for (name, realm) in read(&file)?.names() {
                    output::say(&format!("{name} {realm}"));
                }
            }
        }
        Ok(())
    }
}

/// The accounts of a file; none if it is not there yet.
fn read(file: &Path) -> Result<Users, CliError> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Users::default()),
        other => other.map_err(|error| system("the file of accounts cannot be read", error))?,
    };
    Users::parse(&text).map_err(|error| wrong("--file", format!("{}: {error}", file.display())))
}

/// Replaces the file at once, for its owner's eyes only: a hash is as good as a password for its realm.
fn write(file: &Path, users: &Users) -> Result<(), CliError> {
    files::replace(file, users.to_string().as_bytes())
        .map_err(|error| system("the file of accounts cannot be written", error))
}

/// Asks on the terminal, without showing what is typed, or reads a line of standard input.
fn ask() -> Result<String, CliError> {
    let cannot = |error| system("the password cannot be read", error);
    if io::stdin().is_terminal() {
        return rpassword::prompt_password("Password: ").map_err(cannot);
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(cannot)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn wrong(flag: &'static str, sentence: String) -> CliError {
    CliError::Argument { flag, sentence }
}

fn system(what: &'static str, error: io::Error) -> CliError {
    CliError::System { what, error }
}
