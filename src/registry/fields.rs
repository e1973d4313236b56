//! Fields of stored records as bytes: numbers big-endian, texts and bodies with their length before them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};

use super::codec::RecordError;
use super::store::{Span, StateDigest};
use crate::exchange::{ConnectionId, Flow, Transport};
use crate::subscription::WayRecord;
use crate::time::Timestamp;

/// Bits of the byte that says the way. Before there were others than the first, each watcher was sent everything wherever it
/// wanted: those have to answer first as well.
const DIRECT: u8 = 1;
const ALONE: u8 = 2;
const FREE: u8 = 4;
const PROVEN: u8 = 8;

pub(super) fn way_byte(way: WayRecord) -> u8 {
    let bits = [
        (way.direct, DIRECT),
        (way.alone, ALONE),
        (way.free, FREE),
        (way.proven, PROVEN),
    ];
    bits.into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, bit)| bit)
        .sum()
}

pub(super) fn way(byte: u8) -> Result<WayRecord, RecordError> {
    if byte > DIRECT | ALONE | FREE | PROVEN {
        return Err(RecordError::Damaged("way"));
    }
    let has = |bit| byte & bit != 0;
    Ok(WayRecord {
        direct: has(DIRECT),
        alone: has(ALONE),
        free: has(FREE),
        proven: has(PROVEN),
    })
}

pub(super) fn blob(out: &mut Vec<u8>, bytes: &[u8]) {
    // Bodies and heads come from messages of at most 64 KiB.
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(bytes);
}

pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    blob(out, text.as_bytes());
}

pub(super) fn option<T>(out: &mut Vec<u8>, value: Option<T>, write: impl Fn(&mut Vec<u8>, T)) {
    out.put_u8(u8::from(value.is_some()));
    if let Some(value) = value {
        write(out, value);
    }
}

pub(super) fn span(out: &mut Vec<u8>, span: Span) {
    out.put_u16(span.start);
    out.put_u16(span.len);
}

pub(super) fn address(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.put_u8(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put_u8(6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.put_u16(address.port());
}

pub(super) fn flow(out: &mut Vec<u8>, flow: &Flow) {
    out.put_u8(flow.shard);
    out.put_u8(match flow.transport {
        Transport::Udp => 0,
        Transport::Tcp => 1,
        Transport::Tls => 2,
        Transport::Ws => 3,
        Transport::Wss => 4,
    });
    address(out, flow.local);
    address(out, flow.remote);
    out.put_u64(flow.connection.0);
}

/// Takes fields off the front; each step names the field for the error.
pub(super) struct Reader(pub Bytes);

impl Reader {
    pub fn take(&mut self, len: usize, field: &'static str) -> Result<Bytes, RecordError> {
        if self.0.len() < len {
            return Err(RecordError::Truncated(field));
        }
        Ok(self.0.split_to(len))
    }

    pub fn u8(&mut self, field: &'static str) -> Result<u8, RecordError> {
        Ok(self.take(1, field)?.get_u8())
    }

    pub fn u16(&mut self, field: &'static str) -> Result<u16, RecordError> {
        Ok(self.take(2, field)?.get_u16())
    }

    pub fn u32(&mut self, field: &'static str) -> Result<u32, RecordError> {
        Ok(self.take(4, field)?.get_u32())
    }

    pub fn u64(&mut self, field: &'static str) -> Result<u64, RecordError> {
        Ok(self.take(8, field)?.get_u64())
    }

    pub fn digest(&mut self, field: &'static str) -> Result<StateDigest, RecordError> {
        let mut digest = StateDigest::default();
        let bytes = self.take(digest.len(), field)?;
        digest.copy_from_slice(&bytes);
        Ok(digest)
    }

    pub fn time(&mut self, field: &'static str) -> Result<Timestamp, RecordError> {
        self.u64(field).map(Timestamp::from_millis)
    }

    pub fn flag(&mut self, field: &'static str) -> Result<bool, RecordError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(RecordError::Damaged(field)),
        }
    }

    pub fn option<T>(
        &mut self,
        field: &'static str,
        read: fn(&mut Self, &'static str) -> Result<T, RecordError>,
    ) -> Result<Option<T>, RecordError> {
        self.flag(field)?.then(|| read(self, field)).transpose()
    }

    pub fn blob(&mut self, field: &'static str) -> Result<Bytes, RecordError> {
        let len = self.u32(field)? as usize;
        self.take(len, field)
    }

    pub fn text(&mut self, field: &'static str) -> Result<Arc<str>, RecordError> {
        let bytes = self.blob(field)?;
        std::str::from_utf8(&bytes)
            .map(Arc::from)
            .map_err(|_| RecordError::Damaged(field))
    }

    pub fn span(&mut self, field: &'static str) -> Result<Span, RecordError> {
        Ok(Span {
            start: self.u16(field)?,
            len: self.u16(field)?,
        })
    }

    pub fn address(&mut self) -> Result<SocketAddr, RecordError> {
        const FIELD: &str = "flow";
        let ip = match self.u8(FIELD)? {
            4 => IpAddr::V4(Ipv4Addr::from_bits(self.u32(FIELD)?)),
            6 => IpAddr::V6(Ipv6Addr::from_bits(self.take(16, FIELD)?.get_u128())),
            _ => return Err(RecordError::Damaged(FIELD)),
        };
        Ok(SocketAddr::new(ip, self.u16(FIELD)?))
    }

    pub fn flow(&mut self) -> Result<Flow, RecordError> {
        Ok(Flow {
            shard: self.u8("flow")?,
            transport: match self.u8("flow")? {
                0 => Transport::Udp,
                1 => Transport::Tcp,
                2 => Transport::Tls,
                3 => Transport::Ws,
                4 => Transport::Wss,
                _ => return Err(RecordError::Damaged("flow")),
            },
            local: self.address()?,
            remote: self.address()?,
            connection: ConnectionId(self.u64("flow")?),
        })
    }
}
