//! Digest authentication of SIP requests (RFC 8760, 7616, 3261 section 22), both ends of it.
//!
//! ```text
//!  challenger  ── 401, WWW-Authenticate per algorithm ──▶  answerer
//!      │  nonce: time and MAC, no state                       │ picks the best algorithm it knows
//!      │  memory of all shards: a window per nonce and        │ counts requests per nonce
//!      │  failed logins, both bounded                         │
//!      ◀────────── Authorization ─────────────────────────────┘
//! ```
//!
//! [`Challenger`] is the server's side, [`Answerer`] the client's; [`Users`] are the accounts, which hold no passwords but
//! what the RFC calls HA1.

mod algorithm;
mod answerer;
mod challenger;
mod guesses;
mod memory;
mod nonce;
mod params;
mod replay;
#[cfg(test)]
mod tests;
mod users;

pub use algorithm::Algorithm;
pub use answerer::{Answerer, Credentials};
pub use challenger::{Authentication, Challenger, Denied};
pub use guesses::{Guessing, LoginFailures};
pub use memory::Memory;
pub use users::{Users, UsersError};

/// `H(HA1:nonce:nc:cnonce:qop:HA2)`, or `H(HA1:nonce:HA2)` without qop (RFC 7616, 3.4.1; RFC 2617, 3.2.2.1).
fn response(
    algorithm: Algorithm,
    ha1: &str,
    nonce: &str,
    counted: Option<(&str, &str)>,
    method: &str,
    uri: &str,
) -> String {
    let ha2 = algorithm.hash(&[method, uri]);
    match counted {
        Some((count, cnonce)) => algorithm.hash(&[ha1, nonce, count, cnonce, "auth", &ha2]),
        None => algorithm.hash(&[ha1, nonce, &ha2]),
    }
}
