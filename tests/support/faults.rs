//! Faults of the program under test: it is built with `fault-injection` (actors/fault), and a test arms them one by one.

use std::ffi::OsStr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::{LIMIT, eventually};

/// The way to a process's faults.
pub struct Faults {
    socket: PathBuf,
    own: PathBuf,
}

impl Faults {
    /// Of a process that is about to start, its socket in this folder.
    pub fn at(folder: &Path) -> Self {
        Self {
            socket: folder.join("faults"),
            own: folder.join("test"),
        }
    }

    /// What the process must have in its environment.
    pub fn variable(&self) -> (&'static str, &OsStr) {
        ("ROLLCALL_FAULTS", self.socket.as_os_str())
    }

    /// Arms a fault, such as `panic registry 1`.
    pub fn arm(&self, fault: &str) {
        // Of an earlier fault.
        let _ = std::fs::remove_file(&self.own);
        let socket = UnixDatagram::bind(&self.own).expect("a socket");
        socket.set_read_timeout(Some(LIMIT)).expect("a limit");
        eventually("the socket for faults", || {
            socket.send_to(fault.as_bytes(), &self.socket).ok()
        });
        let mut answer = [0; 64];
        let len = socket.recv(&mut answer).expect("an answer");
        assert_eq!(&answer[..len], b"armed", "{fault}");
    }
}
