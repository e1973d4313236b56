//! TLS: our own commands and a client by hand.

use std::path::Path;

use rollcall::core::resolve::{Answer, Question, Srv};
use rollcall::core::sip::Name;
use rollcall::testkit::NameServer;
use rollcall::transport::tls::Files;

use super::{Connection, authority, command, path, server};
use crate::support::eventually;
use crate::support::sip::{Client, body, code, pidf};

const BOB: &str = "sip:bob@example.com";

#[test]
fn our_own_clients_publish_and_watch_over_tls_and_believe_only_whom_they_should() {
    let (folder, authority, ca) = authority();
    let certificate = folder.path().join("server.pem");
    authority.issue(&certificate, &["localhost"]);
    let lines = format!("[tls]\ncertificate = \"{}\"", path(&certificate));
    let server = server(folder.path(), &["udp", "tls"], &lines);
    let port = server.listening("tls").port();
    let there = format!("sips:localhost:{port}");

    let watch = command(&["watch", BOB, "--server", &there, "--ca", path(&ca)]);
    watch.wait_for("the first document", |line| {
        line.ends_with("sip:bob@example.com closed")
    });
    let publish = |there: &str, more: &[&str]| {
        let fixed = [
            "publish", BOB, "--status", "open", "--note", "over TLS", "--server", there,
        ];
        command(&[&fixed[..], more].concat())
    };
    let mut published = publish(
        &format!("sip:localhost:{port};transport=tls"),
        &["--ca", path(&ca)],
    );
    published.wait_for("a publication", |line| {
        line.starts_with("published sip:bob@example.com")
    });
    assert!(published.ended().success());
    watch.wait_for("the change", |line| {
        line.ends_with("sip:bob@example.com open \"over TLS\"")
    });

    // Not issued by an authority of this machine, and not for this address.
    for (there, more) in [
        (&*there, &[][..]),
        (&format!("sips:127.0.0.1:{port}"), &["--ca", path(&ca)][..]),
    ] {
        let mut refused = publish(there, more);
        let line = refused.wait_for("a reason", |line| line.contains("not published"));
        assert!(line.contains("certificate"), "{line}");
        assert!(!refused.ended().success());
    }
}

/// What the DNS says is not proven, so what it leads to must be the domain that was meant (RFC 5922, 7.3).
#[test]
fn a_server_found_by_srv_must_have_a_certificate_of_the_domain_and_not_of_its_own_name() {
    let (folder, authority, ca) = authority();
    let publish = |certified: &str| {
        let certificate = folder.path().join(format!("{certified}.pem"));
        authority.issue(&certificate, &[certified]);
        let lines = format!("[tls]\ncertificate = \"{}\"", path(&certificate));
        let server = server(folder.path(), &["tls"], &lines);
        let at = server.listening("tls");
        let dns = NameServer::start();
        let record = Srv {
            priority: 1,
            weight: 1,
            port: at.port(),
            target: "host.else.test.".to_owned(),
        };
        dns.answer(
            Question::Srv("_sips._tcp.example.test".to_owned()),
            Answer::Srv(vec![record]),
        );
        dns.answer(
            Question::Address("host.else.test".to_owned()),
            Answer::Addresses(vec![at.ip()]),
        );
        let dns_at = dns.addr().to_string();
        let mut publish = command(&[
            "publish",
            BOB,
            "--status",
            "open",
            "--server",
            "sips:example.test",
            "--dns",
            &dns_at,
            "--ca",
            path(&ca),
        ]);
        publish.ended();
        publish.lines().join("\n")
    };
    let well = publish("example.test");
    assert!(well.starts_with("published sip:bob@example.com"), "{well}");
    let refused = publish("host.else.test");
    assert!(
        refused.contains("not published") && refused.contains("certificate"),
        "{refused}"
    );
}

#[test]
fn a_new_certificate_and_new_accounts_are_taken_without_a_restart() {
    let (folder, old, ca) = authority();
    let certificate = folder.path().join("server.pem");
    old.issue(&certificate, &["localhost"]);
    let users =
        crate::authentication::accounts(folder.path(), "example.com", &[("alice", "geheim")]);
    let lines = format!(
        "auth = \"digest\"\n[digest]\nusers = \"{}\"\n[tls]\ncertificate = \"{}\"",
        path(&users),
        path(&certificate)
    );
    let server = server(folder.path(), &["tls"], &lines);
    let there = format!("sips:localhost:{}", server.listening("tls").port());
    let publish = |user: &str, password: &str| {
        let uri = format!("sip:{user}@example.com");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rollcall"));
        command
            .args([
                "publish",
                &uri,
                "--status",
                "open",
                "--user",
                user,
                "--server",
                &there,
                "--ca",
                path(&ca),
            ])
            .env("ROLLCALL_PASSWORD", password);
        crate::support::process::Process::start("publish", command)
    };
    let well = |line: &str| line.starts_with("published sip:");
    publish("alice", "geheim").wait_for("a publication", well);
    publish("bob", "secret").wait_for("a refusal", |line| line.contains("not published"));

    let new = super::Authority::new();
    new.issue(&certificate, &["localhost"]);
    crate::authentication::accounts(folder.path(), "example.com", &[("bob", "secret")]);
    server.signal("HUP");
    server.wait_for("the reload", |line| line.contains("were read again"));
    publish("alice", "geheim").wait_for("a refusal", |line| line.contains("certificate"));
    std::fs::write(&ca, new.pem()).expect("a file");
    publish("bob", "secret").wait_for("a publication", well);
    publish("alice", "geheim").wait_for("a publication", well);

    std::fs::write(&certificate, "nothing").expect("a file");
    server.signal("HUP");
    let line = server.wait_for("the reason", |line| line.contains("not read again"));
    assert!(line.contains("server.pem"), "{line}");
    publish("alice", "geheim").wait_for("a publication", well);
}

#[test]
fn a_client_with_a_trusted_certificate_publishes_for_anybody_and_others_need_a_password() {
    let (folder, authority, ca) = authority();
    let file = |name: &str, names: &[&str]| {
        let file = folder.path().join(name);
        authority.issue(&file, names);
        file
    };
    let own = file("server.pem", &["localhost"]);
    let lines = format!(
        "auth = \"digest\"\n[digest]\ntrusted = [\"192.0.2.1\"]\n[tls]\ncertificate = \"{}\"\nclient_ca = \"{}\"\n\
         trusted = [\"proxy.example.com\"]",
        path(&own),
        path(&ca)
    );
    let server = server(folder.path(), &["tls"], &lines);
    let address = server.listening("tls");
    let with = |certificate| {
        let authorities = Some(ca.clone());
        Connection::tls(
            address,
            &Files {
                certificate,
                authorities,
                ..Files::default()
            },
        )
        .expect("a handshake")
    };
    let lines = "Event: presence\nContent-Type: application/pidf+xml\n";
    let document = pidf(BOB, "open", "");
    let mut proxy = with(Some(file("proxy.pem", &["proxy.example.com"])));
    assert_eq!(code(&proxy.ask("PUBLISH", BOB, lines, &document)), 200);
    for certificate in [None, Some(file("other.pem", &["other.example.com"]))] {
        assert_eq!(
            code(&with(certificate).ask("PUBLISH", BOB, lines, &document)),
            401
        );
    }
}

#[test]
fn what_is_no_handshake_is_counted_and_costs_nobody_else_anything() {
    let (folder, ..) = authority();
    let server = server(
        folder.path(),
        &["tls", "wss"],
        "shards = 1\n[tls]\nself_signed = true",
    );
    for kind in ["tls", "wss"] {
        let mut plain = std::net::TcpStream::connect(server.listening(kind)).expect("a connection");
        std::io::Write::write_all(&mut plain, b"OPTIONS sip:example.com SIP/2.0\r\n\r\n")
            .expect("it is taken");
        let mut rest = Vec::new();
        // A close with something unread is a reset.
        if let Err(error) = std::io::Read::read_to_end(&mut plain, &mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        assert!(!rest.starts_with(b"SIP/2.0"), "{rest:?}");
    }
    // They are counted after the connections are closed, so one look may be too early.
    eventually("two failed handshakes", || {
        let from = server.lines().len();
        server.signal("USR1");
        let is = |line: &str| line.starts_with("endpoint 0:");
        let (_, line) = server.wait_for_from(from, "counters", is);
        line.contains("handshakes_failed=2").then_some(())
    });
    let files = Files {
        authorities: None,
        ..Files::default()
    };
    let refused = Connection::tls(server.listening("tls"), &files)
        .err()
        .expect("nobody vouches for it");
    assert!(refused.contains("certificate"), "{refused}");
}

#[test]
fn a_notify_goes_down_the_connection_of_its_subscription() {
    let (folder, authority, ca) = authority();
    let certificate = folder.path().join("server.pem");
    authority.issue(&certificate, &["localhost"]);
    let lines = format!("[tls]\ncertificate = \"{}\"", path(&certificate));
    let server = server(folder.path(), &["tls"], &lines);
    let files = Files {
        authorities: Some(ca),
        ..Files::default()
    };
    let mut watcher = Connection::tls(server.listening("tls"), &files).expect("a handshake");
    // Nobody could connect there.
    let lines = "Event: presence\nContact: <sip:w@192.0.2.1:5061;transport=tls>\nExpires: 600\n";
    assert_eq!(code(&watcher.ask("SUBSCRIBE", BOB, lines, "")), 200);
    let first = watcher.message();
    assert!(
        body(&first).contains("<basic>closed</basic>"),
        "{}",
        body(&first)
    );
    let via = first.texts(Name::Via).next().expect("a Via").to_string();
    assert!(via.starts_with("SIP/2.0/TLS 127.0.0.1:"), "{via}");
    watcher.answer(&first);
    let mut publisher = Connection::tls(server.listening("tls"), &files).expect("a handshake");
    let lines = "Event: presence\nContent-Type: application/pidf+xml\n";
    assert_eq!(
        code(&publisher.ask("PUBLISH", BOB, lines, &pidf(BOB, "open", "here"))),
        200
    );
    let change = watcher.message();
    assert!(body(&change).contains("here"), "{}", body(&change));
}

/// ```text
///   phone                                  server
///     | == TLS, certificate of localhost ==> |   SUBSCRIBE, Contact <sips:w@localhost:6061>; then it is closed
///     | == TLS, the same certificate ======> |   OPTIONS, Via localhost:6061;alias
///     | <------------ NOTIFY --------------- |   for localhost:6061, where nobody listens
/// ```
#[test]
fn a_connection_that_its_peer_offers_serves_requests_the_other_way() {
    let (folder, authority, ca) = authority();
    let issue = |name: &str, host: &str| {
        let file = folder.path().join(name);
        authority.issue(&file, &[host]);
        file
    };
    let own = issue("server.pem", "localhost");
    let lines = format!(
        "shards = 1\n[tls]\ncertificate = \"{}\"\nclient_ca = \"{}\"\n[egress]\nproxies = \"127.0.0.1\"",
        path(&own),
        path(&ca)
    );
    let server = server(folder.path(), &["tls", "udp"], &lines);
    let connect = |certificate: &Path| {
        let files = Files {
            certificate: Some(certificate.to_owned()),
            authorities: Some(ca.clone()),
            ..Files::default()
        };
        Connection::tls(server.listening("tls"), &files).expect("a handshake")
    };
    let phone = issue("phone.pem", "localhost");
    let stranger = issue("stranger.pem", "stranger.example.com");
    let mut watcher = connect(&phone);
    let lines = "Event: presence\nContact: <sips:w@localhost:6061>\nExpires: 600\n";
    assert_eq!(code(&watcher.ask("SUBSCRIBE", BOB, lines, "")), 200);
    let first = watcher.message();
    watcher.answer(&first);
    drop(watcher);
    let offer = |connection: &mut Connection| {
        let request = connection.request("OPTIONS", "sip:example.com", "", "");
        let sent_by = request.split("Via: SIP/2.0/TLS ").nth(1).expect("a Via");
        let sent_by = sent_by.split(';').next().expect("a host").to_owned();
        let offer = request.replacen(&format!("{sent_by};"), "localhost:6061;alias;", 1);
        connection.send(offer);
        assert_eq!(code(&connection.message()), 200);
    };
    let mut thief = connect(&stranger);
    let mut again = connect(&phone);
    offer(&mut again);
    eventually("the end of the first connection", || {
        let from = server.lines().len();
        server.signal("USR1");
        let is = |line: &str| line.starts_with("endpoint 0:");
        let (_, line) = server.wait_for_from(from, "counters", is);
        line.contains(" connections=2").then_some(())
    });
    let mut desk = Client::new(server.listening("udp"));
    let mut tag = None;
    for note in ["over the alias", "and again"] {
        let document = pidf(BOB, "open", note);
        let answer = desk.publish(BOB, tag.as_deref(), &document);
        tag = answer.text(Name::SipEtag).map(|tag| tag.into_owned());
        let notify = again.message();
        assert_eq!(notify.uri_text(), "sips:w@localhost:6061");
        assert!(body(&notify).contains(note), "{}", body(&notify));
        again.answer(&notify);
    }
    // Whose certificate does not name the host is not believed, and takes nothing away.
    offer(&mut thief);
    desk.publish(
        BOB,
        tag.as_deref(),
        &pidf(BOB, "open", "for the phone alone"),
    );
    let notify = again.message();
    let told = body(&notify);
    assert!(told.contains("for the phone alone"), "{told}");
}
