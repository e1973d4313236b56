//! Connections that serve both ways (RFC 5923).

use super::*;

fn over_tls(port: u16) -> Flow {
    Flow {
        transport: Transport::Tls,
        ..tcp(port, 4)
    }
}

/// OPTIONS with this Via.
fn options(via: &str) -> String {
    let text = request("OPTIONS");
    let old = header(&text, "Via").expect("a Via").to_owned();
    text.replacen(&old, via, 1)
}

#[test]
fn a_connection_is_offered_by_whom_its_certificate_is_known_of_and_by_nobody_else() {
    let mut bench = Bench::new();
    let via = "SIP/2.0/TLS 127.0.0.1:6061;branch=z9hG4bK1;alias";
    let flow = over_tls(40_000);
    let answer = "tls to 127.0.0.1:40000 SIP/2.0 200 OK";
    assert_eq!(show(&bench.receive(flow, &options(via))), [answer]);
    bench.endpoint.certify(&flow);
    assert_eq!(
        show(&bench.receive(flow, &options(&via.replace("K1", "K2")))),
        ["alias 4 6061", answer]
    );
    let plain = "SIP/2.0/TLS 127.0.0.1:6061;branch=z9hG4bK3";
    assert_eq!(show(&bench.receive(flow, &options(plain))), [answer]);
    let without_port = "SIP/2.0/TLS 127.0.0.1;branch=z9hG4bK4;alias";
    assert_eq!(
        show(&bench.receive(flow, &options(without_port)))[0],
        "alias 4 5061"
    );
    bench.closed(4);
    assert_eq!(
        show(&bench.receive(flow, &options(&via.replace("K1", "K5")))),
        [answer]
    );
}

#[test]
fn a_node_with_a_certificate_offers_its_connections_over_tls() {
    let settings = Settings {
        alias: true,
        ..Settings::default()
    };
    let mut bench = Bench::with(settings, table());
    let secure = Outgoing {
        uri: "sips:alice@127.0.0.1".to_owned(),
        ..notify(1, Destination::NextHop)
    };
    bench.send(secure);
    let text = sent(&bench.routed(1, Ok(over_tls(5061))));
    let via = header(&text, "Via").expect("a Via");
    assert!(via.ends_with(";alias"), "{via}");
    let text = sent(&bench.send(notify(2, Destination::NextHop)));
    let via = header(&text, "Via").expect("a Via");
    assert!(!via.contains("alias"), "{via}");
}
