//! Persons and devices: what is merged of them, and what holds at which time.

use super::*;

#[test]
fn there_is_one_person_and_of_each_statement_the_freshest_wins() {
    let older = presence(
        "<dm:person id='p1'><rpid:activities><rpid:meeting/></rpid:activities><rpid:mood><rpid:sad/></rpid:mood>\
         <x:a xmlns:x='u'>1</x:a><x:a xmlns:x='u'>2</x:a><dm:note>n</dm:note>\
         <dm:timestamp>2001-01-01T00:00:00Z</dm:timestamp></dm:person>",
    );
    let newer = presence(
        "<dm:person id='p2'><rpid:activities><rpid:away/></rpid:activities><rpid:activities><rpid:tv/></rpid:activities>\
         <dm:note>n</dm:note><dm:note xml:lang='en'>m</dm:note>\
         <dm:timestamp>2002-01-01T00:00:00Z</dm:timestamp></dm:person>",
    );
    assert_eq!(
        body(&[&older, &newer], NOW),
        "<dm:person id=\"p1\"><rpid:activities><rpid:away/></rpid:activities><rpid:mood><rpid:sad/></rpid:mood>\
         <x:a xmlns:x='u'>1</x:a><x:a xmlns:x='u'>2</x:a><dm:note>n</dm:note><dm:note xml:lang='en'>m</dm:note>\
         <dm:timestamp>2002-01-01T00:00:00Z</dm:timestamp></dm:person>"
    );
}

#[test]
fn of_two_persons_in_one_document_the_later_timestamp_is_the_fresher() {
    let person = |id: &str, activity: &str, hour: &str| {
        let parts = [
            "<dm:person id='",
            id,
            "'><rpid:activities><rpid:",
            activity,
            "/></rpid:activities><dm:timestamp>2001-01-01T",
            hour,
            ":00:00Z</dm:timestamp></dm:person>",
        ];
        parts.concat()
    };
    let two = presence(&[person("p1", "busy", "01"), person("p2", "away", "02")].concat());
    assert_eq!(Summary::of(&two, NOW).activities, ["away"]);
    assert_eq!(
        body(&[&two], NOW),
        person("p1", "away", "02").replace("id='p1'", "id=\"p1\"")
    );
}

#[test]
fn empty_activities_of_a_phone_do_not_silence_a_calendar() {
    let calendar = presence(
        "<dm:person id='c'><rpid:activities><rpid:meeting/></rpid:activities></dm:person>",
    );
    let phone = presence("<dm:person id='p'><rpid:activities/></dm:person>");
    assert_eq!(
        body(&[&calendar, &phone], NOW),
        "<dm:person id=\"c\"><rpid:activities><rpid:meeting/></rpid:activities></dm:person>"
    );
    assert_eq!(
        body(&[&phone, &phone], NOW),
        "<dm:person id=\"p\"><rpid:activities/></dm:person>"
    );
}

#[test]
fn what_holds_for_a_time_is_told_at_that_time_and_the_next_change_is_known() {
    let timed = presence(
        "<tuple id='t'><status/><rpid:privacy from='1970-01-01T00:00:15Z'><rpid:audio/></rpid:privacy></tuple>\
         <dm:person id='p'><rpid:activities><rpid:working/></rpid:activities>\
         <rpid:activities from='1970-01-01T00:00:10Z' until='1970-01-01T00:00:20Z'><rpid:meeting/></rpid:activities>\
         </dm:person>",
    );
    let seen = |now: u64| {
        let told = body(&[&timed], at(now));
        let summary = Summary::of(&timed, at(now));
        let shown = (
            told.contains("rpid:working"),
            told.contains("rpid:meeting"),
            told.contains("rpid:privacy"),
        );
        (
            shown,
            summary.activities.concat(),
            compose_all(&[&timed], at(now)).changes_at,
        )
    };
    assert_eq!(
        seen(0),
        ((true, false, false), "working".to_owned(), Some(at(10_000)))
    );
    assert_eq!(
        seen(9_999),
        ((true, false, false), "working".to_owned(), Some(at(10_000)))
    );
    assert_eq!(
        seen(10_000),
        ((false, true, false), "meeting".to_owned(), Some(at(15_000)))
    );
    assert_eq!(
        seen(15_000),
        ((false, true, true), "meeting".to_owned(), Some(at(20_000)))
    );
    assert_eq!(
        seen(20_000),
        ((true, false, true), "working".to_owned(), None)
    );
}

#[test]
fn an_unreadable_window_does_not_hide_what_it_is_about() {
    let odd = presence(
        "<dm:person id='p'><rpid:activities from='soon' until='9999-12-31T23:59:59-14:00'><rpid:busy/></rpid:activities>\
         </dm:person>",
    );
    let summary = Summary {
        activities: vec!["busy".to_owned()],
        ..Summary::default()
    };
    assert_eq!(Summary::of(&odd, NOW), summary);
    assert_eq!(compose_all(&[&odd], NOW).changes_at, None);
}

#[test]
fn devices_with_one_device_id_are_one_device_and_the_freshest_comes_first() {
    let device = |id: &str, device_id: &str, said: &str| {
        [
            "<dm:device id='",
            id,
            "'>",
            said,
            "<dm:deviceID>",
            device_id,
            "</dm:deviceID></dm:device>",
        ]
        .concat()
    };
    let older = presence(
        &[
            device(
                "d1",
                "mac:1",
                "<rpid:user-input>idle</rpid:user-input><x xmlns='u'/>",
            ),
            device("d2", "mac:2", ""),
        ]
        .concat(),
    );
    let newer = presence(
        &[
            device("d3", " mac:1 ", "<rpid:user-input>active</rpid:user-input>"),
            "<dm:device id='d4'/>".to_owned(),
        ]
        .concat(),
    );
    let expected = [
        "<dm:device id=\"d1\"><rpid:user-input>active</rpid:user-input><x xmlns='u'/><dm:deviceID> mac:1 </dm:deviceID></dm:device>",
        "<dm:device id=\"d4\"></dm:device>",
        "<dm:device id=\"d2\"><dm:deviceID>mac:2</dm:deviceID></dm:device>",
    ];
    assert_eq!(body(&[&older, &newer], NOW), expected.concat());
}
