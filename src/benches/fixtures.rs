//! Messages as the load generator sends them, and machines to give them to.

use std::sync::LazyLock;

use bytes::Bytes;
use rollcall_core::endpoint::{Builder, Effect, Endpoint, ModuleId, ModuleTable, Origin, Sharding};
use rollcall_core::entropy::Entropy;
use rollcall_core::exchange::{
    ConnectionId, Flow, Incoming, Outcome, OutcomeResult, Outgoing, TransactionId, Transport,
};
use rollcall_core::registry::{self, CommitOutcome, Registry, Settings};
use rollcall_core::sip::{Message, Method};
use rollcall_core::time::Timestamp;

pub const PRESENTITY: &str = "sip:bench-00000007@127.0.0.1";

/// When everything happens.
pub const NOW: Timestamp = Timestamp::from_millis(1_767_254_400_000);

pub fn flow() -> Flow {
    Flow {
        shard: 0,
        transport: Transport::Udp,
        local: ([127, 0, 0, 1], 5060).into(),
        remote: ([127, 0, 0, 1], 40_000).into(),
        connection: ConnectionId(0),
    }
}

/// What stands in a document before the number in its note, and behind it.
static DOCUMENT: LazyLock<(String, String)> = LazyLock::new(|| {
    let before = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" \
         entity=\"{PRESENTITY}\">\n <tuple id=\"desk\">\n  <status><basic>open</basic></status>\n  \
         <rpid:class>desk</rpid:class>\n  <contact priority=\"0.8\">{PRESENTITY}</contact>\n  \
         <timestamp>2026-01-01T08:00:00Z</timestamp>\n </tuple>\n <dm:person id=\"person\">\n  \
         <rpid:activities><rpid:meeting/></rpid:activities>\n  \
         <rpid:place-is><rpid:audio><rpid:quiet/></rpid:audio></rpid:place-is>\n  \
         <dm:note xml:lang=\"en\">state "
    );
    let after = "</dm:note>\n  <dm:timestamp>2026-01-01T08:00:00Z</dm:timestamp>\n </dm:person>\n</presence>\n";
    let filling = 820 - before.len() - 8 - after.len();
    (before, [&".".repeat(filling), after].concat())
});

/// A PIDF document with RPID of 820 bytes, whose note has a number.
pub fn document(number: u32) -> String {
    let (before, after) = &*DOCUMENT;
    format!("{before}{number:08x}{after}")
}

/// A PUBLISH; with an entity-tag one that modifies.
pub fn publish(number: u32, etag: Option<&str>) -> Bytes {
    let (before, after) = &*DOCUMENT;
    let (condition, etag, end) = match etag {
        Some(etag) => ("SIP-If-Match: ", etag, "\r\n"),
        None => ("", "", ""),
    };
    let text = format!(
        "PUBLISH {PRESENTITY} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:40000;branch=z9hG4bK{number:016x};rport\r\n\
         Max-Forwards: 70\r\nFrom: <{PRESENTITY}>;tag=p00000007\r\nTo: <{PRESENTITY}>\r\nCall-ID: p00000007-bench\r\n\
         CSeq: {number} PUBLISH\r\nEvent: presence\r\nExpires: 3600\r\n{condition}{etag}{end}\
         Content-Type: application/pidf+xml\r\nContent-Length: 820\r\n\r\n{before}{number:08x}{after}"
    );
    text.into()
}

/// A SUBSCRIBE of a watcher; with a tag one in its dialog.
pub fn subscribe(number: u32, watcher: u32, tag: Option<&str>, expires: u32) -> Bytes {
    let tag = tag.map_or_else(String::new, |tag| format!(";tag={tag}"));
    format!(
        "SUBSCRIBE {PRESENTITY} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:40000;branch=z9hG4bK{number:016x};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:watcher-{watcher:08x}@127.0.0.1>;tag=w{watcher:08x}\r\nTo: <{PRESENTITY}>{tag}\r\n\
         Call-ID: w{watcher:08x}-bench\r\nCSeq: {number} SUBSCRIBE\r\nContact: <sip:watcher@127.0.0.1:40000>\r\n\
         Event: presence\r\nExpires: {expires}\r\nAccept: application/pidf+xml\r\nContent-Length: 0\r\n\r\n"
    )
    .into()
}

/// The 200 to a request as it stands on the wire.
pub fn ok(request: &[u8]) -> Bytes {
    let text = std::str::from_utf8(request).expect("our own text");
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let mut answer = String::with_capacity(512);
    answer.push_str("SIP/2.0 200 OK\r\n");
    for line in head.split("\r\n") {
        let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
        if copied.iter().any(|name| line.starts_with(name)) {
            answer.push_str(line);
            answer.push_str("\r\n");
        }
    }
    answer.push_str("Content-Length: 0\r\n\r\n");
    answer.into()
}

const MODULE: ModuleId = ModuleId(1);

/// An endpoint whose one module claims what a presence server claims.
pub fn endpoint() -> Endpoint {
    use rollcall_core::endpoint::{Route, Settings};
    let routes = [
        Route::package(Method::Publish, "presence"),
        Route::package(Method::Subscribe, "presence"),
    ];
    let table: Builder = ModuleTable::builder();
    let table = table.module(MODULE, "registry", &routes, Sharding::ByPresentity);
    let table = table.build().expect("no conflict");
    let mut endpoint = Endpoint::new(Settings::default(), table, Entropy::from_number(1));
    endpoint.set_locals(vec![(Transport::Udp, flow().local)]);
    endpoint
}

/// Whose requests leave the endpoint.
pub const ORIGIN: Origin = Origin {
    module: MODULE,
    shard: 0,
};

/// The transaction of the request that an endpoint has delivered.
pub fn delivered(effects: &[Effect]) -> TransactionId {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Deliver { incoming, .. } => Some(incoming.transaction),
        _ => None,
    });
    found.expect("it was delivered")
}

/// A shard of a presence server whose store answers at once, and whose watchers do as soon as they are told.
pub struct Shard {
    registry: Registry,
    effects: Vec<registry::Effect>,
    sent: Vec<Outgoing>,
    /// Requests so far.
    pub number: u32,
    /// Head of the last reply, and the tag in it.
    pub head: Bytes,
    pub tag: Option<String>,
    answer: Message,
}

impl Shard {
    pub fn new() -> Self {
        let settings = Settings {
            pacing: std::time::Duration::ZERO,
            ..Settings::default()
        };
        let notify = subscribe(1, 1, None, 0);
        Self {
            registry: Registry::new(settings, 0, Entropy::from_number(1), 1),
            effects: Vec::new(),
            sent: Vec::new(),
            number: 0,
            head: Bytes::new(),
            tag: None,
            answer: Message::parse(ok(&notify)).expect("an answer"),
        }
    }

    /// Handles a request and all that follows from it. How many NOTIFYs were sent.
    pub fn request(&mut self, request: Message) -> usize {
        self.number += 1;
        let incoming = Incoming {
            transaction: TransactionId {
                shard: 0,
                number: self.number.into(),
            },
            flow: flow(),
            identity: Default::default(),
            source: Default::default(),
            message: request,
        };
        let mut effects = std::mem::take(&mut self.effects);
        self.registry.request(NOW, incoming, &mut effects);
        let mut notified = 0;
        while !effects.is_empty() || !self.sent.is_empty() {
            for effect in std::mem::take(&mut effects) {
                match effect {
                    registry::Effect::Reply(reply) => {
                        assert!(reply.status.is_success(), "{reply:?}");
                        self.head = reply.head;
                        self.tag = reply.to_tag;
                    }
                    registry::Effect::Send(outgoing) => self.sent.push(outgoing),
                    registry::Effect::Commit(commit) => {
                        let outcome = CommitOutcome::Committed;
                        self.registry
                            .committed(NOW, commit.op, outcome, &mut effects);
                    }
                    registry::Effect::Decided(..)
                    | registry::Effect::Note(_)
                    | registry::Effect::Memory { .. }
                    | registry::Effect::Compose(_) => {}
                }
            }
            for outgoing in std::mem::take(&mut self.sent) {
                notified += 1;
                let result = OutcomeResult::Response(self.answer.clone(), flow());
                let token = outgoing.token;
                self.registry
                    .outcome(NOW, Outcome { token, result }, &mut effects);
            }
        }
        self.effects = effects;
        notified
    }

    /// The entity-tag in the last reply.
    pub fn etag(&self) -> String {
        let head = String::from_utf8_lossy(&self.head);
        let tag = head
            .lines()
            .find_map(|line| line.strip_prefix("SIP-ETag: "));
        tag.expect("an entity-tag").to_owned()
    }
}
