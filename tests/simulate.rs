//! The simulated world.
//!
//! - the same seed gives the same trace, another seed another one
//! - 200 worlds with heavy faults keep all invariants
//! - each invariant that is broken on purpose is found broken
//! - the command says all that, for people and for programs, and in its exit code

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use rollcall::config::{self, Flags};
use rollcall::node::Simulated;
use rollcall::simulate::{self, Options, Sabotage};

/// How many worlds must hold.
const WORLDS: u64 = 200;

/// A third of the time 20 % of all datagrams are lost, and nodes are away for long; in another third crashes are short and
/// many, so that they hit what is under way; in the last a crash or a partition is hardly over when the next begins.
const KINDS: [&str; 3] = [
    r#"
presentities = 20
subscriptions = 60
duration = "10m"
change_every = "60s"
[network]
loss = 0.2
duplicate = 0.05
reorder = 0.05
[faults]
partitions = 2
crashes = 6
"#,
    r#"
presentities = 10
subscriptions = 30
duration = "5m"
change_every = "20s"
shards = 3
[network]
loss = 0.3
duplicate = 0.1
reorder = 0.1
[faults]
partitions = 3
partition_length = "40s"
crashes = 20
crash_length = "2s"
"#,
    r#"
presentities = 20
subscriptions = 60
duration = "10m"
change_every = "60s"
[network]
loss = 0.2
[faults]
partitions = 5
partition_length = "45s"
crashes = 12
crash_length = "70s"
"#,
];

/// A settings file that goes away with it.
struct File {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("simulate.toml");
        std::fs::write(&path, text).expect("a file");
        Self {
            path,
            _folder: folder,
        }
    }
}

fn settings(toml: &str, seed: u64) -> config::Simulate {
    let file = File::new(toml);
    let loaded = config::load::<config::Simulate>(Some(&file.path), Flags::default());
    config::Simulate {
        seed,
        ..loaded.expect("good settings").settings
    }
}

fn world(toml: &str, seed: u64, sabotage: Option<Sabotage>) -> Simulated {
    let options = Options {
        ladder: None,
        sabotage,
    };
    simulate::run(&settings(toml, seed), options, &mut |_| {}).expect("a world that runs")
}

/// Invariants that were broken, by name.
fn broken(simulated: &Simulated) -> BTreeSet<&str> {
    let invariants = simulated.json["invariants"].as_array().expect("a list");
    invariants
        .iter()
        .filter(|invariant| invariant["broken"] != 0)
        .map(|invariant| invariant["invariant"].as_str().expect("a name"))
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another_one() {
    let [first, again, other] = [7, 7, 8].map(|seed| world(KINDS[1], seed, None));
    assert_eq!(first.json, again.json);
    assert_eq!(first.text, again.text);
    assert_ne!(first.json["digest"], other.json["digest"]);
}

/// On two threads: each world lives on one.
#[test]
fn two_hundred_worlds_with_heavy_faults_keep_all_invariants() {
    let begin = Instant::now();
    let next = AtomicU64::new(1);
    let failed = Mutex::new(Vec::new());
    let live = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > WORLDS {
                return;
            }
            let toml = KINDS[usize::try_from(seed % 3).expect("a small number")];
            let simulated = world(toml, seed, None);
            if !simulated.passed {
                failed
                    .lock()
                    .expect("no other panic")
                    .push((seed, toml, simulated.text));
            }
            if seed.is_multiple_of(20) {
                // Past the harness, which keeps what a test prints to itself until it fails.
                let seconds = begin.elapsed().as_secs();
                let _ = writeln!(
                    std::io::stderr(),
                    "simulated {seed} of {WORLDS} worlds in {seconds} s"
                );
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(live);
        }
    });
    let failed = failed.into_inner().expect("no panic");
    let reports: Vec<String> = failed
        .iter()
        .map(|(seed, toml, text)| {
            format!(
                "To see it again, save this as world.toml:\n{toml}\nand run: rollcall simulate --config world.toml --seed {seed}\n\n{text}"
            )
        })
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {WORLDS} worlds broke an invariant.\n\n{}",
        failed.len(),
        reports.join("\n\n")
    );
}

#[test]
fn each_invariant_that_is_broken_on_purpose_is_found_broken() {
    for (sabotage, expected) in [
        (Sabotage::LostNotifies, "convergence"),
        (Sabotage::MadeUpStates, "nothing-made-up"),
        (Sabotage::ReusedCseq, "cseq-grows"),
        (Sabotage::StaleState, "versions-grow"),
        (Sabotage::ReusedEntityTag, "entity-tag-once"),
        (Sabotage::Straggler, "nothing-left"),
        (Sabotage::SecondAnswer, "one-answer"),
    ] {
        let simulated = world(KINDS[1], 2, Some(sabotage));
        assert!(!simulated.passed);
        let broken = broken(&simulated);
        assert!(
            broken.contains(expected),
            "{sabotage:?}: {broken:?}\n{}",
            simulated.text
        );
        // A watcher that is shown the wrong state may also have been shown it last; nothing else follows.
        let others: Vec<_> = broken
            .into_iter()
            .filter(|name| ![expected, "convergence"].contains(name))
            .collect();
        assert!(others.is_empty(), "{sabotage:?}: {others:?}");
    }
}

const SMALL: [&str; 9] = [
    "simulate",
    "--seed",
    "1",
    "--presentities",
    "6",
    "--subscriptions",
    "12",
    "--duration",
    "5m",
];

fn command(more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(SMALL)
        .args(["--log", "off"])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[test]
fn the_command_prints_the_same_report_twice_and_succeeds() {
    let [first, again] = [command(&[]), command(&[])];
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    assert_eq!(out(&first), out(&again));
    let report = out(&first);
    assert_eq!(report.matches("  held  ").count(), 7, "{report}");
    let digest = report.lines().last().expect("a last line");
    assert!(digest.starts_with("Trace digest "), "{report}");
    let other = command(&["--loss", "0.1"]);
    assert!(!out(&other).contains(digest), "{}", out(&other));
}

#[test]
fn the_report_for_programs_says_the_same() {
    let json: serde_json::Value =
        serde_json::from_slice(&command(&["--json"]).stdout).expect("JSON");
    assert_eq!(json["passed"], true);
    assert_eq!(json["seed"], 1);
    assert_eq!(json["violations"], serde_json::json!([]));
    assert!(json["messages"]["PUBLISH initial"]["messages"].as_u64() > Some(0));
    assert_eq!(json["buffers"]["received"], json["buffers"]["acked"]);
    let digest = json["digest"].as_str().expect("a digest");
    assert!(out(&command(&[])).contains(digest));
}

#[test]
fn the_ladder_of_a_presentity_shows_its_way_from_source_to_watcher() {
    let text = out(&command(&["--ladder", "sip:person-1@example.com"]));
    for label in ["PRESENCE v1", "PUBLISH initial v1", "NOTIFY active v1"] {
        assert!(text.contains(label), "{label} in\n{text}");
    }
    assert!(!text.contains("person-2"), "{text}");
}

#[test]
fn a_broken_invariant_is_an_exit_code_and_a_sentence() {
    let output = command(&["--sabotage", "reused-cseq"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        out(&output).contains("BROKEN once  CSeq grew with each NOTIFY of a dialog"),
        "{}",
        out(&output)
    );
}
