//! The torture messages of RFC 4475 and RFC 5118 at the reader: what it takes, and what it answers otherwise.
//!
//! They are nobody's here and are not kept here: `ROLLCALL_CONFORMANCE` names the folder that has them, each corpus with a
//! `manifest.tsv` of file, source, what the parser does, which message it is, and which statuses are right.

use std::fs;
use std::path::{Path, PathBuf};

use crate::conformance::{count, folder};
use bytes::Bytes;
use rollcall_core::sip::{HeaderError, Message, Method, StatusCode};

const CORPORA: [&str; 2] = ["rfc4475", "rfc5118"];

/// One row of a manifest.
struct Case {
    file: PathBuf,
    parser: String,
    message: String,
    statuses: Vec<u16>,
}

fn cases(folder: &Path) -> Vec<Case> {
    let manifest = fs::read_to_string(folder.join("manifest.tsv")).expect("a manifest");
    let rows = manifest.lines().skip(1).map(|row| {
        let columns: Vec<&str> = row.split('\t').collect();
        Case {
            file: folder.join(columns[0]),
            parser: columns[2].to_owned(),
            message: columns[3].to_owned(),
            // `drop` is no number: no status is right.
            statuses: columns[4]
                .split(',')
                .filter_map(|status| status.trim().parse().ok())
                .collect(),
        }
    });
    rows.collect()
}

/// Reads a datagram and asks for all that an endpoint needs before it knows what the request is about: the message, or
/// what is answered, None for nothing.
fn judge(raw: Bytes) -> Result<Message, Option<StatusCode>> {
    let message = Message::parse(raw).map_err(|e| e.status())?;
    let refuse = |e: HeaderError| message.is_request().then(|| e.status());
    message.vias().map_err(refuse)?;
    message.via().map_err(refuse)?;
    message.from().map_err(refuse)?;
    message.to().map_err(refuse)?;
    message.call_id().map_err(refuse)?;
    let cseq = message.cseq().map_err(refuse)?;
    message.max_forwards().map_err(refuse)?;
    if let Some(method) = message.method() {
        message.request_uri().map_err(refuse)?;
        if cseq.method != *method {
            return Err(Some(StatusCode::BAD_REQUEST));
        }
    }
    Ok(message)
}

/// Whether the message is the one that the manifest names: a method, or `200 response`.
fn is_named(message: &Message, name: &str) -> bool {
    match (message.method(), message.status()) {
        (Some(Method::Other(_)), _) => name == "unknown method",
        (Some(method), _) => name == method.as_str(),
        (None, Some(status)) => name == format!("{status} response"),
        (None, None) => false,
    }
}

fn check(case: &Case) -> Result<(), String> {
    let verdict = judge(Bytes::from(fs::read(&case.file).expect("a case")));
    match (&*case.parser, &verdict) {
        ("accept", Ok(message)) | ("either", Ok(message)) => {
            if !is_named(message, &case.message) {
                return Err(format!(
                    "read as {:?} {:?}",
                    message.method(),
                    message.status()
                ));
            }
            let printed = message.to_bytes();
            let again =
                judge(printed.clone()).map_err(|status| format!("printed, it gets {status:?}"))?;
            (again.to_bytes() == printed)
                .then_some(())
                .ok_or("printed twice, it differs".to_owned())
        }
        ("reject" | "either", Err(status)) => {
            let status = status.map(StatusCode::code);
            let right = match status {
                Some(code) => case.statuses.contains(&code),
                None => case.statuses.is_empty(),
            };
            right.then_some(()).ok_or(format!(
                "answered {status:?}, not one of {:?}",
                case.statuses
            ))
        }
        (expected, Ok(_)) => Err(format!("taken, although {expected}")),
        (expected, Err(status)) => Err(format!("refused with {status:?}, although {expected}")),
    }
}

#[test]
fn torture_messages_are_taken_or_refused_as_their_manifest_says() {
    let mut wrong = Vec::new();
    for corpus in CORPORA {
        let Some(folder) = folder(corpus) else {
            return;
        };
        let cases = cases(&folder);
        assert_eq!(cases.len(), count(corpus), "{corpus}");
        for case in &cases {
            if let Err(what) = check(case) {
                wrong.push(format!("{}: {what}", case.file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
