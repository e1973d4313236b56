//! What the reader refuses and what it lets through; each trick that a publisher could play, in a document of our own.

use proptest::prelude::*;

use super::*;
use crate::pidf::{Fault, PidfError};

fn fault(document: &str) -> Option<Fault> {
    match check(document.as_bytes(), &Limits::default()) {
        Ok(()) => None,
        Err(PidfError::Malformed { fault, .. }) => Some(fault),
        Err(other) => panic!("{document}: {other}"),
    }
}

#[test]
fn what_is_no_xml_is_refused_by_name() {
    let cases = [
        ("", Fault::NoRoot),
        ("<?xml version='1.0'?>", Fault::NoRoot),
        ("<!-- nothing -->", Fault::NoRoot),
        ("text", Fault::Outside),
        ("<a/>text", Fault::Outside),
        ("<a/>&#65;", Fault::Outside),
        ("<![CDATA[x]]><a/>", Fault::Outside),
        ("\u{FEFF}\u{FEFF}<a/>", Fault::Outside),
        ("<a/><b/>", Fault::SecondRoot),
        ("<a><b></b>", Fault::Unclosed),
        ("<a>", Fault::Unclosed),
        ("<a", Fault::Unfinished),
        ("<", Fault::Unfinished),
        ("<a b='", Fault::Unfinished),
        ("<a><!-- ", Fault::Unfinished),
        ("<a></A>", Fault::EndTag),
        ("<a></b>", Fault::EndTag),
        ("<a></a x='1'>", Fault::EndTag),
        ("<a></ a>", Fault::EndTag),
        ("</a>", Fault::EndTag),
        ("<>", Fault::Name),
        ("< a/>", Fault::Name),
        ("<1a/>", Fault::Name),
        ("<a:b:c xmlns:a='u'/>", Fault::Name),
        ("<:a/>", Fault::Name),
        ("<a/b/>", Fault::Name),
        ("<a -b='1'/>", Fault::Name),
        ("<a b/>", Fault::Attribute),
        ("<a b=1/>", Fault::Attribute),
        ("<a b='1'c='2'/>", Fault::Attribute),
        ("<a b='<'/>", Fault::Attribute),
        ("<a b='&'/>", Fault::Unfinished),
        ("<a b='&x;'/>", Fault::Entity),
        ("<a b='1' b='2'/>", Fault::DuplicateAttribute),
        ("<a c='1' b='1' d='1' b='2'/>", Fault::DuplicateAttribute),
        (
            "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>",
            Fault::DuplicateAttribute,
        ),
        ("<a xmlns:p='u' xmlns:p='v'/>", Fault::DuplicateAttribute),
        ("<a xmlns='u' xmlns='u'/>", Fault::DuplicateAttribute),
        ("<p:a/>", Fault::Prefix),
        ("<a p:b='1'/>", Fault::Prefix),
        ("<a><b xmlns:p='u'/><p:c/></a>", Fault::Prefix),
        ("<xmlns:a/>", Fault::Prefix),
        ("<a xmlns:p=''/>", Fault::NamespaceDeclaration),
        ("<a xmlns:xmlns='u'/>", Fault::NamespaceDeclaration),
        ("<a xmlns:xml='u'/>", Fault::NamespaceDeclaration),
        (
            "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>",
            Fault::NamespaceDeclaration,
        ),
        (
            "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
            Fault::NamespaceDeclaration,
        ),
        ("<!DOCTYPE a><a/>", Fault::Doctype),
        ("<!doctype a><a/>", Fault::Doctype),
        ("<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>", Fault::Doctype),
        (
            "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
            Fault::Doctype,
        ),
        ("<!DOCTYPE", Fault::Doctype),
        ("<a><!DOCTYPE a></a>", Fault::Doctype),
        ("<!ELEMENT a ANY><a/>", Fault::Markup),
        ("<a>&e;</a>", Fault::Entity),
        ("<a>& </a>", Fault::Entity),
        ("<a>&amp</a>", Fault::Entity),
        ("<a>&#;</a>", Fault::Entity),
        ("<a>&#x;</a>", Fault::Entity),
        ("<a>&#+65;</a>", Fault::Entity),
        ("<a>&#X41;</a>", Fault::Entity),
        ("<a>&#0;</a>", Fault::Character),
        ("<a>&#xD800;</a>", Fault::Character),
        ("<a>&#xFFFF;</a>", Fault::Character),
        ("<a>&#4294967361;</a>", Fault::Character),
        ("<a>&#x110000;</a>", Fault::Character),
        ("<a>\u{0}</a>", Fault::Character),
        ("<a b='\u{1B}'/>", Fault::Character),
        ("<a>\u{FFFE}</a>", Fault::Character),
        ("<a>]]></a>", Fault::CdataEnd),
        ("<a><!-- a -- b --></a>", Fault::Comment),
        ("<a><!-- a ---></a>", Fault::Comment),
        ("<a><?xml version='1.0'?></a>", Fault::Declaration),
        (" <?xml version='1.0'?><a/>", Fault::Declaration),
        ("<?xml?><a/>", Fault::Declaration),
        ("<?xml version='2.0'?><a/>", Fault::Declaration),
        ("<?xml encoding='UTF-8'?><a/>", Fault::Declaration),
        (
            "<?xml version='1.0' standalone='maybe'?><a/>",
            Fault::Declaration,
        ),
        (
            "<?xml version='1.0' standalone='no' encoding='UTF-8'?><a/>",
            Fault::Declaration,
        ),
        (
            "<?xml version='1.0'encoding='UTF-8'?><a/>",
            Fault::Declaration,
        ),
        ("<?XML version='1.0'?><a/>", Fault::Instruction),
        ("<a><??></a>", Fault::Instruction),
        ("<a><?p:q?></a>", Fault::Instruction),
    ];
    for (document, expected) in cases {
        assert_eq!(fault(document), Some(expected), "{document}");
    }
}

#[test]
fn what_is_xml_is_read() {
    for document in [
        "<a/>",
        "\u{FEFF}<?xml version=\"1.0\" encoding='utf-8' standalone=\"no\" ?>\r\n<a\n/>\n",
        "<?xml version='1.1'?><a/>",
        "<?xml version='1.0' encoding='US-ASCII'?><a/>",
        "<?xml-stylesheet href='x'?><a><?p d?></a><?q?><!-- - -->",
        "<a b = '1'\tc='>'>&lt;&gt;&amp;&apos;&quot;&#65;&#x41;&#0000000000000000000065;]] ></a >",
        "<a><![CDATA[<&]]]]><![CDATA[>]]></a>",
        "<é:ü xmlns:é='u&amp;v' é:ß='&#13;'/>",
        "<a xml:lang='de' xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns='u'><b xmlns=''/></a>",
        "<a xmlns:p='u' xmlns:q='v' p:b='1' q:b='2' b='3'/>",
        "<p:a p:b='1' xmlns:p='u'/>",
    ] {
        assert_eq!(fault(document), None, "{document}");
    }
}

#[test]
fn only_utf_8_is_read_and_the_refusal_says_so() {
    for document in [
        &b"\xFF\xFE<\0a\0/\0>\0"[..],
        b"\xFE\xFF\0<\0a\0/\0>",
        b"<\0a\0/\0>\0",
        b"<?xml version='1.0' encoding='UTF-16'?><a/>",
        b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xE9</a>",
        b"<?xml version='1.0' encoding='x-unknown'?><a/>",
        b"<?xml version='1.0' encoding='US-ASCII'?><a>\xC3\xA9</a>",
    ] {
        let error = check(document, &Limits::default()).unwrap_err();
        assert!(matches!(error, PidfError::Encoding(_)), "{error}");
        assert_eq!(error.status(), 415);
    }
    for document in [
        &b"<a>\xC0\xBC</a>"[..],
        b"<a>\xE9</a>",
        b"<a>\xED\xA0\x80</a>",
    ] {
        let error = check(document, &Limits::default()).unwrap_err();
        assert_eq!(
            error,
            PidfError::Malformed {
                fault: Fault::Utf8,
                at: 3
            }
        );
        assert_eq!(error.status(), 400);
    }
}

#[test]
fn a_position_is_told() {
    let at = |document: &str| match check(document.as_bytes(), &Limits::default()) {
        Err(PidfError::Malformed { at, .. }) => at,
        other => panic!("{other:?}"),
    };
    assert_eq!(at("<a>\n<b></c></a>"), 7);
    assert_eq!(at("<a>&#65; &nbsp;</a>"), 9);
    assert_eq!(at("<a b='x' c='&y;'/>"), 12);
    assert_eq!(at("<a/> <b/>"), 5);
}

#[test]
fn limits_hold_to_the_last_one() {
    let limits = Limits {
        bytes: 200,
        depth: 3,
        elements: 5,
        attributes: 3,
        declarations: 2,
    };
    let check =
        |document: &str| check(document.as_bytes(), &limits).map_err(|error| error.status());
    assert_eq!(check("<a><b><c/></b></a>"), Ok(()));
    assert_eq!(check("<a><b><c><d/></c></b></a>"), Err(400));
    assert_eq!(check("<a><b/><b/><b/><b/></a>"), Ok(()));
    assert_eq!(check("<a><b/><b/><b/><b/><b/></a>"), Err(413));
    assert_eq!(check("<a b='1' c='2' d='3'/>"), Ok(()));
    assert_eq!(check("<a b='1' c='2' d='3' e='4'/>"), Err(413));
    assert_eq!(
        check("<a xmlns:p='u'><b xmlns:p='u'/><c xmlns='v'/></a>"),
        Ok(())
    );
    assert_eq!(
        check("<a xmlns:p='u' xmlns='v'><b xmlns:p='u'/></a>"),
        Err(413)
    );
    assert_eq!(check(&["<a>", &" ".repeat(193), "</a>"].concat()), Ok(()));
    assert_eq!(check(&["<a>", &" ".repeat(194), "</a>"].concat()), Err(413));
}

#[test]
fn a_flood_within_the_limits_is_read_or_refused_in_one_pass() {
    let names: String = (0..500)
        .map(|number| [" a", &number.to_string(), "='1'"].concat())
        .collect();
    assert_eq!(fault(&["<x", &names, "/>"].concat()), None);
    assert_eq!(
        fault(&["<x", &names, " a0='2'/>"].concat()),
        Some(Fault::DuplicateAttribute)
    );
    assert_eq!(
        fault(&["<x>", &"&#65;".repeat(12_000), "</x>"].concat()),
        None
    );
    assert_eq!(
        fault(&["<x>", &"<?p d?>".repeat(9_000), "</x>"].concat()),
        None
    );
    let deep = check(&b"<x>".repeat(20_000), &Limits::default()).unwrap_err();
    assert_eq!(deep, PidfError::TooDeep { limit: 64, at: 192 });
}

#[test]
fn an_attribute_means_what_its_references_and_white_space_mean() {
    let document = b"<a b='x&amp;&#10;y\r\nz\tw &apos;'/>";
    let mut scanner = Scanner::new(document, Limits::default()).unwrap();
    assert!(matches!(scanner.next(), Ok(Some(Token::Start(_)))));
    assert_eq!(scanner.attributes()[0].value(), "x&\ny z w '");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = check(&bytes, &Limits::default());
    }

    #[test]
    fn any_markup_is_read_or_refused(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "<", ">", "/", "</", "/>", "<a", "<a>", "</a>", "a", ":", "=", "'", "\"", " ", "&", ";", "&#x", "amp", "<!--", "-->",
            "-", "<!", "<![CDATA[", "]]>", "]", "<?", "?>", "<?xml", " version='1.0'", "xmlns", "<!DOCTYPE", "[", "\r\n", "é", "\u{FEFF}",
        ]), 0..40),
    ) {
        let _ = check(parts.concat().as_bytes(), &Limits::default());
    }

    #[test]
    fn what_is_written_is_read_back(value in "\\PC*", text in any::<String>()) {
        let mut writer = Writer::new();
        writer.declaration();
        writer.start("a");
        writer.attribute("b", &value);
        writer.text(&text);
        let document = writer.finish();
        let mut scanner = Scanner::new(&document, Limits::default()).unwrap();
        let (mut read, mut attribute) = (String::new(), None);
        while let Some(token) = scanner.next().unwrap() {
            match token {
                Token::Start(_) => attribute = Some(scanner.attributes()[0].value().into_owned()),
                Token::Text(text) => read.push_str(text),
                Token::Character(character) => read.push(character),
                Token::End { .. } | Token::Comment(_) | Token::Instruction { .. } => {}
            }
        }
        let carried = |text: &str| -> String {
            text.chars().map(|character| if is_char(character) { character } else { '\u{FFFD}' }).collect()
        };
        prop_assert_eq!(attribute, Some(carried(&value)));
        prop_assert_eq!(read, carried(&text));
    }
}
