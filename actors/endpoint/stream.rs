//! The task of a connection: reads frames for the actor, writes what is queued for the peer.
//!
//! TCP and TLS are streams of bytes in which Content-Length says where a message ends; a WebSocket brings and takes whole
//! messages. Both are read and written by the same loops.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix::prelude::{Addr, Message};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, SinkExt, StreamExt};
use rollcall_core::exchange::ConnectionId;
use rollcall_core::room::{Part, Patience};
use rollcall_core::sip::{Frame, FramingError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Sleep, sleep_until, timeout};
use tokio_util::codec::FramedRead;

use super::Endpoint;
use super::connection::Gone;
use crate::clock::Clock;
use crate::transport::codec::{SipCodec, StreamError};
use crate::transport::watched::Begun;
use crate::transport::{Wire, web};

/// Frames given to the actor at once.
const BATCH: usize = 64;

/// What a message in a queue takes beside its bytes. Answers to keep-alives are two bytes long, and a peer may ask for any
/// number of them.
pub(super) const OVERHEAD: usize = 64;

/// Bytes written to a stream at once.
const STRETCH: usize = 64 * 1024;

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
    /// A message has begun, and its rest did not come in time.
    Late,
}

/// A reading half.
trait Frames: Unpin {
    /// The next frame; none when the peer has ended.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, StreamError>>>;

    /// What has come a part of.
    fn begun(&self) -> Option<Part>;

    /// Reads on without looking, so that the peer gets to read what it is told before the connection closes. False if
    /// it breaks.
    async fn drain(self) -> bool;
}

/// Bytes that are cut into messages; of TLS with the record that has begun.
struct ByteFrames<R> {
    reader: FramedRead<R, SipCodec>,
    record: Option<Begun>,
}

impl<R: AsyncRead + Unpin> Frames for ByteFrames<R> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, StreamError>>> {
        self.reader.poll_next_unpin(cx)
    }

    fn begun(&self) -> Option<Part> {
        if !self.reader.read_buffer().is_empty() {
            return Some(Part::Message);
        }
        Some(Part::Record(self.record.as_ref()?.get()?))
    }

    async fn drain(self) -> bool {
        let mut reader = self.reader.into_inner();
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

/// Messages of a WebSocket, and what has begun of one or of the record below it.
struct WebFrames {
    reader: web::Reader,
    message: Begun,
    record: Option<Begun>,
}

impl Frames for WebFrames {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, StreamError>>> {
        loop {
            match ready!(self.reader.poll_next_unpin(cx)) {
                None => return Poll::Ready(None),
                Some(Ok(item)) => {
                    if let Some(frame) = web::frame(item) {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Some(Err(error)) => {
                    return Poll::Ready(Some(Err(StreamError::Io(web::broken(error)))));
                }
            }
        }
    }

    fn begun(&self) -> Option<Part> {
        if let Some(number) = self.message.get() {
            return Some(Part::Web(number));
        }
        Some(Part::Record(self.record.as_ref()?.get()?))
    }

    async fn drain(mut self) -> bool {
        while let Some(item) = self.reader.next().await {
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

/// What a connection's task is made of, beside the connection itself.
pub(super) struct Line {
    pub id: ConnectionId,
    /// What goes out.
    pub queue: UnboundedReceiver<Bytes>,
    /// Bytes of it.
    pub queued: Rc<Cell<usize>>,
    /// How long a message may take from its first byte to its last.
    pub whole: Duration,
    pub clock: Clock,
    pub endpoint: Addr<Endpoint>,
}

/// Runs a connection from its first byte to its last.
pub(super) async fn serve(wire: Wire, line: Line) {
    let (id, endpoint) = (line.id, line.endpoint.clone());
    match wire {
        Wire::Bytes(stream, record) => {
            let (reader, writer) = tokio::io::split(stream);
            let reader = FramedRead::new(reader, SipCodec::new());
            let stretch = BytesMut::new();
            both(
                ByteFrames { reader, record },
                ByteWriter { writer, stretch },
                line,
            )
            .await;
        }
        Wire::Web(socket, message, record) => {
            let (writer, reader) = (*socket).split();
            let reader = WebFrames {
                reader,
                message,
                record,
            };
            both(reader, writer, line).await;
        }
    }
    endpoint.do_send(Gone(id));
}

async fn both(reader: impl Frames, writer: impl Messages, line: Line) {
    let Line {
        id,
        queue,
        queued,
        whole,
        clock,
        endpoint,
    } = line;
    let waiting = Waiting {
        patience: Patience::new(whole),
        clock,
        sleep: None,
    };
    let mut reading = pin!(read(reader, waiting, id, &endpoint));
    let mut writing = pin!(write(writer, queue, &queued));
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

/// Waits for whole messages, and not too long for the rest of one.
struct Waiting {
    patience: Patience,
    clock: Clock,
    /// Made when something comes in pieces, which most connections never see.
    sleep: Option<Pin<Box<Sleep>>>,
}

/// The rest has not come in time.
struct Late;

impl Waiting {
    fn poll<F: Frames>(
        &mut self,
        reader: &mut F,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Result<Frame, StreamError>>, Late>> {
        if let Poll::Ready(next) = reader.poll_frame(cx) {
            self.patience.whole();
            return Poll::Ready(Ok(next));
        }
        let clock = self.clock;
        let Some(until) = self.patience.look(reader.begun(), || clock.now()) else {
            return Poll::Pending;
        };
        let at = clock.instant(until);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx).map(|()| Err(Late))
    }
}

/// Reads until the peer ends. False if the connection is of no more use for writing either.
async fn read(
    mut reader: impl Frames,
    mut waiting: Waiting,
    id: ConnectionId,
    endpoint: &Addr<Endpoint>,
) -> bool {
    loop {
        let next = poll_fn(|cx| waiting.poll(&mut reader, cx)).await;
        let Ok(next) = next else {
            let input = StreamInput {
                connection: id,
                frames: Vec::new(),
                end: Some(InputEnd::Late),
            };
            // It is closed there, or the endpoint is gone.
            let _ = endpoint.send(input).await;
            return false;
        };
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
                poll_fn(|cx| reader.poll_frame(cx)).now_or_never()
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
