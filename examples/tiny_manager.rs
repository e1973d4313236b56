//! A Manager with a source of its own: this program, which says that somebody is in a meeting.
//!
//! ```text
//! cargo run -- server --domain 127.0.0.1 --store memory: --auth off                           # the Presence Server
//! cargo run --example tiny_manager                                                            # this Manager
//! cargo run -- client --manager 127.0.0.1:7000 --server sip:127.0.0.1:5060 --domain 127.0.0.1 # the link between them
//! cargo run --example watch_one -- sip:you@127.0.0.1                                          # what comes of it
//! ```
//!
//! Arguments: where to listen, and the presentity.

use rollcall::cli::signals;
use rollcall::config;
use rollcall::core::manager::{Basic, Presence};
use rollcall::manager::hub::FromSource;
use rollcall::node::{Command, Environment, ManagerNode};

#[actix::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap_or("127.0.0.1:7000".into());
    let presentity = arguments.next().unwrap_or("sip:you@127.0.0.1".into());

    let settings = config::Manager {
        listen: listen.parse()?,
        // This program says it again whenever it starts; and a file has one Manager at a time.
        state: None,
        ..config::Manager::default()
    };
    let manager = ManagerNode::start(&settings, Environment::real()?).await?;
    println!("listening on {}", manager.listening());

    // Said again whenever it changes. The Manager merges what its sources say, and tells each Presence Client now or
    // when it connects.
    let presence = Presence {
        entity: presentity,
        basic: Some(Basic::Open),
        activities: vec!["meeting".into()],
        ..Presence::default()
    };
    let source = "tiny".into();
    manager.hub().do_send(FromSource { source, presence });

    let mut control = signals::control()?;
    while control.next().await != Command::Stop {}
    manager.stop().await;
    Ok(())
}
