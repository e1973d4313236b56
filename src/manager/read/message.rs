//! What the children of the root mean, type by type.

use std::time::Duration;

use super::super::entity;
use super::super::message::{Ack, Basic, Hello, Message, Nak, Note, Presence, Welcome};
use super::fields::Fields;
use super::{Problem, bad, is_name, shortened};
use crate::pidf::parse_moment;
use crate::time::Timestamp;

impl Fields {
    pub(super) fn message(&self, document: &str, now: Timestamp) -> Result<Message, Problem> {
        self.single("type")?;
        let kind = self.kind().ok_or(Problem::NoType)?;
        Ok(match kind.as_str() {
            "PC" => Message::PresenceClient(self.hello()?),
            "SOURCE" => Message::Source(self.hello()?),
            "WELCOME" => Message::Welcome(Welcome {
                id: self.owned("id")?.unwrap_or_default(),
                version: self.number("version")?.unwrap_or(1),
                run: self.owned("run")?.unwrap_or_default(),
                heartbeat: self.number("heartbeat")?.unwrap_or(0),
            }),
            "PRESENCE" => Message::Presence(Box::new(self.presence(now)?)),
            "ACK" => Message::Ack(Ack {
                seq: self.seq("ACK")?,
                etag: self.owned("etag")?,
            }),
            "NAK" => Message::Nak(Nak {
                seq: self.seq("NAK")?,
                code: self.number("code")?.unwrap_or(0),
                reason: self.owned("reason")?.unwrap_or_default(),
            }),
            "PING" => Message::Ping,
            "PONG" => Message::Pong,
            "ERROR" => Message::Error(self.owned("reason")?.unwrap_or_default()),
            "BYE" => Message::Bye(self.owned("reason")?),
            _ => Message::Other {
                kind: self.single("type")?.unwrap_or_default().to_owned(),
                document: document.to_owned(),
            },
        })
    }

    fn hello(&self) -> Result<Hello, Problem> {
        Ok(Hello {
            id: self.owned("id")?,
            version: self.number("version")?,
            last_seq: self.number("last-seq")?,
            run: self.owned("run")?,
        })
    }

    fn presence(&self, now: Timestamp) -> Result<Presence, Problem> {
        let mut documents = self.0.iter().filter_map(|field| field.document.as_ref());
        let document = documents.next();
        if documents.next().is_some() {
            return Err(Problem::Twice("presence"));
        }
        let entity = match (self.owned("entity")?, document.map(|it| it.entity.clone())) {
            (Some(said), Some(written)) => {
                // A document about somebody else would be refused by the server, or worse, shown.
                let meant = entity::normal(&written)
                    .map_err(|error| Problem::Entity(shortened(&written), error))?;
                if entity::normal(&said).is_ok_and(|said| said != meant) {
                    return Err(Problem::OtherEntity(shortened(&written)));
                }
                said
            }
            (Some(entity), None) | (None, Some(entity)) => entity,
            (None, None) => {
                return Err(Problem::Missing {
                    kind: "PRESENCE",
                    element: "entity",
                });
            }
        };
        entity::normal(&entity).map_err(|error| Problem::Entity(shortened(&entity), error))?;
        Ok(Presence {
            seq: self.number("seq")?,
            entity,
            source: self.owned("source")?,
            basic: self.basic()?,
            activities: self.activities()?,
            notes: self.notes(),
            mood: self.name("mood", "the name of a mood, such as happy")?,
            place: self.name("place", "the name of a place, such as office")?,
            since: self.date("since")?,
            until: self.date("until")?,
            idle_since: self.idle(now)?,
            document: document.map(|it| it.text.clone()),
            withdrawn: self.withdrawn()?,
        })
    }

    fn basic(&self) -> Result<Option<Basic>, Problem> {
        let Some(value) = self.single("basic")? else {
            return Ok(None);
        };
        if value.eq_ignore_ascii_case("open") {
            Ok(Some(Basic::Open))
        } else if value.eq_ignore_ascii_case("closed") {
            Ok(Some(Basic::Closed))
        } else {
            Err(bad("basic", value, "open or closed"))
        }
    }

    fn activities(&self) -> Result<Vec<String>, Problem> {
        let mut activities = Vec::new();
        for field in self.0.iter().filter(|field| field.name == "activity") {
            let value = field.text.trim().to_ascii_lowercase();
            if value.is_empty() || activities.contains(&value) {
                continue;
            }
            if !is_name(&value) {
                return Err(bad(
                    "activity",
                    &value,
                    "the name of an activity, such as on-the-phone",
                ));
            }
            activities.push(value);
        }
        Ok(activities)
    }

    fn notes(&self) -> Vec<Note> {
        let notes = self.0.iter().filter(|field| field.name == "note");
        notes
            .map(|field| Note {
                lang: field.lang.clone(),
                text: field.text.trim().to_owned(),
            })
            .filter(|note| !note.text.is_empty())
            .collect()
    }

    fn idle(&self, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
        let Some(value) = self.single("idle")? else {
            return Ok(None);
        };
        let since = match value.parse::<u64>() {
            Ok(seconds) => Some(now - Duration::from_secs(seconds)),
            Err(_) => parse_moment(value),
        };
        since.map(Some).ok_or_else(|| {
            bad(
                "idle",
                value,
                "a number of seconds, or a date as for <since>",
            )
        })
    }

    fn withdrawn(&self) -> Result<bool, Problem> {
        let mut fields = self.0.iter().filter(|field| field.name == "withdrawn");
        let Some(field) = fields.next() else {
            return Ok(false);
        };
        if fields.next().is_some() {
            return Err(Problem::Twice("withdrawn"));
        }
        match field.text.trim() {
            "" | "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(bad("withdrawn", other, "true or false")),
        }
    }

    fn seq(&self, kind: &'static str) -> Result<u64, Problem> {
        self.number("seq")?.ok_or(Problem::Missing {
            kind,
            element: "seq",
        })
    }
}
