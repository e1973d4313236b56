//! Signals: ctrl-c and SIGTERM end a node in order, SIGUSR1 makes it show its counters, SIGHUP read accounts and certificates
//! again.

use std::future::Future;
use std::io;
use std::time::Duration;

use crate::node::{Command, Control};

use super::CliError;

/// How long an end in order may take.
const LONGEST_END: Duration = Duration::from_secs(60);

/// Runs a command's future in an actix system that obeys signals.
pub(super) fn obeying<T, F>(body: impl FnOnce(Control) -> F) -> Result<T, CliError>
where
    F: Future<Output = Result<T, CliError>>,
{
    actix_rt::System::new().block_on(async {
        let control = control_with(end_in_time).map_err(|error| CliError::System {
            what: "signals",
            error,
        })?;
        body(control).await
    })
}

/// Ends the process when its end in order takes too long: an actor or a disk may be stuck for ever.
fn end_in_time() {
    let waiting = std::thread::Builder::new().name("end".to_owned());
    let result = waiting.spawn(|| {
        std::thread::sleep(LONGEST_END);
        let seconds = LONGEST_END.as_secs();
        tracing::error!(seconds, "the end in order takes too long; ended at once");
        std::process::exit(1);
    });
    if let Err(error) = result {
        tracing::warn!(%error, "no thread to limit the time that the end may take");
    }
}

/// A control that gives a node what signals say: a first ctrl-c or SIGTERM stops it in order, a second one at once.
pub fn control() -> io::Result<Control> {
    control_with(|| {})
}

/// The same, with what is done when it is told to stop.
#[cfg(unix)]
fn control_with(stopping: fn()) -> io::Result<Control> {
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
            if command == Command::Stop {
                asked = true;
                stopping();
            }
            // A node that takes no more commands is ending already; a second ctrl-c must still be heard.
            handle.give(command);
        }
    });
    Ok(control)
}

/// The same for ctrl-c alone.
#[cfg(not(unix))]
fn control_with(stopping: fn()) -> io::Result<Control> {
    let (handle, control) = Control::new();
    actix_rt::spawn(async move {
        let mut asked = false;
        while tokio::signal::ctrl_c().await.is_ok() {
            if asked {
                std::process::exit(1);
            }
            asked = true;
            stopping();
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
