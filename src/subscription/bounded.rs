//! A dialog whose watcher has not answered yet: how much it may be told (docs/adr/0015).

use std::net::SocketAddr;

use bytes::Bytes;

use super::way::place;
use super::{Dialog, Notify};
use crate::egress::Egress;
use crate::exchange::{Outgoing, Token, Transport};
use crate::time::Timestamp;

/// Bytes of CSeq, Event and Subscription-State, but for the name of the event.
const STATE_LINES: usize = 90;

/// A NOTIFY, as far as it may be sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// All of it.
    Whole(Outgoing),
    /// Without the state.
    Part(Outgoing),
    /// Nothing may be sent.
    Nothing,
}

impl Dialog {
    /// Who has answered at the place that NOTIFYs went to before has answered, if they go there still.
    pub(super) fn go_on(&mut self, before: &Self) {
        // Mostly there is nothing left to prove.
        if self.way.is_proven() || !before.way.is_proven() {
            return;
        }
        let same = self.block.flow().remote == before.block.flow().remote
            && self.next_hop() == before.next_hop();
        self.way.go_on(before.way, same);
    }

    /// The first Route, or else the remote target.
    fn next_hop(&self) -> &str {
        self.block.first_route().unwrap_or(self.target())
    }

    /// Where the next hop is, when it is named by an address and the SUBSCRIBE did not come straight from its sender.
    pub fn next_place(&self) -> Option<(Transport, SocketAddr)> {
        let indirect = self.way.is_indirect();
        indirect.then(|| place(self.next_hop())).flatten()
    }

    /// Nobody makes up addresses of some networks.
    pub fn believe(&mut self, egress: &Egress) {
        self.way.believe(egress, &self.block.flow());
    }

    /// Who is where NOTIFYs go has answered one.
    pub fn prove(&mut self) {
        self.way.prove();
    }

    /// Whether who is where NOTIFYs go has answered.
    pub fn is_proven(&self) -> bool {
        self.way.is_proven()
    }

    /// Whether no NOTIFY may leave for now: the place has not answered, and was sent one.
    pub fn is_spent(&self) -> bool {
        self.way.room() == Some(0)
    }

    /// Whether there is room for a NOTIFY at all, of a package whose name and id have so many bytes.
    pub fn has_room(&self, aor: &str, event: usize) -> bool {
        self.way.room().is_none_or(|room| {
            let mut head = Vec::new();
            self.write_head(aor, &mut head);
            head.len() + event + STATE_LINES + self.target().len() + self.other_lines() <= room
        })
    }

    /// Bytes of a NOTIFY that are neither its Request-URI, nor our head, nor its body: request line, Via, Max-Forwards and
    /// Content-Length, at most.
    fn other_lines(&self) -> usize {
        match self.block.flow().local {
            SocketAddr::V4(_) => 140,
            SocketAddr::V6(_) => 166,
        }
    }

    /// The next NOTIFY as the place it goes to may have it: as it is, or without the state until somebody there has answered,
    /// or none at all.
    pub fn tell(&mut self, now: Timestamp, epoch: u64, token: Token, notify: &Notify<'_>) -> Told {
        let Some(room) = self.way.room() else {
            return Told::Whole(self.notify(now, epoch, token, notify));
        };
        let before = self.sent;
        let without = Notify {
            content_type: "",
            body: &Bytes::new(),
            ..*notify
        };
        for (notify, whole) in [(notify, true), (&without, false)] {
            self.sent = before;
            let outgoing = self.notify(now, epoch, token, notify);
            let length = outgoing.head.len() + outgoing.uri.len() + outgoing.body.len();
            if length + self.other_lines() <= room {
                self.way.spend();
                return match whole {
                    true => Told::Whole(outgoing),
                    false => Told::Part(outgoing),
                };
            }
        }
        self.sent = before;
        Told::Nothing
    }
}
