//! Whatever comes in: no panic, at most one effect, and nobody else suffers.

use proptest::prelude::*;

use super::*;

/// A message of ours with some bytes changed, taken out or put in.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let message = prop::sample::select(vec![
        PUBLISH.to_owned(),
        request("CANCEL"),
        request("OPTIONS"),
        request("ACK"),
        PUBLISH.replace("PUBLISH sip:bob@example.com SIP/2.0", "SIP/2.0 200 OK"),
    ]);
    let piece = prop::sample::select(vec![
        "",
        "\0",
        "\r\n",
        "\r\n\r\n",
        ";",
        ",",
        "<",
        "\"",
        ":",
        "é",
        "\u{80}",
        "9999999999",
        "%",
        "[",
        " ",
    ]);
    let damage = prop::collection::vec((any::<prop::sample::Index>(), 0..4usize, piece), 1..6);
    (message, damage).prop_map(|(message, damage)| {
        let mut bytes = message.into_bytes();
        for (at, gone, piece) in damage {
            let start = at.index(bytes.len() + 1);
            let end = bytes.len().min(start + gone);
            bytes.splice(start..end, piece.bytes());
        }
        bytes
    })
}

proptest! {
    #[test]
    fn damaged_messages_have_at_most_one_effect_and_leave_others_alone(
        messages in prop::collection::vec(damaged(), 1..20),
    ) {
        let mut bench = Bench::new();
        let other = PUBLISH.replace("bob", "other").replace("bKa", "bKother").replace("c1", "other");
        let transaction = delivered(&bench.receive(udp(5090), &other));
        for message in messages {
            let mut out = Vec::new();
            bench.endpoint.receive(bench.now, udp(5062), message.into(), &mut out);
            prop_assert!(out.len() <= 1, "{:?}", show(&out));
        }
        let shown = show(&bench.reply(Reply::new(transaction, StatusCode::OK)));
        prop_assert_eq!(shown, ["udp to 127.0.0.1:5062 SIP/2.0 200 OK"]);
        bench.pass(64_000);
        prop_assert_eq!(bench.endpoint.transactions(), (0, 0));
        prop_assert_eq!(bench.endpoint.next_wake(), None);
    }

    #[test]
    fn any_bytes_are_dropped_or_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bench = Bench::new();
        let mut out = Vec::new();
        bench.endpoint.receive(bench.now, udp(5062), bytes.into(), &mut out);
        prop_assert!(out.len() <= 1);
    }
}
