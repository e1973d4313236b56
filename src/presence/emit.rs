//! Writes a composed state: bytes of the publishers' documents, with the few changes they need in their new place.

use std::ops::Range;

use bytes::Bytes;

use super::view::{Merged, View};
use crate::pidf::xml::{Writer, push_attribute, push_value};
use crate::pidf::{Binding, Document, Id, Item, Usual, Window};
use crate::time::Timestamp;

pub(super) fn emit(entity: &str, view: &View<'_>, now: Timestamp) -> Bytes {
    let mut emitter = Emitter::new();
    for service in &view.tuples {
        emitter.body.push(b'\n');
        let tuple = service.tuple;
        let place = Place {
            id: Some((tuple.id.as_ref(), &service.id)),
            timed: &tuple.timed,
            now,
        };
        emitter.item(service.document, &tuple.item, &place);
    }
    let as_is = Place {
        id: None,
        timed: &[],
        now,
    };
    for (document, item, _) in &view.notes {
        emitter.body.push(b'\n');
        emitter.item(document, item, &as_is);
    }
    if let Some(person) = &view.person {
        emitter.group("person", person, &as_is);
    }
    for device in &view.devices {
        emitter.group("device", device, &as_is);
    }
    for (document, item) in &view.others {
        emitter.body.push(b'\n');
        emitter.item(document, item, &as_is);
    }
    emitter.finish(entity)
}

/// What becomes of an item in its new place.
struct Place<'p> {
    /// The id it has, and the one it is given.
    id: Option<(Option<&'p Id>, &'p str)>,
    /// Its children that hold for a time.
    timed: &'p [(Range<u32>, Window)],
    now: Timestamp,
}

struct Emitter<'a> {
    /// Declarations of the new root. The usual prefixes are reserved from the start, and written if used.
    root: Vec<RootBinding<'a>>,
    /// What goes between the root's tags.
    body: Vec<u8>,
}

struct RootBinding<'a> {
    prefix: &'a str,
    uri: &'a str,
    used: bool,
}

/// A replacement of bytes of an item.
struct Patch {
    at: u32,
    len: u32,
    with: Vec<u8>,
}

impl<'a> Emitter<'a> {
    fn new() -> Self {
        let reserve = |usual: Usual| RootBinding {
            prefix: usual.prefix(),
            uri: usual.uri(),
            used: usual == Usual::Pidf,
        };
        Self {
            root: Usual::ALL.map(reserve).into(),
            body: Vec::with_capacity(2048),
        }
    }

    /// A person or device, put together from pieces.
    fn group(&mut self, name: &str, merged: &Merged<'a>, place: &Place<'_>) {
        self.mark(Usual::DataModel);
        self.body.extend_from_slice(b"\n<dm:");
        self.body.extend_from_slice(name.as_bytes());
        push_attribute(&mut self.body, "id", &merged.id);
        self.body.push(b'>');
        for (document, piece) in &merged.pieces {
            self.item(document, &piece.item, place);
        }
        self.body.extend_from_slice(b"</dm:");
        self.body.extend_from_slice(name.as_bytes());
        self.body.push(b'>');
    }

    /// Copies an item, changing its id, prefixes that are not the usual ones, and what does not hold now.
    fn item(&mut self, document: &'a Document, item: &Item, place: &Place<'_>) {
        let mut patches = Vec::new();
        let mut in_tag = Vec::new();
        let allowed = allowed(document, item);
        for index in &item.uses {
            self.need(document.binding(*index), &mut in_tag);
        }
        // Unedited tags need their prefix; each is looked at once, as declaring it twice would be an error.
        let mut needed = Vec::new();
        for edit in document.edits(item) {
            if allowed[edit.to as usize] {
                self.mark(edit.to);
                patches.push(Patch {
                    at: edit.at,
                    len: edit.len,
                    with: edit.to.in_tag().into(),
                });
            } else {
                needed.extend(
                    edit.binding
                        .filter(|index| item.uses.binary_search(index).is_err()),
                );
            }
        }
        needed.sort_unstable();
        needed.dedup();
        for index in needed {
            self.need(document.binding(index), &mut in_tag);
        }
        match place.id {
            Some((Some(id), given)) if id.value != given => {
                let mut with = Vec::new();
                push_value(&mut with, given);
                patches.push(Patch {
                    at: id.span.start,
                    len: id.span.end - id.span.start,
                    with,
                });
            }
            Some((None, given)) => push_attribute(&mut in_tag, "id", given),
            Some((Some(_), _)) | None => {}
        }
        if !in_tag.is_empty() {
            patches.push(Patch {
                at: item.name_end,
                len: 0,
                with: in_tag,
            });
        }
        for (span, window) in place.timed {
            if !window.holds(place.now) {
                patches.push(Patch {
                    at: span.start,
                    len: span.end - span.start,
                    with: Vec::new(),
                });
            }
        }
        self.copy(document.raw(), &item.span, patches);
    }

    fn copy(&mut self, raw: &[u8], span: &Range<u32>, mut patches: Vec<Patch>) {
        patches.sort_by_key(|patch| patch.at);
        let mut copied = span.start;
        for patch in patches {
            // Inside of what is left out there is nothing to change.
            if patch.at < copied {
                continue;
            }
            self.body
                .extend_from_slice(&raw[copied as usize..patch.at as usize]);
            self.body.extend_from_slice(&patch.with);
            copied = patch.at + patch.len;
        }
        self.body
            .extend_from_slice(&raw[copied as usize..span.end as usize]);
    }

    /// Sees to a binding: on the root if the prefix is free there, else on the item itself.
    fn need(&mut self, binding: &'a Binding, in_tag: &mut Vec<u8>) {
        match self
            .root
            .iter_mut()
            .find(|bound| *bound.prefix == *binding.prefix)
        {
            Some(bound) if *bound.uri == *binding.uri => bound.used = true,
            Some(_) if binding.prefix.is_empty() => push_attribute(in_tag, "xmlns", &binding.uri),
            Some(_) => push_attribute(in_tag, &["xmlns:", &binding.prefix].concat(), &binding.uri),
            None => self.root.push(RootBinding {
                prefix: &binding.prefix,
                uri: &binding.uri,
                used: true,
            }),
        }
    }

    fn mark(&mut self, usual: Usual) {
        self.root[usual as usize].used = true;
    }

    fn finish(self, entity: &str) -> Bytes {
        let mut writer = Writer::new();
        writer.declaration();
        writer.start("presence");
        for bound in self.root.iter().filter(|bound| bound.used) {
            if bound.prefix.is_empty() {
                writer.attribute("xmlns", bound.uri);
            } else {
                writer.attribute(&["xmlns:", bound.prefix].concat(), bound.uri);
            }
        }
        writer.attribute("entity", entity);
        writer.raw(&self.body);
        writer.line();
        Bytes::from(writer.finish())
    }
}

/// Which of the usual prefixes, by [`Usual`], may be put into an item: those that it does not need for another meaning.
/// A prefix that may not be put in leaves tags as they are, which then need their own: so it is asked until it settles.
fn allowed(document: &Document, item: &Item) -> [bool; 3] {
    let edits = document.edits(item);
    let mut allowed = [true; 3];
    if edits.is_empty() {
        return allowed;
    }
    loop {
        let unedited = edits
            .iter()
            .filter(|edit| !allowed[edit.to as usize])
            .filter_map(|edit| edit.binding);
        let mut settled = allowed;
        for binding in item
            .uses
            .iter()
            .copied()
            .chain(unedited)
            .map(|index| document.binding(index))
        {
            for usual in Usual::ALL {
                settled[usual as usize] &=
                    *binding.prefix != *usual.prefix() || *binding.uri == *usual.uri();
            }
        }
        if settled == allowed {
            return allowed;
        }
        allowed = settled;
    }
}
