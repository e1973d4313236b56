//! The server's end of the operator's socket.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Desk, LONGEST};
use crate::node::NodeError;

/// Operators at a time; the next one gets the place of one that asks nothing, or waits.
const OPERATORS: usize = 8;

/// A connection on which nothing is asked for this long is closed.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a request may take from its first byte to its last.
const WHOLE: Duration = Duration::from_secs(10);

/// One operator's connection.
struct Served {
    task: JoinHandle<()>,
    /// It is being answered.
    busy: Arc<AtomicBool>,
}

impl Served {
    fn is_idle(&self) -> bool {
        !self.busy.load(Ordering::Relaxed)
    }
}

/// An open socket. Dropping it closes and removes it.
#[derive(Debug)]
pub struct Listener {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
        // Gone already, if somebody has cleaned up: nothing is lost.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Opens the socket at `path`, for its owner alone. One that a process left behind is taken over; one that somebody
/// serves is an error.
pub fn listen(path: PathBuf, desk: Desk) -> Result<Listener, NodeError> {
    let socket = open(&path).map_err(|error| NodeError::Control {
        path: path.clone(),
        error,
    })?;
    let places = Arc::new(Semaphore::new(OPERATORS));
    let task = actix_rt::spawn(async move {
        let mut served: Vec<Served> = Vec::new();
        loop {
            match socket.accept().await {
                Ok((stream, _)) => {
                    served.retain(|one| !one.task.is_finished());
                    // The first one is the oldest.
                    if places.available_permits() == 0
                        && let Some(idle) = served.iter().position(Served::is_idle)
                    {
                        served.remove(idle).task.abort();
                    }
                    let Ok(place) = places.clone().acquire_owned().await else {
                        return;
                    };
                    let desk = desk.clone();
                    let busy = Arc::new(AtomicBool::new(false));
                    let own = Arc::clone(&busy);
                    let task = actix_rt::spawn(async move {
                        // An operator who goes away in the middle is no concern of the server's.
                        let _ = serve(stream, &desk, &own).await;
                        drop(place);
                    });
                    served.push(Served { task, busy });
                }
                Err(error) => {
                    tracing::warn!(%error, "the operator's socket takes no connection");
                    // Out of descriptors, most likely: not again at once.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
    Ok(Listener { path, task })
}

fn open(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        let sentence = "another server answers there";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, sentence));
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()) => {
            std::fs::remove_file(path)?;
        }
        Ok(_) => {
            let sentence = "there is a file that is no socket";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, sentence));
        }
        Err(_) => {}
    }
    let socket = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(socket)
}

/// Answers line by line, until the peer is done, silent for too long, or says too much at once.
async fn serve(stream: UnixStream, desk: &Desk, busy: &AtomicBool) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading);
    let mut line = Vec::new();
    loop {
        line.clear();
        // Nothing at all for a while, or nothing more.
        match timeout(PATIENCE, reading.fill_buf()).await {
            Err(_) => return Ok(()),
            Ok(filled) => {
                if filled?.is_empty() {
                    return Ok(());
                }
            }
        }
        let mut limited = (&mut reading).take(LONGEST as u64);
        let read = limited.read_until(b'\n', &mut line);
        match timeout(WHOLE, read).await {
            Err(_) | Ok(Ok(0)) => return Ok(()),
            Ok(read) => read?,
        };
        if line.last() != Some(&b'\n') && line.len() == LONGEST {
            let sentence = format!("a request has at most {LONGEST} bytes");
            return write(&mut writing, &super::Answer::Error(sentence)).await;
        }
        busy.store(true, Ordering::Relaxed);
        write(&mut writing, &desk.serve(&line).await).await?;
        busy.store(false, Ordering::Relaxed);
    }
}

async fn write(
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    answer: &super::Answer,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    timeout(PATIENCE, to.write_all(&line))
        .await
        .map_err(io::Error::from)?
}
