//! What the black-box tests share: processes that are waited for and ended, peers from packages, a SIP client by hand.

pub mod faults;
pub mod kamailio;
pub mod process;
pub mod sip;
pub mod source;

use std::time::{Duration, Instant};

/// How long a black-box test waits for anything before it fails. Generous: machines under test are busy.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer, or fails with what was waited for.
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    eventually_or(what, ask, String::new)
}

/// The same, and a failure also says what happened instead.
pub fn eventually_or<T>(
    what: &str,
    mut ask: impl FnMut() -> Option<T>,
    instead: impl Fn() -> String,
) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {LIMIT:?} in vain for {what}:\n{}",
            instead()
        );
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
