//! How much a world worked: how often its thread woke. In virtual time it wakes for each moment at which a timer of some actor or the
//! network is due, and for nothing else, so that the count is the same on every machine.

use std::time::Duration;

use serde::Serialize;

use crate::transport::memory::Statistics;

/// Moments for each datagram: its arrival, and timers that it set.
const FOR_A_DATAGRAM: u64 = 6;
/// Moments for each host and second: heartbeats, retransmissions, retries.
const FOR_A_SECOND: u64 = 4;

/// Work so far.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Work {
    /// How often the thread woke.
    pub wakes: u64,
    /// Tasks that live: actors, connections, timers of the network.
    pub tasks: u64,
}

impl Work {
    /// Of the world that lives on this thread.
    pub fn so_far() -> Self {
        let metrics = tokio::runtime::Handle::current().metrics();
        Self {
            wakes: metrics.worker_park_count(0),
            tasks: u64::try_from(metrics.num_alive_tasks()).unwrap_or(u64::MAX),
        }
    }

    /// What there is reason for.
    pub fn most(&self, network: &Statistics, time: Duration, hosts: u64) -> u64 {
        let sent = network.sent + network.segments;
        FOR_A_DATAGRAM * sent + FOR_A_SECOND * hosts * time.as_secs()
    }
}
