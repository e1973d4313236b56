//! An endpoint and its registry as values, in virtual time, with all that leaves them weighed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rollcall::core::digest::Authentication;
use rollcall::core::egress::Egress;
use rollcall::core::endpoint::{self, Endpoint, ModuleId, ModuleTable, Origin, Route, Sharding};
use rollcall::core::entropy::Entropy;
use rollcall::core::exchange::{ConnectionId, Flow, Transport};
use rollcall::core::registry::{self, CommitOutcome, Registry};
use rollcall::core::sip::{Message, Method, Name};
use rollcall::core::time::Timestamp;

const REGISTRY: ModuleId = ModuleId(1);
/// Where the server is: nowhere near loopback.
pub const SERVER: &str = "192.0.2.1:5060";

pub struct World {
    endpoint: Endpoint,
    registry: Registry,
    now: Timestamp,
    /// Bytes that came from an address, and went there.
    pub received: BTreeMap<IpAddr, usize>,
    pub sent: BTreeMap<IpAddr, usize>,
    /// What went to each place since it was last asked for.
    inbox: BTreeMap<SocketAddr, Vec<Message>>,
    /// Places that connections were to be opened to, and names that were to be looked up.
    pub wanted: Vec<String>,
    /// The entity-tag of what is published.
    pub tag: Option<String>,
}

pub fn place(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub fn udp(remote: &str) -> Flow {
    Flow {
        shard: 0,
        transport: Transport::Udp,
        local: place(SERVER),
        remote: place(remote),
        connection: ConnectionId(0),
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(Egress::default(), None)
    }

    pub fn with(egress: Egress, authentication: Option<Authentication>) -> Self {
        let egress = Arc::new(egress);
        let settings = registry::Settings {
            egress: Arc::clone(&egress),
            ..registry::Settings::default()
        };
        let claims = [
            Route::method(Method::Register),
            Route::package(Method::Publish, "presence"),
            Route::package(Method::Subscribe, "presence"),
        ];
        let modules = ModuleTable::builder()
            .module(REGISTRY, "registry", &claims, Sharding::One)
            .build()
            .expect("no conflict");
        let own = endpoint::Settings {
            egress,
            authentication: authentication.map(Arc::new),
            server_name: Some("rollcall".to_owned()),
            user_agent: Some("rollcall".to_owned()),
            ..endpoint::Settings::default()
        };
        let mut endpoint = Endpoint::new(own, modules, Entropy::from_number(1));
        endpoint.set_locals(vec![(Transport::Udp, place(SERVER))]);
        Self {
            endpoint,
            registry: Registry::new(settings, 0, Entropy::from_number(2), 1),
            now: Timestamp::from_millis(1_795_300_000_000),
            received: BTreeMap::new(),
            sent: BTreeMap::new(),
            inbox: BTreeMap::new(),
            wanted: Vec::new(),
            tag: None,
        }
    }

    /// A datagram comes.
    pub fn receive(&mut self, remote: &str, text: &str) {
        self.receive_over(udp(remote), text);
    }

    pub fn receive_over(&mut self, flow: Flow, text: &str) {
        *self.received.entry(flow.remote.ip()).or_default() += text.len();
        let mut out = Vec::new();
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        self.endpoint.receive(self.now, flow, bytes, &mut out);
        self.of_endpoint(out);
    }

    /// A connection ends.
    pub fn close(&mut self, flow: &Flow) {
        let mut out = Vec::new();
        self.endpoint
            .connection_closed(self.now, flow.connection, &mut out);
        self.of_endpoint(out);
    }

    /// Time passes.
    pub fn pass(&mut self, seconds: u64) {
        self.pass_for(Duration::from_secs(seconds));
    }

    fn pass_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = [self.endpoint.next_wake(), self.registry.next_wake()];
            let Some(at) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                break;
            };
            self.now = at.max(self.now);
            let (mut out, mut wanted) = (Vec::new(), Vec::new());
            self.endpoint.wake(self.now, &mut out);
            self.registry.wake(self.now, &mut wanted);
            self.of_endpoint(out);
            self.of_registry(wanted);
        }
        self.now = end;
    }

    /// What went to a place since it was last asked for.
    pub fn inbox(&mut self, at: &str) -> Vec<Message> {
        // A large state takes its time.
        self.pass_for(Duration::from_millis(100));
        self.inbox.remove(&place(at)).unwrap_or_default()
    }

    /// The NOTIFYs among it.
    pub fn notifies(&mut self, at: &str) -> Vec<Message> {
        let mut notifies = self.inbox(at);
        notifies.retain(|message| message.method() == Some(&Method::Notify));
        notifies
    }

    /// Who is at a place answers a NOTIFY.
    pub fn answer(&mut self, from: &str, notify: &Message) {
        let copy = |name: Name| {
            let value = notify.text(name).unwrap_or_default();
            format!("{}: {value}\r\n", name.as_str())
        };
        let copied: String = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq]
            .into_iter()
            .map(copy)
            .collect();
        self.receive(
            from,
            &format!("SIP/2.0 200 OK\r\n{copied}Content-Length: 0\r\n\r\n"),
        );
    }

    /// Whether an address was sent no more than it may draw: three times what came from there.
    pub fn assert_bounded(&self, at: &str, what: &str) {
        let ip = place(at).ip();
        let [sent, received] =
            [&self.sent, &self.received].map(|all| all.get(&ip).copied().unwrap_or(0));
        assert!(
            sent <= 3 * received,
            "{sent} bytes went to {ip}, {received} came: {what}"
        );
    }

    fn of_endpoint(&mut self, effects: Vec<endpoint::Effect>) {
        for effect in effects {
            let (mut out, mut wanted) = (Vec::new(), Vec::new());
            match effect {
                endpoint::Effect::Send { flow, bytes } => {
                    if flow.transport == Transport::Udp {
                        assert!(bytes.len() <= 65_507);
                        *self.sent.entry(flow.remote.ip()).or_default() += bytes.len();
                    }
                    let message = Message::parse(bytes).expect("what is sent can be read");
                    self.inbox.entry(flow.remote).or_default().push(message);
                }
                endpoint::Effect::Deliver { incoming, .. } => {
                    self.registry.request(self.now, incoming, &mut wanted);
                }
                endpoint::Effect::Outcome { outcome, .. } => {
                    self.registry.outcome(self.now, outcome, &mut wanted);
                }
                endpoint::Effect::Route {
                    ticket, host, port, ..
                } => {
                    self.wanted.push(format!("{host} {port:?}"));
                    let nowhere = Err("nobody listens".to_owned());
                    self.endpoint.routed(self.now, ticket, nowhere, &mut out);
                }
                endpoint::Effect::Locate { ticket, wanted } => {
                    self.wanted.push(wanted.host);
                    let nowhere = Err("there is no such name".to_owned());
                    self.endpoint.located(self.now, ticket, nowhere, &mut out);
                }
                endpoint::Effect::Alias { .. }
                | endpoint::Effect::Barred { .. }
                | endpoint::Effect::Observe { .. }
                | endpoint::Effect::LoginFailed(_)
                | endpoint::Effect::HandOver { .. }
                | endpoint::Effect::Close { .. } => {}
            }
            self.of_registry(wanted);
            if !out.is_empty() {
                self.of_endpoint(out);
            }
        }
    }

    fn of_registry(&mut self, effects: Vec<registry::Effect>) {
        let origin = Origin {
            module: REGISTRY,
            shard: 0,
        };
        for effect in effects {
            let (mut out, mut further) = (Vec::new(), Vec::new());
            match effect {
                registry::Effect::Reply(reply) => self.endpoint.reply(self.now, reply, &mut out),
                registry::Effect::Send(outgoing) => {
                    self.endpoint.send(self.now, origin, outgoing, &mut out);
                }
                registry::Effect::Commit(commit) => {
                    let done = CommitOutcome::Committed;
                    self.registry
                        .committed(self.now, commit.op, done, &mut further);
                }
                registry::Effect::Compose(job) => {
                    self.registry.composed(self.now, job.run(), &mut further);
                }
                registry::Effect::Note(_)
                | registry::Effect::Memory { .. }
                | registry::Effect::Decided(..) => {}
            }
            self.of_endpoint(out);
            if !further.is_empty() {
                self.of_registry(further);
            }
        }
    }
}
