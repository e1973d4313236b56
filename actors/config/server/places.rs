//! Places on this machine: where state is kept, and where the operator's commands reach a server.

use std::path::{Path, PathBuf};

use super::Server;
use crate::config::kind::Text;

/// Where state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// Nowhere: it is gone with the process.
    Memory,
    /// In this folder.
    File(PathBuf),
}

/// Where the operator's commands reach a running server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socket {
    /// In the folder of a `file:` store; nowhere with `memory:`.
    Auto,
    /// Nowhere.
    None,
    /// Here.
    At(PathBuf),
}

pub(super) const SOCKET: Text<Socket> = Text {
    allowed: "a path, \"auto\", or \"\" for none",
    read: |text| {
        Ok(match text.trim() {
            "auto" => Socket::Auto,
            "" => Socket::None,
            path => Socket::At(PathBuf::from(path)),
        })
    },
    write: |socket| match socket {
        Socket::Auto => "auto".to_owned(),
        Socket::None => String::new(),
        Socket::At(path) => path.display().to_string(),
    },
};

pub(super) const STORE: Text<Store> = Text {
    allowed: "\"memory:\" or \"file:FOLDER\"",
    read: |text| match text.split_once(':') {
        Some(("memory", "")) => Ok(Store::Memory),
        Some(("file", path)) if !path.trim().is_empty() => Ok(Store::File(PathBuf::from(path))),
        Some(("file", _)) => Err("names no folder".to_owned()),
        _ => Err("is no store".to_owned()),
    },
    write: |store| match store {
        Store::Memory => "memory:".to_owned(),
        Store::File(path) => format!("file:{}", path.display()),
    },
};

impl Server {
    /// The files with secrets that are in use: accounts, and the key of the certificate.
    pub fn secrets(&self) -> Vec<&Path> {
        let users = self.digest.users.as_deref();
        let users = users.filter(|_| self.authenticates());
        let key = self.tls.key.as_deref().or(self.tls.certificate.as_deref());
        users.into_iter().chain(key).collect()
    }
}
