//! Namespace names, each kept once: every element has one, and a hostile document declares one as long as itself.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::rc::Rc;

/// A namespace name; empty for none. Two of one [`Uris`] are equal when they are the same one, however long they are.
#[derive(Clone, Debug)]
pub(super) struct Uri(Rc<str>);

impl PartialEq for Uri {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Uri {}

impl Deref for Uri {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// The namespace names of a change and of the document that it is for.
#[derive(Debug, Default)]
pub(super) struct Uris {
    known: RefCell<BTreeSet<Rc<str>>>,
}

impl Uris {
    pub fn get(&self, uri: &str) -> Uri {
        let mut known = self.known.borrow_mut();
        if let Some(found) = known.get(uri) {
            return Uri(found.clone());
        }
        let new: Rc<str> = uri.into();
        known.insert(new.clone());
        Uri(new)
    }
}
