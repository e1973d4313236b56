//! What is done to the nodes of the world besides crashes: wrong clocks, stalls, disks, and decisions about watchers.

use std::time::Duration;

use rollcall_core::endpoint::shard_of;
use rollcall_core::registry::Decision;
use rollcall_core::watcherinfo::Handling;

use super::places::entity;
use super::{Health, Who, World, phone};
use crate::messages::Decide;
use crate::node::Stall;
use crate::simulate::faults::Faults;

impl World {
    /// How far a node's clock is ahead when it starts, in milliseconds.
    pub(super) fn ahead(&self, who: Who) -> i64 {
        let set = self.clocks.get(&who).copied();
        set.unwrap_or_else(|| Faults::skew(&self.settings, who))
    }

    /// The next start of the node finds its clock so many milliseconds ahead.
    pub fn set_clock(&mut self, who: Who, ahead: i64) {
        self.clocks.insert(who, ahead);
    }

    /// The server's disk does this from now on.
    pub fn set_disk(&mut self, health: Health) {
        self.health = health;
        self.disk.set(health);
        self.tell_whether_the_server_is_able();
    }

    /// A node does nothing for so long.
    pub fn stall(&mut self, who: Who, length: Duration) {
        match who {
            Who::Server => {
                if let Some(node) = &self.server.1 {
                    node.stall(length);
                    self.is_stalled = true;
                }
                self.tell_whether_the_server_is_able();
            }
            Who::Manager(number) => {
                if let Some(node) = &self.managers[number].1 {
                    node.stall(length);
                }
            }
            Who::Client(number) => {
                if let Some(node) = &self.clients[number].1 {
                    node.stall(length);
                }
            }
            Who::Watchers(number) => {
                if let Some((stack, watcher)) = &self.watchers[number].running {
                    stack.stall(length);
                    watcher.do_send(Stall(length));
                }
            }
        }
    }

    /// A stalled node goes on.
    pub fn goes_on(&mut self, who: Who) {
        if who == Who::Server {
            self.is_stalled = false;
            self.tell_whether_the_server_is_able();
        }
    }

    /// What is asked of the server now is owed an answer, or not.
    pub(super) fn tell_whether_the_server_is_able(&self) {
        let held_up = self.is_stalled || matches!(self.health, Health::Hung | Health::Slow);
        let is_able = self.server.1.is_some() && !held_up;
        let now = self.clock.now();
        self.books.with(|ledger, observer| {
            observer.promises.server_is_able(now, is_able, ledger);
        });
    }

    /// It is decided how a phone is treated that watches a person. Whether that is stored is heard later.
    pub fn decide(&self, person: usize, number: usize, handling: Handling) {
        let Some(node) = &self.server.1 else { return };
        let (presentity, watcher) = (entity(person), phone(number));
        let shard = shard_of(&presentity, self.settings.shards);
        let Some(registry) = node.registries.get(usize::from(shard)).cloned() else {
            return;
        };
        let books = self.books.clone();
        let say = move |presentity: &str, watcher: &str, is_blocked| {
            books.with(|_, observer| {
                observer.promises.block(presentity, watcher, is_blocked);
            });
        };
        // Nobody knows when it will be.
        say(&presentity, &watcher, false);
        actix_rt::spawn(async move {
            let decision = Decision {
                presentity: presentity.as_str().into(),
                watcher: watcher.as_str().into(),
                handling: Some(handling),
            };
            let decided = registry.send(Decide(decision)).await;
            if matches!(decided, Ok(Ok(_))) && handling == Handling::Block {
                say(&presentity, &watcher, true);
            }
        });
    }
}
