//! What must hold for any documents: composition is well formed, says the same when composed again, and no name changes
//! its meaning.

use proptest::prelude::*;

use super::*;
use crate::pidf::xml::{Scanner, Token};

/// Documents with everything in them that the rules are about.
const SEEDS: [&str; 3] = [
    "<?xml version='1.0'?><presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
     xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' entity='sip:a@h'><tuple id='t'><status><basic>open</basic></status>\
     <rpid:privacy from='1970-01-01T00:00:15Z'/><contact priority='0.8'>c</contact><note xml:lang='en'>n</note></tuple>\
     <dm:person id='p'><rpid:activities until='1970-01-01T00:20:00Z'><rpid:busy/></rpid:activities></dm:person></presence>",
    "<i:presence xmlns:i='urn:ietf:params:xml:ns:pidf' xmlns:m='urn:ietf:params:xml:ns:pidf:data-model' xmlns:e='urn:e' \
     xmlns='urn:ietf:params:xml:ns:pidf:rpid' entity='sip:a@h'><m:person id='p'><activities><away/><other>x</other></activities>\
     <m:note>n</m:note></m:person><i:tuple id='t'><i:status><i:basic>closed</i:basic><e:x/></i:status></i:tuple><e:y/></i:presence>",
    "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:b@h'><tuple xmlns:e='urn:f' id='u'><e:x e:y='&lt;'/><z xmlns=''/>\
     </tuple><note>&#65;<![CDATA[<]]></note><d:device xmlns:d='urn:ietf:params:xml:ns:pidf:data-model'><d:deviceID>1</d:deviceID>\
     </d:device></presence>",
];

fn large() -> Limits {
    Limits {
        bytes: 1 << 20,
        declarations: 1000,
        ..Limits::default()
    }
}

/// Takes out, doubles or replaces parts, so that most documents still nearly parse.
fn mutated() -> impl Strategy<Value = Text> {
    let patch = (
        any::<prop::sample::Index>(),
        0..12usize,
        prop::sample::select(vec![
            "",
            "<",
            ">",
            "'",
            "&",
            " ",
            "x",
            ":",
            "e:",
            "rpid:",
            "dm:",
            "i:",
            "xmlns='urn:g'",
            " xmlns:e='urn:h'",
            " xmlns:rpid='urn:i'",
            "<tuple/>",
            "<e:x/>",
            "<!---->",
            "1970",
            "id='t'",
            "/",
            "open",
            "\r",
            "\u{0}",
        ]),
    );
    (0..SEEDS.len(), prop::collection::vec(patch, 0..4)).prop_map(|(seed, patches)| {
        let mut bytes = SEEDS[seed].as_bytes().to_vec();
        for (at, length, with) in patches {
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, with.bytes());
        }
        Text(bytes)
    })
}

/// Bytes that a failed test shows as text.
struct Text(Vec<u8>);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_composes_to_a_document_with_the_same_summary(
        first in mutated(), second in mutated(), now in 0u64..2_000_000,
    ) {
        let read = |Text(bytes)| Document::parse(&Bytes::from(bytes), &Limits::default()).ok();
        let whole = || Document::parse(&Bytes::from_static(SEEDS[0].as_bytes()), &Limits::default()).ok();
        let documents: Vec<Document> = [read(first).or_else(whole), read(second)].into_iter().flatten().collect();
        let now = at(now);
        let sources: Vec<Source<'_>> = documents.iter().zip(["a", "b"])
            .map(|(document, key)| Source { key, document, published: at(key.len() as u64) }).collect();
        let once = compose(ALICE, &sources, now).unwrap();
        let read = Document::parse(&once.body, &large());
        let read = read.map_err(|error| TestCaseError::fail([&error.to_string(), " in ", &String::from_utf8_lossy(&once.body)].concat()))?;
        prop_assert_eq!(read.entity(), ALICE);
        let summary = Summary::of_sources(&sources, now);
        prop_assert_eq!(&Summary::of(&read, now), &summary);
        let again = compose(ALICE, &[Source { key: "c", document: &read, published: now }], now).unwrap();
        prop_assert_eq!(&again.body, &once.body);
        // Nothing changes by itself before the instant that was told.
        let before = once.changes_at.map_or(at(u64::MAX), |change| at(change.as_millis() - 1));
        prop_assert_eq!(compose(ALICE, &sources, before).unwrap().body, once.body);
    }
}

/// An element with names of every kind: its own declarations, a prefix, attributes, children.
#[derive(Clone, Debug)]
struct Tree {
    declares: Vec<(usize, usize)>,
    prefix: usize,
    attribute: Option<usize>,
    children: Vec<Tree>,
}

const PREFIXES: [&str; 5] = ["", "a", "dm", "rpid", "b"];
const URIS: [&str; 5] = [
    crate::pidf::PIDF_NS,
    crate::pidf::DATA_MODEL_NS,
    crate::pidf::RPID_NS,
    "urn:x",
    "",
];

fn tree() -> impl Strategy<Value = Tree> {
    let declares = || prop::collection::vec((0..PREFIXES.len(), 0..URIS.len()), 0..3);
    let attribute = || prop::option::of(1..PREFIXES.len());
    let leaf =
        (declares(), 0..PREFIXES.len(), attribute()).prop_map(|(declares, prefix, attribute)| {
            Tree {
                declares,
                prefix,
                attribute,
                children: Vec::new(),
            }
        });
    leaf.prop_recursive(3, 12, 3, move |inner| {
        (
            declares(),
            0..PREFIXES.len(),
            attribute(),
            prop::collection::vec(inner, 0..3),
        )
            .prop_map(|(declares, prefix, attribute, children)| Tree {
                declares,
                prefix,
                attribute,
                children,
            })
    })
}

fn print(tree: &Tree, out: &mut String) {
    let name = |prefix: usize, local: &str| match PREFIXES[prefix] {
        "" => local.to_owned(),
        prefix => [prefix, ":", local].concat(),
    };
    let tag = name(tree.prefix, "t");
    out.extend(["<", &tag]);
    declare(&tree.declares, out);
    if let Some(prefix) = tree.attribute {
        out.extend([" ", &name(prefix, "z"), "='1'"]);
    }
    out.push('>');
    tree.children.iter().for_each(|child| print(child, out));
    out.extend(["</", &tag, ">"]);
}

fn declare(declares: &[(usize, usize)], out: &mut String) {
    let mut seen = Vec::new();
    for (prefix, uri) in declares {
        if seen.contains(prefix) || (*prefix != 0 && URIS[*uri].is_empty()) {
            continue;
        }
        seen.push(*prefix);
        let colon = if *prefix == 0 { "" } else { ":" };
        out.extend([" xmlns", colon, PREFIXES[*prefix], "='", URIS[*uri], "'"]);
    }
}

/// Expanded names of all elements and attributes below the root, in order; ids left out, as they may change.
fn expanded(bytes: &[u8]) -> Vec<String> {
    let mut scanner = Scanner::new(bytes, large()).unwrap();
    let mut names = Vec::new();
    while let Some(token) = scanner.next().unwrap() {
        match token {
            Token::Start(start) if start.depth > 1 => {
                names.push(
                    [
                        "{",
                        &*scanner.declared(start.declared).uri,
                        "}",
                        start.local,
                    ]
                    .concat(),
                );
                for attribute in scanner
                    .attributes()
                    .iter()
                    .filter(|attribute| attribute.local != "id")
                {
                    names.push(
                        [
                            "@{",
                            &*scanner.declared(attribute.declared).uri,
                            "}",
                            attribute.local,
                        ]
                        .concat(),
                    );
                }
            }
            Token::Start(_) => {}
            Token::End { depth, .. } => names.push(["/", &depth.to_string()].concat()),
            Token::Text(_)
            | Token::Character(_)
            | Token::Comment(_)
            | Token::Instruction { .. } => {}
        }
    }
    names
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_name_changes_its_meaning(
        default in 0..URIS.len(), others in prop::collection::vec(0..URIS.len() - 1, PREFIXES.len() - 1),
        bodies in prop::collection::vec(tree(), 1..3),
    ) {
        // `r` names the root and the parts, whatever the other prefixes mean.
        let mut text = String::from("<r:presence xmlns:r='urn:ietf:params:xml:ns:pidf' entity='sip:alice@example.com'");
        declare(&[(0, default)].into_iter().chain((1..).zip(others)).collect::<Vec<_>>(), &mut text);
        text.push('>');
        for body in &bodies {
            text.push_str("<r:tuple id='i'>");
            print(body, &mut text);
            text.push_str("</r:tuple>");
        }
        text.push_str("</r:presence>");
        let document = Document::parse(&Bytes::from(text.clone()), &Limits::default()).unwrap();
        let other = presence("<tuple id='o'><status><basic>open</basic></status></tuple>");
        let sources = [&other, &document].map(|document| Source { key: "k", document, published: NOW });
        let composition = compose(ALICE, &sources, NOW).unwrap();
        let beside = expanded(other.raw()).len() - 1;
        prop_assert_eq!(&expanded(&composition.body)[beside..], &expanded(text.as_bytes())[..], "{} became {:?}", text, composition.body);
    }
}
