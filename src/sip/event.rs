//! Event and Subscription-State (RFC 6665, 8.2.1 and 8.2.3).
use super::Params;
use std::fmt;

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
        let _ = text;
        todo!()
    }
}

impl SubscriptionState {
    /// A state without parameters.
    pub fn new(value: SubscriptionStateValue) -> Self {
        Self {
            value,
            expires: None,
            reason: None,
            retry_after: None,
            params: Params::new(),
        }
    }

    /// Reads a header value; `Err` says in words what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let _ = text;
        todo!()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}

impl fmt::Display for SubscriptionStateValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}

impl fmt::Display for SubscriptionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}
