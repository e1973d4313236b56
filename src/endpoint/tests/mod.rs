//! The endpoint as a value: bytes in, effects out, time as the test says.

mod account;
mod alias;
mod any_input;
mod checks;
mod egress;
mod incoming;
mod large;
mod locate;
mod outgoing;
mod redirect;
mod responses;
mod sharding;
mod succession;

use bytes::Bytes;

use super::*;
use crate::exchange::{Destination, Outgoing, Reply, Shard, TransactionId};
use crate::resolve::Wanted;
use crate::sip::{Method, StatusCode};

const REGISTRY: ModuleId = ModuleId(1);
const OBSERVER: ModuleId = ModuleId(9);
const ORIGIN: Origin = Origin {
    module: REGISTRY,
    shard: 0,
};

/// An endpoint, its time, and what came out of it last.
struct Bench {
    endpoint: Endpoint,
    now: Timestamp,
}

fn table() -> Builder {
    let presence = |method| Route::package(method, "presence");
    let routes = [
        presence(Method::Publish),
        presence(Method::Subscribe),
        Route::method(Method::Register),
        Route::manager("PRESENCE"),
    ];
    ModuleTable::builder()
        .module(REGISTRY, "registry", &routes, Sharding::ByPresentity)
        .accepts(&["application/pidf+xml"])
}

impl Bench {
    fn new() -> Self {
        Self::with(Settings::default(), table())
    }

    fn with(settings: Settings, table: Builder) -> Self {
        let table = table.build().expect("no conflict");
        let mut endpoint = Endpoint::new(settings, table, Entropy::from_number(7));
        endpoint.set_locals(vec![
            (Transport::Udp, address("127.0.0.1:5060")),
            (Transport::Tcp, address("127.0.0.1:5060")),
            (Transport::Udp, address("[::1]:5060")),
        ]);
        Self {
            endpoint,
            now: Timestamp::from_millis(1_000_000),
        }
    }

    fn receive(&mut self, flow: Flow, text: &str) -> Vec<Effect> {
        let mut out = Vec::new();
        self.endpoint.receive(
            self.now,
            flow,
            Bytes::copy_from_slice(text.as_bytes()),
            &mut out,
        );
        out
    }

    fn send(&mut self, outgoing: Outgoing) -> Vec<Effect> {
        let mut out = Vec::new();
        self.endpoint.send(self.now, ORIGIN, outgoing, &mut out);
        out
    }

    fn reply(&mut self, reply: Reply) -> Vec<Effect> {
        let mut out = Vec::new();
        self.endpoint.reply(self.now, reply, &mut out);
        out
    }

    fn routed(&mut self, ticket: u64, way: Result<Flow, String>) -> Vec<Effect> {
        let mut out = Vec::new();
        self.endpoint.routed(self.now, ticket, way, &mut out);
        out
    }

    fn closed(&mut self, connection: u64) -> Vec<Effect> {
        let mut out = Vec::new();
        self.endpoint
            .connection_closed(self.now, ConnectionId(connection), &mut out);
        out
    }

    /// Everything that happens by itself up to `millis` from now, with the time since then.
    fn pass(&mut self, millis: u64) -> Vec<(u64, String)> {
        let (start, end) = (
            self.now,
            self.now + std::time::Duration::from_millis(millis),
        );
        let mut happened = Vec::new();
        while let Some(next) = self.endpoint.next_wake().filter(|&next| next <= end) {
            assert!(next >= self.now, "a wake-up in the past");
            self.now = next;
            let mut out = Vec::new();
            self.endpoint.wake(next, &mut out);
            let since = next.as_millis() - start.as_millis();
            happened.extend(show(&out).into_iter().map(|effect| (since, effect)));
        }
        self.now = end;
        happened
    }

    fn counters(&self) -> &Counters {
        self.endpoint.counters()
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn udp(port: u16) -> Flow {
    Flow {
        shard: 0,
        transport: Transport::Udp,
        local: address("127.0.0.1:5060"),
        remote: ([127, 0, 0, 1], port).into(),
        connection: ConnectionId(0),
    }
}

fn tcp(port: u16, connection: u64) -> Flow {
    Flow {
        transport: Transport::Tcp,
        connection: ConnectionId(connection),
        ..udp(port)
    }
}

/// A PUBLISH from port 5062; tests change it by replacing text.
const PUBLISH: &str = "PUBLISH sip:bob@example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKa\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:bob@example.com>;tag=a1\r\n\
    To: <sip:bob@example.com>\r\n\
    Call-ID: c1\r\n\
    CSeq: 7 PUBLISH\r\n\
    Event: presence\r\n\
    Content-Length: 0\r\n\r\n";

/// The same as another method.
fn request(method: &str) -> String {
    PUBLISH.replace("PUBLISH", method)
}

/// The transaction of the only delivery among effects.
fn delivered(effects: &[Effect]) -> TransactionId {
    match effects {
        [Effect::Deliver { incoming, .. }] => incoming.transaction,
        other => panic!("not one delivery: {:?}", show(other)),
    }
}

/// The text of the only message sent.
fn sent(effects: &[Effect]) -> String {
    match effects {
        [Effect::Send { bytes, .. }] => String::from_utf8(bytes.to_vec()).expect("text"),
        other => panic!("not one message: {:?}", show(other)),
    }
}

/// A header of a message as text.
fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Effects, a line each, as lists of them are compared.
fn show(effects: &[Effect]) -> Vec<String> {
    let line = |effect: &Effect| match effect {
        Effect::Send { flow, bytes } => {
            let text = String::from_utf8_lossy(bytes);
            let start = text.lines().next().unwrap_or_default();
            format!("{} to {} {start}", flow.transport, flow.remote)
        }
        Effect::LoginFailed(failed) => format!("{failed:?}"),
        Effect::Alias { connection, port } => format!("alias {} {port}", connection.0),
        Effect::Route {
            ticket,
            transport,
            host,
            port,
            name,
        } => {
            let name = name.as_ref().map_or(String::new(), |n| format!(" for {n}"));
            format!("route {ticket} {transport:?} {host} {port:?}{name}")
        }
        Effect::Locate { ticket, wanted } => {
            let Wanted {
                secure,
                transport,
                host,
                port,
            } = wanted;
            let scheme = if *secure { "sips" } else { "sip" };
            format!("locate {ticket} {scheme} {transport:?} {host} {port:?}")
        }
        Effect::Deliver { origin, incoming } => {
            let method = incoming.message.method().map_or("", Method::as_str);
            format!(
                "deliver {}@{} {method} {}",
                origin.module.0,
                origin.shard,
                incoming.message.uri_text()
            )
        }
        Effect::Observe {
            module, message, ..
        } => {
            format!(
                "observe {} {}",
                module.0,
                message.method().map_or("", Method::as_str)
            )
        }
        Effect::Outcome { origin, outcome } => {
            let end = match &outcome.result {
                OutcomeResult::Response(message, _) => {
                    message.status().map_or(0, StatusCode::code).to_string()
                }
                OutcomeResult::Timeout => "timeout".to_owned(),
                OutcomeResult::TransportError(reason) => format!("error: {reason}"),
            };
            format!(
                "outcome {}@{} {} {end}",
                origin.module.0, origin.shard, outcome.token
            )
        }
        Effect::HandOver { shard, bytes, .. } => {
            let text = String::from_utf8_lossy(bytes);
            format!(
                "hand over to {shard} {}",
                text.lines().next().unwrap_or_default()
            )
        }
        Effect::Barred { place, why, whose } => format!("barred {place} {why}: {whose}"),
        Effect::Close { connection } => format!("close {}", connection.0),
    };
    effects.iter().map(line).collect()
}

/// A NOTIFY to where `destination` says.
fn notify(token: Token, destination: Destination) -> Outgoing {
    Outgoing {
        token,
        method: Method::Notify,
        uri: "sip:alice@127.0.0.1:5062".to_owned(),
        first_route: None,
        head: Bytes::from_static(
            b"From: <sip:bob@example.com>;tag=00b1\r\n\
              To: <sip:alice@example.com>;tag=a1\r\n\
              Call-ID: c1\r\n\
              CSeq: 1 NOTIFY\r\n\
              Contact: <sip:local.contact.invalid>\r\n",
        ),
        body: Bytes::new(),
        destination,
    }
}

/// A response to a request of ours, with its Via.
fn response(request: &str, status: &str) -> String {
    let copy = |name| format!("{name}: {}\r\n", header(request, name).expect("a header"));
    let copied: String = ["Via", "From", "To", "Call-ID", "CSeq"]
        .into_iter()
        .map(copy)
        .collect();
    format!("SIP/2.0 {status}\r\n{copied}Content-Length: 0\r\n\r\n")
}

fn shard(shard: Shard, shards: Shard) -> Settings {
    Settings {
        shard,
        shards,
        ..Settings::default()
    }
}
