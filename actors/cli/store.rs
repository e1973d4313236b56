//! `rollcall store`: what stands in the folder of a server that does not start, and what is left of it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand};

use super::{CliError, output};
use crate::config::{self, AllInOne, Flags, Server};
use crate::store::salvage::{self, RepairError, Step};
use crate::store::{Pace, StoreUrl};

/// Look into the store of a Presence Server that does not run, and repair it
#[derive(Debug, Args)]
pub(super) struct Store {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say what is in a store and what is damaged; changes nothing. Exit code 0: whole, 1: damaged, 2: it can't be looked into
    Check {
        #[command(flatten)]
        place: Place,
        /// One JSON object instead of sentences
        #[arg(long)]
        json: bool,
    },
    /// Write all that can be read and proven to a new folder; the old one stays as it is
    Repair {
        #[command(flatten)]
        place: Place,
        /// The new folder; nothing may be there
        #[arg(long, value_name = "NEW_FOLDER")]
        to: PathBuf,
    },
}

/// Which store.
#[derive(Debug, Args)]
struct Place {
    /// The folder, with or without file: before it; rollcall-data/server without
    #[arg(value_name = "FOLDER", conflicts_with = "config")]
    folder: Option<PathBuf>,

    /// The store that this config file of a server names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    fn folder(&self) -> Result<PathBuf, CliError> {
        if let Some(file) = &self.config {
            return configured(file);
        }
        let Some(folder) = &self.folder else {
            return Ok("rollcall-data/server".into());
        };
        match folder.to_str().map(StoreUrl::from_str) {
            Some(Ok(StoreUrl::Memory)) => Err(nothing_kept()),
            Some(Ok(StoreUrl::File(path))) => Ok(path),
            Some(Err(_)) | None => Ok(folder.clone()),
        }
    }
}

/// The store of a file for `rollcall server`, or for `rollcall run`.
fn configured(file: &Path) -> Result<PathBuf, CliError> {
    let store = match config::load::<Server>(Some(file), Flags::default()) {
        Ok(loaded) => loaded.settings.store,
        Err(problems) => match config::load::<AllInOne>(Some(file), Flags::default()) {
            Ok(loaded) => loaded.settings.server.store,
            Err(_) => return Err(problems.into()),
        },
    };
    match store {
        config::Store::File(path) => Ok(path),
        config::Store::Memory => Err(nothing_kept()),
    }
}

fn nothing_kept() -> CliError {
    refused("memory: keeps nothing".to_owned())
}

fn refused(sentence: String) -> CliError {
    CliError::Argument {
        flag: "store",
        sentence,
    }
}

impl Store {
    pub(super) fn run(self) -> Result<(), CliError> {
        match self.what {
            What::Check { place, json } => check(&place.folder()?, json),
            What::Repair { place, to } => repair(&place.folder()?, &to),
        }
    }
}

fn check(folder: &Path, json: bool) -> Result<(), CliError> {
    let found = salvage::look(folder, &mut progress());
    let finding = found.map_err(|error| refused(error.to_string()))?.finding;
    if json {
        output::say(&serde_json::to_string(&finding).unwrap_or_default());
    } else {
        for line in finding.lines() {
            output::say(&line);
        }
        if !finding.whole {
            let folder = folder.display();
            output::say(&format!(
                "`rollcall store repair {folder} --to NEW_FOLDER` writes what is left to a new folder"
            ));
        }
    }
    match finding.whole {
        true => Ok(()),
        false => Err(CliError::Found),
    }
}

fn repair(folder: &Path, to: &Path) -> Result<(), CliError> {
    let repaired = salvage::repair(folder, to, &mut progress()).map_err(|error| match error {
        error @ RepairError::Write { .. } => CliError::Repair(error.to_string()),
        error => refused(error.to_string()),
    })?;
    for line in repaired.finding.lines() {
        output::say(&line);
    }
    output::say(&format!(
        "file:{} is a new store with the {} records that can be read: start the server with it. file:{} is as it was",
        to.display(),
        repaired.kept,
        folder.display()
    ));
    Ok(())
}

/// Tells on standard error how far it is, as long as that takes more than a second.
fn progress() -> impl FnMut(Step) {
    let mut pace = Pace::new();
    move |step| {
        if pace.due() {
            output::complain(&step.to_string());
        }
    }
}
