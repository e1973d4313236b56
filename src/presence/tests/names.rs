//! Namespaces through composition: every name means what it meant, and has the usual prefix where that can be.

use super::*;

#[test]
fn unusual_prefixes_become_the_usual_ones() {
    let odd = document(
        "<i:presence xmlns:i='urn:ietf:params:xml:ns:pidf' xmlns='urn:ietf:params:xml:ns:pidf:rpid' \
         xmlns:m='urn:ietf:params:xml:ns:pidf:data-model' xmlns:e='urn:e' entity='sip:alice@example.com'>\
         <i:tuple id='t'><i:status><i:basic>open</i:basic><e:x i:mustUnderstand='1'/></i:status><class>c</class></i:tuple>\
         <m:person id='p'><activities><busy/></activities><m:note>n</m:note></m:person></i:presence>",
    );
    let (root, inner) = composed(&[&odd], NOW);
    assert_eq!(
        root,
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" xmlns:i=\"urn:ietf:params:xml:ns:pidf\" xmlns:e=\"urn:e\" \
         entity=\"sip:alice@example.com\">"
    );
    assert_eq!(
        inner,
        "<tuple id='t'><status><basic>open</basic><e:x i:mustUnderstand='1'/></status><rpid:class>c</rpid:class></tuple>\
         <dm:person id=\"p\"><rpid:activities><rpid:busy/></rpid:activities><dm:note>n</dm:note></dm:person>"
    );
}

#[test]
fn one_prefix_with_two_meanings_is_declared_where_it_is_used() {
    let extension = |uri: &str| {
        let parts = [
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:e='",
            uri,
            "' entity='sip:alice@example.com'><tuple id='t'><status><e:x/></status></tuple><e:y e:z='1'/></presence>",
        ];
        document(&parts.concat())
    };
    let (first, second) = (extension("urn:1"), extension("urn:2&amp;3"));
    let (root, inner) = composed(&[&first, &second], NOW);
    assert!(root.contains("xmlns:e=\"urn:2&amp;3\""), "{root}");
    assert_eq!(
        inner,
        "<tuple id='t-bddc2bc6'><status><e:x/></status></tuple>\
         <tuple xmlns:e=\"urn:1\" id='t'><status><e:x/></status></tuple>\
         <e:y e:z='1'/><e:y xmlns:e=\"urn:1\" e:z='1'/>"
    );
}

#[test]
fn a_usual_prefix_that_means_something_else_stays_what_it_means() {
    let swapped = document(
        "<p:presence xmlns:p='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:other' xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' \
         entity='sip:alice@example.com'><p:tuple id='t'><p:status/><d:deviceID>x</d:deviceID><dm:y/><z/></p:tuple></p:presence>",
    );
    let (root, inner) = composed(&[&swapped], NOW);
    assert_eq!(
        inner,
        "<p:tuple xmlns:dm=\"urn:other\" xmlns=\"\" id='t'><p:status/><d:deviceID>x</d:deviceID><dm:y/><z/></p:tuple>"
    );
    assert_eq!(
        root,
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:p=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:d=\"urn:ietf:params:xml:ns:pidf:data-model\" entity=\"sip:alice@example.com\">"
    );
}

#[test]
fn declarations_of_a_person_reach_its_children() {
    let verbose = document(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:alice@example.com'>\
         <d:person xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' xmlns:e='urn:e' id='p'><e:x/>\
         <rpid:activities xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid'><rpid:busy/></rpid:activities><d:note>n</d:note>\
         </d:person></presence>",
    );
    let (root, inner) = composed(&[&verbose], NOW);
    assert!(root.contains("xmlns:e=\"urn:e\""), "{root}");
    assert_eq!(
        inner,
        "<dm:person id=\"p\"><e:x/><rpid:activities xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid'><rpid:busy/></rpid:activities>\
         <dm:note>n</dm:note></dm:person>"
    );
}

#[test]
fn a_prefix_in_the_value_of_a_schema_type_stays_declared() {
    let typed = document(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:s='http://www.w3.org/2001/XMLSchema-instance' xmlns:q='urn:q' \
         xmlns:unused='urn:unused' s:schemaLocation='x y' entity='sip:alice@example.com'><tuple id='t'><status/>\
         <x xmlns='u' s:type='q:z'/></tuple></presence>",
    );
    let (root, _) = composed(&[&typed], NOW);
    assert!(
        root.contains("xmlns:q=\"urn:q\"")
            && !root.contains("unused")
            && !root.contains("schemaLocation"),
        "{root}"
    );
}

#[test]
fn an_id_of_nothing_gives_way_to_one() {
    for blank in ["", " ", "&#32;\t"] {
        let odd = presence(&format!(
            "<tuple id='{blank}'><status/></tuple><tuple id='t'><status/></tuple>"
        ));
        let read = Document::parse(&compose_all(&[&odd], NOW).body, &Limits::default()).unwrap();
        let ids: Vec<_> = read
            .tuples()
            .map(|tuple| tuple.id.clone().unwrap().value)
            .collect();
        assert_eq!(ids, ["t-bddc2d09", "t"], "{blank:?}");
    }
}

#[test]
fn a_given_id_keeps_its_quotes_whole() {
    let odd = presence("<tuple id='a&apos;&lt;\"'/><tuple id=\"a'&#60;&quot;\"/>");
    let read = Document::parse(&compose_all(&[&odd], NOW).body, &Limits::default()).unwrap();
    let ids: Vec<_> = read
        .tuples()
        .map(|tuple| tuple.id.clone().unwrap().value)
        .collect();
    assert_eq!(ids, ["a'<\"", "a'<\"-bddc2d09"]);
}
