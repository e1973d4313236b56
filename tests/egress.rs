//! What a stranger can make the server send, in bytes: to himself under a made-up address, and to others (docs/adr/0015).

mod sockets;
mod strangers;
mod world;
