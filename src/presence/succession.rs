//! Whether a document takes the place of another though its publisher did not say so (docs/adr/0007).

use std::collections::BTreeSet;

use crate::pidf::{Document, Tuple};

/// Hexadecimal digits of a UUID, or of 128 random bits.
const DIGITS_OF_A_UNIQUE_ID: usize = 32;

/// Whether `new` and `old` come from one publisher, so that the newer document is the older one's next version: both
/// have a tuple with the same contact and the same unique id.
///
/// A publisher whose 200 was lost, or that lost its memory, has no entity-tag to modify what it has published, and can
/// only begin anew. Unless it is known again, its earlier state stands beside the new one until it lapses.
///
/// PIDF asks for ids that are unique within a document only, and there are phones that always send the same
/// (baresip: `t4109`). So only an id with the digits of a UUID says who made it.
pub fn succeeds(new: &Document, old: &Document) -> bool {
    let services: BTreeSet<_> = old.tuples().filter_map(service).collect();
    !services.is_empty()
        && new
            .tuples()
            .filter_map(service)
            .any(|tuple| services.contains(&tuple))
}

fn service(tuple: &Tuple) -> Option<(&str, Option<&str>)> {
    let id = tuple.id.as_ref()?.value.as_str();
    let digits = id.bytes().filter(u8::is_ascii_hexdigit).count();
    (digits >= DIGITS_OF_A_UNIQUE_ID).then_some((id, tuple.contact.as_deref()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::pidf::Limits;

    const UNIQUE: &str = "t5e2c98f0-6a4e-4f63-9f0e-1d1d6b1c9a77";

    fn document(tuples: &[(&str, &str)]) -> Document {
        let tuples: String = tuples
            .iter()
            .map(|(id, contact)| {
                format!("<tuple id='{id}'><status/><contact>{contact}</contact></tuple>")
            })
            .collect();
        let text = format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:a@x'>{tuples}</presence>"
        );
        Document::parse(&Bytes::from(text), &Limits::default()).expect("a document")
    }

    #[test]
    fn a_unique_id_with_its_contact_says_that_the_publisher_is_the_same() {
        let old = document(&[("t1", "sip:other@x"), (UNIQUE, "sip:a@x")]);
        assert!(succeeds(&document(&[(UNIQUE, "sip:a@x")]), &old));
        assert!(!succeeds(&document(&[(UNIQUE, "sip:b@x")]), &old));
        let another = UNIQUE.replace('7', "8");
        assert!(!succeeds(&document(&[(&another, "sip:a@x")]), &old));
    }

    #[test]
    fn an_id_that_every_phone_of_a_kind_sends_says_nothing() {
        let phone = document(&[("t4109", "sip:a@x")]);
        assert!(!succeeds(&phone, &phone));
        let nothing = document(&[]);
        assert!(!succeeds(&nothing, &nothing));
    }
}
