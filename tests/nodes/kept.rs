//! A server that keeps its folder and its port over restarts.

use std::net::SocketAddr;
use std::path::Path;

use crate::support::process::Process;

/// How one is started, in this folder and at this address.
type Start = fn(&Path, SocketAddr) -> Process;

pub struct Server {
    folder: tempfile::TempDir,
    start: Start,
    pub process: Process,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(start: Start) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let process = start(folder.path(), ([127, 0, 0, 1], 0).into());
        let address = process.listening("udp");
        Self {
            folder,
            start,
            process,
            address,
        }
    }

    fn start_again(&mut self) {
        self.process = (self.start)(self.folder.path(), self.address);
        self.process.listening("udp");
    }

    pub fn kill_and_restart(&mut self) {
        self.process.kill();
        self.start_again();
    }

    pub fn end_and_restart(&mut self) {
        self.process.signal("TERM");
        assert!(self.process.ended().success());
        self.start_again();
    }
}
