//! What real clients and servers put on the wire.
