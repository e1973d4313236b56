//! `rollcall watch`.

use clap::Args;

use super::output::{self, Reader};
use super::publish::{Login, name_servers, presentity, server};
use super::{CliError, signals};
use crate::node::{self, Continue, Sighting, WatchOrder};

/// Watch presentities by SIP, one line a change
#[derive(Debug, Args)]
pub(super) struct Watch {
    /// The presentities, e.g. sip:alice@example.com
    #[arg(value_name = "URI", required = true)]
    uris: Vec<String>,

    /// The Presence Server
    #[arg(long, value_name = "SIP-URI", default_value = "sip:127.0.0.1:5060")]
    server: String,

    /// One JSON object a line, the document included
    #[arg(long)]
    json: bool,

    /// End after the first state
    #[arg(long, conflicts_with = "count")]
    once: bool,

    /// End after this many states
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// The lifetime to ask for the subscriptions, in seconds; they are refreshed
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=2_592_000))]
    expires: u32,

    /// A name server to ask for the servers of a name, in place of this machine's; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<String>,

    #[command(flatten)]
    login: Login,
}

impl Watch {
    pub(super) fn run(self) -> Result<(), CliError> {
        let order = WatchOrder {
            uris: self
                .uris
                .iter()
                .map(|uri| presentity(uri))
                .collect::<Result<_, _>>()?,
            server: server(&self.server)?,
            expires: std::time::Duration::from_secs(self.expires.into()),
            account: self.login.account()?,
            tls: self.login.tls(),
            name_servers: name_servers(&self.dns)?,
        };
        let mut left = if self.once { Some(1) } else { self.count };
        let mut failed = false;
        signals::obeying(async |control| {
            let seen = |sighting: &Sighting| {
                failed |= sighting.subscription == "failed";
                if output::say(&line(sighting, self.json)) == Reader::Gone {
                    return Continue::No;
                }
                // Only states are counted: what a script waits for.
                if let Some(left) = left.as_mut().filter(|_| sighting.document.is_some()) {
                    *left -= 1;
                }
                if left == Some(0) {
                    Continue::No
                } else {
                    Continue::Yes
                }
            };
            Ok(node::watch(order, control, seen).await?)
        })?;
        if failed { Err(CliError::Found) } else { Ok(()) }
    }
}

/// `12:03:04 sip:alice@example.com open meeting "Weekly"`, the time being UTC.
fn line(sighting: &Sighting, json: bool) -> String {
    if json {
        return serde_json::to_string(sighting).unwrap_or_default();
    }
    let second = sighting.at.as_millis() / 1000 % 86_400;
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    format!("{h:02}:{m:02}:{s:02} {sighting}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_core::time::Timestamp;

    fn meeting() -> Sighting {
        Sighting {
            at: Timestamp::from_millis(1_700_000_000_000),
            presentity: "sip:alice@example.com".to_owned(),
            subscription: "active".to_owned(),
            reason: None,
            basic: Some("open".to_owned()),
            activities: vec!["meeting".to_owned()],
            notes: vec!["Weekly \"sync\"".to_owned()],
            document: Some("<presence/>".to_owned()),
        }
    }

    #[test]
    fn nothing_published_is_said_in_words() {
        let nothing = Sighting {
            basic: None,
            activities: Vec::new(),
            notes: Vec::new(),
            document: None,
            ..meeting()
        };

        assert_eq!(
            line(&nothing, false),
            "22:13:20 sip:alice@example.com (nothing is published)"
        );
    }

    #[test]
    fn a_state_is_one_line_for_people() {
        assert_eq!(
            line(&meeting(), false),
            r#"22:13:20 sip:alice@example.com open meeting "Weekly \"sync\"""#
        );
    }

    #[test]
    fn a_subscription_that_ended_says_why() {
        let ended = Sighting {
            subscription: "terminated".to_owned(),
            reason: Some("noresource".to_owned()),
            basic: None,
            activities: Vec::new(),
            notes: Vec::new(),
            ..meeting()
        };

        assert_eq!(
            line(&ended, false),
            "22:13:20 sip:alice@example.com (terminated) noresource"
        );
    }

    #[test]
    fn a_state_is_one_object_for_programs() {
        assert_eq!(
            line(&meeting(), true),
            r#"{"at":1700000000000,"presentity":"sip:alice@example.com","subscription":"active","basic":"open","activities":["meeting"],"notes":["Weekly \"sync\""],"document":"<presence/>"}"#
        );
    }
}
