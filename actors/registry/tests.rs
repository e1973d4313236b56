//! The Registry actor between probes in the endpoints' places, in virtual time.

mod log;
mod recover;

use std::time::Duration;

use bytes::Bytes;
use rollcall_core::exchange::{
    ConnectionId, Flow, Incoming, Outcome, OutcomeResult, Reply, TransactionId, Transport,
};
use rollcall_core::registry::{Commit, CommitOutcome};
use rollcall_core::sip::Message as SipMessage;

use super::*;
use crate::store::{Counters, FileStore, MemoryDisk, Persistence, Reloaded, StoreError};
use crate::testkit::{Probe, in_real_time, in_virtual_time};
use rollcall_core::time::Timestamp;

/// Makes the core panic.
#[derive(Message)]
#[rtype(result = "()")]
struct Fault;

impl Handler<Fault> for Registry {
    type Result = ();

    fn handle(&mut self, _: Fault, ctx: &mut Context<Self>) {
        self.feed(self.clock.now(), Input::Panic);
        self.done(ctx);
    }
}

const MODULE: ModuleId = ModuleId(4);

/// A Registry of shard 0 of two, between two endpoints.
struct Bench {
    registry: Addr<Registry>,
    endpoints: [Probe<FromModule>; 2],
    requests: u64,
    /// Of the last NOTIFY seen.
    token: u64,
}

impl Bench {
    fn start(store: Arc<dyn Store>) -> Self {
        let records = store.load().expect("records");
        Self::start_with(store, Some(records))
    }

    fn start_with(store: Arc<dyn Store>, records: Option<Vec<(Version, Record)>>) -> Self {
        let endpoints = [Probe::start(), Probe::start()];
        let parts = Parts {
            settings: Settings::default(),
            shard: 0,
            shards: 1,
            module: MODULE,
            store,
            records,
            endpoints: endpoints.iter().map(Probe::recipient).collect(),
            clock: Clock::starting_at(Timestamp::from_millis(1_000_000)),
            entropy: Entropy::from_number(1),
            composer: None,
        };
        Self {
            registry: Registry::new(parts).start(),
            endpoints,
            requests: 0,
            token: 0,
        }
    }

    fn request(&mut self, method: &str, lines: &str, body: &str, shard: Shard) -> ModuleInput {
        self.requests += 1;
        ModuleInput::Request(request(self.requests, method, lines, body, shard))
    }

    fn tell(&self, inputs: Vec<ModuleInput>) {
        self.registry.do_send(ToModule(inputs));
    }

    /// What the next message to an endpoint wants, a word each.
    async fn outputs(&mut self, endpoint: usize) -> Vec<String> {
        let message = self.endpoints[endpoint].next().await;
        self.words(message)
    }

    /// The same of endpoint 0, for what may take longer than usual.
    async fn outputs_after(&mut self, limit: Duration) -> Vec<String> {
        let limit = limit + Duration::from_secs(1);
        let message = self.endpoints[0]
            .next_within(limit)
            .await
            .expect("a message in time");
        self.words(message)
    }

    fn words(&mut self, message: FromModule) -> Vec<String> {
        assert_eq!((message.module, message.shard), (MODULE, 0));
        for output in &message.outputs {
            if let ModuleOutput::Send(outgoing) = output {
                self.token = outgoing.token;
            }
        }
        message.outputs.iter().map(word).collect()
    }

    /// The tag or entity-tag in the next answer to endpoint 0.
    async fn etag(&mut self) -> String {
        let message = self.endpoints[0].next().await;
        let ModuleOutput::Reply(Reply { head, .. }) = &message.outputs[0] else {
            panic!("a reply: {message:?}")
        };
        let head = String::from_utf8_lossy(head);
        let (_, etag) = head.split_once("SIP-ETag: ").expect("a SIP-ETag");
        etag.trim_end().to_owned()
    }

    async fn snapshot(&self) -> serde_json::Value {
        self.registry
            .send(TakeSnapshot)
            .await
            .expect("a living actor")
    }
}

fn request(number: u64, method: &str, lines: &str, body: &str, shard: Shard) -> Incoming {
    let to = if lines.contains("To:") {
        ""
    } else {
        "To: <sip:bob@example.com>\r\n"
    };
    let text = format!(
        "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5070;branch=z9hG4bK{number}\r\n\
             From: <sip:alice@example.com>;tag=a\r\n{to}Call-ID: c\r\nCSeq: {number} {method}\r\nEvent: presence\r\n\
             Contact: <sip:alice@127.0.0.1:5070;transport=tcp>\r\nContent-Type: application/pidf+xml\r\n{lines}\
             Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Incoming {
        transaction: TransactionId { shard, number },
        identity: Default::default(),
        source: Default::default(),
        flow: flow(shard),
        message: SipMessage::parse(Bytes::from(text)).expect("a request"),
    }
}

fn word(output: &ModuleOutput) -> String {
    match output {
        ModuleOutput::Reply(reply) => reply.status.to_string(),
        ModuleOutput::Send(outgoing) => {
            let head = String::from_utf8_lossy(&outgoing.head);
            let ends = if head.contains("terminated") {
                " end"
            } else {
                ""
            };
            format!("{}{ends}", outgoing.method)
        }
    }
}

const BODY: &str =
    "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.com\"/>";

fn disk() -> (MemoryDisk, Arc<dyn Store>) {
    let disk = MemoryDisk::new();
    let store = Arc::new(disk.open());
    (disk, store)
}

#[test]
fn what_one_message_brings_goes_back_in_one_message_to_each_endpoint() {
    in_virtual_time(async {
        let mut bench = Bench::start(disk().1);
        let first = bench.request("SUBSCRIBE", "", "", 1);
        let second = bench.request("PUBLISH", "", BODY, 0);
        let third = bench.request("PUBLISH", "Expires: 1\r\n", BODY, 0);
        bench.tell(vec![first, second, third]);
        // The NOTIFY takes the watcher's connection, which is the other endpoint's.
        assert_eq!(bench.outputs(1).await, ["200", "NOTIFY"]);
        assert_eq!(bench.outputs(0).await, ["200", "423"]);
    });
}

#[test]
fn the_first_notify_leaves_behind_its_2xx_also_where_no_connection_binds_them() {
    in_virtual_time(async {
        let mut bench = Bench::start(disk().1);
        let mut subscribe = bench.request("SUBSCRIBE", "", "", 1);
        if let ModuleInput::Request(incoming) = &mut subscribe {
            incoming.flow.transport = Transport::Udp;
        }
        bench.tell(vec![subscribe]);
        assert_eq!(bench.outputs(1).await, ["200", "NOTIFY"]);
        // What follows no answer to it leaves by the subscription's own shard.
        bench.tell(vec![ok(bench.token)]);
        let publish = bench.request("PUBLISH", "", BODY, 0);
        bench.tell(vec![publish]);
        assert_eq!(bench.outputs(0).await, ["200", "NOTIFY"]);
    });
}

#[test]
fn time_passes_by_one_timer() {
    in_virtual_time(async {
        let mut bench = Bench::start(disk().1);
        let subscribe = bench.request("SUBSCRIBE", "Expires: 60\r\n", "", 0);
        bench.tell(vec![subscribe]);
        assert_eq!(bench.outputs(0).await, ["200", "NOTIFY"]);
        // Nothing but the expiry is due before it.
        bench.tell(vec![timeout(bench.token)]);
        assert_eq!(bench.outputs(0).await, ["NOTIFY"]);
        bench.tell(vec![timeout(bench.token)]);
        bench.endpoints[0]
            .expect_nothing(Duration::from_secs(3600))
            .await;
        assert_eq!(bench.snapshot().await["subscription_count"], 0);
        let subscribe = bench.request("SUBSCRIBE", "Expires: 60\r\n", "", 0);
        bench.tell(vec![subscribe]);
        assert_eq!(bench.outputs(0).await, ["200", "NOTIFY"]);
        bench.tell(vec![ok(bench.token)]);
        let before = tokio::time::Instant::now();
        assert_eq!(
            bench.outputs_after(Duration::from_secs(60)).await,
            ["NOTIFY end"]
        );
        assert_eq!(before.elapsed().as_secs(), 60);
    });
}

fn timeout(token: u64) -> ModuleInput {
    ModuleInput::Outcome(Outcome {
        token,
        result: OutcomeResult::Timeout,
    })
}

fn ok(token: u64) -> ModuleInput {
    let text = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKn\r\nFrom: <sip:b@x>;tag=b\r\n\
                To: <sip:a@x>;tag=a\r\nCall-ID: c\r\nCSeq: 1 NOTIFY\r\nContent-Length: 0\r\n\r\n";
    let message = SipMessage::parse(Bytes::from(text)).expect("a response");
    let result = OutcomeResult::Response(message, flow(0));
    ModuleInput::Outcome(Outcome { token, result })
}

fn flow(shard: Shard) -> Flow {
    Flow {
        shard,
        transport: Transport::Tcp,
        local: "127.0.0.1:5060".parse().expect("an address"),
        remote: "127.0.0.1:5070".parse().expect("an address"),
        connection: ConnectionId(1),
    }
}

#[test]
fn an_actor_that_starts_on_a_full_store_goes_on_where_the_last_one_was() {
    in_virtual_time(async {
        let (disk, store) = disk();
        let mut bench = Bench::start(store);
        let publish = bench.request("PUBLISH", "", BODY, 0);
        let subscribe = bench.request("SUBSCRIBE", "", "", 0);
        bench.tell(vec![publish]);
        let etag = bench.etag().await;
        bench.tell(vec![subscribe]);
        assert_eq!(bench.outputs(0).await, ["200", "NOTIFY"]);
        // The process is killed.
        let mut bench = Bench::start(Arc::new(disk.open()));
        assert_eq!(bench.outputs(0).await, ["NOTIFY"]);
        let refresh = bench.request("PUBLISH", &format!("SIP-If-Match: {etag}\r\n"), "", 0);
        bench.tell(vec![refresh]);
        assert_eq!(bench.outputs(0).await, ["200"]);
        assert_eq!(bench.snapshot().await["epoch"], 2);
    });
}

#[test]
fn after_a_panic_the_shard_is_rebuilt_from_the_store() {
    in_virtual_time(async {
        let mut bench = Bench::start(disk().1);
        let publish = bench.request("PUBLISH", "", BODY, 0);
        bench.tell(vec![publish]);
        let etag = bench.etag().await;
        bench.registry.do_send(Fault);
        // The first one comes before the store's answer.
        let refresh = format!("SIP-If-Match: {etag}\r\n");
        for expected in ["503", "200"] {
            let refresh = bench.request("PUBLISH", &refresh, "", 0);
            bench.tell(vec![refresh]);
            assert_eq!(bench.outputs(0).await, [expected]);
        }
        let snapshot = bench.snapshot().await;
        assert_eq!(
            (&snapshot["panics"], &snapshot["epoch"]),
            (&1.into(), &2.into())
        );
        assert_eq!(snapshot["publication_count"], 1);
    });
}

/// A store that takes commits and never answers.
#[derive(Debug)]
struct Silent;

impl Store for Silent {
    fn epoch(&self) -> u64 {
        1
    }
    fn reload(&self, _: Share, answer: Reloaded) {
        answer(Ok(Vec::new()));
    }
    fn load(&self) -> Result<Vec<(Version, Record)>, StoreError> {
        Ok(Vec::new())
    }
    fn attach(&self, _: Shard, _: Recipient<Committed>) {}
    fn commit(&self, _: Commit) -> Option<CommitOutcome> {
        None
    }
    fn counters(&self) -> Counters {
        Counters::default()
    }
    fn close(&self) {}
}

#[test]
fn requests_that_wait_for_the_store_when_the_core_panics_are_answered() {
    in_virtual_time(async {
        let mut bench = Bench::start(Arc::new(Silent));
        let waiting = vec![
            bench.request("PUBLISH", "", BODY, 0),
            bench.request("PUBLISH", "", BODY, 0),
            bench.request("SUBSCRIBE", "", "", 0),
        ];
        bench.tell(waiting);
        bench.registry.do_send(Fault);
        assert_eq!(bench.outputs(0).await, ["500", "500", "500"]);
    });
}

/// The first was answered before the panic, the second was being decided, the third waited behind it.
#[test]
fn a_panic_at_the_answer_of_the_store_leaves_nobody_without_one() {
    let store = Arc::new(Silent);
    let mut guarded = Guarded::new(
        Settings::default(),
        Share {
            shard: 0,
            shards: 1,
        },
        Entropy::from_number(1),
        store,
    );
    let now = Timestamp::from_millis(1_000_000);
    let mut out = Vec::new();
    guarded.ask(now, Input::Load(Vec::new()), &mut out);
    for number in 1..=3 {
        let incoming = request(number, "PUBLISH", "", BODY, 0);
        guarded.ask(now, Input::Request(incoming), &mut out);
    }
    let [Effect::Commit(commit)] = &out[..] else {
        panic!("one commit: {out:?}")
    };
    let op = commit.op;
    out.clear();
    guarded.ask(now, Input::PanicAt(op, CommitOutcome::Committed), &mut out);
    let answers: Vec<_> = out
        .iter()
        .map(|effect| match effect {
            Effect::Reply(reply) => (reply.transaction.number, reply.status.code()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(answers, [(1, 200), (2, 500), (3, 500)]);
}

#[test]
fn a_snapshot_says_who_speaks_and_shows_rows_counters_and_the_store() {
    in_virtual_time(async {
        let mut bench = Bench::start(disk().1);
        let publish = bench.request("PUBLISH", "", BODY, 0);
        bench.tell(vec![publish]);
        assert_eq!(bench.outputs(0).await, ["200"]);
        let snapshot = bench.snapshot().await;
        assert_eq!(snapshot["actor"], "registry");
        assert_eq!(snapshot["shard"], 0);
        assert_eq!(snapshot["counters"]["published"], 1);
        assert_eq!(snapshot["store"]["committed"], 1);
        assert_eq!(snapshot["presentities"][0]["aor"], "sip:bob@example.com");
        assert_eq!(snapshot["presentities"][0]["publications"][0]["body"], BODY);
    });
}

#[test]
fn over_a_real_store_the_answer_comes_after_the_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    in_real_time(async {
        let store: Arc<dyn Store> =
            Arc::new(FileStore::open(folder.path(), Persistence::default()).expect("a store"));
        let mut bench = Bench::start(store.clone());
        let requests: Vec<_> = (0..50)
            .map(|_| bench.request("PUBLISH", "", BODY, 0))
            .collect();
        bench.tell(requests);
        let mut answers = Vec::new();
        while answers.len() < 50 {
            answers.extend(bench.outputs(0).await);
            assert!(store.counters().committed as usize >= count(&answers));
        }
        // The presentity's limit.
        assert_eq!(count(&answers), 32);
        assert_eq!(store.load().expect("records").len(), 32);
    });
}

fn count(answers: &[String]) -> usize {
    answers.iter().filter(|answer| *answer == "200").count()
}
