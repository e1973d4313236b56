//! The end of a node as a power cut would make it: its actors end where they stand, nobody is told. And a host that stalls: its actors
//! do nothing for a while, then everything at once.
//!
//! For simulations and tests; a real process is simply killed.

use std::time::Duration;

use actix::prelude::*;

use super::client::ClientNode;
use super::manager::ManagerNode;
use super::server::ServerNode;
use crate::client::{PublishBuffer, Publisher};
use crate::endpoint::Endpoint;
use crate::manager::{Link, Manager};
use crate::registry::Registry;
use crate::watch::Watcher;

/// Ends an actor at once.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Crash;

/// Holds an actor up: for so long it handles nothing, and no timer of its own fires.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Stall(pub Duration);

macro_rules! may_crash {
    ($($actor:ty),+) => {$(
        impl Handler<Crash> for $actor {
            type Result = ();

            fn handle(&mut self, _: Crash, ctx: &mut Self::Context) {
                ctx.terminate();
            }
        }

        impl Handler<Stall> for $actor {
            type Result = ();

            fn handle(&mut self, Stall(length): Stall, ctx: &mut Self::Context) {
                let sleep = tokio::time::sleep(length);
                ctx.wait(actix::fut::wrap_future(sleep));
            }
        }
    )+};
}

may_crash!(
    Endpoint,
    Registry,
    Manager,
    Link,
    PublishBuffer,
    Publisher,
    Watcher
);

impl ServerNode {
    /// Ends it as a power cut would. What the store has is all that is left.
    pub fn crash(self) {
        for registry in &self.registries {
            registry.do_send(Crash);
        }
        self.stack.crash();
    }

    /// Holds all its actors up for so long.
    pub fn stall(&self, length: Duration) {
        for registry in &self.registries {
            registry.do_send(Stall(length));
        }
        self.stack.stall(length);
    }
}

impl ManagerNode {
    /// Ends it as a power cut would. Its sessions end with their connections.
    pub fn crash(self) {
        self.hub().do_send(Crash);
        self.stack.crash();
    }

    /// Holds the Manager up for so long.
    pub fn stall(&self, length: Duration) {
        self.hub().do_send(Stall(length));
        self.stack.stall(length);
    }
}

impl ClientNode {
    /// Ends it as a power cut would. What its tag journal has is all that is left.
    pub fn crash(self) {
        if let Some(link) = &self.link {
            link.do_send(Crash);
        }
        self.client.buffer.do_send(Crash);
        self.client.publisher.do_send(Crash);
        self.stack.crash();
    }

    /// Holds all its actors up for so long.
    pub fn stall(&self, length: Duration) {
        if let Some(link) = &self.link {
            link.do_send(Stall(length));
        }
        self.client.buffer.do_send(Stall(length));
        self.client.publisher.do_send(Stall(length));
        self.stack.stall(length);
    }
}

impl super::stack::Stack {
    /// Ends the endpoints as a power cut would.
    pub fn crash(self) {
        for endpoint in &self.endpoints {
            endpoint.do_send(Crash);
        }
    }

    /// Holds the endpoints up for so long.
    pub fn stall(&self, length: Duration) {
        for endpoint in &self.endpoints {
            endpoint.do_send(Stall(length));
        }
    }
}
