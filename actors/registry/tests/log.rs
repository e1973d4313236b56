//! What the log tells of changes, and from when on.

use std::io;
use std::sync::Mutex;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, fmt, reload};

use super::*;

/// Where the log is written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_log_that_is_switched_on_while_the_node_runs_tells_of_changes_from_then_on() {
    let paper = Paper::default();
    let (filter, switch) = reload::Layer::new(EnvFilter::new("off"));
    let writer = paper.clone();
    let lines = fmt::layer()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .without_time();
    let log = tracing_subscriber::registry().with(filter).with(lines);
    let _during_the_test = tracing::subscriber::set_default(log);
    let etag = in_virtual_time(async {
        let mut bench = Bench::start(disk().1);
        let unseen = bench.request("PUBLISH", "", BODY, 0);
        bench.tell(vec![unseen]);
        let etag = bench.etag().await;
        switch
            .reload(EnvFilter::new("rollcall::registry=debug"))
            .expect("a log");
        let seen = bench.request("PUBLISH", &format!("SIP-If-Match: {etag}\r\n"), BODY, 0);
        bench.tell(vec![seen]);
        bench.etag().await
    });

    let told = String::from_utf8(paper.0.lock().expect("no writer panics").clone());
    assert_eq!(
        told.expect("text"),
        format!(
            "DEBUG publication{{shard=0 presentity=sip:bob@example.com etag={etag}}}: rollcall::registry: modified\n"
        )
    );
}
