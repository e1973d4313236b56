//! What the fuzz targets do with any input. Shared with the tests, which run every seed through them.
//!
//! A body asserts what holds for any bytes: whatever is read is written and read the same, a stream means the same
//! however it is cut, a dialog counts by one.

mod dialog;
mod digest;
mod sip;
mod xml;

pub use dialog::dialog;
pub use digest::digest;
pub use sip::{framing, lists, message, uri};
pub use xml::{manager, pidf};

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: [Target; 8] = [
    ("message", message),
    ("uri", uri),
    ("lists", lists),
    ("framing", framing),
    ("pidf", pidf),
    ("digest", digest),
    ("manager", manager),
    ("dialog", dialog),
];
