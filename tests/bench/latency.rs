//! `rollcall bench --rate`: an open loop, in which latency counts from when something was due.

use super::{Process, Value, floor, server, whole};

/// 100 PUBLISHes, each told to ten watchers.
fn told(server: &Process, more: &[&str]) -> Value {
    let fixed = ["--rate", "200", "--operations", "100", "--watchers", "10"];
    let report = whole(server, "fan-out", &[&fixed, more].concat());
    assert_eq!(report["operations"], 100);
    assert_eq!(report["rate"], 200.0);
    assert_eq!(report["concurrency"], Value::Null);
    report
}

/// The 101st would be due after half a second.
#[test]
fn an_open_loop_does_all_that_was_due_and_not_earlier() {
    let report = told(&server(), &[]);
    assert!(report["seconds"].as_f64() > Some(0.49), "{report}");
}

#[test]
fn each_notify_has_a_latency_of_its_own_and_the_operation_that_of_its_last() {
    for (server, more) in [
        (server(), &[][..]),
        (floor(), &[]),
        (floor(), &["--busy-poll"]),
    ] {
        let report = told(&server, more);
        let each = &report["notify_latency"];
        assert_eq!(each["count"], 1000, "{report}");
        assert_eq!(report["answer_latency"]["count"], 100, "{report}");
        for field in ["p50_us", "p99_us", "max_us"] {
            let (one, whole) = (each[field].as_u64(), report["latency"][field].as_u64());
            assert!(one > Some(0), "{field}: {report}");
            assert!(one <= whole, "{field}: {report}");
        }
    }
}
