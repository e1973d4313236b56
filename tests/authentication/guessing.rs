//! Guessed passwords, replayed credentials, and what of it stands in the log (docs/operations.md).

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rollcall::core::digest::{Answerer, Credentials};
use rollcall::core::entropy::Entropy;
use rollcall::core::sip::{Message, Name};

use crate::server::kit::{Peer, code, own_address, text};
use crate::support::eventually;
use crate::support::faults::Faults;
use crate::support::process::Process;
use crate::transports::connection::Connection;

const URI: &str = "sip:bob@example.com";

const HEAD: &str = "Event: presence\nExpires: 0\nContact: <sip:w@127.0.0.1:9>\n";

const SHARDS: usize = 4;

fn server(folder: &Path, arguments: &[&str]) -> Process {
    let config = folder.join("server.toml");
    let text = format!(
        "listen = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\", \"ws:127.0.0.1:0\"]\ndomain = [\"example.com\"]\nstore = \"memory:\"\n\
         shards = {SHARDS}\nauth = \"digest\"\n[digest]\naccounts = [\"bob:secret\", \"eve:e\"]\n"
    );
    std::fs::write(&config, text).expect("a file");
    let mut all = vec!["server", "--config", config.to_str().expect("a plain path")];
    all.extend(arguments);
    let faults = Faults::at(folder);
    Process::rollcall_told(folder, &all, &[faults.variable()])
}

fn challenge(peer: &mut Peer) -> Message {
    let challenge = peer.ask("SUBSCRIBE", URI, HEAD, "");
    assert_eq!(code(&challenge), 401);
    challenge
}

fn answerer(challenge: &Message, user: &str, password: &str) -> Answerer {
    let account = Credentials {
        user: user.to_owned(),
        password: password.to_owned(),
    };
    Answerer::new(challenge, &account, None).expect("a challenge")
}

/// The header of the next credentials for such a request, and what else it needs.
fn authorized(answerer: &mut Answerer, method: &str) -> String {
    let (name, value) = answerer.authorize(method, URI, &mut Entropy::from_number(1));
    format!("{}: {value}\n{HEAD}", name.as_str())
}

fn login(peer: &mut Peer, challenge: &Message, user: &str, password: &str) -> Message {
    go_on(peer, &mut answerer(challenge, user, password))
}

fn go_on(peer: &mut Peer, answerer: &mut Answerer) -> Message {
    let answer = peer.ask("SUBSCRIBE", URI, &authorized(answerer, "SUBSCRIBE"), "");
    peer.take();
    answer
}

/// Whether the password of an answer was looked at.
fn was_looked_at(answer: &Message) -> bool {
    match code(answer) {
        401 => true,
        403 => {
            assert!(answer.has(Name::RetryAfter), "{answer:?}");
            false
        }
        other => panic!("{other}: {answer:?}"),
    }
}

#[test]
fn who_guesses_waits_and_the_owner_elsewhere_and_a_phone_that_goes_on_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server(folder.path(), &[]);
    let to = server.listening("udp");
    let at = |number| Peer::udp_at((own_address(number), 0).into(), to);
    let mut phone = at(2);
    let mut known = answerer(&challenge(&mut phone), "bob", "secret");
    assert_eq!(code(&go_on(&mut phone, &mut known)), 200);
    // Away from the phone, and behind the same address.
    for (place, free) in [(3, 6), (2, 51)] {
        let asked = challenge(&mut at(place));
        let begun = Instant::now();
        let mut looked = 0;
        for number in 0..500 {
            // Each from another port, so on any shard.
            let guess = format!("guess{number}");
            let answer = login(&mut at(place), &asked, "bob", &guess);
            looked += u64::from(was_looked_at(&answer));
        }
        let most = free + 1 + begun.elapsed().as_secs();
        assert!((free..=most).contains(&looked), "{looked} at {place}");
    }
    // Even the right one waits there, and is not let in.
    let asked = challenge(&mut at(3));
    eventually("a longer wait", || {
        let answer = login(&mut at(3), &asked, "bob", "guess");
        let wait = answer.retry_after().expect("a number");
        wait.filter(|seconds| *seconds > 3)
    });
    assert_eq!(code(&login(&mut at(3), &asked, "bob", "secret")), 403);
    // The owner comes from elsewhere for the first time.
    let mut elsewhere = at(4);
    let asked = challenge(&mut elsewhere);
    assert_eq!(code(&login(&mut elsewhere, &asked, "bob", "secret")), 200);
    // His phone goes on where the guesser is, from another port with its nonce, and from its port with a new one.
    assert_eq!(code(&go_on(&mut at(2), &mut known)), 200);
    let asked = challenge(&mut phone);
    assert_eq!(code(&login(&mut phone, &asked, "bob", "secret")), 200);
}

#[test]
fn guesses_count_together_by_whatever_way_and_request_they_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server(folder.path(), &[]);
    let (udp, tcp) = (server.listening("udp"), server.listening("tcp"));
    let mut web = Connection::web(server.listening("ws"), None, Some("sip")).expect("a connection");
    let asked = challenge(&mut Peer::udp(udp));
    let mut guess = answerer(&asked, "bob", "wrong");
    let begun = Instant::now();
    let mut looked = 0;
    for _ in 0..10 {
        for method in ["SUBSCRIBE", "PUBLISH", "REGISTER"] {
            let answers = [
                Peer::udp(udp).ask(method, URI, &authorized(&mut guess, method), ""),
                Peer::tcp(tcp).ask(method, URI, &authorized(&mut guess, method), ""),
                web.ask(method, URI, &authorized(&mut guess, method), ""),
            ];
            looked += answers
                .iter()
                .map(|answer| u64::from(was_looked_at(answer)))
                .sum::<u64>();
        }
    }
    let most = 7 + begun.elapsed().as_secs();
    assert!((6..=most).contains(&looked), "{looked}");
}

/// What an answer shows but for what is new in each: names of headers, and the values that tell of a login.
fn shape(answer: &Message) -> String {
    let mut shape = String::from_utf8_lossy(&answer.raw()).into_owned();
    for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
        shape = shape.replace(&text(answer, name), "");
    }
    let mut parts = shape.split("nonce=\"");
    let mut rest = parts.next().expect("a beginning").to_owned();
    for part in parts {
        rest.push_str(part.split_once('"').expect("an end").1);
    }
    rest
}

#[test]
fn a_name_that_is_no_account_hears_what_an_account_hears() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server(folder.path(), &[]);
    let to = server.listening("udp");
    let heard = [(5, "bob"), (6, "nobody"), (7, "")].map(|(place, user)| {
        let mut peer = Peer::udp_at((own_address(place), 0).into(), to);
        let asked = challenge(&mut peer);
        let answers = (0..7).map(|_| shape(&login(&mut peer, &asked, user, "wrong")));
        answers.collect::<Vec<_>>()
    });
    assert!(heard[0][5].starts_with("SIP/2.0 401 "), "{}", heard[0][5]);
    assert!(heard[0][6].starts_with("SIP/2.0 403 "), "{}", heard[0][6]);
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[0], heard[2]);
}

/// Sends a request with credentials that were used, and is challenged.
fn replay(mut peer: Peer, used: &str) {
    let answer = peer.ask("SUBSCRIBE", URI, used, "");
    assert_eq!(code(&answer), 401, "{answer:?}");
    let offer = text(&answer, Name::WwwAuthenticate);
    assert!(offer.contains("stale=true"), "{offer}");
}

#[test]
fn credentials_that_were_used_are_good_on_no_shard_and_after_no_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut process = server(folder.path(), &[]);
    let (udp, tcp) = (process.listening("udp"), process.listening("tcp"));
    let mut peer = Peer::udp(udp);
    let asked = challenge(&mut peer);
    let used = authorized(&mut answerer(&asked, "bob", "secret"), "SUBSCRIBE");
    assert_eq!(code(&peer.ask("SUBSCRIBE", URI, &used, "")), 200);
    for _ in 0..60 {
        replay(Peer::udp(udp), &used);
        replay(Peer::tcp(tcp), &used);
    }
    // Nor once the accounts were read again and each shard's endpoint has failed.
    process.signal("HUP");
    process.wait_for("accounts", |line| line.contains("were read again"));
    for shard in 0..SHARDS {
        Faults::at(folder.path()).arm(&format!("panic endpoint {shard}"));
    }
    eventually("the panic of each", || {
        let mut peer = Peer::udp(udp);
        let request = peer.request("OPTIONS", "sip:example.com", "", "");
        peer.send(request);
        let lines = process.lines();
        let panics = lines
            .iter()
            .filter(|line| line.contains("the endpoint's core panicked"));
        (panics.count() == SHARDS).then_some(())
    });
    for _ in 0..60 {
        replay(Peer::udp(udp), &used);
        replay(Peer::tcp(tcp), &used);
    }
    process.kill();
    let again = server(folder.path(), &["--listen", &format!("udp:{udp}")]);
    replay(Peer::udp(again.listening("udp")), &used);
}

/// The patterns of the page, for grep.
fn patterns() -> Vec<String> {
    let page =
        std::fs::read_to_string(format!("{}/docs/operations.md", env!("CARGO_MANIFEST_DIR")));
    let page = page.expect("the page");
    let (_, filter) = page.split_once("failregex = ").expect("a filter");
    let lines = filter.lines().take_while(|line| !line.starts_with("```"));
    let patterns = lines.map(|line| line.trim().replace("<ADDR>", r"127\.\d+\.\d+\.3"));
    patterns.filter(|line| line.starts_with('^')).collect()
}

/// Whether one of them matches a line from which the time was cut, as fail2ban does.
fn matches(line: &str) -> bool {
    patterns().iter().any(|pattern| {
        let mut grep = Command::new("grep")
            .args(["-qP", pattern])
            .stdin(Stdio::piped())
            .spawn()
            .expect("grep");
        std::io::Write::write_all(&mut grep.stdin.take().expect("a pipe"), line.as_bytes())
            .expect("it reads");
        grep.wait().expect("it ends").success()
    })
}

/// A line without its time.
fn timeless(line: &str) -> String {
    let begin = line.find("20").expect("a time");
    let end = begin + line[begin..].find('Z').expect("its end") + 1;
    [&line[..begin], &line[end..]].concat()
}

#[test]
fn a_failed_login_is_one_line_that_fail2ban_takes_and_names_nobody_else() {
    for format in ["text", "json"] {
        let folder = tempfile::tempdir().expect("a folder");
        let server = server(folder.path(), &["--log-format", format]);
        let to = server.listening("udp");
        let mut guesser = Peer::udp_at((own_address(3), 0).into(), to);
        let asked = challenge(&mut guesser);
        let name = "x\" address=192.0.2.9 user=y failures=1";
        for _ in 0..4 {
            assert_eq!(code(&login(&mut guesser, &asked, name, "geheim")), 401);
        }
        let line = server.wait_for("the line", |line| line.contains("login failed"));
        assert!(matches(&timeless(&line)), "{line}");
        assert!(
            !line.contains("geheim") && !line.contains(" address=192"),
            "{line}"
        );
        assert!(line.contains("x%22%20address=192.0.2.9%20user=y"), "{line}");
        // One line for all of them, and none that a stranger writes elsewhere is taken for one.
        let told = server
            .lines()
            .iter()
            .filter(|line| line.contains("login failed"))
            .count();
        assert_eq!(told, 1);
        for forged in [
            " WARN rollcall::endpoint::effects: other login failed address=127.0.0.3 user=x failures=1",
            " INFO x: WARN rollcall::endpoint::effects: login failed address=127.0.0.3 user=x failures=1",
        ] {
            assert!(!matches(forged), "{forged}");
        }
    }
}
