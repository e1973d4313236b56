//! Event and Subscription-State (RFC 6665, 8.2.1 and 8.2.3).

use std::fmt;

use super::Params;
use super::lex::{is_balanced, is_token_text, seconds, trim_text};

/// The Event header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The package, with templates: `presence.winfo`. Compared byte by byte.
    pub package: String,
    /// The `id` parameter.
    pub id: Option<String>,
    /// All parameters, `id` among them.
    pub params: Params,
}

/// The state in a Subscription-State header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SubscriptionStateValue {
    /// `active`
    Active,
    /// `pending`
    Pending,
    /// `terminated`
    Terminated,
    /// Any other, as written.
    Other(String),
}

/// The Subscription-State header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubscriptionState {
    /// The state.
    pub value: SubscriptionStateValue,
    /// Seconds left.
    pub expires: Option<u32>,
    /// Why it is as it is: `noresource`, `deactivated`, …
    pub reason: Option<String>,
    /// Seconds to wait before trying again.
    pub retry_after: Option<u32>,
    /// Further parameters, none of the above.
    pub params: Params,
}

/// The text before the parameters, which must be a token, and the parameters.
fn token_and_params(text: &str) -> Result<(&str, Params), &'static str> {
    let (token, params) = text.split_at(text.find(';').unwrap_or(text.len()));
    let token = trim_text(token);
    if !is_token_text(token.as_bytes()) {
        return Err("not a token");
    }
    Ok((
        token,
        Params::parse(params).ok_or("unterminated quoted string")?,
    ))
}

/// The package in an Event header that is well formed.
pub(super) fn package_of(text: &str) -> Result<&str, &'static str> {
    let end = text.bytes().position(|byte| byte == b';');
    let (token, params) = text.split_at(end.unwrap_or(text.len()));
    let token = trim_text(token);
    match (is_token_text(token.as_bytes()), is_balanced(params)) {
        (false, _) => Err("not a token"),
        (true, false) => Err("unterminated quoted string"),
        (true, true) => Ok(token),
    }
}

impl Event {
    /// An event without parameters.
    pub fn new(package: &str) -> Self {
        Self {
            package: package.to_owned(),
            id: None,
            params: Params::new(),
        }
    }

    /// Reads a header value; `Err` says in words what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (package, params) = token_and_params(text)?;
        let id = params
            .get("id")
            .filter(|id| !id.is_empty())
            .map(str::to_owned);
        Ok(Self {
            package: package.to_owned(),
            id,
            params,
        })
    }
}

impl SubscriptionState {
    /// A state without parameters.
    pub const fn new(value: SubscriptionStateValue) -> Self {
        Self {
            value,
            expires: None,
            reason: None,
            retry_after: None,
            params: Params::new(),
        }
    }

    /// Reads a header value; `Err` says in words what is wrong. A number that is none is taken for absent: the state
    /// matters more.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (value, mut params) = token_and_params(text)?;
        let value = match value {
            _ if value.eq_ignore_ascii_case("active") => SubscriptionStateValue::Active,
            _ if value.eq_ignore_ascii_case("pending") => SubscriptionStateValue::Pending,
            _ if value.eq_ignore_ascii_case("terminated") => SubscriptionStateValue::Terminated,
            other => SubscriptionStateValue::Other(other.to_owned()),
        };
        let expires = params.get("expires").and_then(seconds);
        let reason = params
            .get("reason")
            .filter(|reason| !reason.is_empty())
            .map(str::to_owned);
        let retry_after = params.get("retry-after").and_then(seconds);
        for own in ["expires", "reason", "retry-after"] {
            params.remove(own);
        }
        Ok(Self {
            value,
            expires,
            reason,
            retry_after,
            params,
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.package)?;
        if let Some(id) = self.id.as_deref().filter(|_| !self.params.has("id")) {
            write!(f, ";id={id}")?;
        }
        write!(f, "{}", self.params)
    }
}

impl fmt::Display for SubscriptionStateValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Terminated => "terminated",
            Self::Other(other) => other,
        })
    }
}

impl fmt::Display for SubscriptionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value)?;
        if let Some(expires) = self.expires {
            write!(f, ";expires={expires}")?;
        }
        if let Some(reason) = &self.reason {
            write!(f, ";reason={reason}")?;
        }
        if let Some(retry_after) = self.retry_after {
            write!(f, ";retry-after={retry_after}")?;
        }
        write!(f, "{}", self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_its_package_and_its_id() {
        let event = Event::parse("presence.winfo ; id = 7;x=\"a;b\"").expect("an event");
        assert_eq!(
            (event.package.as_str(), event.id.as_deref()),
            ("presence.winfo", Some("7"))
        );
        assert_eq!(event.to_string(), "presence.winfo;id=7;x=\"a;b\"");
        assert_eq!(Event::new("presence").to_string(), "presence");
        let with_id = Event {
            id: Some("9".to_owned()),
            ..Event::new("presence")
        };
        assert_eq!(with_id.to_string(), "presence;id=9");
    }

    #[test]
    fn packages_differ_by_case() {
        assert_ne!(
            Event::parse("Presence").map(|e| e.package),
            Event::parse("presence").map(|e| e.package)
        );
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for text in ["", ";id=7", "a b", "pres/ence", "presence, dialog"] {
            assert_eq!(Event::parse(text), Err("not a token"), "{text}");
        }
    }

    #[test]
    fn a_subscription_state_is_read_and_printed() {
        let text = "terminated;reason=noresource;retry-after=30;foo";
        let state = SubscriptionState::parse("TERMINATED ;reason=noresource; retry-after=30;foo")
            .expect("a state");
        assert_eq!(state.value, SubscriptionStateValue::Terminated);
        assert_eq!(state.reason.as_deref(), Some("noresource"));
        assert_eq!(state.retry_after, Some(30));
        assert_eq!(state.to_string(), text);
    }

    #[test]
    fn seconds_left_clamp_and_nonsense_counts_as_absent() {
        let expires = |text: &str| SubscriptionState::parse(text).expect("a state").expires;
        assert_eq!(expires("active;expires=600"), Some(600));
        assert_eq!(expires("active;expires=99999999999999"), Some(u32::MAX));
        assert_eq!(expires("active;expires=soon"), None);
    }

    #[test]
    fn an_unknown_state_is_kept() {
        let state = SubscriptionState::parse("waiting;expires=3").expect("a state");
        assert_eq!(
            state.value,
            SubscriptionStateValue::Other("waiting".to_owned())
        );
    }
}
