//! What the Endpoint actor counts.

/// What the shell around the core counts; the core has counters of its own.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Counters {
    /// Datagrams received, keep-alives included.
    pub datagrams_received: u64,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Datagrams dropped because the socket's queue was full.
    pub datagrams_dropped: u64,
    /// Datagrams that waited for the kernel and then could not be sent.
    pub datagrams_lost: u64,
    /// Datagrams that the kernel dropped because the socket's receive buffer was full, on Linux.
    pub datagrams_overflowed: u64,
    /// Times that ICMP said of a datagram that its place can't be reached.
    pub unreachable: u64,
    /// Failed sends and receives.
    pub socket_errors: u64,
    /// CRLF keep-alives, over UDP and TCP (RFC 5626, 4.4.1).
    pub keep_alives: u64,
    /// STUN Binding requests over UDP, answered with the address they came from (RFC 5626, 4.4.2).
    pub stun_requests: u64,
    /// Of these, those from places that nothing is sent to: not answered.
    pub stun_barred: u64,
    /// Messages received over streams.
    pub stream_messages: u64,
    /// Connections that peers opened.
    pub connections_accepted: u64,
    /// Connections that we opened.
    pub connections_opened: u64,
    /// Connections turned away because there were too many, or too many of their address.
    pub connections_refused: u64,
    /// Idle connections closed so that others got their places.
    pub connections_displaced: u64,
    /// Connections closed because they had been idle for too long.
    pub connections_idle: u64,
    /// Connections closed because the rest of a message did not come in time.
    pub messages_unfinished: u64,
    /// Connections closed because the peer did not read what it was sent.
    pub slow_readers: u64,
    /// Messages read from connections that we had closed meanwhile: dropped.
    pub late_frames: u64,
    /// Streams whose framing was lost.
    pub framing_errors: u64,
    /// Messages for connections that are gone.
    pub connection_gone: u64,
    /// Messages handed over to other shards.
    pub handed_over: u64,
    /// Requests for modules without a living mailbox, answered 503.
    pub no_module: u64,
    /// Outcomes and observed requests for modules without a mailbox: dropped.
    pub undelivered: u64,
    /// Messages for shards that there are not: dropped.
    pub no_shard: u64,
    /// Connections that could not be accepted.
    pub accept_errors: u64,
    /// Connections whose TLS or WebSocket handshake failed, took too long, or went on while others waited.
    pub handshakes_failed: u64,
    /// Manager messages of types that no module has claimed.
    pub unclaimed_manager: u64,
    /// Panics of the core that the guard caught.
    pub panics: u64,
}
