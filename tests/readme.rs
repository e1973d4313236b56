//! What README and docs/ promise, checked against the program and the sources, so that they can't rot.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Parser as _;
use rollcall::cli::Cli;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines of the blocks marked `sh`, continued lines joined.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    let mut open = String::new();
    for line in text.lines() {
        match line.trim_end() {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => {
                open.push_str(line.strip_suffix('\\').unwrap_or(line));
                // A quote or a pipe that goes on makes the next line part of this one.
                if line.ends_with('\\')
                    || line.ends_with('|')
                    || open.matches('\'').count() % 2 == 1
                {
                    open.push(' ');
                } else {
                    commands.push(std::mem::take(&mut open));
                }
            }
            _ => {}
        }
    }
    assert_eq!(open, "", "a command without an end");
    commands
}

/// As a shell would split it, up to where the output goes; quotes group, and nothing is expanded but that the output of another command
/// (`$(pgrep …)`) is a number.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ' ') => words.push(String::new()),
            (_, c) => words.last_mut().expect("never empty").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    for word in &mut words {
        if word.starts_with("$(") {
            *word = "1".to_owned();
        }
    }
    let end = words.iter().position(|word| word == ">");
    words.truncate(end.unwrap_or(words.len()));
    words
}

#[test]
fn every_rollcall_command_of_the_pages_is_understood() {
    let mut roles = BTreeSet::new();
    for page in [
        "README.md",
        "docs/operations.md",
        "docs/manager-protocol.md",
        "docs/performance.md",
        "CONTRIBUTING.md",
    ] {
        for command in commands(&read(page)) {
            let words = words(&command);
            let arguments = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["rollcall", ref rest @ ..] => rest.to_vec(),
                ["cargo", "run", "--release", "--", ref rest @ ..] => rest.to_vec(),
                _ => continue,
            };
            roles.insert(arguments[0].to_owned());
            let line = std::iter::once("rollcall").chain(arguments);
            if let Err(error) = Cli::try_parse_from(line) {
                panic!("{page}: {command}\n{error}");
            }
        }
    }
    let all = [
        "run", "server", "client", "manager", "simulate", "publish", "watch", "selftest", "bench",
        "user", "watchers", "store", "check",
    ];
    assert_eq!(
        roles,
        all.into_iter().map(str::to_owned).collect(),
        "the tour shows every command"
    );
}

#[test]
fn every_example_of_the_readme_is_there() {
    let readme = read("README.md");
    let examples: BTreeSet<_> = commands(&readme)
        .iter()
        .filter_map(|command| command.split("--example ").nth(1))
        .filter_map(|rest| rest.split(' ').next().map(|name| format!("{name}.rs")))
        .collect();
    let there = std::fs::read_dir(root().join("examples")).expect("examples/");
    let there: BTreeSet<_> = there
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with(".rs"))
        .collect();
    assert_eq!(examples, there);
}

#[test]
fn the_test_command_of_the_readme_is_what_a_change_must_pass() {
    let readme = commands(&read("README.md"));
    assert!(
        readme.iter().any(|command| command == "tests/run"),
        "{readme:?}"
    );
    assert!(read(".ci/run").lines().any(|line| line == "tests/run"));
    let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let rust = manifest["workspace"]["package"]["rust-version"]
        .as_str()
        .expect("a version");
    assert!(
        read("README.md").contains(&format!("Rust {rust} or newer")),
        "{rust}"
    );
}

#[test]
fn the_config_file_of_the_tour_is_good() {
    let readme = read("README.md");
    let block = readme
        .split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, block.expect("a block marked toml")).expect("a file");
    let loaded = rollcall::config::load::<rollcall::config::AllInOne>(
        Some(&path),
        rollcall::config::Flags::default(),
    );
    assert_eq!(
        loaded
            .expect("good settings")
            .settings
            .manager
            .sources
            .len(),
        1
    );
}

/// Links to files, of all pages: `](path)`.
#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut pages = vec![
        "README.md".into(),
        "CONTRIBUTING.md".into(),
        "CHANGELOG.md".into(),
    ];
    for folder in ["docs", "docs/adr"] {
        let entries = std::fs::read_dir(root().join(folder)).expect(folder);
        pages.extend(entries.filter_map(|entry| {
            let name = entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned();
            name.ends_with(".md").then(|| format!("{folder}/{name}"))
        }));
    }
    let mut broken = Vec::new();
    for page in pages {
        let text = read(&page);
        let folder = Path::new(&page).parent().expect("a folder").to_owned();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") && !root().join(folder.join(path)).exists()
            {
                broken.push(format!("{page}: {target}"));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

/// What stands between backquotes.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The files that a module path may mean: of the core, of the actors, or of the black-box tests.
fn files(module: &str) -> Vec<PathBuf> {
    let path = module.replace("::", "/");
    ["src", "actors", "tests"]
        .iter()
        .flat_map(|crate_root| {
            [
                format!("{crate_root}/{path}.rs"),
                format!("{crate_root}/{path}/mod.rs"),
            ]
        })
        .map(|file| root().join(file))
        .filter(|file| file.exists())
        .collect()
}

#[test]
fn every_file_and_test_of_the_tables_exists() {
    let mut missing = Vec::new();
    let mut tests = 0;
    let pages = ["rfc-coverage", "composition", "security"];
    let tables = pages.map(|page| read(&format!("docs/{page}.md"))).concat();
    for line in tables.lines().filter(|line| line.starts_with('|')) {
        for name in quoted(line) {
            if name.ends_with(".rs") && !root().join(name).exists() {
                missing.push(name.to_owned());
            }
            if let Some((module, test)) = name.rsplit_once("::") {
                tests += 1;
                let head = format!("fn {test}(");
                let found = files(module).iter().any(|file| {
                    let text = std::fs::read_to_string(file).expect("a source file");
                    text.replace("#[tokio::test]", "#[test]")
                        .split("#[test]")
                        .skip(1)
                        .any(|rest| {
                            rest.lines()
                                .find(|line| line.contains("fn "))
                                .is_some_and(|line| line.contains(&head))
                        })
                });
                if !found {
                    missing.push(name.to_owned());
                }
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    assert!(tests > 100, "the table has been read: {tests}");
}

/// Counters: the file and the struct that has them, and the heading in docs/operations.md under which they are listed.
const COUNTERS: [(&str, &str, &str); 10] = [
    ("src/endpoint/counters.rs", "Counters", "endpoint"),
    (
        "actors/endpoint/counters.rs",
        "Counters",
        "endpoint: transport",
    ),
    ("src/registry/counters.rs", "Counters", "registry"),
    ("actors/store/mod.rs", "Counters", "registry: store"),
    ("src/manager/hub/settings.rs", "Counters", "manager"),
    ("actors/manager/counters.rs", "Counts", "manager-listener"),
    ("src/buffer/types.rs", "Counters", "publish-buffer"),
    ("src/publisher/types.rs", "Counters", "publisher"),
    ("src/watcher/mod.rs", "Counters", "watcher"),
    ("actors/manager/link.rs", "Attempts", "manager-link"),
];

#[test]
fn every_counter_is_explained_and_nothing_else() {
    let page = read("docs/operations.md");
    let mut explained: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut heading = "";
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("### ") {
            heading = name;
        } else if line.starts_with("## ") {
            heading = "";
        } else if line.starts_with("| `") {
            explained
                .entry(heading)
                .or_default()
                .extend(quoted(line).next());
        }
    }
    for (file, name, heading) in COUNTERS {
        let source = read(file);
        let body = source
            .split(&format!("struct {name} {{"))
            .nth(1)
            .and_then(|rest| rest.split("\n}").next());
        let names: BTreeSet<&str> = body
            .unwrap_or_else(|| panic!("{file} has no {name}"))
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .filter_map(|line| line.trim().trim_start_matches("pub ").split_once(':'))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            explained.get(heading),
            Some(&names),
            "{file} and \"### {heading}\""
        );
    }
}
