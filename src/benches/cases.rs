//! What is measured: each case makes its surroundings and gives one operation, to be done again and again.

use std::time::Duration;

use bytes::Bytes;
use rollcall_core::exchange::{Destination, Outgoing, Reply};
use rollcall_core::pidf::{self, Document};
use rollcall_core::presence::{Source, compose};
use rollcall_core::sip::{Message, Method, StatusCode, write_request, write_response};
use rollcall_core::time::{Timestamp, Wheel};

use crate::fixtures::{
    NOW, ORIGIN, PRESENTITY, Shard, delivered, document, endpoint, flow, ok, publish, subscribe,
};

/// An operation.
pub type Run = Box<dyn FnMut()>;

/// The name of an operation, and what makes it.
type Case = (&'static str, fn() -> Run);

/// All of them.
pub const CASES: [Case; 16] = [
    ("sip read PUBLISH", || read(publish(1, Some("tag")))),
    ("sip read SUBSCRIBE", || read(subscribe(1, 1, None, 3600))),
    ("sip read 200", || read(ok(&subscribe(1, 1, None, 3600)))),
    ("sip write response", sip_write_response),
    ("sip write NOTIFY", sip_write_notify),
    ("pidf check", pidf_check),
    ("pidf read", pidf_read),
    ("presence compose 1", || presence_compose(1)),
    ("presence compose 3", || presence_compose(3)),
    ("endpoint PUBLISH and its 200", endpoint_publish),
    ("endpoint NOTIFY and its 200", endpoint_notify),
    ("registry PUBLISH", || registry_publish(0)),
    ("registry PUBLISH to 10 watchers", || registry_publish(10)),
    ("registry SUBSCRIBE, and its end", registry_subscribe),
    ("registry SUBSCRIBE refresh", registry_refresh),
    ("wheel insert, cancel, pop", wheel),
];

fn read(bytes: Bytes) -> Run {
    Box::new(move || {
        let message = Message::parse(bytes.clone()).expect("a message");
        assert!(message.call_id().is_ok());
    })
}

fn sip_write_response() -> Run {
    let request = Message::parse(publish(1, None)).expect("a request");
    let mut out = Vec::new();
    Box::new(move || {
        out.clear();
        let (status, head) = (
            StatusCode::OK,
            &b"Expires: 3600\r\nSIP-ETag: 00.1.1.0\r\n"[..],
        );
        write_response(
            &mut out,
            &request,
            status,
            None,
            Some("00feed"),
            None,
            false,
            &[head],
            b"",
        );
        assert!(out.len() > 200);
    })
}

fn sip_write_notify() -> Run {
    let (body, mut out) = (document(1), Vec::new());
    let head = format!(
        "From: <{PRESENTITY}>;tag=00feed\r\nTo: <sip:watcher@127.0.0.1>;tag=w1\r\nCall-ID: w1-bench\r\n\
         Contact: <sip:127.0.0.1:5060;transport=udp>\r\nCSeq: 1 NOTIFY\r\nEvent: presence\r\n\
         Subscription-State: active;expires=3600\r\nContent-Type: application/pidf+xml\r\n"
    );
    Box::new(move || {
        out.clear();
        let via = "SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK000000000000000001;rport";
        let uri = "sip:watcher@127.0.0.1:40000";
        let heads = [head.as_bytes()];
        write_request(
            &mut out,
            &Method::Notify,
            uri,
            via,
            70,
            &heads,
            body.as_bytes(),
        );
        assert!(out.len() > 1000);
    })
}

fn pidf_check() -> Run {
    let (body, limits) = (document(1), pidf::Limits::default());
    Box::new(move || Document::check(body.as_bytes(), &limits).expect("a document"))
}

fn pidf_read() -> Run {
    let (body, limits) = (Bytes::from(document(1)), pidf::Limits::default());
    Box::new(move || {
        let document = Document::parse(&body, &limits).expect("a document");
        assert_eq!(document.children().len(), 2);
    })
}

fn presence_compose(publications: u64) -> Run {
    let limits = pidf::Limits::default();
    let documents: Vec<(String, Document)> = (0..publications)
        .map(|order| {
            // Devices of their own, so that there is something to compose.
            let body = document(1).replace("\"desk\"", &format!("\"desk{order}\""));
            let document = Document::parse(&body.into(), &limits).expect("a document");
            (format!("{order:016x}"), document)
        })
        .collect();
    Box::new(move || {
        let sources: Vec<Source<'_>> = documents
            .iter()
            .enumerate()
            .map(|(order, (key, document))| Source {
                key,
                document,
                published: Timestamp::from_millis(order as u64),
            })
            .collect();
        let composed = compose(PRESENTITY, &sources, NOW).expect("a state");
        assert!(composed.body.len() > 500);
    })
}

fn endpoint_publish() -> Run {
    let (mut endpoint, mut number, mut out) = (endpoint(), 0, Vec::new());
    let head = Bytes::from_static(b"Expires: 3600\r\nSIP-ETag: 00.1.1.0123456789abcdef\r\n");
    // Timer J ends each before it could pile up.
    let mut now = NOW;
    Box::new(move || {
        number += 1;
        now = now + Duration::from_millis(40);
        endpoint.wake(now, &mut out);
        endpoint.receive(now, flow(), publish(number, Some("tag")), &mut out);
        let transaction = delivered(&out);
        let reply = Reply::new(transaction, StatusCode::OK).head(head.clone());
        endpoint.reply(now, reply, &mut out);
        assert_eq!(out.len(), 2);
        out.clear();
    })
}

fn endpoint_notify() -> Run {
    use rollcall_core::endpoint::Effect;
    let (mut endpoint, mut token, mut out) = (endpoint(), 0, Vec::new());
    let (body, mut now) = (Bytes::from(document(1)), NOW);
    let head = format!(
        "From: <{PRESENTITY}>;tag=00feed\r\nTo: <sip:watcher@127.0.0.1>;tag=w1\r\nCall-ID: w1-bench\r\n\
         Contact: <sip:127.0.0.1:5060;transport=udp>\r\nCSeq: 1 NOTIFY\r\nEvent: presence\r\n\
         Subscription-State: active;expires=3600\r\nContent-Type: application/pidf+xml\r\n"
    );
    let head = Bytes::from(head);
    Box::new(move || {
        token += 1;
        now = now + Duration::from_millis(10);
        endpoint.wake(now, &mut out);
        let outgoing = Outgoing {
            token,
            method: Method::Notify,
            uri: "sip:watcher@127.0.0.1:40000".to_owned(),
            first_route: None,
            head: head.clone(),
            body: body.clone(),
            destination: Destination::Flow(flow()),
        };
        endpoint.send(now, ORIGIN, outgoing, &mut out);
        let Some(Effect::Send { bytes, .. }) = out.pop() else {
            panic!("nothing was sent");
        };
        endpoint.receive(now, flow(), ok(&bytes), &mut out);
        assert!(matches!(out.pop(), Some(Effect::Outcome { .. })));
    })
}

/// What a request costs to make and read is in it too, and the same for all.
fn message(bytes: Bytes) -> Message {
    Message::parse(bytes).expect("a request")
}

fn registry_publish(watchers: u32) -> Run {
    let mut shard = Shard::new();
    shard.request(message(publish(1, None)));
    let mut etag = shard.etag();
    for watcher in 0..watchers {
        shard.request(message(subscribe(1, watcher, None, 3600)));
    }
    let mut number = 1;
    Box::new(move || {
        number += 1;
        let notified = shard.request(message(publish(number, Some(&etag))));
        assert_eq!(notified, watchers as usize);
        etag = shard.etag();
    })
}

fn registry_subscribe() -> Run {
    let mut shard = Shard::new();
    shard.request(message(publish(1, None)));
    let mut number = 1;
    Box::new(move || {
        number += 1;
        assert_eq!(
            shard.request(message(subscribe(number, number, None, 3600))),
            1
        );
        let tag = shard.tag.take();
        let end = subscribe(number + 1, number, tag.as_deref(), 0);
        assert_eq!(shard.request(message(end)), 1);
    })
}

fn registry_refresh() -> Run {
    let mut shard = Shard::new();
    shard.request(message(publish(1, None)));
    shard.request(message(subscribe(1, 1, None, 3600)));
    let tag = shard.tag.take();
    let mut number = 1;
    Box::new(move || {
        number += 1;
        let refresh = subscribe(number, 1, tag.as_deref(), 3600);
        assert_eq!(shard.request(message(refresh)), 1);
    })
}

fn wheel() -> Run {
    let mut wheel = Wheel::new();
    let mut now = 0;
    for item in 0..10_000u64 {
        wheel.insert(Timestamp::from_millis(item * 97 % 3_600_000), item);
    }
    Box::new(move || {
        now += 1;
        let at = |after: u64| Timestamp::from_millis(now + after);
        let key = wheel.insert(at(32_000), now);
        wheel.insert(at(500), now);
        assert!(wheel.cancel(key).is_some());
        while let Some((_, item)) = wheel.pop(at(0)) {
            assert!(item < now + 10_000);
        }
    })
}
