use super::*;

fn place(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    let net = |text: &&str| text.parse().expect("a network");
    texts.iter().map(net).collect()
}

#[test]
fn what_is_no_place_of_one_host_is_never_sent_to() {
    let egress = Egress::default();
    for (text, why) in [
        ("192.0.2.1:0", Barred::Port),
        ("0.0.0.0:5060", Barred::Unspecified),
        ("0.1.2.3:5060", Barred::Unspecified),
        ("[::]:5060", Barred::Unspecified),
        ("[::ffff:0.0.0.0]:5060", Barred::Unspecified),
        ("224.0.0.1:5060", Barred::Multicast),
        ("239.255.255.255:5060", Barred::Multicast),
        ("[ff02::1]:5060", Barred::Multicast),
        ("[::ffff:224.0.0.1]:5060", Barred::Multicast),
        ("255.255.255.255:5060", Barred::Broadcast),
        ("[::ffff:255.255.255.255]:5060", Barred::Broadcast),
        ("[fe80::1]:5060", Barred::NoLink),
    ] {
        assert_eq!(egress.judge(place(text)), Err(why), "{text}");
    }
    for text in [
        "192.0.2.1:5060",
        "127.0.0.1:1",
        "10.0.0.255:5060",
        "[2001:db8::1]:5060",
        "[::1]:5060",
        "[fe80::1%2]:5060",
    ] {
        assert_eq!(egress.judge(place(text)), Ok(()), "{text}");
    }
}

#[test]
fn what_is_denied_goes_before_what_is_allowed() {
    let egress = Egress {
        allow: nets(&["10.0.0.0/8", "2001:db8::/32"]),
        deny: nets(&["10.1.0.0/16", "2001:db8:1::/48"]),
        ..Egress::default()
    };
    let denied = |net: &str| Err(Barred::Denied(net.parse().expect("a network")));
    for (text, verdict) in [
        ("10.0.0.1:5060", Ok(())),
        ("10.1.2.3:5060", denied("10.1.0.0/16")),
        ("[::ffff:10.1.2.3]:5060", denied("10.1.0.0/16")),
        ("[2001:db8::1]:5060", Ok(())),
        ("[2001:db8:1::1]:5060", denied("2001:db8:1::/48")),
        ("192.0.2.1:5060", Err(Barred::NotAllowed)),
    ] {
        assert_eq!(egress.judge(place(text)), verdict, "{text}");
    }
}

#[test]
fn loopback_is_unbounded_in_all_its_forms_and_nobody_is_a_proxy_by_himself() {
    let egress = Egress::default();
    for (text, unbounded) in [
        ("127.0.0.1", true),
        ("127.9.9.9", true),
        ("::1", true),
        ("::ffff:127.0.0.1", true),
        ("10.0.0.1", false),
        ("2001:db8::1", false),
    ] {
        let ip = text.parse().expect("an address");
        assert_eq!(egress.is_unbounded(ip), unbounded, "{text}");
        assert!(!egress.is_proxy(ip));
    }
    let egress = Egress {
        proxies: nets(&["10.0.0.0/30"]),
        ..egress
    };
    let proxy = "10.0.0.1".parse().expect("an address");
    assert!(egress.is_proxy(proxy) && egress.is_unbounded(proxy));
}

#[test]
fn a_machine_knows_where_it_listens_also_when_that_is_everywhere() {
    let machine = Machine {
        bound: vec![
            (Transport::Udp, place("0.0.0.0:5060")),
            (Transport::Tls, place("10.0.0.1:5061")),
        ],
        addresses: vec!["10.0.0.1".parse().expect("an address")],
        broadcasts: Vec::new(),
    };
    for (transport, text, ours) in [
        (Transport::Udp, "10.0.0.1:5060", true),
        (Transport::Udp, "127.0.0.9:5060", true),
        (Transport::Udp, "[::ffff:10.0.0.1]:5060", true),
        (Transport::Udp, "10.0.0.1:5061", false),
        (Transport::Udp, "10.0.0.2:5060", false),
        (Transport::Tcp, "10.0.0.1:5061", true),
        (Transport::Tcp, "127.0.0.1:5061", false),
        (Transport::Tcp, "10.0.0.1:5060", false),
    ] {
        assert_eq!(
            machine.is_ours(transport, place(text)),
            ours,
            "{transport} {text}"
        );
    }
}
