//! Signals: ctrl-c and SIGTERM end a node in order, SIGUSR1 makes it show its counters, SIGHUP read accounts and certificates
//! again.

use std::future::Future;
use std::io;

use crate::node::{Command, Control};

use super::CliError;

/// Runs a command's future in an actix system that obeys signals.
pub(super) fn obeying<T, F>(body: impl FnOnce(Control) -> F) -> Result<T, CliError>
where
    F: Future<Output = Result<T, CliError>>,
{
    actix_rt::System::new().block_on(async {
        let control = control().map_err(|error| CliError::System {
            what: "signals",
            error,
        })?;
        body(control).await
    })
}

/// A control that gives a node what signals say: a first ctrl-c or SIGTERM stops it in order, a second one at once.
#[cfg(unix)]
pub fn control() -> io::Result<Control> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut show = signal(SignalKind::user_defined1())?;
    let mut reload = signal(SignalKind::hangup())?;
    let (handle, control) = Control::new();
    actix_rt::spawn(async move {
        let mut asked = false;
        loop {
            let command = tokio::select! {
                _ = interrupt.recv() => Command::Stop,
                _ = terminate.recv() => Command::Stop,
                _ = show.recv() => Command::Show,
                _ = reload.recv() => Command::Reload,
            };
            if command == Command::Stop && asked {
                super::output::complain("rollcall: ended at once, without taking leave");
                std::process::exit(1);
            }
            asked |= command == Command::Stop;
            // A node that takes no more commands is ending already; a second ctrl-c must still be heard.
            handle.give(command);
        }
    });
    Ok(control)
}

/// A control that gives a node what ctrl-c says: a first one stops it in order, a second one at once.
#[cfg(not(unix))]
pub fn control() -> io::Result<Control> {
    let (handle, control) = Control::new();
    actix_rt::spawn(async move {
        let mut asked = false;
        while tokio::signal::ctrl_c().await.is_ok() {
            if asked {
                std::process::exit(1);
            }
            asked = true;
            handle.give(Command::Stop);
        }
    });
    Ok(control)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn sigusr1_shows_sighup_reloads_and_sigterm_stops() {
        let commands = actix_rt::System::new().block_on(async {
            let mut control = control().expect("signals");
            let mut got = Vec::new();
            for signal in ["USR1", "HUP", "TERM"] {
                let kill = format!("kill -{signal} {}", std::process::id());
                let status = std::process::Command::new("/bin/sh")
                    .args(["-c", &kill])
                    .status();
                assert!(status.is_ok_and(|status| status.success()));
                got.push(control.next().await);
            }
            got
        });
        assert_eq!(commands, [Command::Show, Command::Reload, Command::Stop]);
    }
}
