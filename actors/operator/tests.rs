//! The operator's socket before registries without peers.

use std::sync::Arc;

use actix::Actor;
use rollcall_core::entropy::Entropy;
use rollcall_core::registry::Settings;
use rollcall_core::time::Timestamp;

use super::*;
use crate::clock::Clock;
use crate::messages::FromModule;
use crate::registry::{Parts, Registry};
use crate::store::MemoryStore;
use crate::testkit::{Probe, in_real_time};

/// Two shards of a server for example.com.
fn desk() -> Desk {
    let settings = Settings {
        domains: vec!["example.com".to_owned()],
        ..Settings::default()
    };
    let registries = (0..2).map(|shard| {
        let endpoint: Probe<FromModule> = Probe::start();
        let parts = Parts {
            settings: settings.clone(),
            shard,
            shards: 2,
            module: rollcall_core::endpoint::ModuleId(1),
            store: Arc::new(MemoryStore::forgetful()),
            records: Some(Vec::new()),
            endpoints: vec![endpoint.recipient(), endpoint.recipient()],
            clock: Clock::starting_at(Timestamp::from_millis(1_000_000)),
            entropy: Entropy::from_number(1),
            composer: None,
        };
        Registry::new(parts).start()
    });
    Desk::new(settings.clone(), registries.collect())
}

fn decide(watcher: &str, handling: Option<&str>) -> Request {
    Request::Decide {
        presentity: "sip:Alice@EXAMPLE.com".to_owned(),
        watcher: watcher.to_owned(),
        handling: handling.map(str::to_owned),
    }
}

fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep").join("control");
    (folder, path)
}

/// Asks from a thread, as another process would.
async fn ask_at(path: &std::path::Path, request: Request) -> Result<Answer, AskError> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || ask(&path, &request))
        .await
        .expect("no panic")
}

#[test]
fn a_decision_is_stored_and_listed_under_canonical_addresses() {
    in_real_time(async {
        let (_folder, path) = place();
        let listener = listen(path.clone(), desk()).expect("a socket");
        let bob = "sips:bob@Example.ORG";
        let decided = ask_at(&path, decide(bob, Some("polite-block"))).await;
        assert_eq!(decided.expect("an answer"), Answer::Subscriptions(0));
        let all = ask_at(&path, Request::List { presentity: None }).await;
        let expected = Watcher {
            presentity: "sip:Alice@example.com".to_owned(),
            watcher: "sip:bob@example.org".to_owned(),
            status: None,
            decision: Some("polite-block".to_owned()),
            at: 0,
        };
        let Ok(Answer::Watchers(rows)) = all else {
            panic!("{all:?}")
        };
        let timeless: Vec<Watcher> = rows
            .into_iter()
            .map(|row| Watcher { at: 0, ..row })
            .collect();
        assert_eq!(timeless, [expected]);
        ask_at(&path, decide(bob, None)).await.expect("an answer");
        let of = Request::List {
            presentity: Some("sip:Alice@example.com".to_owned()),
        };
        let left = ask_at(&path, of).await;
        assert_eq!(left.expect("an answer"), Answer::Watchers(Vec::new()));
        drop(listener);
        assert!(!path.exists(), "the socket goes with its listener");
        let gone = ask_at(&path, decide(bob, None)).await;
        let error = gone.expect_err("nobody is there").to_string();
        assert!(error.starts_with("no server answers at "), "{error}");
    });
}

#[test]
fn what_makes_no_sense_is_explained_and_the_connection_goes_on() {
    in_real_time(async {
        let desk = desk();
        for (line, sentence) in [
            (&b"nonsense\n"[..], "not a request: expected ident at line 1 column 2"),
            (
                b"{\"command\":\"list\",\"presentity\":\"sip:a@example.org\"}",
                "example.org is not served here",
            ),
            (
                b"{\"command\":\"decide\",\"presentity\":\"sip:a@example.com\",\"watcher\":\"sip:b@x\",\"handling\":\"love\"}",
                "love is no handling",
            ),
        ] {
            assert_eq!(desk.serve(line).await, Answer::Error(sentence.to_owned()));
        }
    });
}

#[test]
fn a_socket_that_was_left_behind_is_taken_over_and_one_that_is_served_is_not() {
    in_real_time(async {
        let (folder, path) = place();
        let first = listen(path.clone(), desk()).expect("a socket");
        let error = listen(path.clone(), desk()).expect_err("it is served");
        assert!(
            error.to_string().ends_with("another server answers there"),
            "{error}"
        );
        drop(first);
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket nobody serves"));
        let second = listen(path.clone(), desk()).expect("it is taken over");
        let answer = ask_at(&path, Request::List { presentity: None }).await;
        assert_eq!(answer.expect("an answer"), Answer::Watchers(Vec::new()));
        drop(second);
        let file = folder.path().join("file");
        std::fs::write(&file, "precious").expect("a file");
        let error = listen(file.clone(), desk()).expect_err("it is no socket");
        assert!(
            error
                .to_string()
                .ends_with("there is a file that is no socket"),
            "{error}"
        );
        assert_eq!(std::fs::read(&file).expect("it is there"), b"precious");
    });
}

#[test]
fn a_line_without_end_is_refused() {
    in_real_time(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (_folder, path) = place();
        let _listener = listen(path.clone(), desk()).expect("a socket");
        let mut peer = tokio::net::UnixStream::connect(&path).await.expect("it");
        peer.write_all(&[b'x'; LONGEST]).await.expect("taken");
        let mut said = String::new();
        peer.read_to_string(&mut said).await.expect("an end");
        assert_eq!(said, "{\"error\":\"a request has at most 8192 bytes\"}\n");
    });
}

#[test]
fn operators_that_ask_nothing_make_way_for_one_that_asks() {
    in_real_time(async {
        use tokio::io::AsyncReadExt;
        let (_folder, path) = place();
        let _listener = listen(path.clone(), desk()).expect("a socket");
        let mut idle = Vec::new();
        for _ in 0..8 {
            idle.push(tokio::net::UnixStream::connect(&path).await.expect("it"));
        }
        let answer = ask_at(&path, Request::List { presentity: None }).await;
        assert_eq!(answer.expect("an answer"), Answer::Watchers(Vec::new()));
        let mut said = String::new();
        idle[0].read_to_string(&mut said).await.expect("an end");
        assert_eq!(said, "", "the oldest one is closed");
    });
}
