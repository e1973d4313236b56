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
//! Everything here asserts: what does not come in time, or is not what was expected, panics and says so.

use std::time::Duration;

mod endpoint_kit;
mod manager_peer;
mod probe;
mod sip_peer;
mod world;

pub use endpoint_kit::{EndpointKit, ModuleProbe};
pub use manager_peer::ManagerPeer;
pub use probe::Probe;
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
