//! What a service manager is told, by datagrams to the socket that it names (sd_notify).
//!
//! The crate sd-notify knows no abstract sockets, and waits for a manager that does not read; so these few lines are ours.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to the service manager, if there is one.
#[derive(Debug, Default)]
pub struct Notifier {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear of us, if at all.
    watchdog: Option<Duration>,
    /// Datagrams that it did not take.
    lost: u64,
}

impl Notifier {
    /// The one that the environment names: `NOTIFY_SOCKET`, and `WATCHDOG_USEC` where `WATCHDOG_PID` is ours or not there.
    pub fn from_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        match open(&name) {
            Ok(to) => Self {
                to: Some(to),
                watchdog: interval(
                    env::var_os("WATCHDOG_USEC"),
                    env::var_os("WATCHDOG_PID"),
                    std::process::id(),
                ),
                lost: 0,
            },
            Err(error) => {
                tracing::warn!(socket = ?name, %error, "NOTIFY_SOCKET can't be used");
                Self::default()
            }
        }
    }

    /// How often the manager wants to be told `WATCHDOG=1`.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Sends these assignments in one datagram. One that the manager has no room for is dropped: nobody waits for it.
    pub fn tell(&mut self, assignments: &[&str]) {
        let Some((socket, to)) = &self.to else {
            return;
        };
        if let Err(error) = socket.send_to_addr(assignments.join("\n").as_bytes(), to) {
            self.lost += 1;
            if self.lost.is_power_of_two() {
                tracing::warn!(%error, lost = self.lost, "the service manager can't be told how it goes");
            }
        }
    }
}

/// The service has started, or is as before after a reload.
pub const READY: &str = "READY=1";
/// It ends.
pub const STOPPING: &str = "STOPPING=1";
/// It lives.
pub const WATCHDOG: &str = "WATCHDOG=1";

/// It reads its files again, since now (`MONOTONIC_USEC` is what `Type=notify-reload` needs).
pub fn reloading() -> String {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map(Duration::from);
    format!(
        "RELOADING=1\nMONOTONIC_USEC={}",
        now.unwrap_or_default().as_micros()
    )
}

/// What it does, in words.
pub fn status(words: &str) -> String {
    format!("STATUS={}", words.replace('\n', " "))
}

/// Starting or stopping takes this much longer.
pub fn extend(more: Duration) -> String {
    format!("EXTEND_TIMEOUT_USEC={}", more.as_micros())
}

fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address(name)?))
}

/// A path, or a name without one behind `@`.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::ffi::OsStrExt as _;

        if let Some(name) = name.as_bytes().strip_prefix(b"@") {
            return SocketAddr::from_abstract_name(name);
        }
    }
    SocketAddr::from_pathname(name)
}

/// How often, for the process with this id.
fn interval(usec: Option<OsString>, pid: Option<OsString>, own: u32) -> Option<Duration> {
    let number = |text: OsString| text.to_str()?.parse::<u64>().ok();
    if let Some(pid) = pid
        && number(pid) != Some(u64::from(own))
    {
        return None;
    }
    number(usec?)
        .filter(|usec| *usec > 0)
        .map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 1024];
        let len = socket.recv(&mut bytes).expect("a datagram");
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    }

    fn notifier(name: &OsStr) -> Notifier {
        Notifier {
            to: Some(open(name).expect("a socket")),
            ..Notifier::default()
        }
    }

    #[test]
    fn a_socket_with_a_path_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        notifier(path.as_os_str()).tell(&[READY, &status("serving\nwell")]);
        assert_eq!(heard(&socket), "READY=1\nSTATUS=serving well");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_socket_with_an_abstract_name_is_told() {
        use std::os::linux::net::SocketAddrExt as _;

        let name = format!("rollcall-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        notifier(OsStr::new(&format!("@{name}"))).tell(&[WATCHDOG]);
        assert_eq!(heard(&socket), "WATCHDOG=1");
    }

    #[test]
    fn a_manager_that_is_gone_or_does_not_read_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let mut notifier = notifier(path.as_os_str());
        notifier.tell(&[WATCHDOG]);
        assert_eq!(notifier.lost, 1);
        let _deaf = UnixDatagram::bind(&path).expect("a socket");
        for _ in 0..100_000 {
            notifier.tell(&[WATCHDOG]);
            if notifier.lost > 1 {
                return;
            }
        }
        panic!("it took all");
    }

    #[test]
    fn the_watchdog_is_for_the_process_that_is_named() {
        let text = |text: &str| Some(OsString::from(text));
        let second = Some(Duration::from_secs(1));
        assert_eq!(interval(text("1000000"), None, 7), second);
        assert_eq!(interval(text("1000000"), text("7"), 7), second);
        assert_eq!(interval(text("1000000"), text("8"), 7), None);
        for nonsense in [None, text("0"), text("soon")] {
            assert_eq!(interval(nonsense, None, 7), None);
        }
    }
}
