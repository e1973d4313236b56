//! What the calendar promises: the state at a time, the time of the next change, and errors with their line.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use rollcall_core::manager::{Basic, Presence};
use rollcall_core::time::Timestamp;

use super::*;

fn at(text: &str) -> Timestamp {
    let utc: DateTime<Utc> = text.parse().unwrap();
    Timestamp::from_millis(u64::try_from(utc.timestamp_millis()).unwrap())
}

fn file(events: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{}END:VCALENDAR\r\n",
        events.replace('\n', "\r\n")
    )
}

fn calendar(events: &str) -> Calendar {
    Calendar::read(file(events).as_bytes(), Tz::UTC).unwrap()
}

/// The state at a time in short: activities, notes, since, until; and the next change.
fn told(calendar: &Calendar, now: &str) -> (Vec<String>, Vec<String>, [Option<Timestamp>; 3]) {
    let (presence, next) = calendar.state_at("sip:a@b", at(now));
    assert_eq!(
        (presence.entity.as_str(), presence.basic),
        ("sip:a@b", Some(Basic::Open))
    );
    let notes = presence.notes.into_iter().map(|note| note.text).collect();
    (
        presence.activities,
        notes,
        [presence.since, presence.until, next],
    )
}

fn busy_at(calendar: &Calendar, now: &str) -> bool {
    !calendar
        .state_at("sip:a@b", at(now))
        .0
        .activities
        .is_empty()
}

const MEETING: &str = "\
BEGIN:VEVENT
UID:1
DTSTART:20260302T090000Z
DTEND:20260302T100000Z
SUMMARY:Plan\\, then
  act
ATTENDEE;CN=\"Bob: the builder\":mailto:bob@example.com
BEGIN:VALARM
TRIGGER:-PT15M
SUMMARY:not this one
END:VALARM
END:VEVENT
";

#[test]
fn an_event_is_a_state_from_its_start_until_its_end() {
    let calendar = calendar(MEETING);
    let (start, end) = (at("2026-03-02T09:00:00Z"), at("2026-03-02T10:00:00Z"));
    let in_meeting = |next| {
        (
            vec!["meeting".to_owned()],
            vec!["Plan, then act".to_owned()],
            [Some(start), Some(end), next],
        )
    };
    let free = |next| (vec![], vec![], [None, None, next]);
    assert_eq!(
        told(&calendar, "2026-03-02T08:59:59.999Z"),
        free(Some(start))
    );
    assert_eq!(
        told(&calendar, "2026-03-02T09:00:00Z"),
        in_meeting(Some(end))
    );
    assert_eq!(
        told(&calendar, "2026-03-02T09:59:59.999Z"),
        in_meeting(Some(end))
    );
    assert_eq!(told(&calendar, "2026-03-02T10:00:00Z"), free(None));
}

#[test]
fn overlapping_events_are_told_together_while_both_last() {
    let calendar = calendar(
        "BEGIN:VEVENT\nDTSTART:20260302T090000Z\nDURATION:PT2H\nSUMMARY:A\nEND:VEVENT\n\
         BEGIN:VEVENT\nDTSTART:20260302T100000Z\nDURATION:PT2H\nSUMMARY:B\nCATEGORIES:Work,Travel\nEND:VEVENT\n",
    );
    let both = (
        vec!["meeting".to_owned(), "travel".to_owned()],
        vec!["A".to_owned(), "B".to_owned()],
        [
            Some(at("2026-03-02T10:00:00Z")),
            Some(at("2026-03-02T11:00:00Z")),
            Some(at("2026-03-02T11:00:00Z")),
        ],
    );
    assert_eq!(told(&calendar, "2026-03-02T10:30:00Z"), both);
    assert_eq!(told(&calendar, "2026-03-02T11:30:00Z").0, ["travel"]);
    // Of an event that lasts the next change is the start of the other.
    assert_eq!(
        told(&calendar, "2026-03-02T09:30:00Z").2[2],
        Some(at("2026-03-02T10:00:00Z"))
    );
}

#[test]
fn what_an_event_says_of_itself_chooses_the_activity_and_the_note() {
    for (lines, activity, note) in [
        ("SUMMARY:Talk", Some("meeting"), Some("Talk")),
        ("SUMMARY:Focus\nTRANSP:OPAQUE", Some("busy"), Some("Focus")),
        ("TRANSP:OPAQUE\nATTENDEE:mailto:b@c", Some("meeting"), None),
        (
            "CATEGORIES:Red\nCATEGORIES:VACATION,Sun",
            Some("vacation"),
            None,
        ),
        ("CATEGORIES:on the phone", Some("on-the-phone"), None),
        ("X-MICROSOFT-CDO-BUSYSTATUS:OOF", Some("away"), None),
        ("X-MICROSOFT-CDO-BUSYSTATUS:FREE", None, None),
        ("TRANSP:TRANSPARENT", None, None),
        ("STATUS:CANCELLED", None, None),
        ("SUMMARY:Doctor\nCLASS:PRIVATE", Some("meeting"), None),
        ("SUMMARY:Doctor\nCLASS:confidential", Some("meeting"), None),
        (
            "SUMMARY:Doctor\nCLASS:PUBLIC",
            Some("meeting"),
            Some("Doctor"),
        ),
    ] {
        let event =
            format!("BEGIN:VEVENT\nDTSTART:20260302T090000Z\nDURATION:PT1H\n{lines}\nEND:VEVENT\n");
        let (activities, notes, _) = told(&calendar(&event), "2026-03-02T09:30:00Z");
        assert_eq!(
            activities,
            activity.into_iter().collect::<Vec<_>>(),
            "{lines}"
        );
        assert_eq!(notes, note.into_iter().collect::<Vec<_>>(), "{lines}");
    }
}

#[test]
fn whole_days_go_by_the_clock_on_the_wall() {
    let event = "BEGIN:VEVENT\nDTSTART;VALUE=DATE:20260329\nDTEND;VALUE=DATE:20260331\n\
                 X-MICROSOFT-CDO-BUSYSTATUS:OOF\nEND:VEVENT\n";
    let calendar = Calendar::read(file(event).as_bytes(), Tz::Europe__Berlin).unwrap();
    // The clock goes forward on that Sunday: two days are 47 hours.
    let (start, end) = (at("2026-03-28T23:00:00Z"), at("2026-03-30T22:00:00Z"));
    assert_eq!(
        told(&calendar, "2026-03-29T12:00:00Z"),
        (
            vec!["vacation".to_owned()],
            vec![],
            [Some(start), Some(end), Some(end)]
        )
    );
    let one_day = "BEGIN:VEVENT\nDTSTART;VALUE=DATE:20260302\nEND:VEVENT\n";
    assert!(busy_at(&self::calendar(one_day), "2026-03-02T23:59:59Z"));
    assert!(!busy_at(&self::calendar(one_day), "2026-03-03T00:00:00Z"));
}

#[test]
fn a_moment_without_a_length_is_no_state() {
    let calendar = calendar("BEGIN:VEVENT\nDTSTART:20260302T090000Z\nEND:VEVENT\n");
    assert!(!busy_at(&calendar, "2026-03-02T09:00:00Z"));
}

#[test]
fn a_recurring_event_keeps_its_local_time_when_clocks_change() {
    let calendar = calendar(
        "BEGIN:VEVENT\nDTSTART;TZID=Europe/Berlin:20200106T090000\nDTEND;TZID=Europe/Berlin:20200106T093000\n\
         RRULE:FREQ=WEEKLY;BYDAY=MO,WE\nEND:VEVENT\n",
    );
    // Winter: 09:00 is 08:00 UTC; summer: 07:00 UTC.
    assert!(busy_at(&calendar, "2026-03-23T08:15:00Z"));
    assert!(!busy_at(&calendar, "2026-03-23T07:15:00Z"));
    assert!(busy_at(&calendar, "2026-03-30T07:15:00Z"));
    assert!(!busy_at(&calendar, "2026-03-30T08:15:00Z"));
    assert_eq!(
        told(&calendar, "2026-03-30T08:15:00Z").2[2],
        Some(at("2026-04-01T07:00:00Z"))
    );
}

#[test]
fn an_occurrence_in_the_hour_that_clocks_skip_is_not_lost() {
    let calendar = calendar(
        "BEGIN:VEVENT\nDTSTART;TZID=Europe/Berlin:20260327T023000\nDURATION:PT1H\nRRULE:FREQ=DAILY\nEND:VEVENT\n",
    );
    // On 29 March there is no 02:30; by the offset before it is 03:30 summer time (RFC 5545, 3.3.5).
    assert_eq!(
        told(&calendar, "2026-03-29T01:45:00Z").2,
        [
            Some(at("2026-03-29T01:30:00Z")),
            Some(at("2026-03-29T02:30:00Z")),
            Some(at("2026-03-29T02:30:00Z"))
        ]
    );
}

#[test]
fn exceptions_and_additions_of_a_recurring_event_count() {
    let calendar = calendar(
        "BEGIN:VEVENT\nUID:7\nDTSTART:20260302T090000Z\nDURATION:PT1H\nSUMMARY:Daily\n\
         RRULE:FREQ=DAILY;UNTIL=20260310T090000Z\n\
         EXDATE:20260303T090000Z,20260304T090000Z\nEXDATE;VALUE=DATE:20260309\n\
         RDATE:20260403T120000Z\nRDATE;VALUE=PERIOD:20260404T120000Z/PT5M\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:7\nRECURRENCE-ID:20260305T090000Z\nDTSTART:20260305T150000Z\nDURATION:PT1H\n\
         SUMMARY:Moved\nSEQUENCE:2\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:7\nRECURRENCE-ID:20260305T090000Z\nDTSTART:20260305T130000Z\nDURATION:PT1H\n\
         SUMMARY:Moved before\nSEQUENCE:1\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:7\nRECURRENCE-ID:20260306T090000Z\nDTSTART:20260306T090000Z\nDURATION:PT1H\n\
         STATUS:CANCELLED\nEND:VEVENT\n",
    );
    for (now, note) in [
        ("2026-03-02T09:30:00Z", Some("Daily")),
        ("2026-03-03T09:30:00Z", None),
        ("2026-03-04T09:30:00Z", None),
        ("2026-03-05T09:30:00Z", None),
        ("2026-03-05T13:30:00Z", None),
        ("2026-03-05T15:30:00Z", Some("Moved")),
        ("2026-03-06T09:30:00Z", None),
        ("2026-03-07T09:30:00Z", Some("Daily")),
        ("2026-03-09T09:30:00Z", None),
        ("2026-03-10T09:30:00Z", Some("Daily")),
        ("2026-03-11T09:30:00Z", None),
        ("2026-04-03T12:30:00Z", Some("Daily")),
        ("2026-04-04T12:04:00Z", Some("Daily")),
        ("2026-04-04T12:06:00Z", None),
    ] {
        let (_, notes, _) = told(&calendar, now);
        assert_eq!(notes, note.into_iter().collect::<Vec<_>>(), "{now}");
    }
}

#[test]
fn rules_entered_in_the_middle_give_what_they_give_from_the_start() {
    for rule in [
        "FREQ=DAILY;INTERVAL=3",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU",
        "FREQ=HOURLY;INTERVAL=5",
        "FREQ=MINUTELY;INTERVAL=700",
        "FREQ=DAILY;BYHOUR=7,21;BYMINUTE=15",
        "FREQ=MONTHLY;BYDAY=-1FR",
        "FREQ=MONTHLY;BYMONTHDAY=31",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
    ] {
        let line = lines::Line {
            number: 1,
            name: "RRULE".to_owned(),
            params: Vec::new(),
            value: rule.to_owned(),
        };
        let start = value::date_time("20240229T081500").unwrap().local;
        let begin = value::date_time("20250701T120000").unwrap().local;
        let rule = recurrence::Rule::read(&line, start, &Some).unwrap();
        let whole: Vec<_> = rule
            .from(None)
            .skip_while(|at| *at < begin)
            .take(20)
            .collect();
        let entered: Vec<_> = rule
            .from(Some(begin))
            .skip_while(|at| *at < begin)
            .take(20)
            .collect();
        assert_eq!(whole, entered, "{}", line.value);
        assert_eq!(whole.len(), 20, "{}", line.value);
    }
}

#[test]
fn a_rule_that_ended_by_count_or_until_is_over() {
    let event = |rule: &str| {
        calendar(&format!(
            "BEGIN:VEVENT\nDTSTART;TZID=America/New_York:20260302T090000\nDURATION:PT1H\nRRULE:{rule}\nEND:VEVENT\n"
        ))
    };
    for (rule, last, first_not) in [
        (
            "FREQ=DAILY;COUNT=3",
            "2026-03-04T14:30:00Z",
            "2026-03-05T14:30:00Z",
        ),
        (
            "FREQ=DAILY;UNTIL=20260304T140000Z",
            "2026-03-04T14:30:00Z",
            "2026-03-05T14:30:00Z",
        ),
        (
            "FREQ=DAILY;UNTIL=20260304T135959Z",
            "2026-03-03T14:30:00Z",
            "2026-03-04T14:30:00Z",
        ),
        (
            "FREQ=DAILY;UNTIL=20260304",
            "2026-03-04T14:30:00Z",
            "2026-03-05T14:30:00Z",
        ),
    ] {
        assert!(busy_at(&event(rule), last), "{rule}");
        assert!(!busy_at(&event(rule), first_not), "{rule}");
    }
    assert_eq!(
        told(&event("FREQ=DAILY;COUNT=3"), "2026-03-06T00:00:00Z").2[2],
        None
    );
}

const OUTLOOK_ZONE: &str = "\
BEGIN:VTIMEZONE
TZID:W. Europe Standard Time
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE
";

#[test]
fn a_zone_that_the_file_defines_is_as_good_as_a_known_one() {
    for time in [
        "20260328T120000",
        "20260329T013000",
        "20260329T023000",
        "20260329T033000",
        "20260701T120000",
        "20261025T013000",
        "20261025T023000",
        "20261025T033000",
        "20261225T000000",
        "20991225T000000",
    ] {
        let event = |zone: &str| {
            format!("BEGIN:VEVENT\nDTSTART;TZID={zone}:{time}\nDURATION:PT1H\nEND:VEVENT\n")
        };
        let defined = calendar(&format!(
            "{OUTLOOK_ZONE}{}",
            event("W. Europe Standard Time")
        ));
        let known = calendar(&event("/example.org/20260101/Europe/Berlin"));
        let early = "2026-01-01T00:00:00Z";
        assert_eq!(told(&defined, early), told(&known, early), "{time}");
    }
}

#[test]
fn times_without_a_zone_are_in_the_files_own_or_else_the_given_one() {
    let event = "BEGIN:VEVENT\nDTSTART:20260701T120000\nDURATION:PT1H\nEND:VEVENT\n";
    let own = format!("X-WR-TIMEZONE:Asia/Tokyo\n{event}");
    assert!(busy_at(&calendar(event), "2026-07-01T12:30:00Z"));
    assert!(busy_at(&calendar(&own), "2026-07-01T03:30:00Z"));
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_line() {
    let event = |lines: &str| file(&format!("BEGIN:VEVENT\n{lines}\nEND:VEVENT\n"));
    for (text, error) in [
        (String::new(), "1: the file has no BEGIN:VCALENDAR"),
        (
            "hello\n".to_owned(),
            "1: \"hello\" is no content line; allowed is NAME:value",
        ),
        (
            "DTSTART:1\n".to_owned(),
            "1: DTSTART stands outside of every component",
        ),
        (
            "END:VCALENDAR\n".to_owned(),
            "1: END:VCALENDAR stands outside of every component",
        ),
        (
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\n".to_owned(),
            "2: the file ends within VEVENT",
        ),
        (
            "BEGIN:VCALENDAR\nEND:VEVENT\n".to_owned(),
            "2: END:VEVENT where END:VCALENDAR is due",
        ),
        (event("SUMMARY:x"), "3: the event has no DTSTART"),
        (
            event("SUMMARY:x\n folded\nDTSTART:tomorrow"),
            "6: DTSTART is \"tomorrow\"; allowed is a date like 20260102, or with a time like 20260102T030405Z",
        ),
        (
            event("DTSTART;TZID=Mars/Olympus:20260101T000000"),
            "4: the time zone \"Mars/Olympus\" is neither known nor defined in the file",
        ),
        (
            event("DTSTART:20260102T000000Z\nDTEND:20260101T000000Z"),
            "5: the event ends before it starts",
        ),
        (
            event("DTSTART:20260102T000000Z\nDURATION:one hour"),
            "5: DURATION is \"one hour\"; allowed is a duration like PT1H30M",
        ),
        (
            event("DTSTART:20260102T000000Z\nRRULE:FREQ=SECONDLY"),
            "5: the recurrence rule can't be used: nobody's state changes every second",
        ),
        (
            event("DTSTART:20260102T000000Z\nRRULE:FREQ=DAILY;UNTIL=never"),
            "5: RRULE is \"FREQ=DAILY;UNTIL=never\"; allowed is a rule whose UNTIL is a date or a date and time",
        ),
        (
            event("DTSTART;X=\"open:20260102T000000Z"),
            "4: a quoted parameter does not end",
        ),
    ] {
        let result = Calendar::read(text.as_bytes(), Tz::UTC);
        assert_eq!(result.unwrap_err().to_string(), error, "{text}");
    }
    for rule in [
        "FREQ=SOMETIMES",
        "COUNT=3",
        "FREQ=DAILY;BYHOUR=25",
        "FREQ=WEEKLY;BYMONTHDAY=3",
        "",
    ] {
        let text = event(&format!("DTSTART:20260102T000000Z\nRRULE:{rule}"));
        let error = Calendar::read(text.as_bytes(), Tz::UTC).unwrap_err();
        assert!(matches!(error.fault, Fault::Rule(_)), "{rule}: {error}");
        assert_eq!(error.line, 5, "{rule}");
    }
    let latin1 = Calendar::read(b"BEGIN:VCALENDAR\nX:\xfc\n", Tz::UTC).unwrap_err();
    assert_eq!(
        latin1.to_string(),
        "2: the file is no UTF-8 text from here on"
    );
    let deep = "BEGIN:X\n".repeat(100_000);
    assert_eq!(
        Calendar::read(deep.as_bytes(), Tz::UTC).unwrap_err().fault,
        Fault::TooDeep
    );
}

#[test]
fn rules_that_never_or_too_often_come_true_end_all_the_same() {
    for rule in [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;INTERVAL=65535",
        "FREQ=MINUTELY;INTERVAL=65535;COUNT=4294967295",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;COUNT=0",
    ] {
        let event = format!(
            "BEGIN:VEVENT\nDTSTART:19700101T000000Z\nDURATION:PT1H\nRRULE:{rule}\nEND:VEVENT\n"
        );
        // Some are refused; none may hang, and none is in force now.
        if let Ok(calendar) = Calendar::read(file(&event).as_bytes(), Tz::UTC) {
            assert!(!busy_at(&calendar, "2026-02-28T12:34:56Z"), "{rule}");
        }
    }
}

#[path = "actor_tests.rs"]
mod actor;
