//! The task of a connection: reads frames for the actor, writes what is queued for the peer.
//!
//! TCP and TLS are streams of bytes in which Content-Length says where a message ends; a WebSocket brings and takes whole
//! messages. Both are read and written by the same loops.

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, SinkExt, StreamExt};
use rollcall_core::exchange::ConnectionId;
use rollcall_core::sip::{Frame, FramingError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use tokio_util::codec::FramedRead;

use super::Endpoint;
use super::connection::Gone;
use crate::transport::codec::{SipCodec, StreamError};
use crate::transport::{Wire, web};

/// Frames given to the actor at once.
const BATCH: usize = 64;

/// What a message in a queue takes beside its bytes. Answers to keep-alives are two bytes long, and a peer may ask for any
/// number of them.
pub(super) const OVERHEAD: usize = 64;

/// Bytes written to a stream at once.
const STRETCH: usize = 64 * 1024;

/// How long the rest of a message may take to come, once or twice: 64*T1, after which its sender has given it up
/// (RFC 3261, 17.1.2.2). Whoever connects and says nothing at all for so long has no business here either.
const UNFINISHED: Duration = Duration::from_secs(32);

/// How long one direction is kept open after the other has ended: for answers that are still owed, and for the peer to
/// read our last one before unread input of its own makes the kernel reset the connection.
const LINGER: Duration = Duration::from_secs(5);

/// What a connection's task has read.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct StreamInput {
    pub connection: ConnectionId,
    pub frames: Vec<Frame>,
    pub end: Option<InputEnd>,
}

/// Why nothing more is read.
pub(super) enum InputEnd {
    /// The peer writes no more, or the connection broke.
    Ended,
    /// Nobody knows where the next message begins.
    Framing(FramingError),
}

/// A reading half.
trait Frames {
    /// The next frame; none when the peer has ended. Can be asked again after it was dropped unanswered.
    async fn next_frame(&mut self) -> Option<Result<Frame, StreamError>>;

    /// Whether a part of a message has come.
    fn begun(&self) -> bool;

    /// Reads on without looking, so that the peer gets to read what it is told before the connection closes. False if
    /// it breaks.
    async fn drain(self) -> bool;
}

impl<R: AsyncRead + Unpin> Frames for FramedRead<R, SipCodec> {
    async fn next_frame(&mut self) -> Option<Result<Frame, StreamError>> {
        self.next().await
    }

    fn begun(&self) -> bool {
        !self.read_buffer().is_empty()
    }

    async fn drain(self) -> bool {
        let mut reader = self.into_inner();
        let mut scratch = [0; 2048];
        loop {
            match reader.read(&mut scratch).await {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}

impl Frames for web::Reader {
    async fn next_frame(&mut self) -> Option<Result<Frame, StreamError>> {
        loop {
            match self.next().await? {
                Ok(item) => {
                    if let Some(frame) = web::frame(item) {
                        return Some(Ok(frame));
                    }
                }
                Err(error) => return Some(Err(StreamError::Io(web::broken(error)))),
            }
        }
    }

    /// Not known: but no more of it than one message is kept.
    fn begun(&self) -> bool {
        false
    }

    async fn drain(mut self) -> bool {
        while let Some(item) = self.next().await {
            if item.is_err() {
                return false;
            }
        }
        true
    }
}

/// A writing half.
trait Messages {
    /// Writes this message, and with it what else waits in the queue; what that took there, in bytes.
    async fn write(
        &mut self,
        first: Bytes,
        queue: &mut UnboundedReceiver<Bytes>,
    ) -> io::Result<usize>;

    /// Says that nothing more comes.
    async fn end(&mut self) -> io::Result<()>;
}

struct ByteWriter<W> {
    writer: W,
    stretch: BytesMut,
}

impl<W: AsyncWrite + Unpin> Messages for ByteWriter<W> {
    async fn write(
        &mut self,
        first: Bytes,
        queue: &mut UnboundedReceiver<Bytes>,
    ) -> io::Result<usize> {
        let mut written = first.len() + OVERHEAD;
        if queue.is_empty() {
            self.writer.write_all(&first).await?;
        } else {
            self.stretch.extend_from_slice(&first);
            while self.stretch.len() < STRETCH
                && let Ok(more) = queue.try_recv()
            {
                self.stretch.extend_from_slice(&more);
                written += more.len() + OVERHEAD;
            }
            self.writer.write_all(&self.stretch).await?;
            self.stretch.clear();
        }
        // TLS holds back what its records gather.
        self.writer.flush().await?;
        Ok(written)
    }

    async fn end(&mut self) -> io::Result<()> {
        self.writer.shutdown().await
    }
}

impl Messages for web::Writer {
    async fn write(
        &mut self,
        first: Bytes,
        queue: &mut UnboundedReceiver<Bytes>,
    ) -> io::Result<usize> {
        let mut written = first.len() + OVERHEAD;
        self.feed(web::item(first)).await.map_err(web::broken)?;
        while written < STRETCH
            && let Ok(more) = queue.try_recv()
        {
            written += more.len() + OVERHEAD;
            self.feed(web::item(more)).await.map_err(web::broken)?;
        }
        self.flush().await.map_err(web::broken)?;
        Ok(written)
    }

    async fn end(&mut self) -> io::Result<()> {
        self.close().await.map_err(web::broken)
    }
}

/// Runs a connection from its first byte to its last.
pub(super) async fn serve(
    wire: Wire,
    id: ConnectionId,
    queue: UnboundedReceiver<Bytes>,
    queued: Rc<Cell<usize>>,
    endpoint: Addr<Endpoint>,
) {
    match wire {
        Wire::Bytes(stream) => {
            let (reader, writer) = tokio::io::split(stream);
            let reader = FramedRead::new(reader, SipCodec::new());
            let stretch = BytesMut::new();
            both(
                reader,
                ByteWriter { writer, stretch },
                id,
                queue,
                &queued,
                &endpoint,
            )
            .await;
        }
        Wire::Web(socket) => {
            let (writer, reader) = (*socket).split();
            both(reader, writer, id, queue, &queued, &endpoint).await;
        }
    }
    endpoint.do_send(Gone(id));
}

async fn both(
    reader: impl Frames,
    writer: impl Messages,
    id: ConnectionId,
    queue: UnboundedReceiver<Bytes>,
    queued: &Cell<usize>,
    endpoint: &Addr<Endpoint>,
) {
    let mut reading = pin!(read(reader, id, endpoint));
    let mut writing = pin!(write(writer, queue, queued));
    tokio::select! {
        biased;
        whole = &mut reading => {
            if whole {
                let _ = timeout(LINGER, writing).await;
            }
        }
        result = &mut writing => {
            if result.is_ok() {
                let _ = timeout(LINGER, reading).await;
            }
        }
    }
}

/// Reads until the peer ends. False if the connection is of no more use for writing either.
async fn read(mut reader: impl Frames, id: ConnectionId, endpoint: &Addr<Endpoint>) -> bool {
    let mut unfinished = false;
    let mut heard = false;
    loop {
        let next = match timeout(UNFINISHED, reader.next_frame()).await {
            Ok(next) => next,
            Err(_) if heard && !reader.begun() => continue,
            Err(_) if !reader.begun() => return false,
            // Begun in the stretch before this one: its sender has had its time.
            Err(_) if unfinished => return false,
            Err(_) => {
                unfinished = true;
                continue;
            }
        };
        (heard, unfinished) = (true, false);
        let mut frames = Vec::new();
        let mut end = None;
        let mut broken = false;
        let mut item = Some(next);
        while let Some(next) = item {
            match next {
                Some(Ok(frame)) => frames.push(frame),
                Some(Err(StreamError::Framing(error))) => end = Some(InputEnd::Framing(error)),
                Some(Err(StreamError::Io(error))) => {
                    tracing::debug!(connection = id.0, %error, "a connection broke");
                    end = Some(InputEnd::Ended);
                    broken = true;
                }
                None => end = Some(InputEnd::Ended),
            }
            let full = frames.len() >= BATCH || end.is_some();
            item = if full {
                None
            } else {
                reader.next_frame().now_or_never()
            };
        }
        let discard = matches!(end, Some(InputEnd::Framing(_)));
        let over = end.is_some();
        let input = StreamInput {
            connection: id,
            frames,
            end,
        };
        if endpoint.send(input).await.is_err() {
            return false;
        }
        if discard {
            return reader.drain().await;
        }
        if over {
            return !broken;
        }
    }
}

/// Writes what is queued until the queue is closed.
async fn write(
    mut writer: impl Messages,
    mut queue: UnboundedReceiver<Bytes>,
    queued: &Cell<usize>,
) -> io::Result<()> {
    while let Some(bytes) = queue.recv().await {
        let written = writer.write(bytes, &mut queue).await?;
        queued.set(queued.get().saturating_sub(written));
    }
    writer.end().await
}
