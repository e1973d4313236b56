//! Where nothing is sent, and how much a stranger's request may draw.

use std::sync::Arc;

use super::*;
use crate::digest::{Algorithm, Authentication, Guessing, Memory, Users};
use crate::egress::{AMPLIFICATION, Egress, Machine};

/// A place that is not on loopback.
fn stranger() -> Flow {
    Flow {
        local: address("192.0.2.1:5060"),
        remote: address("198.51.100.7:5070"),
        ..udp(0)
    }
}

/// As short as a request can be.
fn short(method: &str) -> String {
    format!(
        "{method} sip:b@e SIP/2.0\r\nv:SIP/2.0/UDP a;branch=z9hG4bK1\r\nf:<sip:a@e>;tag=1\r\nt:<sip:b@e>\r\ni:1\r\n\
         o:presence\r\nCSeq:1 {method}\r\n\r\n"
    )
}

fn that_asks() -> Bench {
    let mut users = Users::default();
    users.add("alice", "a realm that is rather long for a realm", "secret");
    let how = Authentication {
        realm: "a realm that is rather long for a realm".to_owned(),
        users,
        offered: vec![Algorithm::Sha512Of256, Algorithm::Sha256, Algorithm::Md5],
        nonce_life: std::time::Duration::from_secs(300),
        host: None,
        publishers: Vec::new(),
        trusted: Vec::new(),
        key: [7; 32],
        guessing: Guessing::default(),
        memory: Arc::new(Memory::new(&mut Entropy::from_number(3))),
    };
    let settings = Settings {
        authentication: Some(Arc::new(how)),
        server_name: Some("a server with a name that says much of it".to_owned()),
        ..Settings::default()
    };
    Bench::with(settings, table())
}

/// Bytes of all that goes to a place.
fn bytes_to(effects: &[Effect], place: SocketAddr) -> usize {
    let to = |effect: &Effect| match effect {
        Effect::Send { flow, bytes } if flow.remote.ip() == place.ip() => Some(bytes.len()),
        _ => None,
    };
    effects.iter().filter_map(to).sum()
}

#[test]
fn no_answer_to_a_stranger_is_longer_than_three_times_his_request() {
    let many = "a.example.com, ".repeat(30);
    let requests = [
        short("PUBLISH"),
        short("SUBSCRIBE"),
        short("REGISTER"),
        short("OPTIONS"),
        short("INVITE"),
        short("CANCEL"),
        short("NOTIFY"),
        short("FROBNICATE"),
        short("OPTIONS").replace("i:1", "i:1\r\nRequire: a,b,c,d,e,f"),
        short("PUBLISH").replace("CSeq:1", "CSeq:x"),
        short("PUBLISH").replace("f:<sip:a@e>;tag=1\r\n", ""),
        short("OPTIONS").replace("v:", &format!("v:{}", "SIP/2.0/UDP a,".repeat(40))),
        short("OPTIONS").replace("sip:b@e", "tel:1"),
        short("PUBLISH").replace("sip:b@e SIP", "sip:b@e:x SIP"),
        short("PUBLISH").replace(
            "i:1",
            &format!(
                "i:1
Require: {many}"
            ),
        ),
        "X a SIP/2.0\r\n\r\n".to_owned(),
        "OPTIONS a SIP/2.0\r\nv:SIP/2.0/UDP a\r\n\r\n".to_owned(),
    ];
    for mut bench in [Bench::new(), that_asks()] {
        let mut answered = 0;
        for request in &requests {
            // Once, and as retransmissions.
            for _ in 0..3 {
                let out = bench.receive(stranger(), request);
                let drawn = bytes_to(&out, stranger().remote);
                assert!(
                    drawn <= AMPLIFICATION * request.len(),
                    "{drawn} for {request}"
                );
                answered += usize::from(drawn > 0);
            }
        }
        assert!(answered >= 3 * 8, "{answered} answers");
    }
}

#[test]
fn a_short_request_is_challenged_once_and_a_usual_one_as_often_as_there_are_algorithms() {
    let mut bench = that_asks();
    let lines = |text: &str| text.matches("WWW-Authenticate").count();
    let usual = PUBLISH.replace(
        "Max-Forwards",
        "User-Agent: a phone of some maker, with its version\r\nMax-Forwards",
    );
    assert_eq!(lines(&sent(&bench.receive(stranger(), &usual))), 3);
    let answer = sent(&bench.receive(stranger(), &short("PUBLISH")));
    assert_eq!(lines(&answer), 1, "{answer}");
    assert!(
        answer.contains("nonce=") && !answer.contains("Server"),
        "{answer}"
    );
    assert_eq!(bench.counters().responses_shortened, 1);
    // Nobody makes up an address of loopback.
    assert_eq!(
        lines(&sent(&bench.receive(
            udp(5062),
            &short("PUBLISH").replace("UDP a", "UDP a:5062")
        ))),
        3
    );
    // Nor one that has shaken hands.
    let connected = Flow {
        transport: Transport::Tcp,
        connection: ConnectionId(3),
        ..stranger()
    };
    assert_eq!(
        lines(&sent(&bench.receive(connected, &short("PUBLISH")))),
        3
    );
}

#[test]
fn a_long_answer_of_a_module_is_cut_for_a_stranger_also_when_it_is_repeated() {
    let mut bench = Bench::new();
    let request = request("REGISTER");
    let transaction = delivered(&bench.receive(stranger(), &request));
    let contacts = "Contact: <sip:bob@192.0.2.99:5060>;expires=3600\r\n".repeat(60);
    let reply = Reply::new(transaction, StatusCode::OK).head(contacts.into());
    let first = sent(&bench.reply(reply));
    let again = sent(&bench.receive(stranger(), &request));
    assert_eq!(first, again);
    assert!(
        first.len() <= AMPLIFICATION * request.len(),
        "{}",
        first.len()
    );
    assert!(first.contains("Contact: <sip:bob@192.0.2.99:5060>;expires=3600\r\n"));
    // A shorter one that passes for its repetition draws less.
    let shorter = request
        .replace("Max-Forwards: 70\r\n", "")
        .replace("Event: presence\r\n", "");
    let drawn = sent(&bench.receive(stranger(), &shorter)).len();
    assert!(drawn <= AMPLIFICATION * shorter.len());
}

#[test]
fn nothing_goes_to_what_is_no_place_whatever_leads_there() {
    let settings = Settings {
        egress: Arc::new(Egress {
            deny: vec!["203.0.113.0/24".parse().expect("a network")],
            ..Egress::default()
        }),
        ..Settings::default()
    };
    let mut bench = Bench::with(settings, table());
    bench.endpoint.set_machine(Machine {
        bound: vec![
            (Transport::Udp, address("0.0.0.0:5060")),
            (Transport::Tcp, address("0.0.0.0:5060")),
        ],
        addresses: vec![address("192.0.2.1:0").ip()],
        broadcasts: vec![address("192.0.2.255:0").ip()],
    });
    for (host, why) in [
        ("224.0.0.1", "a multicast address"),
        ("[ff02::1]", "a multicast address"),
        ("0.0.0.0", "an unspecified address"),
        ("[::]", "an unspecified address"),
        ("[::ffff:0.0.0.0]", "an unspecified address"),
        ("255.255.255.255", "the broadcast address"),
        ("192.0.2.255", "the broadcast address"),
        ("192.0.2.1", "an address of this server"),
        ("192.0.2.1:5060", "an address of this server"),
        ("127.0.0.1", "an address of this server"),
        ("127.0.0.2", "an address of this server"),
        ("[::ffff:127.0.0.1]", "an address of this server"),
        ("198.51.100.7:0", "port 0"),
        ("203.0.113.9", "in egress.deny by 203.0.113.0/24"),
        ("[::ffff:203.0.113.9]", "in egress.deny by 203.0.113.0/24"),
        ("a.example.com;maddr=224.0.0.1", "a multicast address"),
    ] {
        for transport in ["udp", "tcp"] {
            for by_route in [false, true] {
                let uri = format!("sip:alice@{host};transport={transport}");
                let mut outgoing = notify(1, Destination::NextHop);
                if by_route {
                    outgoing.first_route = Some(uri);
                } else {
                    outgoing.uri = uri;
                }
                let shown = show(&bench.send(outgoing));
                assert_eq!(shown.len(), 2, "{host} {transport}: {shown:?}");
                assert!(
                    shown[0].starts_with("barred ") && shown[0].contains(why),
                    "{shown:?}"
                );
                assert!(
                    shown[1].starts_with("outcome 1@0 1 error: nothing is sent to"),
                    "{shown:?}"
                );
            }
        }
        let shown = show(&bench.send(notify(2, Destination::NextHop)));
        assert_eq!(shown.len(), 1, "others are served: {shown:?}");
    }
    assert_eq!(bench.counters().barred, 16 * 4);
}

#[test]
fn a_name_that_leads_where_nothing_goes_is_tried_elsewhere_or_fails() {
    use crate::resolve::{Answer, Resolution, Step, Wanted};
    let mut bench = Bench::new();
    let outgoing = Outgoing {
        uri: "sip:alice@trap.example.com;transport=udp".to_owned(),
        ..notify(1, Destination::NextHop)
    };
    let out = bench.send(outgoing);
    let [Effect::Locate { ticket, wanted }] = &out[..] else {
        panic!("{:?}", show(&out));
    };
    let wanted = Wanted {
        port: Some(5070),
        ..wanted.clone()
    };
    let (mut resolution, _) = Resolution::begin(wanted, &[Transport::Udp]);
    let trap = ["224.0.0.1", "0.0.0.0"].map(|ip| ip.parse().expect("an address"));
    let Step::Done(Ok(servers)) = resolution.answer(vec![Answer::Addresses(trap.to_vec())]) else {
        panic!("no servers");
    };
    let mut out = Vec::new();
    bench
        .endpoint
        .located(bench.now, *ticket, Ok(&servers), &mut out);
    let shown = show(&out);
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert!(shown[..2].iter().all(|line| line.starts_with("barred ")));
    assert!(shown[2].contains("error: nothing is sent to"), "{shown:?}");
}

#[test]
fn an_answer_to_where_nothing_goes_is_dropped() {
    let mut bench = Bench::new();
    bench.endpoint.set_machine(Machine {
        bound: vec![(Transport::Udp, address("0.0.0.0:5060"))],
        addresses: vec![address("192.0.2.1:0").ip()],
        broadcasts: Vec::new(),
    });
    let plain = request("OPTIONS");
    for (remote, via) in [
        ("192.0.2.1:5060", ";rport"),
        ("192.0.2.1:5070", ":5060"),
        ("192.0.2.1:5070", ""),
        ("198.51.100.7:5070", ":0"),
        ("198.51.100.7:0", ";rport"),
        ("224.0.0.1:5060", ";rport"),
    ] {
        let flow = Flow {
            remote: address(remote),
            ..stranger()
        };
        let request = plain.replace("127.0.0.1:5062", &format!("127.0.0.1{via}"));
        let out = bench.receive(flow, &request);
        assert!(
            matches!(out[..], [Effect::Barred { .. }]),
            "{remote} {via}: {:?}",
            show(&out)
        );
    }
    assert_eq!(bench.counters().barred, 6);
}
