//! `rollcall bench capacity`: what is set up, waited for and kept, with small numbers.

use super::{Process, Value, bench, floor, report, server, text, uri};

/// 7 subscriptions to 5 presentities, all of them refreshed, and a few states changed. No wait, so no memory is judged.
fn whole(server: &Process, more: &[&str]) -> Value {
    let (uri, pid) = (uri(server), server.id().to_string());
    let mut arguments = vec!["capacity", &*uri, "--pid", &*pid, "--presentities", "5"];
    arguments.extend(["--subscriptions", "7", "--settle", "0", "--duration", "1"]);
    arguments.extend(["--rate", "40", "--operations", "10"]);
    arguments.extend(more);
    let (output, report) = report(&arguments);
    assert!(output.status.success(), "{arguments:?}: {report}");
    assert_eq!(report["load"], "capacity");
    assert_eq!(report["subscriptions"], 7);
    assert_eq!(report["subscribing"]["count"], 7);
    let refresh = &report["refresh"];
    assert_eq!(refresh["load"], "refresh");
    assert_eq!(refresh["rate"], 40.0);
    assert_eq!(refresh["operations"], 40);
    assert_eq!(refresh["notifies"], 40);
    assert_eq!(refresh["latency"]["count"], 40);
    let used = &refresh["server_use"];
    assert!(used["core_share"].as_f64() > Some(0.0), "{report}");
    report
}

fn published(server: &Process) {
    let report = whole(server, &[]);
    assert_eq!(report["presentities"], 5);
    assert_eq!(report["publishing"]["count"], 5);
    assert_eq!(report["publish"]["operations"], 10);
    let memory = &report["memory"];
    for field in [
        "resident_before_kib",
        "resident_published_kib",
        "resident_published_settled_kib",
        "resident_subscribed_kib",
        "resident_settled_kib",
        "peak_kib",
    ] {
        assert!(memory[field].as_u64() > Some(0), "{field}: {report}");
    }
    for field in ["bytes_per_presentity", "bytes_per_subscription"] {
        assert!(memory[field].is_number(), "{field}: {report}");
    }
    assert!(report["generator"]["resident_kib"].as_u64() > Some(0));
}

#[test]
fn capacity_of_our_own_server_is_set_up_kept_and_changed() {
    published(&server());
}

#[test]
fn capacity_of_the_yardstick_is_set_up_kept_and_changed() {
    published(&floor());
}

#[test]
fn subscriptions_alone_are_kept_without_publications() {
    let report = whole(&server(), &["--unpublished"]);
    assert_eq!(report["presentities"], 0);
    assert_eq!(report["publishing"]["count"], 0);
    assert_eq!(report["publish"], Value::Null);
    assert_eq!(report["memory"]["bytes_per_presentity"], Value::Null);
}

#[test]
fn publications_alone_are_kept_without_subscriptions() {
    let server = floor();
    let uri = uri(&server);
    let arguments = [
        "capacity",
        &uri,
        "--presentities",
        "5",
        "--subscriptions",
        "0",
    ];
    let more = ["--settle", "0", "--operations", "10"];
    let (output, report) = report(&[&arguments[..], &more].concat());
    assert!(output.status.success(), "{report}");
    assert_eq!(report["refresh"], Value::Null);
    assert_eq!(report["publish"]["operations"], 10);
}

#[test]
fn people_are_told_what_a_subscription_takes() {
    let server = server();
    let (uri, pid) = (uri(&server), server.id().to_string());
    let arguments = ["capacity", &uri, "--pid", &pid, "--settle", "0"];
    let more = ["--subscriptions", "2000", "--duration", "0"];
    let output = bench(&[&arguments[..], &more, &["--operations", "0"]].concat())
        .output()
        .expect("it runs");
    let told = text(&output.stdout);
    assert!(output.status.success(), "{told}");
    for part in [
        " 1000 presentities, 2000 subscriptions\npublications    1000 in ",
        "\nsubscriptions   2000 in ",
        " bytes a subscription\n",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn nothing_to_measure_and_too_much_are_refused() {
    for (more, word) in [
        (
            &["--unpublished", "--subscriptions", "0"][..],
            "--unpublished: ",
        ),
        (
            &["--subscriptions", "100000001"],
            "--subscriptions: more than",
        ),
        (&["--presentities", "0"], "--presentities"),
    ] {
        let output = bench(&[&["capacity", "sip:127.0.0.1"], more].concat())
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        let told = text(&output.stderr);
        assert!(told.contains(word), "{more:?}: {told}");
    }
}
