//! What a link does to what is sent over it, and what is told about it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

/// How one direction between two hosts behaves. The default is a perfect wire.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Link {
    /// The least time that anything takes.
    pub delay: Duration,
    /// Up to so much is added, evenly spread. Datagrams overtake each other when it is larger than the gap between them.
    pub jitter: Duration,
    /// The share of datagrams that vanish, from 0.0 to 1.0. Streams lose nothing: what is lost is sent again, later.
    pub loss: f64,
    /// The share of datagrams that arrive twice.
    pub duplicate: f64,
    /// The share of datagrams that are held back for several times the usual delay, so that later ones overtake them.
    pub reorder: f64,
    /// The largest datagram that may go in a [`Bundle`](crate::transport::Bundle), in bytes, which on a real link is what fits into a
    /// packet. None: any.
    pub largest_in_bundle: Option<usize>,
}

impl Link {
    /// A link that only takes its time.
    pub const fn delayed(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            largest_in_bundle: None,
        }
    }
}

/// What the network did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Datagrams handed to the network.
    pub sent: u64,
    /// Bundles that some of them were handed over in.
    pub bundles: u64,
    /// Datagrams that reached a socket, duplicates included.
    pub delivered: u64,
    /// Datagrams lost by chance.
    pub lost: u64,
    /// Datagrams that were sent on twice.
    pub duplicated: u64,
    /// Datagrams that arrived after one that was sent later between the same two sockets' hosts.
    pub reordered: u64,
    /// Datagrams that a partition swallowed.
    pub partitioned: u64,
    /// Datagrams for an address where nobody listens, crashed hosts' among them.
    pub unreachable: u64,
    /// Datagrams that found the receiving socket's queue full.
    pub overflowed: u64,
    /// Streams opened.
    pub connected: u64,
    /// Streams that nobody accepted.
    pub refused: u64,
    /// Streams broken by a crash or a partition.
    pub broken: u64,
    /// Stretches of bytes delivered over streams.
    pub segments: u64,
    /// Bytes delivered over streams.
    pub stream_bytes: u64,
}

/// What became of something that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is in the receiver's queue.
    Delivered,
    /// It was lost by chance.
    Lost,
    /// A partition swallowed it.
    Partitioned,
    /// Nobody listens there.
    Unreachable,
    /// The receiver's queue was full.
    Overflowed,
    /// It has left; told before what becomes of it, for datagrams only.
    Sent,
}

/// Which kind of socket it was sent over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// A whole datagram.
    Datagram,
    /// A stretch of a stream; its boundaries mean nothing.
    Stream,
}

/// One thing on the network, as an observer sees it.
#[derive(Clone, Debug)]
pub struct Delivery<'a> {
    /// Since the network was made.
    pub at: Duration,
    /// The sender.
    pub from: SocketAddr,
    /// The receiver.
    pub to: SocketAddr,
    /// Over what.
    pub carrier: Carrier,
    /// What became of it.
    pub fate: Fate,
    /// Counts the datagrams in the order in which they were sent; a duplicate has its original's. 0 for streams.
    pub number: u64,
    /// The bytes.
    pub bytes: &'a Bytes,
}
