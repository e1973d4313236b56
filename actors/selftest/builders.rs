//! Ordinary requests about presentities, and what watchers are told of them.

use std::time::Duration;

use rollcall_core::sip::{Message, Name};

use super::dialog::Dialog;
use super::peer::{Peer, Stop, branch_of, code, missing, shown};
use super::request::Request;

/// A document about a presentity: one tuple, and what else is wanted in it.
pub(super) fn document(entity: &str, tuple: &str, basic: &str, note: &str) -> String {
    let note = if note.is_empty() {
        String::new()
    } else {
        format!("<note>{note}</note>")
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{entity}\">\
         <tuple id=\"{tuple}\"><status><basic>{basic}</basic></status>{note}</tuple></presence>"
    )
}

/// The body as text.
pub(super) fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.body()).into_owned()
}

/// The number in a header of seconds.
pub(super) fn seconds(message: &Message, name: Name) -> Option<u32> {
    message.text(name)?.trim().parse().ok()
}

/// The entity-tag of a response.
pub(super) fn tag(response: &Message) -> String {
    response
        .text(Name::SipEtag)
        .unwrap_or_default()
        .into_owned()
}

impl Peer {
    /// A PUBLISH without a body, not sent yet.
    pub fn publish(&mut self, uri: &str, expires: &str) -> Request {
        self.request("PUBLISH", uri)
            .and("Event", "presence")
            .and("Expires", expires)
    }

    /// A PUBLISH with a document, not sent yet.
    pub fn state(&mut self, uri: &str, basic: &str, note: &str) -> Request {
        let tuple = self.token();
        let body = document(uri, &format!("t{tuple}"), basic, note);
        self.publish(uri, "600").body("application/pidf+xml", body)
    }

    /// Publishes what is only the preparation of something else. Gives the entity-tag.
    pub async fn published(&mut self, mut request: Request) -> Result<String, Stop> {
        let response = self.ask(&mut request).await.map_err(Stop::unready)?;
        match code(&response) {
            200 => Ok(tag(&response)),
            _ => Err(Stop::Unready(format!(
                "PUBLISH was answered {}",
                shown(&response)
            ))),
        }
    }

    /// The same with an ordinary document.
    pub async fn published_state(
        &mut self,
        uri: &str,
        basic: &str,
        note: &str,
    ) -> Result<String, Stop> {
        let request = self.state(uri, basic, note);
        self.published(request).await
    }

    /// A REGISTER without a Contact, not sent yet.
    pub fn register(&mut self, aor: &str) -> Request {
        let domain = self.domain();
        let request = self.request("REGISTER", &domain);
        let tag = request
            .value("From")
            .rsplit_once(";tag=")
            .map_or(String::new(), |(_, tag)| tag.to_owned());
        request
            .with("To", format!("<{aor}>"))
            .with("From", format!("<{aor}>;tag={tag}"))
    }

    /// The next NOTIFY of this dialog, answered 200, which may be held back so that changes gather: RFC 3856, 6.10 lets
    /// five seconds pass.
    pub async fn paced_notify(&mut self, dialog: &Dialog) -> Result<Message, Stop> {
        let limit = self.shared.limit + Duration::from_secs(6);
        let found = self.notify_within(dialog, limit).await?;
        let notify = found.ok_or_else(|| missing("a NOTIFY".to_owned(), "nothing"))?;
        self.answer(&notify, "200 OK").await?;
        Ok(notify)
    }

    /// An answer to this branch that has come, if any.
    pub fn kept_answer(&self, branch: &str) -> Option<Message> {
        let answers = |message: &&Message| !message.is_request() && branch_of(message) == branch;
        self.kept().find(answers).cloned()
    }
}
