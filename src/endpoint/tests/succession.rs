//! An endpoint that takes the place of one that has failed.

use super::*;

impl Bench {
    /// Puts a new endpoint in the place of the present one, as a guard does after a panic.
    fn fail(&mut self) -> Vec<Effect> {
        let table = table().build().expect("no conflict");
        let fresh = Endpoint::new(Settings::default(), table, Entropy::from_number(8));
        let failed = std::mem::replace(&mut self.endpoint, fresh);
        let mut out = Vec::new();
        self.endpoint.succeed(self.now, &failed, &mut out);
        out
    }
}

#[test]
fn everybody_who_waits_for_a_failed_endpoint_is_told() {
    let mut bench = Bench::new();
    bench.send(notify(1, Destination::NextHop));
    let answered = sent(&bench.send(notify(2, Destination::NextHop)));
    bench.receive(udp(5062), &response(&answered, "200 OK"));
    let by_name = Outgoing {
        uri: "sip:alice@example.com".to_owned(),
        ..notify(3, Destination::NextHop)
    };
    bench.send(by_name);
    delivered(&bench.receive(udp(5062), PUBLISH));
    assert_eq!(
        show(&bench.fail()),
        [
            "outcome 1@0 1 error: the endpoint failed",
            "outcome 1@0 3 error: the endpoint failed",
            "udp to 127.0.0.1:5062 SIP/2.0 500 Server Internal Error",
        ]
    );
    assert_eq!(bench.endpoint.next_wake(), None);
    assert_eq!(bench.counters().requests_sent, 2, "counted on");
}

#[test]
fn what_was_meant_for_a_failed_endpoint_is_not_taken_by_its_successor() {
    let mut bench = Bench::new();
    let before = delivered(&bench.receive(udp(5062), PUBLISH));
    let to = Destination::Address(Transport::Tcp, address("127.0.0.1:5062"));
    assert_eq!(
        show(&bench.send(notify(1, to))),
        ["route 1 Some(Tcp) 127.0.0.1 Some(5062)"]
    );
    bench.fail();
    let after = delivered(&bench.receive(udp(5063), PUBLISH));
    let other = Destination::Address(Transport::Tcp, address("127.0.0.1:5063"));
    bench.send(notify(2, other));
    assert_eq!(
        show(&bench.reply(Reply::new(before, StatusCode::FORBIDDEN))),
        [""; 0]
    );
    assert_eq!(show(&bench.routed(1, Ok(tcp(5062, 1)))), [""; 0]);
    assert_eq!(
        show(&bench.reply(Reply::new(after, StatusCode::OK))),
        ["udp to 127.0.0.1:5062 SIP/2.0 200 OK"]
    );
    assert_eq!(bench.counters().late_replies, 1);
}

#[test]
fn connections_outlive_the_endpoint_that_failed() {
    let mut bench = Bench::new();
    bench.receive(tcp(40_000, 1), "\r\n");
    bench.fail();
    assert_eq!(
        show(&bench.send(notify(1, Destination::Flow(tcp(40_000, 1))))),
        ["tcp to 127.0.0.1:40000 NOTIFY sip:alice@127.0.0.1:5062 SIP/2.0"]
    );
}
