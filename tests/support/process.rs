//! A process under test: its output is read as it comes, its end is certain.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use super::LIMIT;

#[derive(Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

/// A child process that is killed when the test is done with it.
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
    /// It leads a process group of its own, with children that must end with it.
    leads: bool,
    _folder: Option<tempfile::TempDir>,
}

impl Process {
    /// The program under test with these arguments, in an empty folder of its own.
    pub fn rollcall(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut process = Self::rollcall_in(folder.path(), arguments);
        process._folder = Some(folder);
        process
    }

    /// The same in this folder, where it finds what an earlier one left.
    pub fn rollcall_in(folder: &Path, arguments: &[&str]) -> Self {
        Self::rollcall_told(folder, arguments, &[])
    }

    /// The same with these variables in its environment.
    pub fn rollcall_told(folder: &Path, arguments: &[&str], variables: &[(&str, &OsStr)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
        command
            .args(arguments)
            .envs(variables.iter().copied())
            .current_dir(folder);
        Self::start(arguments.first().copied().unwrap_or("rollcall"), command)
    }

    /// A command line as a person types it, in this folder; `rollcall` is the program under test.
    pub fn shell(folder: &Path, line: &str) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_rollcall"));
        let folders = program.parent().into_iter().map(Path::to_owned);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&path)));
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("exec 2>&1; {line}")])
            .env("PATH", path.expect("folders without a colon"))
            .current_dir(folder);
        Self::start_with_children("sh", command)
    }

    /// A peer from a Debian package. A missing one fails the test with the package to install.
    pub fn peer(
        program: &str,
        package: &str,
        arguments: &[&str],
        directory: Option<&Path>,
    ) -> Self {
        require(program, package);
        let mut command = Command::new(program);
        command.args(arguments);
        if let Some(directory) = directory {
            command.current_dir(directory);
        }
        Self::start_with_children(program, command)
    }

    /// A program whose children must end with it.
    fn start_with_children(name: &str, mut command: Command) -> Self {
        command.process_group(0);
        let mut process = Self::start(name, command);
        process.leads = true;
        process
    }

    /// Any program.
    pub fn start(name: &str, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let output = Arc::new(Output::default());
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        follow(stdout, Arc::clone(&output));
        follow(stderr, Arc::clone(&output));
        Self {
            name: name.to_owned(),
            child,
            output,
            leads: false,
            _folder: None,
        }
    }

    /// All lines so far, of both outputs.
    pub fn lines(&self) -> Vec<String> {
        self.output.lines.lock().expect("no reader panics").clone()
    }

    /// The first line that the question says yes to, waited for.
    pub fn wait_for(&self, what: &str, yes: impl Fn(&str) -> bool) -> String {
        self.wait_for_from(0, what, yes).1
    }

    /// The same among the lines from number `from` on; with the number of the line after it.
    pub fn wait_for_from(
        &self,
        from: usize,
        what: &str,
        yes: impl Fn(&str) -> bool,
    ) -> (usize, String) {
        let deadline = Instant::now() + LIMIT;
        let mut lines = self.output.lines.lock().expect("no reader panics");
        loop {
            let found = lines
                .iter()
                .enumerate()
                .skip(from)
                .find(|(_, line)| yes(line));
            if let Some((number, line)) = found {
                return (number + 1, line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{}: waited {LIMIT:?} in vain for {what}; it said:\n{}",
                self.name,
                lines.join("\n")
            );
            lines = self
                .output
                .more
                .wait_timeout(lines, left)
                .expect("no reader panics")
                .0;
        }
    }

    /// The address behind `listening on KIND:…`, waited for.
    pub fn listening(&self, kind: &str) -> SocketAddr {
        let prefix = format!("listening on {kind}:");
        let line = self.wait_for(&prefix, |line| line.starts_with(&prefix));
        line[prefix.len()..]
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("no address in {line:?}"))
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: &str) {
        let stdin: &mut ChildStdin = self.child.stdin.as_mut().expect("stdin is piped");
        writeln!(stdin, "{line}")
            .and_then(|()| stdin.flush())
            .expect("it reads its input");
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name: `TERM`, `USR1`, `INT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.id().to_string()])
            .status();
        assert!(
            status.expect("kill is there").success(),
            "cannot send {name} to {}",
            self.name
        );
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        if self.leads && matches!(self.child.try_wait(), Ok(None)) {
            // Its children do not end by themselves, as Kamailio's. An error means that all have ended.
            let group = format!("-{}", self.id());
            let _ = Command::new("kill")
                .args(["-KILL", "--", &group])
                .stderr(Stdio::null())
                .status();
        }
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its own end.
    pub fn ended(&mut self) -> ExitStatus {
        let (name, output) = (self.name.clone(), Arc::clone(&self.output));
        super::eventually_or(
            &format!("the end of {name}"),
            || self.child.try_wait().expect("it is our child"),
            || output.lines.lock().expect("no reader panics").join("\n"),
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn follow(source: impl Read + Send + 'static, output: Arc<Output>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(source);
        let mut line = Vec::new();
        // Peers write what is not UTF-8, so lines are read as bytes.
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            output.lines.lock().expect("no reader panics").push(text);
            output.more.notify_all();
            line.clear();
        }
    });
}

/// Fails with the package to install when a program is missing.
pub fn require(program: &str, package: &str) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    require_in(&path, program, package);
}

fn require_in(path: &OsStr, program: &str, package: &str) {
    let found = std::env::split_paths(path)
        .chain(["/usr/sbin".into()])
        .any(|folder| folder.join(program).is_file());
    assert!(
        found,
        "{program} is missing: apt-get install {package} (tests/run does it)"
    );
}

#[test]
#[should_panic(expected = "sipp is missing: apt-get install sip-tester (tests/run does it)")]
fn a_missing_peer_fails_its_test_with_the_package_to_install() {
    let empty = tempfile::tempdir().expect("a folder");
    require_in(empty.path().as_os_str(), "sipp", "sip-tester");
}

#[test]
fn a_peer_that_is_there_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("peer"), "").expect("a file");
    require_in(folder.path().as_os_str(), "peer", "no-package");
}
