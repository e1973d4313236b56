//! Publishes that somebody is busy, and keeps it published until ctrl-c.
//!
//! ```text
//! cargo run -- run                                         # a server to publish to, in one terminal
//! cargo run --example publish_one -- sip:you@127.0.0.1     # in another
//! cargo run --example watch_one -- sip:you@127.0.0.1       # what comes of it, in a third
//! ```
//!
//! A second argument names another server: `sip:192.0.2.1:5060;transport=tcp`.

use rollcall::cli::signals;
use rollcall::core::manager::Basic;
use rollcall::node::{self, PublishOrder, Published};

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let presentity = arguments.next().unwrap_or("sip:you@127.0.0.1".into());
    let server = arguments.next().unwrap_or("sip:127.0.0.1:5060".into());

    let order = PublishOrder {
        basic: Some(Basic::Open),
        activities: vec!["busy".into()],
        note: Some("Reading an example".into()),
        keep: true,
        ..PublishOrder::new(presentity, server.parse()?)
    };
    // Called for the first PUBLISH and for each refresh: the server gives a new entity-tag every time.
    let published = |now: &Published| println!("entity-tag {} for {} s", now.etag, now.expires);
    node::publish(order, signals::control()?, published).await?;
    Ok(())
}
