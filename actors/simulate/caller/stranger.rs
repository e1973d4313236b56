//! What a caller without manners does.

use bytes::Bytes;

use super::wire::document;
use super::{Dialog, Purpose, Running};

/// Requests in a burst.
const BURST: u64 = 30;

impl Running {
    /// Answers to NOTIFYs: mostly none or a good one, else one that ends the subscription, or one that makes no sense.
    pub(super) fn bad_answer(&mut self) -> Option<&'static str> {
        match self.entropy.below(10) {
            0..=3 => None,
            4..=6 => Some("200 OK"),
            7 => Some("481 Subscription does not exist"),
            8 => Some("500 Server Internal Error"),
            _ => Some("202 Accepted"),
        }
    }

    /// One thing that should not be done.
    pub(super) fn misbehave(&mut self) {
        match self.entropy.below(9) {
            0 => self.publish_with("made-up"),
            1 => self.publish_with_an_old_tag(),
            2 => self.two_publish_at_once(),
            3 => self.refresh_an_old_dialog(),
            4 => self.go_back_in_cseq(),
            5 => self.use_a_call_id_again(),
            6 => self.send_broken_bytes(),
            7 => self.burst(),
            _ => self.forget_a_dialog(),
        }
    }

    fn publish_with(&mut self, tag: &str) {
        let body = document(&self.line.own, self.entropy.below(1000));
        self.send_publish(
            Purpose::Noise,
            &format!("SIP-If-Match: {tag}\r\n"),
            60,
            &body,
        );
    }

    fn publish_with_an_old_tag(&mut self) {
        if let Some(tag) = self.old_tags.last().cloned() {
            self.publish_with(&tag);
        }
    }

    /// Two requests for one entity-tag, without waiting for the first answer (against RFC 3903, 4).
    fn two_publish_at_once(&mut self) {
        if self.is_asking(Purpose::Publish) {
            return;
        }
        if let Some(tag) = self.etag.clone() {
            self.publish_with(&tag);
            let body = document(&self.line.own, self.entropy.below(1000));
            let condition = format!("SIP-If-Match: {tag}\r\n");
            self.send_publish(Purpose::Publish, &condition, 90, &body);
        }
    }

    fn drawn_dialog(&mut self) -> Option<Dialog> {
        let count = u64::try_from(self.old_dialogs.len()).unwrap_or(0);
        let drawn = usize::try_from(self.entropy.below(count)).ok()?;
        self.old_dialogs.get(drawn).cloned()
    }

    fn refresh_an_old_dialog(&mut self) {
        if let Some(mut dialog) = self.drawn_dialog() {
            dialog.cseq += 7;
            self.send_subscribe(Purpose::Noise, &dialog, 60);
        }
    }

    fn go_back_in_cseq(&mut self) {
        if let Some(mut dialog) = self.dialog.clone() {
            dialog.cseq = dialog.cseq.saturating_sub(1);
            self.send_subscribe(Purpose::Noise, &dialog, 60);
        }
    }

    /// A new dialog under the Call-ID and tag of an old one.
    fn use_a_call_id_again(&mut self) {
        if let Some(mut dialog) = self.drawn_dialog() {
            dialog.server_tag = None;
            dialog.cseq += 1;
            self.send_subscribe(Purpose::Noise, &dialog, 60);
        }
    }

    /// A request cut off, or with some of its bytes changed.
    fn send_broken_bytes(&mut self) {
        let own = self.line.own.clone();
        let call_id = self.entropy.token();
        let body = document(&own, 1);
        let (_, bytes) = self.line.request(
            &mut self.entropy,
            ("PUBLISH", &own),
            (&call_id, "b", None, 1),
            (
                "Event: presence\r\nContent-Type: application/pidf+xml\r\n",
                &body,
            ),
        );
        let mut bytes = Vec::from(bytes);
        let length = u64::try_from(bytes.len()).unwrap_or(1);
        let place = |drawn: u64| usize::try_from(drawn).unwrap_or(0);
        if self.once_in(2) {
            bytes.truncate(place(self.entropy.below(length)));
        } else {
            for _ in 0..1 + self.entropy.below(6) {
                let at = place(self.entropy.below(length));
                // The lowest eight bits of a random number.
                bytes[at] = self.entropy.next_u64() as u8;
            }
        }
        self.throw(&Bytes::from(bytes));
    }

    fn burst(&mut self) {
        for _ in 0..self.entropy.below(BURST) {
            self.publish_with("burst");
        }
    }

    /// Says nothing about it to the server, and subscribes anew some time.
    fn forget_a_dialog(&mut self) {
        self.old_dialogs.extend(self.dialog.take());
    }
}
