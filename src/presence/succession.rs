//! Which documents take the place of one another though its publisher did not say so (docs/adr/0007).

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;

use crate::pidf::{Document, Tuple};

/// Hexadecimal digits of a UUID, or of 128 random bits.
const DIGITS_OF_A_UNIQUE_ID: usize = 32;

/// The services of a document that say who published it, a number each, in ascending order: those whose id is unique. The
/// documents of one publisher are versions of one another, so that the newer takes the place of the older, if they have such
/// a service with the same contact in common.
///
/// A publisher whose 200 was lost, or that lost its memory, has no entity-tag to modify what it has published, and can
/// only begin anew. Unless it is known again, its earlier state stands beside the new one until it lapses.
///
/// PIDF asks for ids that are unique within a document only, and there are phones that always send the same
/// (baresip: `t4109`). So only an id with the digits of a UUID says who made it.
pub fn services(document: &Document) -> Box<[u64]> {
    let mut services: Vec<u64> = document.tuples().filter_map(service).collect();
    services.sort_unstable();
    services.dedup();
    services.into()
}

/// The number of a service. Who finds two with the same number may publish for the presentity anyway.
fn service(tuple: &Tuple) -> Option<u64> {
    let id = tuple.id.as_ref()?.value.as_str();
    let digits = id.bytes().filter(u8::is_ascii_hexdigit).count();
    (digits >= DIGITS_OF_A_UNIQUE_ID).then(|| {
        let mut hasher = SipHasher13::new();
        (id, tuple.contact.as_deref()).hash(&mut hasher);
        hasher.finish()
    })
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

    fn succeeds(new: &Document, old: &Document) -> bool {
        let old = services(old);
        services(new).iter().any(|own| old.contains(own))
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
