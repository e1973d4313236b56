//! Which namespace bindings a part of a document needs from outside, and which of its prefixes are not the usual ones.

use super::{PREFIXES, Reading, UNBOUND, namespace, position, well_known};
use crate::pidf::document::{Binding, Edit, Usual};
use crate::pidf::xml::{Known, Scanner, Start};

const XSI_NS: &str = "http://www.w3.org/2001/XMLSchema-instance";

impl Reading {
    /// Notes which bindings the element needs from outside of the item, and whether its prefix is to be changed.
    pub(super) fn names(
        &mut self,
        scanner: &Scanner<'_>,
        start: &Start<'_>,
        known: Known,
    ) -> Option<Edit> {
        let usual = Usual::of(known).filter(|usual| usual.prefix() != start.prefix);
        let Some(item_depth) = self.item.as_ref().map(|item| item.depth) else {
            // Groups and the root are written anew, but not as they are.
            self.plain &= usual.is_none();
            return None;
        };
        for attribute in scanner.attributes() {
            if !attribute.prefix.is_empty() {
                self.use_binding(scanner, attribute.prefix, item_depth);
            }
            // The one attribute of which everybody knows that its value is a qualified name.
            if attribute.local == "type" && scanner.declared(attribute.declared).uri == XSI_NS {
                let value = attribute.value();
                let prefix = value.split_once(':').map_or("", |(prefix, _)| prefix);
                self.use_binding(scanner, prefix, item_depth);
            }
        }
        // The usual prefix can be had unless it means something else inside of the item.
        let usual = usual.filter(|usual| {
            let inside = scanner
                .lookup(usual.prefix())
                .filter(|found| found.depth >= item_depth);
            inside.is_none_or(|found| found.known == known)
        });
        let Some(to) = usual else {
            self.use_binding(scanner, start.prefix, item_depth);
            return None;
        };
        let len = position(if start.prefix.is_empty() {
            0
        } else {
            start.prefix.len() + 1
        });
        let binding = self.bind(scanner, start.prefix, item_depth);
        let edit = Edit {
            at: position(start.at + 1),
            len,
            to,
            binding,
        };
        self.edits.push(edit);
        Some(edit)
    }

    fn use_binding(&mut self, scanner: &Scanner<'_>, prefix: &str, item_depth: usize) {
        let bound = self.bind(scanner, prefix, item_depth);
        if let (Some(bound), Some(open)) = (bound, &mut self.item)
            && open.item.uses.last() != Some(&bound)
        {
            open.item.uses.push(bound);
        }
    }

    /// The binding of a prefix, if it is declared outside of the item.
    fn bind(&mut self, scanner: &Scanner<'_>, prefix: &str, item_depth: usize) -> Option<u32> {
        let declared = scanner.lookup(prefix)?;
        if declared.depth >= item_depth || declared.prefix == "xml" {
            return None;
        }
        if self.numbers.len() <= declared.number {
            self.numbers.resize(declared.number + 1, UNBOUND);
        }
        let number = &mut self.numbers[declared.number];
        if *number == UNBOUND {
            *number = position(self.bindings.len());
            self.bindings.push(Binding {
                prefix: well_known(&PREFIXES, declared.prefix),
                uri: namespace(declared),
                known: declared.known,
            });
        }
        Some(*number)
    }
}
