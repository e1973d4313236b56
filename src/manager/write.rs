//! Writes a [`Message`] as a document with a line end behind it.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};

use super::message::{Basic, Hello, Message, Presence};
use super::read::is_xml_char;
use crate::pidf::write_moment;

/// Appends the document of `message` to `out`. What the reader makes of it is the same message again.
pub fn write(message: &Message, out: &mut Vec<u8>) {
    let begin = out.len();
    // Writing to memory does not fail; if it did, half a document must not get out.
    if Document(Writer::new(out)).message(message).is_err() {
        out.truncate(begin);
    }
}

/// The document of `message`.
pub fn to_bytes(message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(message, &mut out);
    out
}

struct Document<'a>(Writer<&'a mut Vec<u8>>);

impl Document<'_> {
    fn message(&mut self, message: &Message) -> io::Result<()> {
        if let Message::Other { document, .. } = message {
            self.0
                .get_mut()
                .extend_from_slice(document.trim().as_bytes());
        } else {
            self.0.write_event(Event::Start(BytesStart::new("xml")))?;
            self.text("type", message.kind())?;
            self.content(message)?;
            self.0.write_event(Event::End(BytesEnd::new("xml")))?;
        }
        self.0.get_mut().push(b'\n');
        Ok(())
    }

    fn content(&mut self, message: &Message) -> io::Result<()> {
        match message {
            Message::PresenceClient(hello) | Message::Source(hello) => self.hello(hello),
            Message::Welcome(welcome) => {
                self.text("id", &welcome.id)?;
                self.text("version", &welcome.version.to_string())?;
                self.text("run", &welcome.run)?;
                self.text("heartbeat", &welcome.heartbeat.to_string())
            }
            Message::Presence(presence) => self.presence(presence),
            Message::Ack(ack) => {
                self.text("seq", &ack.seq.to_string())?;
                self.maybe("etag", ack.etag.as_deref())
            }
            Message::Nak(nak) => {
                self.text("seq", &nak.seq.to_string())?;
                self.text("code", &nak.code.to_string())?;
                self.text("reason", &nak.reason)
            }
            Message::Error(reason) => self.text("reason", reason),
            Message::Bye(reason) => self.maybe("reason", reason.as_deref()),
            Message::Ping | Message::Pong | Message::Other { .. } => Ok(()),
        }
    }

    fn hello(&mut self, hello: &Hello) -> io::Result<()> {
        self.maybe("id", hello.id.as_deref())?;
        self.maybe("version", hello.version.map(|it| it.to_string()).as_deref())?;
        self.maybe(
            "last-seq",
            hello.last_seq.map(|it| it.to_string()).as_deref(),
        )?;
        self.maybe("run", hello.run.as_deref())
    }

    fn presence(&mut self, presence: &Presence) -> io::Result<()> {
        self.maybe("seq", presence.seq.map(|it| it.to_string()).as_deref())?;
        self.text("entity", &presence.entity)?;
        self.maybe("source", presence.source.as_deref())?;
        self.maybe("basic", presence.basic.map(Basic::as_str))?;
        for activity in &presence.activities {
            self.text("activity", activity)?;
        }
        for note in &presence.notes {
            let mut start = BytesStart::new("note");
            if let Some(lang) = &note.lang {
                start.push_attribute(("lang", clean(lang).as_str()));
            }
            self.element(start, &note.text)?;
        }
        self.maybe("mood", presence.mood.as_deref())?;
        self.maybe("place", presence.place.as_deref())?;
        self.maybe("since", presence.since.map(write_moment).as_deref())?;
        self.maybe("until", presence.until.map(write_moment).as_deref())?;
        self.maybe("idle", presence.idle_since.map(write_moment).as_deref())?;
        if let Some(document) = &presence.document {
            self.0
                .get_mut()
                .extend_from_slice(without_declaration(document).as_bytes());
        }
        if presence.withdrawn {
            self.0
                .write_event(Event::Empty(BytesStart::new("withdrawn")))?;
        }
        Ok(())
    }

    fn maybe(&mut self, name: &str, text: Option<&str>) -> io::Result<()> {
        text.map_or(Ok(()), |text| self.text(name, text))
    }

    fn text(&mut self, name: &str, text: &str) -> io::Result<()> {
        self.element(BytesStart::new(name), text)
    }

    fn element(&mut self, start: BytesStart, text: &str) -> io::Result<()> {
        let end = start.to_end().into_owned();
        self.0.write_event(Event::Start(start))?;
        self.0
            .write_event(Event::Text(BytesText::new(&clean(text))))?;
        self.0.write_event(Event::End(end))
    }
}

/// What XML cannot carry becomes the replacement character; a carriage return would be read as a line feed anyway.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| {
            if is_xml_char(c) {
                c
            } else {
                char::REPLACEMENT_CHARACTER
            }
        })
        .collect()
}

/// A PIDF document may begin with an XML declaration, which can't stand within another document.
fn without_declaration(document: &str) -> &str {
    let document = document.trim();
    match document
        .strip_prefix("<?xml")
        .and_then(|rest| rest.split_once("?>"))
    {
        Some((_, rest)) => rest.trim_start(),
        None => document,
    }
}
