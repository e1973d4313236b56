//! The hub and a disk that fails, in virtual time.

use std::time::Duration;

use rollcall_core::time::Timestamp;

use super::*;
use crate::files::failing::FailingDisk;
use crate::manager::journal::Keeper;
use crate::testkit::in_virtual_time;

fn settings() -> Settings {
    Settings::new("m", "r1")
}

/// A hub that keeps its state on this disk; the file's folder goes with what is given beside.
fn hub(disk: &FailingDisk) -> (Addr<Manager>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.xml");
    let clock = Clock::starting_at(Timestamp::from_millis(1_795_424_400_000));
    let keeper = Keeper::on(Box::new(disk.clone()), path).expect("a keeper");
    let hub = Manager::new(settings(), clock).kept_by(keeper);
    (hub.expect("a hub").start(), folder)
}

fn say(hub: &Addr<Manager>, note: &str) {
    hub.do_send(FromSource {
        source: "calendar".to_owned(),
        presence: Presence {
            entity: format!("sip:{note}@example.com"),
            ..Presence::default()
        },
    });
}

async fn failures(hub: &Addr<Manager>) -> serde_json::Value {
    hub.send(TakeSnapshot).await.expect("a hub")["write_failures"].clone()
}

#[test]
fn what_could_not_be_written_is_written_when_the_disk_takes_it_though_nothing_changes() {
    in_virtual_time(async {
        let disk = FailingDisk::default();
        let (hub, _folder) = hub(&disk);
        disk.fail(true);
        say(&hub, "one");
        // Tries after 0, 1, 3, 7, 15, 31, 61 and 91 seconds.
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(failures(&hub).await, 8);
        assert_eq!(disk.text(), "");
        disk.fail(false);
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert!(disk.text().contains("sip:one@example.com"));
        // And then as before.
        say(&hub, "two");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(disk.text().contains("sip:two@example.com"));
        assert_eq!(failures(&hub).await, 8);
    });
}

#[test]
fn an_orderly_end_writes_what_is_not_written_though_the_next_try_is_not_due() {
    in_virtual_time(async {
        let disk = FailingDisk::default();
        let (hub, _folder) = hub(&disk);
        disk.fail(true);
        say(&hub, "one");
        tokio::time::sleep(Duration::from_secs(50)).await;
        disk.fail(false);
        hub.send(Shutdown).await.expect("a hub");
        assert!(disk.text().contains("sip:one@example.com"));
    });
}

#[test]
fn a_state_that_is_not_taken_back_is_kept_aside() {
    in_virtual_time(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.xml");
        let states = ["a", "b"].map(|name| Presence {
            entity: format!("sip:{name}@example.com"),
            source: Some("desk".to_owned()),
            ..Presence::default()
        });
        let content = journal::encode(states.into_iter());
        std::fs::write(&path, &content).expect("a file");
        let clock = Clock::starting_at(Timestamp::from_millis(1_795_424_400_000));
        let narrow = Settings {
            presentities: 1,
            ..settings()
        };
        Manager::new(narrow, clock)
            .with_journal(path)
            .expect("a hub");
        let kept = std::fs::read(folder.path().join("state.xml.broken"));
        assert_eq!(kept.expect("a file"), content);
    });
}
