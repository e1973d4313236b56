//! Rules of RFC 3863, 4479 and 4480 that concern what a compositor may and may not do; see docs/composition.md.

use super::*;

fn tuple(id: &str, basic: &str, contact: &str) -> Document {
    presence(&format!(
        "<tuple id='{id}'><status><basic>{basic}</basic></status>{contact}</tuple>"
    ))
}

/// Composed in this order, all published at the same moment, under these keys.
fn at_once(sources: &[(&str, &Document)]) -> String {
    let sources: Vec<Source<'_>> = sources
        .iter()
        .map(|&(key, document)| Source {
            key,
            document,
            published: at(5),
        })
        .collect();
    let composition = compose(ALICE, &sources, NOW).expect("something is published");
    String::from_utf8(composition.body.to_vec()).expect("text")
}

/// The ids of tuples in their order.
fn order(text: &str) -> Vec<&str> {
    let tuples = text.split("<tuple id=").skip(1);
    tuples
        .map(|tuple| &tuple[1..1 + tuple[1..].find(['"', '\'']).expect("a quote")])
        .collect()
}

#[test]
fn ties_are_broken_alike_in_whatever_order_publications_are_given() {
    let (a, b, c) = (
        tuple("a", "open", ""),
        tuple("b", "open", ""),
        tuple("c", "open", ""),
    );
    let (x, y, z) = (("1", &c), ("2", &a), ("3", &b));
    let first = at_once(&[x, y, z]);
    assert_eq!(order(&first), ["c", "a", "b"]);
    for sources in [[x, z, y], [y, x, z], [y, z, x], [z, x, y], [z, y, x]] {
        assert_eq!(at_once(&sources), first);
    }
}

#[test]
fn a_priority_that_is_none_counts_as_the_lowest() {
    let with = |id: &str, priority: &str| {
        tuple(
            id,
            "open",
            &format!("<contact priority='{priority}'>sip:a@b</contact>"),
        )
    };
    let documents = [
        with("half", "0.5"),
        with("too-much", "1.001"),
        with("too-fine", "0.9999"),
        with("negative", "-0.9"),
        with("words", "high"),
        tuple("none", "open", ""),
        with("zero", "0"),
        with("most", "1.000"),
    ];
    let all: Vec<&Document> = documents.iter().collect();
    let text = body(&all, NOW);
    // The freshest first among equals.
    assert_eq!(
        order(&text),
        [
            "most", "half", "zero", "none", "words", "negative", "too-fine", "too-much"
        ]
    );
}

#[test]
fn unknown_activities_give_way_to_known_ones_and_stay_where_there_are_no_others() {
    let activities = |names: &str| {
        presence(&format!(
            "<dm:person id='p'><rpid:activities>{names}</rpid:activities></dm:person>"
        ))
    };
    let (unknown, meeting) = (activities("<rpid:unknown/>"), activities("<rpid:meeting/>"));
    let known =
        "<dm:person id=\"p\"><rpid:activities><rpid:meeting/></rpid:activities></dm:person>";
    assert_eq!(body(&[&meeting, &unknown], NOW), known);
    assert_eq!(body(&[&unknown, &meeting], NOW), known);
    assert!(body(&[&unknown, &unknown], NOW).contains("<rpid:unknown/>"));
    // One that says in words why it is unknown says something.
    let told = activities("<rpid:note>in the mountains</rpid:note><rpid:unknown/>");
    assert!(body(&[&meeting, &told], NOW).contains("in the mountains"));
}

#[test]
fn activities_of_two_publishers_are_never_mixed_and_those_of_one_stay_together() {
    let activities = |names: &str| {
        presence(&format!(
            "<dm:person id='p'><rpid:activities>{names}</rpid:activities></dm:person>"
        ))
    };
    let older = activities("<rpid:away/><rpid:meal/>");
    let newer = activities("<rpid:busy/><rpid:on-the-phone/>");
    assert_eq!(
        body(&[&older, &newer], NOW),
        "<dm:person id=\"p\"><rpid:activities><rpid:busy/><rpid:on-the-phone/></rpid:activities></dm:person>"
    );
}

#[test]
fn an_element_without_a_time_stands_once_in_a_person_and_in_a_device() {
    let names = [
        "activities",
        "mood",
        "place-is",
        "place-type",
        "privacy",
        "sphere",
        "status-icon",
        "time-offset",
        "user-input",
        "class",
    ];
    let parts = |word: &str| {
        let parts = names.map(|name| format!("<rpid:{name}>{word}</rpid:{name}>"));
        parts.concat()
    };
    for (open, close) in [
        ("<dm:person id='x'>", "</dm:person>"),
        (
            "<dm:device id='x'>",
            "<dm:deviceID>urn:d</dm:deviceID></dm:device>",
        ),
    ] {
        let of = |word: &str| presence(&[open, &parts(word), &parts(word), close].concat());
        let text = body(&[&of("older"), &of("newer")], NOW);
        for name in names.iter().filter(|name| **name != "activities") {
            assert_eq!(text.matches(&format!("<rpid:{name}>")).count(), 1, "{text}");
            assert!(text.contains(&format!("<rpid:{name}>newer<")), "{text}");
        }
    }
}

#[test]
fn windows_of_one_element_follow_each_other_whatever_their_time_zones() {
    let person = presence(
        "<dm:person id='p'>\
         <rpid:mood from='1970-01-01T01:00:10+01:00' until='1970-01-01T00:00:20Z'><rpid:calm/></rpid:mood>\
         <rpid:mood from='1969-12-31T23:00:20-01:00' until='1970-01-01T00:00:30Z'><rpid:sad/></rpid:mood>\
         </dm:person>",
    );
    let seen = |now: u64| {
        let composition = compose_all(&[&person], at(now));
        let text = String::from_utf8(composition.body.to_vec()).expect("text");
        (
            text.contains("calm"),
            text.contains("sad"),
            composition.changes_at,
        )
    };
    assert_eq!(seen(9_999), (false, false, Some(at(10_000))));
    assert_eq!(seen(10_000), (true, false, Some(at(20_000))));
    assert_eq!(seen(20_000), (false, true, Some(at(30_000))));
    assert_eq!(seen(30_000), (false, false, None));
}

#[test]
fn of_user_input_the_freshest_is_told_with_its_threshold() {
    let device = |attributes: &str| {
        presence(&format!(
            "<dm:device id='d'><rpid:user-input {attributes}>idle</rpid:user-input>\
             <dm:deviceID>urn:d</dm:deviceID></dm:device>"
        ))
    };
    let older = device("idle-threshold='600'");
    let newer = device("idle-threshold='60' last-input='2001-01-01T00:00:00Z'");
    let text = body(&[&newer, &older], NOW);
    assert!(
        text.contains("idle-threshold='600'") && !text.contains("last-input"),
        "{text}"
    );
    let text = body(&[&older, &newer], NOW);
    assert!(
        text.contains("idle-threshold='60' last-input='2001-01-01T00:00:00Z'"),
        "{text}"
    );
    assert_eq!(text.matches("user-input").count(), 2, "{text}");
}

#[test]
fn a_modified_publication_keeps_its_ids_and_moves_nobody_elses() {
    let (desk, mobile) = (tuple("t", "open", ""), tuple("t", "open", ""));
    let before = at_once(&[("1", &desk), ("2", &mobile)]);
    let changed =
        presence("<tuple id='t'><status><basic>open</basic></status><note>changed</note></tuple>");
    let after = at_once(&[("1", &desk), ("2", &changed)]);
    assert_eq!(order(&before), order(&after));
    assert_eq!(order(&after)[0], "t");
    assert!(order(&after)[1].starts_with("t-"), "{after}");
}

#[test]
fn notes_in_several_languages_are_all_told_and_each_once() {
    let notes = |more: &str| {
        presence(&format!(
            "<note xml:lang='en'>away</note><note xml:lang='de'>weg</note>{more}"
        ))
    };
    let text = body(&[&notes(""), &notes("<note>away</note>")], NOW);
    for (note, count) in [
        ("<note xml:lang='en'>away</note>", 1),
        ("<note xml:lang='de'>weg</note>", 1),
        ("<note>away</note>", 1),
    ] {
        assert_eq!(text.matches(note).count(), count, "{text}");
    }
}

#[test]
fn what_must_be_understood_stays_marked_so_and_unknown_parts_survive_everywhere() {
    let rich = presence(
        "<tuple id='t' x:of='tuple' xmlns:x='urn:x'><status x:of='status'><basic>open</basic><x:in>status</x:in></status>\
         <x:in mustUnderstand='true'>tuple</x:in></tuple>\
         <x:in xmlns:x='urn:x'>root</x:in>\
         <dm:person id='p'><x:in xmlns:x='urn:x'>person</x:in></dm:person>\
         <dm:device id='d'><x:in xmlns:x='urn:x'>device</x:in><dm:deviceID>urn:d</dm:deviceID></dm:device>",
    );
    let text = body(&[&rich, &tuple("u", "closed", "")], NOW);
    for part in ["status", "tuple", "root", "person", "device"] {
        assert!(text.contains(&format!(">{part}</x:in>")), "{part}: {text}");
    }
    assert!(
        text.contains("mustUnderstand='true'") && text.contains("x:of='status'"),
        "{text}"
    );
}
