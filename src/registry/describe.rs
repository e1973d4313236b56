//! Stored records in words, as far as they can be read: for whoever looks into a damaged store.

use bytes::Bytes;

use super::codec::RecordError;
use super::fields::Reader;

/// Names a record by its key and, as far as they go, its bytes: what kind it is, whose, and its entity-tag or Call-ID.
pub fn describe(key: &[u8], record: &[u8]) -> String {
    let Some((kind, rest)) = key.split_first() else {
        return "a record without a name".to_owned();
    };
    let (owner, name) = match rest.iter().position(|byte| *byte == 0) {
        Some(end) => (shown(&rest[..end]), &rest[end + 1..]),
        None => (shown(rest), &[][..]),
    };
    let record = || Reader(Bytes::copy_from_slice(record));
    match kind {
        b'b' => format!("the binding of {owner} to {}", shown(name)),
        b'p' => match etag(record()) {
            Ok(etag) => format!("a publication of {owner} with entity-tag {etag}"),
            Err(_) => match <[u8; 8]>::try_from(name) {
                Ok(order) => format!("publication {} of {owner}", u64::from_be_bytes(order)),
                Err(_) => format!("a publication of {owner}"),
            },
        },
        b'w' => format!(
            "what was decided about {} as a watcher of {owner}",
            shown(name)
        ),
        b's' => {
            let mut words = "a subscription".to_owned();
            let known = dialog(record());
            if let Some(aor) = &known.0 {
                words += &format!(" to {aor}");
            }
            if let Some(call_id) = &known.1 {
                words += &format!(" with Call-ID {call_id}");
            } else if let Some((dialog, event)) = rest.split_at_checked(8) {
                let dialog: String = dialog.iter().map(|byte| format!("{byte:02x}")).collect();
                words += &format!(" ({}, dialog {dialog})", shown(event));
            }
            words
        }
        b'z' => format!(
            "that the watchers of {owner} know its state ({})",
            shown(name)
        ),
        _ => format!("the record {}", key.escape_ascii()),
    }
}

/// Text of somebody else, for a terminal.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The entity-tag of a publication.
fn etag(mut reader: Reader) -> Result<String, RecordError> {
    reader.take(2, "kind")?;
    reader.blob("aor")?;
    reader.blob("package")?;
    reader.u64("order")?;
    Ok(shown(&reader.blob("etag")?))
}

/// Whom a subscription watches, and its Call-ID.
fn dialog(mut reader: Reader) -> (Option<String>, Option<String>) {
    let mut aor = None;
    let mut rest = || {
        reader.take(2, "kind")?;
        aor = Some(shown(&reader.blob("aor")?));
        reader.blob("package")?;
        reader.option("event_id", Reader::blob)?;
        reader.take(8 + 8 + 1, "expires_at")?;
        let head = reader.blob("head")?;
        Ok::<_, RecordError>(shown(reader.span("call_id")?.of(&head)))
    };
    let call_id = rest().ok().filter(|call_id| !call_id.is_empty());
    (aor, call_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{PublicationRecord, RecordKey};
    use crate::time::Timestamp;

    #[test]
    fn a_record_is_named_as_far_as_it_can_be_read() {
        let record = PublicationRecord {
            aor: "sip:bob@example.com".into(),
            package: "presence".into(),
            order: 7,
            etag: "tag".into(),
            expires_at: Timestamp::from_millis(1),
            modified_at: Timestamp::from_millis(1),
            content_type: "a/b".into(),
            body: Bytes::from_static(b"body"),
        };
        let key = record.key().encode();
        let bytes = crate::registry::Record::Publication(record).encode();
        let whole = "a publication of sip:bob@example.com with entity-tag tag";
        assert_eq!(describe(&key, &bytes), whole);
        let cut = "publication 7 of sip:bob@example.com";
        assert_eq!(describe(&key, &bytes[..20]), cut);
        let dialog = RecordKey::Subscription {
            dialog: 0xab,
            event: "presence".into(),
        };
        assert_eq!(
            describe(&dialog.encode(), &[]),
            "a subscription (presence, dialog 00000000000000ab)"
        );
        assert_eq!(describe(b"x\x01", &[]), "the record x\\x01");
        assert_eq!(describe(b"", &[]), "a record without a name");
        let binding = RecordKey::Binding {
            aor: "sip:bob@example.com".into(),
            contact: "sip:b\x1b[31m".into(),
        };
        let words = "the binding of sip:bob@example.com to sip:b\u{fffd}[31m";
        assert_eq!(describe(&binding.encode(), &[]), words);
    }
}
