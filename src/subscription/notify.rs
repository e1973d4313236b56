//! What a NOTIFY says (RFC 6665, 4.2.2 and 8.2).

use bytes::Bytes;

use super::EndReason;
use crate::sip::push_number;
use crate::time::Timestamp;

/// What one NOTIFY says beyond what the dialog knows.
#[derive(Clone, Copy, Debug)]
pub struct Notify<'a> {
    /// Whose state it is: the address in From.
    pub presentity: &'a str,
    /// Event package.
    pub package: &'a str,
    /// `id` of the subscription.
    pub event_id: Option<&'a str>,
    /// Whether it lives.
    pub state: State,
    /// Media type of the body.
    pub content_type: &'a str,
    /// The state; empty: none.
    pub body: &'a Bytes,
}

/// What Subscription-State says (RFC 6665, 4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Accepted, until then.
    Active(Timestamp),
    /// Not decided yet; ends then.
    Pending(Timestamp),
    /// Over.
    Terminated(EndReason),
}

impl Notify<'_> {
    /// Appends its header lines: CSeq, Event, Subscription-State, Content-Type.
    pub(super) fn write(&self, now: Timestamp, cseq: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(b"CSeq: ");
        push_number(out, cseq);
        out.extend_from_slice(b" NOTIFY\r\nEvent: ");
        out.extend_from_slice(self.package.as_bytes());
        if let Some(id) = self.event_id {
            out.extend_from_slice(b";id=");
            out.extend_from_slice(id.as_bytes());
        }
        out.extend_from_slice(b"\r\nSubscription-State: ");
        match self.state {
            State::Active(end) => {
                out.extend_from_slice(b"active;expires=");
                push_number(out, end.seconds_from(now));
            }
            State::Pending(end) => {
                out.extend_from_slice(b"pending;expires=");
                push_number(out, end.seconds_from(now));
            }
            State::Terminated(reason) => {
                out.extend_from_slice(b"terminated;reason=");
                out.extend_from_slice(reason.as_str().as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
        if !self.body.is_empty() {
            out.extend_from_slice(b"Content-Type: ");
            out.extend_from_slice(self.content_type.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}
