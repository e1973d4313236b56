use std::sync::Arc;

use super::*;
use crate::exchange::{ConnectionId, Flow, Transport};
use crate::registry::Span;
use crate::subscription::WayRecord;
use crate::time::Timestamp;

#[test]
fn the_owner_of_a_record_is_read_without_the_rest() {
    let records = [
        publication(),
        subscription("[::1]:5060", Some("7")),
        binding(Some(700)),
    ];
    for record in records {
        let mut bytes = Vec::new();
        record.encode_to(&mut bytes);
        assert_eq!(Record::aor_in(&bytes), Ok(record.aor()));
        let owned = 6 + record.aor().len();
        assert_eq!(Record::aor_in(&bytes[..owned]), Ok(record.aor()));
        for cut in 0..owned {
            assert_eq!(
                Record::aor_in(&bytes[..cut]),
                Err(RecordError::Truncated("aor"))
            );
        }
        bytes[0] = 9;
        assert_eq!(Record::aor_in(&bytes), Err(RecordError::UnknownFormat(9)));
    }
}

fn publication() -> Record {
    Record::Publication(PublicationRecord {
        aor: "sip:bob@example.com".into(),
        package: "presence".into(),
        order: 7,
        etag: "00-1-2-abc".into(),
        expires_at: Timestamp::from_millis(12_345),
        modified_at: Timestamp::from_millis(12_000),
        content_type: "application/pidf+xml".into(),
        body: Bytes::from_static(b"<presence/>"),
    })
}

fn subscription(local: &str, event_id: Option<&str>) -> Record {
    let head = Bytes::from_static(b"Call-ID: c1\r\n");
    Record::Subscription(SubscriptionRecord {
        aor: "sip:bob@example.com".into(),
        package: "presence".into(),
        event_id: event_id.map(Arc::from),
        expires_at: Timestamp::from_millis(99),
        dialog: 0xfeed,
        shard: 3,
        head,
        call_id: Span { start: 9, len: 2 },
        remote_tag: Span::default(),
        target: "sip:alice@127.0.0.1:5070".into(),
        first_route: event_id.map(|_| "sip:proxy;lr".into()),
        flow: Flow {
            shard: 1,
            transport: Transport::Tcp,
            local: local.parse().expect("an address"),
            remote: "127.0.0.1:5070".parse().expect("an address"),
            connection: ConnectionId(9),
        },
        way: WayRecord {
            direct: true,
            alone: event_id.is_some(),
            free: event_id.is_none(),
            proven: true,
        },
        remote_cseq: 17,
        account: event_id.map(|_| "sip:carol@example.com".into()),
        epoch: 4,
        fresh: None,
    })
}

fn binding(q: Option<u16>) -> Record {
    Record::Binding(BindingRecord {
        aor: "sip:bob@example.com".into(),
        contact: "sip:bob@127.0.0.1:5070".into(),
        q,
        call_id: "r1".into(),
        cseq: 20,
        expires_at: Timestamp::from_millis(5),
        path: if q.is_some() {
            "<sip:p1;lr>, <sip:p2;lr>"
        } else {
            ""
        }
        .into(),
        instance: q.map(|_| "<urn:uuid:0>".into()),
        reg_id: q.map(u32::from),
        params: if q == Some(700) {
            ";methods=\"NOTIFY\";audio"
        } else {
            ""
        }
        .into(),
    })
}

fn watcher(standing: Standing) -> Record {
    Record::Watcher(WatcherRecord {
        aor: "sip:bob@example.com".into(),
        watcher: "sip:alice@example.com".into(),
        standing,
        since: Timestamp::from_millis(77),
    })
}

fn samples() -> Vec<Record> {
    vec![
        publication(),
        subscription("127.0.0.1:5060", None),
        subscription("[::1]:5060", Some("7")),
        binding(None),
        binding(Some(500)),
        binding(Some(700)),
        watcher(Standing::Decided(Handling::PoliteBlock)),
        watcher(Standing::Waiting { id: "3-ff".into() }),
        fresh(None),
        fresh(Some("sip:carol@example.com")),
        Record::Settled(SettledRecord {
            aor: "sip:bob@example.com".into(),
            package: "presence".into(),
            order: 3 << 40 | 7,
            digest: [7; 16],
        }),
    ]
}

/// A subscription whose watcher may not have been told anything yet.
fn fresh(account: Option<&str>) -> Record {
    let Record::Subscription(mut record) = subscription("127.0.0.1:5060", None) else {
        unreachable!("it is a subscription");
    };
    record.fresh = Some(3 << 40 | 5);
    record.account = account.map(Arc::from);
    Record::Subscription(record)
}

#[test]
fn what_is_encoded_is_decoded_again() {
    for record in samples() {
        assert_eq!(Record::decode(record.encode().into()), Ok(record));
    }
}

#[test]
fn bindings_of_earlier_versions_are_read_and_still_written_where_they_say_enough() {
    let plain = b"\x01b\0\0\0\x13sip:bob@example.com\0\0\0\x16sip:bob@127.0.0.1:5070\0\
        \0\0\0\x02r1\0\0\0\x14\0\0\0\0\0\0\0\x05";
    let device = b"\x01d\0\0\0\x13sip:bob@example.com\0\0\0\x16sip:bob@127.0.0.1:5070\x01\x01\xf4\
        \0\0\0\x02r1\0\0\0\x14\0\0\0\0\0\0\0\x05\
        \0\0\0\x18<sip:p1;lr>, <sip:p2;lr>\x01\0\0\0\x0c<urn:uuid:0>\x01\0\0\x01\xf4";
    for (bytes, record) in [
        (&plain[..], binding(None)),
        (&device[..], binding(Some(500))),
    ] {
        assert_eq!(record.encode(), bytes);
        assert_eq!(
            Record::decode(Bytes::copy_from_slice(bytes)),
            Ok(record.clone())
        );
    }
}

#[test]
fn a_record_cut_anywhere_is_refused_not_misread() {
    for record in samples() {
        let bytes = Bytes::from(record.encode());
        for end in 0..bytes.len() {
            assert!(
                matches!(
                    Record::decode(bytes.slice(..end)),
                    Err(RecordError::Truncated(_))
                ),
                "cut at {end}"
            );
        }
    }
}

#[test]
fn surplus_bytes_are_refused() {
    let mut bytes = publication().encode();
    bytes.push(0);
    assert_eq!(
        Record::decode(bytes.into()),
        Err(RecordError::Damaged("its length"))
    );
}

#[test]
fn a_record_of_another_version_says_so() {
    let mut bytes = publication().encode();
    bytes[0] = 9;
    let error = Record::decode(bytes.into()).expect_err("format 9");
    assert_eq!(
        error.to_string(),
        "record format 9 is not known to this version, which reads format 1"
    );
}

#[test]
fn keys_of_different_records_differ_and_those_of_a_presentity_lie_together() {
    let publication = |aor: &str, order| {
        RecordKey::Publication {
            aor: aor.into(),
            order,
        }
        .encode()
    };
    let mut keys = vec![
        publication("sip:b@x", 1),
        publication("sip:a@x", 2),
        publication("sip:a@x.org", 1),
        publication("sip:a@x", 1),
    ];
    keys.sort();
    assert_eq!(
        keys,
        [
            publication("sip:a@x", 1),
            publication("sip:a@x", 2),
            publication("sip:a@x.org", 1),
            publication("sip:b@x", 1),
        ]
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_record_or_an_error(bytes: Vec<u8>) {
        let _ = Record::decode(Bytes::from(bytes));
    }
}
