//! The samples of RFC 5261, appendix A: each change, applied to the document before it, gives the document after it.

use std::fs;
use std::time::{Duration, Instant};

use rollcall_core::pidf::patch::{self, PatchFault};
use rollcall_core::pidf::xml::{Limits, Scanner, Token};

use super::{count, folder, manifest};

/// What canonical XML keeps of a document: everything but the layout inside of tags, and the order in them.
fn canonical(raw: &[u8]) -> Vec<String> {
    let mut scanner = Scanner::new(raw, Limits::default()).expect("a document");
    let mut lines: Vec<String> = Vec::new();
    let mut text = String::new();
    while let Some(token) = scanner.next().expect("well-formed XML") {
        let line = match token {
            Token::Text(more) => {
                text.push_str(more);
                continue;
            }
            Token::Character(character) => {
                text.push(character);
                continue;
            }
            Token::Start(start) => {
                let mut declared: Vec<String> = scanner
                    .own_declarations()
                    .map(|own| format!("xmlns:{}={}", own.prefix, own.uri))
                    .collect();
                let mut attributes: Vec<String> = scanner
                    .attributes()
                    .iter()
                    .map(|own| format!("{}:{}={}", own.prefix, own.local, own.value()))
                    .collect();
                declared.sort();
                attributes.sort();
                let name = (start.prefix, start.local);
                format!("start {name:?} {declared:?} {attributes:?}")
            }
            Token::End { depth, .. } => format!("end {depth}"),
            Token::Comment(comment) => format!("comment {comment}"),
            Token::Instruction { content, .. } => format!("instruction {content}"),
        };
        if !text.is_empty() {
            lines.push(format!("text {}", std::mem::take(&mut text)));
        }
        lines.push(line);
    }
    lines
}

#[test]
fn each_change_gives_the_document_after_it() {
    let Some(folder) = folder("patch-ops") else {
        return;
    };
    let rows = manifest(&folder);
    assert_eq!(rows.len(), count("patch-ops"), "the manifest of patch-ops");
    for (files, _, _) in rows {
        let read = |which: &str| {
            let file = files.replace("{before,diff,after}", which);
            fs::read(folder.join(file)).expect("a case")
        };
        let result = patch::apply(&read("before"), &read("diff"), &Limits::default());
        let result = result.unwrap_or_else(|error| panic!("{files}: {error}"));
        let text = String::from_utf8_lossy(&result);
        assert_eq!(
            canonical(&result),
            canonical(&read("after")),
            "{files}: {text}"
        );
    }
}

#[test]
fn hostile_sizes_take_no_hostile_time() {
    let started = Instant::now();
    let uri = "u".repeat(20_000);
    let state = format!("<a xmlns='{uri}'>{}</a>", "<b></b>".repeat(4000));
    let change = format!(
        "<p:diff xmlns:p='urn:p' xmlns='{uri}'>{}</p:diff>",
        "<p:remove sel='a/*/c'/>".repeat(1500)
    );
    // The first operation fails; what each of them costs shows when they find something.
    assert!(patch::apply(state.as_bytes(), change.as_bytes(), &Limits::default()).is_err());
    let working = change.replace("<p:remove sel='a/*/c'/>", "<p:remove sel='a/b[1]'/>");
    let refused = patch::apply(state.as_bytes(), working.as_bytes(), &Limits::default());
    let fault = refused.map_err(|error| error.fault);
    assert!(matches!(fault, Err(PatchFault::TooMuchWork)), "{fault:?}");
    // As many as a person's devices may need at once go through.
    let few = working.replacen("<p:remove sel='a/b[1]'/>", "", 1480);
    patch::apply(state.as_bytes(), few.as_bytes(), &Limits::default()).expect("a change");
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}
