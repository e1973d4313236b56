//! Documents as phones and RFCs write them, in words of our own.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::time::Timestamp;

fn parse(text: &str) -> Result<Document, PidfError> {
    Document::parse(&Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
}

fn note(lang: Option<&str>, text: &str) -> Note {
    Note {
        lang: lang.map(str::to_owned),
        text: text.to_owned(),
    }
}

#[test]
fn a_document_of_ours_has_the_order_and_the_prefixes_of_the_schemas() {
    let at = Timestamp::from_millis(1_795_365_224_225);
    let service = Service {
        basic: Some(Basic::Open),
        contact: Some("sip:a@h;x=\"<&".to_owned()),
        priority: Priority::from_thousandths(800),
        notes: vec![note(Some("en"), "a < b")],
        idle_since: Some(Timestamp::from_millis(0)),
    };
    let person = Person {
        activities: vec!["busy".into(), "<evil/>".into(), "unknown".into()],
        since: Some(Timestamp::from_millis(1000)),
        until: Some(Timestamp::from_millis(2000)),
        mood: Some("happy".into()),
        place: Some("office".into()),
        notes: vec![note(None, "back at 5")],
    };
    let document = Builder::new("sip:a@h?x=1&y=2")
        .person("432sd", person)
        .timestamp(at)
        .note(note(Some("fr"), "en vacances"))
        .tuple("urn:esn:1", service)
        .tuple("urn_esn_1", Service::default())
        .finish();
    let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
        xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" xmlns:lt=\"urn:ietf:params:xml:ns:location-type\" \
        entity=\"sip:a@h?x=1&amp;y=2\">\n\
        <tuple id=\"urn_esn_1\"><status><basic>open</basic></status>\
        <rpid:user-input last-input=\"1970-01-01T00:00:00Z\">idle</rpid:user-input>\
        <contact priority=\"0.8\">sip:a@h;x=\"&lt;&amp;</contact><note xml:lang=\"en\">a &lt; b</note>\
        <timestamp>2026-11-22T16:33:44.225Z</timestamp></tuple>\n\
        <tuple id=\"urn_esn_1-2\"><status/><timestamp>2026-11-22T16:33:44.225Z</timestamp></tuple>\n\
        <note xml:lang=\"fr\">en vacances</note>\n\
        <dm:person id=\"_432sd\"><rpid:activities from=\"1970-01-01T00:00:01Z\" until=\"1970-01-01T00:00:02Z\">\
        <rpid:busy/><rpid:other>&lt;evil/&gt;</rpid:other></rpid:activities>\
        <rpid:mood><rpid:happy/></rpid:mood><rpid:place-type><lt:office/></rpid:place-type>\
        <dm:note>back at 5</dm:note><dm:timestamp>2026-11-22T16:33:44.225Z</dm:timestamp></dm:person>\n\
        </presence>";
    assert_eq!(std::str::from_utf8(&document).unwrap(), expected);
    assert!(
        Document::parse(&document, &Limits::default())
            .unwrap()
            .is_plain()
    );
}

#[test]
fn a_priority_is_read_strictly_and_written_short() {
    for (text, thousandths) in [
        ("0", Some(0)),
        ("0.8", Some(800)),
        (" 0.25 ", Some(250)),
        ("0.001", Some(1)),
        ("1.000", Some(1000)),
        ("1.", Some(1000)),
    ] {
        assert_eq!(
            Priority::of(text),
            thousandths.and_then(Priority::from_thousandths),
            "{text}"
        );
    }
    for text in [
        "", "1.001", "2", "-0", "0.0001", ".5", "0.x", "1.0.0", "+1", "0.é",
    ] {
        assert_eq!(Priority::of(text), None, "{text}");
    }
    let written: Vec<_> = [0, 1, 50, 800, 725, 1000]
        .into_iter()
        .filter_map(Priority::from_thousandths)
        .map(|priority| priority.to_string())
        .collect();
    assert_eq!(written, ["0.0", "0.001", "0.05", "0.8", "0.725", "1.0"]);
    assert_eq!(Priority::from_thousandths(1001), None);
}

#[test]
fn a_tuple_says_what_composition_needs() {
    let document = parse(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity=' sip:a@h '><tuple id=' t&#49;'><status>\
         <basic>\n open </basic><basic>closed</basic></status><contact priority='0.5'> sip:b&amp;c@h </contact>\
         <note xml:lang='de'>a\r\nb&#13;<!-- no -->c<![CDATA[<d>]]></note><timestamp>2001-10-27T16:49:29Z</timestamp>\
         </tuple></presence>",
    )
    .unwrap();
    assert_eq!(document.entity(), "sip:a@h");
    let tuple = document.tuples().next().unwrap();
    assert_eq!(tuple.id.as_ref().map(|id| id.value.as_str()), Some("t1"));
    assert_eq!(tuple.basic, Some(Basic::Open));
    assert_eq!(tuple.contact.as_deref(), Some("sip:b&c@h"));
    assert_eq!(tuple.priority, Priority::from_thousandths(500));
    assert_eq!(tuple.notes, [note(Some("de"), "a\nb\rc<d>")]);
    assert_eq!(tuple.timestamp, parse_moment("2001-10-27T16:49:29Z"));
}

#[test]
fn what_only_a_schema_forbids_is_accepted() {
    for (body, basics) in [
        (
            "<tuple id='a'><status><basic>unknown</basic></status></tuple>",
            vec![None],
        ),
        (
            "<tuple><status><basic>closed</basic></status></tuple>",
            vec![Some(Basic::Closed)],
        ),
        ("<tuple id='1'><status/></tuple>", vec![None]),
        ("<tuple id='a'/><tuple id='a'/>", vec![None, None]),
        ("<tuple id='a'><basic>open</basic></tuple>", vec![None]),
        (
            "<tuple id='a'><status><x xmlns='u'><basic>open</basic></x></status></tuple>",
            vec![None],
        ),
        (
            "<tuple id='a'><status><basic xmlns='u'>open</basic></status></tuple>",
            vec![None],
        ),
        (
            "<tuple id='a'><timestamp>yesterday</timestamp><contact priority='9'/></tuple>",
            vec![None],
        ),
        ("stray text<tuple id='a'/><unheard-of/>", vec![None]),
    ] {
        let text = [
            "<presence entity='sip:a@h' xmlns='urn:ietf:params:xml:ns:pidf'>",
            body,
            "</presence>",
        ]
        .concat();
        let document = parse(&text).unwrap();
        assert_eq!(
            document
                .tuples()
                .map(|tuple| tuple.basic)
                .collect::<Vec<_>>(),
            basics,
            "{body}"
        );
    }
}

#[test]
fn the_root_must_be_presence_of_somebody() {
    let status = |text: &str| {
        parse(text)
            .map_err(|error| error.status())
            .map(|document| document.entity().to_owned())
    };
    let pidf = "xmlns='urn:ietf:params:xml:ns:pidf'";
    let diff = "xmlns='urn:ietf:params:xml:ns:pidf-diff'";
    assert_eq!(
        status(&["<presence ", pidf, " entity='pres:a@h'/>"].concat()),
        Ok("pres:a@h".to_owned())
    );
    assert_eq!(
        status(&["<pidf-full ", diff, " entity='pres:a@h' version='1'/>"].concat()),
        Ok("pres:a@h".to_owned())
    );
    assert_eq!(
        status(&["<pidf-diff ", diff, " entity='pres:a@h'/>"].concat()),
        Err(400)
    );
    assert_eq!(status(&["<presence ", pidf, "/>"].concat()), Err(400));
    assert_eq!(
        status(&["<presence ", pidf, " entity=' '/>"].concat()),
        Err(400)
    );
    assert_eq!(
        status(&["<presence ", pidf, " xmlns:p='u' p:entity='pres:a@h'/>"].concat()),
        Err(400)
    );
    assert_eq!(
        status(&["<tuple ", pidf, " entity='pres:a@h'/>"].concat()),
        Err(400)
    );
    assert_eq!(status("<presence entity='pres:a@h'/>"), Err(400));
    assert_eq!(
        status("<presence xmlns='urn:ietf:params:xml:ns:PIDF' entity='pres:a@h'/>"),
        Err(400)
    );
}

#[test]
fn a_person_is_read_child_by_child() {
    let document = parse(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' entity='sip:a@h'>\
         <d:person id='p'><r:activities xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' from='1970-01-01T00:00:01Z' until='x'>\
         <r:note>far</r:note><r:busy /><r:other> surfing </r:other><r:other/><gaming xmlns='u'/></r:activities>\
         <d:note xml:lang='en'>n</d:note><timestamp>1970-01-01T00:00:05Z</timestamp></d:person>\
         <d:device id='d'><d:deviceID> mac:1 </d:deviceID></d:device></presence>",
    )
    .unwrap();
    let [Child::Person(person), Child::Device(device)] = document.children() else {
        panic!("{document:?}")
    };
    assert_eq!(person.id.as_deref(), Some("p"));
    assert_eq!(person.timestamp, Some(Timestamp::from_millis(5000)));
    let meanings: Vec<_> = person
        .pieces
        .iter()
        .map(|piece| piece.meaning.clone())
        .collect();
    let names = ["busy", "surfing", "other", "gaming"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(
        meanings,
        [
            Meaning::Activities {
                names,
                notes: vec![note(None, "far")]
            },
            Meaning::Note(note(Some("en"), "n")),
            Meaning::Other,
        ]
    );
    assert_eq!(
        person.pieces[0].window,
        Window {
            from: Some(Timestamp::from_millis(1000)),
            until: None
        }
    );
    assert_eq!(
        device.pieces[0].meaning,
        Meaning::DeviceId("mac:1".to_owned())
    );
}

#[test]
fn a_window_holds_from_its_begin_to_before_its_end() {
    let at = Timestamp::from_millis;
    let window = Window {
        from: Some(at(10)),
        until: Some(at(20)),
    };
    let seen: Vec<_> = [9, 10, 19, 20]
        .map(|now| (window.holds(at(now)), window.changes_after(at(now))))
        .into();
    assert_eq!(
        seen,
        [
            (false, Some(at(10))),
            (true, Some(at(20))),
            (true, Some(at(20))),
            (false, None)
        ]
    );
    let never = Window {
        from: Some(at(20)),
        until: Some(at(10)),
    };
    assert!(!never.holds(at(15)));
    assert_eq!(never.changes_after(at(0)), None);
    assert!(Window::default().holds(at(0)));
}

proptest! {
    #[test]
    fn any_words_make_a_document_that_is_read_back(
        entity in "\\PC+", id in any::<String>(), contact in any::<String>(), text in any::<String>(), activity in any::<String>(),
    ) {
        let service = Service { basic: Some(Basic::Closed), contact: Some(contact), ..Service::default() };
        let person = Person { activities: vec![activity.clone()], mood: Some(activity.clone()), place: Some(activity),
            notes: vec![note(Some(&text), &text)], ..Person::default() };
        let document = Builder::new(&["sip:", &entity].concat()).tuple(&id, service).person(&id, person).finish();
        let read = Document::parse(&document, &Limits::default()).unwrap();
        prop_assert_eq!(read.tuples().map(|tuple| tuple.basic).collect::<Vec<_>>(), [Some(Basic::Closed)]);
        prop_assert!(read.is_plain());
    }
}
