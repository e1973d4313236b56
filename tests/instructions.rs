//! benches/instructions finds what has grown. (That nothing has is what .ci/run asks it.)

use std::path::Path;
use std::process::Command;

/// Compares counts with figures: whether that passes, and what is said.
fn check(figures: &str, counted: &str) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions");
    let output = Command::new(script)
        .arg("--check")
        .env("ROLLCALL_INSTRUCTIONS", file("figures", figures))
        .env("ROLLCALL_INSTRUCTIONS_COUNTED", file("counted", counted))
        .output()
        .expect("a shell runs it");
    let said = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy);
    (output.status.success(), said.concat())
}

#[test]
fn a_count_that_has_grown_by_more_than_five_per_cent_fails_the_check() {
    let figures = "1000\tone\n2000\tanother thing\n";
    let (passed, said) = check(figures, "1050\tone\n100\tanother thing\n");
    assert!(passed, "{said}");
    assert!(said.contains("less: --bless keeps it so"), "{said}");
    let (passed, said) = check(figures, "1000\tone\n2101\tanother thing\n");
    assert!(!passed, "{said}");
    assert!(
        said.contains("another thing") && said.contains("+5.0 %  GROWN"),
        "{said}"
    );
    assert!(said.contains("benches/instructions --bless"), "{said}");
}

#[test]
fn an_operation_more_or_less_fails_the_check_until_the_figures_say_so() {
    let (passed, said) = check("1000\tone\n", "1000\tone\n5\ttwo\n");
    assert!(!passed && said.contains("new"), "{said}");
    let (passed, said) = check("1000\tone\n5\ttwo\n", "1000\tone\n");
    assert!(!passed && said.contains("gone"), "{said}");
}
