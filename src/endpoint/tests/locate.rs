//! Requests to names: the first server, the next one after a failure, and whom to avoid (RFC 3263, 4.3).
//!
//! ```text
//!  endpoint                 first        second
//!     | -- NOTIFY ---------> |              |
//!     | <------------- 503 - |              |
//!     | -- NOTIFY, another branch --------> |
//!     | <-------------------------- 200 --- |   outcome: 200
//! ```

use std::time::Duration;

use super::*;
use crate::digest::Credentials;
use crate::resolve::{Answer, Resolution, Servers, Srv, Step};

const NOTHING: [&str; 0] = [];

/// A request to example.com.
fn to_name(token: Token) -> Outgoing {
    Outgoing {
        uri: "sip:alice@example.com".to_owned(),
        ..notify(token, Destination::NextHop)
    }
}

/// The servers of example.com: one at each of these ports, in this order.
fn servers(transport: Transport, ports: &[u16]) -> Servers {
    let wanted = Wanted {
        secure: false,
        transport: Some(transport),
        host: "example.com".to_owned(),
        port: None,
    };
    let records = ports.iter().zip(0..).map(|(&port, priority)| Srv {
        priority,
        weight: 0,
        port,
        target: "a.".to_owned(),
    });
    let ours = [Transport::Udp, Transport::Tcp, Transport::Tls];
    let (mut resolution, _) = Resolution::begin(wanted, &ours);
    resolution.answer(vec![Answer::Srv(records.collect())]);
    let here = "127.0.0.1".parse().expect("an address");
    match resolution.answer(vec![Answer::Addresses(vec![here])]) {
        Step::Done(Ok(servers)) => servers,
        other => panic!("{other:?}"),
    }
}

impl Bench {
    fn located(&mut self, ticket: u64, servers: Result<&Servers, &str>) -> Vec<Effect> {
        let mut out = Vec::new();
        let servers = servers.map_err(str::to_owned);
        self.endpoint.located(self.now, ticket, servers, &mut out);
        out
    }

    /// Sends a request to the name, whose servers listen on UDP at these ports.
    fn send_to_one_of(&mut self, outgoing: Outgoing, ports: &[u16]) -> Vec<Effect> {
        let asked = self.send(outgoing);
        let [Effect::Locate { ticket, .. }] = asked[..] else {
            panic!("{:?}", show(&asked));
        };
        self.located(ticket, Ok(&servers(Transport::Udp, ports)))
    }
}

fn notify_to(port: u16) -> String {
    format!("udp to 127.0.0.1:{port} NOTIFY sip:alice@example.com SIP/2.0")
}

/// A request without its Via.
fn without_via(text: &str) -> String {
    text.lines()
        .filter(|line| !line.starts_with("Via:"))
        .collect()
}

#[test]
fn a_name_is_asked_for_and_a_name_without_servers_ends_the_request_in_words() {
    let mut bench = Bench::new();
    assert_eq!(
        show(&bench.send(to_name(1))),
        ["locate 1 sip None example.com None"]
    );
    assert_eq!(
        show(&bench.located(1, Err("no address for host example.com: silence"))),
        ["outcome 1@0 1 error: no address for host example.com: silence"]
    );
    assert_eq!(show(&bench.located(1, Err("again"))), NOTHING);
    let counters = bench.counters();
    assert_eq!((counters.names_asked, counters.names_unknown), (1, 1));
    assert_eq!(counters.routes_unasked, 1);
}

#[test]
fn a_name_that_nobody_resolves_ends_the_request_with_timer_f() {
    let mut bench = Bench::new();
    bench.send(to_name(1));
    assert_eq!(
        bench.pass(40_000),
        [(32_000, "outcome 1@0 1 timeout".to_owned())]
    );
}

#[test]
fn a_503_sends_the_same_request_to_the_next_server_under_another_branch() {
    let mut bench = Bench::new();
    let first = bench.send_to_one_of(to_name(1), &[5071, 5072]);
    assert_eq!(show(&first), [notify_to(5071)]);
    let first = sent(&first);
    let second = bench.receive(udp(5071), &response(&first, "503 Service Unavailable"));
    assert_eq!(show(&second), [notify_to(5072)]);
    let second = sent(&second);
    assert_eq!(without_via(&first), without_via(&second));
    assert_ne!(header(&first, "Via"), header(&second, "Via"));
    let end = bench.receive(udp(5072), &response(&second, "200 OK"));
    assert_eq!(show(&end), ["outcome 1@0 1 200"]);
    let counters = bench.counters();
    assert_eq!((counters.failed_over, counters.responses_received), (1, 1));
}

#[test]
fn any_other_final_answer_and_the_503_of_the_last_server_are_the_end() {
    let mut bench = Bench::new();
    for (token, status) in [(1, "500"), (2, "404"), (3, "603"), (4, "302")] {
        let request = sent(&bench.send_to_one_of(to_name(token), &[5071, 5072]));
        let end = bench.receive(udp(5071), &response(&request, status));
        assert_eq!(show(&end), [format!("outcome 1@0 {token} {status}")]);
    }
    let mut request = sent(&bench.send_to_one_of(to_name(5), &[5071, 5072]));
    request = sent(&bench.receive(udp(5071), &response(&request, "503 No")));
    let end = bench.receive(udp(5072), &response(&request, "503 No"));
    assert_eq!(show(&end), ["outcome 1@0 5 503"]);
    let alone = sent(&bench.send_to_one_of(to_name(6), &[5073]));
    let end = bench.receive(udp(5073), &response(&alone, "503 No"));
    assert_eq!(show(&end), ["outcome 1@0 6 503"]);
    assert_eq!(bench.counters().failed_over, 1);
}

#[test]
fn silence_sends_it_on_and_retransmissions_stay_with_their_server() {
    let mut bench = Bench::new();
    bench.send_to_one_of(to_name(1), &[5071, 5072]);
    let happened = bench.pass(64_000);
    let (first, second) = (notify_to(5071), notify_to(5072));
    let of = |shown: &str| happened.iter().filter(|(_, s)| s == shown).count();
    assert_eq!((of(&first), of(&second)), (10, 11));
    assert_eq!(happened[10], (32_000, second));
    assert_eq!(
        happened.last(),
        Some(&(64_000, "outcome 1@0 1 timeout".to_owned()))
    );
    assert_eq!(bench.endpoint.next_wake(), None);
}

#[test]
fn a_server_that_said_at_least_something_has_not_failed() {
    let mut bench = Bench::new();
    let request = sent(&bench.send_to_one_of(to_name(1), &[5071, 5072]));
    bench.receive(udp(5071), &response(&request, "100 Trying"));
    let happened = bench.pass(40_000);
    assert_eq!(
        happened.last(),
        Some(&(32_000, "outcome 1@0 1 timeout".to_owned()))
    );
    assert_eq!(bench.counters().failed_over, 0);
}

#[test]
fn what_cannot_be_sent_goes_to_the_next_server_until_there_is_none() {
    let mut bench = Bench::new();
    bench.send_to_one_of(to_name(1), &[5071, 5072]);
    let mut fail = |port| {
        let mut out = Vec::new();
        let endpoint = &mut bench.endpoint;
        endpoint.send_failed(bench.now, &udp(port), "unreachable", &mut out);
        show(&out)
    };
    assert_eq!(fail(5071), [notify_to(5072)]);
    assert_eq!(fail(5071), NOTHING, "nothing is there any more");
    assert_eq!(fail(5072), ["outcome 1@0 1 error: unreachable"]);
}

#[test]
fn icmp_sends_a_request_to_the_next_server_and_without_one_it_is_not_heeded() {
    let mut bench = Bench::new();
    bench.send_to_one_of(to_name(1), &[5071, 5072]);
    bench.send(notify(2, Destination::NextHop));
    let mut unreachable = |port| {
        let mut out = Vec::new();
        let place = ([127, 0, 0, 1], port).into();
        bench.endpoint.unreachable(bench.now, place, &mut out);
        show(&out)
    };
    assert_eq!(unreachable(5062), NOTHING, "by its address");
    assert_eq!(unreachable(5072), NOTHING, "it is not there yet");
    assert_eq!(unreachable(5071), [notify_to(5072)]);
    assert_eq!(unreachable(5072), NOTHING, "the last one");
    assert_eq!(bench.endpoint.transactions(), (0, 2));
}

#[test]
fn a_connection_that_is_refused_or_closed_gives_way_to_the_next_server() {
    let mut bench = Bench::new();
    bench.send(to_name(1));
    let servers = servers(Transport::Tcp, &[5071, 5072, 5073]);
    assert_eq!(
        show(&bench.located(1, Ok(&servers))),
        ["route 2 Some(Tcp) 127.0.0.1 Some(5071) for example.com"]
    );
    assert_eq!(
        show(&bench.routed(2, Err("refused".to_owned()))),
        ["route 3 Some(Tcp) 127.0.0.1 Some(5072) for example.com"]
    );
    assert_eq!(
        show(&bench.routed(3, Ok(tcp(5072, 7)))),
        ["tcp to 127.0.0.1:5072 NOTIFY sip:alice@example.com SIP/2.0"]
    );
    assert_eq!(
        show(&bench.closed(7)),
        ["route 4 Some(Tcp) 127.0.0.1 Some(5073) for example.com"]
    );
    assert_eq!(
        show(&bench.routed(4, Err("no route".to_owned()))),
        ["outcome 1@0 1 error: no route"]
    );
    assert_eq!(bench.counters().failed_over, 2);
}

#[test]
fn who_has_failed_comes_last_for_as_long_as_it_says_or_for_half_a_minute() {
    let ports = [5071, 5072, 5073];
    let mut bench = Bench::new();
    let mut request = sent(&bench.send_to_one_of(to_name(1), &ports));
    let busy = "503 No\r\nRetry-After: 90 (be back soon)";
    request = sent(&bench.receive(udp(5071), &response(&request, busy)));
    request = sent(&bench.receive(udp(5072), &response(&request, "503 No")));
    bench.receive(udp(5073), &response(&request, "200 OK"));

    let first_of = |bench: &mut Bench, token| {
        let request = bench.send_to_one_of(to_name(token), &ports);
        let text = sent(&request);
        let Effect::Send { flow, .. } = request[0] else {
            panic!("{:?}", show(&request));
        };
        bench.receive(flow, &response(&text, "200 OK"));
        flow.remote.port()
    };
    assert_eq!(first_of(&mut bench, 2), 5073);
    bench.pass(29_999);
    assert_eq!(first_of(&mut bench, 3), 5073);
    bench.pass(1);
    assert_eq!(first_of(&mut bench, 4), 5072);
    bench.now = bench.now + Duration::from_secs(59);
    assert_eq!(first_of(&mut bench, 5), 5072);
    bench.now = bench.now + Duration::from_secs(1);
    assert_eq!(first_of(&mut bench, 6), 5071);
}

#[test]
fn a_server_to_avoid_is_better_than_none() {
    let mut bench = Bench::new();
    let request = sent(&bench.send_to_one_of(to_name(1), &[5071, 5072]));
    let request = sent(&bench.receive(udp(5071), &response(&request, "503 No")));
    bench.receive(udp(5072), &response(&request, "503 No"));
    let again = bench.send_to_one_of(to_name(2), &[5071]);
    assert_eq!(show(&again), [notify_to(5071)]);
}

#[test]
fn a_challenge_is_answered_to_the_server_that_made_it_and_that_one_may_fail_too() {
    let settings = Settings {
        credentials: Some(Credentials {
            user: "alice".to_owned(),
            password: "secret".to_owned(),
        }),
        ..Settings::default()
    };
    let mut bench = Bench::with(settings, table());
    let request = sent(&bench.send_to_one_of(to_name(1), &[5071, 5072, 5073]));
    let request = sent(&bench.receive(udp(5071), &response(&request, "503 No")));
    let challenge = "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=MD5, qop=\"auth\"";
    let again = bench.receive(udp(5072), &response(&request, challenge));
    assert_eq!(show(&again), [notify_to(5072)]);
    let again = sent(&again);
    assert_eq!(header(&again, "CSeq"), Some("2 NOTIFY"));
    let third = bench.receive(udp(5072), &response(&again, "503 No"));
    assert_eq!(show(&third), [notify_to(5073)]);
    let third = sent(&third);
    assert_eq!(header(&third, "CSeq"), Some("2 NOTIFY"));
    assert!(header(&third, "Authorization").is_some(), "{third}");
    let end = bench.receive(udp(5073), &response(&third, "200 OK"));
    assert_eq!(show(&end), ["outcome 1@0 1 200"]);
}

#[test]
fn a_new_endpoint_tells_the_requests_of_a_failed_one_once_and_avoids_whom_it_avoided() {
    let mut bench = Bench::new();
    let request = sent(&bench.send_to_one_of(to_name(1), &[5071, 5072]));
    bench.receive(udp(5071), &response(&request, "503 No"));
    bench.send(to_name(2));
    let table = table().build().expect("no conflict");
    let fresh = Endpoint::new(Settings::default(), table, Entropy::from_number(8));
    let failed = std::mem::replace(&mut bench.endpoint, fresh);
    let mut out = Vec::new();
    bench.endpoint.succeed(bench.now, &failed, &mut out);
    assert_eq!(
        show(&out),
        [
            "outcome 1@0 1 error: the endpoint failed",
            "outcome 1@0 2 error: the endpoint failed"
        ]
    );
    let next = bench.send_to_one_of(to_name(3), &[5071, 5072]);
    assert_eq!(show(&next), [notify_to(5072)]);
}
