//! Non-INVITE client and server transactions as values (RFC 3261, section 17; RFC 4320).
//!
//! ```text
//!        client (17.1.2)                          server (17.2.2)
//!   request |  Timer E: again (UDP)          request | to the module
//!           V  Timer F: timeout                      V
//!        Trying ── 1xx ──> Proceeding             Trying ── no reply for 64*T1 ──> gone, in silence
//!           |                  |                     | reply
//!           └──── 2xx-6xx ─────┤                     V
//!                              V                 Completed   retransmission: the same response
//!                          Completed                 | Timer J
//!                              | Timer K             V
//!                              V                   gone
//!                            gone
//! ```
//!
//! There is no Proceeding on the server's side: the only provisional response that RFC 4320 leaves is a late 100, and it
//! may be left out. [`Clients`] and [`Servers`] hold the transactions of one endpoint; both share its [`crate::time::Wheel`].

mod client;
mod key;
mod server;

use std::time::Duration;

pub use client::{Clients, Ended, Fired, Received, Request};
pub use key::{
    COOKIE, TransactionKey, branch_of_ours, branch_start, merge_key, push_token, server_key,
};
pub use server::{Found, Kept, Pending, Servers};

/// The times from which all timers follow (RFC 3261, 17.1.1.1 and table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Estimate of the round trip; first interval of Timer E.
    pub t1: Duration,
    /// Longest interval of Timer E.
    pub t2: Duration,
    /// How long a message stays in the network.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

impl Timers {
    /// How long a client waits for a final response (Timer F), and a server repeats it (Timer J): 64*T1.
    pub fn lifetime(&self) -> Duration {
        self.t1 * 64
    }
}

/// What fires in a transaction. The number is its row in [`Clients`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Requests that were sent T1 ago, and have no final response, are sent again (17.1.2.2). One for all; not on reliable
    /// transports.
    FirstE,
    /// The request is sent once more: each time twice as long after the time before, up to T2 (17.1.2.2).
    E(u32),
    /// The request has no final response after 64*T1: timeout (17.1.2.2).
    F(u32),
    /// Of the requests whose final response came T4 ago, no more retransmissions of it are expected (17.1.2.2). One for all;
    /// not on reliable transports.
    K,
    /// Of the requests that were answered 64*T1 ago, no more retransmissions are expected (17.2.2). One for all; not on
    /// reliable transports.
    J,
    /// Modules have not answered within 64*T1. The clients have given up by now, and a 408 would only do harm (RFC 4320): the
    /// requests are forgotten in silence. One for all.
    Unanswered,
}

#[cfg(test)]
mod tests;
