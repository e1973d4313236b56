//! A TCP or TLS connection, and the messages in it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use memchr::{memchr, memmem};
use tokio_rustls::rustls::ClientConnection;

use super::trust::{self, Secure};

/// What ends the headers.
const END: &[u8] = b"\r\n\r\n";

/// How long the handshake may wait for the server.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A connection that never blocks. The server must use it in both directions.
#[derive(Debug)]
pub(super) struct Stream {
    pub stream: TcpStream,
    /// What is spoken above TCP; None for nothing.
    tls: Option<Box<ClientConnection>>,
    /// What has come and was not taken yet.
    inbox: Vec<u8>,
    /// How much of it was.
    taken: usize,
    /// What the system did not take yet.
    outbox: Vec<u8>,
}

impl Stream {
    /// Connects; this once it waits.
    pub(super) fn connect(target: SocketAddr, secure: Option<&Secure>) -> io::Result<Self> {
        let mut stream = TcpStream::connect(target)?;
        let mut tls = secure.map(Secure::connection).transpose()?.map(Box::new);
        if let Some(tls) = &mut tls {
            stream.set_read_timeout(Some(HANDSHAKE))?;
            while tls.is_handshaking() {
                let silent = |error: io::Error| match error.kind() {
                    io::ErrorKind::WouldBlock => io::Error::other("no TLS handshake for 10 s"),
                    _ => trust::advice(error),
                };
                tls.complete_io(&mut stream).map_err(silent)?;
            }
        }
        Self::over(stream, tls)
    }

    /// A connection that somebody has opened to us.
    pub(super) fn accepted(stream: TcpStream) -> io::Result<Self> {
        Self::over(stream, None)
    }

    fn over(stream: TcpStream, tls: Option<Box<ClientConnection>>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // A message that waits for the next one would be charged to the server.
        stream.set_nodelay(true)?;
        let mut whole = Self {
            stream,
            tls,
            inbox: Vec::new(),
            taken: 0,
            outbox: Vec::new(),
        };
        // What came with the end of the handshake.
        whole.decrypted()?;
        Ok(whole)
    }

    /// Sends, as soon as [`Stream::flush`] is called or something is received.
    pub(super) fn queue(&mut self, message: &[u8]) {
        self.outbox.extend_from_slice(message);
    }

    /// Sends, now or as soon as the system takes it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            // It takes all, since it has no limit.
            tls.writer().write_all(&self.outbox)?;
            self.outbox.clear();
            while tls.wants_write() {
                match tls.write_tls(&mut self.stream) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            return Ok(());
        }
        let mut sent = 0;
        while sent < self.outbox.len() {
            match self.stream.write(&self.outbox[sent..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.outbox.drain(..sent);
        Ok(())
    }

    /// Whether there is something to send still.
    pub(super) fn is_full(&self) -> bool {
        let encrypted = self.tls.as_ref().is_some_and(|tls| tls.wants_write());
        encrypted || !self.outbox.is_empty()
    }

    /// Whether a whole message, or something that is none, can be taken without reading.
    pub(super) fn has_more(&self) -> bool {
        !matches!(whole(&self.inbox[self.taken..]), Ok(None))
    }

    /// The next message, copied into the buffer, which must have room for the longest one; None if there is none yet.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.flush()?;
        loop {
            let left = &self.inbox[self.taken..];
            if let Some((start, end)) = whole(left)? {
                let message = &left[start..end];
                let too_long =
                    || io::Error::new(io::ErrorKind::InvalidData, "a message is too long");
                buffer
                    .get_mut(..message.len())
                    .ok_or_else(too_long)?
                    .copy_from_slice(message);
                let length = message.len();
                self.taken += end;
                return Ok(Some(length));
            }
            self.inbox.drain(..self.taken);
            self.taken = 0;
            match self.read(buffer) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what has come into the inbox, by way of the buffer.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let length = match &mut self.tls {
            None => {
                let length = self.stream.read(buffer)?;
                self.inbox.extend_from_slice(&buffer[..length]);
                length
            }
            Some(tls) => {
                let length = tls.read_tls(&mut self.stream)?;
                self.decrypted()?;
                length
            }
        };
        if length == 0 {
            let why = "the server has closed a connection";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        Ok(())
    }

    /// Moves what is decrypted into the inbox: all of it, since nothing else tells that there is some.
    fn decrypted(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            return Ok(());
        };
        let state = tls.process_new_packets().map_err(io::Error::other)?;
        let (before, length) = (self.inbox.len(), state.plaintext_bytes_to_read());
        self.inbox.resize(before + length, 0);
        tls.reader().read_exact(&mut self.inbox[before..])
    }
}

/// Where the first message begins and ends (RFC 3261, 18.3); None if it is not whole yet. Line ends before it are skipped.
fn whole(text: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let start = text
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    let Some(head) = memmem::find(&text[start..], END) else {
        return Ok(None);
    };
    let body = start + head + END.len();
    let length = content_length(&text[start..start + head]);
    let length = length.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "a Content-Length is no number")
    })?;
    let end = body.saturating_add(length);
    Ok((end <= text.len()).then_some((start, end)))
}

/// The length that the headers say; 0 if they say none. None if it is no number.
fn content_length(mut head: &[u8]) -> Option<usize> {
    while let Some(end) = memchr(b'\n', head) {
        head = &head[end + 1..];
        let line = &head[..memchr(b'\r', head).unwrap_or(head.len())];
        let Some(colon) = memchr(b':', line) else {
            continue;
        };
        let name = line[..colon].trim_ascii_end();
        if name.eq_ignore_ascii_case(b"Content-Length") || name.eq_ignore_ascii_case(b"l") {
            let value = std::str::from_utf8(line[colon + 1..].trim_ascii()).ok()?;
            return value.parse().ok();
        }
    }
    Some(0)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What is found in a text: messages, and what is left.
    fn found(mut text: &[u8]) -> (Vec<&[u8]>, &[u8]) {
        let mut all = Vec::new();
        while let Some((start, end)) = whole(text).expect("good lengths") {
            all.push(&text[start..end]);
            text = &text[end..];
        }
        (all, text)
    }

    #[test]
    fn messages_are_told_apart_by_their_lengths() {
        let first = b"SIP/2.0 200 OK\r\nVia: x\r\nContent-Length : 2\r\n\r\nab";
        let second = b"NOTIFY a SIP/2.0\r\nl:0\r\n\r\n";
        let text = [&first[..], b"\r\n\r\n", second, b"SIP/2.0 1"].concat();
        assert_eq!(found(&text), (vec![&first[..], second], &b"SIP/2.0 1"[..]));
    }

    #[test]
    fn a_message_is_none_before_its_last_byte() {
        let text = b"SIP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        for end in 0..text.len() {
            assert_eq!(whole(&text[..end]).expect("good lengths"), None, "{end}");
        }
        assert_eq!(whole(text).expect("good lengths"), Some((0, text.len())));
    }

    #[test]
    fn a_length_that_is_no_number_is_an_error_and_one_that_is_enormous_is_waited_for() {
        assert!(whole(b"A b SIP/2.0\r\nContent-Length: x\r\n\r\n").is_err());
        assert!(whole(b"A b SIP/2.0\r\nContent-Length: -1\r\n\r\n").is_err());
        let enormous = format!("A b SIP/2.0\r\nContent-Length: {}\r\n\r\n", usize::MAX);
        assert_eq!(whole(enormous.as_bytes()).expect("a number"), None);
        assert_eq!(content_length(b"A b SIP/2.0\r\nVia: x"), Some(0));
    }

    #[test]
    fn what_is_sent_arrives_and_the_end_of_a_connection_is_an_error() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let mut ours = Stream::connect(address, None).expect("a connection");
        let (mut theirs, _) = listener.accept().expect("a connection");
        let mut buffer = vec![0; 1000];
        assert_eq!(ours.receive(&mut buffer).expect("no error"), None);
        ours.queue(b"hello");
        ours.flush().expect("room");
        let mut heard = [0; 5];
        theirs.read_exact(&mut heard).expect("five bytes");
        assert_eq!(&heard, b"hello");
        drop(theirs);
        // The end may take a moment to arrive.
        let end = loop {
            match ours.receive(&mut buffer) {
                Ok(None) => std::thread::yield_now(),
                other => break other,
            }
        };
        assert_eq!(
            end.expect_err("closed").kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
