//! Watches one presentity and prints each of its states, until ctrl-c.
//!
//! ```text
//! cargo run -- run                                       # a server to watch at, in one terminal
//! cargo run --example watch_one -- sip:demo@127.0.0.1    # in another
//! ```
//!
//! A second argument names another server: `sip:192.0.2.1:5060;transport=tcp`.

use rollcall::cli::signals;
use rollcall::node::{self, Continue, WatchOrder};

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let presentity = arguments.next().unwrap_or("sip:demo@127.0.0.1".into());
    let server = arguments.next().unwrap_or("sip:127.0.0.1:5060".into());

    let order = WatchOrder::new(presentity, server.parse()?);
    let seen = |sighting: &node::Sighting| {
        println!("{sighting}");
        Continue::Yes
    };
    node::watch(order, signals::control()?, seen).await?;
    Ok(())
}
