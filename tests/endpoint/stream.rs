//! The endpoint over TCP: connections, framing, keep-alives.

use rollcall::testkit::in_real_time;

use super::*;

#[test]
fn a_response_goes_over_the_connection_of_its_request() {
    in_real_time(async {
        let mut kit = started().await;
        let (mut one, mut two) = (tcp(&kit).await, tcp(&kit).await);
        one.send(one.request("PUBLISH", "sip:one@rollcall", "Event: presence\n", ""))
            .await;
        let first = kit.module(PRESENCE).request().await;
        two.send(two.request("PUBLISH", "sip:two@rollcall", "Event: presence\n", ""))
            .await;
        let second = kit.module(PRESENCE).request().await;
        assert_ne!(first.flow.connection, second.flow.connection);
        kit.module(PRESENCE).answer(&second, StatusCode::ACCEPTED);
        kit.module(PRESENCE).answer(&first, StatusCode::OK);
        two.expect_status(202).await;
        one.expect_status(200).await;
    });
}

#[test]
fn a_ping_gets_a_pong_and_line_ends_between_messages_do_no_harm() {
    in_real_time(async {
        let kit = started().await;
        let mut peer = tcp(&kit).await;
        peer.send("\r\n\r\n").await;
        peer.expect_pong().await;
        let ask = options(&peer);
        assert_eq!(answer_to(&mut peer, format!("\r\n{ask}")).await, 200);
    });
}

#[test]
fn half_a_message_is_waited_for_and_two_in_one_segment_are_two() {
    in_real_time(async {
        let mut kit = started().await;
        let mut peer = tcp(&kit).await;
        let publish = peer.request(
            "PUBLISH",
            "sip:a@rollcall",
            "Event: presence\n",
            "<presence/>",
        );
        // Cut in the request line, in a header, between CR and LF of the empty line, in the body.
        let empty = publish.find("\r\n\r\n").expect("an empty line");
        let mut rest = publish.as_str();
        for cut in [5, 60, empty + 3, publish.len() - 4] {
            let already = publish.len() - rest.len();
            let (now, later) = rest.split_at(cut - already);
            peer.send(now).await;
            rest = later;
        }
        peer.send(rest).await;
        let incoming = kit.module(PRESENCE).request().await;
        assert_eq!(&incoming.message.body()[..], b"<presence/>");
        kit.module(PRESENCE).answer(&incoming, StatusCode::OK);
        peer.expect_status(200).await;

        let both = format!("{}{}", options(&peer), options(&peer));
        peer.send(both).await;
        let (first, second) = (peer.expect_status(200).await, peer.expect_status(200).await);
        assert_ne!(first.call_id().ok(), second.call_id().ok());
    });
}

#[test]
fn a_stream_that_lost_its_framing_is_answered_400_then_closed_and_others_go_on() {
    in_real_time(async {
        let kit = started().await;
        let mut bystander = tcp(&kit).await;
        for broken in [
            "Content-Length: many",
            "X-No-Length: 0",
            "Content-Length: -5",
            "Content-Length: 3\r\nl: 4",
        ] {
            let mut peer = tcp(&kit).await;
            let request = options(&peer).replace("Content-Length: 0", broken);
            peer.send(request).await;
            peer.expect_status(400).await;
            peer.expect_close().await;
        }
        let ask = options(&bystander);
        assert_eq!(answer_to(&mut bystander, ask).await, 200);
    });
}

#[test]
fn what_is_not_sip_at_all_closes_the_stream() {
    in_real_time(async {
        let kit = started().await;
        let mut peer = tcp(&kit).await;
        peer.send("GET / HTTP/1.1\r\nHost: rollcall\r\n\r\n").await;
        peer.expect_close().await;
    });
}

#[test]
fn a_message_that_is_too_large_is_refused_and_the_stream_closed() {
    in_real_time(async {
        let kit = started().await;
        let mut peer = tcp(&kit).await;
        let large = peer
            .request("PUBLISH", "sip:a@rollcall", "Event: presence\n", "")
            .replace("Content-Length: 0", "Content-Length: 70000");
        peer.send(large).await;
        let status = peer.expect().await.status().expect("a response").code();
        assert!(status == 413 || status == 513, "{status}");
        peer.expect_close().await;
    });
}
