//! The XML corpora: PIDF samples of the RFCs and hostile documents, each case with the outcome of its manifest.
//!
//! They are not ours to copy: `ROLLCALL_CONFORMANCE` names the folder that has them. Every trick in them that mattered
//! has a case of our own in `src/pidf` and `src/presence`.
//!
//! In `server_sip` and `server_xml` a running server meets the same corpora, and the torture messages of SIP.
//!
//! Beside them, the PIDF bodies of our own recordings of phones.
//!
//! Outcomes: what is accepted is composed, alone and beside another, into documents that are read again and say the
//! same; what is rejected gets a 4xx; `either` means that nothing else may happen.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rollcall_core::pidf::{Basic, Builder, Document, Limits, PidfError, Service, patch, xml};
use rollcall_core::presence::{self, Source, Summary};
use rollcall_core::time::Timestamp;

use crate::support::process::require;

mod patch_ops;
mod protos;
mod server_sip;
mod server_xml;
mod w3c;

/// How many cases the corpora have, for the line that says what was left out.
const CASES: [(&str, usize); 7] = [
    ("rfc4475", 33),
    ("rfc5118", 8),
    ("pidf", 36),
    ("hostile-xml", 62),
    ("patch-ops", 12),
    ("protos-c07-sip", 3018),
    ("hostile-xml's W3C suite", w3c::MEMBERS),
];
/// 2026-11-22.
const NOW: Timestamp = Timestamp::from_millis(1_795_300_000_000);
const ENTITY: &str = "pres:alice@example.com";

/// The folder of a corpus. If the corpora are not there, one line says once how many cases are left out.
pub fn folder(corpus: &str) -> Option<PathBuf> {
    static SAID: Once = Once::new();
    let root = std::env::var_os("ROLLCALL_CONFORMANCE");
    if root.is_none() {
        let count: usize = CASES.iter().map(|(_, cases)| cases).sum();
        let names = CASES.map(|(name, _)| name).join(", ");
        SAID.call_once(|| {
            tell(&format!(
                "ROLLCALL_CONFORMANCE is not set: {count} cases were left out ({names})"
            ));
        });
    }
    Some(Path::new(&root?).join(corpus))
}

/// How many cases a corpus has.
pub fn count(corpus: &str) -> usize {
    let found = CASES.iter().find(|(name, _)| *name == corpus);
    found.map_or(0, |(_, cases)| *cases)
}

/// A folder with what is in an archive: `program`, from a Debian package, takes the archive after its first arguments and the
/// folder after `into`.
fn unpacked(archive: &Path, (program, package): (&str, &str), into: &str) -> tempfile::TempDir {
    let mut arguments = program.split(' ');
    let mut command = Command::new(arguments.next().expect("a program"));
    let folder = tempfile::tempdir().expect("a folder");
    require(package.split('-').next().unwrap_or(package), package);
    let command = command.args(arguments).arg(archive).arg(into);
    let status = command.arg(folder.path()).status();
    assert!(status.expect("it runs").success(), "{program}");
    folder
}

/// Says a line past the test harness, which swallows what a passing test prints.
fn tell(line: &str) {
    let line = format!("{line}\n");
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("standard error");
}

/// The rows of a corpus's manifest.
fn manifest(folder: &Path) -> Vec<(String, String, Option<bool>)> {
    rows(&folder.join("manifest.tsv"))
}

/// The rows of a manifest: file, outcome, and whether it is well formed where that is told.
fn rows(manifest: &Path) -> Vec<(String, String, Option<bool>)> {
    let text = fs::read_to_string(manifest).expect("a manifest");
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split('\t').collect();
    let column = |name: &str| header.iter().position(|title| *title == name);
    let (expect, well_formed) = (column("expect").expect("outcomes"), column("well_formed"));
    let rows = lines.map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        (
            fields[0].to_owned(),
            fields[expect].to_owned(),
            well_formed.map(|at| fields[at] == "yes"),
        )
    });
    rows.collect()
}

/// The full state that a change is for: the sample that its RFC prints before it.
fn before(folder: &Path, file: &str) -> Option<Vec<u8>> {
    let full = match file {
        "rfc5264-02-pidf-diff.xml" => "rfc5264-01-pidf-full.xml",
        _ => return None,
    };
    Some(fs::read(folder.join(full)).expect("a case"))
}

/// What a server would hand on of a document, read again; in time.
fn publish(raw: &Bytes, limits: &Limits) -> Result<Document, PidfError> {
    let started = Instant::now();
    let document = Document::parse(raw, limits)?;
    let built = Builder::new(ENTITY)
        .tuple(
            "t1",
            Service {
                basic: Some(Basic::Closed),
                ..Service::default()
            },
        )
        .finish();
    let other = Document::parse(&built, limits).expect("a document of ours");
    // What is composed may be larger than what may be published.
    let large = Limits {
        bytes: 1 << 22,
        declarations: 100_000,
        elements: 200_000,
        ..*limits
    };
    let source = |key, document| Source {
        key,
        document,
        published: NOW,
    };
    for sources in [
        &[source("a", &document)][..],
        &[source("a", &document), source("b", &other)],
    ] {
        let composed = presence::compose(ENTITY, sources, NOW).expect("a composition");
        let read = Document::parse(&composed.body, &large).expect("a well-formed composition");
        assert_eq!(read.entity(), ENTITY);
        assert_eq!(Summary::of(&read, NOW), Summary::of_sources(sources, NOW));
        assert!(read.tuples().all(|tuple| tuple.id.is_some()));
    }
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    Ok(document)
}

fn run(corpus: &str) {
    let Some(folder) = folder(corpus) else {
        return;
    };
    let rows = manifest(&folder);
    assert_eq!(rows.len(), count(corpus), "the manifest of {corpus}");
    // With room for the largest, so that size alone saves nobody.
    let roomy = Limits {
        bytes: 1 << 20,
        elements: 100_000,
        attributes: 10_000,
        ..Limits::default()
    };
    let mut wrong = Vec::new();
    for (file, outcome, well_formed) in rows {
        let raw = Bytes::from(fs::read(folder.join(&file)).expect("a case"));
        for limits in [Limits::default(), roomy] {
            let state = match before(&folder, &file) {
                Some(full) => patch::apply(&full, &raw, &limits).expect("a change that applies"),
                None => raw.clone(),
            };
            let result = publish(&state, &limits);
            let is_right = match (outcome.as_str(), &result) {
                ("accept", result) => result.is_ok(),
                ("reject", Err(error)) => (400..500).contains(&error.status()),
                ("reject", Ok(_)) => false,
                ("either", _) => true,
                (other, _) => panic!("unknown outcome {other} of {file}"),
            };
            let is_formed =
                well_formed.is_none_or(|formed| formed == xml::check(&raw, &limits).is_ok());
            if !is_right || !is_formed {
                let got = result.map(|document| document.entity().to_owned());
                wrong.push(format!("{file}: {outcome}, but {got:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_samples_of_the_rfcs_get_the_outcome_of_their_manifest() {
    run("pidf");
}

#[test]
fn hostile_documents_get_the_outcome_of_their_manifest() {
    run("hostile-xml");
}

#[test]
fn what_a_hostile_document_carries_rightly_reaches_watchers_unchanged() {
    let Some(folder) = folder("hostile-xml") else {
        return;
    };
    let other = Document::parse(&presence::offline(ENTITY), &Limits::default())
        .expect("a document of ours");
    for (file, part) in [
        (
            "mustunderstand.xml",
            "p:mustUnderstand=\"true\">here</x:loc>",
        ),
        ("note-bidi.xml", "<note>\u{202E}gnp.exe\u{2066}</note>"),
        ("note-astral.xml", "<note xml:lang=\"ja\">\u{1F600} "),
        (
            "prefixed-root.xml",
            "<tuple id=\"t1\"><status><basic>closed</basic></status></tuple>",
        ),
    ] {
        let raw = Bytes::from(fs::read(folder.join(file)).expect("a case"));
        let document = Document::parse(&raw, &Limits::default()).expect("a document");
        let sources = [("a", &document), ("b", &other)].map(|(key, document)| Source {
            key,
            document,
            published: NOW,
        });
        let composed = presence::compose(ENTITY, &sources, NOW).expect("a composition");
        let text = String::from_utf8(composed.body.to_vec()).expect("UTF-8");
        assert!(text.contains(part), "{file}: {text}");
    }
}

/// The PIDF body of a recording, if it has one.
fn recorded(file: &Path) -> Option<Bytes> {
    let message = fs::read(file).expect("a recording");
    let text = String::from_utf8(message).expect("UTF-8");
    let (head, body) = text.split_once("\r\n\r\n")?;
    let is_pidf = head.contains("Content-Type: application/pidf+xml");
    (is_pidf && !body.is_empty()).then(|| Bytes::copy_from_slice(body.as_bytes()))
}

#[test]
fn every_recorded_pidf_body_is_read_and_handed_on() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wires");
    let mut read = 0;
    for entry in fs::read_dir(folder).expect("the recordings") {
        let path = entry.expect("an entry").path();
        let Some(body) = recorded(&path) else {
            continue;
        };
        let result = publish(&body, &Limits::default());
        assert!(result.is_ok(), "{}: {result:?}", path.display());
        read += 1;
    }
    assert!(read >= 20, "only {read} bodies");
}

#[test]
fn what_phones_mean_is_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wires");
    let (open, closed) = (Some(Basic::Open), Some(Basic::Closed));
    for (file, basic, activities, notes) in [
        ("pjsua-publish-modify-busy", open, "busy", "Busy"),
        ("pjsua-publish-modify-idle", open, "", "Idle"),
        ("pjsua-publish-modify-closed", closed, "", ""),
        ("baresip-publish-initial", None, "", ""),
        ("linphone-publish-initial", open, "", ""),
        ("linphone-publish-modify-dnd", closed, "away", ""),
        (
            "linphone-publish-modify-meeting",
            open,
            "meeting",
            "in-a-meeting",
        ),
        ("twinkle-publish-modify", closed, "", ""),
        ("kamailio-notify-after-remove", closed, "", ""),
    ] {
        let body = recorded(&folder.join(file).with_extension("sip")).expect("a body");
        let document = Document::parse(&body, &Limits::default()).expect("a document");
        let summary = Summary::of(&document, NOW);
        let texts: Vec<&str> = summary.notes.iter().map(|note| &*note.text).collect();
        let told = (summary.basic, summary.activities.concat(), texts.concat());
        assert_eq!(
            told,
            (basic, activities.to_owned(), notes.to_owned()),
            "{file}"
        );
    }
}
