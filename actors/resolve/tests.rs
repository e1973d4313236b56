//! The resolver against a name server on loopback, over real sockets.

use std::net::IpAddr;
use std::time::Instant;

use rollcall_core::entropy::Entropy;
use rollcall_core::resolve::{Naptr, Srv};

use super::*;
use crate::testkit::{NameServer, in_real_time};

const ALL: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

fn wanted(host: &str, transport: Option<Transport>, port: Option<u16>) -> Wanted {
    Wanted {
        secure: false,
        transport,
        host: host.to_owned(),
        port,
    }
}

fn addresses(texts: &[&str]) -> Answer {
    let ip = |text: &&str| text.parse::<IpAddr>().expect("an address");
    Answer::Addresses(texts.iter().map(ip).collect())
}

fn srv(priority: u16, port: u16, target: &str) -> Srv {
    Srv {
        priority,
        weight: 10,
        port,
        target: target.to_owned(),
    }
}

fn naptr(order: u16, services: &str, replacement: &str) -> Naptr {
    Naptr {
        order,
        preference: 10,
        flags: "s".to_owned(),
        services: services.to_owned(),
        regexp: String::new(),
        replacement: replacement.to_owned(),
    }
}

fn address_of(name: &str) -> Question {
    Question::Address(name.to_owned())
}

/// The targets, or the error, as text.
async fn locate(dns: &NameServer, wanted: Wanted) -> Vec<String> {
    shown(Resolver::new(&Network::Real, &[dns.addr()]), wanted).await
}

async fn shown(resolver: Resolver, wanted: Wanted) -> Vec<String> {
    match resolver.locate(wanted, &ALL).await {
        Ok(servers) => {
            let targets = servers.order(&mut Entropy::from_number(1));
            let show = |target: &rollcall_core::resolve::Target| {
                format!("{} {}", target.transport, target.remote)
            };
            targets.iter().map(show).collect()
        }
        Err(error) => vec![error],
    }
}

/// A domain with NAPTR, SRV and addresses of both families.
fn example() -> NameServer {
    let dns = NameServer::start();
    let services = vec![
        naptr(20, "SIP+D2U", "_sip._udp.example.test."),
        naptr(10, "SIP+D2T", "_sip._tcp.example.test."),
    ];
    dns.answer(
        Question::Naptr("example.test".to_owned()),
        Answer::Naptr(services),
    );
    dns.answer(
        Question::Srv("_sip._tcp.example.test".to_owned()),
        Answer::Srv(vec![
            srv(2, 5082, "b.example.test."),
            srv(1, 5081, "a.example.test."),
        ]),
    );
    dns.answer(
        address_of("a.example.test"),
        addresses(&["192.0.2.1", "2001:db8::1"]),
    );
    dns.answer(address_of("b.example.test"), addresses(&["192.0.2.2"]));
    dns
}

#[test]
fn naptr_srv_and_addresses_of_both_families_are_read_and_kept_for_their_time() {
    in_real_time(async {
        let dns = example();
        let resolver = Resolver::new(&Network::Real, &[dns.addr()]);
        let expected = [
            "tcp 192.0.2.1:5081",
            "tcp [2001:db8::1]:5081",
            "tcp 192.0.2.2:5082",
        ];
        let wanted = wanted("example.test", None, None);
        assert_eq!(shown(resolver.clone(), wanted.clone()).await, expected);
        let before = dns.asked();
        assert_eq!(
            before[..2],
            [
                Question::Naptr("example.test".to_owned()),
                Question::Srv("_sip._tcp.example.test".to_owned())
            ]
        );
        assert_eq!(shown(resolver, wanted).await, expected);
        // Of b there is no AAAA, and without an SOA nobody knows for how long.
        let again: Vec<_> = dns.asked().split_off(before.len());
        assert!(
            again.iter().all(|q| *q == address_of("b.example.test")),
            "{again:?}"
        );
    });
}

#[test]
fn with_a_port_nothing_but_addresses_is_asked_for() {
    in_real_time(async {
        let dns = example();
        let wanted = wanted("b.example.test", None, Some(5070));
        assert_eq!(locate(&dns, wanted).await, ["udp 192.0.2.2:5070"]);
        let own = address_of("b.example.test");
        assert!(dns.asked().iter().all(|question| *question == own));
    });
}

#[test]
fn a_name_that_nobody_knows_and_a_server_that_fails_are_told_in_words() {
    in_real_time(async {
        let dns = NameServer::start();
        assert_eq!(
            locate(&dns, wanted("nowhere.test", None, None)).await,
            ["no address for host nowhere.test: the DNS knows none"]
        );
        dns.answer(address_of("broken.test"), Answer::Failed(String::new()));
        let told = locate(&dns, wanted("broken.test", None, Some(5060))).await;
        assert!(
            told[0].starts_with("no address for host broken.test: ")
                && !told[0].ends_with("knows none"),
            "{told:?}"
        );
    });
}

#[test]
fn a_network_that_swallows_naptr_and_srv_costs_time_and_not_the_address() {
    in_real_time(async {
        let dns = NameServer::start();
        let start = Instant::now();
        for service in ["_sip._udp.quiet.test", "_sip._tcp.quiet.test"] {
            dns.be_silent(Question::Srv(service.to_owned()));
        }
        dns.be_silent(Question::Naptr("quiet.test".to_owned()));
        dns.answer(address_of("quiet.test"), addresses(&["192.0.2.1"]));
        assert_eq!(
            locate(&dns, wanted("quiet.test", None, None)).await,
            ["udp 192.0.2.1:5060"]
        );
        assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    });
}

#[test]
fn silence_is_told_when_the_time_is_over() {
    in_real_time(async {
        let dns = NameServer::start();
        dns.be_silent(address_of("silent.test"));
        let start = Instant::now();
        let told = locate(&dns, wanted("silent.test", None, Some(5060))).await;
        assert!(
            told[0].starts_with("no address for host silent.test: "),
            "{told:?}"
        );
        let margin = Duration::from_secs(20);
        assert!(start.elapsed() < LIMIT + margin, "{:?}", start.elapsed());
    });
}

/// Whether it stands in the file or not, and whatever the name server would say.
#[test]
fn this_machine_is_found_without_the_dns() {
    in_real_time(async {
        let dns = NameServer::start();
        let at_localhost = locate(&dns, wanted("localhost", None, None)).await;
        assert_eq!(at_localhost[0], "udp 127.0.0.1:5060");
        let below = locate(&dns, wanted("sip.localhost", Some(Transport::Tcp), None)).await;
        assert_eq!(below[0], "tcp 127.0.0.1:5060");
        assert_eq!(dns.asked(), []);
        // Nor do the machine's own name servers count.
        let own = Resolver::new(&Network::Real, &[]);
        let found = shown(own, wanted("localhost", None, None)).await;
        assert_eq!(found[0], "udp 127.0.0.1:5060");
    });
}

#[test]
fn a_resolver_is_good_as_long_as_the_files_of_this_machine_stay_as_they_are() {
    in_real_time(async {
        let dns = NameServer::start();
        let mut resolver = Resolver::new(&Network::Real, &[dns.addr()]);
        assert!(!resolver.is_outdated());
        let Source::Dns(source) = &mut resolver.0 else {
            panic!("{resolver:?}");
        };
        Arc::make_mut(source).forget_stamps();
        assert!(resolver.is_outdated());
    });
}
