//! The rules of RFC 3263, 4.1 and 4.2: answers in, questions out, servers at last.

mod order;

use proptest::prelude::*;

use super::*;
use crate::entropy::Entropy;

const ALL: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];
const HOST: &str = "example.test";

fn wanted(secure: bool, transport: Option<Transport>, port: Option<u16>) -> Wanted {
    Wanted {
        secure,
        transport,
        host: HOST.to_owned(),
        port,
    }
}

/// A zone, and the questions it was asked.
#[derive(Default)]
struct Zone {
    naptr: Vec<Naptr>,
    srv: Vec<(&'static str, Srv)>,
    addresses: Vec<(&'static str, &'static str)>,
    /// Questions about such names fail.
    broken: Vec<&'static str>,
    asked: Vec<String>,
}

impl Zone {
    fn naptr(mut self, order: u16, preference: u16, services: &str, replacement: &str) -> Self {
        self.naptr.push(Naptr {
            order,
            preference,
            flags: "S".to_owned(),
            services: services.to_owned(),
            regexp: String::new(),
            replacement: replacement.to_owned(),
        });
        self
    }

    fn srv(mut self, name: &'static str, priority: u16, port: u16, target: &str) -> Self {
        let target = target.to_owned();
        let weight = 0;
        self.srv.push((
            name,
            Srv {
                priority,
                weight,
                port,
                target,
            },
        ));
        self
    }

    fn address(mut self, name: &'static str, address: &'static str) -> Self {
        self.addresses.push((name, address));
        self
    }

    fn broken(mut self, name: &'static str) -> Self {
        self.broken.push(name);
        self
    }

    fn answer(&mut self, question: &Question) -> Answer {
        let (kind, name) = match question {
            Question::Naptr(name) => ("NAPTR", name),
            Question::Srv(name) => ("SRV", name),
            Question::Address(name) => ("A", name),
        };
        self.asked.push(format!("{kind} {name}"));
        if self.broken.contains(&name.as_str()) || self.broken.contains(&kind) {
            return Answer::Failed(format!("{kind} failed"));
        }
        match question {
            Question::Naptr(_) => Answer::Naptr(self.naptr.clone()),
            Question::Srv(name) => {
                let own = self.srv.iter().filter(|(of, _)| of == name);
                Answer::Srv(own.map(|(_, srv)| srv.clone()).collect())
            }
            Question::Address(name) => {
                let own = self.addresses.iter().filter(|(of, _)| of == name);
                Answer::Addresses(own.map(|(_, ip)| ip.parse().expect("an address")).collect())
            }
        }
    }

    /// Resolves, and gives the questions and the targets or the error, as text.
    fn resolve(mut self, wanted: Wanted, ours: &[Transport]) -> (Vec<String>, Vec<String>) {
        let (mut resolution, mut step) = Resolution::begin(wanted, ours);
        loop {
            match step {
                Step::Ask(questions) => {
                    let answers = questions.iter().map(|question| self.answer(question));
                    let answers = answers.collect();
                    step = resolution.answer(answers);
                }
                Step::Done(Ok(servers)) => {
                    let targets = servers.order(&mut Entropy::from_number(1));
                    let shown = targets
                        .iter()
                        .map(|t| format!("{} {}", t.transport, t.remote));
                    return (self.asked, shown.collect());
                }
                Step::Done(Err(error)) => return (self.asked, vec![error.to_string()]),
            }
        }
    }
}

#[test]
fn with_a_port_only_addresses_are_asked_for_and_the_transport_is_the_usual_one() {
    let zone = || {
        Zone::default()
            .address(HOST, "192.0.2.1")
            .address(HOST, "2001:db8::1")
    };
    for (secure, transport, shown) in [
        (false, None, "udp"),
        (false, Some(Transport::Tcp), "tcp"),
        (false, Some(Transport::Tls), "tls"),
        (true, None, "tls"),
        (true, Some(Transport::Tcp), "tls"),
    ] {
        let (asked, targets) = zone().resolve(wanted(secure, transport, Some(5070)), &ALL);
        assert_eq!(asked, ["A example.test"]);
        assert_eq!(
            targets,
            [
                format!("{shown} 192.0.2.1:5070"),
                format!("{shown} [2001:db8::1]:5070")
            ]
        );
    }
}

#[test]
fn a_transport_that_is_said_leads_to_its_srv_without_naptr() {
    for (secure, transport, name, shown) in [
        (false, Transport::Udp, "_sip._udp.example.test", "udp"),
        (false, Transport::Tcp, "_sip._tcp.example.test", "tcp"),
        (false, Transport::Tls, "_sips._tcp.example.test", "tls"),
        (true, Transport::Tcp, "_sips._tcp.example.test", "tls"),
    ] {
        let zone = Zone::default()
            .naptr(1, 1, "SIP+D2U", "_sip._udp.elsewhere.test")
            .srv(name, 1, 5080, "a.example.test.")
            .address("a.example.test.", "192.0.2.1");
        let (asked, targets) = zone.resolve(wanted(secure, Some(transport), None), &ALL);
        assert_eq!(
            asked,
            [format!("SRV {name}"), "A a.example.test.".to_owned()]
        );
        assert_eq!(targets, [format!("{shown} 192.0.2.1:5080")]);
    }
}

#[test]
fn naptr_chooses_the_transport_and_names_its_srv_records() {
    let zone = Zone::default()
        .naptr(50, 20, "SIP+D2U", "_sip._udp.example.test.")
        .naptr(50, 10, "SIP+D2T", "_tcp.else.test.")
        .srv("_tcp.else.test.", 1, 5080, "a.else.test.")
        .srv("_sip._udp.example.test.", 1, 5060, "b.example.test.")
        .address("a.else.test.", "192.0.2.1")
        .address("b.example.test.", "192.0.2.2");
    let (asked, targets) = zone.resolve(wanted(false, None, None), &ALL);
    assert_eq!(
        asked,
        [
            "NAPTR example.test",
            "SRV _tcp.else.test.",
            "SRV _sip._udp.example.test.",
            "A a.else.test.",
            "A b.example.test."
        ]
    );
    assert_eq!(targets, ["tcp 192.0.2.1:5080", "udp 192.0.2.2:5060"]);
}

#[test]
fn services_of_a_later_order_are_for_when_an_earlier_one_leads_nowhere() {
    let zone = || {
        Zone::default()
            .naptr(2, 1, "SIP+D2U", "udp.")
            .naptr(1, 9, "sips+d2t", "tls.")
            .srv("tls.", 1, 5061, "a.")
            .srv("udp.", 1, 5060, "b.")
            .address("b.", "192.0.2.2")
    };
    let (_, targets) = zone()
        .address("a.", "192.0.2.1")
        .resolve(wanted(false, None, None), &ALL);
    assert_eq!(targets, ["tls 192.0.2.1:5061"]);
    let (asked, targets) = zone().resolve(wanted(false, None, None), &ALL);
    assert_eq!(
        asked,
        ["NAPTR example.test", "SRV tls.", "A a.", "SRV udp.", "A b."]
    );
    assert_eq!(targets, ["udp 192.0.2.2:5060"]);
}

#[test]
fn services_that_we_have_not_or_nobody_knows_are_passed_over() {
    let zone = || {
        let mut zone = Zone::default()
            .naptr(1, 1, "SIP+D2S", "sctp.")
            .naptr(1, 2, "SIP+D2W", "ws.")
            .naptr(1, 3, "E2U+sip", "enum.")
            .naptr(2, 1, "SIPS+D2T", "tls.")
            .naptr(3, 1, "SIP+D2T", "tcp.")
            .srv("tls.", 1, 5061, "a.")
            .srv("tcp.", 1, 5060, "a.")
            .address("a.", "192.0.2.1");
        // No services of SIP: another flag, and a rule that rewrites.
        for (flags, regexp) in [("u", ""), ("s", "!^.*$!sip:info@example.test!")] {
            let services = "SIP+D2U".to_owned();
            zone.naptr.push(Naptr {
                order: 0,
                preference: 0,
                flags: flags.to_owned(),
                services,
                regexp: regexp.to_owned(),
                replacement: "udp.".to_owned(),
            });
        }
        zone
    };
    let (asked, targets) = zone().resolve(wanted(false, None, None), &ALL);
    assert_eq!(asked[1], "SRV tls.");
    assert_eq!(targets, ["tls 192.0.2.1:5061"]);
    let (_, targets) = zone().resolve(wanted(false, None, None), &[Transport::Tcp]);
    assert_eq!(targets, ["tcp 192.0.2.1:5060"]);
}

#[test]
fn sips_takes_nothing_but_tls() {
    let zone = Zone::default()
        .naptr(1, 1, "SIP+D2U", "udp.")
        .naptr(2, 1, "SIPS+D2T", "tls.")
        .srv("udp.", 1, 5060, "a.")
        .srv("tls.", 1, 5061, "a.")
        .address("a.", "192.0.2.1");
    let (asked, targets) = zone.resolve(wanted(true, None, None), &ALL);
    assert_eq!(asked, ["NAPTR example.test", "SRV tls.", "A a."]);
    assert_eq!(targets, ["tls 192.0.2.1:5061"]);
    let zone = Zone::default().address(HOST, "192.0.2.1");
    let (asked, targets) = zone.resolve(wanted(true, None, None), &ALL);
    assert_eq!(
        asked,
        [
            "NAPTR example.test",
            "SRV _sips._tcp.example.test",
            "A example.test"
        ]
    );
    assert_eq!(targets, ["tls 192.0.2.1:5061"]);
    let error = "no address for host example.test: it wants a transport that is none of ours";
    for transport in [None, Some(Transport::Udp)] {
        let ours = [Transport::Udp, Transport::Tcp];
        let (asked, said) = Zone::default().resolve(wanted(true, transport, None), &ours);
        assert_eq!((asked, said), (Vec::new(), vec![error.to_owned()]));
    }
}

#[test]
fn without_naptr_each_transport_of_ours_is_asked_for_by_srv() {
    let zone = Zone::default()
        .srv("_sip._tcp.example.test", 1, 5070, "a.")
        .srv("_sip._udp.example.test", 2, 5062, "a.")
        .srv("_sip._udp.example.test", 1, 5061, "a.")
        .address("a.", "192.0.2.1");
    let (asked, targets) = zone.resolve(wanted(false, None, None), &ALL);
    assert_eq!(
        asked,
        [
            "NAPTR example.test",
            "SRV _sip._udp.example.test",
            "SRV _sip._tcp.example.test",
            "A a."
        ]
    );
    assert_eq!(
        targets,
        [
            "udp 192.0.2.1:5061",
            "udp 192.0.2.1:5062",
            "tcp 192.0.2.1:5070"
        ]
    );
}

#[test]
fn without_srv_the_name_itself_is_the_server_at_the_default_port() {
    let zone = || Zone::default().address(HOST, "192.0.2.1");
    let (_, targets) = zone().resolve(wanted(false, None, None), &ALL);
    assert_eq!(targets, ["udp 192.0.2.1:5060"]);
    let (_, targets) = zone().resolve(wanted(false, None, None), &[Transport::Tcp]);
    assert_eq!(targets, ["tcp 192.0.2.1:5060"]);
    let (asked, targets) = zone().resolve(wanted(false, Some(Transport::Tls), None), &ALL);
    assert_eq!(asked, ["SRV _sips._tcp.example.test", "A example.test"]);
    assert_eq!(targets, ["tls 192.0.2.1:5061"]);
    let (_, targets) = zone()
        .naptr(1, 1, "SIP+D2T", "nothing.")
        .resolve(wanted(false, None, None), &ALL);
    assert_eq!(targets, ["tcp 192.0.2.1:5060"], "as NAPTR has chosen");
}

#[test]
fn a_service_whose_target_is_the_root_is_not_served() {
    let zone = |target: &str| {
        Zone::default()
            .srv("_sip._udp.example.test", 0, 0, ".")
            .srv("_sip._tcp.example.test", 0, 5060, target)
            .address(HOST, "192.0.2.1")
            .address("a.", "192.0.2.2")
    };
    let (_, targets) = zone("a.").resolve(wanted(false, None, None), &ALL);
    assert_eq!(targets, ["tcp 192.0.2.2:5060"]);
    let (_, targets) = zone(".").resolve(wanted(false, None, None), &ALL);
    assert_eq!(
        targets,
        ["no address for host example.test: it says that it has no SIP server"]
    );
}

#[test]
fn what_fails_in_the_dns_counts_as_absent_as_long_as_there_is_an_address() {
    let zone = || Zone::default().broken("NAPTR").broken("SRV");
    let (_, targets) = zone()
        .address(HOST, "192.0.2.1")
        .resolve(wanted(false, None, None), &ALL);
    assert_eq!(targets, ["udp 192.0.2.1:5060"]);
    let (_, targets) = zone().resolve(wanted(false, None, None), &ALL);
    assert_eq!(targets, ["no address for host example.test: NAPTR failed"]);
    let (_, targets) = Zone::default().resolve(wanted(false, None, None), &ALL);
    assert_eq!(
        targets,
        ["no address for host example.test: the DNS knows none"]
    );
}

#[test]
fn a_server_without_an_address_is_left_out() {
    let zone = Zone::default()
        .srv("_sip._udp.example.test", 1, 5060, "a.")
        .srv("_sip._udp.example.test", 2, 5060, "b.")
        .srv("_sip._udp.example.test", 3, 5060, "c.")
        .address("b.", "192.0.2.2")
        .broken("c.");
    let (_, targets) = zone.resolve(wanted(false, Some(Transport::Udp), None), &ALL);
    assert_eq!(targets, ["udp 192.0.2.2:5060"]);
}

#[test]
fn a_zone_with_servers_by_the_hundred_does_not_make_us_ask_for_all() {
    let name = "_sip._udp.example.test";
    let zone = (0..200u16).rev().fold(Zone::default(), |zone, n| {
        zone.srv(name, n, 5060, &format!("{n}."))
    });
    let (asked, _) = zone.resolve(wanted(false, Some(Transport::Udp), None), &ALL);
    let expected: Vec<String> = std::iter::once(format!("SRV {name}"))
        .chain((0..32).map(|n| format!("A {n}.")))
        .collect();
    assert_eq!(asked, expected, "the best ones");
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let name = || prop::sample::select(vec!["", ".", "a.", "b.", "example.test", "_sip._udp.x."]);
    let services = prop::sample::select(vec!["SIP+D2U", "SIP+D2T", "SIPS+D2T", "SIP+D2S", ""]);
    let flags = prop::sample::select(vec!["s", "S", "u", ""]);
    let naptr = (0..4u16, 0..4u16, flags, services, name());
    let naptr = naptr.prop_map(|(order, preference, flags, services, replacement)| Naptr {
        order,
        preference,
        flags: flags.to_owned(),
        services: services.to_owned(),
        regexp: String::new(),
        replacement: replacement.to_owned(),
    });
    let srv = (any::<u16>(), any::<u16>(), any::<u16>(), name());
    let srv = srv.prop_map(|(priority, weight, port, target)| Srv {
        priority,
        weight,
        port,
        target: target.to_owned(),
    });
    prop_oneof![
        prop::collection::vec(naptr, 0..40).prop_map(Answer::Naptr),
        prop::collection::vec(srv, 0..40).prop_map(Answer::Srv),
        prop::collection::vec(any::<IpAddr>(), 0..4).prop_map(Answer::Addresses),
        Just(Answer::Failed("broken".to_owned())),
    ]
}

proptest! {
    /// Also to answers that are of another kind than the question, too few or too many.
    #[test]
    fn whatever_the_dns_says_a_resolution_ends_soon_and_gives_targets_of_ours(
        secure in any::<bool>(),
        port in any::<Option<u16>>(),
        rounds in prop::collection::vec(prop::collection::vec(any_answer(), 0..5), 60),
    ) {
        let (mut resolution, mut step) = Resolution::begin(wanted(secure, None, port), &ALL);
        let mut asked = 0;
        let mut rounds = rounds.into_iter();
        loop {
            match step {
                Step::Ask(questions) => {
                    asked += 1;
                    prop_assert!(asked <= 30 && questions.len() <= 32);
                    step = resolution.answer(rounds.next().unwrap_or_default());
                }
                Step::Done(Ok(servers)) => {
                    let targets = servers.order(&mut Entropy::from_number(1));
                    prop_assert!(!targets.is_empty() && targets.len() <= MOST_TARGETS);
                    let fits = |t: &Target| !secure || t.transport == Transport::Tls;
                    prop_assert!(targets.iter().all(fits));
                    break;
                }
                Step::Done(Err(_)) => break,
            }
        }
    }
}
