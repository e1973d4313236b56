//! What the command source promises: three forms of output, an error for all else, and that an error changes nothing.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_772_442_000_000);

fn presence(text: &str) -> Result<Presence, OutputError> {
    read_output(text.as_bytes(), "sip:a@b", NOW)
}

fn state(basic: Basic, activities: &[&str], notes: &[&str]) -> Presence {
    Presence {
        entity: "sip:a@b".to_owned(),
        basic: Some(basic),
        activities: activities.iter().map(|word| (*word).to_owned()).collect(),
        notes: notes
            .iter()
            .map(|text| Note {
                lang: None,
                text: (*text).to_owned(),
            })
            .collect(),
        ..Presence::default()
    }
}

#[test]
fn a_word_is_a_status_or_an_activity() {
    assert_eq!(presence("open\n"), Ok(state(Basic::Open, &[], &[])));
    assert_eq!(presence(" closed "), Ok(state(Basic::Closed, &[], &[])));
    assert_eq!(presence("busy"), Ok(state(Basic::Open, &["busy"], &[])));
    assert_eq!(presence("bsy"), Err(OutputError::Word("bsy".to_owned())));
}

#[test]
fn lines_tell_more() {
    assert_eq!(
        presence("activity: busy, on-the-phone\n\nnote: back at 14:00\nnote:\n"),
        Ok(state(
            Basic::Open,
            &["busy", "on-the-phone"],
            &["back at 14:00"]
        ))
    );
    let mut at_home = state(Basic::Closed, &[], &[]);
    (at_home.mood, at_home.place) = (Some("happy".to_owned()), Some("residence".to_owned()));
    assert_eq!(
        presence("status: closed\nmood: happy\nplace: residence"),
        Ok(at_home)
    );
}

#[test]
fn a_document_is_read_as_the_manager_reads_it() {
    let document = |entity: &str| {
        format!(
            "<xml><type> PRESENCE </type><entity>{entity}</entity><activity>busy</activity></xml>"
        )
    };
    let read = presence(&document("sip:a@B")).unwrap();
    assert_eq!(
        (read.entity.as_str(), read.activities),
        ("sip:a@b", vec!["busy".to_owned()])
    );
    assert_eq!(
        presence(&document("sip:c@b")),
        Err(OutputError::Stranger("sip:c@b".to_owned()))
    );
    assert_eq!(
        presence("<xml><type>PING</type></xml>"),
        Err(OutputError::NoPresence)
    );
    assert!(matches!(
        presence("<xml><type>PRESENCE</type>"),
        Err(OutputError::Document(_))
    ));
}

#[test]
fn anything_else_is_refused_with_its_line() {
    assert_eq!(presence(" \n"), Err(OutputError::Empty));
    assert_eq!(presence("note: a\nstatus"), Err(OutputError::Line(2)));
    assert_eq!(
        presence("note: a\nmut: b").unwrap_err().to_string(),
        "line 2 has the key \"mut\"; allowed are status, activity, note, mood and place"
    );
    assert_eq!(
        presence("status: maybe").unwrap_err().to_string(),
        "line 1: status is \"maybe\"; allowed is open or closed"
    );
    assert_eq!(
        read_output(b"\xff", "sip:a@b", NOW),
        Err(OutputError::Encoding)
    );
    let long = vec![b'a'; 64 * 1024 + 1];
    assert_eq!(
        read_output(&long, "sip:a@b", NOW),
        Err(OutputError::TooLong)
    );
}

fn command(script: &str) -> CommandSource {
    CommandSource {
        name: "desk".to_owned(),
        command: vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()],
        presentity: "sip:a@b".to_owned(),
        interval: Duration::from_millis(10),
        timeout: Duration::from_secs(20),
    }
}

fn run(source: &CommandSource) -> Result<String, String> {
    let output = System::new().block_on(output(source));
    output
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .map_err(|error| error.to_string())
}

#[test]
fn a_run_ends_with_its_output_or_with_a_reason() {
    assert_eq!(run(&command("echo busy")), Ok("busy\n".to_owned()));
    assert_eq!(
        run(&command("echo busy; echo >&2; echo no desk >&2; exit 3")),
        Err("it ended with exit status: 3: no desk".to_owned())
    );
    let nothing = CommandSource {
        command: vec!["/nonexistent/desk".to_owned()],
        ..command("")
    };
    assert_eq!(
        run(&nothing),
        Err("it can't be run: No such file or directory (os error 2)".to_owned())
    );
}

#[test]
fn a_run_that_takes_too_long_is_killed() {
    let started = Instant::now();
    let hanging = CommandSource {
        timeout: Duration::from_millis(200),
        ..command("exec sleep 60")
    };
    assert_eq!(
        run(&hanging),
        Err("it was killed since it took longer than 0.2 s".to_owned())
    );
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_command_that_prints_without_end_is_read_no_further_than_allowed() {
    let endless = CommandSource {
        timeout: Duration::from_millis(300),
        ..command("while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done")
    };
    assert!(run(&endless).is_err());
    let much = run(&command("head -c 1000000 /dev/zero | tr '\\0' a")).unwrap();
    assert_eq!(much.len(), 64 * 1024 + 1);
}

struct Hub(Rc<RefCell<Vec<FromSource>>>, Rc<tokio::sync::Notify>);

impl Actor for Hub {
    type Context = Context<Self>;
}

impl Handler<FromSource> for Hub {
    type Result = ();

    fn handle(&mut self, told: FromSource, _: &mut Self::Context) {
        self.0.borrow_mut().push(told);
        self.1.notify_one();
    }
}

#[test]
fn changes_are_told_once_and_a_failed_run_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("n");
    // First busy twice, then a failure, then away for ever.
    let script = format!(
        "echo x >> {file}; case $(wc -l < {file}) in 1|2) echo busy;; 3) exit 1;; *) echo away;; esac",
        file = file.display()
    );
    System::new().block_on(async move {
        let (told, news) = (
            Rc::new(RefCell::new(Vec::new())),
            Rc::new(tokio::sync::Notify::new()),
        );
        let hub = Hub(told.clone(), news.clone()).start();
        let actor = CommandActor::new(command(&script), Clock::system(), hub.recipient()).start();
        for _ in 0..2 {
            tokio::time::timeout(Duration::from_secs(20), news.notified())
                .await
                .unwrap();
        }
        let activities: Vec<_> = told
            .borrow()
            .iter()
            .map(|told| told.presence.activities.clone())
            .collect();
        assert_eq!(activities, [["busy"], ["away"]]);
        assert!(told.borrow().iter().all(|told| told.source == "desk"));
        let snapshot = actor.send(TakeSnapshot).await.unwrap();
        assert_eq!(snapshot["counters"]["errors"], json!(1));
        assert_eq!(snapshot["counters"]["told"], json!(2));
    });
}
