//! Test kit: virtual time, probe actors, a memory network, scripted SIP and Manager peers.
//!
//! Rollcall's own actor tests are written with it, and so can those of a module of yours be. A test puts one actor
//! between probes and peers, in virtual time: an hour of timers takes milliseconds, and nothing in it sleeps.
//!
//! ```
//! use rollcall::core::endpoint::{ModuleId, ModuleTable, Route, Sharding};
//! use rollcall::core::sip::{Method, StatusCode};
//! use rollcall::testkit::{EndpointKit, World, in_virtual_time};
//!
//! in_virtual_time(async {
//!     let world = World::new(1, &["server", "phone"]);
//!     let table = ModuleTable::builder()
//!         .module(ModuleId(1), "echo", &[Route::method(Method::Message)], Sharding::One)
//!         .build()
//!         .expect("no conflict");
//!     let mut kit = EndpointKit::start(world.network("server"), table).await;
//!
//!     let mut phone = kit.udp_peer(&world.network("phone")).await;
//!     phone.send(&phone.request("MESSAGE", "sip:bob@server", "", "hello")).await;
//!     let incoming = kit.module(ModuleId(1)).request().await;
//!     assert_eq!(&incoming.message.body()[..], b"hello");
//!     kit.module(ModuleId(1)).answer(&incoming, StatusCode::OK);
//!     phone.expect_status(200).await;
//! });
//! ```
//!
//! | for | there is |
//! |---|---|
//! | time | [`in_virtual_time`], or [`in_real_time`] over real sockets |
//! | the network | [`World`]: hosts by name, partitions, crashes, and by [`World::memory`] links that delay and lose |
//! | an actor's neighbours | [`Probe`], which stands where another actor would and shows what it was sent |
//! | a module's endpoint | [`EndpointKit`]: a real one, with a [`ModuleProbe`] in the place of each module of its table |
//! | an endpoint's module | [`EndpointKit::attach`] puts the actor under test in the place of its probe |
//! | SIP peers | [`SipPeer`]: sends what it is told, right or wrong, over UDP or TCP |
//! | Manager-protocol peers | [`ManagerPeer`] over a connection; [`SessionProbe`] without one |
//!
//! The module's own test, the other way round: the actor is real, the peers are scripted.
//!
//! ```
//! use actix::prelude::*;
//! use rollcall::core::endpoint::{ModuleId, ModuleTable, Route, Sharding};
//! use rollcall::core::exchange::Reply;
//! use rollcall::core::sip::{Method, StatusCode};
//! use rollcall::messages::{FromModule, ModuleInput, ModuleOutput, ToModule};
//! use rollcall::testkit::{EndpointKit, World, in_virtual_time};
//!
//! /// Declines every MESSAGE.
//! struct Decliner(Recipient<FromModule>);
//!
//! impl Actor for Decliner {
//!     type Context = Context<Self>;
//! }
//!
//! impl Handler<ToModule> for Decliner {
//!     type Result = ();
//!
//!     fn handle(&mut self, ToModule(inputs): ToModule, _: &mut Self::Context) {
//!         for input in inputs {
//!             if let ModuleInput::Request(incoming) = input {
//!                 let reply = Reply::new(incoming.transaction, StatusCode::DECLINE);
//!                 let outputs = vec![ModuleOutput::Reply(reply)];
//!                 self.0.do_send(FromModule { module: ModuleId(1), shard: 0, outputs });
//!             }
//!         }
//!     }
//! }
//!
//! in_virtual_time(async {
//!     let world = World::new(1, &["server", "phone"]);
//!     let table = ModuleTable::builder()
//!         .module(ModuleId(1), "decliner", &[Route::method(Method::Message)], Sharding::One)
//!         .build()
//!         .expect("no conflict");
//!     let kit = EndpointKit::start(world.network("server"), table).await;
//!     kit.attach(ModuleId(1), Decliner(kit.endpoint.clone().recipient()).start().recipient());
//!
//!     let mut phone = kit.udp_peer(&world.network("phone")).await;
//!     phone.send(&phone.request("MESSAGE", "sip:bob@server", "", "hello")).await;
//!     phone.expect_status(603).await;
//! });
//! ```
//!
//! A whole module with its test is in `examples/own_module.rs`; how one is written, in `docs/modules.md`.
//!
//! Everything here asserts: what does not come in time, or is not what was expected, panics and says so.

use std::time::Duration;

mod endpoint_kit;
mod manager_peer;
mod name_server;
mod probe;
mod session_probe;
mod sip_peer;
mod world;

pub use endpoint_kit::{EndpointKit, ModuleProbe};
pub use manager_peer::ManagerPeer;
pub use name_server::NameServer;
pub use probe::Probe;
pub use session_probe::SessionProbe;
pub use sip_peer::{SipPeer, wire};
pub use world::World;

/// How long anything that is expected may take: more than all retransmissions of a transaction. Virtual time does not
/// notice, and over real sockets only a failing test waits for it.
pub const LIMIT: Duration = Duration::from_secs(40);

/// Runs a test with actors on one thread in virtual time: whenever all wait, the clock jumps to the next timer.
///
/// Only with memory networks: real sockets take real time, and the clock would jump ahead of them.
pub fn in_virtual_time<T>(test: impl Future<Output = T>) -> T {
    actix::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime")
    })
    .block_on(test)
}

/// Runs a test with actors on one thread in real time, for real sockets.
pub fn in_real_time<T>(test: impl Future<Output = T>) -> T {
    actix::System::new().block_on(test)
}
