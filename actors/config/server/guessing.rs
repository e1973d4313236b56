//! How those are slowed down who guess passwords.

use rollcall_core::digest::Guessing;

use crate::config::Section;
use crate::config::kind::{Span, Whole};

pub(super) fn read(s: &mut Section<'_>) -> Guessing {
    let default = Guessing::default();
    Guessing {
        free: s.key(
            "free",
            "Wrong passwords of an account from one address that cost no wait; of an address, four times as many.",
            Whole(1..=1000),
            default.free,
        ),
        longest: s.key(
            "longest",
            "The longest wait; the first is a second, and each is twice as long as the one before. Meanwhile 403 with Retry-After. 0s: \
             nobody waits.",
            Span::seconds(0, 3600),
            default.longest,
        ),
    }
}
