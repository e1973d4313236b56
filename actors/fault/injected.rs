//! The faults that are armed, and the socket they come by.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rollcall_core::exchange::Shard;

use super::Machine;

const SOCKET: &str = "ROLLCALL_FAULTS";

/// One fault that waits for its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fault {
    machine: Machine,
    shard: Shard,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Panic,
    Stuck(Duration),
    Fail(u32),
}

/// Read at each point, so it is not the lock.
static ARMED: AtomicBool = AtomicBool::new(false);
static FAULTS: Mutex<Vec<Fault>> = Mutex::new(Vec::new());

fn faults() -> MutexGuard<'static, Vec<Fault>> {
    FAULTS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn start() {
    let Some(path) = std::env::var_os(SOCKET) else {
        return;
    };
    let path = Path::new(&path);
    tracing::warn!(path = %path.display(), "this build is for tests: it takes faults");
    let socket = match UnixDatagram::bind(path) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "no socket for faults"),
    };
    let serving = std::thread::Builder::new().name("faults".to_owned());
    if let Err(error) = serving.spawn(move || serve(&socket)) {
        tracing::error!(%error, "no thread for faults");
    }
}

fn serve(socket: &UnixDatagram) {
    let mut line = [0; 256];
    while let Ok((len, from)) = socket.recv_from(&mut line) {
        let answer = match parse(&String::from_utf8_lossy(&line[..len])) {
            Some(fault) => {
                let mut faults = faults();
                faults.push(fault);
                ARMED.store(true, Ordering::Release);
                "armed"
            }
            None => "not a fault",
        };
        if let Some(from) = from.as_pathname() {
            // A test that has gone away does not want the answer.
            let _ = socket.send_to(answer.as_bytes(), from);
        }
    }
}

fn parse(line: &str) -> Option<Fault> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (what, machine, shard) = match words[..] {
        ["panic", machine, shard] => (What::Panic, machine, shard),
        ["stuck", machine, shard, seconds] => {
            let seconds = Duration::from_secs(seconds.parse().ok()?);
            (What::Stuck(seconds), machine, shard)
        }
        ["fail", machine, shard, times] => (What::Fail(times.parse().ok()?), machine, shard),
        _ => return None,
    };
    let machine = match machine {
        "endpoint" => Machine::Endpoint,
        "registry" => Machine::Registry,
        "hub" => Machine::Hub,
        "source" => Machine::Source,
        "link" => Machine::Link,
        "buffer" => Machine::Buffer,
        "publisher" => Machine::Publisher,
        "watcher" => Machine::Watcher,
        "reload" => Machine::Reload,
        _ => return None,
    };
    let shard = shard.parse().ok()?;
    Some(Fault {
        machine,
        shard,
        what,
    })
}

/// Takes out the first fault that is armed there and that `fits`.
fn take(machine: Machine, shard: Shard, fits: impl Fn(What) -> bool) -> Option<What> {
    if !ARMED.load(Ordering::Acquire) {
        return None;
    }
    let mut faults = faults();
    let place = faults
        .iter()
        .position(|fault| fault.machine == machine && fault.shard == shard && fits(fault.what))?;
    let what = faults.remove(place).what;
    ARMED.store(!faults.is_empty(), Ordering::Release);
    Some(what)
}

pub(super) fn point(machine: Machine, shard: Shard) {
    stuck(machine, shard);
    if take(machine, shard, |what| what == What::Panic).is_some() {
        panic!("as a test wants it");
    }
}

pub(super) fn stuck(machine: Machine, shard: Shard) {
    let found = take(machine, shard, |what| matches!(what, What::Stuck(_)));
    if let Some(What::Stuck(time)) = found {
        std::thread::sleep(time);
    }
}

pub(super) fn fails(machine: Machine, shard: Shard) -> bool {
    match take(machine, shard, |what| matches!(what, What::Fail(_))) {
        Some(What::Fail(times)) => {
            if times > 1 {
                let what = What::Fail(times - 1);
                faults().push(Fault {
                    machine,
                    shard,
                    what,
                });
                ARMED.store(true, Ordering::Release);
            }
            times > 0
        }
        Some(What::Panic | What::Stuck(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_fault_or_nothing() {
        let fault = |what| {
            Some(Fault {
                machine: Machine::Registry,
                shard: 3,
                what,
            })
        };
        assert_eq!(parse("panic registry 3"), fault(What::Panic));
        assert_eq!(
            parse("stuck registry 3 9\n"),
            fault(What::Stuck(Duration::from_secs(9)))
        );
        assert_eq!(parse("fail registry 3 2"), fault(What::Fail(2)));
        for line in [
            "",
            "panic",
            "panic registry",
            "panic moon 1",
            "stuck registry 3",
            "panic registry x",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
