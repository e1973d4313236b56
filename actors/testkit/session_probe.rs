//! A Manager-protocol session without a connection.

use std::collections::VecDeque;

use actix::prelude::*;
use rollcall_core::manager::{Message, read, to_bytes};
use rollcall_core::time::Timestamp;

use super::Probe;
use crate::messages::{ManagerIncoming, SessionId, ToSession};

/// Stands in a session's place: brings documents to the endpoint as if they had come over a connection, and shows what a
/// module sends back. There is no greeting and no flow control in between: what a module says is seen as it says it.
pub struct SessionProbe {
    id: SessionId,
    endpoint: Recipient<ManagerIncoming>,
    probe: Probe<ToSession>,
    /// Documents that came while a credit was awaited.
    documents: VecDeque<String>,
    /// Credits that came while a document was awaited.
    credits: VecDeque<usize>,
}

impl SessionProbe {
    /// A session of this number, before this endpoint.
    pub fn start(id: SessionId, endpoint: Recipient<ManagerIncoming>) -> Self {
        Self {
            id,
            endpoint,
            probe: Probe::start(),
            documents: VecDeque::new(),
            credits: VecDeque::new(),
        }
    }

    /// Brings a document.
    ///
    /// # Panics
    /// If it can't be read.
    pub fn say(&self, document: &str) {
        self.bring(
            read(document.as_bytes(), Timestamp::default()).expect("a document that can be read"),
        );
    }

    /// Brings a message.
    pub fn bring(&self, message: Message) {
        self.endpoint.do_send(ManagerIncoming {
            session: self.id,
            reply: self.probe.recipient(),
            message,
        });
    }

    /// The next document that is to be written, as text.
    ///
    /// # Panics
    /// If none comes.
    pub async fn document(&mut self) -> String {
        loop {
            if let Some(document) = self.documents.pop_front() {
                return document;
            }
            self.more().await;
        }
    }

    /// How many more documents the module takes, as it says next.
    ///
    /// # Panics
    /// If it gives no credit.
    pub async fn credit(&mut self) -> usize {
        loop {
            if let Some(credit) = self.credits.pop_front() {
                return credit;
            }
            self.more().await;
        }
    }

    async fn more(&mut self) {
        match self.probe.next().await {
            ToSession::Send(message) | ToSession::Close(message) => {
                let text = String::from_utf8(to_bytes(&message)).expect("text");
                self.documents.push_back(text.trim_end().to_owned());
            }
            ToSession::Credit(more) => self.credits.push_back(more),
        }
    }
}
