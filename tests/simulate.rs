//! The simulated world.
//!
//! - the same seed gives the same trace, another seed another one
//! - 500 worlds, drawn from their seeds, keep all invariants, on however many threads they live
//! - each invariant that is broken on purpose is found broken
//! - the command says all that, for people and for programs, and in its exit code

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use rollcall::config::{self, Flags};
use rollcall::core::sabotage::Mistake;
use rollcall::node::Simulated;
use rollcall::simulate::{self, Options, Sabotage, Seeds, Summary, Tally};

/// How many worlds must hold.
const WORLDS: u64 = 500;

/// Short crashes, and many, so that they hit what is under way.
const HEAVY: &str = r#"
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
disk = 0
clock_jumps = 0
clock_jump = "0s"
stalls = 0
phones = 0
strangers = 0
"#;

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
        sabotage,
        ..Options::default()
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
    let [first, again, other] = [7, 7, 8].map(|seed| world(HEAVY, seed, None));
    assert_eq!(first.json, again.json);
    assert_eq!(first.text, again.text);
    assert_ne!(first.json["digest"], other.json["digest"]);
}

fn seeds(count: u64, threads: usize, tell: &(dyn Fn(Tally) + Sync)) -> Summary {
    let seeds = Seeds {
        first: 1,
        count,
        threads,
        vary: true,
        one_is_enough: false,
    };
    let settings = config::defaults::<config::Simulate>();
    simulate::run_seeds(&settings, seeds, Options::default(), tell).expect("worlds that run")
}

#[test]
fn many_worlds_give_the_same_traces_whatever_the_number_of_threads() {
    let [one, three] = [1, 3].map(|threads| seeds(9, threads, &|_| {}));
    assert_eq!(one.worlds, 9);
    assert_eq!(one.digest, three.digest);
    let command = |seed| format!("seed {seed}");
    assert_eq!(one.text(command), three.text(command));
}

#[test]
fn worlds_where_much_goes_wrong_keep_all_invariants() {
    let begin = Instant::now();
    let summary = seeds(WORLDS, 2, &|tally| {
        if tally.done.is_multiple_of(50) {
            // Past the harness, which keeps what a test prints to itself until it fails.
            let (done, seconds) = (tally.done, begin.elapsed().as_secs());
            let _ = writeln!(
                std::io::stderr(),
                "simulated {done} of {WORLDS} worlds in {seconds} s"
            );
        }
    });
    assert_eq!(summary.worlds, WORLDS);
    let command = |seed| format!("rollcall simulate --vary --seed {seed}");
    assert!(summary.broken.is_empty(), "{}", summary.text(command));
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
        let simulated = world(HEAVY, 2, Some(sabotage));
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

/// What each mistake breaks; the first seed of 200 that shows it is told.
#[test]
fn each_mistake_of_the_server_is_found_within_two_hundred_seeds() {
    let found: Vec<_> = Mistake::ALL
        .into_iter()
        .map(|mistake| {
            let seeds = Seeds {
                first: 1,
                count: 200,
                threads: 2,
                vary: true,
                one_is_enough: true,
            };
            let options = Options {
                mistake: Some(mistake),
                ..Options::default()
            };
            let settings = config::defaults::<config::Simulate>();
            let summary = simulate::run_seeds(&settings, seeds, options, &|_| {});
            let broken = summary.expect("worlds that run").broken;
            let line = match broken.first() {
                Some(world) => {
                    let names: Vec<_> = world.invariants().into_keys().collect();
                    format!("seed {:>3}: {}", world.seed, names.join(", "))
                }
                None => "NOT FOUND".to_owned(),
            };
            let _ = writeln!(std::io::stderr(), "{:<28}{line}", mistake.name());
            (mistake, broken)
        })
        .collect();
    for (mistake, broken) in found {
        let names: BTreeSet<String> = (broken.iter())
            .flat_map(|world| world.invariants().into_keys())
            .collect();
        let expected = shows(mistake);
        assert!(names.contains(expected), "{mistake:?}: {names:?}");
    }
}

fn shows(mistake: Mistake) -> &'static str {
    match mistake {
        Mistake::AnswerBeforeCommit | Mistake::IndeterminateAsCommitted => "answer-after-commit",
        Mistake::ForgetLock => "single-writer",
        Mistake::DropQueued => "every-answer",
        Mistake::KeepEntityTag => "acknowledged-loss",
        Mistake::TakeAnyEntityTag => "one-success",
        Mistake::ReuseEntityTag => "entity-tag-once",
        Mistake::ReuseCseq | Mistake::KeepEpoch => "cseq-grows",
        Mistake::NeverExpire | Mistake::NeverWake | Mistake::LoseLastRecord => "nothing-left",
        Mistake::NotifyAfterTerminated => "nothing-after-the-end",
        Mistake::ForgetBlock | Mistake::ShowPending => "permissions",
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
    assert_eq!(report.matches("  held  ").count(), 15, "{report}");
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

fn varied(seeds: &str, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(["--log", "off", "simulate", "--vary", "--seeds", seeds])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

#[test]
fn many_seeds_are_one_command_and_those_that_fail_are_listed_with_the_command_that_repeats_them() {
    let held = varied("4", &[]);
    assert_eq!(held.status.code(), Some(0), "{held:?}");
    let report = out(&held);
    assert!(report.starts_with("4 worlds\n"), "{report}");
    assert!(report.contains("  held  "), "{report}");
    let broken = varied("2", &["--first", "7", "--sabotage", "reused-cseq"]);
    assert_eq!(broken.status.code(), Some(1), "{broken:?}");
    let report = out(&broken);
    for line in [
        "  BROKEN in 2 worlds  CSeq grew with each NOTIFY of a dialog",
        "Seed 8: cseq-grows",
        "    rollcall --log off simulate --vary --sabotage reused-cseq --seed 8",
    ] {
        assert!(
            report.lines().any(|found| found == line),
            "{line:?} in\n{report}"
        );
    }
}

/// The features of a build, as cargo resolves them with these kinds of dependencies.
fn features(edges: &str) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--offline",
            "--locked",
            "-p",
            "rollcall",
            "-e",
            edges,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{output:?}");
    out(&output)
}

#[test]
fn a_build_without_tests_has_no_mistakes_in_it() {
    assert!(features("features,normal,build,dev").contains("sabotage"));
    assert!(!features("features,normal,build").contains("sabotage"));
}
