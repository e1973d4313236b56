//! The operator's end of the socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{Answer, Request};

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error(
        "no server answers at {path}: {error}; its config has the place as control, and it must run"
    )]
    Unreachable {
        /// Where.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The connection failed in the middle.
    #[error("the server did not answer: {0}")]
    Broken(#[from] std::io::Error),
    /// Not a line of ours.
    #[error("the server's answer makes no sense: {0}")]
    Strange(#[from] serde_json::Error),
}

/// Asks the server behind a socket one thing, and waits for the answer.
pub fn ask(path: &Path, request: &Request) -> Result<Answer, AskError> {
    let mut stream = UnixStream::connect(path).map_err(|error| AskError::Unreachable {
        path: path.display().to_string(),
        error,
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    if BufReader::new(stream).read_line(&mut answer)? == 0 {
        return Err(AskError::Broken(std::io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(serde_json::from_str(&answer)?)
}
