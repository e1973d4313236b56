//! What the messages go over. Bytes are sent exactly as they were built, and only messages come back: a transport that
//! has frames of its own gives each as a message, one that has none goes through the core's framing.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use rollcall_core::exchange::Transport;
use rollcall_core::sip::{Frame, Framer, Message};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::peer::Shared;
use crate::transport::{Datagram, Pool, Stream, web};

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message, and where from.
    Message(Bytes, SocketAddr),
    /// A line end between messages: the answer to a ping.
    Pong,
    /// Nothing more will come.
    Closed,
}

/// A way to the server, with an address of its own.
pub struct Link {
    way: Way,
    transport: Transport,
    local: SocketAddr,
    target: SocketAddr,
}

enum Way {
    Datagrams(Datagram, Pool),
    Web(Box<web::WebSocket>),
    Stream {
        stream: Stream,
        framer: Framer,
        buffer: BytesMut,
        is_closed: bool,
    },
}

impl Link {
    /// Opens one: a socket of its own, or a connection of its own. There is no limit of time but the network's.
    pub async fn open(shared: &Shared) -> io::Result<Self> {
        let (network, target) = (&shared.network, shared.target);
        let transport = shared.transport;
        if transport == Transport::Udp {
            let from: IpAddr = network.local_towards(target)?;
            let socket = network.datagram(SocketAddr::new(from, 0), false).await?;
            return Ok(Self {
                local: socket.local_addr()?,
                way: Way::Datagrams(socket, Pool::new()),
                transport,
                target,
            });
        }
        let mut stream = network.connect(target).await?;
        let local = stream.local_addr()?;
        if transport.is_secure() {
            stream = shared.tls.connect(stream, &shared.host).await?;
        }
        let way = if transport.is_byte_stream() {
            Way::over(stream)
        } else {
            Way::Web(Box::new(web::connect(stream, &shared.host).await?))
        };
        Ok(Self {
            way,
            transport,
            local,
            target,
        })
    }

    /// Its own address: where a Contact leads.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Which transport it is.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Sends these bytes: a datagram, or a stretch of the stream. That the peer has closed is shown by [`Link::receive`].
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.way {
            Way::Datagrams(socket, _) => {
                let bytes = Bytes::copy_from_slice(bytes);
                socket.send_to(&bytes, self.target).await
            }
            Way::Web(socket) => {
                let item = web::item(Bytes::copy_from_slice(bytes));
                // What the server said before it closed is still to be read.
                let _ = socket.send(item).await;
                Ok(())
            }
            Way::Stream { stream, .. } => {
                // What the server said before it closed is still to be read.
                if stream.write_all(bytes).await.is_ok() {
                    let _ = stream.flush().await;
                }
                Ok(())
            }
        }
    }

    /// The next that comes. May be given up at any time without losing anything.
    pub async fn receive(&mut self) -> io::Result<Heard> {
        match &mut self.way {
            Way::Datagrams(socket, pool) => loop {
                match socket.recv(pool).await {
                    Ok((bytes, _)) if bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) => {}
                    Ok((bytes, from)) => return Ok(Heard::Message(bytes, from)),
                    // Nobody listens there: that a request stays without an answer says the same.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(error) => return Err(error),
                }
            },
            Way::Web(socket) => loop {
                match socket.next().await {
                    Some(Ok(item)) => match web::frame(item) {
                        Some(Frame::Message(bytes)) => {
                            return Ok(Heard::Message(bytes, self.target));
                        }
                        Some(Frame::Ping | Frame::Pong) => return Ok(Heard::Pong),
                        None => {}
                    },
                    Some(Err(_)) | None => return Ok(Heard::Closed),
                }
            },
            Way::Stream {
                stream,
                framer,
                buffer,
                is_closed,
            } => loop {
                match framer.next(buffer) {
                    Ok(Some(Frame::Message(bytes))) => {
                        return Ok(Heard::Message(bytes, self.target));
                    }
                    Ok(Some(Frame::Ping | Frame::Pong)) => return Ok(Heard::Pong),
                    Ok(None) => {}
                    // What can't be framed is shown as it is, once, and judged by whoever reads it.
                    Err(_) if !buffer.is_empty() => {
                        *is_closed = true;
                        return Ok(Heard::Message(buffer.split().freeze(), self.target));
                    }
                    Err(_) => *is_closed = true,
                }
                if *is_closed || !matches!(stream.read_buf(buffer).await, Ok(1..)) {
                    *is_closed = true;
                    return Ok(Heard::Closed);
                }
            },
        }
    }
}

impl Way {
    fn over(stream: Stream) -> Self {
        Self::Stream {
            stream,
            framer: Framer::new(Message::MAX_LEN),
            buffer: BytesMut::new(),
            is_closed: false,
        }
    }
}
