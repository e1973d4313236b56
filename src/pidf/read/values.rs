//! Texts that mean something: collected while their element is open, and put where they belong when it ends.

use super::{Reading, Top, trim};
use crate::pidf::document::Meaning;
use crate::pidf::xml::{Known, Scanner, Start};
use crate::pidf::{Basic, Note, parse_moment};

/// Text that is being collected for a value.
pub(super) struct Capture {
    value: Value,
    pub(super) depth: usize,
    note: Note,
}

pub(super) enum Value {
    Basic,
    Contact,
    TupleTimestamp,
    TupleNote,
    TopNote,
    PieceTimestamp,
    PieceNote,
    DeviceId,
    ActivityNote,
    ActivityOther,
}

impl Reading {
    pub(super) fn begin_capture(&mut self, scanner: &Scanner<'_>, start: &Start<'_>, value: Value) {
        let is_lang = |known, local| known == Known::Xml && local == "lang";
        let mut attributes = scanner.attributes().iter();
        let lang =
            attributes.find(|found| is_lang(scanner.declared(found.declared).known, found.local));
        let lang = lang
            .map(|lang| trim(&lang.value()))
            .filter(|lang| !lang.is_empty());
        self.capture = Some(Capture {
            value,
            depth: start.depth,
            note: Note {
                lang,
                text: String::new(),
            },
        });
    }

    pub(super) fn text(&mut self, text: &str) {
        let depth = self.open.len();
        if let Some(capture) = self
            .capture
            .as_mut()
            .filter(|capture| capture.depth == depth)
        {
            if text.contains('\r') && text.len() > 1 {
                // Line ends are one character (XML, 2.11); a lone one was given by reference.
                capture
                    .note
                    .text
                    .push_str(&text.replace("\r\n", "\n").replace('\r', "\n"));
            } else {
                capture.note.text.push_str(text);
            }
        }
    }

    pub(super) fn captured(&mut self, Capture { value, note, .. }: Capture) {
        let meaning = self.piece.as_mut().map(|piece| &mut piece.meaning);
        match (value, &mut self.top, meaning) {
            (Value::Basic, Top::Tuple(tuple), _) => {
                tuple.basic = tuple.basic.or(Basic::of(&note.text))
            }
            (Value::Contact, Top::Tuple(tuple), _) => tuple.contact = Some(trim(&note.text)),
            (Value::TupleTimestamp, Top::Tuple(tuple), _) => {
                tuple.timestamp = parse_moment(&note.text)
            }
            (Value::TupleNote, Top::Tuple(tuple), _) => tuple.notes.push(note),
            (Value::TopNote, Top::Note(top), _) => *top = note,
            (Value::PieceTimestamp, Top::Person(group) | Top::Device(group), Some(meaning)) => {
                group.timestamp = parse_moment(&note.text);
                if let Meaning::Timestamp(timestamp) = meaning {
                    *timestamp = group.timestamp;
                }
            }
            (Value::PieceNote, _, Some(Meaning::Note(piece))) => *piece = note,
            (Value::DeviceId, _, Some(Meaning::DeviceId(id))) => *id = trim(&note.text),
            (Value::ActivityNote, _, Some(Meaning::Activities { notes, .. })) => notes.push(note),
            (Value::ActivityOther, _, Some(Meaning::Activities { names, .. })) => {
                let text = trim(&note.text);
                names.push(if text.is_empty() {
                    "other".to_owned()
                } else {
                    text
                });
            }
            // A value is captured only where it belongs.
            _ => {}
        }
    }
}
