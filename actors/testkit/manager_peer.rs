//! A Manager-protocol peer that writes what it is told and shows the documents it gets, as text.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::LIMIT;
use crate::transport::{Network, Stream};

const END: &str = "</xml>";

/// A scripted peer of the Manager protocol, on either side of a stream.
pub struct ManagerPeer {
    stream: Stream,
    text: String,
}

impl ManagerPeer {
    /// Connects to a Manager.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn connect(network: &Network, to: SocketAddr) -> Self {
        Self::over(
            network
                .connect(to)
                .await
                .expect("a connection for the peer"),
        )
    }

    /// Speaks over a stream that stands: one that was accepted, or a pipe.
    pub fn over(stream: Stream) -> Self {
        Self {
            stream,
            text: String::new(),
        }
    }

    /// Writes this text as it is.
    ///
    /// # Panics
    /// If the connection is broken.
    pub async fn send(&mut self, text: &str) {
        self.stream
            .write_all(text.as_bytes())
            .await
            .expect("an open connection");
    }

    /// The next document.
    ///
    /// # Panics
    /// If none comes within [`LIMIT`].
    pub async fn expect(&mut self) -> String {
        match self.receive(LIMIT).await {
            Some(document) => document,
            None => panic!("no document came, only {:?}", self.text),
        }
    }

    /// The next document, which has this `<type>`.
    ///
    /// # Panics
    /// If anything else comes, or nothing.
    pub async fn expect_type(&mut self, kind: &str) -> String {
        let document = self.expect().await;
        assert_eq!(type_of(&document), kind, "{document}");
        document
    }

    /// The first document of this `<type>`; others before it, such as a `PING`, are passed over.
    ///
    /// # Panics
    /// If none comes.
    pub async fn find_type(&mut self, kind: &str) -> String {
        loop {
            let document = self.expect().await;
            if type_of(&document) == kind {
                return document;
            }
        }
    }

    /// Waits to see that nothing comes.
    ///
    /// # Panics
    /// If something comes.
    pub async fn expect_nothing(&mut self, during: Duration) {
        assert_eq!(self.receive(during).await, None);
    }

    /// Waits until the other end closes the connection, without a further document.
    ///
    /// # Panics
    /// If it stays open, or something comes.
    pub async fn expect_close(&mut self) {
        let mut rest = Vec::new();
        match timeout(LIMIT, self.stream.read_to_end(&mut rest)).await {
            Ok(_) => {
                let rest = format!("{}{}", self.text, String::from_utf8_lossy(&rest));
                assert_eq!(rest.trim(), "", "came before the close");
            }
            Err(_) => panic!("the connection stays open"),
        }
    }

    /// The next document, if one comes in time.
    ///
    /// # Panics
    /// If what comes is not UTF-8.
    pub async fn receive(&mut self, limit: Duration) -> Option<String> {
        let Self { stream, text } = self;
        let reading = async {
            let mut bytes = Vec::new();
            loop {
                if let Some(at) = text.find(END) {
                    let rest = text.split_off(at + END.len());
                    return Some(std::mem::replace(text, rest).trim().to_owned());
                }
                let read = stream.read_buf(&mut bytes).await.unwrap_or(0);
                if read == 0 {
                    return None;
                }
                // A character may be split between two stretches: what is whole goes over.
                let whole = match std::str::from_utf8(&bytes) {
                    Ok(all) => all.len(),
                    Err(error) if error.error_len().is_none() => error.valid_up_to(),
                    Err(error) => panic!("not UTF-8: {error}"),
                };
                text.push_str(&String::from_utf8_lossy(&bytes[..whole]));
                bytes.drain(..whole);
            }
        };
        timeout(limit, reading).await.ok().flatten()
    }
}

/// What stands in a document's `<type>`, trimmed.
fn type_of(document: &str) -> &str {
    let inner = document
        .split_once("<type>")
        .and_then(|(_, rest)| rest.split_once("</type>"));
    inner.map(|(kind, _)| kind.trim()).unwrap_or_default()
}
