//! What the calendar actor promises: changes at their very second, and that a broken file harms nobody.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use super::*;
use crate::config::CalendarPath;
use crate::testkit::in_virtual_time;

type Told = Rc<RefCell<Vec<(u64, Presence)>>>;

struct Hub(Told, Clock);

impl Actor for Hub {
    type Context = Context<Self>;
}

impl Handler<FromSource> for Hub {
    type Result = ();

    fn handle(&mut self, told: FromSource, _: &mut Self::Context) {
        assert_eq!(told.source, "calendar");
        self.0
            .borrow_mut()
            .push((self.1.now().as_millis() / 1000, told.presence));
    }
}

fn source(path: CalendarPath, presentity: &str) -> CalendarSource {
    CalendarSource {
        path,
        presentity: presentity.to_owned(),
        ..CalendarSource::demo()
    }
}

/// Starts a source at a time; what it tells is gathered with the second.
fn start(source: CalendarSource, now: &str) -> (Told, Addr<CalendarActor>) {
    let clock = Clock::starting_at(at(now));
    let told = Rc::new(RefCell::new(Vec::new()));
    let hub = Hub(told.clone(), clock).start();
    let actor = CalendarActor::new(source, clock, hub.recipient()).start();
    (told, actor)
}

fn short(told: &[(u64, Presence)]) -> Vec<(u64, String, String)> {
    let words = |presence: &Presence| match presence.withdrawn {
        true => "withdrawn".to_owned(),
        false => presence.activities.join(","),
    };
    told.iter()
        .map(|(second, p)| (second % 1000, p.entity.clone(), words(p)))
        .collect()
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

#[test]
fn it_tells_each_change_at_its_very_second() {
    in_virtual_time(async {
        let (told, _) = start(
            source(CalendarPath::Demo, "sip:demo@127.0.0.1"),
            "2026-03-02T09:00:30Z",
        );
        tokio::time::sleep(Duration::from_secs(200)).await;
        let demo = "sip:demo@127.0.0.1".to_owned();
        let base = at("2026-03-02T09:00:30Z").as_millis() / 1000 % 1000;
        assert_eq!(
            short(&told.borrow()),
            [
                (base, demo.clone(), "meeting".to_owned()),
                (base + 30, demo.clone(), String::new()),
                (base + 90, demo.clone(), "meeting".to_owned()),
                (base + 150, demo, String::new()),
            ]
        );
    });
}

#[test]
fn a_broken_file_keeps_its_last_good_state_and_leaves_the_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    write(&path, "alice.ics", &file(MEETING));
    write(&path, "bob@example.org.ics", &file(""));
    write(&path, "broken.ics", "BEGIN:VCALENDAR\nBEGIN:VEVENT\n");
    write(&path, "notes.txt", "not a calendar");
    let calendars = source(CalendarPath::File(path.clone()), "sip:{name}@example.com");
    in_virtual_time(async {
        let (told, actor) = start(calendars, "2026-03-02T09:30:00Z");
        tokio::time::sleep(Duration::from_secs(5)).await;
        let states = |told: &[(u64, Presence)]| -> Vec<_> {
            short(told)
                .into_iter()
                .map(|(_, entity, state)| (entity, state))
                .collect()
        };
        let first = [
            ("sip:alice@example.com".to_owned(), "meeting".to_owned()),
            ("sip:bob@example.org".to_owned(), String::new()),
        ];
        assert_eq!(states(&told.borrow()), first);

        write(&path, "alice.ics", "garbage");
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(told.borrow().len(), 2, "the last good state stays");
        let snapshot = actor.send(TakeSnapshot).await.unwrap();
        assert_eq!(
            (&snapshot["wrong"], &snapshot["counters"]["errors"]),
            (&json!(2), &json!(2))
        );

        std::fs::remove_file(path.join("bob@example.org.ics")).unwrap();
        write(&path, "alice.ics", &file(""));
        tokio::time::sleep(Duration::from_secs(10)).await;
        let rest = [
            ("sip:bob@example.org".to_owned(), "withdrawn".to_owned()),
            ("sip:alice@example.com".to_owned(), String::new()),
        ];
        assert_eq!(states(&told.borrow()[2..]), rest);
    });
}

#[test]
fn a_folder_that_went_away_withdraws_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calendars");
    std::fs::create_dir(&path).unwrap();
    write(&path, "alice.ics", &file(MEETING));
    let calendars = source(CalendarPath::File(path.clone()), "sip:{name}@example.com");
    in_virtual_time(async {
        let (told, actor) = start(calendars, "2026-03-02T09:30:00Z");
        tokio::time::sleep(Duration::from_secs(5)).await;
        std::fs::remove_dir_all(&path).unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(told.borrow().len(), 1);
        let snapshot = actor.send(TakeSnapshot).await.unwrap();
        assert_eq!(
            snapshot["counters"]["errors"],
            json!(1),
            "told once, not at every look"
        );
    });
}

#[test]
fn two_files_about_one_presentity_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let named = |events: &str| {
        file(&format!(
            "X-ROLLCALL-PRESENTITY:sip:a@example.com\n{events}"
        ))
    };
    write(folder.path(), "1.ics", &named(MEETING));
    write(folder.path(), "2.ics", &named(""));
    let calendars = source(
        CalendarPath::File(folder.path().to_owned()),
        "sip:{name}@example.com",
    );
    let mut shelf = Shelf::new(&calendars);
    let visit = shelf.visit(at("2026-03-02T09:30:00Z"), true);
    let (one, two) = (folder.path().join("1.ics"), folder.path().join("2.ics"));
    assert_eq!(
        visit.errors,
        [format!(
            "{}: it is about sip:a@example.com, and so is {}, which counts",
            two.display(),
            one.display()
        )]
    );
    assert_eq!(visit.says["sip:a@example.com"].activities, ["meeting"]);
}
