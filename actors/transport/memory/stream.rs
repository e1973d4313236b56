//! Streams of the memory network: ordered, delayed by the link, stalled by a partition, broken by a crash.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;
use tokio::time::Instant;

use super::link::{Carrier, Fate};
use super::state::{Event, HostId, State};

/// Bytes that one direction holds, on the way and unread, before the writer must wait.
const WINDOW: usize = 256 * 1024;

/// How long a stream stalls before both ends give up.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What a lost segment costs: the first retransmission of a TCP that knows its peer.
const RETRANSMISSION: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Who connected.
    Client,
    /// Who accepted.
    Server,
}

impl Side {
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

pub(super) enum Segment {
    Data(Bytes),
    /// The sender writes no more.
    End,
    /// The sender is no more.
    Reset,
}

pub(super) struct End {
    host: HostId,
    pub addr: SocketAddr,
    /// Its handle was dropped.
    gone: bool,
    broken: Option<io::ErrorKind>,
    received: VecDeque<Bytes>,
    /// The other end writes no more.
    ended: bool,
    reader: Option<Waker>,
    /// Bytes written that the other end has not read yet.
    outstanding: usize,
    shut: bool,
    writer: Option<Waker>,
    /// When the last segment written arrives: none may overtake it.
    last: Instant,
    /// Segments that a partition holds back.
    stalled: VecDeque<Segment>,
    stalled_since: Option<Instant>,
}

impl End {
    fn new(host: HostId, addr: SocketAddr, last: Instant) -> Self {
        Self {
            host,
            addr,
            gone: false,
            broken: None,
            received: VecDeque::new(),
            ended: false,
            reader: None,
            outstanding: 0,
            shut: false,
            writer: None,
            last,
            stalled: VecDeque::new(),
            stalled_since: None,
        }
    }

    fn wake(&mut self) {
        self.reader
            .take()
            .into_iter()
            .chain(self.writer.take())
            .for_each(Waker::wake);
    }

    /// True if it was whole until now. One that was broken before keeps what it has still to say: that it was reset.
    fn fail(&mut self, kind: io::ErrorKind) -> bool {
        if self.broken.is_some() {
            return false;
        }
        self.broken = Some(kind);
        self.received.clear();
        self.stalled.clear();
        self.stalled_since = None;
        self.wake();
        true
    }
}

pub(super) struct Connection {
    client: End,
    server: End,
}

impl Connection {
    pub fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}

impl State {
    /// A stream between two ends; what the server writes arrives at the earliest at `established`.
    pub fn open(
        &mut self,
        client: (HostId, SocketAddr),
        server: (HostId, SocketAddr),
        established: Instant,
    ) -> u64 {
        let id = self.fresh_connection();
        let client = End::new(client.0, client.1, established);
        let server = End::new(server.0, server.1, established);
        self.connections.insert(id, Connection { client, server });
        id
    }

    /// Puts a segment on its way. True if the pump must be told.
    fn write(&mut self, id: u64, sender: Side, segment: Segment) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else {
            return false;
        };
        let (from, to) = (
            connection.end(sender).host,
            connection.end(sender.other()).host,
        );
        let link = self.link(from, to);
        let mut delay = self.latency(link);
        let mut again = RETRANSMISSION;
        // Five losses in a row are as good as a partition; the sixth copy arrives.
        for _ in 0..5 {
            if !self.entropy.chance(link.loss) {
                break;
            }
            delay += again;
            again *= 2;
        }
        let mut at = Instant::now() + delay;
        if let Some(connection) = self.connections.get_mut(&id) {
            let end = connection.end(sender);
            at = at.max(end.last);
            end.last = at;
        }
        self.schedule(
            at,
            Event::Segment {
                connection: id,
                sender,
                segment,
            },
        )
    }

    /// A segment is there, unless a partition holds it back.
    pub fn segment(&mut self, id: u64, sender: Side, segment: Segment) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let pair = (
            connection.end(sender).host,
            connection.end(sender.other()).host,
        );
        let blocked = self.blocked.contains(&pair);
        let end = connection.end(sender);
        if !blocked && end.stalled.is_empty() {
            self.deliver(id, sender, segment);
            return;
        }
        end.stalled.push_back(segment);
        self.stall(id, sender);
    }

    fn stall(&mut self, id: u64, sender: Side) {
        let now = Instant::now();
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let end = connection.end(sender);
        if end.stalled_since.is_none() {
            end.stalled_since = Some(now);
            self.schedule(
                now + PATIENCE,
                Event::GiveUp {
                    connection: id,
                    sender,
                    since: now,
                },
            );
        }
    }

    /// A partition has healed: what waited is there now.
    pub fn release(&mut self, id: u64, sender: Side) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let pair = (
            connection.end(sender).host,
            connection.end(sender.other()).host,
        );
        if self.blocked.contains(&pair) {
            self.stall(id, sender);
            return;
        }
        let end = connection.end(sender);
        end.stalled_since = None;
        for segment in std::mem::take(&mut end.stalled) {
            self.deliver(id, sender, segment);
        }
    }

    /// A stream has waited too long.
    pub fn give_up(&mut self, id: u64, sender: Side, since: Instant) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.end(sender).stalled_since != Some(since) {
            return;
        }
        connection.client.fail(io::ErrorKind::TimedOut);
        connection.server.fail(io::ErrorKind::TimedOut);
        self.statistics.broken += 1;
    }

    fn deliver(&mut self, id: u64, sender: Side, segment: Segment) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let from = connection.end(sender).addr;
        let receiver = connection.end(sender.other());
        match segment {
            Segment::Data(bytes) => {
                if receiver.broken.is_some() {
                    return;
                }
                if receiver.gone {
                    // Nobody reads there any more: the writer is told.
                    self.write(id, sender.other(), Segment::Reset);
                    return;
                }
                let to = receiver.addr;
                receiver.received.push_back(bytes.clone());
                if let Some(reader) = receiver.reader.take() {
                    reader.wake();
                }
                self.statistics.segments += 1;
                self.statistics.stream_bytes += bytes.len() as u64;
                self.observe((from, to), Carrier::Stream, Fate::Delivered, 0, &bytes);
            }
            Segment::End => {
                receiver.ended = true;
                if let Some(reader) = receiver.reader.take() {
                    reader.wake();
                }
            }
            Segment::Reset => {
                receiver.fail(io::ErrorKind::ConnectionReset);
            }
        }
    }

    /// The handle of an end was dropped. True if the pump must be told.
    pub fn leave(&mut self, id: u64, side: Side) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else {
            return false;
        };
        let other_gone = connection.end(side.other()).gone;
        let end = connection.end(side);
        end.gone = true;
        end.received.clear();
        if other_gone {
            self.connections.remove(&id);
            return false;
        }
        let silent = end.shut || end.broken.is_some();
        end.shut = true;
        !silent && self.write(id, side, Segment::End)
    }

    /// The streams of a crashed host. True if the pump must be told.
    pub fn crash_streams(&mut self, host: HostId) -> bool {
        let mut resets = Vec::new();
        for (&id, connection) in &mut self.connections {
            for side in [Side::Client, Side::Server] {
                let end = connection.end(side);
                if end.host == host && end.fail(io::ErrorKind::ConnectionReset) {
                    resets.push((id, side));
                }
            }
        }
        self.statistics.broken += resets.len() as u64;
        let mut tell = false;
        for (id, side) in resets {
            tell |= self.write(id, side, Segment::Reset);
        }
        tell
    }

    /// Lets go what waits in stalled streams that are no longer blocked. True if the pump must be told.
    pub fn release_streams(&mut self) -> bool {
        let mut free = Vec::new();
        for (&id, connection) in &mut self.connections {
            for side in [Side::Client, Side::Server] {
                let pair = (connection.end(side).host, connection.end(side.other()).host);
                if !connection.end(side).stalled.is_empty() && !self.blocked.contains(&pair) {
                    connection.end(side).stalled_since = None;
                    free.push((id, side, pair));
                }
            }
        }
        let mut tell = false;
        for (connection, sender, (from, to)) in free {
            let delay = self.latency(self.link(from, to));
            tell |= self.schedule(
                Instant::now() + delay,
                Event::Release { connection, sender },
            );
        }
        tell
    }

    pub fn read(
        &mut self,
        id: u64,
        side: Side,
        buf: &mut ReadBuf<'_>,
        cx: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let end = connection.end(side);
        if let Some(kind) = end.broken {
            return Poll::Ready(Err(kind.into()));
        }
        let before = buf.remaining();
        while buf.remaining() > 0
            && let Some(front) = end.received.front_mut()
        {
            let n = front.len().min(buf.remaining());
            buf.put_slice(&front[..n]);
            front.advance(n);
            if front.is_empty() {
                end.received.pop_front();
            }
        }
        let read = before - buf.remaining();
        if read > 0 || before == 0 {
            let writer = connection.end(side.other());
            writer.outstanding = writer.outstanding.saturating_sub(read);
            if let Some(waker) = writer.writer.take() {
                waker.wake();
            }
            return Poll::Ready(Ok(()));
        }
        if end.ended {
            return Poll::Ready(Ok(()));
        }
        end.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    pub fn poll_write(
        &mut self,
        id: u64,
        side: Side,
        bytes: &[u8],
        cx: &Context<'_>,
    ) -> (Poll<io::Result<usize>>, bool) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return (Poll::Ready(Err(io::ErrorKind::NotConnected.into())), false);
        };
        let end = connection.end(side);
        if let Some(kind) = end.broken {
            return (Poll::Ready(Err(kind.into())), false);
        }
        if end.shut {
            return (Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())), false);
        }
        let n = bytes.len().min(WINDOW.saturating_sub(end.outstanding));
        if n == 0 && !bytes.is_empty() {
            end.writer = Some(cx.waker().clone());
            return (Poll::Pending, false);
        }
        end.outstanding += n;
        let tell = self.write(id, side, Segment::Data(Bytes::copy_from_slice(&bytes[..n])));
        (Poll::Ready(Ok(n)), tell)
    }

    pub fn shut(&mut self, id: u64, side: Side) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else {
            return false;
        };
        let end = connection.end(side);
        if end.shut || end.broken.is_some() {
            return false;
        }
        end.shut = true;
        self.write(id, side, Segment::End)
    }
}
