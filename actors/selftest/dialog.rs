//! The subscriber's side of a dialog: SUBSCRIBE within it, and what its NOTIFYs say.

use rollcall_core::sip::{Message, Name, SubscriptionState, SubscriptionStateValue};

use super::peer::{Peer, Stop, code, shown};
use super::request::Request;

/// A dialog with a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dialog {
    /// The remote target: the Request-URI of what is sent.
    pub target: String,
    pub from: String,
    /// With the notifier's tag.
    pub to: String,
    pub call_id: String,
    /// Of the last request sent.
    pub cseq: u32,
    pub contact: String,
    pub event: String,
    own_tag: String,
}

impl Dialog {
    /// From the SUBSCRIBE that made it and its 2xx.
    fn of(request: &Request, response: &Message) -> Self {
        let contact = response.contacts().ok();
        let contact = contact.and_then(|contacts| Some(contacts.first()?.uri.to_string()));
        let cseq = request.value("CSeq").split(' ').next();
        let tag = request.value("From").rsplit_once("tag=");
        Self {
            target: contact.unwrap_or_else(|| request.uri.clone()),
            from: request.value("From").to_owned(),
            to: response.text(Name::To).unwrap_or_default().into_owned(),
            call_id: request.value("Call-ID").to_owned(),
            cseq: cseq.and_then(|number| number.parse().ok()).unwrap_or(0),
            contact: request.value("Contact").to_owned(),
            event: request.value("Event").to_owned(),
            own_tag: tag.map_or(String::new(), |(_, tag)| tag.to_owned()),
        }
    }

    /// Call-ID and own tag.
    pub fn key(&self) -> (String, String) {
        (self.call_id.clone(), self.own_tag.clone())
    }

    /// Whether that is a NOTIFY of it.
    pub fn has(&self, message: &Message) -> bool {
        message
            .method()
            .is_some_and(|method| method.as_str() == "NOTIFY")
            && message.call_id().is_ok_and(|id| id == self.call_id)
            && message.to_tag().as_deref() == Some(&*self.own_tag)
    }
}

impl Peer {
    /// A SUBSCRIBE to presence, not sent yet.
    pub fn subscription(&mut self, uri: &str, expires: &str) -> Request {
        let contact = self.contact();
        self.request("SUBSCRIBE", uri)
            .and("Contact", contact)
            .and("Event", "presence")
            .and("Accept", "application/pidf+xml")
            .and("Expires", expires)
    }

    /// Sends a SUBSCRIBE that begins a dialog, and keeps in mind to end it.
    pub async fn subscribe(&mut self, mut request: Request) -> Result<(Message, Dialog), Stop> {
        let response = self.ask(&mut request).await?;
        let dialog = Dialog::of(&request, &response);
        if (200..300).contains(&code(&response)) && request.value("Expires") != "0" {
            self.subscribed.insert(dialog.key(), dialog.clone());
        }
        Ok((response, dialog))
    }

    /// A subscription that stands, with its first NOTIFY, where that is only the preparation of something else.
    pub async fn watching(&mut self, uri: &str) -> Result<(Dialog, Message), Stop> {
        let request = self.subscription(uri, "600");
        self.watching_by(request).await
    }

    /// The same by a SUBSCRIBE of one's own.
    pub async fn watching_by(&mut self, request: Request) -> Result<(Dialog, Message), Stop> {
        let (response, dialog) = self.subscribe(request).await.map_err(Stop::unready)?;
        if !(200..300).contains(&code(&response)) {
            let reason = format!("SUBSCRIBE was answered {}", shown(&response));
            return Err(Stop::Unready(reason));
        }
        let first = self.notify(&dialog).await.map_err(Stop::unready)?;
        Ok((dialog, first))
    }

    /// The state that somebody who asks once is told: the body of the one NOTIFY.
    pub async fn fetched(&mut self, uri: &str) -> Result<Message, Stop> {
        let request = self.subscription(uri, "0");
        Ok(self.watching_by(request).await?.1)
    }

    /// The next SUBSCRIBE within a dialog, not sent yet.
    pub fn within(&mut self, dialog: &mut Dialog, expires: &str) -> Request {
        dialog.cseq += 1;
        let via = self.via();
        Request::new("SUBSCRIBE", &dialog.target)
            .and("Via", via)
            .and("Max-Forwards", "70")
            .and("From", dialog.from.clone())
            .and("To", dialog.to.clone())
            .and("Call-ID", dialog.call_id.clone())
            .and("CSeq", format!("{} SUBSCRIBE", dialog.cseq))
            .and("Contact", dialog.contact.clone())
            .and("Event", dialog.event.clone())
            .and("Accept", "application/pidf+xml")
            .and("Expires", expires)
    }

    /// Sends it.
    pub async fn ask_in(&mut self, dialog: &mut Dialog, expires: &str) -> Result<Message, Stop> {
        let mut request = self.within(dialog, expires);
        let response = self.ask(&mut request).await;
        // A challenge has taken a number of its own.
        let number = request.value("CSeq").split(' ').next();
        dialog.cseq = number.and_then(|n| n.parse().ok()).unwrap_or(dialog.cseq);
        response
    }
}

/// The Subscription-State of a NOTIFY, if it has one that can be read.
pub(super) fn state_of(notify: &Message) -> Option<SubscriptionState> {
    notify.subscription_state().ok().flatten()
}

/// Whether it is the last of its subscription.
pub(super) fn is_terminated(notify: &Message) -> bool {
    state_of(notify).is_some_and(|state| state.value == SubscriptionStateValue::Terminated)
}
