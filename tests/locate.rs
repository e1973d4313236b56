//! Servers found by their names, over real sockets: a name server on loopback, our own nodes, and servers that fail.
//!
//! ```text
//!  rollcall publish      name server         first server      second server
//!     | ── NAPTR, SRV, A ──> |                    |                  |
//!     | ── PUBLISH ─────────────────────────────> |  503, silence    |
//!     | ── PUBLISH, another branch ────────────────────────────────> |
//!     | <──────────────────────────────────────────────────── 200 ── |
//! ```

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use rollcall::core::resolve::{Answer, Naptr, Question, Srv};
use rollcall::core::sip::Name;
use rollcall::testkit::NameServer;

use crate::support::process::Process;
use crate::support::sip::{Client, code};
use crate::support::source::leave_word;

const DOMAIN: &str = "example.test";
const BOB: &str = "sip:bob@example.test";

/// A presence server on free ports of loopback.
fn server(dns: Option<&NameServer>) -> Process {
    server_with(dns, "")
}

/// The same with further settings.
fn server_with(dns: Option<&NameServer>, more: &str) -> Process {
    let folder = tempfile::tempdir().expect("a folder");
    let mut text =
        "listen = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]\nstore = \"memory:\"\n".to_owned();
    if let Some(dns) = dns {
        text.push_str(&format!("[dns]\nservers = \"{}\"\n", dns.addr()));
    }
    text.push_str(more);
    configured("server", folder, &text)
}

/// A node with this config file.
fn configured(role: &str, folder: tempfile::TempDir, text: &str) -> Process {
    std::fs::write(folder.path().join("a.toml"), text).expect("a file");
    let node = Process::rollcall_in(folder.path(), &[role, "--config", "a.toml"]);
    let kind = if role == "manager" { "manager" } else { "udp" };
    node.listening(kind);
    node
}

/// Servers of the domain by NAPTR and SRV: `SIP+D2U` or `SIP+D2T`, at these addresses, one after the other.
fn domain(services: &str, servers: &[SocketAddr]) -> NameServer {
    let dns = NameServer::start();
    let service = format!("_service.{DOMAIN}.");
    let naptr = Naptr {
        order: 10,
        preference: 10,
        flags: "s".to_owned(),
        services: services.to_owned(),
        regexp: String::new(),
        replacement: service.clone(),
    };
    dns.answer(
        Question::Naptr(DOMAIN.to_owned()),
        Answer::Naptr(vec![naptr]),
    );
    let records = servers.iter().zip(1..).map(|(server, priority)| {
        let target = format!("server{priority}.{DOMAIN}.");
        let here = Answer::Addresses(vec![server.ip()]);
        dns.answer(Question::Address(target.clone()), here);
        Srv {
            priority,
            weight: 0,
            port: server.port(),
            target,
        }
    });
    let records = records.collect();
    dns.answer(Question::Srv(service), Answer::Srv(records));
    dns
}

/// Publishes bob's state to the domain, as a person does.
fn publish(dns: &NameServer, note: &str) -> Process {
    Process::rollcall(&[
        "publish",
        BOB,
        "--note",
        note,
        "--server",
        &format!("sip:{DOMAIN}"),
        "--dns",
        &dns.addr().to_string(),
    ])
}

/// What a watcher is shown by a server that is known by address.
fn shown(server: SocketAddr) -> String {
    let server = format!("sip:{server}");
    let mut watch = Process::rollcall(&["watch", "--once", BOB, "--server", &server]);
    assert!(watch.ended().success());
    watch.lines().join("\n")
}

/// A port where nobody listens; its listener is closed again.
fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket")
}

#[test]
fn naptr_and_srv_lead_our_commands_to_a_server_of_another_name_and_port() {
    let node = server(None);
    let dns = domain("SIP+D2U", &[node.listening("udp")]);
    let mut publish = publish(&dns, "found");
    assert!(publish.ended().success(), "{:?}", publish.lines());
    let at = dns.addr().to_string();
    let server = format!("sip:{DOMAIN}");
    let mut watch = Process::rollcall(&["watch", "--once", BOB, "--server", &server, "--dns", &at]);
    assert!(watch.ended().success(), "{:?}", watch.lines());
    assert!(watch.lines()[0].contains("found"), "{:?}", watch.lines());
    let asked = dns.asked();
    assert_eq!(asked[0], Question::Naptr(DOMAIN.to_owned()));
    assert_eq!(asked[1], Question::Srv(format!("_service.{DOMAIN}")));
}

#[test]
fn a_server_that_refuses_connections_is_left_for_the_next_one() {
    let node = server(None);
    let second = node.listening("tcp");
    let dns = domain("SIP+D2T", &[closed_port(), second]);
    let mut publish = publish(&dns, "second");
    assert!(publish.ended().success(), "{:?}", publish.lines());
    assert!(shown(node.listening("udp")).contains("second"));
}

/// On loopback ICMP says that nobody listens; without it, the test would take as long as Timer F.
#[cfg(target_os = "linux")]
#[test]
fn a_dead_server_over_udp_is_left_for_the_next_one_at_once() {
    let node = server(None);
    let second = node.listening("udp");
    let gone = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let dead = gone.local_addr().expect("a bound socket");
    drop(gone);
    let dns = domain("SIP+D2U", &[dead, second]);
    let start = Instant::now();
    let mut publish = publish(&dns, "second");
    assert!(publish.ended().success(), "{:?}", publish.lines());
    assert!(start.elapsed() < Duration::from_secs(32), "Timer F");
    assert!(shown(second).contains("second"));
}

#[test]
fn a_server_that_answers_503_is_left_for_the_next_one() {
    let node = server(None);
    let busy = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let first = busy.local_addr().expect("a bound socket");
    let dns = domain("SIP+D2U", &[first, node.listening("udp")]);
    let mut publish = publish(&dns, "not-busy");
    let mut busy = Client::on(busy);
    let request = busy.expect("a PUBLISH", |message| message.is_request());
    busy.answer_to_sender(&request, 503, "Service Unavailable");
    assert!(publish.ended().success(), "{:?}", publish.lines());
    assert!(shown(node.listening("udp")).contains("not-busy"));
}

/// The Presence Client goes on beside a server that says nothing, and does not ask it for each presentity anew.
#[test]
fn a_presence_client_leaves_a_silent_server_for_the_next_one() {
    let node = server(None);
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let first = silent.local_addr().expect("a bound socket");
    let dns = domain("SIP+D2U", &[first, node.listening("udp")]);
    let folder = || tempfile::tempdir().expect("a folder");
    let manager = configured("manager", folder(), "listen = \"127.0.0.1:0\"\n");
    let manager_at = manager.listening("manager");
    let text = format!(
        "manager = \"{manager_at}\"\nserver = \"sip:{DOMAIN}\"\n[dns]\nservers = \"{}\"\n[timers]\nt1 = \"10ms\"\n",
        dns.addr()
    );
    let client = configured("client", folder(), &text);
    let server = format!("sip:{}", node.listening("udp"));
    let watch = Process::rollcall(&["watch", BOB, "--server", &server]);
    leave_word(manager_at, BOB, "in-spite-of-it");
    watch.wait_for("the word", |line| line.contains("in-spite-of-it"));
    let mut silent = Client::on(silent);
    silent.expect("what the silent one was asked", |message| {
        message.is_request()
    });
    client.signal("USR1");
    client.wait_for("its counters", |line| line.contains("core.failed_over="));
}

#[test]
fn a_name_without_a_server_is_told_in_words() {
    let dns = NameServer::start();
    let mut publish = publish(&dns, "lost");
    assert_eq!(publish.ended().code(), Some(1));
    let told = "no address for host example.test: the DNS knows none";
    let lines = publish.lines();
    assert!(lines.iter().any(|line| line.contains(told)), "{lines:?}");
}

/// As when machine and network start together.
#[test]
fn a_presence_client_waits_for_a_name_that_is_not_known_yet() {
    let dns = NameServer::start();
    let folder = || tempfile::tempdir().expect("a folder");
    let manager = configured("manager", folder(), "listen = \"127.0.0.1:0\"\n");
    let manager_at = manager.listening("manager");
    let text = format!(
        "manager = \"{manager_at}\"\nserver = \"sip:{DOMAIN}\"\n[dns]\nservers = \"{}\"\n",
        dns.addr()
    );
    let client = configured("client", folder(), &text);
    leave_word(manager_at, BOB, "patience");
    client.wait_for("what it knows", |line| {
        line.contains("no address for host example.test")
    });
    let node = server(None);
    let at = node.listening("udp");
    let service = Question::Srv(format!("_sip._udp.{DOMAIN}"));
    let record = Srv {
        priority: 1,
        weight: 1,
        port: at.port(),
        target: "late.test.".to_owned(),
    };
    dns.answer(service, Answer::Srv(vec![record]));
    let address = Question::Address("late.test".to_owned());
    dns.answer(address, Answer::Addresses(vec![at.ip()]));
    let watch = Process::rollcall(&["watch", BOB, "--server", &format!("sip:{at}")]);
    watch.wait_for("the word", |line| line.contains("patience"));
}

/// Behind a proxy, so that its Contact counts and not where it came from.
#[test]
fn a_watcher_whose_contact_is_a_name_gets_its_notify() {
    let dns = NameServer::start();
    // A contact elsewhere than the proxy is followed where the proxy is known (docs/adr/0015).
    let node = server_with(Some(&dns), "[egress]\nproxies = \"127.0.0.1\"\n");
    let mut proxy = Client::new(node.listening("udp"));
    let phone = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let at = phone.local_addr().expect("a bound socket");
    dns.answer(
        Question::Srv("_sip._udp.phone.test".to_owned()),
        Answer::Srv(vec![Srv {
            priority: 0,
            weight: 0,
            port: at.port(),
            target: "desk.phone.test.".to_owned(),
        }]),
    );
    dns.answer(
        Question::Address("desk.phone.test".to_owned()),
        Answer::Addresses(vec![at.ip()]),
    );
    let cseq = proxy.request(
        "SUBSCRIBE",
        BOB,
        "Via: SIP/2.0/UDP 192.0.2.5:5062;branch=z9hG4bKphone\nEvent: presence\nExpires: 600\n\
         Contact: <sip:w@phone.test>\nAccept: application/pidf+xml\n",
        "",
    );
    assert_eq!(code(&proxy.response(cseq)), 200);
    let mut phone = Client::on(phone);
    let notify = phone.expect("a NOTIFY", |message| message.is_request());
    assert_eq!(notify.uri_text(), "sip:w@phone.test");
    assert!(notify.text(Name::SubscriptionState).is_some());
    phone.answer_to_sender(&notify, 200, "OK");
}
