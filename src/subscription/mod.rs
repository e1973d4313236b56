//! SUBSCRIBE and NOTIFY at the notifier (RFC 6665, 4.2; RFC 3856).
//!
//! ```text
//!  watcher                                notifier
//!     | -- SUBSCRIBE (no To tag) ----------> |   initial; Expires: 0 is a fetch
//!     | <------ 200, To tag, Expires ------- |
//!     | <------ NOTIFY, active;expires=N --- |   at once, also after each refresh
//!     | ------- 200 -----------------------> |
//!     | -- SUBSCRIBE (To tag) -------------> |   refresh; Expires: 0 unsubscribes
//!     |                …                     |
//!     | <------ NOTIFY, terminated --------- |   when it ends
//! ```
//!
//! Here are the parts of a subscription as values: what a SUBSCRIBE asks for ([`Asked`]), the dialog it lives in
//! ([`Dialog`]), and when a NOTIFY may leave ([`Notifier`]). The registry owns their rows.

mod block;
mod bounded;
mod dialog;
mod error;
mod from;
mod members;
mod notifier;
mod notify;
mod tag;
mod way;

use std::sync::Arc;

use crate::registry::{Package, Settings};
use crate::sip::{Message, Name};

pub use bounded::Told;
pub use dialog::{Dialog, push_contact};
pub use error::SubscribeError;
pub use members::Members;
pub use notifier::{EndReason, Flight, Lost, Notifier, Verdict};
pub use notify::{Notify, State};
pub use tag::LocalTag;
pub use way::WayRecord;

/// RFC 6665, 4.2.1.1: a duration of an hour or more is never too brief.
const NEVER_BRIEF: u32 = 3600;

/// What a SUBSCRIBE asks for, found acceptable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The package's place in the settings.
    pub package: usize,
    /// `id` of the Event header.
    pub event_id: Option<Arc<str>>,
    /// Granted seconds; 0: fetch or unsubscribe.
    pub expires: u32,
}

impl Asked {
    /// Reads what initial and in-dialog SUBSCRIBEs have in common.
    pub fn read(request: &Message, settings: &Settings) -> Result<Self, SubscribeError> {
        let bad_event = || SubscribeError::BadEvent {
            allow_events: settings.allow_events(),
        };
        let event = request.event()?.ok_or_else(bad_event)?;
        let (index, package) = settings.package(&event.package).ok_or_else(bad_event)?;
        if !accepts(request, package) {
            return Err(SubscribeError::NotAcceptable {
                accept: package.body_types.join(", "),
            });
        }
        let mut durations = package.subscription;
        durations.min = durations.min.min(NEVER_BRIEF);
        let expires = durations
            .grant(request.expires()?)
            .map_err(SubscribeError::IntervalTooBrief)?;
        Ok(Self {
            package: index,
            event_id: event.id.map(Arc::from),
            expires,
        })
    }
}

/// Whether the watcher reads one of the package's types. Without Accept it does: they are the package's default
/// (RFC 6665, 3.1.3; RFC 3856, 6.5).
fn accepts(request: &Message, package: &Package) -> bool {
    if !request.has(Name::Accept) {
        return true;
    }
    let accepts = request.accepts().unwrap_or_default();
    accepts.iter().any(|range| {
        range == "*/*"
            || package.tells(range)
            || range.strip_suffix("/*").is_some_and(|kind| {
                package.body_types.iter().any(|known| {
                    known
                        .split('/')
                        .next()
                        .is_some_and(|own| own.eq_ignore_ascii_case(kind))
                })
            })
    })
}
